//! D: what counts towards a floor.

use super::{all_refused, room, unseen};

#[test]
fn only_distinct_units_count() {
    let room = room();
    for sql in [
        // 500 rows of 5 people, 40 rows of nobody, 24 people.
        "SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category='bulk' GROUP BY category",
        "SELECT category, COUNT(*), COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE category='nullkey' GROUP BY category",
        "SELECT category, COUNT(*), SUM(amount) FROM retailer.purchases WHERE category='edge24' GROUP BY category",
        "SELECT COUNT(*), SUM(amount) FROM retailer.purchases WHERE category='edge24'",
        "SELECT SUM(amount) FROM retailer.purchases WHERE category='bulk'",
        "SELECT category, COUNT(*) FROM (SELECT * FROM retailer.purchases UNION ALL SELECT * FROM retailer.purchases) t WHERE category IN ('bulk', 'edge24') GROUP BY category",
        // A branch of one person beside a branch of all.
        "SELECT COUNT(*) FROM (SELECT email_hash FROM publisher.users UNION ALL SELECT email_hash FROM publisher.users WHERE state = 'AK') t",
        // Fan-out through joins adds rows, not people.
        "SELECT p.category, COUNT(*) FROM retailer.purchases p JOIN retailer.purchases q ON p.email_hash = q.email_hash WHERE p.category = 'edge24' GROUP BY p.category",
        "SELECT p.category, COUNT(*) FROM retailer.purchases p JOIN publisher.impressions i ON p.email_hash = i.email_hash JOIN publisher.impressions j ON p.email_hash = j.email_hash WHERE p.category = 'edge24' GROUP BY p.category",
        // The floor is applied below, not after what the query then asks.
        "SELECT category, n FROM (SELECT category, COUNT(DISTINCT email_hash) n FROM retailer.purchases GROUP BY category) t WHERE n = 24",
        "SELECT category, n FROM (SELECT category, COUNT(DISTINCT email_hash) n FROM retailer.purchases GROUP BY category) t WHERE n < 25",
        "SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) < 25",
        "SELECT u.state, COUNT(*) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash WHERE u.state = 'AK' GROUP BY u.state",
        // Nobody matches: nothing tells an empty group from a small one.
        "SELECT SUM(amount) FROM retailer.purchases WHERE category = 'none such'",
    ] {
        let answer = room.ask("publisher", sql);
        unseen(&answer);
        assert!(answer.rows().is_empty(), "{sql}: {}", answer.json);
        assert_eq!(answer.json["notes"][0], "groups below the floor are not shown");
        assert_eq!(answer.exit, 0);
    }
}

#[test]
fn every_cell_has_its_own_floor() {
    let room = room();
    let answer = room.ask(
        "publisher",
        "SELECT COUNT(DISTINCT p.email_hash) AS n, SUM(p.amount) FILTER (WHERE u.state='AK') AS s, \
                COUNT(*) FILTER (WHERE u.state='AK') AS c, \
                SUM(CASE WHEN u.state='AK' THEN p.amount ELSE 0 END) AS z, \
                COUNT(DISTINCT CASE WHEN u.state='AK' THEN p.email_hash END) AS d \
         FROM retailer.purchases p JOIN publisher.users u ON p.email_hash=u.email_hash",
    );
    unseen(&answer);
    let row = &answer.rows()[0];
    assert_eq!(row[0].as_f64(), Some(1201.0));
    assert!(row[1..].iter().all(serde_json::Value::is_null), "{}", answer.json);
}

#[test]
fn other_ways_to_count_are_refused() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT category, COUNT(DISTINCT COALESCE(CAST(email_hash AS VARCHAR), category)) n FROM retailer.purchases GROUP BY category",
                &["CR2103", "CR2104", "CR2108"],
            ),
            (
                "SELECT category, COUNT(DISTINCT concat(email_hash, category)) n FROM retailer.purchases WHERE category='bulk' GROUP BY category",
                &["CR2103", "CR1008", "CR2108"],
            ),
            (
                "SELECT p.category, COUNT(DISTINCT u.email_hash) n, SUM(p.amount) s FROM retailer.purchases p CROSS JOIN publisher.users u WHERE p.category='edge24' GROUP BY p.category",
                &["CR2201"],
            ),
            (
                "SELECT COUNT(DISTINCT email_hash), SUM(amount) FROM (SELECT * FROM retailer.purchases ORDER BY category DESC LIMIT 26) t",
                &["CR2302"],
            ),
            (
                "SELECT COUNT(DISTINCT email_hash) FROM (SELECT * FROM retailer.purchases LIMIT 27 OFFSET 1) t",
                &["CR2302"],
            ),
            (
                "SELECT category, SUM(amount) FROM retailer.purchases TABLESAMPLE (10) GROUP BY category",
                &["CR1003", "CR1001"],
            ),
            (
                "SELECT category, SUM(amount) FROM retailer.purchases TABLESAMPLE BERNOULLI (10) GROUP BY category",
                &["CR1003", "CR1001"],
            ),
        ],
    );
}
