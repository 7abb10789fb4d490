//! O: rooms, partners and tokens that are not one's own.

use crate::server::{OVERLAP, Server, data_dir, purchases_policy};

const OTHER: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: autumn
partners:
  - name: rival
    abilities: [contribute, query, receive]
    tables:
      - {name: leads, source: {upload: true}}
";

#[test]
fn what_is_of_another_room_cannot_be_told_from_nothing() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (_retailer, agency) = server.room();
    let made = server.call(
        "PUT",
        "/v1/rooms/autumn",
        &server.admin(),
        &[("content-type", "application/yaml")],
        OTHER.as_bytes(),
    );
    assert!(made.status < 300, "{}", String::from_utf8_lossy(&made.body));
    let rival = server.token("rival");
    let id = server.ask(&agency, OVERLAP).json()["query_id"].as_str().unwrap().to_owned();
    let unknown = "0".repeat(id.len());
    for (path, nothing) in [
        ("/v1/rooms/spring".to_owned(), "/v1/rooms/nonesuch".to_owned()),
        ("/v1/rooms/spring/catalog".to_owned(), "/v1/rooms/nonesuch/catalog".to_owned()),
        ("/v1/rooms/spring/tables".to_owned(), "/v1/rooms/nonesuch/tables".to_owned()),
        (
            "/v1/rooms/spring/tables/retailer.purchases".to_owned(),
            "/v1/rooms/nonesuch/tables/retailer.purchases".to_owned(),
        ),
        (
            "/v1/rooms/spring/tables/retailer.purchases/policy".to_owned(),
            "/v1/rooms/nonesuch/tables/retailer.purchases/policy".to_owned(),
        ),
        ("/v1/rooms/spring/templates".to_owned(), "/v1/rooms/nonesuch/templates".to_owned()),
        ("/v1/rooms/spring/budgets".to_owned(), "/v1/rooms/nonesuch/budgets".to_owned()),
        ("/v1/rooms/spring/queries".to_owned(), "/v1/rooms/nonesuch/queries".to_owned()),
        (format!("/v1/rooms/spring/queries/{id}"), format!("/v1/rooms/nonesuch/queries/{id}")),
        (format!("/v1/rooms/spring/queries/{id}/result"), format!("/v1/rooms/nonesuch/queries/{id}/result")),
        (format!("/v1/rooms/autumn/queries/{id}"), format!("/v1/rooms/autumn/queries/{unknown}")),
        (format!("/v1/rooms/autumn/queries/{id}/result"), format!("/v1/rooms/autumn/queries/{unknown}/result")),
        ("/v1/rooms/spring/log/checkpoint".to_owned(), "/v1/rooms/nonesuch/log/checkpoint".to_owned()),
        ("/v1/rooms/spring/log/entries".to_owned(), "/v1/rooms/nonesuch/log/entries".to_owned()),
        ("/v1/rooms/spring/log/proof/0".to_owned(), "/v1/rooms/nonesuch/log/proof/0".to_owned()),
        ("/v1/rooms/%73pring".to_owned(), "/v1/rooms/nonesuch".to_owned()),
        ("/v1/rooms/autumn/..%2fspring/queries".to_owned(), "/v1/rooms/autumn/..%2fnonesuch/queries".to_owned()),
    ] {
        for method in ["GET", "DELETE", "PUT"] {
            let (there, none) =
                (server.call(method, &path, &rival, &[], b""), server.call(method, &nothing, &rival, &[], b""));
            assert!(there.status >= 400, "{method} {path}: {}", there.status);
            assert_eq!(there.status, none.status, "{method} {path}");
            // What names the room that was asked for, or the request, is that of the request.
            let told = |reply: &crate::server::Reply, name: &str| {
                String::from_utf8_lossy(&reply.body)
                    .replace("%73pring", "ROOM")
                    .replace(name, "ROOM")
                    .replace(&id, "ID")
                    .replace(&unknown, "ID")
            };
            assert_eq!(told(&there, "spring"), told(&none, "nonesuch"), "{method} {path}");
        }
    }
    let asked = server.call(
        "POST",
        "/v1/rooms/spring/queries",
        &rival,
        &[("content-type", "application/json")],
        br#"{"sql": "SELECT 1"}"#,
    );
    assert_eq!(asked.status, 404);
    // An id is not to be guessed: 128 bits, and no two alike in their beginnings.
    assert!(id.chars().filter(char::is_ascii_alphanumeric).count() >= 22, "{id}");
}

#[test]
fn tokens_are_whole_and_in_their_place() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (_retailer, agency) = server.room();
    let bearer = format!("Bearer {agency}");
    let shorter = format!("Bearer {}", &agency[..agency.len() - 1]);
    let longer = format!("Bearer {agency}x");
    let upper = format!("Bearer {}", agency.to_uppercase());
    let basic = format!("Basic {agency}");
    let none = "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.";
    let mut bodies = std::collections::BTreeSet::new();
    for header in [shorter.as_str(), &longer, &upper, &basic, none, "Bearer", "Bearer ", "", "x"] {
        let reply = server.call("GET", "/v1/rooms/spring", "", &[("authorization", header)], b"");
        assert_eq!(reply.status, 401, "`{header}`");
        bodies.insert(reply.body);
    }
    // Two of them, in the address, in a cookie.
    let twice = server.call("GET", "/v1/rooms/spring", "", &[("authorization", &bearer), ("authorization", none)], b"");
    assert_eq!(twice.status, 401);
    bodies.insert(twice.body);
    for path in [format!("/v1/rooms/spring?token={agency}"), format!("/v1/rooms/spring?access_token={agency}")] {
        let reply = server.call("GET", &path, "", &[], b"");
        assert_eq!(reply.status, 401);
        bodies.insert(reply.body);
    }
    let cookie = server.call("GET", "/v1/rooms/spring", "", &[("cookie", &format!("token={agency}"))], b"");
    assert_eq!(cookie.status, 401);
    bodies.insert(cookie.body);
    assert_eq!(bodies.len(), 1, "one 401 for all");
    // Nobody else's page may read an answer.
    for origin in ["null", "https://evil.example"] {
        let reply = server.call(
            "OPTIONS",
            "/v1/rooms/spring/queries",
            "",
            &[("origin", origin), ("access-control-request-method", "POST")],
            b"",
        );
        assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{:?}", reply.headers);
        let reply = server.call("GET", "/v1/rooms/spring", &agency, &[("origin", origin)], b"");
        assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{:?}", reply.headers);
    }
}

/// O03: a table's policy is its owner's, whoever else asks for another.
#[test]
fn nobody_else_loosens_a_policy() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let loose = purchases_policy().replace("version: 1", "version: 2").replace("25", "2");
    let put = |token: &str, table: &str| {
        let path = format!("/v1/rooms/spring/tables/{table}/policy");
        server.call("PUT", &path, token, &[("content-type", "application/yaml")], loose.as_bytes()).status
    };
    assert_eq!(put(&agency, "retailer.purchases"), 403);
    assert_eq!(put(&server.admin(), "retailer.purchases"), 403);
    // A document for another table than the address says.
    assert!((400..500).contains(&put(&agency, "agency.exposures")));
    let rare = "SELECT department, COUNT(*) AS n FROM retailer.purchases WHERE department = 'rare' GROUP BY department";
    assert_eq!(server.ask(&agency, rare).json()["rows"].as_array().unwrap().len(), 0);
    // By its owner it is in force at once.
    assert!(put(&retailer, "retailer.purchases") < 300);
    assert_eq!(server.ask(&agency, rare).json()["rows"].as_array().unwrap().len(), 1);
}
