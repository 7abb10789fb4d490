//! Ways in which a value is passed through something that looks like an aggregate's honest argument: what a reviewer found
//! in the first build, and what closes each class.

use super::{all_refused, room, unseen};
use crate::support::Room;

#[test]
fn a_sum_is_not_made_a_test_of_one_value() {
    let room = room();
    let measure: &[&str] = &["CR2108"];
    all_refused(
        &room,
        "publisher",
        &[
            // A count that is 0 for all but one person is a factor that keeps that person's amount.
            (
                "SELECT SUM(n*a) FROM (SELECT p.email_hash, COUNT(*) FILTER (WHERE u.state='AK') AS n, SUM(p.amount) AS a FROM retailer.purchases p JOIN publisher.users u ON p.email_hash=u.email_hash GROUP BY p.email_hash) t",
                &["CR2108", "CR2207"],
            ),
            (
                "SELECT SUM(n * 2) FROM (SELECT email_hash, COUNT(DISTINCT category) AS n FROM retailer.purchases GROUP BY email_hash) t",
                measure,
            ),
            (
                "SELECT SUM(-n) FROM (SELECT email_hash, COUNT(DISTINCT category) AS n FROM retailer.purchases GROUP BY email_hash) t",
                measure,
            ),
            (
                "SELECT SUM(n + m) FROM (SELECT email_hash, COUNT(DISTINCT category) AS n, COUNT(*) AS m FROM retailer.purchases GROUP BY email_hash) t",
                measure,
            ),
            (
                "SELECT SUM(n + 1) FROM (SELECT email_hash, COUNT(*) FILTER (WHERE category='bulk') AS n FROM retailer.purchases GROUP BY email_hash) t",
                measure,
            ),
            (
                "SELECT SUM(n) FROM (SELECT email_hash, COUNT(DISTINCT category) - 1 AS n FROM retailer.purchases GROUP BY email_hash) t",
                measure,
            ),
            // Powers, remainders, steps, saturation and shifts.
            ("SELECT SUM(amount * amount) FROM retailer.purchases", measure),
            ("SELECT SUM(amount * amount * amount) FROM retailer.purchases", measure),
            ("SELECT SUM(amount) - SUM(amount % 7000) FROM retailer.purchases", measure),
            ("SELECT SUM((amount - 7919.125) * 1e300) FROM retailer.purchases", measure),
            ("SELECT SUM(amount * 1e6 * 1e6) FROM retailer.purchases", measure),
            ("SELECT SUM(amount / 0.11 / 0.11 / 0.11 / 0.11 / 0.11 / 0.11 / 0.11) FROM retailer.purchases", measure),
            ("SELECT SUM(amount * 0.11 * 0.11 * 0.11 * 0.11 * 0.11 * 0.11 * 0.11) FROM retailer.purchases", measure),
            ("SELECT SUM(amount + 100000) FROM retailer.purchases", measure),
            ("SELECT SUM(amount / (amount - 5)) FROM retailer.purchases", measure),
            ("SELECT SUM(CAST(amount AS TINYINT)) FROM retailer.purchases", measure),
            ("SELECT SUM(CAST(amount AS BIGINT)) FROM retailer.purchases", measure),
            ("SELECT COUNT(CAST(amount AS TINYINT)) FROM retailer.purchases", &["CR2106", "CR2108"]),
            ("SELECT COUNT(amount / (amount - 7919.13)) FROM retailer.purchases", &["CR2106", "CR2108"]),
        ],
    );
    // Doubled again and again, with an aggregate between so that no statement is long.
    let doubled = (0..6).fold(
        "SELECT email_hash, SUM(amount) AS x FROM retailer.purchases GROUP BY email_hash".to_owned(),
        |inner, _| format!("SELECT email_hash, SUM(x+x+x+x+x+x+x+x+x+x+x+x) AS x FROM ({inner}) t GROUP BY email_hash"),
    );
    all_refused(&room, "publisher", &[(&format!("SELECT SUM(x) FROM ({doubled}) t"), &["CR2108", "CR2105"])]);
    // Counts that are 0 for all but one person: whoever has none contributes nothing, so that one stands alone.
    // The same of counts that are 1 for all but one person, and of flags.
    for n in [
        "COUNT(*) FILTER (WHERE category='bulk')",
        "COUNT(CASE WHEN category='bulk' THEN 1 END)",
        "SUM(CASE WHEN category='bulk' THEN 1 ELSE 0 END)",
        "SUM(CASE WHEN category='bulk' THEN amount ELSE 0 END)",
        "COUNT(DISTINCT CASE WHEN category='bulk' THEN 1 ELSE 0 END)",
        "COUNT(DISTINCT CASE WHEN category='bulk' THEN upper(category) END)",
        "MAX(CASE WHEN category='bulk' THEN 1 ELSE 0 END)",
        "MIN(CASE WHEN category='bulk' THEN 1 ELSE 0 END)",
        "CAST(BOOL_OR(category='bulk') AS BIGINT)",
    ] {
        let units = format!("(SELECT email_hash, {n} AS n FROM retailer.purchases GROUP BY email_hash) t");
        let doubled = format!("(SELECT email_hash, SUM(n) AS n FROM {units} GROUP BY email_hash) d");
        for of in ["SUM(n)", "AVG(n)", "SUM(COALESCE(n, 0))", "AVG(COALESCE(n, 0))", "AVG(n) FILTER (WHERE n >= 0)"] {
            let sql = format!("SELECT {of} FROM {units}");
            let answer = room.ask("publisher", &sql);
            if answer.outcome() == "released" {
                assert!(answer.rows()[0][0].is_null(), "{sql}: {}", answer.json);
            }
        }
        for of in ["SUM(n)", "AVG(n)"] {
            let sql = format!("SELECT {of} FROM {doubled}");
            let answer = room.ask("publisher", &sql);
            if answer.outcome() == "released" {
                assert!(answer.rows()[0][0].is_null(), "{sql}: {}", answer.json);
            }
        }
        let sql = format!("SELECT SUM(n) FROM {units}");
        assert_eq!(room.ask("publisher", &sql).outcome(), "released", "{sql}");
    }
    // An average over all of what one person has is that person's amount.
    for of in ["AVG(COALESCE(a, 0))", "SUM(COALESCE(a, 0))", "AVG(COALESCE(a, 0)) * COUNT(*)"] {
        let sql = format!(
            "SELECT {of} FROM (SELECT CASE WHEN category='bulk' THEN amount END AS a FROM retailer.purchases) t"
        );
        let answer = room.ask("publisher", &sql);
        assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
        assert!(answer.rows()[0][0].is_null(), "{sql}: {}", answer.json);
    }
    // What stays: multiples by moderate constants, and arithmetic with what is released.
    let answer = room.ask(
        "publisher",
        "SELECT SUM(amount * 2), SUM(amount / 2), SUM(-amount) FROM retailer.purchases WHERE category = 'garden'",
    );
    let row = &answer.rows()[0];
    assert_eq!(row[0].as_f64(), Some(175_099.42));
    assert_eq!(row[1].as_f64(), Some(43_774.855));
    assert_eq!(row[2].as_f64(), Some(-87_549.71));
}

#[test]
fn nothing_that_is_admitted_raises_on_a_row() {
    let room = room();
    let function: &[&str] = &["CR2301", "CR1008"];
    let long = format!("SELECT COUNT(*) FROM retailer.purchases WHERE category LIKE '{}'", "_".repeat(60_000));
    let grown = "WITH t0 AS (SELECT CASE WHEN category='bulk' THEN 'abcdefgh' ELSE '' END AS a FROM retailer.purchases), \
                 t1 AS (SELECT concat(a,a,a,a,a,a,a,a,a,a) AS a FROM t0), t2 AS (SELECT concat(a,a,a,a,a,a,a,a,a,a) AS a FROM t1), \
                 t3 AS (SELECT a || a || a || a || a || a AS a FROM t2) SELECT COUNT(a) FROM t3";
    let doubling = |step: &str| {
        (0..18).fold("SELECT category AS a FROM retailer.purchases".to_owned(), |inner, _| {
            format!("SELECT {step} AS a FROM ({inner}) t")
        })
    };
    let texts = format!("SELECT COUNT(*) FROM ({}) t WHERE a <> 'x'", doubling("concat(a, a)"));
    let numbers = (0..18).fold("SELECT 1 AS a".to_owned(), |inner, _| format!("SELECT a + a AS a FROM ({inner}) t"));
    let numbers = format!("SELECT a FROM ({numbers}) t WHERE a <> 3");
    all_refused(
        &room,
        "publisher",
        &[
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE date_part('bogus', CASE WHEN category='garden' THEN DATE '2020-01-01' END) > 0",
                function,
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE date_trunc('bogus', CAST(category AS TIMESTAMP)) > TIMESTAMP '2020-01-01'",
                function,
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE (CAST(category AS TIMESTAMP) AT TIME ZONE 'bogus') IS NULL",
                function,
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE substr(category, 1, CAST('-5' AS BIGINT)) IS NULL",
                function,
            ),
            (
                "SELECT COUNT(*) FROM retailer.purchases WHERE CAST(category AS TIMESTAMP) - TIMESTAMP '1900-01-01' IS NOT NULL",
                function,
            ),
            (
                "WITH t0 AS (SELECT email_hash, CASE WHEN category='bulk' THEN 'abcdefgh' ELSE '' END AS a FROM retailer.purchases), \
                 t1 AS (SELECT email_hash, MAX(concat(a,a,a,a,a,a,a,a,a,a)) AS a FROM t0 GROUP BY email_hash), \
                 t2 AS (SELECT email_hash, MAX(concat(a,a,a,a,a,a,a,a,a,a)) AS a FROM t1 GROUP BY email_hash) \
                 SELECT COUNT(*) FROM t2 WHERE a <> 'x'",
                &["CR1004"],
            ),
            (&long, &["CR2301", "CR1004"]),
            (grown, &["CR1004"]),
            (&texts, &["CR1004"]),
            (&numbers, &["CR1004"]),
            ("SELECT replace(category, 'a', 'aaaa') FROM retailer.purchases GROUP BY category", &["CR2301"]),
            (
                "SELECT COUNT(*) FROM retailer.purchases a JOIN retailer.purchases b ON a.email_hash=b.email_hash JOIN retailer.purchases c ON a.email_hash=c.email_hash JOIN retailer.purchases d ON a.email_hash=d.email_hash JOIN retailer.purchases e ON a.email_hash=e.email_hash",
                &["CR1004"],
            ),
            ("SELECT category AS __cr_g_0, COUNT(*) FROM retailer.purchases GROUP BY category", &["CR1005"]),
            (
                "SELECT category, COUNT(*) FROM retailer.purchases GROUP BY category LIMIT (SELECT COUNT(*) FROM retailer.purchases)",
                &["CR2304", "CR1008", "CR1003"],
            ),
        ],
    );
    // The same outcome whether anybody is there or not.
    for moved in [
        "CAST(concat(CASE WHEN category='bulk' THEN '2261' ELSE '2000' END, '-01-01') AS TIMESTAMP) + INTERVAL '100 years' > TIMESTAMP '2000-01-01'",
        "CAST(concat(CASE WHEN category='bulk' THEN '+262142' ELSE '2000' END, '-12-31') AS DATE) + INTERVAL '100 years' IS NOT NULL",
    ] {
        let answer = room.ask("publisher", &format!("SELECT COUNT(*) FROM retailer.purchases WHERE {moved}"));
        assert_eq!(answer.outcome(), "released", "{moved}: {}", answer.json);
        assert!(answer.rows()[0][0].as_f64().unwrap() > 2000.0);
    }
    let trunc = room.ask(
        "publisher",
        "SELECT COUNT(*) FROM retailer.purchases WHERE email_hash IS NOT NULL AND date_trunc('month', CAST(category AS TIMESTAMP)) IS NULL",
    );
    unseen(&trunc);
    assert_eq!(trunc.outcome(), "released", "{}", trunc.json);
}

const THREE: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: three
description: Weights
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
  - name: panel
    abilities: [contribute]
    tables:
      - {name: people, source: {file: people.csv}, policy: people.yaml}
  - name: publisher
    abilities: [contribute, query, receive]
    tables:
      - {name: own, source: {file: own.csv}, policy: own.yaml}
      - {name: ref, source: {file: ref.csv}, policy: ref.yaml}
      - {name: days, source: {file: days.csv}, policy: days.yaml}
";

/// 60 people on all sides; person k has k rows of the analyst's own, each with a label of its own.
fn three() -> Room {
    let protected = |table: &str, more: &str, joins: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: email, space: email}}\n\
             columns:\n  email: {{use: [join, count]}}\n{more}{joins}release: {{min_units: 25, dominance: {{top: 1, max_share: 0.5}}}}\n\
             access: {{analysts: [publisher]}}\n"
        )
    };
    let sales = protected(
        "retailer.sales",
        "  cat: {use: [dimension, filter, join]}\n  at: {use: [dimension, filter, join], grain: month}\n  amount: {use: [measure], bounds: [0, 100000]}\n  other: {use: [measure], bounds: [0, 100000]}\n",
        "joins: {with: [publisher.own, publisher.ref, panel.*]}\n",
    );
    let people = protected("panel.people", "  size: {use: [dimension, filter]}\n", "joins: {analyst_tables: full}\n");
    let own = protected("publisher.own", "  rid: {use: [dimension, filter]}\n  day: {use: [filter, dimension]}\n", "");
    let reference = "apiVersion: cleanroom/v1\nkind: Policy\ntable: publisher.ref\nversion: 1\npublic: true\ncolumns:\n  \
                     cat: {use: [join]}\n  w: {use: [dimension, filter]}\naccess: {analysts: [publisher]}\n";
    let days = "apiVersion: cleanroom/v1\nkind: Policy\ntable: publisher.days\nversion: 1\npublic: true\ncolumns:\n  \
                at: {use: [join, dimension], grain: month}\naccess: {analysts: [publisher]}\n";
    let room = Room::new(
        THREE,
        &[
            ("sales.yaml", &sales),
            ("people.yaml", &people),
            ("own.yaml", &own),
            ("ref.yaml", reference),
            ("days.yaml", days),
        ],
    );
    let write = |name: &str, header: &str, rows: Vec<String>| {
        std::fs::write(room.path().join(name), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    };
    write(
        "sales.csv",
        "email,cat,at,amount,other",
        (0..60)
            .map(|k| format!("p{k}@x.org,c{},2024-01-{:02},{},1", k % 2, k % 28 + 1, if k == 7 { 90_000 } else { 10 }))
            .collect(),
    );
    write("people.csv", "email,size", (0..60).map(|k| format!("p{k}@x.org,{}", k % 2)).collect());
    write(
        "own.csv",
        "email,rid,day",
        (0..60).flat_map(|k| (0..=k).map(move |row| format!("p{k}@x.org,{row},2024-01-01"))).collect(),
    );
    write("ref.csv", "cat,w", (0..100).map(|w| format!("c{},{w}", w % 2)).collect());
    write("days.csv", "at", (1..29).map(|day| format!("2024-01-{day:02}")).collect());
    room
}

#[test]
fn own_rows_and_reference_rows_weigh_nobody() {
    let room = three();
    all_refused(
        &room,
        "publisher",
        &[
            // What an analyst makes of its own labels is no amount to be added up.
            (
                "SELECT SUM(n) FROM (SELECT o.email, COUNT(DISTINCT o.rid) AS n FROM publisher.own o WHERE o.email IN (SELECT email FROM retailer.sales) GROUP BY o.email) t",
                &["CR2207", "CR2108"],
            ),
            (
                "SELECT SUM(a) FROM (SELECT s.email, o.rid, SUM(s.amount) a FROM retailer.sales s JOIN publisher.own o ON s.email = o.email GROUP BY s.email, o.rid) t",
                &["CR2207"],
            ),
            (
                "SELECT SUM(n) FROM (SELECT s.email, o.rid, COUNT(*) n FROM retailer.sales s JOIN publisher.own o ON s.email = o.email GROUP BY s.email, o.rid) t",
                &["CR2207"],
            ),
            (
                "SELECT SUM(w) FROM (SELECT s.email, SUM(o.rid) OVER (PARTITION BY s.email) w FROM retailer.sales s JOIN publisher.own o ON s.email = o.email) t",
                &["CR2207", "CR2108"],
            ),
            (
                "SELECT SUM(w) FROM (SELECT s.email, COUNT(*) OVER (PARTITION BY s.email) w FROM retailer.sales s JOIN publisher.own o ON s.email = o.email) t",
                &["CR2207", "CR2108"],
            ),
            // A column made to look like a key.
            (
                "SELECT COUNT(*) FROM retailer.sales s JOIN (SELECT email, CAST(rid AS INT UNSIGNED) AS r FROM publisher.own) o ON s.email = o.email WHERE o.r >= 0 OR s.cat = 'nope'",
                &["CR2301"],
            ),
            // A reference table whose rows repeat, directly or per unit.
            ("SELECT COUNT(*) FROM retailer.sales s JOIN publisher.ref r ON s.cat = r.cat", &["CR2208"]),
            (
                "SELECT COUNT(*) FROM (SELECT s.email, r.w FROM retailer.sales s JOIN publisher.ref r ON s.cat = r.cat GROUP BY s.email, r.w) t",
                &["CR2208"],
            ),
            // Not among the tables the owner lets join.
            ("SELECT COUNT(DISTINCT s.email) FROM retailer.sales s JOIN publisher.days d ON s.at = d.at", &["CR2203"]),
            // Dominance is judged on each measure alone.
            ("SELECT SUM(amount + other) FROM retailer.sales", &["CR2108"]),
            ("SELECT SUM(x) FROM (SELECT email, amount + other AS x FROM retailer.sales) t", &["CR2108"]),
        ],
    );
    let number = |sql: &str| {
        let answer = room.ask("publisher", sql);
        assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
        answer.rows()[0][0].clone()
    };
    // However the analyst's own labels are used, a row of another owner counts once; the order of joins changes nothing.
    for sql in [
        "SELECT COUNT(*) FILTER (WHERE o.rid >= 0) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email",
        "SELECT SUM(CASE WHEN o.rid >= 0 THEN 1 ELSE 0 END) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email",
        "SELECT COUNT(o.rid) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email",
        "SELECT SUM(n) FROM (SELECT s.email, COUNT(*) AS n FROM retailer.sales s JOIN publisher.own o ON s.email = o.email GROUP BY s.email) t",
        "SELECT COUNT(*) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email WHERE o.rid >= 0 OR s.cat = 'nope'",
        "SELECT COUNT(*) FROM (SELECT s.email, o.rid FROM retailer.sales s JOIN publisher.own o ON s.email = o.email GROUP BY s.email, o.rid) t",
        "SELECT COUNT(*) FROM publisher.own o WHERE EXISTS (SELECT 1 FROM retailer.sales s WHERE s.email = o.email AND (o.rid >= 0 OR s.cat = 'nope'))",
        "SELECT COUNT(*) FROM (SELECT s.email, ROW_NUMBER() OVER (PARTITION BY s.email ORDER BY o.rid) AS n FROM retailer.sales s JOIN publisher.own o ON s.email = o.email) t",
        "SELECT COUNT(*) FROM (SELECT email, rid FROM publisher.own UNION ALL SELECT email, rid FROM publisher.own) o JOIN retailer.sales s ON s.email = o.email",
        "SELECT COUNT(*) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email WHERE o.rid >= 0",
        "SELECT COUNT(*) FROM publisher.own o JOIN panel.people p ON o.email = p.email JOIN retailer.sales s ON s.email = o.email WHERE o.rid >= 0",
        "SELECT COUNT(*) FROM publisher.own o WHERE o.rid >= 0 AND o.email IN (SELECT email FROM retailer.sales)",
        "SELECT COUNT(*) FROM (SELECT email, rid % 2 AS odd FROM publisher.own WHERE rid % 2 = 0) o JOIN retailer.sales s ON s.email = o.email",
    ] {
        assert_eq!(number(sql).as_f64(), Some(60.0), "{sql}");
    }
    let label = room.ask(
        "publisher",
        "SELECT o.rid >= 0 AS g, COUNT(*) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email GROUP BY 1",
    );
    assert_eq!(label.rows()[0][1].as_f64(), Some(60.0), "{}", label.json);
    // One buyer holds most of it.
    for sql in [
        "SELECT SUM(amount) FROM retailer.sales",
        "SELECT SUM(CASE WHEN o.rid >= 0 THEN s.amount END) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email",
        "SELECT SUM(s.amount) FROM retailer.sales s JOIN publisher.own o ON s.email = o.email AND o.day >= s.at - INTERVAL '50 years'",
    ] {
        assert!(number(sql).is_null(), "{sql}");
    }
}

#[test]
fn a_key_joins_only_where_it_is_granted() {
    let room = three();
    let text = std::fs::read_to_string(room.path().join("people.yaml")).unwrap();
    std::fs::write(
        room.path().join("people.yaml"),
        text.replace("version: 1", "version: 2").replace("email: {use: [join, count]}", "email: {use: [count]}"),
    )
    .unwrap();
    let answer = room.ask(
        "publisher",
        "SELECT COUNT(DISTINCT s.email) FROM retailer.sales s JOIN panel.people p ON s.email = p.email",
    );
    assert_eq!(answer.code(), "CR2103", "{}", answer.json);
    assert_eq!(answer.json["error"]["policy"]["rule"], "columns.email.use");
}
