//! C: comparisons with constants that a policy does not allow, hidden in many ways.

use std::fmt::Write as _;
use std::fs;

use crate::support::Room;

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: controls
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
  - name: media
    abilities: [contribute, query, receive]
    tables:
      - {name: ads, source: {file: ads.csv}, policy: ads.yaml}
      - {name: kinds, source: {file: kinds.csv}, policy: kinds.yaml}
";

const SALES: &str = "\
apiVersion: cleanroom/v1
kind: Policy
table: shop.sales
version: 1
unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
  kind: {use: [dimension, filter], literals: none}
  band: {use: [dimension, filter], literals: [a, b]}
  n: {use: [dimension, filter], literals: [\"1\", \"2\"]}
  day: {use: [dimension, filter], literals: [\"2024-01-05\"]}
  flag: {use: [dimension, filter], literals: none}
  free: {use: [dimension, filter]}
  free_n: {use: [dimension, filter]}
  spent: {use: [measure, filter], bounds: [0, 100], literals: none}
release: {min_units: 25}
access: {analysts: [media]}
";

const ADS: &str = "\
apiVersion: cleanroom/v1
kind: Policy
table: media.ads
version: 1
unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
  kind: {use: [dimension, filter]}
  n: {use: [dimension, filter]}
release: {min_units: 25}
access: {analysts: [media]}
";

const KINDS: &str = "\
apiVersion: cleanroom/v1
kind: Policy
table: media.kinds
version: 1
public: true
columns:
  kind: {use: [join, dimension, filter]}
  label: {use: [dimension, filter]}
access: {analysts: [media]}
";

fn room() -> Room {
    let room = Room::new(ROOM, &[("sales.yaml", SALES), ("ads.yaml", ADS), ("kinds.yaml", KINDS)]);
    let mut sales = "card,kind,band,n,day,flag,free,free_n,spent\n".to_owned();
    let mut ads = "card,kind,n\n".to_owned();
    for card in 0..600 {
        let (kind, band) = (["red", "blue", "green"][card % 3], ["a", "b", "c"][card % 3]);
        let day = card % 10 + 1;
        writeln!(
            sales,
            "{card},{kind},{band},{},2024-01-{day:02},{},f{},{},{}.5",
            card % 4,
            card % 2 == 0,
            card % 2,
            card % 5,
            card % 50
        )
        .unwrap();
        writeln!(ads, "{card},{},{}", ["red", "blue"][card % 2], card % 4).unwrap();
    }
    fs::write(room.path().join("sales.csv"), sales).unwrap();
    fs::write(room.path().join("ads.csv"), ads).unwrap();
    fs::write(room.path().join("kinds.csv"), "kind,label\nred,warm\nblue,cold\ngreen,cold\n").unwrap();
    room
}

const COUNT: &str = "SELECT COUNT(DISTINCT s.card) AS cards FROM shop.sales s";

#[test]
fn a_constant_does_not_come_near_a_restricted_column() {
    let room = room();
    let conditions = [
        // As it is written.
        "s.kind = 'red'",
        "'red' = s.kind",
        "s.kind <> 'red'",
        "NOT (s.kind = 'red')",
        "s.kind IN ('red', 'blue')",
        "s.kind NOT IN ('red')",
        "s.kind IN (s.free, 'red')",
        "'red' IN (s.free, s.kind)",
        "s.kind LIKE 'r%'",
        "s.kind NOT ILIKE 'R_D'",
        "s.kind BETWEEN 'red' AND 'ree'",
        "'red' BETWEEN s.free AND s.kind",
        "s.kind IS DISTINCT FROM 'red'",
        "s.kind IS NOT DISTINCT FROM NULL",
        "s.kind > 'p'",
        // Under functions, casts and arithmetic.
        "upper(s.kind) = 'RED'",
        "concat(s.kind, 'x') = 'redx'",
        "s.kind || 'x' = s.free || 'x'",
        "s.kind || '' = s.free",
        "coalesce(s.kind, 'x') = s.free",
        "nullif(s.kind, 'red') IS NULL",
        "nullif(s.kind, s.free) IS NULL",
        "starts_with(s.kind, 'r')",
        "starts_with(s.kind, s.free)",
        "strpos(s.kind, 'red') = 1",
        "length(s.kind) = 3",
        "length(s.kind) = s.free_n",
        "greatest(s.kind, 'red') = s.kind",
        "CAST(s.kind AS VARCHAR) = CAST('red' AS VARCHAR)",
        "(s.n + 0) IN (1)",
        "s.n - 5 = 0",
        "s.n * s.free_n = 6",
        "s.n = s.free_n - s.free_n",
        "s.n = s.free_n / s.free_n",
        "-s.n = -1",
        "CAST(s.n AS VARCHAR) LIKE '1%'",
        // In CASE.
        "CASE s.kind WHEN 'red' THEN 1 ELSE 0 END = 1",
        "CASE WHEN s.kind = 'red' THEN true ELSE false END",
        "CASE WHEN s.free = 'f1' THEN s.kind ELSE 'x' END = 'red'",
        "s.kind = CASE WHEN s.free = 'f1' THEN 'red' ELSE 'red' END",
        // A truth value is compared with `true`.
        "s.flag",
        "NOT s.flag",
        "s.flag IS TRUE",
        "s.flag = true",
        "s.flag AND s.free = 'f1'",
        "CAST(s.flag AS INT) = 1",
        // A list of constants is for equality with those, exactly.
        "s.band = 'c'",
        "s.band IN ('a', 'c')",
        "s.band > 'a'",
        "s.band LIKE 'a'",
        "s.band = 'A'",
        "s.band = 'a '",
        "lower(s.band) = 'a'",
        "s.n = 3",
        "s.n = 1.5",
        "s.n >= 1",
        "s.n BETWEEN 1 AND 1",
        "s.n = CAST(CAST(2 AS BOOLEAN) AS INT) + 1",
        "CAST(s.n AS BOOLEAN)",
        "s.day = DATE '2024-01-06'",
        "s.day > DATE '2024-01-05'",
        "date_trunc('month', s.day) = DATE '2024-01-01'",
        "date_part('day', s.day) = 5",
        "s.spent > 10",
        // Through another column that is compared with the constant.
        "s.kind = s.free AND s.free = 'red'",
        "s.free = 'red' AND s.free = s.kind",
        "s.kind <= s.free AND s.free <= 'red'",
        "s.kind IN (SELECT k.kind FROM media.kinds k WHERE k.kind = 'red')",
        "s.kind IN (SELECT k.kind FROM media.kinds k WHERE k.kind LIKE 'r%')",
        "s.kind IN (SELECT 'red')",
        "s.kind IN (SELECT k.kind FROM (SELECT 'red' AS kind, label FROM media.kinds) k)",
        "EXISTS (SELECT 1 FROM media.kinds k WHERE k.kind = s.kind AND k.kind = 'red')",
    ];
    for condition in conditions {
        let sql = format!("{COUNT} WHERE {condition}");
        let answer = room.ask("media", &sql);
        assert_eq!(answer.outcome(), "refused", "{condition}: {}", answer.json);
        // A result without a table is joined with nothing, whatever is in it.
        let code = if condition.contains("(SELECT 'red')") { "CR2303" } else { "CR2111" };
        assert_eq!(answer.code(), code, "{condition}: {}", answer.json);
        assert_eq!(answer.exit, 3, "{condition}");
    }
    assert!(room.verify().status.success());
}

#[test]
fn statements_do_not_hide_a_constant_either() {
    let room = room();
    let statements = [
        "SELECT CASE WHEN kind = 'red' THEN 1 ELSE 0 END AS g, COUNT(DISTINCT card) AS c FROM shop.sales GROUP BY 1",
        "SELECT kind = 'red' AS g, COUNT(DISTINCT card) AS c FROM shop.sales GROUP BY 1",
        "SELECT nullif(kind, 'red') AS g, COUNT(DISTINCT card) AS c FROM shop.sales GROUP BY 1",
        "SELECT COUNT(*) FILTER (WHERE kind = 'red') AS c FROM shop.sales",
        "SELECT COUNT(nullif(kind, 'red')) AS c FROM shop.sales",
        "SELECT SUM(CASE WHEN kind = 'red' THEN spent ELSE 0 END) AS c FROM shop.sales",
        "SELECT COUNT(DISTINCT card) AS c FROM (SELECT card, kind AS k FROM shop.sales) x WHERE k = 'red'",
        "WITH x AS (SELECT card, kind AS k FROM shop.sales) SELECT COUNT(DISTINCT card) AS c FROM x WHERE x.k IN ('red')",
        "SELECT COUNT(DISTINCT card) AS c FROM (SELECT card, MAX(kind) AS k FROM shop.sales GROUP BY card) x WHERE k = 'red'",
        "SELECT COUNT(DISTINCT card) AS c FROM (SELECT card, kind FROM shop.sales GROUP BY card, kind) x WHERE kind = 'red'",
        "SELECT COUNT(DISTINCT card) AS c FROM (SELECT card FROM shop.sales GROUP BY card HAVING MAX(kind) = 'red') x",
        "SELECT COUNT(DISTINCT card) AS c FROM (SELECT card, SUM(spent) AS t FROM shop.sales GROUP BY card) x WHERE t > 10",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN media.ads a ON s.card = a.card AND s.kind = a.kind WHERE a.kind = 'red'",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN media.ads a ON s.card = a.card AND s.kind = 'red'",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN media.ads a USING (card) WHERE s.kind || a.kind = 'redred'",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN (SELECT card, 'red' AS kind FROM media.ads) a ON s.card = a.card AND s.kind = a.kind",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN (SELECT card, kind FROM media.ads WHERE kind = 'red') a ON s.card = a.card AND s.kind = a.kind",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN (SELECT kind FROM media.kinds WHERE kind IN ('red')) k ON s.kind = k.kind",
        "SELECT COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN media.ads a ON s.card = a.card AND s.n = a.n JOIN media.ads b ON a.card = b.card AND a.n = b.n WHERE b.n = 3",
        // Inside a subquery of something that is released.
        "SELECT free, COUNT(DISTINCT card) AS c FROM shop.sales GROUP BY free HAVING COUNT(DISTINCT card) > (SELECT COUNT(DISTINCT card) / 10 FROM shop.sales WHERE kind = 'red')",
    ];
    for sql in statements {
        let answer = room.ask("media", sql);
        assert_eq!((answer.outcome(), answer.code()), ("refused", "CR2111"), "{sql}: {}", answer.json);
        let policy = &answer.json["error"]["policy"];
        assert_eq!(policy["table"], "shop.sales", "{sql}");
        assert!(policy["rule"].as_str().unwrap().ends_with(".literals") && policy["line"].is_u64(), "{sql}: {policy}");
    }
    for (value, json) in [("red", "red"), ("blue", "\"blue\"")] {
        let answer = room.ask_with("media", &format!("{COUNT} WHERE s.kind = :k"), &["--param", &format!("k={json}")]);
        assert_eq!(answer.code(), "CR2111", "{value}: {}", answer.json);
    }
}

#[test]
fn what_a_control_allows_is_answered() {
    let room = room();
    let number = |sql: &str| {
        let answer = room.ask("media", sql);
        answer.rows()[0][0].as_f64().unwrap()
    };
    for (condition, cards) in [
        ("s.band = 'a'", 200.0),
        ("s.band <> 'a'", 400.0),
        ("s.band IN ('a', 'b')", 400.0),
        ("s.band NOT IN ('a', 'b')", 200.0),
        ("s.band IS NOT NULL", 600.0),
        ("s.n = 1", 150.0),
        ("s.n = '1'", 150.0),
        ("s.n <> 2 AND s.free = 'f1'", 300.0),
        ("s.day = DATE '2024-01-05'", 60.0),
        ("s.day = '2024-01-05'", 60.0),
        ("s.free = 'f1' OR s.n IN (1, 2)", 450.0),
        ("s.kind = s.band OR s.free = 'f0'", 300.0),
        ("CASE s.band WHEN 'a' THEN true ELSE false END", 200.0),
    ] {
        assert_eq!(number(&format!("{COUNT} WHERE {condition}")), cards, "{condition}");
    }
    let join = "FROM shop.sales s JOIN media.ads a ON s.card = a.card";
    assert_eq!(number(&format!("SELECT COUNT(DISTINCT s.card) AS c {join} AND s.kind = a.kind")), 200.0);
    assert_eq!(number(&format!("SELECT COUNT(DISTINCT s.card) AS c {join} WHERE a.kind = 'red'")), 300.0);
    // A listed constant may come through another column, as long as it is one.
    assert_eq!(number(&format!("SELECT COUNT(DISTINCT s.card) AS c {join} AND s.n = a.n WHERE a.n = 1")), 150.0);
    let by_label = "SELECT k.label, COUNT(DISTINCT s.card) AS c FROM shop.sales s JOIN media.kinds k ON s.kind = k.kind \
        WHERE k.label = 'cold' GROUP BY k.label";
    assert_eq!(room.ask("media", by_label).number("cold", 1), 400.0);
    // Groups are released, and what is released may be chosen from.
    let groups = "SELECT kind, COUNT(DISTINCT card) AS c, SUM(spent) AS t FROM shop.sales GROUP BY kind HAVING kind = 'red' ORDER BY kind";
    assert_eq!(room.ask("media", groups).number("red", 1), 200.0);
    let months = "SELECT date_trunc('month', day) AS month, COUNT(DISTINCT card) AS c FROM shop.sales GROUP BY 1";
    assert_eq!(room.ask("media", months).rows().len(), 1);
    let param = room.ask_with("media", &format!("{COUNT} WHERE s.band = :b"), &["--param", "b=b"]);
    assert_eq!(param.rows()[0][0], 200);
}
