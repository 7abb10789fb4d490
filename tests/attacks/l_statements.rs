//! L: statements, files, functions.

use std::fs;

use super::{all_refused, room};

#[test]
fn only_select_and_only_listed_functions() {
    let room = room();
    let before: Vec<_> = fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let statement: &[&str] = &["CR1001", "CR1002"];
    all_refused(
        &room,
        "publisher",
        &[
            ("COPY (SELECT email_hash FROM retailer.purchases) TO 'leak_test.csv' STORED AS CSV", statement),
            (
                "EXPLAIN ANALYZE COPY (SELECT email_hash FROM retailer.purchases) TO 'leak_test2.csv' STORED AS CSV",
                statement,
            ),
            (
                "EXPLAIN SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category",
                statement,
            ),
            ("EXPLAIN ANALYZE SELECT category, COUNT(*) FROM retailer.purchases GROUP BY category", statement),
            ("EXPLAIN VERBOSE SELECT COUNT(*) FROM retailer.purchases", statement),
            ("DESCRIBE retailer.purchases", statement),
            ("SHOW TABLES", statement),
            ("CREATE TABLE leak AS SELECT email_hash FROM retailer.purchases", statement),
            ("CREATE EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '/etc/passwd'", statement),
            ("INSERT INTO publisher.users SELECT * FROM publisher.users LIMIT 1", statement),
            ("DELETE FROM retailer.purchases WHERE category='garden'", statement),
            ("UPDATE retailer.purchases SET amount = 0", statement),
            ("TRUNCATE TABLE retailer.purchases", statement),
            ("DROP TABLE retailer.purchases", statement),
            ("ALTER TABLE retailer.purchases ADD COLUMN x INT", statement),
            ("PREPARE p AS SELECT email_hash FROM retailer.purchases LIMIT $1", statement),
            ("EXECUTE p(2)", statement),
            ("DEALLOCATE p", statement),
            ("SET datafusion.catalog.information_schema = true", statement),
            ("BEGIN", statement),
            ("SELECT category, COUNT(*) INTO leak FROM retailer.purchases GROUP BY category", &["CR1003"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE file_row_index() = 5", &["CR2301"]),
            ("SELECT input_file_name(), COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR2301"]),
            (
                "SELECT COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE random() < 0.5",
                &["CR2301"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE uuid() > 'a'", &["CR2301"]),
            ("SELECT version()", &["CR2301"]),
            ("SELECT repeat('x', 1000000000)", &["CR2301"]),
            ("SELECT array_length(array_repeat(1, 2000000000))", &["CR2301", "CR1003", "CR1008"]),
            ("SELECT * FROM '/etc/passwd'", &["CR1005", "CR1001"]),
            ("SELECT * FROM generate_series(1, 1000000000)", &["CR1003"]),
            ("SELECT * FROM parquet_metadata('x')", &["CR1003"]),
            ("SELECT unnest([1, 2, 3])", &["CR1003", "CR1008", "CR2301"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE category = $1", &["CR1006"]),
            ("SELECT @@version", &["CR1003", "CR1001", "CR1008"]),
        ],
    );
    let mut after: Vec<_> = fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    after.retain(|name| name != ".cleanroom");
    assert_eq!(before.len(), after.len(), "a statement left a file: {after:?}");
}

#[test]
fn large_and_deep_statements_are_refused_and_the_next_is_answered() {
    let room = room();
    let chain =
        format!("SELECT category, SUM(amount){} FROM retailer.purchases GROUP BY category", "+1".repeat(20_000));
    let ors = format!("SELECT COUNT(*) FROM retailer.purchases WHERE {}", vec!["category='a'"; 5000].join(" OR "));
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    let unions = vec!["SELECT 1"; 5000].join(" UNION ALL ");
    let doubling = (1..=24).fold("WITH c0 AS (SELECT 1 AS x)".to_owned(), |sql, step| {
        format!("{sql}, c{step} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", step - 1)
    }) + " SELECT COUNT(*) FROM c24";
    for sql in [&chain, &ors, &deep, &unions, &doubling] {
        let answer = room.ask("publisher", sql);
        assert_eq!(answer.outcome(), "refused", "{}", answer.json);
        assert_eq!(answer.code(), "CR1004", "{}", answer.json);
    }
    // As long as is allowed: it is planned, checked and executed without touching the end of a stack.
    let long = format!("SELECT SUM(amount){} AS x FROM retailer.purchases", "+1".repeat(199));
    let answer = room.ask("publisher", &long);
    assert_eq!(answer.outcome(), "released", "{}", answer.json);
    let ors = format!("SELECT COUNT(*) FROM retailer.purchases WHERE {}", vec!["category='garden'"; 250].join(" OR "));
    assert_eq!(room.ask("publisher", &ors).outcome(), "released");
}
