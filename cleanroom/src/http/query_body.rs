//! The body of a question, read strictly: what is not understood is refused, not ignored.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::problem::Problem;

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryBody {
    /// One SELECT statement.
    pub(super) sql: String,
    /// Values of a template's parameters; must be empty in this version.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    params: Option<BTreeMap<String, IgnoredAny>>,
    /// Decide and price, read nothing.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl QueryBody {
    /// Reads a body.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        // The parser's own words may repeat what was sent; a place is enough.
        serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data => "is not a question",
                _ => "is not JSON in UTF-8",
            };
            Problem::bad_request(
                format!("the body {what}: line {line}, column {column}"),
                "send {\"sql\": \"SELECT ...\", \"params\": {}, \"dry_run\": false}, each at most once and nothing else",
            )
        })
    }

    pub(super) fn dry_run(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }

    pub(super) fn has_parameters(&self) -> bool {
        self.params.as_ref().is_some_and(|params| !params.is_empty())
    }

    /// What two requests under one idempotency key must have in common.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("cleanroom 2026-11 idempotent query request");
        hasher.update(&[u8::from(self.dry_run())]);
        hasher.update(self.sql.as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_shape_is_read() {
        let body = QueryBody::parse(br#"{"sql": "SELECT 1", "params": {}, "dry_run": true}"#).unwrap();
        assert!(body.dry_run() && !body.has_parameters());
        assert!(!QueryBody::parse(br#"{"sql": "x", "params": null}"#).unwrap().has_parameters());
        assert!(QueryBody::parse(br#"{"sql": "x", "params": {"a": [1]}}"#).unwrap().has_parameters());
        for bad in [
            &br#"{"sql": "a", "sql": "b"}"#[..],
            br#"{"sql": "a", "dry_run": false, "dry_run": true}"#,
            br#"{"sql": "a", "dryrun": true}"#,
            br#"{"sql": "a"} {"sql": "b"}"#,
            br#"{"sql": 1}"#,
            br#"{"sql": "a", "dry_run": "yes"}"#,
            b"{\"sql\": \"\xff\"}",
            br#"{"sql": "\ud800"}"#,
            b"\xef\xbb\xbf{\"sql\": \"a\"}",
            b"[]",
            b"",
        ] {
            assert!(QueryBody::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_dry_run_is_another_request() {
        let digest = |text: &[u8]| QueryBody::parse(text).unwrap().digest();
        assert_ne!(digest(br#"{"sql": "a"}"#), digest(br#"{"sql": "a", "dry_run": true}"#));
        assert_eq!(digest(br#"{"sql": "a"}"#), digest(br#"{"dry_run": false, "sql": "a"}"#));
    }
}
