//! A table of many labels, each with a few people of its own and, where a coin says so, one more who tries to exceed every cap.

use std::collections::BTreeMap;

use cleanroom_policy::MAX_EPSILON;

use crate::fixture::{Opened, Told};
use crate::random::Random;

/// Rows of a unit that count in a group.
pub(crate) const MOST_ROWS: i64 = 3;
/// The bounds of an amount are 0 and this.
pub(crate) const HIGH: i64 = 100;

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: noisy
test_only: true
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {upload: true}}
      - {name: visits, source: {upload: true}}
      - {name: spread, source: {upload: true}}
      - {name: labels, source: {upload: true}}
      - {name: tags, source: {upload: true}}
  - name: panel
    abilities: [contribute]
    tables:
      - {name: users, source: {upload: true}}
  - name: media
    abilities: [query, receive]
";

/// A `noise` section, with a budget for any number of questions.
pub(crate) fn noise(mechanism: &str, epsilon: f64, delta: f64, groups: usize) -> String {
    let test_only = if epsilon > MAX_EPSILON { ", test_only: true" } else { "" };
    format!(
        "noise: {{mechanism: {mechanism}, epsilon: {epsilon}, delta: {delta}, groups_per_unit: {groups}, \
         rows_per_unit: {MOST_ROWS}, budget: {{epsilon: 1e20, delta: 0.5}}{test_only}}}\n"
    )
}

/// The policy of a table of people, and its file.
pub(crate) fn table(name: &str, columns: &str, noise: &str, header: &str, rows: &[String]) -> (String, String) {
    let policy = format!(
        "apiVersion: cleanroom/v1\nkind: Policy\ntable: {name}\nversion: 1\nunit: {{column: card, space: card}}\ncolumns:\n  \
         card: {{use: [join, count]}}\n{columns}joins: {{require: none}}\nrelease: {{min_units: 2}}\n{noise}\
         access: {{analysts: [media]}}\n"
    );
    (policy, format!("{header}\n{}\n", rows.join("\n")))
}

/// A column of labels, all of them declared.
pub(crate) fn declared(column: &str, labels: impl Iterator<Item = String>) -> String {
    format!("  {column}: {{use: [dimension, filter], values: [{}]}}\n", labels.collect::<Vec<_>>().join(", "))
}

/// Somebody's rows: their amounts, and how many rows they have in the other two tables.
pub(crate) struct Person {
    amounts: Vec<i64>,
    users: i64,
    visits: i64,
}

/// What is asked for of each label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Rows,
    Units,
    Sum,
    JoinedRows,
    JoinedSum,
    ThreeTables,
}

impl What {
    pub(crate) const ALL: [Self; 6] =
        [Self::Rows, Self::Units, Self::Sum, Self::JoinedRows, Self::JoinedSum, Self::ThreeTables];

    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Rows => "SELECT block, COUNT(*) FROM shop.sales GROUP BY block",
            Self::Units => "SELECT block, COUNT(DISTINCT card) FROM shop.sales GROUP BY block",
            Self::Sum => "SELECT block, SUM(amount) FROM shop.sales GROUP BY block",
            Self::JoinedRows => {
                "SELECT s.block, COUNT(*) FROM shop.sales s JOIN panel.users u ON s.card = u.card GROUP BY s.block"
            }
            Self::JoinedSum => {
                "SELECT s.block, SUM(s.amount) FROM shop.sales s JOIN panel.users u ON s.card = u.card GROUP BY s.block"
            }
            Self::ThreeTables => {
                "SELECT s.block, COUNT(*) FROM shop.sales s JOIN panel.users u ON s.card = u.card \
                 JOIN shop.visits v ON v.card = u.card GROUP BY s.block"
            }
        }
    }

    /// What one person adds, once it is bounded: counted here, not asked of the product.
    pub(crate) fn of(self, person: &Person) -> i64 {
        let times = match self {
            Self::Rows | Self::Units | Self::Sum => 1,
            Self::JoinedRows | Self::JoinedSum => person.users,
            Self::ThreeTables => person.users * person.visits,
        };
        let rows = person.amounts.len() as i64 * times;
        match self {
            Self::Units => rows.min(1),
            Self::Rows | Self::JoinedRows | Self::ThreeTables => rows.min(MOST_ROWS),
            Self::Sum | Self::JoinedSum => {
                let sum: i64 = person.amounts.iter().map(|amount| amount.clamp(&0, &HIGH) * times).sum();
                sum.clamp(0, HIGH * MOST_ROWS)
            }
        }
    }

    /// The most that one person adds.
    pub(crate) fn most(self) -> i64 {
        match self {
            Self::Units => 1,
            Self::Rows | Self::JoinedRows | Self::ThreeTables => MOST_ROWS,
            Self::Sum | Self::JoinedSum => HIGH * MOST_ROWS,
        }
    }
}

/// Labels with their people.
pub(crate) struct Blocks {
    /// Whether the one who exceeds every cap is there.
    pub(crate) coins: Vec<bool>,
    people: Vec<Vec<Person>>,
}

impl Blocks {
    /// In every other label some people, in the others nobody.
    pub(crate) fn new(many: usize, seed: usize) -> Self {
        let mut random = Random::new(seed as u64);
        let person = |random: &mut Random| Person {
            amounts: (0..1 + random.below(3)).map(|_row| random.below(150) as i64 - 20).collect(),
            users: i64::from(!random.one_in(4)),
            visits: random.below(3) as i64,
        };
        let people = |block: usize, random: &mut Random| {
            let many = if block.is_multiple_of(2) { 6 } else { 0 };
            (0..many).map(|_one| person(random)).collect()
        };
        let people = (0..many).map(|block| people(block, &mut random)).collect();
        Self { coins: (0..many).map(|_block| random.one_in(2)).collect(), people }
    }

    /// The one who is there by a coin: ten times the rows, more than ten times the amount, and rows everywhere.
    fn canary(block: usize) -> Person {
        let amount = if block.is_multiple_of(3) { i64::MAX } else { 10 * HIGH };
        Person { amounts: vec![amount; 10 * MOST_ROWS as usize], users: 3, visits: 4 }
    }

    /// The numbers of each label without that one, and with.
    pub(crate) fn exact(&self, what: What) -> Vec<(f64, f64)> {
        let of = |(block, people): (usize, &Vec<Person>)| {
            let without: i64 = people.iter().map(|person| what.of(person)).sum();
            (without as f64, (without + what.of(&Self::canary(block))) as f64)
        };
        self.people.iter().enumerate().map(of).collect()
    }

    /// The numbers that there are.
    pub(crate) fn truth(&self, what: What) -> Vec<f64> {
        self.exact(what)
            .iter()
            .zip(&self.coins)
            .map(|((without, with), coin)| if *coin { *with } else { *without })
            .collect()
    }

    /// The values of each label that count: people here have no more rows than do.
    pub(crate) fn values(&self) -> Vec<Vec<i64>> {
        let canary = |block: usize| self.coins[block].then(|| Self::canary(block));
        let amounts = |person: &Person| {
            let counted = person.amounts.iter().take(MOST_ROWS as usize);
            counted.map(|amount| (*amount).clamp(0, HIGH)).collect::<Vec<_>>()
        };
        let of = |(block, people): (usize, &Vec<Person>)| {
            people.iter().chain(&canary(block)).flat_map(amounts).collect::<Vec<i64>>()
        };
        self.people.iter().enumerate().map(of).collect()
    }

    pub(crate) async fn open(&self, noise: &str) -> Opened {
        let (mut sales, mut users, mut visits) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |block: usize, card: String, person: &Person| {
            sales.extend(person.amounts.iter().map(|amount| format!("{card},b{block},{amount}")));
            users.extend((0..person.users).map(|row| format!("{card},{row}")));
            visits.extend((0..person.visits).map(|row| format!("{card},{row}")));
        };
        for (block, people) in self.people.iter().enumerate() {
            for (index, person) in people.iter().enumerate() {
                add(block, format!("p{block}-{index}"), person);
            }
            if self.coins[block] {
                add(block, format!("x{block}"), &Self::canary(block));
            }
        }
        let blocks = declared("block", (0..self.coins.len()).map(|block| format!("b{block}")));
        let amount = "  amount: {use: [measure], functions: [sum, avg, count, quantile], bounds: [0, 100]}\n";
        let band = "  band: {use: [dimension, filter]}\n";
        let tags = (0..self.coins.len()).flat_map(|block| (0..3).map(move |tag| format!("b{block},t{tag}")));
        let tags = tags.collect::<Vec<_>>().join("\n");
        let reference = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.tags\nversion: 1\npublic: true\ncolumns:\n  \
                         block: {use: [join, dimension]}\n  tag: {use: [dimension]}\naccess: {analysts: [media]}\n";
        open(&[
            table("shop.sales", &format!("{blocks}{amount}"), noise, "card,block,amount", &sales),
            table("panel.users", band, noise, "card,band", &users),
            table("shop.visits", band, noise, "card,band", &visits),
            (reference.to_owned(), format!("block,tag\n{tags}\n")),
        ])
        .await
    }
}

pub(crate) async fn open(tables: &[(String, String)]) -> Opened {
    Opened::of(ROOM, tables).await
}

/// The numbers of an answer's column in the order of the labels, which are a letter and a number; all of them are there.
pub(crate) fn numbers(told: &Told, many: usize, column: usize) -> Vec<f64> {
    assert_eq!(told.outcome(), "released", "{}", told.document);
    let by_label: BTreeMap<usize, f64> =
        told.rows.iter().map(|row| (row[0][1..].parse().unwrap(), row[column].parse().unwrap())).collect();
    assert_eq!(by_label.len(), told.rows.len(), "a label stands twice");
    assert!(by_label.keys().copied().eq(0..many), "{} of {many} labels are there", by_label.len());
    by_label.into_values().collect()
}
