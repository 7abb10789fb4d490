//! Who asks.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use cleanroom_policy::PartnerName;
use cleanroom_registry::{Actor, Door, Identity, Role};

use super::app::App;
use super::problem::Problem;

/// Longest header that is looked at; tokens are far shorter.
const HEADER_BYTES: usize = 512;

/// Whoever showed a valid token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    identity: Identity,
}

impl Caller {
    /// Whoever has shown the token of an identity.
    pub(crate) fn of(identity: Identity) -> Self {
        Self { identity }
    }

    /// The partner the token is of; `None` for the administrator of the first start.
    pub(crate) fn partner(&self) -> Option<&PartnerName> {
        self.identity.partner.as_ref()
    }

    pub(crate) fn role(&self) -> Role {
        self.identity.role
    }

    /// As the log names it.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            partner: self.identity.partner.clone(),
            token_id: Some(self.identity.token_id.clone()),
            door: Door::Rest,
        }
    }

    /// Refuses everybody but the administrator.
    pub(super) fn must_be_admin(&self) -> Result<(), Problem> {
        if self.role() == Role::Admin {
            Ok(())
        } else {
            Err(Problem::forbidden("only an administrator may do this", "use an administrator's token"))
        }
    }

    /// Refuses everybody but the owner of a table.
    pub(super) fn must_own(&self, owner: &PartnerName) -> Result<(), Problem> {
        if self.partner() == Some(owner) && self.role() == Role::Member {
            Ok(())
        } else {
            Err(Problem::forbidden("only the owner of the table may do this", "use a token of the table's owner"))
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        // One answer for every token that does not work: nothing tells an expired one from one that never was.
        let (Some(header), None) = (headers.next(), headers.next()) else {
            return Err(Problem::unauthorized());
        };
        let token = header
            .to_str()
            .ok()
            .filter(|text| text.len() <= HEADER_BYTES)
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let identity = match token {
            Some(token) => app.registry().authenticate(token).await?,
            None => None,
        };
        identity.map(Self::of).ok_or_else(Problem::unauthorized)
    }
}
