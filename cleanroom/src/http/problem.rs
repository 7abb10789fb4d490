//! What the server says when it does not do as asked: RFC 9457 problem documents.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cleanroom_policy::DocumentError;
use cleanroom_registry::{QueryId, RegistryError};
use cleanroom_vault::{Code, IngestError, Refusal, Unavailable};
use serde_json::{Map, Value, json};

use super::media;
use crate::fault::document_error_json;

/// A problem. It becomes a body when the response leaves, where the path it is about is known.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: String,
    title: String,
    detail: String,
    /// Members besides those of every problem; `error` among them where there is more to say of it.
    more: Map<String, Value>,
}

impl Problem {
    /// There is no such thing, or none that the caller may know of.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::Malformed,
            "there is nothing under this address that the token may see",
            "check the address and the token",
        )
    }

    pub(crate) fn method() -> Self {
        let help = "see /docs for the methods of each address";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Malformed, "the address does not know this method", help)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Code::NotAMember,
            "no valid token was shown",
            "send `Authorization: Bearer TOKEN` with a token of this server",
        )
    }

    pub(crate) fn forbidden(detail: &str, help: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::NotAMember, detail, help)
    }

    pub(crate) fn bad_request(detail: impl Into<String>, help: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Malformed, detail, help)
    }

    pub(super) fn conflict(detail: impl Into<String>, help: &str) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Malformed, detail, help)
    }

    pub(super) fn too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::Malformed,
            format!("the body is larger than {limit} bytes"),
            "send less, or ask the operator to raise the limit",
        )
    }

    pub(super) fn slow() -> Self {
        let help = "send the request again";
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::Malformed, "the body did not arrive in time", help)
    }

    /// The body is not of the media type `wanted`.
    pub(crate) fn media(wanted: &str) -> Self {
        let detail = format!("the body is not declared as {wanted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Malformed, detail, "set `Content-Type`")
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            Code::Malformed,
            "the result has none of the accepted forms",
            "accept application/json, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
        )
    }

    pub(crate) fn busy() -> Self {
        let help = "wait for running queries to end, then ask again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, "too many queries wait for an answer", help)
    }

    /// Everything that is wrong with a document.
    pub(super) fn documents(errors: &[DocumentError]) -> Self {
        let detail = errors.first().map(ToString::to_string).unwrap_or_default();
        let mut problem = Self::bad_request(detail, "");
        let list: Vec<Value> = errors.iter().map(document_error_json).collect();
        problem.add_to_error("errors", Value::Array(list));
        problem
    }

    /// What the vault says against a document with SQL in it.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let more = Map::from_iter([("error".to_owned(), refusal.to_json())]);
        let (code, title) = (refusal.code().as_str().to_owned(), refusal.code().title().to_owned());
        Self(Box::new(Parts {
            status: StatusCode::BAD_REQUEST,
            code,
            title,
            detail: refusal.detail().to_owned(),
            more,
        }))
    }

    /// An incident: outside an opaque id, the cause in the operator's log.
    pub(crate) fn internal(cause: &str) -> Self {
        let incident = QueryId::generate().map_or_else(|_| "unknown".to_owned(), |id| id.to_string());
        tracing::error!(incident, cause, "request failed");
        let detail = format!("the request failed; the operator finds the cause under incident {incident}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail, "")
    }

    /// A question that was not answered: `object` is the object of the contract.
    pub(super) fn unanswered(object: Map<String, Value>) -> Self {
        let error = object.get("error");
        let text =
            |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (code, title, detail) = (text("code"), text("title"), text("detail"));
        let status = Code::ALL
            .iter()
            .find(|known| known.as_str() == code)
            .and_then(|known| StatusCode::from_u16(known.http_status()).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Parts { status, code, title, detail, more: object }))
    }

    /// The stable code.
    pub(super) fn code(&self) -> &str {
        &self.0.code
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What is wrong, in a sentence, and what to do; empty where there is nothing.
    pub(crate) fn words(&self) -> (&str, &str) {
        let error = self.0.more.get("error");
        let help = error.and_then(|error| error.get("suggestion")).and_then(Value::as_str).unwrap_or_default();
        (&self.0.detail, help)
    }

    /// The response about `path`.
    pub(super) fn respond(&self, path: &str) -> Response {
        let mut body = Map::new();
        body.insert("type".to_owned(), json!(format!("urn:cleanroom:error:{}", self.0.code)));
        body.insert("title".to_owned(), json!(self.0.title));
        body.insert("status".to_owned(), json!(self.0.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.0.detail));
        body.insert("instance".to_owned(), json!(path));
        body.extend(self.0.more.clone());
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cleanroom\""));
        }
        if self.0.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    fn new(status: StatusCode, code: Code, detail: impl Into<String>, help: &str) -> Self {
        let detail = detail.into();
        let mut error = json!({ "code": code.as_str(), "title": code.title(), "detail": detail });
        if let Some(error) = error.as_object_mut()
            && !help.is_empty()
        {
            error.insert("suggestion".to_owned(), json!(help));
        }
        let more = Map::from_iter([("error".to_owned(), error)]);
        Self(Box::new(Parts { status, code: code.as_str().to_owned(), title: code.title().to_owned(), detail, more }))
    }

    fn add_to_error(&mut self, key: &str, value: Value) {
        if let Some(error) = self.0.more.get_mut("error").and_then(Value::as_object_mut) {
            error.insert(key.to_owned(), value);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        if error.is_for_witnesses() {
            let help = error.remedy();
            let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unwitnessed, error.public(), help);
            if let RegistryError::Unwitnessed { query, .. } = &error {
                problem.0.more.insert("query_id".to_owned(), json!(query.as_str()));
            }
            problem
        } else if error.is_not_found() {
            Self::not_found()
        } else if error.is_request() {
            Self::conflict(error.public(), error.remedy())
        } else {
            Self::internal(&error.to_string())
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::internal(&error.to_string())
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        if error.is_bad_source() {
            Self::bad_request(error.to_string(), "")
        } else {
            Self::internal(&error.to_string())
        }
    }
}
