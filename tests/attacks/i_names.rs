//! I: names and the parser.

use super::{all_refused, room};

#[test]
fn names_open_nothing() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT datafusion.retailer.purchases.zip, COUNT(*) FROM datafusion.retailer.purchases GROUP BY 1",
                &["CR1005"],
            ),
            ("SELECT room.retailer.purchases.zip, COUNT(*) FROM room.retailer.purchases GROUP BY 1", &["CR1005"]),
            ("SELECT email_hsh FROM retailer.purchases", &["CR1005"]),
            ("SELECT COUNT(*) FROM retailer.purchase", &["CR1005"]),
            ("SELECT COUNT(*) FROM purchases", &["CR1005"]),
            ("SELECT COUNT(*) FROM \"Retailer\".\"Purchases\"", &["CR1005"]),
            ("SELECT \"ZIP\", COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR1005"]),
            ("SELECT __cr_unit_0, COUNT(*) FROM retailer.purchases GROUP BY 1", &["CR1005"]),
            ("SELECT COUNT(*) AS n FROM __cr_release_0", &["CR1005"]),
            ("SELECT 1; SELECT * FROM retailer.purchases", &["CR1002"]),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category; SET datafusion.execution.batch_size = 1",
                &["CR1002"],
            ),
            ("", &["CR1002", "CR1001"]),
            ("SELEC category", &["CR1001"]),
            ("SELECT 'unterminated", &["CR1001"]),
            ("CREATE VIEW v AS SELECT email_hash AS category, amount FROM retailer.purchases", &["CR1002"]),
            ("SELECT category, COUNT(*) FROM v GROUP BY category", &["CR1005"]),
            (
                "SELECT category, COUNT(DISTINCT email_hash) AS n, SUM(amount) AS n FROM retailer.purchases GROUP BY category",
                &["CR1007"],
            ),
            ("SELECT * FROM information_schema.tables", &["CR1005"]),
            ("SELECT * FROM pg_catalog.pg_class", &["CR1005"]),
        ],
    );
}

#[test]
fn a_hidden_column_cannot_be_told_from_none() {
    let room = room();
    let hidden = room.ask("publisher", "SELECT zip, COUNT(*) FROM retailer.purchases GROUP BY zip");
    let none = room.ask("publisher", "SELECT zap, COUNT(*) FROM retailer.purchases GROUP BY zap");
    let text = |answer: &crate::support::Answer| answer.json["error"].to_string().replace("zip", "").replace("zap", "");
    assert_eq!(text(&hidden), text(&none));
    for answer in [&hidden, &none] {
        let printed = String::from_utf8_lossy(&answer.printed);
        assert!(!printed.contains("Did you mean") && !printed.contains("Valid fields") && !printed.contains("amount"));
    }
}
