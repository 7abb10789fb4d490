//! Questions under noise: when two are one, what they cost, and that the same question is the same numbers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cleanroom_vault::Spending;
use serde_json::Value;

use crate::fixture::{Opened, Told, block_on, fixed_rows};
use crate::random::{Random, from_env};
use crate::support::Room;

/// So little noise that two draws of a count are the same.
const NEXT_TO_NONE: &str = "noise: {mechanism: laplace, epsilon: 9000000, delta: 1e-9, groups_per_unit: 40, \
    rows_per_unit: 10, budget: {epsilon: 1e9, delta: 0.5}, test_only: true}\n";
const SOME: &str = "noise: {mechanism: gaussian, epsilon: 10, delta: 1e-6, groups_per_unit: 1, rows_per_unit: 3, \
    budget: {epsilon: 200, delta: 1e-3}}\n";

/// Epsilon by table.
fn paid(told: &Told) -> f64 {
    let cost = told.document["cost"].as_array().unwrap_or_else(|| panic!("no price: {}", told.document));
    assert!(!cost.is_empty(), "{}", told.document);
    cost.iter().map(|one| one["epsilon"].as_f64().unwrap()).sum()
}

/// Pairs of statements that ask for the same noisy numbers.
const SAME: &[(&str, &str)] = &[
    // Names, whitespace and case.
    (
        "SELECT kind, COUNT(DISTINCT card) AS people FROM shop.sales GROUP BY kind",
        "select  KIND as sort,\n count( distinct CARD ) as n from shop.sales as s group by 1",
    ),
    ("SELECT SUM(amount) AS a FROM shop.sales", "SELECT SUM(x.amount) AS total FROM shop.sales x"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(1) AS n FROM shop.sales"),
    ("SELECT COUNT(*) AS n FROM media.users", "SELECT COUNT('x') AS n FROM media.users"),
    (
        "SELECT band, COUNT(*) AS n FROM media.users GROUP BY band",
        "SELECT COUNT(*) AS n, u.band FROM media.users u GROUP BY u.band",
    ),
    // Order of aggregates and of groups.
    (
        "SELECT region, SUM(amount) AS a, SUM(qty) AS q FROM shop.sales GROUP BY region",
        "SELECT SUM(qty) AS q, region, SUM(amount) AS a FROM shop.sales GROUP BY region",
    ),
    (
        "SELECT region, kind, COUNT(*) AS n FROM shop.sales GROUP BY region, kind",
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY kind, region",
    ),
    (
        "SELECT band, state, COUNT(*) AS n FROM media.users GROUP BY ROLLUP(band, state)",
        "SELECT state, band, COUNT(*) AS n FROM media.users GROUP BY GROUPING SETS ((), (band), (state, band))",
    ),
    // Conditions.
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'red' AND region = 'n'",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE region = 'n' AND 'red' = kind",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'red' OR region = 's'",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE region = 's' OR kind = 'red'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE qty > 1 AND qty > 1",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE 1 < qty",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE qty BETWEEN 1 AND 3",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE qty <= 3 AND 1 <= qty",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind IN ('red', 'blue')",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind IN ('blue', 'red')",
    ),
    (
        "SELECT SUM(amount) AS n FROM (SELECT * FROM shop.sales WHERE kind = 'blue') s WHERE region = 'e'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'blue' AND region = 'e'",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE kind = 'red') AS n FROM shop.sales",
        "SELECT COUNT(CASE WHEN kind = 'red' THEN 1 END) AS n FROM shop.sales",
    ),
    (
        "SELECT SUM(amount) FILTER (WHERE kind = 'red' AND qty > 2) AS n FROM shop.sales",
        "SELECT SUM(amount) FILTER (WHERE qty > 2 AND kind = 'red') AS n FROM shop.sales",
    ),
    // Joins.
    (
        "SELECT COUNT(DISTINCT s.card) AS n FROM shop.sales s JOIN media.users u ON s.card = u.card",
        "SELECT COUNT(DISTINCT s.card) AS n FROM shop.sales s, media.users u WHERE s.card = u.card",
    ),
    (
        "SELECT u.band, SUM(s.amount) AS n FROM shop.sales s JOIN media.users u ON s.card = u.card GROUP BY u.band",
        "SELECT u.band, SUM(s.amount) AS n FROM media.users u JOIN shop.sales s ON u.card = s.card GROUP BY u.band",
    ),
    (
        "SELECT COUNT(DISTINCT u.card) AS n FROM shop.sales s JOIN panel.homes u ON s.card = u.card",
        "SELECT COUNT(DISTINCT a.card) AS n FROM shop.sales a JOIN panel.homes b ON b.card = a.card",
    ),
    (
        "SELECT h.size, COUNT(DISTINCT s.card) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card JOIN shop.visits v ON v.card = h.card GROUP BY h.size",
        "SELECT h.size, COUNT(DISTINCT v.card) AS n FROM shop.visits v JOIN shop.sales s ON s.card = v.card JOIN panel.homes h ON v.card = h.card GROUP BY h.size",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card WHERE h.size = 2",
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card AND h.size = 2",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h USING (card) WHERE h.size = 3",
        "SELECT COUNT(*) AS n FROM (SELECT card FROM panel.homes WHERE size = 3) h JOIN shop.sales s ON s.card = h.card",
    ),
    (
        "SELECT h.size, COUNT(DISTINCT s.card) AS n FROM shop.sales s LEFT JOIN panel.homes h ON s.card = h.card GROUP BY h.size",
        "SELECT h.size, COUNT(DISTINCT s.card) AS n FROM panel.homes h RIGHT JOIN shop.sales s ON h.card = s.card GROUP BY h.size",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE card IN (SELECT card FROM panel.homes WHERE size = 1)",
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE EXISTS (SELECT 1 FROM panel.homes h WHERE h.card = s.card AND size = 1)",
    ),
    (
        "SELECT r.label, COUNT(*) AS n FROM shop.sales s JOIN shop.regions r ON s.region = r.region GROUP BY r.label",
        "SELECT label, COUNT(*) AS n FROM shop.regions r, shop.sales s WHERE r.region = s.region GROUP BY label",
    ),
    // Subqueries, CTEs, and what stands above the release.
    (
        "SELECT kind, AVG(amount) AS m FROM shop.sales GROUP BY kind",
        "WITH t AS (SELECT amount, kind FROM shop.sales) SELECT kind, AVG(amount) AS m FROM t GROUP BY kind",
    ),
    (
        "SELECT kind, SUM(amount) AS s, COUNT(amount) AS n FROM shop.sales WHERE region = 'w' GROUP BY kind",
        "SELECT kind, SUM(amount) / COUNT(amount) AS m FROM shop.sales WHERE region = 'w' GROUP BY kind ORDER BY m DESC LIMIT 1",
    ),
    (
        "SELECT kind, SUM(qty) AS s, COUNT(*) AS n FROM shop.sales WHERE region = 's' GROUP BY kind",
        "SELECT kind, 100 * SUM(qty) AS percent, COUNT(*) AS n FROM shop.sales WHERE region = 's' GROUP BY kind HAVING COUNT(*) > 3",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM shop.sales WHERE region = 'e' GROUP BY kind",
        "SELECT kind, n, SUM(n) OVER () AS whole FROM (SELECT kind, COUNT(*) AS n FROM shop.sales WHERE region = 'e' GROUP BY kind) t",
    ),
    (
        "SELECT region, COUNT(*) AS n FROM shop.sales WHERE kind = 'red' GROUP BY region",
        "SELECT t.n, r.label FROM (SELECT region, COUNT(*) AS n FROM shop.sales WHERE kind = 'red' GROUP BY region) t JOIN shop.regions r ON t.region = r.region",
    ),
    ("SELECT DISTINCT kind FROM shop.sales", "SELECT kind FROM shop.sales GROUP BY kind"),
    ("SELECT DISTINCT region FROM shop.sales", "SELECT region, 1 AS one FROM shop.sales GROUP BY region"),
    // Several release points.
    (
        "SELECT (SELECT COUNT(*) FROM shop.sales WHERE kind = 'grey') AS a, (SELECT COUNT(*) FROM media.users WHERE band = 'young') AS b",
        "SELECT (SELECT COUNT(*) FROM media.users WHERE band = 'young') AS b, (SELECT COUNT(*) FROM shop.sales WHERE kind = 'grey') AS a",
    ),
    (
        "SELECT kind AS g, COUNT(*) AS n FROM shop.sales GROUP BY kind UNION ALL SELECT region, COUNT(*) FROM shop.sales GROUP BY region",
        "WITH b AS (SELECT region, COUNT(*) AS n FROM shop.sales GROUP BY region), a AS (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) SELECT a.kind, a.n, b.n AS m FROM a JOIN b ON a.kind = b.region",
    ),
    // Of units, and within them.
    (
        "SELECT times, COUNT(*) AS people FROM (SELECT card, COUNT(*) AS times FROM shop.sales GROUP BY card) t GROUP BY times",
        "SELECT COUNT(*) AS people, n FROM (SELECT COUNT(*) AS n, s.card FROM shop.sales s GROUP BY s.card) x GROUP BY n",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT card, COUNT(*) AS a, MAX(at) AS b FROM shop.sales GROUP BY card) t WHERE a > 1",
        "SELECT COUNT(*) AS n FROM (SELECT card, COUNT(*) AS a FROM shop.sales GROUP BY card HAVING COUNT(*) > 1) t",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM (SELECT kind, card, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS p FROM shop.sales) t WHERE p = 1 GROUP BY kind",
        "WITH w AS (SELECT ROW_NUMBER() OVER (PARTITION BY s.card ORDER BY s.at) AS place, s.kind AS k, s.card FROM shop.sales s) SELECT k, COUNT(*) AS n FROM w WHERE 1 = place GROUP BY k",
    ),
    (
        "SELECT COUNT(DISTINCT card) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM shop.visits) t",
        "SELECT COUNT(DISTINCT c) AS n FROM (SELECT s.card AS c, s.kind AS k FROM shop.sales s UNION ALL SELECT card, page FROM shop.visits) t",
    ),
    (
        "SELECT CASE WHEN qty > 2 THEN 'many' ELSE 'few' END AS g, COUNT(*) AS n FROM shop.sales GROUP BY 1",
        "SELECT g, COUNT(*) AS n FROM (SELECT CASE WHEN 2 < qty THEN 'many' ELSE 'few' END AS g FROM shop.sales) t GROUP BY g",
    ),
    (
        "SELECT date_trunc('month', at) AS m, COUNT(*) AS n FROM shop.visits GROUP BY 1",
        "WITH v AS (SELECT date_trunc('month', at) AS m FROM shop.visits) SELECT COUNT(*) AS n, m FROM v GROUP BY m",
    ),
    (
        "SELECT SUM(amount * 2) AS n FROM shop.sales",
        "SELECT SUM(d) / 2 AS n FROM (SELECT amount * 2 AS d FROM shop.sales) t",
    ),
];

/// Pairs of statements that ask for something else, however little.
const DIFFERENT: &[(&str, &str)] = &[
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(*) AS n FROM shop.visits"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(DISTINCT card) AS n FROM shop.sales"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(kind) AS n FROM shop.sales"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT SUM(qty) AS n FROM shop.sales"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(*) AS n, SUM(qty) AS s FROM shop.sales"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'red'"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind"),
    ("SELECT COUNT(*) AS n FROM shop.sales", "SELECT COUNT(*) AS n FROM shop.sales WHERE kind IS NOT NULL"),
    (
        "SELECT COUNT(*) AS n FROM shop.sales",
        "SELECT COUNT(*) AS n FROM shop.sales UNION ALL SELECT COUNT(*) FROM media.users",
    ),
    ("SELECT SUM(amount) AS n FROM shop.sales", "SELECT SUM(qty) AS n FROM shop.sales"),
    ("SELECT SUM(amount) AS n FROM shop.sales", "SELECT SUM(amount * 2) AS n FROM shop.sales"),
    ("SELECT SUM(amount) AS n FROM shop.sales", "SELECT AVG(amount) AS n FROM shop.sales"),
    ("SELECT SUM(amount) AS n FROM shop.sales", "SELECT SUM(-amount) AS n FROM shop.sales"),
    ("SELECT SUM(amount) AS n FROM shop.sales", "SELECT SUM(amount) FILTER (WHERE kind = 'red') AS n FROM shop.sales"),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'reD'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind <> 'red'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red' OR kind = 'blue'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE region = 'red'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind LIKE 'red'",
    ),
    (
        "SELECT SUM(amount) AS n FROM shop.sales WHERE kind = 'red'",
        "SELECT SUM(amount) AS n FROM shop.sales WHERE NOT (kind = 'red')",
    ),
    // Texts that would run into each other where they are put side by side.
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind IN ('a', 'b')",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind IN ('a'', ''b')",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'a' AND region = 'b'",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'b' AND region = 'a'",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'a) (literal 4:Utf8 1:b'",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'a'",
    ),
    // Where one stands decides.
    ("SELECT COUNT(*) AS n FROM shop.sales WHERE qty > 1", "SELECT COUNT(*) AS n FROM shop.sales WHERE qty < 1"),
    ("SELECT COUNT(*) AS n FROM shop.sales WHERE qty > 1", "SELECT COUNT(*) AS n FROM shop.sales WHERE qty >= 1"),
    ("SELECT COUNT(*) AS n FROM shop.sales WHERE qty > 1", "SELECT COUNT(*) AS n FROM shop.sales WHERE qty > 2"),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE qty BETWEEN 1 AND 3",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE qty NOT BETWEEN 1 AND 3",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind IN ('red', 'blue')",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE kind NOT IN ('red', 'blue')",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales WHERE CASE WHEN kind = 'red' THEN qty > 1 ELSE qty > 2 END",
        "SELECT COUNT(*) AS n FROM shop.sales WHERE CASE WHEN kind = 'red' THEN qty > 2 ELSE qty > 1 END",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind",
        "SELECT region, COUNT(*) AS n FROM shop.sales GROUP BY region",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind",
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY kind, region",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind",
        "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP(kind)",
    ),
    (
        "SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind",
        "SELECT upper(kind) AS kind, COUNT(*) AS n FROM shop.sales GROUP BY 1",
    ),
    (
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP(kind, region)",
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP(region, kind)",
    ),
    (
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP(kind, region)",
        "SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY CUBE(kind, region)",
    ),
    // Joins.
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card",
        "SELECT COUNT(*) AS n FROM shop.sales s LEFT JOIN panel.homes h ON s.card = h.card",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card",
        "SELECT COUNT(*) AS n FROM shop.sales s RIGHT JOIN panel.homes h ON s.card = h.card",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card",
        "SELECT COUNT(*) AS n FROM shop.sales s FULL JOIN panel.homes h ON s.card = h.card",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN panel.homes h ON s.card = h.card",
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE s.card IN (SELECT card FROM panel.homes)",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE s.card IN (SELECT card FROM shop.visits)",
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE s.card NOT IN (SELECT card FROM shop.visits)",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE s.card IN (SELECT card FROM shop.visits)",
        "SELECT COUNT(*) AS n FROM shop.sales s WHERE s.card IN (SELECT card FROM shop.visits WHERE page = 'home')",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN shop.visits v ON s.card = v.card AND s.at < v.at",
        "SELECT COUNT(*) AS n FROM shop.sales s JOIN shop.visits v ON s.card = v.card AND s.at > v.at",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales a JOIN shop.sales b ON a.card = b.card WHERE a.kind = 'red' AND b.region = 'n'",
        "SELECT COUNT(*) AS n FROM shop.sales a JOIN shop.sales b ON a.card = b.card WHERE a.kind = 'red' AND a.region = 'n'",
    ),
    (
        "SELECT COUNT(*) AS n FROM shop.sales a JOIN shop.sales b ON a.card = b.card WHERE a.kind = 'red' AND b.region = 'n'",
        "SELECT COUNT(*) AS n FROM shop.sales a WHERE a.kind = 'red' AND a.region = 'n'",
    ),
    (
        "SELECT r.label, COUNT(*) AS n FROM shop.sales s JOIN shop.regions r ON s.region = r.region GROUP BY r.label",
        "SELECT r.region AS label, COUNT(*) AS n FROM shop.sales s JOIN shop.regions r ON s.region = r.region GROUP BY r.region",
    ),
    // Of units, and within them.
    (
        "SELECT n, COUNT(*) AS people FROM (SELECT card, COUNT(*) AS n FROM shop.sales GROUP BY card) t GROUP BY n",
        "SELECT n, COUNT(*) AS people FROM (SELECT card, COUNT(kind) AS n FROM shop.sales GROUP BY card) t GROUP BY n",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT card FROM shop.sales GROUP BY card) t",
        "SELECT COUNT(*) AS n FROM (SELECT card, kind FROM shop.sales GROUP BY card, kind) t",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS p FROM shop.sales) t WHERE p = 1 AND kind = 'red'",
        "SELECT COUNT(*) AS n FROM (SELECT kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS p FROM shop.sales WHERE kind = 'red') t WHERE p = 1",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS p FROM shop.sales) t WHERE p = 1",
        "SELECT COUNT(*) AS n FROM (SELECT kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at DESC) AS p FROM shop.sales) t WHERE p = 1",
    ),
    (
        "SELECT COUNT(*) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM shop.visits) t",
        "SELECT COUNT(*) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM shop.sales) t",
    ),
    (
        "SELECT kind AS g, COUNT(*) AS n FROM shop.sales WHERE qty > 0 GROUP BY kind UNION ALL SELECT region, COUNT(*) FROM shop.sales GROUP BY region",
        "SELECT kind AS g, COUNT(*) AS n FROM shop.sales WHERE qty > 0 GROUP BY kind",
    ),
];

#[test]
fn what_asks_for_the_same_numbers_is_one_question() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), NEXT_TO_NONE).await;
        let mut wrong = Vec::new();
        for (one, other) in SAME {
            let (first, second) = (room.ask(one, false).await, room.ask(other, true).await);
            if first.outcome() != "released" || second.outcome() != "released" {
                wrong.push(format!("not answered: {one}\n  {other}\n  {} {}", first.document, second.document));
            } else if paid(&second) > 0.0 {
                wrong.push(format!("costs again: {one}\n  {other}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), SAME.len(), wrong.join("\n"));
    });
}

#[test]
fn what_asks_for_other_numbers_is_another_question() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), NEXT_TO_NONE).await;
        let mut wrong = Vec::new();
        for (one, other) in DIFFERENT {
            let (first, second) = (room.ask(one, false).await, room.ask(other, true).await);
            if first.outcome() != "released" || second.outcome() != "released" {
                wrong.push(format!("not answered: {one}\n  {other}\n  {} {}", first.document, second.document));
            } else if paid(&second) == 0.0 {
                wrong.push(format!("is free: {one}\n  {other}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), DIFFERENT.len(), wrong.join("\n"));
    });
}

/// A statement of so few that some are one question.
fn one_of_few(random: &mut Random) -> String {
    let from = random.of(&[
        "shop.sales s JOIN panel.homes h ON s.card = h.card",
        "panel.homes h JOIN shop.sales s ON h.card = s.card",
        "shop.sales s LEFT JOIN panel.homes h ON s.card = h.card",
        "panel.homes h RIGHT JOIN shop.sales s ON h.card = s.card",
        "shop.sales s LEFT JOIN panel.homes h ON s.card = h.card AND h.size = 2",
        "shop.sales s JOIN panel.homes h ON s.card = h.card AND h.size = 2",
        "(SELECT * FROM shop.sales WHERE qty > 1) s JOIN panel.homes h ON s.card = h.card",
        "shop.sales s JOIN (SELECT card, size FROM panel.homes WHERE size = 2) h ON s.card = h.card",
    ]);
    let conditions = [
        "",
        "",
        "s.kind = 'red'",
        "'red' = s.kind",
        "s.qty > 1",
        "1 < s.qty",
        "1 > s.qty",
        "h.size = 2",
        "s.qty > 1 AND h.size = 2",
    ];
    let condition = random.of(&conditions);
    let group = random.of(&["", "", "s.region", "h.size"]);
    let aggregate =
        random.of(&["COUNT(*)", "SUM(s.amount)", "COUNT(DISTINCT s.card)", "COUNT(*) FILTER (WHERE s.qty > 1)"]);
    let list = if group.is_empty() { String::new() } else { format!("{group} AS g, ") };
    let condition = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
    let group = if group.is_empty() { String::new() } else { format!(" GROUP BY {group}") };
    format!("SELECT {list}{aggregate} AS n FROM {from}{condition}{group}")
}

/// Random statements. One that is free is asked once more at a price of its own, so that it is drawn anew: with next to no
/// noise, the answer that another question paid for is the answer that this one gets.
///
/// `REPLAYS_CASES` (100) statements are asked from `REPLAYS_SEED` (1) on.
#[test]
fn a_free_answer_is_the_answer_to_the_question() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), NEXT_TO_NONE).await;
        let mut random = Random::new(from_env("REPLAYS_SEED", 1) as u64);
        let mut asked = BTreeSet::new();
        let (mut released, mut free) = (0, 0);
        for number in 0..from_env("REPLAYS_CASES", 100) {
            let sql = one_of_few(&mut random);
            if !asked.insert(sql.clone()) {
                continue;
            }
            let told = room.ask(&sql, false).await;
            assert_eq!(told.outcome(), "released", "{sql}: {}", told.document);
            released += 1;
            if paid(&told) > 0.0 {
                continue;
            }
            free += 1;
            let spending = Spending { epsilon: Some(8_999_999.0 - number as f64), ..Spending::default() };
            let fresh = room.ask_as("media", &sql, false, spending).await;
            assert!(paid(&fresh) > 0.0, "{sql}");
            assert_eq!(told.rows.len(), fresh.rows.len(), "{sql}");
            for (one, other) in told.rows.iter().flatten().zip(fresh.rows.iter().flatten()) {
                let near = match (one.parse::<f64>(), other.parse::<f64>()) {
                    (Ok(one), Ok(other)) => (one - other).abs() < 1.0,
                    _ => one == other,
                };
                assert!(near, "{one} is not {other}: {sql}");
            }
        }
        assert!(released > 30 && free > 5, "{free} of {released} were free");
    });
}

const SALES: &str =
    "SELECT region, COUNT(DISTINCT card) AS people, SUM(amount) AS total FROM shop.sales GROUP BY region";

#[test]
fn a_question_is_paid_once_by_each_analyst_and_has_one_set_of_numbers() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), SOME).await;
        let first = room.ask(SALES, false).await;
        assert_eq!(first.document["cost"][0]["table"], "shop.sales");
        assert_eq!(paid(&first), 10.0);
        assert!(!first.rows.is_empty());
        let left = first.document["cost"][0]["remaining_epsilon"].as_f64().unwrap();
        assert!((150.0..200.0).contains(&left), "{left}");
        let again = "SELECT SUM(t.amount) AS \"sum\", t.region, COUNT(DISTINCT t.card) AS n FROM shop.sales t GROUP BY t.region ORDER BY 2";
        for _ in 0..5 {
            assert_eq!(paid(&room.ask(again, true).await), 0.0);
            let told = room.ask(again, false).await;
            assert_eq!(paid(&told), 0.0);
            assert!(told.document["notes"].to_string().contains("paid for this question before"));
            let moved: Vec<Vec<String>> =
                told.rows.iter().map(|row| vec![row[1].clone(), row[2].clone(), row[0].clone()]).collect();
            assert_eq!(moved, first.rows);
        }
        // Another analyst pays, and learns from the price nothing of what was asked before.
        let spending = Spending::default;
        assert_eq!(paid(&room.ask_as("panel", SALES, true, spending()).await), 10.0);
        let other = room.ask_as("panel", SALES, false, spending()).await;
        assert_eq!((paid(&other), &other.rows), (10.0, &first.rows));
        assert!(!other.document["notes"].to_string().contains("before"));
        assert_eq!(paid(&room.ask_as("panel", SALES, false, spending()).await), 0.0);
        // Less precision is another question; so is another weight.
        let half = Spending { epsilon: Some(0.5), ..spending() };
        assert_eq!(paid(&room.ask_as("media", SALES, false, half.clone()).await), 0.5);
        assert_eq!(paid(&room.ask_as("media", SALES, false, half).await), 0.0);
        let weighed = Spending { weights: [("total".to_owned(), 3.0)].into(), ..spending() };
        assert_eq!(paid(&room.ask_as("media", SALES, true, weighed).await), 10.0);
    });
}

#[test]
fn new_data_or_a_new_policy_is_a_new_question() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), SOME).await;
        let first = room.ask(SALES, false).await;
        let sales = room.policy("shop.sales").await;
        let csv = std::fs::read(room.file("shop.sales.csv")).unwrap();
        let before = room.version(&sales.table).await;
        room.take(&sales, "csv", &[csv.as_slice(), b"c1,red,n,2024-01-01,5.5,1,s\n"].concat()).await.unwrap();
        assert!(room.version(&sales.table).await > before);
        let second = room.ask(SALES, false).await;
        assert_eq!(paid(&second), 10.0);
        assert!(!first.rows.is_empty());
        assert_ne!(second.rows, first.rows, "the noise is another one");
        assert_eq!(paid(&room.ask(SALES, true).await), 0.0);
        // Another table's data has no part in it.
        let visits = room.policy("shop.visits").await;
        let csv = std::fs::read(room.file("shop.visits.csv")).unwrap();
        room.take(&visits, "csv", &[csv.as_slice(), b"c1,home,2024-01-01T00:00:00,5\n"].concat()).await.unwrap();
        assert_eq!(paid(&room.ask(SALES, true).await), 0.0);
        let text = sales.canonical_json();
        let edited = text.replace("\"version\":1", "\"version\":2").replace("\"min_units\":3", "\"min_units\":4");
        assert_ne!(edited, text);
        room.put_policy(&edited).await;
        assert_eq!(paid(&room.ask(SALES, true).await), 10.0);
    });
}

#[test]
fn ten_at_once_get_one_set_of_numbers() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), SOME).await;
        let asked = (0..10).map(|asker| {
            let analyst = if asker % 2 == 0 { "media" } else { "panel" };
            room.ask_as(analyst, SALES, false, Spending::default())
        });
        let told = futures::future::join_all(asked).await;
        assert!(told.iter().all(|told| told.outcome() == "released"));
        assert!(!told[0].rows.is_empty());
        assert!(told.windows(2).all(|pair| pair[0].rows == pair[1].rows), "{told:?}");
        assert!(told.iter().map(paid).sum::<f64>() >= 20.0);
        assert_eq!(paid(&room.ask(SALES, false).await), 0.0);
    });
}

#[test]
fn what_no_budget_admits_is_not_answered() {
    block_on(async {
        let little = SOME.replace("epsilon: 200", "epsilon: 25");
        let room = Opened::shared(&fixed_rows(), &little).await;
        let mut outcomes = Vec::new();
        for least in 0..40 {
            let sql = format!("SELECT SUM(amount) AS a FROM shop.sales WHERE qty > {least}");
            let (priced, told) = (room.ask(&sql, true).await, room.ask(&sql, false).await);
            assert_eq!(priced.code(), told.code(), "a dry run says the same");
            outcomes.push(told);
            if outcomes.last().unwrap().outcome() != "released" {
                break;
            }
        }
        let last = outcomes.last().unwrap();
        assert_eq!((last.outcome(), last.code()), ("exhausted", "CR3001"));
        let rule = &last.document["error"]["policy"];
        assert_eq!((&rule["owner"], &rule["rule"]), (&"shop".into(), &"noise.budget".into()));
        assert!(outcomes.len() > 2, "two are admitted by any account");
        assert!(outcomes.len() < 12, "{} were admitted", outcomes.len());
        // What was paid for stays free, and other owners' budgets are untouched.
        let again = room.ask("SELECT SUM(amount) AS a FROM shop.sales WHERE qty > 0", false).await;
        assert_eq!((again.outcome(), paid(&again)), ("released", 0.0));
        assert_eq!(again.rows, outcomes[0].rows);
        assert_eq!(room.ask("SELECT COUNT(*) AS n FROM panel.homes", false).await.outcome(), "released");
    });
}

fn noise_of<'a>(told: &'a Told, column: &str) -> &'a Value {
    let columns = told.document["columns"].as_array().unwrap();
    &columns.iter().find(|of| of["name"] == column).unwrap_or_else(|| panic!("no {column}: {}", told.document))["noise"]
}

#[test]
fn computed_columns_have_intervals_by_simulation() {
    block_on(async {
        let room = Opened::shared(&fixed_rows(), SOME).await;
        let sql = "SELECT region, COUNT(*) AS n, 3 * COUNT(*) AS thrice, AVG(amount) AS mean, COUNT(*) - COUNT(*) AS none, \
                   1.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS share, CASE WHEN COUNT(*) > 9 THEN 'many' END AS word \
                   FROM shop.sales GROUP BY region ORDER BY 1";
        let priced = room.ask(sql, true).await;
        assert!(noise_of(&priced, "region").is_null());
        assert_eq!(noise_of(&priced, "n")["mechanism"], "gaussian");
        for column in ["thrice", "mean", "share", "word"] {
            let noise = noise_of(&priced, column);
            assert_eq!((&noise["mechanism"], &noise["ci95"]), (&"derived".into(), &Value::Null), "{column}");
        }
        let told = room.ask(sql, false).await;
        assert!(!told.rows.is_empty());
        let half = |column: &str| {
            noise_of(&told, column)["ci95"].as_f64().unwrap_or_else(|| panic!("{column}: {}", told.document))
        };
        let ratio = half("thrice") / half("n");
        assert!((1.5..6.0).contains(&ratio), "{ratio}");
        assert!((0.01..100.0).contains(&half("mean")));
        assert!((0.001..1.0).contains(&half("share")));
        assert_eq!(half("none"), 0.0);
        assert!(noise_of(&told, "word")["ci95"].is_null());
        let by_row = noise_of(&told, "thrice")["by_row"].as_array().unwrap();
        assert_eq!(by_row.len(), told.rows.len());
        assert!(by_row.iter().all(|half| half.as_f64().unwrap() > 0.0));
        // Rows that cannot be told apart, and a row that is alone.
        let blind = room.ask("SELECT 3 * COUNT(*) AS thrice FROM shop.sales GROUP BY region", false).await;
        assert!(blind.rows.len() > 1);
        assert!(noise_of(&blind, "thrice")["by_row"].as_array().unwrap().iter().all(Value::is_null));
        let alone = room.ask("SELECT SUM(amount) / COUNT(*) AS mean FROM shop.sales", false).await;
        assert!(noise_of(&alone, "mean")["ci95"].as_f64().unwrap() > 0.0);
    });
}

#[test]
fn repeats_are_free_through_the_command_line() {
    let policy = |table: &str, column: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: id, space: person}}\n\
             columns:\n  id: {{use: [join, count]}}\n  {column}: {{use: [dimension, filter], values: [a, b]}}\n\
             joins: {{require: none}}\nrelease: {{min_units: 5}}\nnoise: {{mechanism: laplace, epsilon: 1, delta: 0, \
             groups_per_unit: 1, rows_per_unit: 1, budget: {{epsilon: 3, delta: 0}}}}\n\
             access: {{analysts: [one, two], receivers: [one, two]}}\n"
        )
    };
    let room = "apiVersion: cleanroom/v1\nkind: Room\nname: repeats\npartners:\n\
        - {name: shop, abilities: [contribute], tables: [{name: buyers, source: {file: buyers.csv}, policy: buyers.yaml}]}\n\
        - {name: one, abilities: [query, receive]}\n- {name: two, abilities: [query, receive]}\n";
    let room = Room::new(room, &[("buyers.yaml", &policy("shop.buyers", "kind"))]);
    let csv = |people: u32| {
        (0..people).fold("id,kind\n".to_owned(), |mut csv, person| {
            writeln!(csv, "p{person},{}", if person % 3 == 0 { "a" } else { "b" }).unwrap();
            csv
        })
    };
    std::fs::write(room.path().join("buyers.csv"), csv(90)).unwrap();
    let sql = "SELECT kind, COUNT(DISTINCT id) AS n FROM shop.buyers GROUP BY kind";
    let spent = |told: &crate::support::Answer| told.json["cost"][0]["epsilon"].as_f64().unwrap();
    let first = room.ask("one", sql);
    assert_eq!((spent(&first), first.json["cost"][0]["remaining_epsilon"].as_f64()), (1.0, Some(2.0)));
    // Every command is a process of its own.
    let again =
        room.ask("one", "select x.kind as k, count(distinct x.id) as people from shop.buyers x group by 1 order by 1");
    assert_eq!((spent(&again), again.rows()), (0.0, first.rows()));
    let other = room.ask("two", sql);
    assert_eq!((spent(&other), other.rows()), (1.0, first.rows()));
    let printed = room.run(&[
        "query",
        "--room",
        "room.yaml",
        "--as",
        "one",
        "--",
        "SELECT kind, 2 * COUNT(DISTINCT id) AS n FROM shop.buyers GROUP BY kind",
    ]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("n: about ± ") && printed.contains("at no cost"), "{printed}");
    // One person more: new data, new noise, and the last of the budget.
    std::fs::write(room.path().join("buyers.csv"), csv(91)).unwrap();
    let after = room.ask("one", sql);
    assert_eq!(spent(&after), 1.0);
    let none = room.ask("one", "SELECT COUNT(*) AS n FROM shop.buyers");
    assert_eq!((none.outcome(), none.code(), none.exit), ("exhausted", "CR3001", 4));
    assert_eq!(spent(&room.ask("one", sql)), 0.0);
    assert!(room.verify().status.success());
}
