//! Two worlds: random statements over random data, with and without one person.
//!
//! Whether a statement is answered, and all that is said about the answer, is the same in both. Where that person stands in
//! groups below the floor only, the answer is the same, too. And a plain engine that counts the units of each released group
//! over the same files finds at least the floor of every table that is joined by inner joins.
//!
//! `WORLDS_CASES` (200) statements are asked from `WORLDS_SEED` (1) on.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};

use crate::fixture::{FLOOR, Opened, Rows, Told, block_on, texts};
use crate::random::{Random, from_env};

/// The person who is there or not. No name of another begins like it.
const SUBJECT: &str = "x";

/// Rows of some 50 people, and those of [`SUBJECT`], which stand among them. The labels `odd` are those of the subject and of
/// one or two others.
pub(crate) fn random_rows(random: &mut Random) -> (Rows, Rows) {
    let mut with = Rows::new();
    let subject_at = random.below(50);
    for k in 0..50 {
        let mut people = vec![format!("c{k}")];
        if k == subject_at {
            people.push(SUBJECT.to_owned());
        }
        for who in people {
            // Two others are as odd.
            let odd = who == SUBJECT || k == (subject_at + 7) % 50 || k == (subject_at + 19) % 50 && random.one_in(2);
            let mut add = |table: &'static str, row: String| with.entry(table).or_default().push(row);
            let label = |random: &mut Random, others: &[&'static str]| if odd { "odd" } else { random.of(others) };
            if odd || !random.one_in(6) {
                for line in 0..1 + random.below(3) {
                    let (kind, region) = (label(random, &["red", "blue", "green"]), label(random, &["n", "s", "e"]));
                    let (day, amount, qty) = (random.below(9) + line * 10 + 1, random.below(90), random.below(6));
                    add("shop.sales", format!("{who},{kind},{region},2024-01-{day:02},{amount}.5,{qty},s"));
                }
            }
            if odd || !random.one_in(3) {
                let page = label(random, &["home", "cart", "pay"]);
                add(
                    "shop.visits",
                    format!("{who},{page},2024-01-{:02}T10:00:00,{}", random.below(28) + 1, random.below(300)),
                );
            }
            if odd || !random.one_in(5) {
                add(
                    "media.users",
                    format!("{who},{},{}", label(random, &["young", "old"]), label(random, &["CA", "NY"])),
                );
            }
            if odd || !random.one_in(4) {
                add(
                    "media.ads",
                    format!("{who},{},2024-01-0{},0.5", label(random, &["a1", "a2"]), random.below(9) + 1),
                );
            }
            if odd || !random.one_in(4) {
                // The odd live in homes of size 9.
                let size = if odd { 9 } else { random.below(3) + 1 };
                add("panel.homes", format!("{who},{size},{}", 1000 + random.below(3000)));
            }
            if odd || !random.one_in(4) {
                add("panel.strict", format!("{who},{},{}", label(random, &["gold", "tin"]), random.below(9)));
            }
            add("panel.flats", format!("{who},{}", random.below(3)));
        }
    }
    with.entry("shop.closed").or_default().push("c1,x".to_owned());
    for (region, label) in [("n", "cold"), ("s", "warm"), ("e", "mild"), ("odd", "odd")] {
        with.entry("shop.regions").or_default().push(format!("{region},{label}"));
    }
    let mut without = with.clone();
    for rows in without.values_mut() {
        rows.retain(|row| !row.starts_with("x,"));
    }
    (with, without)
}

/// Something to select from.
struct Source {
    /// What of the plan it is there for.
    node: &'static str,
    from: &'static str,
    /// Its own condition, to be joined with AND.
    condition: &'static str,
    dimensions: &'static [&'static str],
    /// Units of the tables that every row has a row of: the floor holds for each.
    units: &'static [&'static str],
    measures: &'static [&'static str],
    filters: &'static [&'static str],
}

const KINDS: &[&str] = &[
    "s.kind = 'red'",
    "s.kind <> 'blue'",
    "s.region IN ('n', 's')",
    "s.kind LIKE '%e%' OR s.region = 'e'",
    "s.qty > 1",
];

macro_rules! source {
    ($node:literal, $from:literal, $condition:literal, $dimensions:expr, $units:expr, $measures:expr, $filters:expr) => {
        Source {
            node: $node,
            from: $from,
            condition: $condition,
            dimensions: &$dimensions,
            units: &$units,
            measures: &$measures,
            filters: $filters,
        }
    };
}

const SOURCES: &[Source] = &[
    source!(
        "scan",
        "shop.sales s",
        "",
        ["s.kind", "s.region", "upper(s.kind)", "date_trunc('month', s.at)"],
        ["s.card"],
        ["s.amount", "s.qty"],
        KINDS
    ),
    source!(
        "inner join",
        "shop.sales s JOIN media.users u ON s.card = u.card",
        "",
        ["s.kind", "u.state", "u.band"],
        ["s.card", "u.card"],
        ["s.amount"],
        &["u.band = 'young'", "s.kind = 'red' OR u.state = 'CA'"]
    ),
    source!(
        "three tables",
        "shop.sales s JOIN media.users u ON s.card = u.card JOIN panel.homes h ON h.card = u.card",
        "",
        ["h.size", "u.state", "s.region"],
        ["s.card", "u.card", "h.card"],
        ["s.amount", "h.income"],
        &["h.size > 1", "u.band <> 'old'"]
    ),
    source!(
        "comma join",
        "shop.sales s, shop.visits v",
        "s.card = v.card",
        ["s.kind", "v.page"],
        ["s.card", "v.card"],
        ["s.amount", "v.secs"],
        KINDS
    ),
    source!(
        "left join",
        "panel.homes h LEFT JOIN shop.sales s ON h.card = s.card",
        "",
        [
            "h.size",
            "s.kind",
            "s.card IS NULL",
            "CASE WHEN s.card IS NULL THEN 'none' WHEN s.kind = 'red' THEN 'red' ELSE 'other' END",
            "COALESCE(s.kind, 'odd')"
        ],
        ["h.card"],
        ["s.amount", "h.income"],
        &["h.size > 1", "s.card IS NULL", "s.card IS NOT NULL"]
    ),
    source!(
        "right join",
        "media.users u RIGHT JOIN shop.sales s ON s.card = u.card",
        "",
        ["s.kind", "u.state"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "full join",
        "panel.homes h FULL JOIN shop.sales s ON h.card = s.card",
        "",
        ["h.size", "s.kind"],
        [],
        ["s.amount"],
        KINDS
    ),
    source!(
        "semi join",
        "shop.sales s",
        "s.card IN (SELECT card FROM media.ads)",
        ["s.kind", "s.region"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "semi join",
        "shop.sales s",
        "EXISTS (SELECT 1 FROM media.users u WHERE u.card = s.card AND u.band = 'young')",
        ["s.kind"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "anti join",
        "shop.sales s",
        "NOT EXISTS (SELECT 1 FROM media.ads a WHERE a.card = s.card)",
        ["s.kind", "s.region"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "mark join",
        "shop.sales s",
        "(s.region = 'n' OR EXISTS (SELECT 1 FROM panel.homes h WHERE h.card = s.card))",
        ["s.kind", "s.region"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "window",
        "(SELECT card, kind, region, amount, qty, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at DESC) AS rn FROM shop.sales) s",
        "s.rn = 1",
        ["s.kind", "s.region"],
        ["s.card"],
        ["s.amount"],
        KINDS
    ),
    source!(
        "union",
        "(SELECT card, kind, region, qty FROM shop.sales UNION ALL SELECT card, page, 'n', 1 FROM shop.visits) s",
        "",
        ["s.kind", "s.region"],
        ["s.card"],
        [],
        &["s.kind = 'red'", "s.region IN ('n', 's')"]
    ),
    source!(
        "distinct",
        "(SELECT DISTINCT card, kind, region FROM shop.sales) s",
        "",
        ["s.kind", "s.region"],
        ["s.card"],
        [],
        &["s.kind = 'red'"]
    ),
    source!(
        "per unit",
        "(SELECT card, COUNT(*) AS n, SUM(amount) AS total FROM shop.sales GROUP BY card) t",
        "",
        ["t.n", "t.n > 1", "CASE WHEN t.n = 1 THEN 'once' ELSE 'more' END"],
        ["t.card"],
        ["t.total"],
        &["t.n > 1"]
    ),
    source!(
        "per unit having",
        "(SELECT card, kind, SUM(qty) AS q FROM shop.sales GROUP BY card, kind HAVING COUNT(*) < 3) t JOIN media.users u ON u.card = t.card",
        "",
        ["t.kind", "u.state"],
        ["t.card", "u.card"],
        ["t.q"],
        &["u.band = 'old'"]
    ),
    source!(
        "reference join",
        "shop.sales s JOIN shop.regions r ON s.region = r.region",
        "",
        ["r.label", "s.kind"],
        ["s.card"],
        ["s.amount"],
        &["r.label <> 'mild'"]
    ),
    source!(
        "required join",
        "shop.sales s JOIN panel.strict t ON s.card = t.card",
        "",
        ["t.tier", "s.kind"],
        ["s.card", "t.card"],
        ["s.amount"],
        &["t.score > 3"]
    ),
];

/// One release point, and what counts its units.
struct Point {
    sql: String,
    recount: String,
}

/// A statement, the nodes it is made of, and its release points.
pub(crate) struct Statement {
    pub(crate) sql: String,
    nodes: BTreeSet<&'static str>,
    points: Vec<Point>,
    /// How many columns of the result name the group.
    labels: usize,
}

fn point(random: &mut Random, source: &Source, dimensions: &[&str], nodes: &mut BTreeSet<&'static str>) -> Point {
    nodes.insert(source.node);
    let mut conditions: Vec<&str> = vec![source.condition];
    if random.one_in(2) {
        conditions.push(random.of(source.filters));
        nodes.insert("filter");
    }
    conditions.retain(|condition| !condition.is_empty());
    let bracketed: Vec<String> = conditions.iter().map(|condition| format!("({condition})")).collect();
    let condition = if bracketed.is_empty() { String::new() } else { format!(" WHERE {}", bracketed.join(" AND ")) };
    let unit = source.units.first().copied().unwrap_or("s.card");
    let filter = random.of(source.filters);
    let measure = if source.measures.is_empty() { "1" } else { random.of(source.measures) };
    let aggregates = [
        format!("COUNT(DISTINCT {unit})"),
        "COUNT(*)".to_owned(),
        format!("SUM({measure})"),
        format!("AVG({measure})"),
        format!("COUNT(*) FILTER (WHERE {filter})"),
        format!("SUM(CASE WHEN {filter} THEN {measure} END)"),
        format!("SUM({measure} * 2)"),
    ];
    let first = &aggregates[random.below(aggregates.len())];
    let second = &aggregates[random.below(aggregates.len())];
    let columns: Vec<String> =
        dimensions.iter().enumerate().map(|(place, dimension)| format!("{dimension} AS g{place}")).collect();
    let list = columns.iter().map(|column| format!("{column}, ")).collect::<String>();
    let names = dimensions.join(", ");
    let group = match (dimensions.len(), random.below(4)) {
        (0, _) => String::new(),
        (_, 0) => {
            nodes.insert("grouping sets");
            format!(" GROUP BY ROLLUP({names})")
        }
        (2, 1) => {
            nodes.insert("grouping sets");
            format!(" GROUP BY {} ({names})", random.of(&["CUBE", "ROLLUP"]))
        }
        _ => format!(" GROUP BY {names}"),
    };
    let having = if !dimensions.is_empty() && random.one_in(4) {
        nodes.insert("having");
        format!(" HAVING COUNT(DISTINCT {unit}) > {}", random.below(8))
    } else {
        String::new()
    };
    let units = source.units.iter().map(|unit| format!(", COUNT(DISTINCT {unit})")).collect::<String>();
    let there = source.units.first().map_or_else(
        || "SUM(CASE WHEN h.card = 'x' OR s.card = 'x' THEN 1 ELSE 0 END)".to_owned(),
        |unit| format!("SUM(CASE WHEN {unit} = '{SUBJECT}' THEN 1 ELSE 0 END)"),
    );
    Point {
        sql: format!("SELECT {list}{first} AS a, {second} AS b FROM {}{condition}{group}{having}", source.from),
        recount: format!("SELECT {list}{there}{units} FROM {}{condition}{group}", source.from),
    }
}

pub(crate) fn statement(random: &mut Random, number: usize) -> Statement {
    let mut nodes = BTreeSet::new();
    // Each kind of source in its turn; the rest is chance.
    let source = &SOURCES[number % SOURCES.len()];
    let mut dimensions: Vec<&str> = Vec::new();
    for _ in 0..random.below(3) {
        let next = random.of(source.dimensions);
        if !dimensions.contains(&next) {
            dimensions.push(next);
        }
    }
    let first = point(random, source, &dimensions, &mut nodes);
    let labels = dimensions.len();
    let (sql, points) = match random.below(6) {
        0 => {
            nodes.insert("results under each other");
            let second = point(random, source, &dimensions, &mut nodes);
            (format!("{} UNION ALL {}", first.sql, second.sql), vec![first, second])
        }
        1 if labels > 0 => {
            nodes.insert("results joined");
            let second = point(random, source, &dimensions, &mut nodes);
            let columns: String = (0..labels).map(|place| format!("p.g{place}, ")).collect();
            let sql = format!(
                "WITH p AS ({}), q AS ({}) SELECT {columns}p.a, q.b FROM p JOIN q ON p.g0 = q.g0",
                first.sql, second.sql
            );
            (sql, vec![first, second])
        }
        2 => {
            nodes.insert("limit");
            let places = (1..=labels + 2).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
            (format!("{} ORDER BY {places} LIMIT {}", first.sql, random.below(5) + 1), vec![first])
        }
        3 => {
            nodes.insert("window over results");
            (format!("SELECT t.*, SUM(a) OVER () AS whole FROM ({}) t", first.sql), vec![first])
        }
        _ => (first.sql.clone(), vec![first]),
    };
    Statement { sql, nodes, points, labels }
}

/// What a plain engine finds of a group: whether the subject stands in it, and units of each table.
struct Counted {
    subject: bool,
    units: Vec<usize>,
}

struct Plain(SessionContext);

impl Plain {
    async fn new(opened: &Opened, tables: &Rows) -> Self {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        for schema in ["shop", "media", "panel"] {
            context.sql(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        }
        for table in tables.keys() {
            let path = opened.file(&format!("{table}.csv"));
            context.register_csv(*table, path.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
        }
        Self(context)
    }

    async fn count(&self, point: &Point, labels: usize) -> BTreeMap<Vec<String>, Vec<Counted>> {
        let batches = self.0.sql(&point.recount).await.unwrap().collect().await.unwrap();
        let mut groups: BTreeMap<Vec<String>, Vec<Counted>> = BTreeMap::new();
        for row in batches.iter().flat_map(texts) {
            let (label, counts) = row.split_at(labels);
            // Nobody at all is a sum of NULL.
            let number = |text: &String| text.parse().unwrap_or(0);
            let counted = Counted { subject: number(&counts[0]) > 0, units: counts[1..].iter().map(number).collect() };
            groups.entry(label.to_vec()).or_default().push(counted);
        }
        groups
    }
}

fn without_order(told: &Told) -> Told {
    let mut told = told.clone();
    told.rows.sort();
    told
}

#[test]
fn one_person_more_or_less_changes_nothing_that_is_not_released() {
    let cases = from_env("WORLDS_CASES", 200);
    let seed = from_env("WORLDS_SEED", 1);
    let per_world = 60;
    let (mut released, mut same, mut recounted) = (BTreeMap::<&str, usize>::new(), 0, 0);
    let mut failures = Vec::new();
    block_on(async {
        for world in 0..cases.div_ceil(per_world) {
            let mut random = Random::new((seed + world) as u64);
            let (with_rows, without_rows) = random_rows(&mut random);
            let (with, without) = (Opened::new(&with_rows).await, Opened::new(&without_rows).await);
            let (plain, plain_without) =
                (Plain::new(&with, &with_rows).await, Plain::new(&without, &without_rows).await);
            for number in world * per_world..cases.min((world + 1) * per_world) {
                let statement = statement(&mut random, number);
                let sql = &statement.sql;
                let (here, there) = (with.ask(sql, false).await, without.ask(sql, false).await);
                let told = format!("seed {seed}, world {world}, `{sql}`\nwith: {here:?}\nwithout: {there:?}");
                if here.outcome() == "failed" || there.outcome() == "failed" {
                    failures.push(format!("it failed: {told}"));
                    continue;
                }
                if here.document != there.document {
                    failures.push(format!("the decision depends on one person: {told}"));
                    continue;
                }
                if here.outcome() != "released" {
                    continue;
                }
                for node in &statement.nodes {
                    *released.entry(node).or_default() += 1;
                }
                let mut groups = Vec::new();
                let mut groups_without = Vec::new();
                for point in &statement.points {
                    groups.push(plain.count(point, statement.labels).await);
                    groups_without.push(plain_without.count(point, statement.labels).await);
                }
                let hidden = groups
                    .iter()
                    .flat_map(BTreeMap::values)
                    .flatten()
                    .all(|counted| !counted.subject || counted.units.iter().any(|units| *units < FLOOR));
                if hidden {
                    same += 1;
                    if without_order(&here) != without_order(&there) {
                        failures.push(format!("a suppressed person changes the answer: {told}"));
                    }
                }
                for (answer, groups) in [(&here, &groups), (&there, &groups_without)] {
                    for row in &answer.rows {
                        let label = &row[..statement.labels];
                        let enough = groups
                            .iter()
                            .filter_map(|groups| groups.get(label))
                            .flatten()
                            .any(|counted| counted.units.iter().all(|units| *units >= FLOOR));
                        recounted += 1;
                        if !enough {
                            failures.push(format!("released below the floor: {label:?} of {told}"));
                        }
                    }
                }
            }
        }
    });
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
    println!("released by node: {released:?}; {same} with the person hidden; {recounted} rows recounted");
    if cases >= 200 {
        for source in SOURCES {
            assert!(released.contains_key(source.node), "no statement with {} was released: {released:?}", source.node);
        }
        for node in [
            "filter",
            "grouping sets",
            "having",
            "results under each other",
            "results joined",
            "limit",
            "window over results",
        ] {
            assert!(released.contains_key(node), "no statement with {node} was released: {released:?}");
        }
        assert!(same >= 30 && recounted >= 500, "{same} with the person hidden, {recounted} rows recounted");
    }
}
