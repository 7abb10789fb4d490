//! The console: pages for people, served at `/console`.
//!
//! Another thin door. Whoever signs in shows a token, and sees what the token may see over REST: the handlers of [`crate::http`]
//! decide on that, here they are only put into words. There is no script; pages are links and forms.

mod answer;
mod ask;
mod catalog;
mod chart;
mod codes;
mod entry;
mod form;
mod guard;
mod page;
mod queries;
mod rooms;
mod session;
mod sign;
mod spending;
mod statement;
mod table;
mod tables;
mod timeline;
mod verify;

use std::any::Any;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use session::Console;

use crate::console::page::Failed;
use crate::http::{App, Problem};

/// Nothing but this server's own stylesheet is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

/// The pages.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/console", get(rooms::list))
        .route("/console/", get(rooms::list))
        .route("/console/style.css", get(style))
        .route("/console/sign-in", get(sign::form).post(sign::sign_in))
        .route("/console/sign-out", post(sign::sign_out))
        .route("/console/codes/{code}", get(codes::page))
        .route("/console/rooms/{room}", get(rooms::page))
        .route("/console/rooms/{room}/tables", get(tables::page))
        .route("/console/rooms/{room}/tables/{table}", get(table::page))
        .route("/console/rooms/{room}/catalog", get(catalog::page))
        .route("/console/rooms/{room}/budgets", get(spending::page))
        .route("/console/rooms/{room}/ask", get(ask::form).post(ask::ask))
        .route("/console/rooms/{room}/queries", get(queries::list))
        .route("/console/rooms/{room}/queries/{query}", get(queries::page))
        .route("/console/rooms/{room}/queries/{query}/cancel", post(queries::cancel))
        .route("/console/rooms/{room}/queries/{query}/{file}", get(queries::file))
        .route("/console/rooms/{room}/log", get(timeline::page))
        .route("/console/rooms/{room}/log/checkpoint", get(verify::page))
        .route("/console/rooms/{room}/log/verify", post(verify::now))
        .route("/console/rooms/{room}/log/{entry}", get(entry::page))
        .route("/console/{*rest}", any(nowhere))
        .method_not_allowed_fallback(|| async { Failed::from(Problem::method()) })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(headers))
}

async fn style() -> Response {
    let mut response = include_str!("style.css").into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response
}

async fn nowhere() -> Failed {
    Failed::from(Problem::not_found())
}

/// What it said stays inside: it may hold anything.
fn panicked(_said: Box<dyn Any + Send + 'static>) -> Response {
    Failed::from(Problem::internal("a page of the console panicked")).into_response()
}

/// The headers that every response of the console has, whatever made it.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// To another page, by GET.
fn go_to(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(axum::http::header::LOCATION, path);
    }
    response
}
