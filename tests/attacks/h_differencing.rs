//! H: differencing. What follows from shown totals and parts is never about few.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{all_refused, room, unseen};
use crate::support::{Answer, Room};

/// Floor of all tables here.
const FLOOR: usize = 25;

/// One row of the raw data: the unit, its groups, and its amount.
#[derive(Clone)]
struct Raw {
    unit: u32,
    a: Option<String>,
    b: String,
    amount: i64,
    /// NULL for most.
    rare: Option<i64>,
}

fn raw(unit: u32, a: &str, amount: i64) -> Raw {
    Raw { unit, a: Some(a.to_owned()), b: "x".to_owned(), amount, rare: Some(1) }
}

/// A room of one table of such rows.
fn made_of(rows: &[Raw], release: &str) -> Room {
    let file = "\
apiVersion: cleanroom/v1
kind: Room
name: made
partners:
  - name: owner
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
      - {name: kinds, source: {file: kinds.csv}, policy: kinds.yaml}
  - name: analyst
    abilities: [query, receive]
";
    let policy = |table: &str, columns: &str, release: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: owner.{table}\nversion: 1\nunit: {{column: person, space: people}}\ncolumns:\n  \
             person: {{use: [join, count]}}\n{columns}joins: {{require: none, types: [inner, left]}}\nrelease: {{min_units: {FLOOR}{release}}}\n\
             access: {{analysts: [analyst], receivers: [analyst]}}\n"
        )
    };
    let sales = policy(
        "sales",
        "  a: {use: [dimension, filter]}\n  b: {use: [dimension, filter]}\n  amount: {use: [measure], bounds: [0, 1000000]}\n  rare: {use: [measure], bounds: [0, 10]}\n",
        release,
    );
    let kinds = policy("kinds", "  kind: {use: [dimension]}\n", "");
    let room = Room::new(file, &[("sales.yaml", &sales), ("kinds.yaml", &kinds)]);
    let text = |value: &Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let a = row.a.clone().unwrap_or_default();
            format!("p{},{a},{},{},{}", row.unit, row.b, row.amount, text(&row.rare))
        })
        .collect();
    std::fs::write(room.path().join("sales.csv"), format!("person,a,b,amount,rare\n{}\n", lines.join("\n"))).unwrap();
    let units: BTreeSet<u32> = rows.iter().map(|row| row.unit).collect();
    let kinds: Vec<String> = units.iter().map(|unit| format!("p{unit},k")).collect();
    std::fs::write(room.path().join("kinds.csv"), format!("person,kind\n{}\n", kinds.join("\n"))).unwrap();
    room
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Shown values of a column by the group in the first column.
fn by_group(answer: &Answer, column: usize) -> BTreeMap<String, f64> {
    answer.rows().iter().filter_map(|row| Some((text(&row[0]), row[column].as_f64()?))).collect()
}

/// The catalogue's three.
#[test]
fn a_single_suppressed_group_does_not_follow_from_its_total() {
    let room = room();
    let rollup = room.ask(
        "publisher",
        "SELECT category, COUNT(DISTINCT email_hash) n FROM retailer.purchases WHERE category IN ('garden','edge24') GROUP BY ROLLUP(category)",
    );
    unseen(&rollup);
    let shown = by_group(&rollup, 1);
    assert!(!shown.contains_key("edge24"), "{}", rollup.json);
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("null".to_owned(), 420.0)]);

    // AK has one person, in garden; everybody else stands in 4 states and 5 categories, 60 in each pair.
    let cube = room.ask(
        "publisher",
        "SELECT u.state, p.category, COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash=u.email_hash GROUP BY CUBE(u.state, p.category)",
    );
    unseen(&cube);
    let rows = cube.rows();
    assert!(rows.iter().all(|row| row[0] != "AK"));
    let states = rows.iter().filter(|row| !row[0].is_null() && row[1].is_null()).count();
    let total = rows.iter().any(|row| row[0].is_null() && row[1].is_null());
    assert!(total && states == 3, "one state goes with AK: {}", cube.json);
    let in_garden = rows.iter().filter(|row| !row[0].is_null() && row[1] == "garden").count();
    assert!(rows.iter().any(|row| row[0].is_null() && row[1] == "garden") && in_garden == 3, "{}", cube.json);
    let in_toys = rows.iter().filter(|row| !row[0].is_null() && row[1] == "toys").count();
    assert_eq!(in_toys, 4, "where nobody is hidden nothing is: {}", cube.json);
    assert!(cube.json["notes"].to_string().contains("beside their totals"));

    all_refused(
        &room,
        "publisher",
        &[(
            "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY GROUPING SETS ((category),(category),())",
            &["CR1008"],
        )],
    );
}

#[test]
fn a_total_beside_its_parts_is_no_other_way_to_it() {
    let room = room();
    let (total, parts) = (
        "SELECT COUNT(*) AS n FROM retailer.purchases WHERE category IN ('garden', 'edge24')",
        "SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category IN ('garden', 'edge24') GROUP BY category",
    );
    for sql in [
        format!("WITH t AS ({total}), p AS ({parts}) SELECT p.category, p.n, t.n AS whole FROM t LEFT JOIN p ON TRUE"),
        format!("SELECT NULL AS category, n FROM ({total}) t UNION ALL SELECT category, n FROM ({parts}) p"),
        format!("SELECT category, n, ({total}) AS whole FROM ({parts}) p"),
        format!(
            "WITH t AS ({total}), p AS ({}) SELECT p.category, p.n, t.n AS whole FROM t LEFT JOIN p ON TRUE",
            parts.replace("COUNT(*)", "SUM(1)")
        ),
        format!("SELECT category, n * 1.0 / (SELECT n FROM ({total}) t) AS share, n FROM ({parts}) p"),
    ] {
        let answer = room.ask("publisher", &sql);
        unseen(&answer);
        let printed = answer.json["rows"].to_string();
        assert!(!printed.contains("garden"), "{sql}: {}", answer.json);
    }
    // Counting people where each has one row is counting rows: AK has one person, and CA the others.
    for (whole, part) in [("COUNT(DISTINCT email_hash)", "COUNT(*)"), ("COUNT(*)", "COUNT(DISTINCT email_hash)")] {
        let users = "FROM publisher.users WHERE state IN ('CA', 'AK')";
        let answer = room.ask(
            "publisher",
            &format!(
                "SELECT 'all' AS state, {whole} AS n {users} UNION ALL SELECT state, {part} AS n {users} GROUP BY state"
            ),
        );
        unseen(&answer);
        assert_eq!(answer.labels(), BTreeSet::from(["all".to_owned()]), "{}", answer.json);
    }
    // Alone, either is as it was.
    assert_eq!(room.ask("publisher", parts).rows().len(), 1);
    assert_eq!(room.ask("publisher", total).rows().len(), 1);
    // HAVING and what is calculated stand above: they see what is released.
    let having = room.ask(
        "publisher",
        "SELECT category, COUNT(*) AS n FROM retailer.purchases WHERE category IN ('garden', 'edge24') \
         GROUP BY ROLLUP(category) HAVING GROUPING(category) = 0 OR COUNT(*) > 0 ORDER BY n - 1",
    );
    assert_eq!(having.rows().len(), 1);
    assert!(having.rows()[0][0].is_null());
}

/// Whoever subtracts in one direction, from any margin, is left with nobody or enough.
fn nobody_follows(rows: &[Raw], answer: &Answer) {
    // Columns: a, b, GROUPING(a), GROUPING(b), COUNT(*), SUM(amount), SUM(rare).
    let shown = answer.rows();
    let of = |row: &[Value]| {
        let part = |value: &Value, left_out: &Value| (left_out.as_u64() == Some(0)).then(|| text(value));
        (part(&row[0], &row[2]), part(&row[1], &row[3]))
    };
    type Key = (Option<String>, Option<String>);
    let within = |raw: &Raw, key: &Key| {
        key.0.as_ref().is_none_or(|a| raw.a.as_ref() == Some(a)) && key.1.as_ref().is_none_or(|b| raw.b == *b)
    };
    for column in 4..7 {
        let amount = |raw: &Raw| match column {
            4 => Some(1),
            5 => Some(raw.amount),
            _ => raw.rare,
        };
        let values: BTreeMap<Key, f64> =
            shown.iter().filter_map(|row| Some((of(row), row[column].as_f64()?))).collect();
        for (total, value) in &values {
            let whole: Vec<&Raw> = rows.iter().filter(|raw| within(raw, total) && amount(raw).is_some()).collect();
            let exact: i64 = whole.iter().filter_map(|raw| amount(raw)).sum();
            assert_eq!(*value, exact as f64, "{total:?}");
            for split in [(true, false), (false, true), (true, true)] {
                let part_of = |raw: &Raw| -> Key {
                    (
                        if split.0 { raw.a.clone() } else { total.0.clone() },
                        if split.1 { Some(raw.b.clone()) } else { total.1.clone() },
                    )
                };
                let left: BTreeSet<u32> =
                    whole.iter().filter(|raw| !values.contains_key(&part_of(raw))).map(|raw| raw.unit).collect();
                assert!(left.is_empty() || left.len() >= FLOOR, "column {column}: {} left of {total:?}", left.len());
            }
        }
    }
}

#[test]
fn no_margin_of_a_table_gives_a_small_cell_away() {
    // Skewed: cells of one to a hundred people, most of whom stand in several.
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut rows = Vec::new();
    for unit in 0..900 {
        for _ in 0..=next(3) {
            let a = format!("a{}", next(6) * next(6) / 5);
            let b = format!("b{}", next(5) * next(5) / 4);
            let rare = (next(9) == 0).then(|| 1 + next(5) as i64);
            rows.push(Raw { unit, a: Some(a), b, amount: 1 + next(50) as i64, rare });
        }
    }
    let room = made_of(&rows, "");
    for grouping in
        ["CUBE(a, b)", "ROLLUP(a, b)", "ROLLUP(b, a)", "GROUPING SETS ((a), (b))", "GROUPING SETS ((a, b), (b))"]
    {
        let answer = room.ask(
            "analyst",
            &format!(
                "SELECT a, b, GROUPING(a), GROUPING(b), COUNT(*), SUM(amount), SUM(rare) FROM owner.sales GROUP BY {grouping}"
            ),
        );
        assert!(answer.rows().len() > 6, "{grouping}: {}", answer.json);
        nobody_follows(&rows, &answer);
    }
    assert!(room.verify().status.success());
}

#[test]
fn cells_have_complements_of_their_own() {
    // s has people enough, but only three of them have a rare value; t has none of it; u and v have it all.
    let mut rows = Vec::new();
    for unit in 0..160 {
        let a = ["s", "t", "u", "v"][unit as usize % 4];
        let rare = match a {
            "s" => (unit < 12).then_some(1),
            "t" => None,
            _ => Some(1),
        };
        rows.push(Raw { rare, ..raw(unit, a, 1) });
    }
    let room = made_of(&rows, "");
    let answer = room
        .ask("analyst", "SELECT a, SUM(amount), SUM(rare), COUNT(rare), AVG(rare) FROM owner.sales GROUP BY ROLLUP(a)");
    let of_all = |column| by_group(&answer, column).into_keys().collect::<Vec<_>>();
    assert_eq!(of_all(1), ["null", "s", "t", "u", "v"]);
    // One of u and v goes with s, and the same one in each column that tells of it.
    assert_eq!(of_all(2), ["null", "v"]);
    assert_eq!(of_all(3), of_all(2));
    assert_eq!(of_all(4), of_all(2));
    assert_eq!(answer.rows().len(), 5);
}

#[test]
fn what_is_left_of_a_total_is_held_by_no_few() {
    // A whale in a small group: too little of the total to dominate it, most of what the shown groups leave of it.
    let mut rows = Vec::new();
    rows.extend((0..100).map(|unit| raw(unit, "large", 100)));
    rows.extend((100..130).map(|unit| raw(unit, "middle", 1)));
    rows.extend((130..150).map(|unit| raw(unit, "small", 1)));
    rows.extend((150..160).map(|unit| raw(unit, "tiny", 1)));
    rows.push(raw(160, "small", 500));
    let sql = "SELECT a, SUM(amount), COUNT(*) FROM owner.sales GROUP BY ROLLUP(a)";
    let without = made_of(&rows, "").ask("analyst", sql);
    assert_eq!(by_group(&without, 1).into_keys().collect::<Vec<_>>(), ["large", "middle", "null"]);
    let room = made_of(&rows, ", dominance: {top: 1, max_share: 0.5}");
    let answer = room.ask("analyst", sql);
    assert_eq!(by_group(&answer, 1).into_keys().collect::<Vec<_>>(), ["null"], "{}", answer.json);
    assert_eq!(by_group(&answer, 2).into_keys().collect::<Vec<_>>(), ["large", "middle", "null"]);
}

#[test]
fn two_together_are_held_to_the_share() {
    // Two hold 60 of 110 in a, one holds 40.
    let mut rows: Vec<Raw> = (0..50).map(|unit| raw(unit, "a", 1)).collect();
    rows.push(raw(50, "a", 40));
    rows.push(raw(51, "a", 20));
    rows.extend((60..100).map(|unit| raw(unit, "b", 3)));
    let sums = |release: &str| {
        let sql = "SELECT a, SUM(amount), AVG(amount), COUNT(*) FROM owner.sales GROUP BY a";
        let answer = made_of(&rows, release).ask("analyst", sql);
        assert_eq!(by_group(&answer, 3).len(), 2);
        assert_eq!(by_group(&answer, 1).keys().collect::<Vec<_>>(), by_group(&answer, 2).keys().collect::<Vec<_>>());
        by_group(&answer, 1).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(sums(", dominance: {top: 1, max_share: 0.5}"), ["a", "b"]);
    assert_eq!(sums(", dominance: {top: 2, max_share: 0.5}"), ["b"]);
    assert_eq!(sums(", dominance: {top: 2, max_share: 0.6}"), ["a", "b"]);
}

#[test]
fn an_average_is_as_dominated_as_the_count_that_follows_from_it() {
    // One person has 60 of 110 rows, at amounts so small that the sum is not theirs.
    let mut rows: Vec<Raw> = (0..50).map(|unit| raw(unit, "a", 100)).collect();
    rows.extend((0..60).map(|_row| raw(50, "a", 1)));
    let sql = "SELECT a, COUNT(amount), AVG(amount), SUM(amount) FROM owner.sales GROUP BY a";
    for release in [", dominance: {top: 1, max_share: 0.5}", ", dominance: {top: 2, max_share: 0.5}"] {
        let answer = made_of(&rows, release).ask("analyst", sql);
        let row = &answer.rows()[0];
        assert!(row[1].is_null() && row[2].is_null() && row[3].is_number(), "{}", answer.json);
    }
}

#[test]
fn small_groups_become_one() {
    let merge = ", small_groups: merge";
    let mut rows = Vec::new();
    rows.extend((0..40).map(|unit| raw(unit, "large", 1)));
    rows.extend((40..50).map(|unit| raw(unit, "small", 10)));
    rows.extend((45..65).map(|unit| raw(unit, "less", 100)));
    let sql = "SELECT a, COUNT(*), COUNT(DISTINCT person), SUM(amount) FROM owner.sales GROUP BY a";
    let answer = made_of(&rows, merge).ask("analyst", sql);
    let sorted = |rows: &[Vec<Value>]| {
        let mut rows: Vec<String> = rows
            .iter()
            .map(|row| {
                row.iter().map(|v| v.as_f64().map_or_else(|| text(v), |n| n.to_string())).collect::<Vec<_>>().join(",")
            })
            .collect();
        rows.sort();
        rows
    };
    // Five of them stand in both small groups: they are counted once.
    assert_eq!(sorted(&answer.rows()), ["large,40,40,40", "null,30,25,2100"]);
    assert!(answer.json["notes"].to_string().contains("one group whose columns are NULL"), "{}", answer.json);

    // Rows without a value would look like the remainder: they are of it.
    let mut with_null = rows.clone();
    with_null.extend((100..140).map(|unit| Raw { a: None, ..raw(unit, "", 1) }));
    let room = made_of(&with_null, merge);
    assert_eq!(sorted(&room.ask("analyst", sql).rows()), ["large,40,40,40", "null,70,65,2140"]);
    // Its parts add up to the total, which so gives nobody away.
    let rollup = room.ask(
        "analyst",
        "SELECT a, GROUPING(a), COUNT(*), COUNT(DISTINCT person), SUM(amount) FROM owner.sales GROUP BY ROLLUP(a)",
    );
    assert_eq!(sorted(&rollup.rows()), ["large,0,40,40,40", "null,0,70,65,2140", "null,1,110,105,2180"]);

    // Too small for a group of its own, the remainder goes; and beside a total, so does another.
    let mut few: Vec<Raw> = (0..40).map(|unit| raw(unit, "large", 1)).collect();
    few.extend((40..70).map(|unit| raw(unit, "middle", 1)));
    few.extend((70..80).map(|unit| raw(unit, "small", 1)));
    let room = made_of(&few, merge);
    assert_eq!(sorted(&room.ask("analyst", sql).rows()), ["large,40,40,40", "middle,30,30,30"]);
    let rollup = room.ask("analyst", "SELECT a, GROUPING(a), COUNT(*) FROM owner.sales GROUP BY ROLLUP(a)");
    assert_eq!(sorted(&rollup.rows()), ["large,0,40", "null,1,80"]);

    // One owner who has them dropped is enough.
    let room = made_of(&rows, merge);
    let joined = room.ask(
        "analyst",
        "SELECT s.a, COUNT(*) FROM owner.sales s JOIN owner.kinds k ON s.person = k.person GROUP BY s.a",
    );
    assert_eq!(sorted(&joined.rows()), ["large,40"]);
    assert_eq!(joined.json["notes"][0], "groups below the floor are not shown");
    // One group has no others to be merged with.
    assert!(room.ask("analyst", "SELECT COUNT(*) FROM owner.sales WHERE a = 'small'").rows().is_empty());
}

#[test]
fn merged_groups_do_not_weigh_people() {
    // Person k has k rows of the analyst's own, each with a label of its own: every group is one person, and the remainder
    // would count a person's one row k times.
    let file = "\
apiVersion: cleanroom/v1
kind: Room
name: labels
partners:
  - name: owner
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
  - name: analyst
    abilities: [contribute, query, receive]
    tables:
      - {name: labels, source: {file: labels.csv}, policy: labels.yaml}
";
    let policy = |table: &str, columns: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: person, space: people}}\ncolumns:\n  \
             person: {{use: [join, count]}}\n{columns}release: {{min_units: {FLOOR}, small_groups: merge}}\n\
             access: {{analysts: [analyst], receivers: [analyst]}}\n"
        )
    };
    let sales =
        policy("owner.sales", "  amount: {use: [measure], bounds: [0, 100]}\njoins: {with: [analyst.labels]}\n");
    let labels = policy("analyst.labels", "  label: {use: [dimension]}\njoins: {require: none}\n");
    let room = Room::new(file, &[("sales.yaml", &sales), ("labels.yaml", &labels)]);
    let write = |name: &str, header: &str, lines: Vec<String>| {
        std::fs::write(room.path().join(name), format!("{header}\n{}\n", lines.join("\n"))).unwrap();
    };
    write("sales.csv", "person,amount", (0..30).map(|person| format!("p{person},1")).collect());
    let lines = (0..30).flat_map(|person| (0..=person).map(move |row| format!("p{person},l{person}x{row}")));
    write("labels.csv", "person,label", lines.collect());
    let answer = room.ask(
        "analyst",
        "SELECT l.label, GROUPING(l.label), COUNT(DISTINCT s.person), COUNT(*), SUM(s.amount) FROM owner.sales s \
         JOIN analyst.labels l ON s.person = l.person GROUP BY ROLLUP(l.label) ORDER BY 2",
    );
    let rows: Vec<Vec<Option<f64>>> = answer.rows().iter().map(|row| row.iter().map(Value::as_f64).collect()).collect();
    // The total counts each row of the owner's once; the remainder tells who is in it, and no more.
    assert_eq!(rows.len(), 2, "{}", answer.json);
    assert_eq!(rows[0], [None, Some(0.0), Some(30.0), None, None]);
    assert_eq!(rows[1], [None, Some(1.0), Some(30.0), Some(30.0), Some(30.0)]);
}

#[test]
fn one_group_of_all_is_held_to_every_rule() {
    let mut rows: Vec<Raw> = (0..50).map(|unit| raw(unit, "a", 1)).collect();
    rows.push(raw(50, "a", 40));
    rows.push(raw(51, "a", 20));
    let sql = "SELECT SUM(amount), COUNT(*) FROM owner.sales";
    let answer = made_of(&rows, ", dominance: {top: 2, max_share: 0.5}").ask("analyst", sql);
    assert!(answer.rows()[0][0].is_null() && answer.rows()[0][1].as_f64() == Some(52.0), "{}", answer.json);
    let nobody = made_of(&rows[..20], ", dominance: {top: 2, max_share: 0.5}").ask("analyst", sql);
    assert!(nobody.rows().is_empty());
    // Nobody at all, in one set or several.
    let room = made_of(&rows, ", small_groups: merge");
    for sql in [
        "SELECT a, COUNT(*) FROM owner.sales WHERE a = 'none such' GROUP BY a",
        "SELECT a, b, COUNT(*) FROM owner.sales WHERE a = 'none such' GROUP BY CUBE(a, b)",
        "SELECT a, b FROM owner.sales WHERE a = 'none such' GROUP BY ROLLUP(a, b)",
    ] {
        assert!(room.ask("analyst", sql).rows().is_empty(), "{sql}");
    }
    assert_eq!(room.ask("analyst", "SELECT a, b FROM owner.sales GROUP BY ROLLUP(a, b)").rows().len(), 3);
}

#[test]
fn totals_beside_what_matches_and_what_does_not() {
    let rows: Vec<Raw> = (0..160).map(|unit| raw(unit, ["s", "t"][unit as usize % 2], 1)).collect();
    let joined = "FROM owner.sales s LEFT JOIN owner.kinds k ON s.person = k.person";
    let sql = format!(
        "SELECT 'all' AS what, COUNT(*) AS n {joined} UNION ALL \
         SELECT CASE WHEN k.person IS NULL THEN 'without' ELSE 'with' END, COUNT(*) {joined} GROUP BY 1"
    );
    let asked = |matching: u32| {
        let room = made_of(&rows, "");
        let kinds: Vec<String> = (0..matching).map(|unit| format!("p{unit},k")).collect();
        std::fs::write(room.path().join("kinds.csv"), format!("person,kind\n{}\n", kinds.join("\n"))).unwrap();
        by_group(&room.ask("analyst", &sql), 1).into_iter().collect::<Vec<_>>()
    };
    let found = |names: &[(&str, f64)]| names.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(asked(100), found(&[("all", 160.0), ("with", 100.0), ("without", 60.0)]));
    // Ten without a match: they are told neither by themselves nor by what those that match leave of all.
    assert_eq!(asked(150), found(&[("all", 160.0)]));
}
