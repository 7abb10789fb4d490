//! A room of three partners: its documents and its rows, for tests of the whole product and of the vault alone.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Floor of every protected table here.
pub(crate) const FLOOR: usize = 3;

pub(crate) const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: three
test_only: true
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {upload: true}}
      - {name: visits, source: {upload: true}}
      - {name: regions, source: {upload: true}}
      - {name: closed, source: {upload: true}}
  - name: media
    abilities: [contribute, query, receive]
    tables:
      - {name: users, source: {upload: true}}
      - {name: ads, source: {upload: true}}
  - name: panel
    abilities: [contribute]
    tables:
      - {name: homes, source: {upload: true}}
      - {name: strict, source: {upload: true}}
      - {name: flats, source: {upload: true}}
";

/// Tables of the room: name, header of its file, identity space and columns of its policy, and further rules.
const TABLES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "shop.sales",
        "card,kind,region,at,amount,qty,secret",
        "card",
        "  kind: {use: [dimension, filter]}\n  region: {use: [dimension, filter, join]}\n  at: {use: [dimension, filter]}\n  \
         amount: {use: [measure], bounds: [0, 100]}\n  qty: {use: [measure, filter], functions: [sum], bounds: [0, 10]}\n",
        ALL_JOINS,
    ),
    (
        "shop.visits",
        "card,page,at,secs",
        "card",
        "  page: {use: [dimension, filter], literals: [home, cart]}\n  at: {use: [filter, dimension]}\n  \
         secs: {use: [measure], functions: [sum, avg, count], bounds: [0, 600]}\nrows: \"page <> 'test'\"\n",
        ALL_JOINS,
    ),
    (
        "shop.regions",
        "region,label",
        "",
        "  region: {use: [join, dimension]}\n  label: {use: [dimension, filter]}\n",
        "",
    ),
    ("shop.closed", "card,kind", "card", "  kind: {use: [dimension]}\n", "access: {analysts: [panel]}\n"),
    (
        "media.users",
        "card,band,state",
        "card",
        "  band: {use: [dimension, filter]}\n  state: {use: [dimension, filter]}\n",
        ALL_JOINS,
    ),
    (
        "media.ads",
        "card,campaign,at,cost",
        "card",
        "  campaign: {use: [dimension, filter]}\n  at: {use: [filter]}\n  cost: {use: [measure], bounds: [0, 10]}\n",
        ALL_JOINS,
    ),
    (
        "panel.homes",
        "card,size,income",
        "card",
        "  size: {use: [dimension, filter]}\n  income: {use: [measure], bounds: [0, 9000], step: 1}\n",
        ALL_JOINS,
    ),
    (
        "panel.strict",
        "card,tier,score",
        "card",
        "  tier: {use: [dimension]}\n  score: {use: [filter]}\n",
        "joins: {require: other_partner, with: [shop.sales]}\n",
    ),
    ("panel.flats", "flat,rooms", "flat", "  rooms: {use: [dimension, filter]}\n", "joins: {require: none}\n"),
];

const ALL_JOINS: &str = "joins: {require: none, types: [inner, semi, left, right, full, anti], analyst_tables: full}\n";

/// Rows of a table, each without the line's end, under its name.
pub(crate) type Rows = BTreeMap<&'static str, Vec<String>>;

/// The rows that the golden files are about: 60 people, `c0` to `c59`, not all of them everywhere.
pub(crate) fn fixed_rows() -> Rows {
    let mut rows = Rows::new();
    let mut add = |table: &'static str, row: String| rows.entry(table).or_default().push(row);
    for k in 0..60_u32 {
        let kind = match k {
            0..2 => "rare",
            2..40 => ["red", "blue", "green"][k as usize % 3],
            _ => "grey",
        };
        let region = ["n", "s", "e", "w"][k as usize % 4];
        for line in 0..=k % 3 {
            let (month, day) = (line + 1, k % 28 + 1);
            let cents = (k * 7 + line * 13) % 90;
            add(
                "shop.sales",
                format!("c{k},{kind},{region},2024-{month:02}-{day:02},{cents}.5,{},s{k}", (k + line) % 5),
            );
        }
        if k % 2 == 0 {
            let page = ["home", "cart", "test", "pay"][k as usize / 2 % 4];
            add("shop.visits", format!("c{k},{page},2024-01-{:02}T{:02}:00:00,{}", k % 28 + 1, k % 24, k * 5));
        }
        if k >= 12 {
            let band = if k == 13 { "old" } else { ["young", "middle"][k as usize / 3 % 2] };
            add("media.users", format!("c{k},{band},{}", ["CA", "NY", "TX"][k as usize % 3]));
        }
        if k >= 20 {
            for day in [1, 15] {
                add("media.ads", format!("c{k},a{},2024-01-{day:02},0.{}", (k + day) % 3, k % 10));
            }
        }
        if k % 5 != 0 {
            add("panel.homes", format!("c{k},{},{}", k % 4 + 1, 1000 + k * 50));
            add("panel.strict", format!("c{k},{},{}", ["gold", "silver"][k as usize % 2], k));
        }
        add("panel.flats", format!("f{k},{}", k % 3));
        add("shop.closed", format!("c{k},x"));
    }
    for row in [",red,n,2024-01-01,5.5,1,none", ",rare,,2024-01-02,6.5,1,none"] {
        add("shop.sales", row.to_owned());
    }
    for (region, label) in [("n", "cold"), ("s", "warm"), ("e", "mild"), ("w", "mild")] {
        add("shop.regions", format!("{region},{label}"));
    }
    rows
}

/// The policies of the tables and their files; `rules` stand in every policy of people, and columns are made of those that
/// it has. Where others than `media` may ask, `panel` may.
pub(crate) fn files(
    rows: &Rows,
    rules: &str,
    panel: bool,
    columns_of: impl Fn(&str, &str) -> String,
) -> Vec<(String, String)> {
    let file = |(table, header, space, columns, more): &(&str, &str, &str, &str, &str)| {
        let key = header.split(',').next().unwrap();
        let subject = if space.is_empty() {
            "public: true\n".to_owned()
        } else {
            format!("unit: {{column: {key}, space: {space}}}\n")
        };
        let key_rule = if space.is_empty() { String::new() } else { format!("  {key}: {{use: [join, count]}}\n") };
        let release = if space.is_empty() { String::new() } else { format!("release: {{min_units: {FLOOR}}}\n") };
        let access = match (more.contains("access"), panel) {
            (true, _) => "",
            (false, false) => "access: {analysts: [media]}\n",
            (false, true) => "access: {analysts: [media, panel]}\n",
        };
        let rules = if space.is_empty() { "" } else { rules };
        let columns = columns_of(table, columns);
        let text = format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\n{subject}columns:\n\
             {key_rule}{columns}{more}{release}{access}{rules}"
        );
        let mut csv = format!("{header}\n");
        for row in rows.get(table).into_iter().flatten() {
            writeln!(csv, "{row}").unwrap();
        }
        (text, csv)
    };
    TABLES.iter().map(file).collect()
}

/// Statements end with `;` at the end of a line; lines that start with `--` between them are comments.
pub(crate) fn statements(text: &str) -> Vec<String> {
    text.split(";\n")
        .map(|part| {
            let lines: Vec<&str> = part.lines().filter(|line| !line.starts_with("--")).collect();
            lines.join("\n").trim().to_owned()
        })
        .filter(|statement| !statement.is_empty())
        .collect()
}
