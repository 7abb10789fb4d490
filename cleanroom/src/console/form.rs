//! Forms that were sent: from a page of this console, by whoever is signed in.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use super::go_to;
use super::guard::must_be_own;
use super::page::Failed;
use super::session::Visitor;
use crate::http::{App, Problem, body};

const FORM: &str = "application/x-www-form-urlencoded";
/// The field that every form carries.
pub(super) const TOKEN: &str = "form_token";

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a form's body; a field stands once.
    pub(super) async fn read(headers: &HeaderMap, content: Body) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(Problem::media(FORM));
        }
        Self::parse(&body::bytes(content).await?)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Problem::bad_request("a field of the form stands twice", "send the form again"));
            }
            // Browsers send line ends as two characters; places in a statement are told in those that were written.
            fields.push((name.into_owned(), value.replace("\r\n", "\n")));
        }
        Ok(Self(fields))
    }

    /// Fields whose names begin so, by the rest of their names.
    pub(super) fn starting(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A field's text; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A form of somebody who is signed in.
pub(super) struct Sent {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

impl FromRequest<App> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let failed = |problem: Problem| Failed::from(problem).into_response();
        let (parts, content) = request.into_parts();
        must_be_own(&parts.headers, &parts.uri).map_err(failed)?;
        let visitor = Visitor::of(app, &parts.headers, &parts.uri).await.map_err(failed)?;
        let visitor = visitor.ok_or_else(|| go_to("/console/sign-in"))?;
        let fields = Fields::read(&parts.headers, content).await.map_err(failed)?;
        if !visitor.sent(fields.get(TOKEN)) {
            return Err(failed(Problem::forbidden(
                "the form is not of this session",
                "go back, load the page again and send its form",
            )));
        }
        Ok(Self { visitor, fields })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_once() {
        let fields = Fields::parse(b"sql=SELECT+1%0D%0AFROM+t&do=ask").unwrap();
        assert_eq!((fields.get("sql"), fields.get("do"), fields.get("none")), ("SELECT 1\nFROM t", "ask", ""));
        assert!(Fields::parse(b"a=1&a=2").is_err());
    }
}
