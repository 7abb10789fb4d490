//! E: joins, and C13: the asking partner's own rows as weights.

use super::{all_refused, room, unseen};

#[test]
fn joins_are_equalities_of_keys() {
    let room = room();
    let join: &[&str] = &["CR2201", "CR2202", "CR2206"];
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.impressions i ON p.ts = i.ts",
                &["CR1005"],
            ),
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.category = u.state GROUP BY u.state",
                join,
            ),
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash <> u.email_hash GROUP BY u.state",
                &["CR2201", "CR2104"],
            ),
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash OR p.category = 'garden' GROUP BY u.state",
                &["CR2201", "CR2104"],
            ),
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash), SUM(p.amount) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash=u.email_hash AND p.zip <> '99950' GROUP BY u.state",
                &["CR1005"],
            ),
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash=u.email_hash AND p.amount > 7000 GROUP BY u.state",
                &["CR2106"],
            ),
            (
                "SELECT u.state, COUNT(DISTINCT u.email_hash) n, COUNT(DISTINCT p.email_hash) m FROM publisher.users u LEFT JOIN retailer.purchases p ON u.email_hash=p.email_hash GROUP BY u.state",
                join,
            ),
            (
                "SELECT u.state, COUNT(DISTINCT u.email_hash) FROM publisher.users u LEFT ANTI JOIN retailer.purchases p ON u.email_hash=p.email_hash GROUP BY u.state",
                join,
            ),
            (
                "SELECT COUNT(DISTINCT u.email_hash) FROM publisher.users u FULL JOIN retailer.purchases p ON u.email_hash=p.email_hash",
                join,
            ),
            (
                "SELECT u.state, COUNT(DISTINCT u.email_hash) FROM publisher.users u LEFT JOIN retailer.purchases p ON u.email_hash=p.email_hash WHERE p.email_hash IS NULL GROUP BY u.state",
                &["CR2202", "CR2103"],
            ),
            (
                "SELECT COUNT(DISTINCT u.email_hash) FROM publisher.users u JOIN retailer.purchases p ON u.email_hash IS NOT DISTINCT FROM p.email_hash",
                &["CR2201", "CR2206", "CR2104"],
            ),
            ("SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p NATURAL LEFT JOIN publisher.users u", join),
            (
                "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN otherroom.audience a ON a.email_hash=p.email_hash",
                &["CR1005"],
            ),
        ],
    );
}

#[test]
fn a_table_outside_the_room_cannot_be_told_from_none() {
    let room = room();
    let other = room.ask("publisher", "SELECT COUNT(*) FROM otherroom.audience");
    let none = room.ask("publisher", "SELECT COUNT(*) FROM otherroom.nonesuch");
    assert_eq!(other.json["error"]["detail"], none.json["error"]["detail"]);
    assert_eq!(other.json["error"]["code"], none.json["error"]["code"]);
}

#[test]
fn a_protected_table_that_only_filters_is_counted_too() {
    let room = room();
    let answer = room.ask(
        "publisher",
        "SELECT i.campaign, COUNT(*) FROM publisher.impressions i JOIN retailer.purchases p ON i.email_hash=p.email_hash WHERE p.category='bulk' GROUP BY i.campaign",
    );
    unseen(&answer);
    assert!(answer.rows().is_empty());
    let single = room.ask(
        "publisher",
        "SELECT i.campaign, COUNT(*) FROM publisher.impressions i WHERE i.email_hash IN (SELECT email_hash FROM publisher.users WHERE state = 'AK') GROUP BY i.campaign",
    );
    assert!(single.rows().is_empty());
}

#[test]
fn own_rows_cannot_weigh_people() {
    let room = room();
    // The retailer asks: its own amounts are not summed over who is on the other side.
    all_refused(
        &room,
        "retailer",
        &[
            (
                "SELECT u.state, COUNT(DISTINCT p.email_hash), SUM(p.amount) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash GROUP BY u.state",
                &["CR2207"],
            ),
            (
                "SELECT SUM(p.amount) FROM retailer.purchases p WHERE p.email_hash IN (SELECT email_hash FROM publisher.users)",
                &["CR2207"],
            ),
            (
                "SELECT SUM(t.s) FROM (SELECT email_hash, SUM(amount) AS s FROM retailer.purchases GROUP BY email_hash) t JOIN publisher.users u ON t.email_hash = u.email_hash",
                &["CR2207"],
            ),
        ],
    );
    // Nor do its repeated rows count more than once: rows of garden are one a person once only the key is used.
    let rows = room.ask(
        "retailer",
        "SELECT COUNT(*), COUNT(DISTINCT u.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash",
    );
    assert_eq!(rows.rows()[0][0], rows.rows()[0][1], "{}", rows.json);
    assert!(rows.json["notes"].to_string().contains("count once"));
    // Alone, its own table is its own.
    let own = room.ask("retailer", "SELECT SUM(amount) FROM retailer.purchases WHERE category = 'garden'");
    assert_eq!(own.rows()[0][0].as_f64(), Some(87_549.71));
}
