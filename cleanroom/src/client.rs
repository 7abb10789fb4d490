//! The other side of REST: what the command line asks of a server.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, SendBody};

use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::signature_file;

/// Largest answer that is read.
const ANSWER_BYTES: u64 = 1 << 30;
/// Largest problem document.
const SMALL: u64 = 64 << 10;
/// The longest that one part of a log may take.
const PART_TIME: Duration = Duration::from_secs(120);

/// A server and who asks it.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// An answer of the server.
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Where to look next.
    pub(crate) location: Option<String>,
}

impl Client {
    /// A client for the server at `url`.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Fault::usage(
                format!("`{url}` is not the address of a server"),
                "write it as `https://host:port`, or `http://` on this machine",
            ));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the token elsewhere.
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(600)))
            .user_agent(concat!("cleanroom/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), base, token })
    }

    /// The same server, asked with another token.
    pub(crate) fn with_token(&self, token: String) -> Self {
        Self { agent: self.agent.clone(), base: self.base.clone(), token: Some(token) }
    }

    /// The JSON of a path.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.fetch(path, "application/json")?.json()
    }

    /// The body of a path, of one media type.
    pub(crate) fn fetch(&self, path: &str, accept: &str) -> Result<Reply> {
        let reply = self.get_reply(path, accept)?;
        reply.or_fault()
    }

    /// Whatever the server says of a path.
    pub(crate) fn get_reply(&self, path: &str, accept: &str) -> Result<Reply> {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("Accept", accept)
            // Only a query that still runs is waited for.
            .header("Prefer", "wait=30");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.reply(request.call())
    }

    /// What the server says of a path, if it is told soon and in few bytes. Redirects are not followed.
    pub(crate) fn bounded(&self, path: &str, bytes: u64) -> Result<Reply> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Accept", "*/*");
        let mut request = request.config().timeout_global(Some(PART_TIME)).build();
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        // A problem document fits, whatever was asked for.
        let reply = self.limited(request.call(), bytes.max(SMALL))?;
        if reply.body.len() as u64 > bytes && reply.status == 200 {
            return Err(self.too_long(bytes));
        }
        match reply.status {
            300..400 => Err(Fault::failure(
                format!("`{}{path}` leads elsewhere, and is not followed: the token would go along", self.base),
                "give the address that the server itself answers at",
            )),
            _ => Ok(reply),
        }
    }

    /// Puts text.
    pub(crate) fn put(&self, path: &str, media: &str, body: &str) -> Result<Value> {
        self.put_body(path, media, body.as_bytes(), None)
    }

    /// Puts a policy with its owner's signature, where there is one.
    pub(crate) fn put_policy(&self, path: &str, text: &str, signature: Option<&str>) -> Result<Value> {
        self.put_body(path, "application/yaml", text.as_bytes(), signature)
    }

    /// Puts a file, streaming it.
    pub(crate) fn put_file(&self, path: &str, media: &str, file: &Path) -> Result<Value> {
        let file = File::open(file).map_err(|error| Fault::read(file, &error))?;
        self.put_body(path, media, SendBody::from_owned_reader(file), None)
    }

    /// Posts JSON; a refusal is no failure here.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Accept", "application/json")
            .header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.reply(request.send(body.to_string()))
    }

    fn put_body(&self, path: &str, media: &str, body: impl ureq::AsSendBody, signature: Option<&str>) -> Result<Value> {
        let mut request = self
            .agent
            .put(format!("{}{path}", self.base))
            .header("Accept", "application/json")
            .header("Content-Type", media);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(signature) = signature {
            request = request.header(signature_file::HEADER, signature);
        }
        self.reply(request.send(body))?.or_fault()?.json()
    }

    fn reply(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Reply> {
        self.limited(response, ANSWER_BYTES)
    }

    fn too_long(&self, bytes: u64) -> Fault {
        Fault::failure(
            format!("`{}` sends more than the {bytes} bytes that this can have", self.base),
            "check that the address is that of a cleanroom server",
        )
    }

    fn limited(&self, response: Result<Response<Body>, ureq::Error>, bytes: u64) -> Result<Reply> {
        let failed = |error: ureq::Error| {
            Fault::failure(
                format!("cannot talk to `{}`: {error}", self.base),
                "check the address, and that the server runs",
            )
        };
        let mut response = response.map_err(failed)?;
        let status: StatusCode = response.status();
        let location = response.headers().get("Location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.body_mut().with_config().limit(bytes).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => self.too_long(bytes),
            other => failed(other),
        })?;
        Ok(Reply { status: status.as_u16(), body, location })
    }
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|_| {
            Fault::failure(
                format!("the server answered {} with something that is not JSON", self.status),
                "check that the address is that of a cleanroom server",
            )
        })
    }

    /// The reply, unless the server reports a problem.
    pub(crate) fn or_fault(self) -> Result<Self> {
        if self.status < 300 {
            return Ok(self);
        }
        let problem = self.json()?;
        let exit = match self.status {
            401 | 403 => Exit::NotPermitted,
            400..500 => Exit::Usage,
            _ => Exit::Failure,
        };
        Err(Fault::remote(exit, problem.get("error").unwrap_or(&problem)))
    }
}

/// One segment of a path, escaped.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("retailer.purchases"), "retailer.purchases");
        assert_eq!(segment("../a?b#ü"), "..%2Fa%3Fb%23%C3%BC");
    }
}
