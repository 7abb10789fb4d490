//! Templates: questions that analysts write and owners approve.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cleanroom_policy::{Ability, TemplateName, parse_template};
use cleanroom_registry::{Replace, Role};
use cleanroom_vault::check_template;
use serde_json::{Value, json};

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use super::rooms::status;
use super::{body, media};
use crate::embedded::word;
use crate::listing;

/// The room's templates.
#[utoipa::path(get, path = "/v1/rooms/{room}/templates", tag = "templates", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "`templates`", body = Value)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let templates = app.registry().templates(&room.name).await?;
    Ok(Json(json!({ "templates": templates.iter().map(listing::template).collect::<Vec<_>>() })))
}

/// One template: its parameters, its SQL, and the digest by which owners approve it.
#[utoipa::path(get, path = "/v1/rooms/{room}/templates/{name}", tag = "templates",
    params(("room" = String, Path, description = "name of the room"), ("name" = String, Path, description = "name of the template")),
    responses((status = 200, description = "the template", body = Value), (status = 404, description = "no such template")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((room, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let name = TemplateName::new(&name).map_err(|_| Problem::not_found())?;
    let record = app.registry().template(&room.name, &name).await?;
    record.as_ref().map(|record| Json(listing::template(record))).ok_or_else(Problem::not_found)
}

/// Puts a template in force. Approvals of what stood under its name before do not pass over to it. Only the partner that put it
/// first, or an administrator, replaces one.
#[utoipa::path(put, path = "/v1/rooms/{room}/templates/{name}", tag = "templates",
    params(("room" = String, Path, description = "name of the room"), ("name" = String, Path, description = "name of the template")),
    request_body(content = String, content_type = "application/yaml", description = "a template document, as YAML or JSON"),
    responses((status = 200, description = "`change`, `digest`", body = Value), (status = 201, description = "created", body = Value),
        (status = 400, description = "the document is not valid, or its SQL is not supported"),
        (status = 403, description = "the partner neither contributes nor asks"), (status = 409, description = "it is another partner's")))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((room, name)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let room = app.room(&caller, &room).await?;
    let takes_part = caller.partner().and_then(|partner| room.partner(partner)).is_some_and(|partner| {
        partner.abilities.contains(&Ability::Query) || partner.abilities.contains(&Ability::Contribute)
    });
    let replace = match caller.role() {
        Role::Admin => Replace::Any,
        Role::Member if takes_part => Replace::Own,
        Role::Member => {
            return Err(Problem::forbidden(
                "templates are put by partners that contribute or ask",
                "use the token of such a partner, or an administrator's",
            ));
        }
    };
    media::must_be_document(&headers)?;
    let text = body::text(content).await?;
    let template = parse_template("template", &text).map_err(|errors| Problem::documents(&errors))?;
    if template.name.as_str() != name {
        return Err(Problem::bad_request(
            "the document names another template than the address",
            "give both the same name",
        ));
    }
    check_template(&template).map_err(|refusal| Problem::refused(&refusal))?;
    let change = app.registry().put_template(&room.name, &template, &text, &caller.actor(), replace).await?;
    let shown = json!({ "template": name, "digest": template.digest(), "change": word(change) });
    Ok((status(change), Json(shown)))
}
