//! A: raw rows and keys.

use super::{all_refused, room, unseen};

#[test]
fn rows_and_keys_stay_inside() {
    let room = room();
    let shape: &[&str] = &["CR2101", "CR2102", "CR1003", "CR2302"];
    let aggregate: &[&str] = &["CR2107"];
    let column: &[&str] = &["CR1005"];
    all_refused(
        &room,
        "publisher",
        &[
            ("SELECT * FROM retailer.purchases", shape),
            ("SELECT email_hash FROM retailer.purchases LIMIT 1", shape),
            ("SELECT category FROM retailer.purchases ORDER BY category LIMIT 5", shape),
            ("FROM retailer.purchases", shape),
            (
                "SELECT p.category FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash",
                shape,
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash), MIN(email_hash), MAX(email_hash) FROM retailer.purchases GROUP BY category",
                &["CR2107", "CR2103"],
            ),
            ("SELECT array_agg(email_hash) FROM retailer.purchases", &["CR2107", "CR2103", "CR2301"]),
            ("SELECT string_agg(category, ',') FROM retailer.purchases", &["CR2107", "CR2108"]),
            (
                "SELECT category, first_value(email_hash ORDER BY amount DESC), nth_value(email_hash, 2) FROM retailer.purchases GROUP BY category",
                &["CR2107", "CR2103", "CR2301"],
            ),
            ("SELECT category, first_value(amount) FROM retailer.purchases GROUP BY category", aggregate),
            ("SELECT category, mean(amount), stddev(amount) FROM retailer.purchases GROUP BY category", aggregate),
            ("SELECT category, var_pop(amount) FROM retailer.purchases GROUP BY category", aggregate),
            ("SELECT category, corr(amount, age) FROM retailer.purchases GROUP BY category", column),
            ("SELECT category, median(amount) FROM retailer.purchases GROUP BY category", aggregate),
            ("SELECT MIN(amount), MAX(amount) FROM retailer.purchases", aggregate),
            ("SELECT approx_distinct(email_hash) FROM retailer.purchases", &["CR2107", "CR2103"]),
            ("SELECT approx_distinct(zip) FROM retailer.purchases", column),
            ("SELECT COUNT(DISTINCT zip), COUNT(zip), COUNT(age) FROM retailer.purchases", column),
            ("SELECT COUNT(DISTINCT category) FROM retailer.purchases", &["CR2108"]),
            ("SELECT COUNT(DISTINCT amount) FROM retailer.purchases", &["CR2108"]),
            (
                "SELECT COUNT(DISTINCT (email_hash, category)) FROM retailer.purchases",
                &["CR2108", "CR2103", "CR2301", "CR1008", "CR1003"],
            ),
            (
                "SELECT SUM(CASE WHEN category='garden' THEN ascii(substr(email_hash,1,1)) ELSE 0 END) FROM retailer.purchases",
                &["CR1008", "CR2103", "CR2108"],
            ),
            ("SELECT category, SUM(amount ORDER BY email_hash) FROM retailer.purchases GROUP BY category", aggregate),
            ("SELECT category, SUM(DISTINCT amount) FROM retailer.purchases GROUP BY category", aggregate),
        ],
    );
}

#[test]
fn small_groups_do_not_show_that_they_exist() {
    let room = room();
    for sql in [
        "SELECT DISTINCT category FROM retailer.purchases",
        "SELECT category FROM retailer.purchases GROUP BY category",
        "SELECT category, COUNT(DISTINCT email_hash) c FROM retailer.purchases GROUP BY category QUALIFY row_number() OVER (ORDER BY COUNT(DISTINCT email_hash)) <= 100",
    ] {
        let answer = room.ask("publisher", sql);
        unseen(&answer);
        assert_eq!(answer.labels().len(), 7, "{sql}: {}", answer.json);
        for small in ["edge24", "bulk", "nullkey", "null"] {
            assert!(!answer.labels().contains(small), "{sql} shows {small}");
        }
    }
}
