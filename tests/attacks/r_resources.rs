//! R: statements that would exhaust the process.

use std::time::{Duration, Instant};

use super::{room, unseen};

#[test]
fn what_would_exhaust_the_process_is_refused_and_the_next_is_answered() {
    let room = room();
    let count = "SELECT COUNT(*) FROM retailer.purchases WHERE";
    let statements = [
        format!("SELECT category, SUM(amount){} FROM retailer.purchases GROUP BY category", "+1".repeat(1000)),
        format!("SELECT category{} FROM retailer.purchases GROUP BY category", "||''".repeat(1000)),
        format!("SELECT SUM(amount{}) FROM retailer.purchases", "::DOUBLE".repeat(2000)),
        format!("{count} {}", vec!["category = 'a'"; 20_000].join(" OR ")),
        format!("{count} {}true", "NOT ".repeat(20_000)),
        format!("{count} {}category = 'a'{}", "(".repeat(3000), ")".repeat(3000)),
        format!("SELECT {}", vec!["1 AS x"; 20_000].join(", ")),
        vec!["SELECT COUNT(*) FROM retailer.purchases"; 2000].join(" UNION ALL "),
        format!("{count} category IN ({})", (0..50_000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ")),
        format!("SELECT {}COUNT(*){} FROM retailer.purchases", "CASE WHEN true THEN ".repeat(2000), " END".repeat(2000)),
        format!("SELECT COUNT(*) FROM {}retailer.purchases{}", "(SELECT * FROM ".repeat(500), ") t".repeat(500)),
        format!("SELECT COUNT(*) FROM retailer.purchases p0 {}", (1..9).map(|n| format!("JOIN retailer.purchases p{n} ON p0.email_hash = p{n}.email_hash ")).collect::<String>()),
        "SELECT MAX(length(lpad(category, 2147483647, 'x'))) FROM retailer.purchases".to_owned(),
        "SELECT COUNT(DISTINCT repeat(email_hash, 10000)) FROM retailer.purchases".to_owned(),
        "SELECT array_length(array_repeat(1, 2000000000))".to_owned(),
        "SELECT lpad('x', 2147483647)".to_owned(),
        "SELECT category, COUNT(*) FROM retailer.purchases GROUP BY CUBE(category, upper(category), lower(category), length(category), left(category, 1), left(category, 2), left(category, 3), left(category, 4), left(category, 5), left(category, 6), left(category, 7), left(category, 8))".to_owned(),
        "\u{0}".repeat(100_000),
        "/*".repeat(50_000),
        "'".repeat(100_001),
    ];
    for sql in &statements {
        // Longer than an argument of a command may be.
        std::fs::write(room.path().join("q.sql"), sql).unwrap();
        let start = Instant::now();
        let output =
            room.run(&["query", "--room", "room.yaml", "--as", "publisher", "--format", "json", "--file", "q.sql"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let beginning: String = sql.chars().take(80).collect();
        assert!(
            matches!(output.status.code(), Some(2 | 3)),
            "{:?} for `{beginning}`: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(start.elapsed() < Duration::from_secs(30), "`{beginning}` took {:?}", start.elapsed());
    }
    let answer =
        room.ask("publisher", "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category");
    unseen(&answer);
    assert_eq!(answer.labels().len(), 7);
}
