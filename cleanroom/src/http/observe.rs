//! Around every request: its id, its line in the operator's log, its count, and the last touch of its response.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cleanroom_registry::QueryId;

use super::app::App;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method(request.method());
    let path = request.uri().path().to_owned();
    // The pattern of the route, not the address: an address holds names.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let id = QueryId::generate().map_or_else(|_| String::new(), |id| id.to_string());

    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Arc<Problem>>();
    if let Some(problem) = &problem {
        response = problem.respond(&path);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }

    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.metrics().request(method, &route, status, took);
    let code = problem.as_ref().map(|problem| problem.code());
    tracing::info!(request = id, method, route, status, code, took = coarse(took), "request");
    response
}

/// What a handler that panicked is answered with. What it said stays inside: it may hold anything.
pub(super) fn panicked(_said: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal("a handler panicked").into_response()
}

/// A duration no finer than an operator needs.
fn coarse(took: Duration) -> &'static str {
    match took.as_millis() {
        0..100 => "under 100 ms",
        100..1_000 => "under 1 s",
        1_000..10_000 => "under 10 s",
        10_000..60_000 => "under 1 min",
        _ => "over 1 min",
    }
}

/// Known methods only: a client may send any word as a method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "OTHER",
    }
}
