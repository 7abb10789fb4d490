//! Two worlds, in which one person of the analyst's list is a customer or another one is, with the very same rows. People of the
//! list who count whether they match or not pad the number; how many of them there are the analyst knows.

use super::y_absence::{ANY_JOIN, seen, swapped, world};
use crate::support::Room;

const BOUGHT: &str = "EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid = o.hid)";
const LISTED: &str = "partner.own o LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = o.hid";
const EITHER: &str = "CASE WHEN o.seg = 'z' OR s.hid IS NOT NULL THEN 'a' ELSE 'b' END";
const DEFAULT_JOINS: &str = "require: none, types: [inner, semi]";

/// That sixty of those who count anyway are customers, too, does not make up for the one whose purchase decides.
#[test]
fn people_who_count_anyway_hide_nobody() {
    let questions = [
        format!("SELECT COUNT(*) FROM partner.own o WHERE seg = 'z' OR {BOUGHT}"),
        format!("SELECT COUNT(*) FILTER (WHERE seg = 'z' OR {BOUGHT}) FROM partner.own o"),
        format!("SELECT COUNT(CASE WHEN seg = 'z' THEN 1 WHEN {BOUGHT} THEN 1 END) FROM partner.own o"),
        format!("SELECT CASE WHEN seg = 'z' OR {BOUGHT} THEN 1 ELSE 0 END g, COUNT(*) FROM partner.own o GROUP BY 1"),
        format!("SELECT seg = 'z' OR {BOUGHT} g FROM partner.own o GROUP BY 1"),
        format!("SELECT COUNT(*) FROM partner.own o WHERE seg = 'x' OR seg = 'z' AND NOT {BOUGHT}"),
        "SELECT COUNT(*) FROM partner.own o LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) s ON s.hid = o.hid WHERE o.seg = 'z' OR s.n > 0".to_owned(),
        "SELECT COUNT(*) FROM (SELECT o.hid, MAX(o.seg) seg, COUNT(s.hid) n FROM partner.own o LEFT JOIN retailer.sales s ON s.hid = o.hid GROUP BY o.hid HAVING MAX(o.seg) = 'z' OR COUNT(s.hid) > 0) t".to_owned(),
        // By a condition of a join, which says who of the list itself is found.
        "SELECT COUNT(DISTINCT o.hid) FROM partner.own o LEFT JOIN retailer.sales s ON s.hid = o.hid LEFT JOIN partner.own p ON p.hid = o.hid AND (s.hid IS NOT NULL OR p.seg = 'z') WHERE p.hid IS NOT NULL".to_owned(),
        "SELECT COUNT(*) FROM partner.own o LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = o.hid AND o.seg <> 'z' WHERE seg = 'z' OR s.hid IS NOT NULL".to_owned(),
        // A list beside those of it who are found.
        "SELECT COUNT(DISTINCT hid) FROM (SELECT hid FROM partner.own WHERE seg = 'z' UNION ALL SELECT o.hid FROM partner.own o JOIN retailer.sales s ON s.hid = o.hid) u".to_owned(),
        "SELECT COUNT(*) FROM (SELECT hid FROM partner.own WHERE seg = 'z' UNION SELECT o.hid FROM partner.own o JOIN retailer.sales s ON s.hid = o.hid) u".to_owned(),
        "SELECT COUNT(*) FROM partner.own o WHERE o.hid IN (SELECT hid FROM partner.own WHERE seg = 'z' UNION ALL SELECT hid FROM retailer.sales)".to_owned(),
        "SELECT COUNT(DISTINCT o.hid) FROM (SELECT hid, seg t FROM partner.own WHERE seg = 'z' UNION ALL SELECT hid, category FROM retailer.sales) u JOIN partner.own o ON o.hid = u.hid".to_owned(),
        // Who is found by the key of another, and rows of which only one person has several.
        "SELECT COUNT(*) FROM partner.own o LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = o.hid LEFT JOIN partner.own p ON p.hid = s.hid WHERE p.seg = 'x' OR o.seg = 'z'".to_owned(),
        "SELECT COUNT(*) FROM partner.own o LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = o.hid WHERE o.seg = 'z' OR EXISTS (SELECT 1 FROM partner.own p WHERE p.hid = s.hid)".to_owned(),
        "SELECT COUNT(*) FROM partner.own o LEFT JOIN (SELECT DISTINCT s.hid, CASE WHEN p.seg = 'x' THEN s.ts END t FROM retailer.sales s LEFT JOIN partner.own p ON p.hid = s.hid) v ON v.hid = o.hid".to_owned(),
        // Who would stand in another small group has not come or gone.
        format!("SELECT lab, {BOUGHT} e, COUNT(*) FROM partner.own o WHERE seg = 'z' OR {BOUGHT} GROUP BY 1, 2"),
        format!("SELECT lab, {BOUGHT} e, COUNT(DISTINCT o.hid) FROM partner.own o WHERE seg = 'z' OR {BOUGHT} GROUP BY CUBE(1, 2)"),
        // A list of the question's own, or a table of all, says no other than what it is joined by.
        format!("SELECT COUNT(*) FROM {LISTED} JOIN (VALUES ('a')) v(c) ON v.c = {EITHER}"),
        format!("SELECT COUNT(*) FROM {LISTED} WHERE {EITHER} IN (SELECT c FROM (VALUES ('a')) v(c))"),
        format!("SELECT COUNT(*) FROM {LISTED} WHERE o.seg = 'q' OR {EITHER} IN (SELECT c FROM (VALUES ('a')) v(c))"),
        format!("SELECT COUNT(*) FROM {LISTED} LEFT JOIN (VALUES ('a', 'x'), ('b', 'y')) v(c, l) ON v.c = {EITHER} WHERE v.l = 'x'"),
        format!("SELECT v.l, COUNT(*) FROM {LISTED} JOIN (VALUES ('a', 'x'), ('b', 'y')) v(c, l) ON v.c = {EITHER} GROUP BY 1"),
        format!("SELECT COUNT(v.l) FROM (SELECT o.hid, {EITHER} k FROM {LISTED}) t LEFT JOIN (VALUES ('a', 'x')) v(c, l) ON v.c = t.k"),
        // Groups between which people who count anyway move: together they tell of the one who comes.
        "SELECT SUM(c) FROM (SELECT CASE WHEN u.state = 'CA' THEN 'B' ELSE 'rest' END g, COUNT(*) c FROM partner.own o LEFT JOIN retailer.users u ON u.hid = o.hid WHERE seg = 'z' OR u.state IS NOT NULL GROUP BY 1) v".to_owned(),
        "SELECT SUM(c) FROM (SELECT CASE WHEN u.state = 'CA' THEN 'B' ELSE 'rest' END g, COUNT(DISTINCT o.hid) c FROM partner.own o LEFT JOIN retailer.users u ON u.hid = o.hid WHERE seg = 'z' OR u.state IS NOT NULL GROUP BY 1) v".to_owned(),
        // People who do not exist, and customers elsewhere.
        format!("SELECT CASE WHEN seg = 'z' THEN 'z' ELSE 'o' END g, COUNT(*) FROM partner.own o WHERE NOT {BOUGHT} GROUP BY 1"),
        format!("SELECT CASE WHEN seg = 'z' THEN 'z' ELSE 'o' END g, {BOUGHT} m, COUNT(*) FROM partner.own o GROUP BY 1, 2"),
    ];
    for (release, joins) in [
        ("min_units: 25", ANY_JOIN),
        ("min_units: 25, difference: 10", ANY_JOIN),
        ("min_units: 25, small_groups: merge", ANY_JOIN),
        ("min_units: 25, dominance: {top: 2, max_share: 0.9}", ANY_JOIN),
        ("min_units: 25", DEFAULT_JOINS),
    ] {
        let (with, without) = (swapped(true, 0, release, joins), swapped(false, 0, release, joins));
        for sql in &questions {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
}

/// What is left of a total beside its parts is about people who count anyway and one other, however many of them would stand in
/// another group without their purchases.
#[test]
fn people_who_only_change_their_group_hide_nobody() {
    let rows = "SELECT o.hid, o.seg || CAST(o.lab AS VARCHAR) || COALESCE(u.state, 'n') g FROM partner.own o LEFT JOIN retailer.users u ON u.hid = o.hid WHERE o.seg = 'z' OR u.hid IS NOT NULL";
    let world = |first: bool| {
        let room = swapped(first, 0, "min_units: 25", ANY_JOIN);
        let path = room.path().join("own.csv");
        let customers: String = (80..150).map(|person| format!("{person},w,5\n")).collect();
        let rows = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{rows}{customers}")).unwrap();
        room
    };
    let (with, without) = (world(true), world(false));
    for sql in [
        format!("SELECT g, COUNT(*) n FROM ({rows}) t GROUP BY ROLLUP(g)"),
        format!(
            "WITH q AS ({rows}) SELECT g, COUNT(DISTINCT hid) n, (SELECT COUNT(DISTINCT hid) FROM q) t FROM q GROUP BY g"
        ),
    ] {
        let rest = |room: &Room| {
            let answer = room.ask("partner", &sql);
            assert_eq!(answer.outcome(), "released", "{sql}: {}", answer.json);
            let number = |row: &[serde_json::Value], column: usize| row.get(column).and_then(serde_json::Value::as_i64);
            let rows = answer.rows();
            let parts: Vec<i64> =
                rows.iter().filter(|row| !row[0].is_null()).filter_map(|row| number(row, 1)).collect();
            let total = rows.iter().find_map(|row| {
                if row.len() == 3 { number(row, 2) } else { number(row, 1).filter(|_| row[0].is_null()) }
            });
            // Both groups of the seventy are there, or one of them is hidden for the others' sake.
            (total.is_some() && parts.len() == 2).then(|| total.unwrap_or_default() - parts.iter().sum::<i64>())
        };
        assert_eq!(rest(&with), rest(&without), "{sql}");
    }
}

/// Where the matches of enough people decide, they are told.
#[test]
fn numbers_that_enough_matches_decide_are_told() {
    let room = world(true, "min_units: 25", ANY_JOIN);
    for (sql, expected) in [
        (format!("SELECT COUNT(*) FROM partner.own o WHERE seg = 'y' OR {BOUGHT}"), "[[161]]"),
        (format!("SELECT COUNT(*) FROM partner.own o WHERE seg <> 'x' AND NOT {BOUGHT}"), "[[100]]"),
        (format!("SELECT COUNT(*) a, COUNT(*) FILTER (WHERE seg = 'y' OR {BOUGHT}) b FROM partner.own o"), "[[162,161]]"),
        ("SELECT COUNT(DISTINCT o.hid) a, COUNT(DISTINCT s.hid) b FROM partner.own o LEFT JOIN retailer.sales s ON s.hid = o.hid".to_owned(), "[[162,61]]"),
        ("SELECT COUNT(DISTINCT hid) FROM (SELECT hid FROM partner.own UNION ALL SELECT hid FROM retailer.sales) u".to_owned(), "[[302]]"),
        ("SELECT COUNT(*) n, COUNT(o.hid) a, COUNT(u.hid) b FROM partner.own o FULL JOIN retailer.users u ON u.hid = o.hid".to_owned(), "[[252,162,151]]"),
        ("SELECT COUNT(*) n, COUNT(u.hid) b FROM partner.own o LEFT JOIN retailer.users u ON u.hid = o.hid".to_owned(), "[[162,61]]"),
        ("SELECT t, COUNT(DISTINCT hid) FROM (SELECT hid, 'o' t FROM partner.own UNION ALL SELECT hid, 's' FROM retailer.sales) u GROUP BY t ORDER BY t".to_owned(), r#"[["o",162],["s",201]]"#),
        ("SELECT COUNT(*) a, COUNT(DISTINCT o.hid) b, COUNT(DISTINCT s.hid) c FROM partner.own o FULL JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = o.hid".to_owned(), "[[302,162,201]]"),
        ("SELECT CASE WHEN n > 1 THEN 'often' ELSE 'not' END k, COUNT(*) FROM partner.own o LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) s ON s.hid = o.hid GROUP BY 1 ORDER BY 1".to_owned(), r#"[["often",41]]"#),
    ] {
        let answer = room.ask("partner", &sql);
        assert_eq!(answer.json["rows"].to_string(), expected, "{sql}: {}", answer.json);
    }
}

fn last(room: &Room, questions: &[&str]) -> String {
    let mut answer = String::new();
    for sql in questions {
        let answered = room.ask("partner", sql);
        assert_eq!(answered.outcome(), "released", "{sql}: {}", answered.json);
        answer = answered.json["rows"].to_string();
    }
    answer
}

/// A guard compares numbers without the analyst's own people, of which any number may stand beside the others.
#[test]
fn people_who_count_anyway_are_no_distance_between_two_answers() {
    let found = format!("SELECT COUNT(*) FROM partner.own o WHERE seg IN ('z', 'x') AND {BOUGHT}");
    let pairs = [
        // Those of the list but one, beside a hundred others.
        "SELECT COUNT(*) FROM (SELECT hid FROM partner.own WHERE seg IN ('y', 'z') UNION ALL SELECT DISTINCT o.hid FROM partner.own o JOIN retailer.sales s ON s.hid = o.hid WHERE seg = 'z') u".to_owned(),
        // All who are not found, but one.
        format!("SELECT COUNT(*) FROM partner.own o WHERE seg IN ('z', 'y') AND NOT {BOUGHT}"),
        format!("SELECT COUNT(*) FROM partner.own o WHERE seg = 'y' OR seg = 'z' AND {BOUGHT}"),
        format!("SELECT COUNT(*) FILTER (WHERE seg = 'y' OR seg = 'z' AND {BOUGHT}) FROM partner.own o"),
    ];
    let rooms = |second: &str| {
        [true, false].map(|first| {
            let room = swapped(first, 0, "min_units: 25, difference: 10", ANY_JOIN);
            let first_answer = last(&room, &[&found]);
            (first_answer, room.ask("partner", second).json["rows"].to_string())
        })
    };
    for second in &pairs {
        let [with, without] = rooms(second);
        // The first number has the one person in it; the other differs by none but that one, and so is what follows from the
        // first: one more there is one more, or one less, here.
        assert_eq!((with.0.as_str(), without.0.as_str()), ("[[61]]", "[[60]]"), "{second}");
        assert_ne!(with.1, without.1, "{second}: it tells the two apart, and with the first number nothing more");
    }
}

/// Columns of one name on both sides of a join are two, wherever their conditions are asked.
#[test]
fn a_condition_is_asked_of_the_table_it_names() {
    let room = swapped(true, 40, "min_units: 25", ANY_JOIN);
    for join in ["own2 p RIGHT JOIN partner.own o ON p.hid = o.hid", "own o LEFT JOIN partner.own2 p ON p.hid = o.hid"]
    {
        let sql = format!("SELECT COUNT(*) FROM partner.{join} WHERE o.seg = 'z' OR p.seg = 'y'");
        assert_eq!(room.ask("partner", &sql).json["rows"].to_string(), "[[60]]", "{sql}");
    }
}
