//! C: filters and conditional aggregates that isolate one person.

use super::{all_refused, room, unseen};
use crate::support::Room;

#[test]
fn a_key_a_hidden_column_or_a_measure_chooses_no_row() {
    let room = room();
    let key = "ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976";
    let where_key = format!(
        "SELECT category, COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE email_hash = '{key}' GROUP BY category"
    );
    let case_key = format!(
        "SELECT category, COUNT(DISTINCT email_hash), SUM(CASE WHEN email_hash = '{key}' THEN amount END) FROM retailer.purchases GROUP BY category"
    );
    let filter_key = format!(
        "SELECT category, SUM(amount) FILTER (WHERE email_hash = '{key}') FROM retailer.purchases GROUP BY category"
    );
    let not_key = format!(
        "SELECT category, SUM(amount) FROM retailer.purchases WHERE NOT (email_hash = '{key}') GROUP BY category"
    );
    all_refused(
        &room,
        "publisher",
        &[
            (&where_key, &["CR2104"]),
            (&case_key, &["CR2104"]),
            (&filter_key, &["CR2104"]),
            (&not_key, &["CR2104"]),
            (
                "SELECT category, COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE zip <> '99950' GROUP BY category",
                &["CR1005"],
            ),
            (
                "SELECT category, SUM(CAST(zip='99950' AS INT)), SUM(amount*CAST(zip='99950' AS INT)) FROM retailer.purchases GROUP BY category",
                &["CR1005"],
            ),
            (
                "SELECT category, SUM(amount * CAST(category = 'garden' AS INT)) FROM retailer.purchases GROUP BY category",
                &["CR2108"],
            ),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE amount = 7919.13", &["CR2106"]),
            ("SELECT COUNT(*) FILTER (WHERE amount > 7000) FROM retailer.purchases", &["CR2106"]),
        ],
    );
}

#[test]
fn a_granted_filter_isolates_nobody() {
    let room = room();
    let join = "FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash";
    for cell in [
        "SUM(p.amount) FILTER (WHERE u.state = 'AK')",
        "AVG(p.amount) FILTER (WHERE u.state = 'AK')",
        "COUNT(*) FILTER (WHERE u.state = 'AK' AND p.category = 'garden')",
        "SUM(CASE WHEN u.state = 'AK' THEN p.amount END)",
        "SUM(CASE WHEN u.age_band = '90+' THEN p.amount ELSE 0 END)",
        "SUM(CAST(u.state = 'AK' AS INT))",
        "SUM(coalesce(CASE WHEN u.state = 'AK' THEN p.amount END, 0))",
        "COUNT(DISTINCT p.email_hash) FILTER (WHERE u.state NOT IN ('CA', 'NY', 'TX', 'WA'))",
    ] {
        let answer = room.ask("publisher", &format!("SELECT COUNT(DISTINCT p.email_hash) AS n, {cell} AS s {join}"));
        unseen(&answer);
        assert_eq!(answer.rows()[0][0].as_f64(), Some(1201.0), "{cell}");
        assert!(answer.rows()[0][1].is_null(), "{cell}: {}", answer.json);
    }
}

/// C11: of 60 people only one has the figure.
#[test]
fn a_figure_that_few_have_is_not_shown() {
    const ROOM: &str = "apiVersion: cleanroom/v1\nkind: Room\nname: sparse\npartners:\n  - name: shop\n    abilities: [contribute]\n    tables:\n      \
        - {name: sales, source: {file: sales.csv}, policy: sales.yaml}\n  - name: media\n    abilities: [query, receive]\n";
    const POLICY: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\nunit: {column: email, space: email}\ncolumns:\n  \
        email: {use: [join, count]}\n  kind: {use: [dimension, filter]}\n  amount: {use: [measure], bounds: [0, 10000]}\n\
        joins: {require: none}\nrelease: {min_units: 25}\naccess: {analysts: [media]}\n";
    let room = Room::new(ROOM, &[("sales.yaml", POLICY)]);
    let rows: Vec<String> =
        (0..60).map(|k| format!("p{k}@x.org,garden,{}", if k == 7 { "7919.13" } else { "" })).collect();
    std::fs::write(room.path().join("sales.csv"), format!("email,kind,amount\n{}\n", rows.join("\n"))).unwrap();
    let answer = room.ask(
        "media",
        "SELECT kind, COUNT(DISTINCT email) AS n, SUM(amount) AS s, AVG(amount) AS a, COUNT(amount) AS c, SUM(amount * 2) AS d FROM shop.sales GROUP BY kind",
    );
    unseen(&answer);
    let row = &answer.rows()[0];
    assert_eq!(row[1].as_f64(), Some(60.0));
    assert!(row[2..].iter().all(serde_json::Value::is_null), "{}", answer.json);
}
