//! J: errors say nothing about rows, and no row makes one.

use super::{all_refused, room, unseen};
use crate::support::Room;

#[test]
fn what_could_raise_is_refused_before_a_row_is_read() {
    let room = room();
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE CAST(email_hash AS BIGINT) > 0 GROUP BY category",
                &["CR2103", "CR2104"],
            ),
            (
                "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE 1/(CASE WHEN zip='99950' THEN 0 ELSE 1 END) = 1 GROUP BY category",
                &["CR1005"],
            ),
            ("SELECT COUNT(chr(age - 98)) FROM retailer.purchases WHERE age >= 97", &["CR1005"]),
            ("SELECT COUNT(*) FROM retailer.purchases WHERE chr(CAST(category AS INT)) = 'x'", &["CR2301"]),
            (
                "SELECT COUNT(substr(category, 1, length(category) - 5)) FROM retailer.purchases",
                &["CR2301", "CR2107", "CR2108"],
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE ts + INTERVAL '1000000 years' > now()",
                &["CR1005", "CR2301"],
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE amount > (SELECT amount FROM retailer.purchases WHERE zip='10000')",
                &["CR1005", "CR2304", "CR2106"],
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE category = (SELECT category FROM retailer.purchases)",
                &["CR2304", "CR2303", "CR2101", "CR2202"],
            ),
        ],
    );
    // Refused alike, whether the value is there or not.
    let refusal = |zip: &str| {
        let sql =
            format!("SELECT COUNT(*) FROM retailer.purchases WHERE 1/(CASE WHEN zip='{zip}' THEN 0 ELSE 1 END) = 1");
        let answer = room.ask("publisher", &sql);
        (answer.exit, answer.json["error"].clone())
    };
    assert_eq!(refusal("99950"), refusal("99959"));
}

#[test]
fn a_value_that_does_not_fit_raises_nothing() {
    let room = room();
    for condition in [
        "1 / (CASE WHEN category = 'bulk' THEN 0 ELSE 1 END) = 1",
        "1 % (CASE WHEN category = 'bulk' THEN 0 ELSE 1 END) = 0",
        "CAST(category AS BIGINT) IS NULL",
        "CAST(category AS DATE) IS NULL",
        "CAST(concat('9', CASE WHEN category = 'bulk' THEN '999999999999999999999' ELSE '' END) AS BIGINT) > 0",
        "sqrt(CASE WHEN category = 'bulk' THEN -1 ELSE 1 END) = 1",
        "ln(CASE WHEN category = 'bulk' THEN 0 ELSE 1 END) = 0",
        "power(CASE WHEN category = 'bulk' THEN 10 ELSE 1 END, 100) = 1",
        "9223372036854775807 + (CASE WHEN category = 'bulk' THEN 1 ELSE 0 END) > 0",
    ] {
        // With the people of `bulk`, and with nobody who could raise.
        for more in ["", " AND category <> 'bulk'"] {
            let sql = format!("SELECT COUNT(DISTINCT email_hash) AS n FROM retailer.purchases WHERE {condition}{more}");
            let answer = room.ask("publisher", &sql);
            unseen(&answer);
            assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
        }
    }
}

/// J07: one row of another kind changes neither the outcome nor what a number is.
#[test]
fn poison_in_the_data_is_told_to_its_owner_or_clamped() {
    const ROOM: &str = "apiVersion: cleanroom/v1\nkind: Room\nname: poison\npartners:\n  - name: shop\n    abilities: [contribute]\n    tables:\n      \
        - {name: sales, source: {file: sales.csv}, policy: sales.yaml}\n  - name: media\n    abilities: [query, receive]\n";
    const POLICY: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\nunit: {column: email, space: email}\ncolumns:\n  \
        email: {use: [join, count]}\n  amount: {use: [measure], bounds: [0, 100]}\n\
        joins: {require: none}\nrelease: {min_units: 25}\naccess: {analysts: [media]}\n";
    for poison in ["NaN", "inf", "-inf", "Infinity", "1e308", "-1e308", "-0.0", "5e-324", "1e999"] {
        let room = Room::new(ROOM, &[("sales.yaml", POLICY)]);
        let rows: Vec<String> =
            (0..60).map(|k| format!("p{k}@x.org,{}", if k == 7 { poison } else { "1.5" })).collect();
        std::fs::write(room.path().join("sales.csv"), format!("email,amount\n{}\n", rows.join("\n"))).unwrap();
        let applied = room.run(&[
            "query",
            "--room",
            "room.yaml",
            "--as",
            "media",
            "--format",
            "json",
            "SELECT SUM(amount) AS s, AVG(amount) AS a FROM shop.sales",
        ]);
        let text = String::from_utf8_lossy(&applied.stdout).into_owned();
        match applied.status.code() {
            Some(0) => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                let sum = json["rows"][0][0].as_f64().unwrap_or_else(|| panic!("{poison}: {text}"));
                assert!((88.5..=188.5).contains(&sum), "{poison}: {text}");
            }
            // The owner is told; there is nothing to ask then.
            code => assert_eq!(code, Some(2), "{poison}: {text}{}", String::from_utf8_lossy(&applied.stderr)),
        }
    }
}
