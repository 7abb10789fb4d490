//! Signing in and out.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use serde::Deserialize;

use super::form::{Fields, Sent};
use super::go_to;
use super::guard::{Address, must_be_own};
use super::page::{Failed, Page};
use super::session::{Visitor, cookie, id_in};
use crate::http::{App, Problem};

/// Longest token that is looked at; tokens are far shorter.
const TOKEN_BYTES: usize = 512;
/// Longest address that is gone back to.
const THEN_BYTES: usize = 2048;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Then {
    /// Where to go once signed in.
    #[serde(default)]
    then: String,
}

/// The page to sign in on.
pub(super) async fn form(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    then: Result<Query<Then>, QueryRejection>,
) -> Result<Response, Failed> {
    if Visitor::of(&app, &headers, &uri).await?.is_some() {
        return Ok(go_to("/console"));
    }
    let then = then.map(|Query(then)| then.then).unwrap_or_default();
    Ok(page(&then, false))
}

fn page(then: &str, wrong: bool) -> Response {
    let content = html! {
        @if wrong {
            p #wrong .notice.bad role="alert" { "This token opens nothing: it is mistyped, has expired or was revoked." }
        }
        form.sheet method="post" action="/console/sign-in" {
            @if let Some(then) = inside(then) { input type="hidden" name="then" value=(then); }
            div.field {
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password" spellcheck="false" maxlength=(TOKEN_BYTES)
                    aria-describedby=(if wrong { "wrong help" } else { "help" }) aria-invalid=[wrong.then_some("true")];
                p #help .help { "The bearer token of your organisation, as the administrator issued it. It begins with " code { "crs_" } "." }
            }
            button type="submit" { "Sign in" }
        }
        p.help { "A session ends after 30 minutes without use, after 8 hours, and with its token." }
    };
    let status = if wrong { StatusCode::FORBIDDEN } else { StatusCode::OK };
    Page::open("Sign in").status(status).show(&content)
}

/// A page of the console to go to, and nothing else: no other host, no header.
fn inside(path: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>');
    let console = path == "/console" || path.starts_with("/console/");
    let fits = console && path.len() <= THEN_BYTES && path.bytes().all(plain) && !path.contains("//");
    fits.then_some(path)
}

/// Begins a session for whoever shows a token.
pub(super) async fn sign_in(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Failed> {
    must_be_own(&headers, &uri)?;
    let fields = Fields::read(&headers, content).await?;
    let token = fields.get("token").trim();
    let identity = match token.len() <= TOKEN_BYTES {
        true => app.registry().authenticate(token).await?,
        false => None,
    };
    let Some(identity) = identity else { return Ok(page(fields.get("then"), true)) };
    let address = Address::of(&headers, &uri).ok_or_else(Problem::not_found)?;
    // What the browser was signed in as before ends: an id is never used for two sessions.
    if let Some(before) = id_in(&headers, &address) {
        app.console().end(&before);
    }
    let id = app.console().begin(&identity.token_id)?;
    Ok(with_cookie(go_to(inside(fields.get("then")).unwrap_or("/console")), &cookie(&address, Some(&id))))
}

/// Ends the session.
pub(super) async fn sign_out(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    _sent: Sent,
) -> Result<Response, Failed> {
    let address = Address::of(&headers, &uri).ok_or_else(Problem::not_found)?;
    if let Some(id) = id_in(&headers, &address) {
        app.console().end(&id);
    }
    Ok(with_cookie(go_to("/console/sign-in"), &cookie(&address, None)))
}

fn with_cookie(response: Response, cookie: &str) -> Response {
    let mut response = response.into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn signing_in_leads_to_the_console_only() {
        for path in ["/console", "/console/rooms/a", "/console/rooms/a/log?type=query.intent&from=2026-01-01T10%3A00"] {
            assert_eq!(inside(path), Some(path));
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "/console//evil.example",
            "/consolex",
            "https://evil.example/console/",
            "/console/\\evil",
            "/console/\r\nx: y",
        ] {
            assert_eq!(inside(path), None, "{path}");
        }
    }
}
