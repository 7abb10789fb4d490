//! What an analyst may write, as the command line answers it: functions, arithmetic of amounts, and the question that a
//! refusal offers instead.

use crate::attacks::room as planted;
use crate::fixture::{Opened, block_on, fixed_rows};
use crate::random::Random;
use crate::support::{Answer, Room};
use crate::worlds::random_rows;

const SHOP: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: shop
description: Amounts
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
      - {name: strict, source: {file: sales.csv}, policy: strict.yaml}
      - {name: uncounted, source: {file: sales.csv}, policy: uncounted.yaml}
  - name: paper
    abilities: [query, receive]
";

/// 60 people, one sale each, of 1 to 60; three policies for the same file.
fn shop() -> Room {
    let policy = |table: &str, functions: &str, more: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.{table}\nversion: 1\nunit: {{column: email, space: email}}\n\
             columns:\n  email: {{use: [join, count]}}\n  town: {{use: [dimension, filter]}}\n  day: {{use: [filter, dimension]}}\n  \
             at: {{use: [filter, dimension]}}\n  grained: {{use: [filter, dimension], grain: month}}\n  \
             amount: {{use: [measure], functions: {functions}, bounds: [0, 1000]}}\n  \
             price: {{use: [measure, filter], functions: {functions}, bounds: [0, 1000]}}\n\
             joins: {{require: none}}\nrelease: {{min_units: 25{more}}}\naccess: {{analysts: [paper], receivers: [paper]}}\n"
        )
    };
    let room = Room::new(
        SHOP,
        &[
            ("sales.yaml", &policy("sales", "[sum, avg, count]", "")),
            ("strict.yaml", &policy("strict", "[sum, avg, count]", ", dominance: {top: 1, max_share: 0.5}")),
            ("uncounted.yaml", &policy("uncounted", "[sum, avg]", "")),
        ],
    );
    let rows: Vec<String> = (1..=60)
        .map(|k| {
            let day = if k % 2 == 0 { "9999-12-31" } else { "2024-01-01" };
            format!("p{k}@x.org,\" Köln{} \",{day},{day}T23:59:59,{day},{k},{k}.5", k % 2)
        })
        .collect();
    std::fs::write(
        room.path().join("sales.csv"),
        format!("email,town,day,at,grained,amount,price\n{}\n", rows.join("\n")),
    )
    .unwrap();
    room
}

fn number(answer: &Answer) -> f64 {
    answer.rows()[0][0].as_f64().unwrap()
}

#[test]
fn an_amount_is_moved_by_a_constant_where_its_count_is_granted() {
    let room = shop();
    let asked = |sql: &str| room.ask("paper", sql);
    assert_eq!(number(&asked("SELECT SUM(amount + 10) FROM shop.sales")), 1_830.0 + 600.0);
    assert_eq!(number(&asked("SELECT SUM(10 - amount) FROM shop.sales")), 600.0 - 1_830.0);
    assert_eq!(number(&asked("SELECT SUM((price - 0.5) * 2) FROM shop.sales")), 2.0 * 1_830.0);
    assert_eq!(number(&asked("SELECT SUM(-amount) FROM shop.sales")), -1_830.0);
    assert_eq!(number(&asked("SELECT SUM(amount * 2) FROM shop.strict")), 3_660.0);
    assert_eq!(number(&asked("SELECT SUM(CAST(amount AS DOUBLE) / 2) FROM shop.strict")), 915.0);
    for refused in [
        // Shares would be made equal.
        "SELECT SUM(amount + 10) FROM shop.strict",
        "SELECT SUM(price - amount) FROM shop.strict",
        // It tells the count.
        "SELECT SUM(amount + 1) FROM shop.uncounted",
        // Large, twice, not a constant, not linear.
        "SELECT SUM(amount + 1000001) FROM shop.sales",
        "SELECT SUM(amount + 1 + 1) FROM shop.sales",
        "SELECT SUM(amount * 0.000001 + 1000000) FROM shop.sales",
        "SELECT SUM(amount + date_part('year', day)) FROM shop.sales",
        "SELECT SUM(CASE WHEN town = 'x' THEN amount ELSE 0 END + 1) FROM shop.sales",
        "SELECT SUM((amount + 1) * price) FROM shop.sales",
        "SELECT SUM((amount + 1) % 7) FROM shop.sales",
        "SELECT SUM(amount / 2) FROM shop.sales",
        "SELECT SUM(abs(amount - 30)) FROM shop.sales",
        "SELECT SUM(greatest(amount, 30)) FROM shop.sales",
        "SELECT SUM(power(amount, 8)) FROM shop.sales",
        "SELECT SUM(round(amount, -1)) FROM shop.sales",
        "SELECT SUM(nullif(amount, 7)) FROM shop.sales",
        "SELECT SUM(amount + CAST('1' AS BIGINT) * CAST('1e30' AS DOUBLE)) FROM shop.sales",
    ] {
        assert_eq!(asked(refused).code(), "CR2108", "{refused}");
    }
}

#[test]
fn functions_group_and_filter() {
    let room = shop();
    let asked = |sql: &str| room.ask("paper", sql);
    let towns = asked(
        "SELECT lower(translate(btrim(town), 'ö', 'o')) AS t, COUNT(DISTINCT email) FROM shop.sales GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(towns.labels().into_iter().collect::<Vec<_>>(), ["koln0", "koln1"]);
    for (condition, count) in [
        ("sqrt(price) < 6", 35.0),
        ("at - day < INTERVAL '1 day'", 60.0),
        ("at - day >= INTERVAL '23 hours'", 60.0),
        ("EXTRACT(DAY FROM at - day) = 0", 60.0),
        ("date_part('day', day - DATE '2000-01-01') > 30000", 30.0),
        ("day - DATE '2000-01-01' > 30000", 30.0),
        ("at - TIMESTAMP '1700-01-01 00:00:00' > INTERVAL '36000 days'", 60.0),
        ("ln(price - 1.5) IS NULL", 30.0 - 30.0),
        ("round(price, -1) >= 30", 36.0),
        ("ceil(price) BETWEEN 2 AND 31", 30.0),
        ("right(rtrim(town), 1) = '1'", 30.0),
        ("POSITION('ö' IN town) = 3", 60.0),
        ("to_char(day, '%Y/%m') = '2024/01'", 30.0),
        ("EXTRACT(YEAR FROM day) = 9999", 30.0),
        // 1677 to 2262 is all that the engine truncates by itself.
        ("date_trunc('month', at) = TIMESTAMP '9999-12-01 00:00:00'", 30.0),
        ("date_trunc('week', at) > TIMESTAMP '9000-01-01 00:00:00'", 30.0),
        ("grained > DATE '9000-01-01'", 30.0),
        // The sentinel is after every time, also one in nanoseconds.
        ("day < TIMESTAMP '2024-06-01 00:00:00'", 30.0),
        ("day > TIMESTAMP '2024-06-01 00:00:00'", 30.0),
        ("day BETWEEN TIMESTAMP '2024-06-01 00:00:00' AND TIMESTAMP '9999-12-31 00:00:00'", 30.0),
        ("day IN (TIMESTAMP '9999-12-31 00:00:00')", 30.0),
    ] {
        let answer = asked(&format!("SELECT COUNT(DISTINCT email) FROM shop.sales WHERE {condition}"));
        if count >= 25.0 {
            assert_eq!(number(&answer), count, "{condition}");
        } else {
            assert_eq!(answer.outcome(), "released", "{condition}");
        }
    }
}

/// The statement at the end of a suggestion.
fn offered(answer: &Answer) -> Option<String> {
    let text = answer.json["error"]["suggestion"].as_str()?;
    let offered = &text[text.rfind(": SELECT ")? + 2..];
    // A suggestion may spell out the shape of a statement; that is none.
    (!offered.contains("...")).then(|| offered.to_owned())
}

#[test]
fn the_question_that_is_offered_is_answered() {
    let room = planted();
    for (sql, wanted) in [
        (
            "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.category = u.state",
            "p.email_hash = u.email_hash",
        ),
        (
            "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p, publisher.users u WHERE u.state = 'TX' OR u.state = 'CA'",
            "p.email_hash = u.email_hash AND (u.state = 'TX' OR u.state = 'CA')",
        ),
        (
            "SELECT category FROM retailer.purchases ORDER BY category LIMIT 5",
            "GROUP BY category ORDER BY category LIMIT 5",
        ),
        ("SELECT category, amount FROM retailer.purchases", "SELECT category, COUNT(DISTINCT email_hash) AS units"),
        ("SELECT * FROM retailer.purchases", "SELECT COUNT(DISTINCT email_hash) AS units"),
        ("SELECT email_hash FROM retailer.purchases", "COUNT(DISTINCT email_hash)"),
        ("SELECT email_hash, COUNT(*) FROM retailer.purchases GROUP BY email_hash", "SELECT COUNT(*) FROM"),
        (
            "SELECT category, MIN(amount), SUM(amount) FROM retailer.purchases GROUP BY category",
            "SELECT category, SUM(amount)",
        ),
        ("SELECT MAX(amount) FROM retailer.purchases", "COUNT(DISTINCT email_hash)"),
        (
            "SELECT category, nosuch, COUNT(*) FROM retailer.purchases GROUP BY category, nosuch",
            "SELECT category, COUNT(*) FROM retailer.purchases GROUP BY category",
        ),
    ] {
        let refused = room.ask("publisher", sql);
        assert_eq!(refused.outcome(), "refused", "{sql}");
        let offered = offered(&refused).unwrap_or_else(|| panic!("nothing is offered for `{sql}`: {}", refused.json));
        assert!(offered.contains(wanted), "`{sql}` -> `{offered}`");
        assert_eq!(room.ask("publisher", &offered).outcome(), "released", "{offered}");
    }
    // What no rewriting makes acceptable is not offered.
    for sql in [
        "SELECT COUNT(*) FROM retailer.purchases WHERE email_hash = 'a'",
        "SELECT nosuch FROM retailer.purchases",
        "SELECT category FROM retailer.purchases WHERE amount > 7919",
    ] {
        let refused = room.ask("publisher", sql);
        assert_eq!(refused.outcome(), "refused", "{sql}");
        assert_eq!(offered(&refused), None, "{sql}");
    }
}

/// A stored column that the policy does not list, and one that nobody has.
#[test]
fn a_hidden_column_is_refused_as_one_that_does_not_exist() {
    let room = planted();
    let error = |column: &str| {
        let sql = format!("SELECT category, {column}, COUNT(*) FROM retailer.purchases GROUP BY category, {column}");
        room.ask("publisher", &sql).json["error"].clone()
    };
    // As long as each other, so that the place in the text is the same.
    assert_eq!(error("zip"), error("zap"));
}

/// Whole numbers above a release: what does not fit is NULL, whatever side of the range it leaves.
#[test]
fn whole_numbers_above_a_release_do_not_wrap_around() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let most = i64::MAX;
        let told = room
            .ask(
                &format!(
                    "SELECT n * {most} AS a, n + {most} AS b, 0 - n - {most} AS c, n * 2 AS d, n - {most} AS e, n * n - 1 AS f \
                     FROM (SELECT COUNT(*) AS n FROM shop.sales)"
                ),
                false,
            )
            .await;
        let exact = |number: i64| number.to_string();
        let null = || "NULL".to_owned();
        assert_eq!(told.rows, [[null(), null(), null(), exact(240), exact(120 - most), exact(14_399)]]);
        for column in told.document["columns"].as_array().unwrap() {
            assert_eq!(column["type"], "Int64");
        }
        let kept = format!("SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind HAVING COUNT(*) * {most} IS NULL");
        assert_eq!(room.ask(&kept, false).await.rows.len(), 4);
    });
}

/// The planner names a cast like what it casts: a refusal that says so, and what it says instead is answered.
#[test]
fn aggregates_that_differ_in_a_cast_are_answered_over_columns_of_their_own() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let told = room.ask("SELECT COUNT(secs) AS a, COUNT(CAST(secs AS DOUBLE)) AS b FROM shop.visits", false).await;
        assert_eq!(told.code(), "CR1007");
        let detail = told.document["error"]["detail"].as_str().unwrap();
        assert!(detail.contains("a cast has that of what it casts"), "{detail}");
        let instead = "SELECT COUNT(secs) AS a, COUNT(exact) AS b \
                       FROM (SELECT secs, CAST(secs AS DOUBLE) AS exact FROM shop.visits)";
        assert_eq!(room.ask(instead, false).await.rows, [["23", "23"]]);
    });
}

/// A table in two places, of which one is summed only.
#[test]
fn one_place_of_a_table_may_be_summed_without_the_other() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let sql =
            "SELECT b.kind, SUM(a.amount) AS s FROM shop.sales a JOIN shop.sales b ON a.card = b.card GROUP BY b.kind";
        let told = room.ask(sql, false).await;
        assert_eq!((told.outcome(), told.rows.len()), ("released", 4), "{}", told.document);
    });
}

/// Short forms that an analyst writes, and the long ones that they stand for.
#[test]
fn what_is_put_together_of_counts_is_what_its_parts_say() {
    let per_card = |n: &str| format!("(SELECT card, {n} AS n FROM shop.sales GROUP BY card) t");
    let kinds = per_card("COUNT(DISTINCT kind)");
    let red = per_card("MAX(CASE WHEN kind = 'red' THEN 1 ELSE 0 END)");
    let reds = per_card("COUNT(*) FILTER (WHERE kind = 'red')");
    let any = per_card("BOOL_OR(kind = 'red')");
    let visits = "(SELECT u.card, COUNT(v.card) AS n FROM media.users u LEFT JOIN shop.visits v ON v.card = u.card GROUP BY u.card) t";
    let pairs = "(SELECT DISTINCT card, kind FROM shop.sales) t";
    let ratio = |one: &str, other: &str| {
        let named = |aggregate: &str, name: &str| aggregate.replacen(" FROM", &format!(" AS {name} FROM"), 1);
        let (one, other) = (named(one, "a"), named(other, "b"));
        format!("SELECT CAST(a AS DOUBLE) / b AS x FROM (SELECT {one}) p CROSS JOIN (SELECT {other}) q")
    };
    let cards = "COUNT(DISTINCT card) FROM shop.sales";
    let by_lines = "(SELECT lines AS q, COUNT(*) AS n FROM (SELECT card, COUNT(*) AS lines FROM shop.sales GROUP BY card) c GROUP BY lines) x";
    block_on(async {
        let (rows, _without) = random_rows(&mut Random::new(1));
        let room = Opened::new(&rows).await;
        for (short, long) in [
            (format!("SELECT SUM(n) AS x FROM {kinds}"), format!("SELECT COUNT(*) AS x FROM {pairs}")),
            (format!("SELECT AVG(n) AS x FROM {kinds}"), ratio(&format!("COUNT(*) FROM {pairs}"), cards)),
            (format!("SELECT SUM(n) AS x FROM {red}"), "SELECT COUNT(DISTINCT card) AS x FROM shop.sales WHERE kind = 'red'".to_owned()),
            (
                format!("SELECT AVG(n) AS x FROM {red}"),
                ratio("COUNT(DISTINCT card) FROM shop.sales WHERE kind = 'red'", cards),
            ),
            (
                format!("SELECT AVG(CAST(n AS INTEGER)) AS x FROM {any}"),
                ratio("COUNT(DISTINCT card) FROM shop.sales WHERE kind = 'red'", cards),
            ),
            (format!("SELECT AVG(n) AS x FROM {reds}"), ratio("COUNT(*) FROM shop.sales WHERE kind = 'red'", cards)),
            (
                "SELECT AVG(COALESCE(qty, 0)) AS x FROM shop.sales".to_owned(),
                ratio("SUM(qty) FROM shop.sales", "COUNT(*) FROM shop.sales"),
            ),
            (
                "SELECT AVG(COALESCE(v.n, 0)) AS x FROM media.users u LEFT JOIN (SELECT card, COUNT(*) AS n FROM shop.visits GROUP BY card) v ON v.card = u.card".to_owned(),
                ratio(
                    "COUNT(*) FROM media.users u JOIN shop.visits v ON v.card = u.card",
                    "COUNT(DISTINCT card) FROM media.users",
                ),
            ),
            (
                "SELECT SUM(f) AS x FROM (SELECT card, CASE WHEN kind = 'red' THEN 1 ELSE 0 END AS f FROM shop.sales) t".to_owned(),
                "SELECT COUNT(*) AS x FROM shop.sales WHERE kind = 'red'".to_owned(),
            ),
            (
                format!("SELECT AVG(n) AS x FROM {visits}"),
                ratio(
                    "COUNT(*) FROM media.users u JOIN shop.visits v ON v.card = u.card",
                    "COUNT(DISTINCT card) FROM media.users",
                ),
            ),
            (
                "SELECT kind, COUNT(*) AS x FROM (SELECT DISTINCT ON (card) card, kind FROM shop.sales ORDER BY card, at, kind) t GROUP BY kind ORDER BY kind".to_owned(),
                "SELECT kind, COUNT(*) AS x FROM (SELECT card, kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at, kind) AS k FROM shop.sales) t WHERE k = 1 GROUP BY kind ORDER BY kind".to_owned(),
            ),
            (
                "SELECT COUNT(DISTINCT card) AS x FROM shop.sales JOIN media.users USING (card) JOIN shop.visits USING (card) WHERE card IS NOT NULL".to_owned(),
                "SELECT COUNT(DISTINCT s.card) AS x FROM shop.sales s JOIN media.users u ON u.card = s.card JOIN shop.visits v ON v.card = s.card".to_owned(),
            ),
            (
                format!("SELECT g.k, n AS x FROM generate_series(1, 3) AS g(k) LEFT JOIN {by_lines} ON x.q = g.k ORDER BY 1"),
                format!("SELECT g.k, n AS x FROM (VALUES (1), (2), (3)) AS g(k) LEFT JOIN {by_lines} ON x.q = g.k ORDER BY 1"),
            ),
            (
                "SELECT STRING_AGG(kind, ', ') AS x FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t".to_owned(),
                "SELECT STRING_AGG(kind, ', ' ORDER BY kind) AS x FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t".to_owned(),
            ),
        ] {
            let (one, other) = (room.ask(&short, false).await, room.ask(&long, false).await);
            assert_eq!(one.outcome(), "released", "{short}: {}", one.document);
            assert_eq!(other.outcome(), "released", "{long}: {}", other.document);
            assert!(!one.rows.is_empty() && one.rows[0].last().is_some_and(|x| x != "NULL"), "{short}");
            assert_eq!(one.rows, other.rows, "{short} and {long}");
        }
        // A distance is compared with an interval by its length; everybody has one visit.
        let count = |condition: &str| {
            format!(
                "SELECT COUNT(*) AS n FROM (SELECT card, MAX(at) - MIN(at) AS d FROM shop.visits GROUP BY card) t WHERE {condition}"
            )
        };
        let all = room.ask("SELECT COUNT(DISTINCT card) AS n FROM shop.visits", false).await;
        assert_eq!(all.rows.len(), 1, "{}", all.document);
        for all_of_them in ["d >= INTERVAL '0 days'", "d < INTERVAL '1 day'", "d < INTERVAL '24 hours'"] {
            let told = room.ask(&count(all_of_them), false).await;
            assert_eq!(told.rows, all.rows, "{all_of_them}: {}", told.document);
        }
        let none = room.ask(&count("d >= INTERVAL '1 day'"), false).await;
        assert_eq!((none.outcome(), none.rows.len()), ("released", 0), "{}", none.document);
    });
}

/// Spellings of other systems, distances of dates and times, and arithmetic of flags, beside what they mean.
#[test]
fn spellings_and_distances_mean_what_they_say() {
    let first_and_last = "(SELECT card, MIN(at) AS a, MAX(at) AS b FROM shop.sales GROUP BY card) t";
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        for (short, long) in [
            (
                "SELECT state, COUNT(DISTINCT card) AS x FROM shop.sales NATURAL JOIN media.users GROUP BY state ORDER BY state".to_owned(),
                "SELECT state, COUNT(DISTINCT card) AS x FROM shop.sales JOIN media.users USING (card) GROUP BY state ORDER BY state".to_owned(),
            ),
            (
                "SELECT region, COUNT_IF(kind = 'red') AS r, SUM(IF(kind = 'blue', qty, 0)) AS x FROM shop.sales GROUP BY region ORDER BY region".to_owned(),
                "SELECT region, COUNT(*) FILTER (WHERE kind = 'red') AS r, SUM(qty) FILTER (WHERE kind = 'blue') AS x FROM shop.sales GROUP BY region ORDER BY region".to_owned(),
            ),
            (
                "SELECT SUM(a * b) AS x FROM (SELECT card, MAX(CASE WHEN kind = 'grey' THEN 1 ELSE 0 END) AS a, MAX(CASE WHEN region = 'n' THEN 1 ELSE 0 END) AS b FROM shop.sales GROUP BY card) t".to_owned(),
                "SELECT COUNT(DISTINCT card) AS x FROM shop.sales WHERE kind = 'grey' AND region = 'n'".to_owned(),
            ),
            (
                "SELECT SUM(1 - a) AS x FROM (SELECT card, MAX(CASE WHEN kind = 'grey' THEN 1 ELSE 0 END) AS a FROM shop.sales GROUP BY card) t".to_owned(),
                "SELECT COUNT(DISTINCT card) AS x FROM shop.sales WHERE kind <> 'grey'".to_owned(),
            ),
            // A date and a time, two dates, and what stands above the release.
            (
                "SELECT COUNT(*) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at - v.at < INTERVAL '10 days'".to_owned(),
                "SELECT COUNT(*) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at < v.at + INTERVAL '10 days'".to_owned(),
            ),
            (
                "SELECT COUNT(*) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at - v.at BETWEEN INTERVAL '0 days' AND INTERVAL '800 hours'".to_owned(),
                "SELECT COUNT(*) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at BETWEEN v.at AND v.at + INTERVAL '800 hours'".to_owned(),
            ),
            (
                "SELECT date_part('day', s.at - v.at) AS d, COUNT(DISTINCT s.card) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at > v.at GROUP BY 1 ORDER BY 1".to_owned(),
                "SELECT CAST(s.at AS DATE) - CAST(v.at AS DATE) - CASE WHEN EXTRACT(HOUR FROM v.at) > 0 THEN 1 ELSE 0 END AS d, COUNT(DISTINCT s.card) AS x FROM shop.sales s JOIN shop.visits v ON v.card = s.card WHERE s.at > v.at GROUP BY 1 ORDER BY 1".to_owned(),
            ),
            (
                format!("SELECT COUNT(*) AS x FROM {first_and_last} WHERE EXTRACT(DAY FROM b - a) > 20"),
                format!("SELECT COUNT(*) AS x FROM {first_and_last} WHERE b > a + INTERVAL '20 days'"),
            ),
            (
                format!("SELECT COUNT(*) AS x FROM {first_and_last} WHERE b - a >= INTERVAL '21 days'"),
                format!("SELECT COUNT(*) AS x FROM {first_and_last} WHERE b - a > 20"),
            ),
            (
                "SELECT COUNT(*) AS x FROM (SELECT at, at + INTERVAL '2 days' AS later FROM (SELECT at, COUNT(*) AS n FROM shop.sales GROUP BY at) r) q WHERE later - at > 1 AND later - at < INTERVAL '3 days'".to_owned(),
                "SELECT COUNT(*) AS x FROM (SELECT at, COUNT(*) AS n FROM shop.sales GROUP BY at) r".to_owned(),
            ),
        ] {
            let (one, other) = (room.ask(&short, false).await, room.ask(&long, false).await);
            assert_eq!(one.outcome(), "released", "{short}: {}", one.document);
            assert_eq!(other.outcome(), "released", "{long}: {}", other.document);
            assert!(!one.rows.is_empty() && one.rows[0].last().is_some_and(|x| x != "NULL"), "{short}");
            assert_eq!(one.rows, other.rows, "{short} and {long}");
        }
        // A month is of no one length.
        let refused =
            room.ask("SELECT COUNT(*) AS n FROM shop.sales WHERE at - DATE '2024-01-01' < INTERVAL '1 month'", false);
        assert_eq!(refused.await.code(), "CR1008");
    });
}

/// A misspelt name, and the statement with the name that is meant.
#[test]
fn a_name_that_is_nearly_one_is_offered() {
    let room = planted();
    for (sql, wanted) in [
        ("SELECT categry, COUNT(*) FROM retailer.purchases GROUP BY categry", "SELECT category, COUNT(*)"),
        ("SELECT SUM(amuont) FROM retailer.purchases", "SUM(amount)"),
        ("SELECT category, COUNT(*) FROM retailer.purchase GROUP BY category", "FROM retailer.purchases"),
    ] {
        let refused = room.ask("publisher", sql);
        assert_eq!(refused.code(), "CR1005", "{sql}: {}", refused.json);
        let offered = offered(&refused).unwrap_or_else(|| panic!("nothing is offered for `{sql}`: {}", refused.json));
        assert!(offered.contains(wanted), "{offered}");
    }
}

/// What is told of truth values stands as a group, too.
#[test]
fn truth_values_as_groups() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        for (form, same) in [
            ("IS TRUE", "kind = 'red' AND kind IS NOT NULL"),
            ("IS NOT TRUE", "kind <> 'red' OR kind IS NULL"),
            ("IS FALSE", "kind <> 'red' AND kind IS NOT NULL"),
            ("IS NOT FALSE", "kind = 'red' OR kind IS NULL"),
            ("IS UNKNOWN", "kind IS NULL"),
            ("IS NOT UNKNOWN", "kind IS NOT NULL"),
        ] {
            let told = room
                .ask(&format!("SELECT (kind = 'red') {form} AS g, COUNT(*) AS n FROM shop.sales GROUP BY 1"), false)
                .await;
            assert_eq!(told.outcome(), "released", "{form}: {}", told.document);
            let yes = room.ask(&format!("SELECT COUNT(*) AS n FROM shop.sales WHERE {same}"), false).await;
            let row = told.rows.iter().find(|row| row[0] == "true");
            assert_eq!(row.map(|row| &row[1]), yes.rows.first().map(|row| &row[0]), "{form}");
            let filtered =
                room.ask(&format!("SELECT COUNT(*) AS n FROM shop.sales WHERE (kind = 'red') {form}"), false).await;
            assert_eq!(filtered.rows, yes.rows, "{form}");
        }
    });
}

/// What stands twice in GROUP BY is one column, and keys that are NULL are no list's.
#[test]
fn groups_that_are_named_twice_and_keys_that_are_null() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let once = "SELECT kind, COUNT(*) AS n, COUNT(DISTINCT card) AS u, SUM(amount) AS s FROM shop.sales x GROUP BY kind ORDER BY 1";
        let told = room.ask(once, false).await;
        assert_eq!(told.outcome(), "released", "{}", told.document);
        for twice in ["GROUP BY kind, kind", "GROUP BY kind, x.kind", "GROUP BY 1, kind", "GROUP BY kind, x.kind, 1"] {
            let again = room.ask(&once.replace("GROUP BY kind", twice), false).await;
            assert_eq!((again.outcome(), &again.rows), ("released", &told.rows), "{twice}");
        }
        let sql = "SELECT COUNT(*), MAX(card) FROM shop.sales GROUP BY kind, kind";
        assert_eq!(room.ask(sql, false).await.code(), "CR2107");
        let per_unit = "SELECT n, COUNT(*) FROM (SELECT card, kind, COUNT(*) AS n FROM shop.sales GROUP BY card, kind) t GROUP BY n ORDER BY 1";
        let twice = room.ask(&per_unit.replace("GROUP BY card, kind", "GROUP BY card, kind, kind"), false).await;
        assert_eq!(twice.rows, room.ask(per_unit, false).await.rows);

        // Of 48 users 40 have ads, and 32 of those who have not been seen have homes: NULL is not said to be in no list.
        let count = async |sql: &str| room.ask(sql, false).await.rows.concat();
        let rows = "media.users u LEFT JOIN media.ads a ON a.card = u.card";
        let not_in = count(&format!(
            "SELECT COUNT(DISTINCT u.card) FROM {rows} WHERE a.card NOT IN (SELECT card FROM panel.homes)"
        ))
        .await;
        let known = count(&format!("SELECT COUNT(DISTINCT u.card) FROM {rows} WHERE a.card IS NOT NULL AND a.card NOT IN (SELECT card FROM panel.homes)")).await;
        assert_eq!(not_in, known);
        assert_eq!(not_in, ["8"]);
        let by_key = format!("SELECT COUNT(*) FROM (SELECT a.card, COUNT(*) FROM {rows} GROUP BY a.card) t");
        assert_eq!(room.ask(&by_key, false).await.code(), "CR1009");
        let left_out = by_key.replace(" GROUP BY", " WHERE a.card IS NOT NULL GROUP BY");
        assert_eq!(room.ask(&left_out, false).await.rows.concat(), ["40"]);
    });
}
