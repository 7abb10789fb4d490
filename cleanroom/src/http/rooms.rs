//! Rooms.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cleanroom_policy::{RoomName, parse_room};
use cleanroom_registry::{Change, Role};
use serde_json::{Value, json};

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use super::{body, media};
use crate::embedded::word;
use crate::listing;

/// Who the token is of.
#[utoipa::path(get, path = "/v1/me", tag = "rooms", responses((status = 200, description = "partner and role", body = Value)))]
pub(super) async fn me(caller: Caller) -> Json<Value> {
    Json(json!({ "partner": caller.partner().map(|partner| partner.as_str()), "role": caller.role().as_str() }))
}

/// The rooms the token opens.
#[utoipa::path(get, path = "/v1/rooms", tag = "rooms", responses((status = 200, description = "`rooms`: room documents", body = Value)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    let rooms = app.registry().rooms().await?;
    let viewer = viewer(&caller);
    let rooms: Vec<Value> = rooms
        .iter()
        .filter(|room| viewer.is_none_or(|partner| room.partner(partner).is_some()))
        .map(|room| listing::room(room, viewer))
        .collect();
    Ok(Json(json!({ "rooms": rooms })))
}

/// A room's document. Sources and policy files are shown to their owner.
#[utoipa::path(get, path = "/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "the room document", body = Value), (status = 404, description = "no such room, or not a member")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    Ok(Json(listing::room(&room, viewer(&caller))))
}

/// Makes a room, or replaces its document. Sources are not read: owners put their data.
#[utoipa::path(put, path = "/v1/rooms/{room}", tag = "rooms", params(("room" = String, Path, description = "name of the room")),
    request_body(content = String, content_type = "application/yaml", description = "a room document, as YAML or JSON"),
    responses((status = 200, description = "`change`: updated or unchanged", body = Value), (status = 201, description = "created", body = Value),
        (status = 400, description = "the document is not valid"), (status = 403, description = "not an administrator")))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.must_be_admin()?;
    let name = RoomName::new(&name)
        .map_err(|error| Problem::bad_request(error.to_string(), "correct the room's name in the address"))?;
    media::must_be_document(&headers)?;
    let text = body::text(content).await?;
    let room = parse_room("room", &text).map_err(|errors| Problem::documents(&errors))?;
    if room.name != name {
        return Err(Problem::bad_request(
            "the document names another room than the address",
            "give both the same name",
        ));
    }
    let _turn = app.rooms_lock().lock().await;
    let change = app.registry().put_room(&room, &caller.actor()).await?;
    Ok((status(change), Json(json!({ "room": name.as_str(), "change": word(change) }))))
}

/// The status that goes with a change.
pub(super) fn status(change: Change) -> StatusCode {
    match change {
        Change::Created => StatusCode::CREATED,
        Change::Updated | Change::Unchanged => StatusCode::OK,
    }
}

/// As whom the caller sees rooms; an administrator sees all of each.
fn viewer(caller: &Caller) -> Option<&cleanroom_policy::PartnerName> {
    match caller.role() {
        Role::Admin => None,
        Role::Member => caller.partner(),
    }
}
