//! Questions and answers.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use cleanroom_registry::{IdempotencyState, QueryId, Role, TableBudget};
use cleanroom_vault::Request;
use serde_json::{Value, json};

use super::app::App;
use super::asking::{Begun, Earlier, at_work, earlier, show, start, stored};
use super::auth::Caller;
use super::problem::Problem;
use super::query_body::QueryBody;
use super::{body, media};
use crate::{listing, render};

/// How long a question is waited for before the client is told to come back, unless it says otherwise.
const WAIT: Duration = Duration::from_secs(10);
/// The longest a client may ask to wait.
const LONGEST_WAIT: u64 = 60;
/// The form of answers, as the log names it.
const FORM: &str = "json";
const KEY_BYTES: usize = 255;
const LISTED: u32 = 1000;

/// Tables and columns that the caller may ask about.
#[utoipa::path(get, path = "/v1/rooms/{room}/catalog", tag = "queries", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "`tables`", body = Value)))]
pub(crate) async fn catalog(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let catalog = app.vault().catalog(&room.name, &partner).await?;
    serde_json::to_value(catalog).map(Json).map_err(|error| Problem::internal(&error.to_string()))
}

/// What may be spent of the tables that have a privacy budget, what was, and what is left. An owner and an administrator see
/// who spent what, an analyst its own spending, an auditor what was spent together.
#[utoipa::path(get, path = "/v1/rooms/{room}/budgets", tag = "queries", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "`budgets`: each with `table`, `owner`, `space`, `refresh`, `period_ends`, `epsilon`, `delta`, `spent_epsilon`, `remaining_epsilon` (the least of all that counts for the caller), `lifetime`, `account`, `per_analyst`, `analysts`, `questions`, `runs_out`", body = Value)))]
pub(crate) async fn budgets(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let room = app.room(&caller, &room).await?;
    let viewer = match caller.role() {
        Role::Admin => None,
        Role::Member => Some(caller.partner().ok_or_else(Problem::not_found)?),
    };
    let budgets = app.registry().budgets(&room.name, viewer).await?;
    let budgets: Vec<Value> = budgets.iter().map(TableBudget::json).collect();
    Ok(Json(json!({ "budgets": budgets })))
}

/// Asks a question. The decision is in the signed log before it is sent.
#[utoipa::path(post, path = "/v1/rooms/{room}/queries", tag = "queries", request_body = QueryBody,
    params(("room" = String, Path, description = "name of the room"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body give the same stored answer"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, at most 60; the default is 10")),
    responses((status = 200, description = "answered: `query_id`, `outcome`, `columns`, `rows`, `notes`, `receipt`", body = Value),
        (status = 202, description = "still running; look at `Location`", body = Value), (status = 400, description = "not a question, or not SQL"),
        (status = 403, description = "the partner may not ask this"), (status = 409, description = "the key was used with another body"),
        (status = 422, description = "refused by policy"),
        (status = 503, description = "too busy; or, in a strict room (CR4205), answered and charged, and withheld until enough witnesses have cosigned the log over its record: ask for `query_id` again")))]
pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let (room, analyst) = app.member(&caller, &room).await?;
    media::must_be_json(&headers)?;
    let asked = QueryBody::parse(&body::bytes(content).await?)?;
    let wait = wait(&headers).unwrap_or(WAIT);
    let mut id = QueryId::generate()?;
    if let Some(key) = idempotency_key(&headers)? {
        match app.registry().reserve_key(&room.name, &analyst, &key, &asked.digest(), &id).await? {
            IdempotencyState::New => {}
            IdempotencyState::Same(known) => {
                if let Some(earlier) = earlier(&app, &room.name, &analyst, &known, wait, FORM).await? {
                    return earlier.again(&room.name, &known);
                }
                // Taken by a request that never came to its question.
                id = known;
            }
            IdempotencyState::Conflict => {
                return Err(Problem::conflict(
                    "the idempotency key was used with another request",
                    "use a new key for each question",
                ));
            }
        }
    }
    let request = Request {
        query_id: id.clone(),
        room: room.name.clone(),
        analyst: analyst.clone(),
        question: asked.question,
        params: asked.params,
        dry_run: asked.dry_run,
        spending: asked.spending,
        receiver: analyst.clone(),
    };
    match start(&app, request) {
        Begun::Answering(answer) => match tokio::time::timeout(wait, answer).await {
            Err(_) => Ok(at_work(&room.name, &id)),
            // Nothing was sent: the task was cancelled or failed, and the record tells how it ended.
            Ok(Err(_)) => match earlier(&app, &room.name, &analyst, &id, wait, FORM).await? {
                Some(earlier) => earlier.again(&room.name, &id),
                None => Err(Problem::internal("a query ended without a record")),
            },
            Ok(Ok(answer)) => show(&answer?),
        },
        Begun::Already => match earlier(&app, &room.name, &analyst, &id, wait, FORM).await? {
            Some(earlier) => earlier.again(&room.name, &id),
            None => Ok(at_work(&room.name, &id)),
        },
        Begun::TooMany => Err(Problem::busy()),
    }
}

/// The caller's own questions, newest first.
#[utoipa::path(get, path = "/v1/rooms/{room}/queries", tag = "queries", params(("room" = String, Path, description = "name of the room")),
    responses((status = 200, description = "`queries`", body = Value)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(room): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let records = app.registry().queries(&room.name, Some(&partner), LISTED).await?;
    Ok(Json(json!({ "queries": records.iter().map(listing::query).collect::<Vec<_>>() })))
}

/// One of the caller's own questions: how it ended, or 202 while it runs.
#[utoipa::path(get, path = "/v1/rooms/{room}/queries/{query}", tag = "queries",
    params(("room" = String, Path, description = "name of the room"), ("query" = String, Path, description = "id of the query"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`, at most 60; the default is not to wait")),
    responses((status = 200, description = "the answer or refusal, as when it was asked", body = Value), (status = 202, description = "still running", body = Value),
        (status = 404, description = "no such query of the caller"), (status = 503, description = "in a strict room: not enough witnesses have cosigned the log over its record yet")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((room, query)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let id = QueryId::parse(&query).ok_or_else(Problem::not_found)?;
    let wait = wait(&headers).unwrap_or(Duration::ZERO);
    match earlier(&app, &room.name, &partner, &id, wait, FORM).await?.ok_or_else(Problem::not_found)? {
        Earlier::AtWork => Ok(at_work(&room.name, &id)),
        // Reading a refusal is no error, however the asking ended.
        Earlier::Ended(answer) => Ok(Json(answer.to_json()?).into_response()),
    }
}

/// The rows of an answer. The log says that they were delivered before they are sent.
#[utoipa::path(get, path = "/v1/rooms/{room}/queries/{query}/result", tag = "queries",
    params(("room" = String, Path, description = "name of the room"), ("query" = String, Path, description = "id of the query"),
        ("Accept" = Option<String>, Header, description = "application/json, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet")),
    responses((status = 200, description = "the rows", body = Value), (status = 404, description = "no such query of the caller"),
        (status = 406, description = "none of the accepted forms"), (status = 409, description = "the query has no rows"),
        (status = 503, description = "in a strict room: not enough witnesses have cosigned the log over its record yet")))]
pub(crate) async fn result(
    State(app): State<App>,
    caller: Caller,
    Path((room, query)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let id = QueryId::parse(&query).ok_or_else(Problem::not_found)?;
    let form = media::accepted(&headers, &[media::JSON, media::CSV, media::ARROW, media::PARQUET])
        .ok_or_else(Problem::not_acceptable)?;
    let answer = stored(&app, &room.name, &partner, &id).await?.ok_or_else(Problem::not_found)?;
    let none = || Problem::conflict("the query has no rows to deliver", "read the query itself for its outcome");
    let answer = answer.ok_or_else(none)?;
    let batch = answer.batch().ok_or_else(none)?;
    let broken = |error: String| Problem::internal(&format!("result of query {id}: {error}"));
    let (name, bytes) = match form {
        media::CSV => ("csv", render::to_csv(batch).map_err(|error| broken(error.to_string()))?),
        media::ARROW => ("arrow", render::to_arrow(batch).map_err(|error| broken(error.to_string()))?),
        media::PARQUET => ("parquet", render::to_parquet(batch).map_err(|error| broken(error.to_string()))?),
        _ => ("json", answer.to_json()?.to_string().into_bytes()),
    };
    app.registry().delivered(&room.name, &id, &partner, name).await?;
    let mut response = Response::new(Body::from(bytes));
    if let Ok(form) = HeaderValue::from_str(form) {
        response.headers_mut().insert(CONTENT_TYPE, form);
    }
    Ok(response)
}

/// The receipt of one of the caller's own questions: a C2SP tlog-proof that its end is in the log. Its `extra` data is JSON with
/// the `entry` and, of an answer, the `nonce` that binds the answer to it. Its checkpoint carries the cosignatures of witnesses, as
/// far as the server has them.
#[utoipa::path(get, path = "/v1/rooms/{room}/queries/{query}/receipt", tag = "queries",
    params(("room" = String, Path, description = "name of the room"), ("query" = String, Path, description = "id of the query")),
    responses((status = 200, description = "a `c2sp.org/tlog-proof@v1` file", body = String, content_type = "text/plain"),
        (status = 404, description = "no such query of the caller"), (status = 409, description = "the query has not ended"),
        (status = 503, description = "in a strict room: not enough witnesses have cosigned the log over its record yet")))]
pub(crate) async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Path((room, query)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let id = QueryId::parse(&query).ok_or_else(Problem::not_found)?;
    let answer = stored(&app, &room.name, &partner, &id).await?.ok_or_else(Problem::not_found)?;
    let running = || Problem::conflict("the query has not ended", "wait for its outcome");
    let proof = answer.ok_or_else(running)?.proof().to_owned();
    let mut response = Response::new(Body::from(proof));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// Cancels a question that runs.
#[utoipa::path(delete, path = "/v1/rooms/{room}/queries/{query}", tag = "queries",
    params(("room" = String, Path, description = "name of the room"), ("query" = String, Path, description = "id of the query")),
    responses((status = 202, description = "cancelled; look at `Location` for its record", body = Value),
        (status = 404, description = "no such query of the caller"), (status = 409, description = "it has ended")))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path((room, query)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (room, partner) = app.member(&caller, &room).await?;
    let id = QueryId::parse(&query).ok_or_else(Problem::not_found)?;
    if app.running().holds(&id, &room.name, &partner) {
        app.running().cancel(&id);
        return Ok(at_work(&room.name, &id));
    }
    // Of its answer nothing is told, so that none has to be there yet, nor witnesses asked about it.
    let record = app.registry().query(&room.name, &id).await?.filter(|record| record.analyst == partner);
    record.ok_or_else(Problem::not_found)?;
    Err(Problem::conflict("the query has ended, or another server is at work on it", "read it for its outcome"))
}

/// RFC 7240 `Prefer: wait=SECONDS`.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("prefer")?.to_str().ok()?;
    let seconds = prefer.split([',', ';']).find_map(|part| part.trim().strip_prefix("wait="))?;
    seconds.parse::<u64>().ok().map(|seconds| Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => match key.to_str() {
            Ok(key) if (1..=KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
            _ => Err(Problem::bad_request(
                "the idempotency key is not usable",
                "send 1 to 255 printable ASCII characters",
            )),
        },
        _ => Err(Problem::bad_request("there are two idempotency keys", "send one")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_how_long_it_waits() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", text.parse().unwrap());
            super::wait(&headers)
        };
        assert_eq!(wait("wait=3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("respond-async, wait=0"), Some(Duration::ZERO));
        assert_eq!(wait("wait=99999"), Some(Duration::from_secs(LONGEST_WAIT)));
        assert_eq!(wait("wait=soon"), None);
    }

    #[test]
    fn an_idempotency_key_is_one_short_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers).unwrap(), None);
        headers.insert("idempotency-key", "a b".parse().unwrap());
        assert_eq!(idempotency_key(&headers).unwrap().as_deref(), Some("a b"));
        headers.append("idempotency-key", "c".parse().unwrap());
        assert!(idempotency_key(&headers).is_err());
        headers.insert("idempotency-key", "x".repeat(256).parse().unwrap());
        assert!(idempotency_key(&headers).is_err());
    }
}
