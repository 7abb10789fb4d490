//! Where a request comes from: the address it was sent to, and the page that sent it.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

use crate::http::Problem;

/// The address that the browser sent a request to: `host[:port]`, as it wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(String);

impl Address {
    /// HTTP/1 names it in a header, HTTP/2 in the request line.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> Option<Self> {
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().map(|host| Self(host.to_ascii_lowercase())),
            (None, _) => uri.authority().map(|authority| Self(authority.as_str().to_ascii_lowercase())),
            _ => None,
        }
    }

    /// Whether it is of the machine that the browser runs on. Such a connection needs no TLS; every other one does.
    pub(super) fn is_local(&self) -> bool {
        let host = match self.0.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn is_origin(&self, origin: &str) -> bool {
        let scheme = if self.is_local() { "http://" } else { "https://" };
        // Behind a proxy that does TLS the local address is not what the browser names.
        let matches = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|host| host.eq_ignore_ascii_case(&self.0));
        matches(scheme) || (self.is_local() && matches("https://"))
    }
}

/// Refuses what another site's page sent. Browsers say where a form comes from, in one of two headers at least: with the
/// console's own `Referrer-Policy` the origin is `null`, and `Sec-Fetch-Site` tells.
pub(super) fn must_be_own(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let refuse = || {
        Problem::forbidden(
            "the form was not sent by a page of this console",
            "open the console at the address it is served at and use its own forms; to other machines it is served through a proxy that does TLS and passes the header `Host` on",
        )
    };
    let address = Address::of(headers, uri).ok_or_else(refuse)?;
    let one = |name: &str| -> Result<Option<String>, Problem> {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(|value| Some(value.to_owned())).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    };
    let own = match (one("sec-fetch-site")?.as_deref(), one(ORIGIN.as_str())?.as_deref()) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => address.is_origin(origin),
        _ => false,
    };
    if own { Ok(()) } else { Err(refuse()) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn local_addresses_are_known() {
        let local = |host: &str| Address(host.to_owned()).is_local();
        for host in ["localhost", "localhost:7878", "127.0.0.1:80", "127.9.9.9", "[::1]:7878", "[::1]"] {
            assert!(local(host), "{host}");
        }
        for host in
            ["localhost.example.org", "clean.example", "10.0.0.1:7878", "[::2]", "127.0.0.1.example.org", "", "["]
        {
            assert!(!local(host), "{host}");
        }
    }

    #[test]
    fn only_its_own_forms_are_read() {
        let own = |pairs: &[(&'static str, &str)]| must_be_own(&headers(pairs), &Uri::from_static("/x")).is_ok();
        let (host, site, origin) = ("host", "sec-fetch-site", "origin");
        assert!(own(&[(host, "localhost:1"), (site, "same-origin"), (origin, "null")]));
        assert!(own(&[(host, "localhost:1"), (site, "same-origin"), (origin, "http://localhost:1")]));
        assert!(own(&[(host, "localhost:1"), (origin, "http://localhost:1")]));
        assert!(own(&[(host, "clean.example"), (origin, "https://clean.example")]));
        assert!(!own(&[(host, "clean.example"), (origin, "http://clean.example")]), "without TLS");
        assert!(!own(&[(host, "localhost:1"), (origin, "null")]));
        assert!(!own(&[(host, "localhost:1")]));
        assert!(!own(&[(host, "localhost:1"), (origin, "http://localhost:2")]));
        for other in ["cross-site", "same-site", "none", ""] {
            assert!(!own(&[(host, "localhost:1"), (site, other), (origin, "http://localhost:1")]), "{other}");
        }
        assert!(!own(&[(host, "localhost:1"), (site, "same-origin"), (origin, "https://evil.example")]));
        assert!(!own(&[(host, "localhost:1"), (host, "localhost:2"), (site, "same-origin")]));
        assert!(!own(&[(host, "localhost:1"), (origin, "http://localhost:1"), (origin, "http://localhost:1")]));
        assert!(!own(&[(origin, "http://localhost:1")]));
    }
}
