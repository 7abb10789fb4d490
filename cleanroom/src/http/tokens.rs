//! Tokens.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use cleanroom_policy::PartnerName;
use cleanroom_registry::Role;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::app::App;
use super::auth::Caller;
use super::problem::Problem;
use super::{body, media};
use crate::listing::moment;

const LABEL_BYTES: usize = 100;

/// What a token is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// `member` (the default) or `admin`.
    role: Option<RoleWord>,
    /// What it is for, for people.
    label: Option<String>,
    /// Days until it ends; it does not end where this is left out.
    expires_in_days: Option<u32>,
}

/// A role.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    Member,
    Admin,
}

/// Makes a token for a partner. Its secret is shown this once.
#[utoipa::path(post, path = "/v1/partners/{partner}/tokens", tag = "tokens", request_body = TokenBody,
    params(("partner" = String, Path, description = "name of the partner")),
    responses((status = 201, description = "`id` and `token`", body = Value), (status = 403, description = "not an administrator")))]
pub(super) async fn issue(
    State(app): State<App>,
    caller: Caller,
    Path(partner): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.must_be_admin()?;
    let partner = PartnerName::new(&partner)
        .map_err(|error| Problem::bad_request(error.to_string(), "correct the partner's name in the address"))?;
    let bytes = body::bytes(content).await?;
    let wanted = if bytes.is_empty() {
        TokenBody::default()
    } else {
        media::must_be_json(&headers)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Problem::bad_request(
                format!("the body does not describe a token: line {}, column {}", error.line(), error.column()),
                "send {\"role\": \"member\", \"label\": \"...\", \"expires_in_days\": 90}, or nothing",
            )
        })?
    };
    let label = wanted.label.unwrap_or_default();
    if label.len() > LABEL_BYTES {
        return Err(Problem::bad_request("the label is longer than 100 bytes", "shorten it"));
    }
    let expires = wanted
        .expires_in_days
        .map(|days| {
            let end = OffsetDateTime::now_utc().checked_add(Duration::days(days.into()));
            end.ok_or_else(|| Problem::bad_request("the token would end too far in the future", "give fewer days"))
        })
        .transpose()?;
    let role = match wanted.role {
        Some(RoleWord::Admin) => Role::Admin,
        Some(RoleWord::Member) | None => Role::Member,
    };
    let issued = app.registry().issue_token(&partner, role, &label, expires, &caller.actor()).await?;
    let shown = json!({
        "id": issued.id, "token": issued.secret, "partner": partner.as_str(), "role": role.as_str(), "expires": expires.map(moment),
    });
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Ends a token.
#[utoipa::path(delete, path = "/v1/partners/{partner}/tokens/{token}", tag = "tokens",
    params(("partner" = String, Path, description = "name of the partner"), ("token" = String, Path, description = "id of the token")),
    responses((status = 204, description = "it has ended"), (status = 403, description = "not an administrator"), (status = 404, description = "no such token")))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((_partner, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.must_be_admin()?;
    app.registry().revoke_token(&token, &caller.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
