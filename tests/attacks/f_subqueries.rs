//! F: subqueries, CTEs, set operations; and C: filters that isolate.

use super::{all_refused, room, unseen};

#[test]
fn subqueries_and_sets_are_checked_whole() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT category, COUNT(DISTINCT email_hash) c, (SELECT MAX(email_hash) FROM retailer.purchases) k FROM retailer.purchases GROUP BY category",
                &["CR2107", "CR2103"],
            ),
            (
                "SELECT campaign, COUNT(DISTINCT email_hash) FROM publisher.impressions i WHERE EXISTS (SELECT 1 FROM retailer.purchases p WHERE p.email_hash=i.email_hash AND p.zip='99950') GROUP BY campaign",
                &["CR1005"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE email_hash NOT IN (SELECT email_hash FROM publisher.users WHERE state='AK') GROUP BY category",
                &["CR2202"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE category = 'x' OR email_hash IN (SELECT email_hash FROM publisher.users) GROUP BY category",
                &["CR2202", "CR2304"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE category IN (SELECT state FROM publisher.users) GROUP BY category",
                &["CR2201"],
            ),
            (
                "WITH users AS (SELECT email_hash, zip AS state FROM retailer.purchases) SELECT state, COUNT(DISTINCT email_hash) FROM users GROUP BY state",
                &["CR1005"],
            ),
            (
                "WITH users AS (SELECT email_hash, amount AS state FROM retailer.purchases) SELECT state, COUNT(DISTINCT email_hash) FROM users GROUP BY state",
                &["CR2105"],
            ),
            (
                "SELECT email_hash FROM publisher.users EXCEPT SELECT email_hash FROM retailer.purchases",
                &["CR2206", "CR2101", "CR2202", "CR2302"],
            ),
            (
                "SELECT email_hash FROM publisher.users INTERSECT SELECT email_hash FROM retailer.purchases",
                &["CR2206", "CR2101", "CR2202", "CR2302"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category UNION ALL SELECT category, amount FROM retailer.purchases",
                &["CR2303"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) > (SELECT MAX(amount) FROM retailer.purchases)",
                &["CR2107"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category ORDER BY (SELECT MAX(age) FROM retailer.purchases)",
                &["CR1005"],
            ),
            // Released values steer no protected row.
            (
                "SELECT category, COUNT(*) FROM retailer.purchases WHERE category IN (SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) > 100) GROUP BY category",
                &["CR2303", "CR2304"],
            ),
            (
                "SELECT p.category, COUNT(*) FROM retailer.purchases p JOIN (SELECT category, COUNT(*) AS n FROM retailer.purchases GROUP BY category) t ON p.category = t.category GROUP BY p.category",
                &["CR2303"],
            ),
            (
                "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t",
                &["CR1003"],
            ),
            (
                "SELECT category, x.s FROM retailer.purchases p CROSS JOIN LATERAL (SELECT SUM(amount) AS s FROM retailer.purchases q WHERE q.email_hash = p.email_hash) x",
                &["CR1003"],
            ),
        ],
    );
}

#[test]
fn filters_are_granted_and_total() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT category, COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE email_hash = 'ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976' GROUP BY category",
                &["CR2104"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE email_hash IN ('a', 'b')", &["CR2104", "CR2103"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE email_hash LIKE 'ff%'", &["CR2104", "CR1008"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE email_hash BETWEEN 'a' AND 'b'", &["CR2104", "CR1008"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE email_hash > 5", &["CR2104"]),
            (
                "SELECT category, COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE zip <> '99950' GROUP BY category",
                &["CR1005"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE amount > 7000", &["CR2106"]),
            (
                "SELECT category, SUM(CASE WHEN email_hash='ff' THEN amount END) FROM retailer.purchases GROUP BY category",
                &["CR2104"],
            ),
            (
                "SELECT category, SUM(amount * CASE WHEN category = 'garden' THEN 1 ELSE 0 END) FROM retailer.purchases GROUP BY category",
                &["CR2108"],
            ),
            (
                "SELECT category, SUM(amount * CAST(category = 'garden' AS INT)) FROM retailer.purchases GROUP BY category",
                &["CR2108"],
            ),
            ("SELECT SUM(coalesce(amount, 1)) FROM retailer.purchases", &["CR2108"]),
            ("SELECT AVG(coalesce(amount, 1)) FROM retailer.purchases", &["CR2108"]),
            ("SELECT AVG(CASE WHEN category = 'garden' THEN amount ELSE 0 END) FROM retailer.purchases", &["CR2108"]),
            ("SELECT SUM(CASE WHEN category = 'garden' THEN amount ELSE 1 END) FROM retailer.purchases", &["CR2108"]),
            (
                "SELECT SUM(CASE WHEN category = 'garden' THEN 1 WHEN category = 'toys' THEN 1000 ELSE 0 END) FROM retailer.purchases",
                &["CR2108"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE CAST(email_hash AS BIGINT) > 0 GROUP BY category",
                &["CR2104", "CR2103"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE category ~ '^g'", &["CR2301"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE category = repeat('a', 5)", &["CR2301"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE category = lpad('a', 2147483647)", &["CR2301"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE substr(category, -1, 2) = 'a'", &["CR2301"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE now() > '2020-01-01'", &["CR2301"]),
        ],
    );
}

#[test]
fn casts_that_do_not_fit_give_null_and_no_error() {
    let room = room();
    for sql in [
        "SELECT COUNT(*) FROM retailer.purchases WHERE CAST(category AS BIGINT) > 0",
        "SELECT COUNT(*) FROM retailer.purchases WHERE 1 / CAST(category AS BIGINT) > 0",
        "SELECT COUNT(*) FROM retailer.purchases WHERE 1 / (CASE WHEN category = 'garden' THEN 0 ELSE 1 END) = 7",
        "SELECT COUNT(*) FROM retailer.purchases WHERE CAST(category AS TIMESTAMP) > TIMESTAMP '2020-01-01'",
    ] {
        let answer = room.ask("publisher", sql);
        unseen(&answer);
        assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
        assert!(answer.rows().iter().all(|row| row[0].is_null()), "{sql}: {}", answer.json);
    }
    let guarded = room.ask(
        "publisher",
        "SELECT category, 1/(COUNT(DISTINCT email_hash)-401) AS x FROM retailer.purchases GROUP BY category",
    );
    assert_eq!(guarded.labels().len(), 7, "{}", guarded.json);
}
