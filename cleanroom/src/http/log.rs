//! The log, as members and auditors read it. Its large parts (the SQL, the plans, the policies) are for auditors alone.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use cleanroom_policy::Ability;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::app::App;
use super::auth::Caller;
use super::media;
use super::problem::Problem;
use super::search::Search;
use crate::listing;
use crate::trail::Choice;

const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// Which entries. What is left out or empty does not count.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// The first entry that is looked at, from 0.
    from: u64,
    /// At most so many; 100 where it is left out, and never more than 1000.
    limit: Option<u64>,
    /// Only entries of this type, such as `query.refused`.
    #[serde(rename = "type")]
    kind: String,
    /// Only entries of this partner's doing, and of the questions that it asked.
    partner: String,
    /// Only entries about this table, and of questions that read it, as `owner.table`. Of refused ones the log names no tables.
    table: String,
    /// Only entries about this policy, and of questions that it decided: `owner.table@version`, or a digest.
    policy: String,
    /// Only entries that tell this end of a question: `released`, `refused`, `exhausted`, `failed`, `cancelled` or `priced`.
    outcome: String,
    /// Only entries of this question.
    query: String,
    /// Not before this moment: a day or minute in UTC (`2026-05-04`, `2026-05-04T13:14`), or RFC 3339.
    since: String,
    /// Not after this moment, or this day or minute.
    until: String,
}

impl Range {
    fn choice(&self) -> Choice<'_> {
        Choice {
            kind: &self.kind,
            partner: &self.partner,
            table: &self.table,
            policy: &self.policy,
            outcome: &self.outcome,
            query: &self.query,
            since: &self.since,
            until: &self.until,
        }
    }
}

/// The newest checkpoint (C2SP tlog-checkpoint): a signed note over all entries. Where the server asks witnesses, their cosignatures
/// come a moment later.
#[utoipa::path(get, path = "/v1/rooms/{room}/log/checkpoint", tag = "log", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "a signed note", body = String, content_type = "text/plain")))]
pub(super) async fn checkpoint(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Response, Problem> {
    let room = app.room(&caller, &room).await?;
    Ok(text(app.registry().checkpoint(&room.name).await?))
}

/// Which checkpoints.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    /// At most so many; 100 where it is left out, and never more than 1000.
    limit: Option<u64>,
}

/// Checkpoints that were signed, newest first, with the cosignatures of witnesses.
#[utoipa::path(get, path = "/v1/rooms/{room}/log/checkpoints", tag = "log", params(("room" = String, Path, description = "name of the room"), Newest),
    responses((status = 200, description = "`checkpoints`: each with `size`, `root`, `signed_by` and `note`, the signed note itself", body = Value)))]
pub(super) async fn checkpoints(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
    newest: Result<Query<Newest>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let Query(newest) =
        newest.map_err(|_| Problem::bad_request("the number of checkpoints is not readable", "write `?limit=100`"))?;
    let limit = usize::try_from(newest.limit.unwrap_or(PAGE).min(LARGEST_PAGE)).unwrap_or(usize::MAX);
    let notes = app.registry().checkpoints(&room.name, limit).await?;
    Ok(Json(json!({ "checkpoints": notes.iter().map(|note| listing::checkpoint(note)).collect::<Vec<_>>() })))
}

/// The public key that checkpoints are verified with. Better learnt from the operator by another way.
#[utoipa::path(get, path = "/v1/rooms/{room}/log/key", tag = "log", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "a verifier key", body = String, content_type = "text/plain")))]
pub(super) async fn key(State(app): State<App>, caller: Caller, Path(room): Path<String>) -> Result<Response, Problem> {
    let room = app.room(&caller, &room).await?;
    Ok(text(format!("{}\n", app.registry().log_vkey(&room.name).await?)))
}

/// A tile or entry bundle (C2SP tlog-tiles).
#[utoipa::path(get, path = "/v1/rooms/{room}/log/tile/{tile}", tag = "log",
    params(("room" = String, Path, description = "name of the room"), ("tile" = String, Path, description = "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`")),
    responses((status = 200, description = "hashes, or entries", body = String, content_type = "application/octet-stream"), (status = 404, description = "no such tile")))]
pub(super) async fn tile(
    State(app): State<App>,
    caller: Caller,
    Path((room, tile)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let room = app.room(&caller, &room).await?;
    if !is_tile(&tile) {
        return Err(Problem::not_found());
    }
    // All that is signed is on disk from here on.
    app.registry().checkpoint(&room.name).await?;
    let path = app.registry().log_directory(&room.name).join("tile").join(&tile);
    match tokio::fs::read(&path).await {
        Ok(bytes) => Ok(typed("application/octet-stream", bytes.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Problem::not_found()),
        Err(error) => Err(Problem::internal(&format!("{}: {error}", path.display()))),
    }
}

/// Entries, oldest first; those that are chosen. A choice looks at some thousand entries at once and may find none among them:
/// `next` is where to go on, and is null at the end of the log.
#[utoipa::path(get, path = "/v1/rooms/{room}/log/entries", tag = "log", params(("room" = String, Path, description = "name of the room"), Range),
    responses((status = 200, description = "`entries`, and `next`, the entry to go on `from`", body = Value),
        (status = 400, description = "a choice that cannot be read")))]
pub(super) async fn entries(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let Query(range) =
        range.map_err(|_| Problem::bad_request("the range of entries is not readable", "write `?from=0&limit=100`"))?;
    let limit = range.limit.unwrap_or(PAGE).min(LARGEST_PAGE);
    let choice = range.choice();
    let (lines, next) = if choice.is_all() {
        let entries = app.registry().log_entries(&room.name, range.from, limit).await?;
        let next = entries.last().map(|last| last.sequence.saturating_add(1));
        (entries.into_iter().map(|entry| entry.json).collect::<Vec<_>>(), next)
    } else {
        let wrong = |error: String| Problem::bad_request(error, "see `/docs` for the ways to choose entries");
        let filter = choice.filter().map_err(wrong)?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = Search::new(&app, &room, &filter).await?.forwards(range.from, most, &filter).await?;
        (found.entries.into_iter().map(|read| read.line).collect(), found.rest)
    };
    // Whoever goes on from behind the last entry finds nothing.
    let size = app.registry().log_size(&room.name).await?;
    let next = next.filter(|next| *next < size);
    let entries = lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<Vec<Value>, _>>()
        .map_err(|error| Problem::internal(&error.to_string()))?;
    Ok(Json(json!({ "entries": entries, "next": next })))
}

/// The proof that an entry is in the log (C2SP tlog-proof).
#[utoipa::path(get, path = "/v1/rooms/{room}/log/proof/{entry}", tag = "log",
    params(("room" = String, Path, description = "name of the room"), ("entry" = u64, Path, description = "number of the entry, from 0")),
    responses((status = 200, description = "a tlog-proof", body = String, content_type = "text/plain"), (status = 404, description = "no such entry")))]
pub(super) async fn proof(
    State(app): State<App>,
    caller: Caller,
    Path((room, entry)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let room = app.room(&caller, &room).await?;
    let entry: u64 = entry.parse().map_err(|_| Problem::not_found())?;
    Ok(text(app.registry().proof(&room.name, entry).await?))
}

/// A text that entries name by its SHA-256: SQL, parameters, plans, policies, templates. For partners with the ability `audit`;
/// schemas of tables are for nobody, since they name hidden columns.
#[utoipa::path(get, path = "/v1/rooms/{room}/log/blobs/{digest}", tag = "log",
    params(("room" = String, Path, description = "name of the room"), ("digest" = String, Path, description = "64 hexadecimal digits, in lower case")),
    responses((status = 200, description = "the text", body = String, content_type = "application/octet-stream"),
        (status = 403, description = "not the token of an auditor, or a schema"), (status = 404, description = "no entry names it")))]
pub(super) async fn blob(
    State(app): State<App>,
    caller: Caller,
    Path((room, digest)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    if !room.partner(&partner).is_some_and(|partner| partner.abilities.contains(&Ability::Audit)) {
        return Err(Problem::forbidden(
            "the texts behind the log's digests are for partners with the ability `audit`",
            "use an auditor's token, or have `audit` put among the partner's abilities in the room",
        ));
    }
    if !is_digest(&digest) {
        return Err(Problem::not_found());
    }
    match app.registry().named_text(&room.name, &digest).await? {
        None => Err(Problem::not_found()),
        Some(text) if text.is_schema => Err(Problem::forbidden(
            "the schema of a table names columns that its owner hides",
            "ask the owner; nothing else in the log follows from it",
        )),
        Some(text) => Ok(typed("application/octet-stream", text.content.into())),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn text(text: String) -> Response {
    typed(media::TEXT, Body::from(text))
}

fn typed(media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// Whether a path is one of tlog-tiles, and so cannot lead anywhere else.
fn is_tile(path: &str) -> bool {
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((level, rest)) = path.split_once('/') else {
        return false;
    };
    let level_fits = level == "entries" || (1..=2).contains(&level.len()) && digits(level, level.len());
    let (number, width_fits) = match rest.split_once(".p/") {
        None => (rest, true),
        Some((number, width)) => (number, (1..=3).contains(&width.len()) && digits(width, width.len())),
    };
    let mut groups = number.split('/').rev();
    let last_fits = groups.next().is_some_and(|last| digits(last, 3));
    level_fits
        && width_fits
        && last_fits
        && groups.all(|group| group.strip_prefix('x').is_some_and(|group| digits(group, 3)))
}

#[cfg(test)]
mod tests {
    use super::is_tile;

    #[test]
    fn only_tiles_are_served() {
        for tile in ["0/000", "0/x001/067", "63/001.p/12", "entries/000", "entries/x001/x234/067.p/255"] {
            assert!(is_tile(tile), "{tile}");
        }
        for other in [
            "",
            "0",
            "0/0",
            "0/../000",
            "../blobs",
            "entries/",
            "0/x001",
            "0/001.p/",
            "0/001.p/../1",
            "a/001",
            "0/001/002",
            "123/001",
        ] {
            assert!(!is_tile(other), "{other}");
        }
    }
}
