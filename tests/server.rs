//! The server: REST as partners use it, and what is left when it is killed.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cleanroom_policy::parse_room;
use cleanroom_registry::{Actor, OpenOptions, Registry};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cleanroom;

/// A running server on a free port of this machine.
pub(crate) struct Server {
    process: Child,
    address: String,
    data: PathBuf,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON with status {}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With further arguments.
    pub(crate) fn start_with(data: &Path, more: &[&str]) -> Self {
        let log = data.with_extension("log");
        let before = fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let process = cleanroom()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(fs::File::options().append(true).create(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { process, address: String::new(), data: data.to_owned() };
        let end = Instant::now() + Duration::from_secs(30);
        // The port that it got, which nobody else can have meanwhile.
        server.address = loop {
            let said = fs::read(&log).unwrap();
            let said = String::from_utf8_lossy(said.get(before..).unwrap_or_default()).into_owned();
            let line = said.lines().find(|line| line.contains("listening") && line.contains("127.0.0.1:"));
            if let Some(line) = line {
                let port = line.split("127.0.0.1:").nth(1).unwrap();
                let port: String = port.chars().take_while(char::is_ascii_digit).collect();
                break format!("http://127.0.0.1:{port}");
            }
            assert!(Instant::now() < end, "the server does not listen: {said}");
            thread::sleep(Duration::from_millis(20));
        };
        while server.try_call("GET", "/readyz", "", &[], b"").is_none_or(|reply| reply.status != 200) {
            assert!(Instant::now() < end, "the server does not get ready");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn admin(&self) -> String {
        fs::read_to_string(self.data.join("admin.token")).unwrap().trim().to_owned()
    }

    fn try_call(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = agent.run(request.body(body.to_vec()).unwrap()).ok()?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let mut body = Vec::new();
        response.into_body().into_reader().read_to_end(&mut body).ok()?;
        Some(Reply { status, headers, body })
    }

    pub(crate) fn call(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_call(method, path, token, headers, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub(crate) fn token(&self, partner: &str) -> String {
        let reply = self.call("POST", &format!("/v1/partners/{partner}/tokens"), &self.admin(), &[], b"");
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// Sets the room up as its operator and owners would; gives the tokens of retailer and agency.
    pub(crate) fn room(&self) -> (String, String) {
        self.room_of(ROOM)
    }

    /// The same, by a document of its own.
    pub(crate) fn room_of(&self, document: &str) -> (String, String) {
        let put = |path: &str, token: &str, kind: &str, body: &str| {
            let reply = self.call("PUT", path, token, &[("content-type", kind)], body.as_bytes());
            assert!(
                (200..300).contains(&reply.status),
                "{path}: {} {}",
                reply.status,
                String::from_utf8_lossy(&reply.body)
            );
        };
        put("/v1/rooms/spring", &self.admin(), "application/yaml", document);
        let (retailer, agency) = (self.token("retailer"), self.token("agency"));
        for (table, token, policy, data) in [
            ("retailer.purchases", &retailer, purchases_policy(), purchases()),
            ("agency.exposures", &agency, exposures_policy(), exposures()),
        ] {
            put(&format!("/v1/rooms/spring/tables/{table}/policy"), token, "application/yaml", &policy);
            put(&format!("/v1/rooms/spring/tables/{table}/data"), token, "text/csv", &data);
        }
        (retailer, agency)
    }

    pub(crate) fn ask(&self, token: &str, sql: &str) -> Reply {
        let body = json!({ "sql": sql }).to_string();
        self.call("POST", "/v1/rooms/spring/queries", token, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Asks and does not wait; gives the question's path.
    pub(crate) fn begin(&self, token: &str, sql: &str) -> String {
        let body = json!({ "sql": sql }).to_string();
        let headers = [("content-type", "application/json"), ("prefer", "wait=0")];
        let reply = self.call("POST", "/v1/rooms/spring/queries", token, &headers, body.as_bytes());
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
        reply.header("location").to_owned()
    }

    /// How a question ended, once it has.
    pub(crate) fn ended(&self, token: &str, path: &str) -> Value {
        let reply = self.call("GET", path, token, &[("prefer", "wait=25")], b"");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// The bodies of a room's entries of one type, oldest first.
    pub(crate) fn entries(&self, token: &str, kind: &str) -> Vec<Value> {
        let log = self.call("GET", "/v1/rooms/spring/log/entries", token, &[], b"").json();
        let entries = log["entries"].as_array().unwrap_or_else(|| panic!("{log}"));
        entries.iter().filter(|entry| entry["type"] == kind).map(|entry| entry["body"].clone()).collect()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was killed already is not there to kill.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: spring
description: Did the spring campaign sell?
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: purchases, source: {upload: true}}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - {name: exposures, source: {upload: true}}
";

pub(crate) fn purchases_policy() -> String {
    "apiVersion: cleanroom/v1\nkind: Policy\ntable: retailer.purchases\nversion: 1\nunit: {column: person, space: email}\n\
     columns:\n  person: {use: [join, count]}\n  department: {use: [dimension, filter]}\n  \
     amount: {use: [measure], bounds: [0, 500], step: 0.01}\n\
     release: {min_units: 25}\naccess: {analysts: [agency]}\n"
        .to_owned()
}

fn exposures_policy() -> String {
    "apiVersion: cleanroom/v1\nkind: Policy\ntable: agency.exposures\nversion: 1\nunit: {column: person, space: email}\n\
     columns:\n  person: {use: [join, count]}\n  campaign: {use: [dimension, filter]}\n\
     release: {min_units: 25}\naccess: {analysts: [agency]}\n"
        .to_owned()
}

pub(crate) fn purchases() -> String {
    let mut csv = "person,department,amount,card\n".to_owned();
    for person in 0..400 {
        let department = if person < 10 { "rare" } else { ["grocery", "dairy"][person % 2] };
        csv.push_str(&format!("P{person}@Example.org ,{department},{}.50,4111-{person}\n", person % 40));
    }
    csv
}

fn exposures() -> String {
    let mut csv = "person,campaign\n".to_owned();
    for person in 200..600 {
        csv.push_str(&format!("p{person}@example.org,c{}\n", person % 3));
    }
    csv
}

pub(crate) fn data_dir() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

/// A question that is cancelled ends as that in the log, whatever had become of it by then.
#[test]
fn a_question_that_is_cancelled_is_recorded_as_cancelled() {
    let (_folder, data) = data_dir();
    let server = Server::start_with(&data, &["--release-quantum-ms", "4000"]);
    let (_retailer, agency) = server.room();
    let path = server.begin(&agency, OVERLAP);
    // Its rows are read by now; it may not be told yet.
    thread::sleep(Duration::from_millis(1500));
    let begun = Instant::now();
    assert_eq!(server.call("DELETE", &path, &agency, &[], b"").status, 202);
    let ended = server.ended(&agency, &path);
    assert_eq!((&ended["outcome"], &ended["error"]["code"]), (&json!("failed"), &json!("CR4204")), "{ended}");
    assert!(begun.elapsed() < Duration::from_secs(2), "a cancelled question waited");
    assert_eq!(server.entries(&agency, "query.outcome"), [json!({ "status": "cancelled", "code": "CR4204" })]);
    assert_eq!(server.call("DELETE", &path, &agency, &[], b"").status, 409);
    // The next one is none the worse for it.
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
}

pub(crate) const OVERLAP: &str = "SELECT COUNT(DISTINCT p.person) AS people FROM retailer.purchases p JOIN agency.exposures e ON p.person = e.person";

#[test]
fn partners_set_a_room_up_and_ask() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();

    let answer = server.ask(&agency, OVERLAP);
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["outcome"], "released");
    assert_eq!(answer["rows"], json!([[200]]));
    let id = answer["query_id"].as_str().unwrap().to_owned();

    let groups =
        server.ask(&agency, "SELECT department, SUM(amount) AS s FROM retailer.purchases GROUP BY department").json();
    let labels: Vec<&str> = groups["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(labels, ["dairy", "grocery"]);

    // Every form of a result, from what is kept of it.
    let result = |accept: &str, token: &str| {
        server.call("GET", &format!("/v1/rooms/spring/queries/{id}/result"), token, &[("accept", accept)], b"")
    };
    assert_eq!(result("text/csv", &agency).body, b"people\n200\n");
    assert!(result("application/vnd.apache.parquet", &agency).body.starts_with(b"PAR1"));
    let stream = result("application/vnd.apache.arrow.stream", &agency).body;
    let batches: Vec<_> = datafusion::arrow::ipc::reader::StreamReader::try_new(stream.as_slice(), None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(batches[0].num_rows(), 1);
    assert_eq!(result("image/png", &agency).status, 406);

    // A refusal is a problem document with the contract's object in it.
    let refused = server.ask(&agency, "SELECT * FROM retailer.purchases");
    assert!((400..500).contains(&refused.status));
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["error"]["code"], "CR2101");

    // The owner may not ask here, and sees neither the agency's queries nor its results.
    assert_eq!(server.ask(&retailer, OVERLAP).json()["error"]["code"], "CR4101");
    assert_eq!(result("text/csv", &retailer).status, 404);
    // A room somebody is not in looks like none.
    let stranger = server.token("stranger");
    let none = server.call("GET", "/v1/rooms/nonesuch", &stranger, &[], b"");
    let other = server.call("GET", "/v1/rooms/spring", &stranger, &[], b"");
    assert_eq!((none.status, other.status), (404, 404));
    // Without a token, or with a wrong one, all is the same 401.
    for token in ["", "crs_wrong", "x"] {
        let reply = server.call("GET", "/v1/rooms/spring", token, &[], b"");
        assert_eq!(reply.status, 401);
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
    }
    // The operator sets rooms up; rows and policies are their owners' own.
    let policy = server.call(
        "PUT",
        "/v1/rooms/spring/tables/retailer.purchases/policy",
        &server.admin(),
        &[("content-type", "application/yaml")],
        purchases_policy().replace("version: 1", "version: 2").replace("25", "2").as_bytes(),
    );
    assert_eq!(policy.status, 403);
    assert!((400..500).contains(&server.ask(&server.admin(), OVERLAP).status));
}

/// What leaves the noise out is for tests over files: a server refuses the room, the policy, and a directory with such a room.
#[test]
fn nothing_that_is_for_tests_alone_is_served() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, _agency) = server.room();
    let put = |path: &str, token: &str, body: &str| {
        let reply = server.call("PUT", path, token, &[("content-type", "application/yaml")], body.as_bytes());
        (reply.status, reply.json())
    };
    let room = ROOM.replacen("kind: Room\n", "kind: Room\ntest_only: true\n", 1);
    let (status, told) = put("/v1/rooms/spring", &server.admin(), &room);
    assert_eq!((status, told["detail"].as_str().unwrap().contains("for tests alone")), (409, true), "{told}");
    let policy = purchases_policy().replacen("version: 1", "version: 2", 1)
        + "noise: {mechanism: laplace, epsilon: 1e20, delta: 1e-8, groups_per_unit: 1, rows_per_unit: 1, \
           budget: {epsilon: 1e20, delta: 1e-6}, test_only: true}\n";
    let path = "/v1/rooms/spring/tables/retailer.purchases/policy";
    let (status, told) = put(path, &retailer, &policy);
    assert_eq!((status, told.to_string().contains("for tests alone")), (400, true), "{told}");
    let (status, told) = put(path, &retailer, &policy.replacen(", test_only: true", "", 1));
    assert_eq!((status, told.to_string().contains("is no protection")), (400, true), "{told}");
    drop(server);

    let registry = async {
        let options = OpenOptions { data_dir: data.clone(), log_host: "localhost".to_owned() };
        let registry = Registry::open(options).await.unwrap();
        let room = parse_room("room.yaml", &room).unwrap();
        registry.put_room(&room, &Actor::embedded(None)).await.unwrap();
        registry.close().await;
    };
    crate::fixture::block_on(registry);
    let served =
        cleanroom().args(["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]).output().unwrap();
    assert_eq!(served.status.code(), Some(2), "{served:?}");
    assert!(String::from_utf8_lossy(&served.stderr).contains("for tests alone"), "{served:?}");
}

#[test]
fn requests_are_read_strictly() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (_retailer, agency) = server.room();
    let post = |kind: &str, body: &[u8]| {
        server.call("POST", "/v1/rooms/spring/queries", &agency, &[("content-type", kind)], body)
    };
    let json_type = "application/json";
    for (kind, body) in [
        (json_type, br#"{"sql":"SELECT 1","sql":"SELECT 2"}"#.as_slice()),
        (json_type, br#"{"SQL":"SELECT 1"}"#),
        (json_type, br#"{"sql":"SELECT 1","more":1}"#),
        (json_type, br#"{"sql":1}"#),
        (json_type, br#"[]"#),
        (json_type, b"\xff\xfe{\x00"),
        (json_type, b""),
        ("text/plain", br#"{"sql":"SELECT 1"}"#),
    ] {
        let reply = post(kind, body);
        assert!((400..500).contains(&reply.status), "{} for {}", reply.status, String::from_utf8_lossy(body));
        assert_eq!(reply.json()["error"]["code"], "CR1006");
    }
    let deep = format!("{{\"sql\":\"SELECT 1\",\"params\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!((400..500).contains(&post(json_type, deep.as_bytes()).status));

    // The same key and body: the same answer, and one entry; another body under the key is refused.
    let again = |sql: &str| {
        let body = json!({ "sql": sql }).to_string();
        let headers = [("content-type", json_type), ("idempotency-key", "k-1")];
        server.call("POST", "/v1/rooms/spring/queries", &agency, &headers, body.as_bytes())
    };
    let first = again(OVERLAP).json();
    assert_eq!(first["query_id"], again(OVERLAP).json()["query_id"]);
    assert!((400..500).contains(&again("SELECT COUNT(*) FROM agency.exposures").status));

    // Bad data is told by line and leaves the version before it.
    let reply = server.call(
        "PUT",
        "/v1/rooms/spring/tables/agency.exposures/data",
        &agency,
        &[("content-type", "text/csv")],
        b"person,campaign\nnot an address,c1\n",
    );
    assert!((400..500).contains(&reply.status));
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains('2') && !text.contains("not an address"), "{text}");
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));

    // What an operator and a developer look at.
    assert_eq!(server.call("GET", "/healthz", "", &[], b"").status, 200);
    let openapi = server.call("GET", "/openapi.json", "", &[], b"").json();
    assert!(openapi["paths"]["/v1/rooms/{room}/queries"]["post"].is_object());
    let metrics = String::from_utf8(server.call("GET", "/metrics", "", &[], b"").body).unwrap();
    assert!(metrics.contains("# TYPE"), "{metrics}");
    // Nothing that anyone wrote or owns is in the operator's log or the metrics.
    let log = fs::read_to_string(data.with_extension("log")).unwrap() + &metrics;
    for secret in ["example.org", "dairy", "SELECT", "4111-", agency.as_str(), server.admin().as_str()] {
        assert!(!log.contains(secret), "`{secret}` stands in the operator's log");
    }
}

#[test]
fn a_killed_server_leaves_records_that_verify() {
    let (_folder, data) = data_dir();
    let mut server = Server::start(&data);
    let (_retailer, agency) = server.room();
    for round in 0..6_u64 {
        thread::scope(|scope| {
            for client in 0..3 {
                let (server, agency) = (&server, &agency);
                scope.spawn(move || {
                    let end = Instant::now() + Duration::from_millis(400);
                    while Instant::now() < end {
                        let sql = if client == 0 { "SELECT * FROM retailer.purchases" } else { OVERLAP };
                        let body = json!({ "sql": sql }).to_string();
                        let headers = [("content-type", "application/json")];
                        // The server dies meanwhile; what it did not answer is nobody's answer.
                        drop(server.try_call("POST", "/v1/rooms/spring/queries", agency, &headers, body.as_bytes()));
                    }
                });
            }
            thread::sleep(Duration::from_millis(90 + round * 47));
            let process = i32::try_from(server.process.id()).unwrap();
            let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
            assert!(killed.success());
        });
        server.kill();
        // As it lies there, before anything repairs it.
        let verified = cleanroom().args(["audit", "verify", data.to_str().unwrap()]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        server = Server::start(&data);
        assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
        let verified = cleanroom().args(["audit", "verify", data.to_str().unwrap()]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

#[test]
fn a_server_killed_during_an_upload_keeps_the_table_as_it_was() {
    const ROUNDS: u32 = 5;
    let (_folder, data) = data_dir();
    let mut server = Server::start(&data);
    let (retailer, agency) = server.room();
    let upload = |server: &Server, round: u32| {
        // The same people as those who are asked for, and others that no earlier round has seen.
        let others: String = (0..20_000).map(|n| format!("other{round}-{n}@example.org,dairy,1,4111\n")).collect();
        let body = purchases().replace("P2", "Q2") + &others;
        let path = "/v1/rooms/spring/tables/retailer.purchases/data";
        server.try_call("PUT", path, &retailer, &[("content-type", "text/csv")], body.as_bytes())
    };
    let people = |server: &Server| server.ask(&agency, OVERLAP).json()["rows"][0][0].as_u64().unwrap();
    let before = people(&server);
    let mut killed = 0;
    let mut after = None;
    for round in 0..ROUNDS {
        let reply = thread::scope(|scope| {
            let waiting = scope.spawn(|| upload(&server, round));
            thread::sleep(Duration::from_millis(100 + 300 * u64::from(round)));
            let process = i32::try_from(server.process.id()).unwrap();
            assert!(std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
            waiting.join().unwrap()
        });
        server.kill();
        let verified = cleanroom().args(["audit", "verify", data.to_str().unwrap()]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        server = Server::start(&data);
        // What was acknowledged is in force; what was not may be, if whole.
        let now = people(&server);
        match reply {
            Some(reply) => assert!(reply.status == 200 && now != before, "{}", reply.status),
            None => killed += 1,
        }
        if now != before {
            assert_eq!(*after.get_or_insert(now), now);
        }
        assert_eq!(fs::read_dir(data.join("uploads")).unwrap().count(), 0);
        // The server's own, for what does not fit into its memory.
        assert_eq!(
            fs::read_dir(data.join("tmp")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(),
            1
        );
    }
    assert!(killed > 0, "nothing was killed before it ended");
    assert_eq!(upload(&server, ROUNDS).unwrap().status, 200);
    let now = people(&server);
    assert!(now != before && *after.get_or_insert(now) == now);
    let verified = cleanroom().args(["audit", "verify", data.to_str().unwrap()]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
