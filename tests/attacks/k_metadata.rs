//! K: what stands around an answer, and under its visible cells.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{all_refused, room, unseen};
use crate::server::{OVERLAP, ROOM, Reply, Server, data_dir, purchases, purchases_policy};

#[test]
fn plans_and_costs_are_not_told() {
    let room = room();
    let statement: &[&str] = &["CR1001", "CR1002"];
    all_refused(
        &room,
        "publisher",
        &[
            (
                "EXPLAIN SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE zip='99950' GROUP BY category",
                statement,
            ),
            (
                "EXPLAIN ANALYZE SELECT category, COUNT(*) FROM retailer.purchases WHERE zip='99950' GROUP BY category",
                statement,
            ),
            ("EXPLAIN VERBOSE SELECT COUNT(*), MIN(amount), MAX(amount) FROM retailer.purchases", statement),
            ("EXPLAIN FORMAT TREE SELECT * FROM retailer.purchases", statement),
            // The amplifiers of time.
            (
                "SELECT COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE CASE WHEN category='bulk' THEN length(repeat(category, 30000000)) > 0 ELSE true END",
                &["CR2301"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE length(rpad(category, 30000000)) > 0", &["CR2301"]),
        ],
    );
    // What an answer holds does not depend on who is in a suppressed group, or on how many there are.
    let keys = |sql: &str| {
        let answer = room.ask("publisher", sql);
        unseen(&answer);
        assert!(answer.rows().is_empty());
        let names: BTreeSet<String> = answer.json.as_object().unwrap().keys().cloned().collect();
        (names, answer.json["columns"].clone(), answer.json["notes"].clone(), answer.json["cost"].clone())
    };
    let few =
        keys("SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category = 'edge24' GROUP BY category");
    let nobody =
        keys("SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category = 'edge99' GROUP BY category");
    let three = keys(
        "SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category IN ('edge24', 'bulk', 'nullkey') GROUP BY category",
    );
    assert!(few == nobody && few == three);
    let allowed = ["query_id", "outcome", "columns", "rows", "cost", "notes", "receipt"].map(str::to_owned).into();
    assert_eq!(few.0, allowed);
}

/// K05, K07, K09: raw bytes, in every format.
#[test]
fn suppressed_labels_are_nowhere_in_a_result() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let long = purchases()
        .replace(",rare,", ",a department that few people know,")
        .replace("grocery", "an ordinary grocery department");
    let put = server.call(
        "PUT",
        "/v1/rooms/spring/tables/retailer.purchases/data",
        &retailer,
        &[("content-type", "text/csv")],
        long.as_bytes(),
    );
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    let named = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    let mut headers = BTreeSet::new();
    for sql in [
        "SELECT department, COUNT(*) AS n FROM retailer.purchases GROUP BY department",
        "SELECT department, COUNT(*) AS n FROM retailer.purchases GROUP BY department ORDER BY n DESC LIMIT 1",
        "SELECT upper(department) AS d, COUNT(*) AS n FROM retailer.purchases GROUP BY department HAVING COUNT(*) > 1",
        "SELECT substr(department, 1, 20) AS d, COUNT(*) AS n FROM retailer.purchases GROUP BY 1",
        "SELECT CASE WHEN department LIKE 'a dep%' THEN department END AS d, COUNT(*) AS n FROM retailer.purchases GROUP BY department",
        "SELECT department, COUNT(*) AS n FROM retailer.purchases WHERE department LIKE 'a dep%' GROUP BY department",
    ] {
        let asked = server.ask(&agency, sql);
        assert_eq!(asked.status, 200, "{sql}: {}", String::from_utf8_lossy(&asked.body));
        headers.insert(named(&asked));
        let id = asked.json()["query_id"].as_str().unwrap().to_owned();
        for accept in
            ["application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
        {
            let path = format!("/v1/rooms/spring/queries/{id}/result");
            let result = server.call("GET", &path, &agency, &[("accept", accept)], b"");
            assert_eq!(result.status, 200);
            let bytes = result.body.to_ascii_lowercase();
            for secret in [&b"few people"[..], b"that few", b"example.org", b"4111-"] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{sql} as {accept}");
            }
        }
        let known: BTreeSet<&str> = ["query_id", "outcome", "columns", "rows", "cost", "notes", "receipt"].into();
        let body: Value = asked.json();
        assert!(body.as_object().unwrap().keys().all(|key| known.contains(key.as_str())), "{body}");
    }
    assert_eq!(headers.len(), 1, "the headers differ: {headers:?}");
}

/// K11: what a question writes beside memory is in one folder of the server's own, and gone with the next start.
#[test]
fn what_a_killed_server_spilled_is_gone_with_the_next_start() {
    let (_folder, data) = data_dir();
    let mut server = Server::start_with(&data, &["--memory", "16MiB"]);
    let (_retailer, agency) = server.room();
    let wide = "SELECT p.department, COUNT(*) AS n FROM retailer.purchases p JOIN agency.exposures e \
                ON p.person = e.person GROUP BY p.department";
    for _ in 0..3 {
        server.begin(&agency, wide);
    }
    server.kill();
    // As the engine would have left it.
    let folders = |data: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(data.join("tmp")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let spill = folders(&data);
    assert_eq!(spill.len(), 1, "the folder of a killed server: {spill:?}");
    fs::create_dir(spill[0].join("datafusion-x")).unwrap();
    fs::write(spill[0].join("datafusion-x/rows.arrow"), "p7@example.org,4111-7").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for folder in [&data.join("tmp"), &spill[0]] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o077, 0, "{}", folder.display());
        }
    }
    let server = Server::start(&data);
    assert!(!spill[0].exists(), "rows were left behind");
    let mut left = folders(&data);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || path.ends_with("lock"), "{}", path.display());
            left.extend(path.is_dir().then_some(path));
        }
    }
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
}

/// K13: whether somebody else has asked before is seen in nothing.
#[test]
fn the_question_of_another_partner_leaves_no_trace() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let put = |path: &str, token: &str, text: &str| {
        let reply = server.call("PUT", path, token, &[("content-type", "application/yaml")], text.as_bytes());
        assert!(reply.status < 300, "{}", String::from_utf8_lossy(&reply.body));
    };
    put(
        "/v1/rooms/spring",
        &server.admin(),
        &ROOM.replace("abilities: [contribute]", "abilities: [contribute, query, receive]"),
    );
    let open = purchases_policy().replace("version: 1", "version: 2").replace("[agency]", "[agency, retailer]");
    put("/v1/rooms/spring/tables/retailer.purchases/policy", &retailer, &open);
    let told = |token: &str, sql: &str| {
        let reply = server.ask(token, sql);
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        assert_eq!(reply.header("cache-control"), "no-store");
        // What says when, and what is another each time.
        let free = ["date", "content-length", "x-request-id", "location"];
        let kept = reply.headers.iter().filter(|(name, _)| !free.contains(&name.as_str())).cloned();
        let headers: BTreeSet<(String, String)> = kept.collect();
        for name in ["age", "etag", "last-modified", "x-cache"] {
            assert_eq!(reply.header(name), "", "{name}");
        }
        let mut body = reply.json();
        let object = body.as_object_mut().unwrap();
        assert!(object.remove("query_id").is_some() && object.remove("receipt").is_some());
        (headers, body)
    };
    let asked = "SELECT department, SUM(amount) AS s FROM retailer.purchases GROUP BY department";
    let fresh = asked.replace("SUM(amount)", "SUM(amount) + 0");
    let first = told(&agency, asked);
    let (repeated, other) = (told(&retailer, asked), told(&retailer, &fresh));
    assert_eq!(first, repeated);
    assert_eq!(repeated.0, other.0);
    let mine = server.call("GET", "/v1/rooms/spring/queries", &retailer, &[], b"").json();
    assert_eq!(mine["queries"].as_array().unwrap().len(), 2, "{mine}");
}
