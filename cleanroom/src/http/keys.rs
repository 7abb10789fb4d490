//! Room keys that partners seal for each other. The server passes them on and cannot read them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use cleanroom_policy::PartnerName;
use serde_json::{Value, json};

use super::app::App;
use super::auth::Caller;
use super::body;
use super::problem::Problem;

/// Longest sealed key, in bytes.
const LONGEST: usize = 4096;

/// Leaves a room key, sealed for another partner. It takes the place of an earlier one between the two.
#[utoipa::path(put, path = "/v1/rooms/{room}/keys/{to}/{from}", tag = "rooms",
    params(("room" = String, Path, description = "name of the room"), ("to" = String, Path, description = "whom it is sealed for"),
        ("from" = String, Path, description = "who sealed it: the caller")),
    request_body(content = String, content_type = "text/plain", description = "a signed note, as `cleanroom keys share` makes it"),
    responses((status = 200, description = "`from`, `to`", body = Value), (status = 403, description = "not the sender's token"),
        (status = 404, description = "no such room or partner")))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((room, to, from)): Path<(String, String, String)>,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let room = app.room(&caller, &room).await?;
    let (to, from) = (partner(&to)?, partner(&from)?);
    caller.must_own(&from)?;
    if room.partner(&to).is_none() {
        return Err(Problem::not_found());
    }
    let note = body::text(content).await?;
    if note.len() > LONGEST || !note.starts_with("cleanroom/v1 sealed room key\n") {
        return Err(Problem::bad_request("this is not a sealed room key", "send what `cleanroom keys share` writes"));
    }
    app.registry().put_sealed_key(&room.name, &from, &to, &note).await?;
    Ok((StatusCode::OK, Json(json!({ "from": from.to_string(), "to": to.to_string() }))))
}

/// A room key that was sealed for the caller.
#[utoipa::path(get, path = "/v1/rooms/{room}/keys/{to}/{from}", tag = "rooms",
    params(("room" = String, Path, description = "name of the room"), ("to" = String, Path, description = "whom it is sealed for: the caller"),
        ("from" = String, Path, description = "who sealed it")),
    responses((status = 200, description = "a signed note; `cleanroom keys open` opens it", body = String, content_type = "text/plain"),
        (status = 403, description = "not the recipient's token"), (status = 404, description = "there is none")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((room, to, from)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let room = app.room(&caller, &room).await?;
    let (to, from) = (partner(&to)?, partner(&from)?);
    caller.must_own(&to)?;
    let note = app.registry().sealed_key(&room.name, &from, &to).await?.ok_or_else(Problem::not_found)?;
    let mut response = Response::new(Body::from(note));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

fn partner(text: &str) -> Result<PartnerName, Problem> {
    PartnerName::new(text).map_err(|_| Problem::not_found())
}
