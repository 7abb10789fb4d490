//! Sessions: who is signed in.
//!
//! A session is of one token, and lasts no longer than it: every request looks whether the token still stands. Sessions are in
//! memory alone; after a restart everybody signs in again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Response};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::go_to;
use super::guard::Address;
use super::page::Failed;
use crate::http::{App, Caller, Problem};

/// However much it is used, a session ends.
const LONGEST: Duration = Duration::from_secs(8 * 60 * 60);
/// A session that is not used ends.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Sessions of one token; a further one ends the one that was not used for longest.
const PER_TOKEN: usize = 16;
/// Characters of a session's id, and of whatever else [`random`] makes.
pub(super) const ID_LENGTH: usize = 64;

/// The cookie where there is TLS. The prefix makes browsers refuse it from anywhere but this very host (RFC 6265bis 4.1.3.2);
/// it asks for the path `/`.
const OVER_TLS: &str = "__Host-cleanroom";
/// The cookie on the machine itself, without TLS.
const LOCAL: &str = "cleanroom";

/// The console's state.
pub(crate) struct Console {
    sessions: Mutex<HashMap<Key, Session>>,
    /// A verification reads the whole log; one at a time.
    pub(super) verifying: Arc<Semaphore>,
}

/// The hash of a session's id: what is looked up tells nothing of what was sent, and the id itself is kept nowhere.
type Key = [u8; 32];

struct Session {
    token_id: String,
    csrf: String,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.begun) < LONGEST && now.duration_since(self.used) < IDLE
    }
}

impl Default for Console {
    fn default() -> Self {
        Self { sessions: Mutex::default(), verifying: Arc::new(Semaphore::new(1)) }
    }
}

impl Console {
    /// Begins a session and gives its id, which is the cookie's value.
    pub(super) fn begin(&self, token_id: &str) -> Result<String, Problem> {
        let (id, csrf, now) = (random()?, random()?, Instant::now());
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.lasts(now));
        let of_token = sessions.iter().filter(|(_, session)| session.token_id == token_id);
        if of_token.clone().count() >= PER_TOKEN
            && let Some(oldest) = of_token.min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(key(&id), Session { token_id: token_id.to_owned(), csrf, begun: now, used: now });
        Ok(id)
    }

    /// Ends the session that a cookie names, if there is one.
    pub(super) fn end(&self, id: &str) {
        self.lock().remove(&key(id));
    }

    /// The token and the form token of a session that lasts.
    fn find(&self, id: &str) -> Option<(String, String)> {
        let (mut sessions, now) = (self.lock(), Instant::now());
        let session = sessions.get_mut(&key(id)).filter(|session| session.lasts(now))?;
        session.used = now;
        Some((session.token_id.clone(), session.csrf.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Session>> {
        // The map is whole after every statement that holds it, so a panic elsewhere does not spoil it.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(id: &str) -> Key {
    *blake3::hash(id.as_bytes()).as_bytes()
}

/// 256 random bits in hexadecimal.
pub(super) fn random() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Problem::internal("the system gives no random numbers"))?;
    Ok(hex::encode(bytes))
}

/// The `Set-Cookie` of a session that begins, or ends where `id` is `None`.
pub(super) fn cookie(address: &Address, id: Option<&str>) -> String {
    let (name, scope) = match address.is_local() {
        true => (LOCAL, "Path=/console"),
        false => (OVER_TLS, "Path=/; Secure"),
    };
    match id {
        Some(id) => format!("{name}={id}; {scope}; HttpOnly; SameSite=Strict"),
        None => format!("{name}=; {scope}; HttpOnly; SameSite=Strict; Max-Age=0"),
    }
}

/// The session's id in a request's cookie: of the name that belongs to the address, and one only.
pub(super) fn id_in(headers: &HeaderMap, address: &Address) -> Option<String> {
    let wanted = if address.is_local() { LOCAL } else { OVER_TLS };
    let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut found = cookies
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(id), None) if id.len() == ID_LENGTH => Some(id.to_owned()),
        _ => None,
    }
}

/// Whoever is signed in.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    csrf: String,
}

impl Visitor {
    /// Who shows a request's cookie; `None` for nobody that is signed in.
    pub(super) async fn of(app: &App, headers: &HeaderMap, uri: &axum::http::Uri) -> Result<Option<Self>, Problem> {
        let Some(id) = Address::of(headers, uri).and_then(|address| id_in(headers, &address)) else { return Ok(None) };
        let Some((token_id, csrf)) = app.console().find(&id) else { return Ok(None) };
        match app.registry().standing_token(&token_id).await? {
            Some(identity) => Ok(Some(Self { caller: Caller::of(identity), csrf })),
            None => {
                app.console().end(&id);
                Ok(None)
            }
        }
    }

    /// The token that this visitor's forms carry.
    pub(super) fn form_token(&self) -> &str {
        &self.csrf
    }

    /// Whether a form carried it.
    pub(super) fn sent(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The partner's name, or what the token is.
    pub(super) fn name(&self) -> &str {
        self.caller.partner().map_or("administrator", |partner| partner.as_str())
    }

    pub(super) fn is_admin(&self) -> bool {
        self.caller.role() == cleanroom_registry::Role::Admin
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match Self::of(app, &parts.headers, &parts.uri).await {
            Ok(Some(visitor)) => Ok(visitor),
            Ok(None) => {
                let then =
                    parts.uri.path_and_query().filter(|_| parts.method == Method::GET).map_or("", |path| path.as_str());
                let query: String =
                    url::form_urlencoded::Serializer::new(String::new()).append_pair("then", then).finish();
                Err(go_to(&if then.is_empty() {
                    "/console/sign-in".to_owned()
                } else {
                    format!("/console/sign-in?{query}")
                }))
            }
            Err(problem) => Err(Failed::from(problem).into_response()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::http::Uri;
    use axum::http::header::HOST;

    use super::*;

    fn address(host: &str) -> Address {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        Address::of(&headers, &Uri::from_static("/")).unwrap()
    }

    #[test]
    fn a_session_is_found_by_its_id_until_it_ends() {
        let console = Console::default();
        let id = console.begin("t").unwrap();
        assert_eq!(id.len(), ID_LENGTH);
        let (token, csrf) = console.find(&id).unwrap();
        assert_eq!(token, "t");
        assert_ne!(csrf, id);
        assert!(console.find(&"0".repeat(ID_LENGTH)).is_none());
        console.end(&id);
        assert!(console.find(&id).is_none());
    }

    #[test]
    fn one_token_cannot_fill_the_server() {
        let console = Console::default();
        let first = console.begin("t").unwrap();
        let other = console.begin("u").unwrap();
        for _ in 0..PER_TOKEN {
            console.begin("t").unwrap();
        }
        assert!(console.find(&first).is_none() && console.find(&other).is_some());
        assert_eq!(console.lock().len(), PER_TOKEN + 1);
    }

    #[test]
    fn a_session_ends_by_itself() {
        let now = Instant::now();
        let session = |begun: Duration, used: Duration| {
            Session { token_id: String::new(), csrf: String::new(), begun: now - begun, used: now - used }.lasts(now)
        };
        assert!(session(LONGEST - IDLE, Duration::ZERO));
        assert!(!session(LONGEST, Duration::ZERO));
        assert!(!session(IDLE, IDLE));
    }

    #[test]
    fn cookies_are_of_their_address() {
        let (local, far) = (address("localhost:1"), address("clean.example"));
        let id = "a".repeat(ID_LENGTH);
        let set = cookie(&far, Some(&id));
        assert_eq!(set, format!("__Host-cleanroom={id}; Path=/; Secure; HttpOnly; SameSite=Strict"));
        assert!(cookie(&local, Some(&id)).contains("Path=/console; HttpOnly; SameSite=Strict"));
        let found = |cookies: &str, address: &Address| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, cookies.parse().unwrap());
            id_in(&headers, address)
        };
        assert_eq!(found(&format!("x=1; cleanroom={id}"), &local), Some(id.clone()));
        assert_eq!(found(&format!("cleanroom={id}"), &far), None, "one that any site beside could set");
        assert_eq!(found(&format!("__Host-cleanroom={id}"), &far), Some(id.clone()));
        assert_eq!(found(&format!("cleanroom={id}; cleanroom={id}"), &local), None, "which one is meant is not known");
        assert_eq!(found("cleanroom=short", &local), None);
    }
}
