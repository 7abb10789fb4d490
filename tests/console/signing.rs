//! Who gets in, and whose forms are read.

use std::fs;

use super::{Client, OTHER_ROOM, ROOM, Scene, hidden, text};
use crate::server::{Server, data_dir};

#[test]
fn a_session_is_of_a_token_and_ends_with_it() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let nobody = Client::new(&server);

    // Without a session every page leads to the one to sign in on, and back.
    for path in ["/console", "/console/rooms/spring", "/console/rooms/nonesuch/log?type=x", "/console/codes/CR2104"] {
        let reply = nobody.get(path);
        assert_eq!(reply.status, 303, "{path}");
        assert!(reply.header("location").starts_with("/console/sign-in?then=%2Fconsole"), "{path}");
    }
    let form = nobody.page("/console/sign-in?then=%2Fconsole%2Frooms%2Fspring");
    assert_eq!(hidden(&form, "then"), "/console/rooms/spring");
    assert!(!nobody.page("/console/sign-in?then=https%3A%2F%2Fevil.example").contains("evil.example"));

    // No token, no session; and one answer for all that are wrong.
    let wrong = nobody.post_plain("/console/sign-in", &[("token", "crs_wrong")]);
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, ""));
    let empty = nobody.post_plain("/console/sign-in", &[("token", "")]);
    assert_eq!(text(&empty), text(&wrong));

    let signed = nobody.post_plain("/console/sign-in", &[("token", &scene.agency), ("then", "/console/rooms/spring")]);
    assert_eq!((signed.status, signed.header("location")), (303, "/console/rooms/spring"));
    let cookie = signed.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
        assert!(cookie.split("; ").any(|found| found == part), "{part}: {cookie}");
    }
    assert!(!cookie.contains(&scene.agency), "the token is not in the cookie");
    let id = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "256 bits: {id}");
    let away = nobody.post_plain("/console/sign-in", &[("token", &scene.agency), ("then", "//evil.example")]);
    assert_eq!(away.header("location"), "/console");

    // Signing out ends the session itself, not only the cookie.
    let agency = Client::signed_in(&server, &scene.agency);
    assert!(agency.page("/console").contains("Signed in as <strong>agency</strong>"));
    assert_eq!(agency.get("/console/sign-in").status, 303);
    let out = agency.post("/console/sign-out", &[]);
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(agency.get("/console").status, 303);

    // Signing in again ends the session before it.
    let mut agency = Client::signed_in(&server, &scene.agency);
    let first = agency.cookie.clone();
    let again = agency.post_plain("/console/sign-in", &[("token", &scene.agency)]);
    let second = again.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(agency.get("/console").status, 303);
    agency.cookie = second;
    assert_eq!(agency.get("/console").status, 200);

    // A token that is revoked ends all of its sessions, and no other.
    let retailer = Client::signed_in(&server, &scene.retailer);
    let issued = server.call("POST", "/v1/partners/agency/tokens", &server.admin(), &[], b"").json();
    let (token, id) = (issued["token"].as_str().unwrap(), issued["id"].as_str().unwrap());
    let doomed = Client::signed_in(&server, token);
    assert_eq!(doomed.get("/console").status, 200);
    let gone = server.call("DELETE", &format!("/v1/partners/agency/tokens/{id}"), &server.admin(), &[], b"");
    assert!((200..300).contains(&gone.status), "{}", gone.status);
    assert_eq!(doomed.get("/console").status, 303);
    assert_eq!((agency.get("/console").status, retailer.get("/console").status), (200, 200));

    // Cookies that nobody was given.
    for cookie in [format!("cleanroom={}", "0".repeat(64)), "cleanroom=".to_owned(), format!("{0}; {0}", agency.cookie)]
    {
        let forged = Client { server: &server, cookie };
        assert_eq!(forged.get("/console").status, 303);
    }
    // Neither tokens nor sessions are in the operator's log.
    let log = fs::read_to_string(data.with_extension("log")).unwrap();
    for secret in [scene.agency.as_str(), agency.cookie.split('=').nth(1).unwrap()] {
        assert!(!log.contains(secret));
    }
}

#[test]
fn forms_of_other_pages_do_nothing() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    let retailer = Client::signed_in(&server, &scene.retailer);
    let own = server.address().to_owned();
    let ask = "/console/rooms/spring/ask";
    let once = hidden(&agency.page(ask), "once");
    let (token, foreign) = (agency.form_token(), retailer.form_token());
    let entries = || server.call("GET", "/v1/rooms/spring/log/entries?limit=1000", &scene.inspector, &[], b"").body;
    let before = entries();

    let fields = |token: &str| {
        [("form_token", token), ("sql", "SELECT COUNT(*) FROM agency.exposures"), ("do", "ask"), ("once", &once)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let post = |client: &Client<'_>, path: &str, token: &str, headers: &[(&str, &str)]| {
        let fields = fields(token);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.post_from(path, &fields, headers).status
    };
    let same = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    for wrong in ["", "0", foreign.as_str(), &token[1..], &token.to_uppercase().replace('0', "1")] {
        assert_eq!(post(&agency, ask, wrong, &same), 403, "form token `{wrong}`");
    }
    for from in [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-site")],
        &[],
    ] {
        for path in [ask, "/console/sign-out", "/console/rooms/spring/log/verify"] {
            assert_eq!(post(&agency, path, &token, from), 403, "{path} from {from:?}");
        }
        let signing = agency.post_from("/console/sign-in", &[("token", &scene.retailer)], from);
        assert_eq!((signing.status, signing.header("set-cookie")), (403, ""), "nobody is signed in as somebody else");
    }
    let body = format!("{{\"form_token\":\"{token}\"}}");
    let json = [("content-type", "application/json"), same[0], same[1]];
    assert_eq!(agency.send("POST", ask, &json, &body).status, 415);
    assert_eq!(Client::new(&server).post_plain(ask, &[("form_token", &token)]).status, 303, "signed out");
    assert_eq!(entries(), before, "something was asked");
    assert_eq!(agency.get("/console").status, 200, "nobody was signed out");

    // With all that belongs to it, the same form asks; sent twice it is one question.
    let (first, second) = (post(&agency, ask, &token, &same), post(&agency, ask, &token, &same));
    assert_eq!((first, second), (303, 303));
    assert_eq!(agency.page("/console/rooms/spring/queries").matches("<tr>").count(), 2, "a heading and one question");
}

#[test]
fn to_other_machines_cookies_need_tls() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let put = |room: &str, text: &str| {
        let kind = [("content-type", "application/yaml")];
        assert_eq!(
            server.call("PUT", &format!("/v1/rooms/{room}"), &server.admin(), &kind, text.as_bytes()).status,
            201
        );
    };
    put("spring", ROOM);
    put("autumn", OTHER_ROOM);
    let admin = server.admin();
    let client = Client::new(&server);
    let sign_in = |origin: &str| {
        let headers = [("host", "clean.example"), ("origin", origin), ("sec-fetch-site", "same-origin")];
        client.post_from("/console/sign-in", &[("token", admin.as_str())], &headers)
    };
    assert_eq!(sign_in("http://clean.example").status, 403);
    let reply = sign_in("https://clean.example");
    let cookie = reply.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("__Host-cleanroom=") && cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let id = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    let get =
        |cookie: &str| client.send("GET", "/console", &[("host", "clean.example"), ("cookie", cookie)], "").status;
    assert_eq!(get(&format!("__Host-cleanroom={id}")), 200);
    assert_eq!(get(&format!("cleanroom={id}")), 303, "a cookie that a neighbouring site could have set");
}
