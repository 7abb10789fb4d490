//! The body of a question, read strictly: what is not understood is refused, not ignored.

use std::collections::BTreeMap;
use std::fmt;

use cleanroom_vault::{Question, Spending};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;

/// A question: `sql` or `template`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryBody {
    /// One SELECT statement; `:name` in it stands for a parameter.
    #[serde(default)]
    sql: Option<String>,
    /// Name of a template of the room, instead of SQL.
    #[serde(default)]
    template: Option<String>,
    /// Values of the parameters: texts, numbers and booleans. A template gives them types; in SQL they have their own.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Object>>)]
    params: Option<Params>,
    /// Decide and price, read nothing.
    #[serde(default)]
    dry_run: Option<bool>,
    /// Epsilon to spend of the budgets, where policies ask for noise: at most what each lets one question spend, which it is
    /// where nothing is said.
    #[serde(default)]
    epsilon: Option<f64>,
    /// By the name of a column of the answer, how much of the epsilon to spend on it, beside 1 for each of the others.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, f64>>)]
    weights: Option<Params>,
}

/// Values by name, each name once.
#[derive(Debug, Default)]
struct Params(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // Which of two values was meant is not for the server to choose.
                    if values.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Params(values))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// What a body asks.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) params: BTreeMap<String, Value>,
    pub(crate) dry_run: bool,
    pub(crate) spending: Spending,
}

impl QueryBody {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Asked, Problem> {
        const HELP: &str = "send {\"sql\": \"SELECT ...\", \"params\": {}, \"dry_run\": false}, or `template` with a name instead of `sql`, and `epsilon` and `weights` where there is noise; each at most once and nothing else";
        // The parser's own words may repeat what was sent; a place is enough.
        let body: Self = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data => "is not a question",
                _ => "is not JSON in UTF-8",
            };
            Problem::bad_request(format!("the body {what}: line {line}, column {column}"), HELP)
        })?;
        let question = match (body.sql, body.template) {
            (Some(sql), None) => Question::Sql(sql),
            (None, Some(template)) => Question::Template(template),
            (Some(_), Some(_)) => return Err(Problem::bad_request("the body has both `sql` and `template`", HELP)),
            (None, None) => return Err(Problem::bad_request("the body has neither `sql` nor `template`", HELP)),
        };
        let params = body.params.unwrap_or_default().0;
        let weights = body.weights.unwrap_or_default().0;
        let weights = weights
            .into_iter()
            .map(|(name, weight)| {
                let weight = weight.as_f64();
                weight.map(|weight| (name, weight)).ok_or_else(|| Problem::bad_request("a weight is no number", HELP))
            })
            .collect::<Result<_, Problem>>()?;
        let spending = Spending { epsilon: body.epsilon, weights };
        Ok(Asked { question, params, dry_run: body.dry_run.unwrap_or(false), spending })
    }
}

impl Asked {
    /// What two requests under one idempotency key must have in common.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("cleanroom 2026-11 idempotent query request");
        hasher.update(&[u8::from(self.dry_run)]);
        let part = |hasher: &mut blake3::Hasher, text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        let (kind, text) = match &self.question {
            Question::Sql(sql) => ("sql", sql),
            Question::Template(name) => ("template", name),
        };
        part(&mut hasher, kind);
        part(&mut hasher, text);
        for (name, value) in &self.params {
            part(&mut hasher, name);
            part(&mut hasher, &value.to_string());
        }
        // Behind the parameters' names, which are none of these.
        if let Some(epsilon) = self.spending.epsilon {
            part(&mut hasher, "=epsilon");
            part(&mut hasher, &epsilon.to_string());
        }
        for (name, weight) in &self.spending.weights {
            part(&mut hasher, "=weight");
            part(&mut hasher, name);
            part(&mut hasher, &weight.to_string());
        }
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
        assert!(body.dry_run && body.params.is_empty());
        assert!(QueryBody::parse(br#"{"sql": "x", "params": null}"#).unwrap().params.is_empty());
        assert_eq!(QueryBody::parse(br#"{"sql": "x", "params": {"a": [1]}}"#).unwrap().params.len(), 1);
        let body = QueryBody::parse(br#"{"template": "reach"}"#).unwrap();
        assert_eq!(body.question, Question::Template("reach".to_owned()));
        for bad in [
            &br#"{"sql": "a", "sql": "b"}"#[..],
            br#"{"sql": "a", "dry_run": false, "dry_run": true}"#,
            br#"{"sql": "a", "dryrun": true}"#,
            br#"{"sql": "a"} {"sql": "b"}"#,
            br#"{"sql": 1}"#,
            br#"{"sql": "a", "dry_run": "yes"}"#,
            br#"{"sql": "a", "template": "b"}"#,
            br#"{"params": {}}"#,
            br#"{"sql": "a", "params": []}"#,
            br#"{"sql": "a", "params": {"a": 1, "a": 2}}"#,
            br#"{"sql": "a", "params": {"a": NaN}}"#,
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
    fn whatever_is_asked_differently_is_another_request() {
        let digest = |text: &[u8]| QueryBody::parse(text).unwrap().digest();
        assert_eq!(digest(br#"{"sql": "a"}"#), digest(br#"{"dry_run": false, "sql": "a", "params": {}}"#));
        let different: [&[u8]; 7] = [
            br#"{"sql": "a"}"#,
            br#"{"sql": "a", "dry_run": true}"#,
            br#"{"template": "a"}"#,
            br#"{"sql": "a", "params": {"a": 1}}"#,
            br#"{"sql": "a", "params": {"a": "1"}}"#,
            br#"{"sql": "a", "params": {"b": 1}}"#,
            br#"{"sql": "a", "params": {"a": 1, "b": 1}}"#,
        ];
        let digests: std::collections::BTreeSet<String> = different.iter().map(|body| digest(body)).collect();
        assert_eq!(digests.len(), different.len());
    }
}
