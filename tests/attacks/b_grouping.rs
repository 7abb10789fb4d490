//! B: grouping.

use super::{all_refused, room};

#[test]
fn groups_are_made_of_granted_columns() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT email_hash, COUNT(*), SUM(amount) FROM retailer.purchases GROUP BY email_hash",
                &["CR2101", "CR2102"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases GROUP BY email_hash", &["CR2101", "CR2102"]),
            ("SELECT email_hash, COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR2101", "CR2102"]),
            ("SELECT zip, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY 1", &["CR1005"]),
            (
                "SELECT category, amount AS email_hash, SUM(amount) FROM retailer.purchases GROUP BY category, amount HAVING COUNT(DISTINCT email_hash) >= 25",
                &["CR2105"],
            ),
            ("SELECT amount, COUNT(*) FROM retailer.purchases GROUP BY amount", &["CR2105"]),
            ("SELECT round(amount / 100), COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR2105"]),
            (
                "SELECT concat(category, zip) AS category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY concat(category, zip)",
                &["CR1005"],
            ),
            (
                "SELECT category, random() < 0.5 AS b, COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases GROUP BY category, random() < 0.5",
                &["CR2301"],
            ),
            ("SELECT category, COUNT(*) FROM retailer.purchases GROUP BY ROLLUP(category, email_hash)", &["CR1009"]),
            (
                "SELECT substr(CAST(email_hash AS VARCHAR), 1, 2), COUNT(*) FROM retailer.purchases GROUP BY 1",
                &["CR2103", "CR2104"],
            ),
            ("SELECT email_hash IS NULL, COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR2103"]),
            (
                "SELECT CASE WHEN amount > 1000 THEN 'rich' ELSE 'poor' END, COUNT(*) FROM retailer.purchases GROUP BY 1",
                &["CR2106"],
            ),
        ],
    );
}
