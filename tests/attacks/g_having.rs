//! G: HAVING, ORDER BY, LIMIT and arithmetic over aggregates see released values, and nothing else.

use super::{room, unseen};

#[test]
fn what_follows_an_aggregate_sees_only_what_is_released() {
    let room = room();
    // The groups below the floor are not there to be compared, ordered or counted.
    for (sql, labels) in [
        (
            "SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) = 401",
            vec!["garden", "toys"],
        ),
        ("SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) = 24", vec![]),
        ("SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) < 25", vec![]),
        (
            "SELECT category FROM retailer.purchases GROUP BY category HAVING COUNT(*) >= 500 AND category = 'bulk'",
            vec![],
        ),
        // The largest sum of all is that of a released group; the smallest group does not use the limit up.
        (
            "SELECT category, SUM(amount) AS s FROM retailer.purchases GROUP BY category ORDER BY s DESC LIMIT 1",
            vec!["whale"],
        ),
        (
            "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category ORDER BY n LIMIT 1",
            vec!["edge25"],
        ),
        (
            "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category ORDER BY n, category LIMIT 2 OFFSET 1",
            vec!["books", "whale"],
        ),
        (
            "SELECT category, ROW_NUMBER() OVER (ORDER BY COUNT(DISTINCT email_hash), category) AS p FROM retailer.purchases GROUP BY category QUALIFY ROW_NUMBER() OVER (ORDER BY COUNT(DISTINCT email_hash)) = 1",
            vec!["edge25"],
        ),
    ] {
        let answer = room.ask("publisher", sql);
        unseen(&answer);
        assert_eq!(answer.labels().into_iter().collect::<Vec<_>>(), labels, "{sql}: {}", answer.json);
    }
    let ranks = room.ask(
        "publisher",
        "SELECT MAX(n) AS most, MIN(n) AS least, COUNT(*) AS groups FROM (SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category) t",
    );
    assert_eq!(ranks.rows()[0].iter().map(|cell| cell.as_f64().unwrap()).collect::<Vec<_>>(), [401.0, 25.0, 7.0]);
    // The order is that of what is shown.
    let ordered = room.ask(
        "publisher",
        "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category ORDER BY COUNT(DISTINCT email_hash) DESC",
    );
    let counts: Vec<f64> = ordered.rows().iter().map(|row| row[1].as_f64().unwrap()).collect();
    assert!(counts.is_sorted_by(|left, right| left >= right) && counts.len() == 7, "{}", ordered.json);
}

#[test]
fn arithmetic_over_aggregates_does_not_fail_by_a_count() {
    let room = room();
    for by in ["401", "400", "25", "24", "5"] {
        let sql = format!(
            "SELECT category, 1 / (COUNT(DISTINCT email_hash) - {by}) AS x FROM retailer.purchases GROUP BY category"
        );
        let answer = room.ask("publisher", &sql);
        unseen(&answer);
        assert_eq!(answer.labels().len(), 7, "{sql}: {}", answer.json);
    }
    for sql in [
        "SELECT TRY_CAST(COUNT(*) AS TINYINT) AS x FROM retailer.purchases",
        "SELECT SUM(amount) / (COUNT(*) - 4590) AS x FROM retailer.purchases",
    ] {
        let answer = room.ask("publisher", sql);
        assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
        // What does not fit is missing; it is never another number.
        let number = answer.rows()[0][0].as_f64();
        assert!(number.is_none_or(|number| number >= 4630.0), "{sql}: {}", answer.json);
    }
    let scaled = room.ask(
        "publisher",
        "SELECT SUM(amount) * 1e12 AS a, SUM(amount) / 1e-9 AS b FROM retailer.purchases WHERE category = 'edge24'",
    );
    unseen(&scaled);
    assert!(scaled.rows().is_empty());
}
