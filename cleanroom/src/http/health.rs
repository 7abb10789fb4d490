//! For whoever runs the server.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::app::App;
use super::problem::Problem;

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()), responses((status = 200, description = "it runs", body = String)))]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The server can record, so it can answer.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()), responses((status = 200, description = "it is ready", body = String), (status = 500, description = "it is not")))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.registry().rooms().await?;
    Ok("ready\n")
}

/// Counters in Prometheus' text form. No label comes from data or SQL.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()), responses((status = 200, description = "counters", body = String)))]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut response = app.metrics().text(app.running().count()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
