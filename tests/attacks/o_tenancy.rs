//! O: rooms, partners and tokens that are not one's own.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::json;

use crate::server::{OVERLAP, ROOM, Server, data_dir, purchases, purchases_policy};

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
        ("/v1/rooms/spring/log/checkpoints".to_owned(), "/v1/rooms/nonesuch/log/checkpoints".to_owned()),
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

/// O01: what an owner takes back while a question runs is not answered any more, and the log says how it ended.
#[test]
fn a_policy_that_changes_while_a_question_runs_is_the_one_that_holds() {
    const SPENT: &str = "SELECT department, SUM(amount) AS s FROM retailer.purchases GROUP BY department";
    let (_folder, data) = data_dir();
    let server = Server::start_with(&data, &["--release-quantum-ms", "5000"]);
    let (retailer, agency) = server.room();
    let path = server.begin(&agency, SPENT);
    // It is decided and reserved, if the machine is not very slow; if it is, it is refused.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let stricter = purchases_policy().replace("version: 1", "version: 2").replace("use: [measure]", "use: [filter]");
    let stricter = stricter.replace("filter], bounds: [0, 500], step: 0.01", "filter]");
    let policy = "/v1/rooms/spring/tables/retailer.purchases/policy";
    let put = server.call("PUT", policy, &retailer, &[("content-type", "application/yaml")], stricter.as_bytes());
    assert!(put.status < 300, "{}", String::from_utf8_lossy(&put.body));
    let ended = server.ended(&agency, &path);
    assert_eq!((&ended["outcome"], &ended["error"]["code"]), (&json!("failed"), &json!("CR4203")), "{ended}");
    assert!(ended.get("rows").is_none() && ended.get("columns").is_none(), "{ended}");
    assert_eq!(server.call("GET", &format!("{path}/result"), &agency, &[], b"").status, 409);
    assert_eq!(server.entries(&agency, "query.outcome"), [json!({ "status": "failed", "code": "CR4203" })]);
    assert_eq!(server.ask(&agency, SPENT).json()["error"]["code"], "CR2108");
}

/// O11: no document and no request makes the server call anybody.
#[test]
fn no_address_that_is_sent_is_called() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let yaml = [("content-type", "application/yaml")];
    for (number, source) in [
        format!("{{s3: \"http://{address}/bucket/purchases.parquet\"}}"),
        format!("{{s3: \"s3://{address}/bucket\"}}"),
        format!("{{postgres: {{url: \"postgres://{address}/db\", table: purchases}}}}"),
        format!("{{flight: {{url: \"grpc://{address}\", table: purchases}}}}"),
        format!("{{file: \"http://{address}/purchases.csv\"}}"),
        "{file: /etc/passwd}".to_owned(),
        "{file: \"file:///etc/passwd\"}".to_owned(),
        format!("{{url: \"gopher://{address}/\"}}"),
    ]
    .into_iter()
    .enumerate()
    {
        let room = ROOM.replace("{upload: true}", &source).replace("spring", &format!("room-{number}"));
        let path = format!("/v1/rooms/room-{number}");
        let put = server.call("PUT", &path, &server.admin(), &yaml, room.as_bytes());
        // Where such a room may be put, nothing comes into it by itself.
        if put.status < 300 {
            let tables = server.call("GET", &format!("{path}/catalog"), &agency, &[], b"");
            assert!(!String::from_utf8_lossy(&tables.body).contains("data_version"), "{source}");
        }
        let policy = format!("{path}/tables/retailer.purchases/policy");
        server.call("PUT", &policy, &retailer, &yaml, purchases_policy().as_bytes());
    }
    let here = format!("http://{address}/");
    for body in [
        json!({ "sql": OVERLAP, "callback": here }),
        json!({ "sql": OVERLAP, "webhook_url": here }),
        json!({ "sql": OVERLAP, "notify": { "url": here } }),
        json!({ "sql": format!("SELECT COUNT(*) FROM '{here}'") }),
        json!({ "sql": format!("SELECT COUNT(*) FROM read_csv('{here}')") }),
        json!({ "sql": "SELECT COUNT(*) FROM '/etc/passwd'" }),
    ] {
        let headers = [("content-type", "application/json"), ("x-callback-url", &*here), ("referer", &*here)];
        let path = "/v1/rooms/spring/queries";
        let reply = server.call("POST", path, &agency, &headers, body.to_string().as_bytes());
        assert!((400..500).contains(&reply.status), "{body}: {}", reply.status);
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody called");
}

/// O13: what an owner's next version leaves out is in no answer any more, and never was in the log.
#[test]
fn people_who_were_left_out_are_in_no_later_answer() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let before = server.ask(&agency, OVERLAP).json();
    assert_eq!(before["rows"], json!([[200]]));
    let kept: String =
        purchases().lines().filter(|line| !line.starts_with("P39")).map(|line| format!("{line}\n")).collect();
    let path = "/v1/rooms/spring/tables/retailer.purchases/data";
    let put = server.call("PUT", path, &retailer, &[("content-type", "text/csv")], kept.as_bytes());
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    // P390 to P399 stood on both sides; a name of the version before is none.
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[190]]));
    for version in
        ["retailer.\"purchases@1\"", "retailer.purchases FOR SYSTEM_TIME AS OF '2020-01-01'", "retailer.purchases_v1"]
    {
        let sql = format!("SELECT COUNT(DISTINCT person) AS n FROM {version}");
        assert!((400..500).contains(&server.ask(&agency, &sql).status), "{sql}");
    }
    // What was released stays released: its record holds the answer, and no key.
    let id = before["query_id"].as_str().unwrap();
    let again = server.call("GET", &format!("/v1/rooms/spring/queries/{id}"), &agency, &[], b"").json();
    assert_eq!(again["rows"], json!([[200]]));
    let mut folders = vec![data.join("log")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).to_lowercase();
            assert!(!text.contains("example.org") && !text.contains("4111-39"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no log to look at");
}
