//! Tables: their declaration, policy and data.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cleanroom_policy::{Room, TableName, check_policy_in_room, parse_policy, parse_room};
use cleanroom_registry::Role;
use cleanroom_vault::{Format, IngestRequest, IngestSource};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use super::rooms::status;
use super::{body, media, upload};
use crate::embedded::word;
use crate::{listing, signature_file};

/// A table as its owner declares it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TableBody {
    /// The table's own name; may be left out, since the address names it.
    name: Option<String>,
    /// One sentence for people.
    description: Option<String>,
    /// Where its rows come from; `{"upload": true}` where it is left out.
    #[schema(value_type = Option<Object>)]
    source: Option<Map<String, Value>>,
}

/// The room's tables and how fresh they are.
#[utoipa::path(get, path = "/v1/rooms/{room}/tables", tag = "tables", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "`tables`", body = Value)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    Ok(Json(json!({ "tables": listing::tables(app.registry(), &room).await? })))
}

/// One table.
#[utoipa::path(get, path = "/v1/rooms/{room}/tables/{table}", tag = "tables",
    params(("room" = String, Path, description = "name of the room"), ("table" = String, Path, description = "`owner.table`")),
    responses((status = 200, description = "the table", body = Value), (status = 404, description = "no such table")))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((room, table)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let table = declared(&room, &table)?.to_string();
    let tables = listing::tables(app.registry(), &room).await?;
    let found = tables.into_iter().find(|shown| shown.get("name").and_then(Value::as_str) == Some(&table));
    found.map(Json).ok_or_else(Problem::not_found)
}

/// Declares a table, or changes its declaration.
#[utoipa::path(put, path = "/v1/rooms/{room}/tables/{table}", tag = "tables", request_body = TableBody,
    params(("room" = String, Path, description = "name of the room"), ("table" = String, Path, description = "`owner.table`")),
    responses((status = 200, description = "`change`", body = Value), (status = 201, description = "declared", body = Value),
        (status = 403, description = "not the owner's token, nor an administrator's")))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((name, table)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    app.room(&caller, &name).await?;
    let table = table_name(&table)?;
    if caller.role() != Role::Admin {
        caller.must_own(table.owner())?;
    }
    media::must_be_json(&headers)?;
    let declaration = TableBody::parse(&body::bytes(content).await?)?;
    if declaration.name.as_deref().is_some_and(|name| name != table.table()) {
        return Err(Problem::bad_request("the body names another table than the address", "leave `name` out"));
    }
    // The room is read again under the lock: another table may be on its way.
    let _turn = app.rooms_lock().lock().await;
    let room = app.room(&caller, &name).await?;
    if room.partner(table.owner()).is_none() {
        return Err(Problem::not_found());
    }
    let known = room.table(&table).is_some();
    let room = with_table(&room, &table, declaration)?;
    let change = app.registry().put_room(&room, &caller.actor()).await?;
    let (status, word) = match (known, word(change)) {
        (false, _) => (StatusCode::CREATED, "created"),
        (true, word) => (StatusCode::OK, word),
    };
    Ok((status, Json(json!({ "table": table.to_string(), "change": word }))))
}

/// The policy in force, as its owner wrote it and as it was understood. Others see what it grants them in the catalog.
#[utoipa::path(get, path = "/v1/rooms/{room}/tables/{table}/policy", tag = "tables",
    params(("room" = String, Path, description = "name of the room"), ("table" = String, Path, description = "`owner.table`")),
    responses((status = 200, description = "the policy", body = Value), (status = 403, description = "not the owner's token")))]
pub(crate) async fn get_policy(
    State(app): State<App>,
    caller: Caller,
    Path((room, table)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let table = declared(&room, &table)?;
    if caller.role() != Role::Admin {
        caller.must_own(table.owner())?;
    }
    let record = app.registry().policy(&room.name, &table).await?;
    record.as_ref().map(|record| Json(listing::policy(record))).ok_or_else(Problem::not_found)
}

/// Puts a policy in force. Its version must grow with every change. Where the owner has a key in the room, its signature comes
/// with the policy: the last word of the file that `cleanroom policy sign` writes.
#[utoipa::path(put, path = "/v1/rooms/{room}/tables/{table}/policy", tag = "tables",
    params(("room" = String, Path, description = "name of the room"), ("table" = String, Path, description = "`owner.table`"),
        ("Cleanroom-Signature" = Option<String>, Header, description = "base64 of the key's identifier and the Ed25519 signature")),
    request_body(content = String, content_type = "application/yaml", description = "a policy document, as YAML or JSON"),
    responses((status = 200, description = "`change`, `version`, `digest`", body = Value), (status = 201, description = "the first", body = Value),
        (status = 400, description = "the document is not valid"), (status = 403, description = "not the owner's token"),
        (status = 409, description = "the version did not grow, or the policy is not signed by its owner")))]
pub(super) async fn put_policy(
    State(app): State<App>,
    caller: Caller,
    Path((room, table)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let room = app.room(&caller, &room).await?;
    let table = declared(&room, &table)?;
    caller.must_own(table.owner())?;
    media::must_be_document(&headers)?;
    let text = body::text(content).await?;
    let policy = parse_policy("policy", &text).map_err(|errors| Problem::documents(&errors))?;
    if policy.table != table {
        return Err(Problem::bad_request(
            "the policy is for another table than the address",
            "give both the same table",
        ));
    }
    let errors = check_policy_in_room(&room, &policy);
    if !errors.is_empty() {
        return Err(Problem::documents(&errors));
    }
    let signature = headers.get(signature_file::HEADER).map(|value| value.to_str().unwrap_or_default());
    let registry = app.registry();
    let change = registry.put_signed_policy(&room.name, &policy, &text, signature, &caller.actor()).await?;
    let mut shown = json!({
        "table": table.to_string(), "version": policy.version, "digest": policy.digest(), "change": word(change),
    });
    // What was approved is said by content, so that an owner sees which template that is.
    if policy.access.templates.is_some()
        && let Some(record) = app.registry().policy(&room.name, &table).await?
        && let Some(object) = shown.as_object_mut()
    {
        object.insert("approved".to_owned(), json!(listing::approved(&record)));
    }
    Ok((status(change), Json(shown)))
}

/// Takes a table's rows in, as a new version that replaces the last at once, or not at all.
#[utoipa::path(put, path = "/v1/rooms/{room}/tables/{table}/data", tag = "tables",
    params(("room" = String, Path, description = "name of the room"), ("table" = String, Path, description = "`owner.table`")),
    request_body(content = String, content_type = "text/csv", description = "text/csv, application/vnd.apache.parquet, \
        application/x-ndjson (one object a line) or application/vnd.apache.arrow.stream"),
    responses((status = 200, description = "`version`, `change`, `rows`, `notes`", body = Value),
        (status = 400, description = "the rows are not valid; nothing was taken in"), (status = 403, description = "not the owner's token"),
        (status = 409, description = "the table has no policy yet"), (status = 413, description = "larger than the server takes"),
        (status = 415, description = "a form that is not read")))]
pub(super) async fn put_data(
    State(app): State<App>,
    caller: Caller,
    Path((room, table)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let table = declared(&room, &table)?;
    caller.must_own(table.owner())?;
    let format = data_format(&media::content_type(&headers)?)?;
    let no_policy = || {
        Problem::conflict(
            "the table has no policy, so it is not known what its rows are",
            "put the table's policy first, then its data",
        )
    };
    let policy = app.registry().policy(&room.name, &table).await?.ok_or_else(no_policy)?.policy;
    let file = upload::collect(content, app.uploads(), app.upload_bytes()).await?;
    let source = IngestSource::Path { path: file.path().to_owned(), label: "upload".to_owned(), format: Some(format) };
    let actor = caller.actor();
    let request =
        IngestRequest { room: &room.name, table: &table, policy: &policy, source, actor: &actor, force: false };
    let ingested = app.vault().ingest(request).await?;
    let change = match (ingested.changed, ingested.version) {
        (false, _) => "unchanged",
        (true, 1) => "created",
        (true, _) => "updated",
    };
    Ok(Json(json!({
        "table": table.to_string(), "version": ingested.version, "change": change, "rows": ingested.rows, "notes": ingested.notes,
    })))
}

impl TableBody {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(bytes).map_err(|error| {
            Problem::bad_request(
                format!("the body is not a table's declaration: line {}, column {}", error.line(), error.column()),
                "send {\"description\": \"...\", \"source\": {\"upload\": true}} and nothing else",
            )
        })
    }
}

fn table_name(text: &str) -> Result<TableName, Problem> {
    TableName::parse(text)
        .map_err(|error| Problem::bad_request(error.to_string(), "name the table in the address as `owner.table`"))
}

fn declared(room: &Room, text: &str) -> Result<TableName, Problem> {
    let table = TableName::parse(text).map_err(|_| Problem::not_found())?;
    if room.table(&table).is_some() { Ok(table) } else { Err(Problem::not_found()) }
}

/// The room's document with the table put in, checked like any other document.
fn with_table(room: &Room, table: &TableName, declaration: TableBody) -> Result<Room, Problem> {
    let broken = || Problem::internal("a room's document does not read back");
    let mut document: Value = serde_json::from_str(&room.canonical_json()).map_err(|_| broken())?;
    let tables = document
        .get_mut("partners")
        .and_then(Value::as_array_mut)
        .and_then(|partners| {
            partners
                .iter_mut()
                .find(|partner| partner.get("name").and_then(Value::as_str) == Some(table.owner().as_str()))
        })
        .and_then(Value::as_object_mut)
        .ok_or_else(broken)?
        .entry("tables")
        .or_insert_with(|| json!([]))
        .as_array_mut()
        .ok_or_else(broken)?;
    let source = declaration.source.unwrap_or_else(|| Map::from_iter([("upload".to_owned(), Value::Bool(true))]));
    let mut entry = json!({ "name": table.table(), "source": source });
    if let (Some(description), Some(entry)) = (declaration.description, entry.as_object_mut()) {
        entry.insert("description".to_owned(), json!(description));
    }
    match tables.iter_mut().find(|known| known.get("name").and_then(Value::as_str) == Some(table.table())) {
        Some(known) => *known = entry,
        None => tables.push(entry),
    }
    parse_room("table", &document.to_string()).map_err(|errors| Problem::documents(&errors))
}

fn data_format(media: &str) -> Result<Format, Problem> {
    match media {
        media::PARQUET | "application/x-parquet" => Ok(Format::Parquet),
        media::CSV => Ok(Format::Csv),
        media::JSON_LINES | "application/jsonl" => Ok(Format::JsonLines),
        media::ARROW => Ok(Format::ArrowStream),
        _ => Err(Problem::media(&[media::PARQUET, media::CSV, media::JSON_LINES, media::ARROW].join(" or "))),
    }
}
