//! T: templates: values that want to be more than values, and templates that want to pass for approved ones.

use std::fs;

use crate::support::{Answer, Room};

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: approved
templates: [reach.yaml]
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
  - name: media
    abilities: [contribute, query, receive]
    tables:
      - {name: ads, source: {file: ads.csv}, policy: ads.yaml}
";

const REACH: &str = "\
apiVersion: cleanroom/v1
kind: Template
name: reach
description: Buyers by one advertisement since a day.
parameters:
  ad: {type: text}
  since: {type: date}
  most: {type: integer, values: [10, 20]}
  least: {type: decimal}
  any: {type: boolean}
sql: |
  SELECT a.ad, COUNT(DISTINCT s.card) AS buyers
  FROM shop.sales s JOIN media.ads a ON a.card = s.card
  WHERE (a.ad = :ad OR :any) AND s.day >= :since AND s.spent >= :least
  GROUP BY a.ad
  ORDER BY a.ad LIMIT :most
";

fn policy(table: &str, version: u32, columns: &str, access: &str) -> String {
    format!(
        "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: {version}\nunit: {{column: card, space: card}}\ncolumns:\n  \
         card: {{use: [join, count]}}\n{columns}release: {{min_units: 25}}\naccess: {{analysts: [media]{access}}}\n"
    )
}

fn sales(version: u32, access: &str) -> String {
    policy("shop.sales", version, "  day: {use: [filter]}\n  spent: {use: [filter]}\n", access)
}

fn room() -> Room {
    let ads = policy("media.ads", 1, "  ad: {use: [dimension, filter]}\n", "");
    let room = Room::new(
        ROOM,
        &[("sales.yaml", &sales(1, ", templates: [reach]")), ("ads.yaml", &ads), ("reach.yaml", REACH)],
    );
    let (mut sales, mut ads) = ("card,day,spent\n".to_owned(), "card,ad\n".to_owned());
    for card in 0..400 {
        sales.push_str(&format!("{card},2024-01-{:02},{}.5\n", card % 20 + 1, card % 10));
        ads.push_str(&format!("{card},{}\n", ["red", "blue"][card % 2]));
    }
    fs::write(room.path().join("sales.csv"), sales).unwrap();
    fs::write(room.path().join("ads.csv"), ads).unwrap();
    room
}

impl Room {
    fn through(&self, template: &str, params: &[&str]) -> Answer {
        let mut arguments =
            vec!["query", "--room", "room.yaml", "--as", "media", "--format", "json", "--template", template];
        for param in params {
            arguments.extend(["--param", param]);
        }
        let output = self.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let json =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        Answer { exit: output.status.code().unwrap(), json, printed: output.stdout }
    }
}

const GOOD: [&str; 5] = ["ad=red", "since=2024-01-01", "most=10", "least=0", "any=false"];

fn with(replaced: &str) -> Vec<&str> {
    let name = replaced.split('=').next().unwrap();
    GOOD.iter().filter(|param| !param.starts_with(&format!("{name}="))).copied().chain([replaced]).collect()
}

#[test]
fn a_template_is_the_only_way_to_its_table() {
    let room = room();
    let answer = room.through("reach", &GOOD);
    assert_eq!(answer.number("red", 1), 200.0);
    assert_eq!(room.through("reach", &with("any=true")).rows().len(), 2);
    assert_eq!(room.through("reach", &with("least=4.5")).number("red", 1), 120.0);
    // The same question in SQL is none of the owner's templates.
    let sql = "SELECT COUNT(DISTINCT card) AS c FROM shop.sales";
    for sql in [
        sql,
        &REACH
            .split("sql: |")
            .nth(1)
            .unwrap()
            .replace(":ad", "'red'")
            .replace(":any", "true")
            .replace(":since", "DATE '2024-01-01'")
            .replace(":least", "0")
            .replace(":most", "10"),
    ] {
        let refused = room.ask("media", sql);
        assert_eq!((refused.code(), refused.exit), ("CR2402", 3), "{}", refused.json);
        assert_eq!(refused.json["error"]["policy"]["rule"], "access.templates");
    }
    // Its own table is open to any question.
    assert_eq!(room.ask("media", "SELECT COUNT(DISTINCT card) AS c FROM media.ads").rows()[0][0], 400);
    // Who asked what through which template stands in the record.
    let queries = room.run(&["get", "queries", "--room", "room.yaml", "--format", "json"]);
    let queries: serde_json::Value = serde_json::from_slice(&queries.stdout).unwrap();
    let first = queries.as_array().unwrap().last().unwrap();
    let template = room.run(&["get", "templates", "reach", "--room", "room.yaml", "--format", "json"]);
    let template: serde_json::Value = serde_json::from_slice(&template.stdout).unwrap();
    assert_eq!(first["template"], format!("reach@{}", template["digest"].as_str().unwrap()));
    assert_eq!(first["params"]["ad"], "red");
    let log = room.run(&["audit", "log", "--room", "room.yaml", "--format", "json"]);
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("template.put") && log.contains(template["digest"].as_str().unwrap()), "{log}");
    assert!(room.verify().status.success());
}

#[test]
fn a_value_is_never_more_than_a_value() {
    let room = room();
    let nothing = [
        "ad=' OR 1=1 --",
        "ad=red' OR 'a'='a",
        "ad=red'; DROP TABLE shop.sales; --",
        "ad=\\' OR 1=1 --",
        "ad=:any",
        "ad=(SELECT ad FROM media.ads LIMIT 1)",
        "ad=ʼ OR ʼ1ʼ=ʼ1",
        "ad=re",
        "ad=\u{202e}der",
        "ad=％",
        "ad=%",
        "ad=",
        "ad=*/ OR /*",
    ];
    for value in nothing {
        let answer = room.through("reach", &with(value));
        assert_eq!(answer.rows().len(), 0, "{value}: {}", answer.json);
    }
    let huge = format!("ad={}", "x".repeat(5000));
    let long_name = format!("{}=1", "p".repeat(70));
    let wrong = [
        ("since=2024-01-01' OR '1'='1", "`since`"),
        ("since=2024-02-30", "`since`"),
        ("since=99999-01-01", "`since`"),
        ("since=now()", "`since`"),
        ("most=20; SELECT 1", "`most`"),
        ("most=11", "`most`"),
        ("most=-1", "`most`"),
        ("most=99999999999999999999", "`most`"),
        ("most=1e1", "`most`"),
        ("least=NaN", "`least`"),
        ("least=inf", "`least`"),
        ("least=1e308", "`least`"),
        ("least=0 OR true", "`least`"),
        ("least={\"a\":{\"b\":[1]}}", "`least`"),
        ("any=1", "`any`"),
        ("any=TRUE OR 1", "`any`"),
        (huge.as_str(), "`ad`"),
        ("extra=1", "`extra`"),
        (long_name.as_str(), "`?`"),
        ("e'; --=1", "`?`"),
    ];
    for (param, name) in wrong {
        let answer = room.through("reach", &with(param));
        assert_eq!((answer.code(), answer.exit), ("CR1006", 3), "{param}: {}", answer.json);
        assert!(answer.json["error"]["detail"].as_str().unwrap().contains(name), "{param}: {}", answer.json);
    }
    let missing = room.through("reach", &GOOD[1..]);
    assert_eq!(missing.code(), "CR1006");
    assert_eq!(missing.json["error"]["span"], serde_json::json!({ "line": 3, "column": 15, "length": 3 }));
    let none = room.through("nonesuch", &[]);
    assert_eq!(none.code(), "CR1005", "{}", none.json);
    assert_eq!(room.through("../reach", &[]).code(), "CR1005");
    // In SQL too, and with the types that JSON has.
    let sql = "SELECT COUNT(DISTINCT card) AS c FROM media.ads WHERE ad = :ad AND :n > 1";
    let asked = |params: &[&str]| room.ask_with("media", sql, params);
    assert_eq!(asked(&["--param", "ad=red", "--param", "n=2"]).rows()[0][0], 200);
    assert_eq!(asked(&["--param", "ad=' OR 1=1 --", "--param", "n=2"]).rows().len(), 0);
    assert_eq!(asked(&["--param", "ad=red"]).code(), "CR1006");
    assert_eq!(
        room.ask_with("media", "SELECT COUNT(DISTINCT card) AS c FROM :t", &["--param", "t=media.ads"]).code(),
        "CR1001"
    );
    let twice = room.run(&[
        "query",
        "--room",
        "room.yaml",
        "--as",
        "media",
        "--param",
        "a=1",
        "--param",
        "a=2",
        "--",
        "SELECT :a",
    ]);
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn a_changed_template_is_not_the_approved_one() {
    let room = room();
    assert_eq!(room.through("reach", &GOOD).number("red", 1), 200.0);
    let widened = REACH.replace("WHERE (a.ad = :ad OR :any)", "WHERE (a.ad = :ad OR :any OR true)");
    fs::write(room.path().join("reach.yaml"), &widened).unwrap();
    let refused = room.through("reach", &GOOD);
    assert_eq!(refused.code(), "CR2402", "{}", refused.json);
    assert!(refused.json["error"]["detail"].as_str().unwrap().contains("changed"));
    // Dry runs follow the same rule.
    let dry = room.run(&[
        "query",
        "--room",
        "room.yaml",
        "--as",
        "media",
        "--template",
        "reach",
        "--dry-run",
        "--param",
        "ad=red",
        "--param",
        "since=2024-01-01",
        "--param",
        "most=10",
        "--param",
        "least=0",
        "--param",
        "any=false",
    ]);
    assert_eq!(dry.status.code(), Some(3));
    // The owner, who reads it, approves it with a higher version; by digest whatever comes later.
    let changed = room.run(&["get", "templates", "reach", "--room", "room.yaml", "--format", "json"]);
    let changed: serde_json::Value = serde_json::from_slice(&changed.stdout).unwrap();
    let digest = changed["digest"].as_str().unwrap();
    fs::write(room.path().join("sales.yaml"), sales(2, &format!(", templates: [reach@{digest}]"))).unwrap();
    assert_eq!(room.through("reach", &GOOD).rows().len(), 2);
    fs::write(room.path().join("reach.yaml"), REACH).unwrap();
    assert_eq!(room.through("reach", &GOOD).code(), "CR2402");
    fs::write(room.path().join("reach.yaml"), &widened).unwrap();
    assert_eq!(room.through("reach", &GOOD).rows().len(), 2);
    assert!(room.verify().status.success());
}

#[test]
fn templates_are_applied_by_hand_and_bad_ones_are_told() {
    let room = room();
    fs::write(room.path().join("other.yaml"), REACH.replace("name: reach", "name: other")).unwrap();
    // Nothing is there yet to put it into.
    assert_eq!(room.run(&["apply", "-f", "other.yaml", "--room", "room.yaml"]).status.code(), Some(2));
    assert_eq!(room.run(&["apply", "-f", "other.yaml"]).status.code(), Some(2));
    assert!(room.run(&["apply", "-f", "room.yaml"]).status.success());
    let dry = room.run(&["apply", "--dry-run", "-f", "other.yaml", "--room", "room.yaml"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("created"), "{dry:?}");
    let applied = room.run(&["apply", "-f", "other.yaml", "--room", "room.yaml"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    // It is there, and nobody has approved it.
    assert_eq!(room.through("other", &GOOD).code(), "CR2402");
    let list = room.run(&["get", "templates", "--room", "room.yaml"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("other") && list.contains("reach"), "{list}");
    for (bad, line) in [
        (REACH.replace(":least", ":lest"), "bad.yaml"),
        (REACH.replace("SELECT a.ad", "DELETE a.ad"), "bad.yaml"),
        (REACH.replace("GROUP BY a.ad", "GROUP BY a.ad TABLESAMPLE"), "bad.yaml"),
        (REACH.replace("[10, 20]", "[ten]"), "bad.yaml:8"),
        (REACH.replace("LIMIT :most", "LIMIT ':most'"), "bad.yaml"),
    ] {
        fs::write(room.path().join("bad.yaml"), bad).unwrap();
        let output = room.run(&["apply", "-f", "bad.yaml", "--room", "room.yaml"]);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(line), "{text}");
    }
    // Which of two is in force must not follow from their order.
    let twice = room.run(&["apply", "-f", "room.yaml", "reach.yaml"]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("two templates are called `reach`"), "{twice:?}");
    // A policy cannot approve what is not there.
    fs::write(room.path().join("sales.yaml"), sales(2, ", templates: [nonesuch]")).unwrap();
    let output = room.run(&["apply", "-f", "room.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no template `nonesuch`"), "{output:?}");
}
