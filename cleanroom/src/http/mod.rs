//! REST.
//!
//! A thin door: it knows who asks, hands the question to the vault and sends what was recorded. Nothing here sees a row
//! that was not released.

mod app;
pub(crate) mod asking;
mod auth;
pub(crate) mod body;
mod docs;
mod health;
mod keys;
mod listen;
mod log;
pub(crate) mod media;
mod metrics;
mod observe;
mod problem;
pub(crate) mod queries;
mod query_body;
pub(crate) mod rooms;
mod running;
pub(crate) mod search;
pub(crate) mod tables;
pub(crate) mod templates;
mod tokens;
mod upload;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use app::App;
pub(crate) use auth::Caller;
pub(crate) use listen::{serve, serve_router};
pub(crate) use problem::Problem;
pub(crate) use query_body::QueryBody;
pub(crate) use upload::prepare as prepare_uploads;

/// Everything the server answers.
fn router(app: App) -> Router {
    let room = Router::new()
        .route("/", put(rooms::put).get(rooms::get))
        .route("/tables", get(tables::list))
        .route("/tables/{table}", put(tables::put).get(tables::get))
        .route("/tables/{table}/data", put(tables::put_data))
        .route("/tables/{table}/policy", put(tables::put_policy).get(tables::get_policy))
        .route("/templates", get(templates::list))
        .route("/templates/{name}", put(templates::put).get(templates::get))
        .route("/catalog", get(queries::catalog))
        .route("/budgets", get(queries::budgets))
        .route("/queries", post(queries::post).get(queries::list))
        .route("/queries/{query}", get(queries::get).delete(queries::cancel))
        .route("/queries/{query}/result", get(queries::result))
        .route("/queries/{query}/receipt", get(queries::receipt))
        .route("/keys/{to}/{from}", put(keys::put).get(keys::get))
        .route("/log/checkpoint", get(log::checkpoint))
        .route("/log/checkpoints", get(log::checkpoints))
        .route("/log/key", get(log::key))
        .route("/log/tile/{*tile}", get(log::tile))
        .route("/log/entries", get(log::entries))
        .route("/log/blobs/{digest}", get(log::blob))
        .route("/log/proof/{entry}", get(log::proof));
    Router::new()
        .route("/v1/me", get(rooms::me))
        .route("/v1/rooms", get(rooms::list))
        .nest("/v1/rooms/{room}", room)
        .route("/v1/partners/{partner}/tokens", post(tokens::issue))
        .route("/v1/partners/{partner}/tokens/{token}", delete(tokens::revoke))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .merge(crate::console::router())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}
