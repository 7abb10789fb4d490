//! K: what stands around an answer, and under its visible cells.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{all_refused, room, unseen};
use crate::server::{Reply, Server, data_dir, purchases};

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
            for secret in [&b"few people"[..], b"that few", b"example.org", b"4111"] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{sql} as {accept}");
            }
        }
        let known: BTreeSet<&str> = ["query_id", "outcome", "columns", "rows", "cost", "notes", "receipt"].into();
        let body: Value = asked.json();
        assert!(body.as_object().unwrap().keys().all(|key| known.contains(key.as_str())), "{body}");
    }
    assert_eq!(headers.len(), 1, "the headers differ: {headers:?}");
}
