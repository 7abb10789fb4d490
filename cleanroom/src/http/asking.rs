//! Putting a question to the vault, and finding again what became of it.

use std::time::Duration;

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cleanroom_policy::{PartnerName, RoomName};
use cleanroom_registry::QueryId;
use cleanroom_vault::Request;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::app::App;
use super::problem::Problem;
use super::running::Start;
use crate::answer::Answer;

/// What is known of a question that was asked before.
pub(crate) enum Earlier {
    /// It has not ended.
    AtWork,
    /// How it ended.
    Ended(Box<Answer>),
}

impl Earlier {
    /// The response to whoever asks the question again: the one that the question had.
    pub(super) fn again(&self, room: &RoomName, id: &QueryId) -> Result<Response, Problem> {
        match self {
            Self::AtWork => Ok(at_work(room, id)),
            Self::Ended(answer) => show(answer),
        }
    }
}

/// What became of putting a question to the vault.
pub(crate) enum Begun {
    /// Its answer will come this way; where nothing comes, the record tells.
    Answering(oneshot::Receiver<Result<Answer, Problem>>),
    /// It is at work already.
    Already,
    /// The partner has too many at work.
    TooMany,
}

/// Puts a question to the vault in a task of its own: a client that goes away does not stop what must be recorded.
pub(crate) fn start(app: &App, request: Request) -> Begun {
    let id = request.query_id.clone();
    let ticket = match app.running().start(&id, &request.room, &request.analyst) {
        Start::Started(ticket) => ticket,
        Start::Already => return Begun::Already,
        Start::TooMany => return Begun::TooMany,
    };
    let (send, answer) = oneshot::channel();
    let (cancel, cancelled) = oneshot::channel();
    let shared = app.clone();
    let room = request.room.clone();
    let task = tokio::spawn(async move {
        let id = request.query_id.clone();
        let answer = decide(&shared, request, cancelled).await;
        match &answer {
            Ok(answer) => {
                let outcome = answer.outcome();
                let code = answer.code();
                shared.metrics().query(outcome, code);
                tracing::info!(query = %id, %room, outcome, code, "query ended");
            }
            Err(problem) => shared.metrics().query("unavailable", problem.code()),
        }
        // Whoever asked may have gone; the record stays.
        let _ = send.send(answer);
        ticket.end();
    });
    app.running().cancellable(&id, cancel, task.abort_handle());
    Begun::Answering(answer)
}

async fn decide(app: &App, request: Request, cancelled: oneshot::Receiver<()>) -> Result<Answer, Problem> {
    let cancelled = async {
        // No longer listed, it can no longer be cancelled.
        if cancelled.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let decision = app.vault().answer_unless(request, cancelled).await?;
    Ok(Answer::decided(decision, app.registry()).await?)
}

/// What is known of a question asked before: its answer, or that it is at work; `None` where nothing is known of it.
/// Rows are handed out in `form`, and the log says so.
pub(crate) async fn earlier(
    app: &App,
    room: &RoomName,
    analyst: &PartnerName,
    id: &QueryId,
    wait: Duration,
    form: &str,
) -> Result<Option<Earlier>, Problem> {
    if app.running().holds(id, room, analyst) && tokio::time::timeout(wait, app.running().ended(id)).await.is_err() {
        return Ok(Some(Earlier::AtWork));
    }
    match stored(app, room, analyst, id).await? {
        None => Ok(None),
        Some(None) => Ok(Some(Earlier::AtWork)),
        Some(Some(answer)) => {
            if answer.batch().is_some() {
                app.registry().delivered(room, id, analyst, form).await?;
            }
            Ok(Some(Earlier::Ended(Box::new(answer))))
        }
    }
}

/// The record of one of the caller's own questions; inside, `None` while it runs.
pub(super) async fn stored(
    app: &App,
    room: &RoomName,
    analyst: &PartnerName,
    id: &QueryId,
) -> Result<Option<Option<Answer>>, Problem> {
    match app.registry().query(room, id).await? {
        Some(record) if record.analyst == *analyst => Ok(Some(Answer::stored(record, app.registry()).await?)),
        _ => Ok(None),
    }
}

/// The response to whoever asked: the object of the contract, as a problem where the question was not answered.
pub(super) fn show(answer: &Answer) -> Result<Response, Problem> {
    let object = answer.to_json()?;
    match object {
        Value::Object(object) if answer.outcome() != "released" => Err(Problem::unanswered(object)),
        object => Ok(Json(object).into_response()),
    }
}

/// 202, and where to look.
pub(super) fn at_work(room: &RoomName, id: &QueryId) -> Response {
    let mut response =
        (StatusCode::ACCEPTED, Json(json!({ "query_id": id.as_str(), "status": "running" }))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/rooms/{room}/queries/{id}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
