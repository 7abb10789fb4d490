//! The description of the interface, for programs and for people.

use std::fmt::Write as _;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{health, keys, log, media, queries, rooms, tables, templates, tokens};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cleanroom",
        description = "Several partners, one question, no rows handed over. Whatever is not done as asked is answered with a problem \
            document (RFC 9457) that carries `error`: `code`, `title`, `detail`, and where they are known `span`, `policy` and `suggestion`."
    ),
    paths(
        rooms::me, rooms::list, rooms::get, rooms::put, tables::list, tables::get, tables::put, tables::get_policy, tables::put_policy,
        tables::put_data, templates::list, templates::get, templates::put, queries::catalog, queries::budgets, queries::post, queries::list, queries::get,
        queries::result, queries::receipt, queries::cancel, log::checkpoint,
        log::checkpoints, log::key, log::tile, log::entries, log::blob, log::proof, keys::put, keys::get, tokens::issue, tokens::revoke,
        health::alive, health::ready, health::metrics,
    ),
    modifiers(&Bearer),
    security(("token" = [])),
)]
struct Interface;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("a token of a partner or administrator"))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

pub(super) async fn openapi() -> Response {
    let mut response = description().to_string().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media::JSON));
    response
}

pub(super) async fn page() -> Response {
    let mut response = html(&description()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
    response
}

fn description() -> Value {
    serde_json::to_value(Interface::openapi()).unwrap_or(Value::Null)
}

/// The description as one page without scripts.
fn html(description: &Value) -> String {
    let text = |value: Option<&Value>| escape(value.and_then(Value::as_str).unwrap_or_default());
    let info = description.get("info");
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>cleanroom</title><style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         code{{font-family:ui-monospace,monospace}}h2{{font-size:1.1rem;margin-top:2rem;border-top:1px solid #ccc;padding-top:1rem}}\
         td{{padding:.1rem 1rem .1rem 0;vertical-align:top}}</style><h1>cleanroom</h1><p>{}</p>\
         <p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a></p>",
        text(info.and_then(|info| info.get("description")))
    );
    for (path, methods) in description.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "<h2><code>{} {}</code></h2><p>{}</p><table>",
                escape(&method.to_uppercase()),
                escape(path),
                text(operation.get("summary").or(operation.get("description")))
            );
            for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
                let (name, what) = (text(parameter.get("name")), text(parameter.get("description")));
                let _ = write!(out, "<tr><td><code>{name}</code><td>{what}");
            }
            let body = operation.get("requestBody").and_then(|body| body.get("content")).and_then(Value::as_object);
            for media in body.into_iter().flat_map(|body| body.keys()) {
                let _ = write!(out, "<tr><td>body<td><code>{}</code>", escape(media));
            }
            for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
                let _ = write!(out, "<tr><td>{}<td>{}", escape(status), text(response.get("description")));
            }
            out.push_str("</table>");
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_contract_is_described() {
        let description = description();
        let paths = description.get("paths").unwrap().as_object().unwrap();
        for (path, method) in [
            ("/v1/rooms", "get"),
            ("/v1/rooms/{room}", "put"),
            ("/v1/rooms/{room}/tables/{table}", "put"),
            ("/v1/rooms/{room}/tables/{table}/data", "put"),
            ("/v1/rooms/{room}/tables/{table}/policy", "put"),
            ("/v1/rooms/{room}/templates", "get"),
            ("/v1/rooms/{room}/templates/{name}", "put"),
            ("/v1/rooms/{room}/templates/{name}", "get"),
            ("/v1/rooms/{room}/catalog", "get"),
            ("/v1/rooms/{room}/queries", "post"),
            ("/v1/rooms/{room}/queries/{query}", "delete"),
            ("/v1/rooms/{room}/queries/{query}/result", "get"),
            ("/v1/rooms/{room}/queries/{query}/receipt", "get"),
            ("/v1/rooms/{room}/keys/{to}/{from}", "put"),
            ("/v1/rooms/{room}/keys/{to}/{from}", "get"),
            ("/v1/rooms/{room}/budgets", "get"),
            ("/v1/rooms/{room}/log/checkpoint", "get"),
            ("/v1/rooms/{room}/log/tile/{tile}", "get"),
            ("/v1/rooms/{room}/log/entries", "get"),
            ("/v1/rooms/{room}/log/proof/{entry}", "get"),
            ("/v1/partners/{partner}/tokens", "post"),
            ("/healthz", "get"),
            ("/readyz", "get"),
            ("/metrics", "get"),
        ] {
            assert!(paths.get(path).is_some_and(|methods| methods.get(method).is_some()), "{method} {path}");
        }
    }

    #[test]
    fn the_page_has_every_address_and_no_script() {
        let page = html(&description());
        assert!(page.contains("<code>POST /v1/rooms/{room}/queries</code>"));
        assert!(!page.contains("<script"));
    }
}
