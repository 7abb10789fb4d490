//! `cleanroom audit summary`
//!
//! All of it follows from the entries of the log, and so from nothing that depends on a row: how many cells or rows were
//! released, and what the guard against differences found, is not in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::Args;
use cleanroom_log::{Charge, Event, QueryIntent};
use serde_json::{Value, json};

use super::{columns, entries};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};
use crate::target::TargetArgs;
use crate::trail::{Read, outcome};

const HEADER: [&str; 10] =
    ["analyst", "table", "asked", "answered", "not answered", "open", "repeated", "rho", "delta", "epsilon"];

#[derive(Debug, Args)]
pub(in crate::command) struct SummaryArgs {
    /// Whose tables
    #[arg(long, value_name = "PARTNER")]
    owner: String,

    /// Only what this partner asked
    #[arg(long, value_name = "PARTNER")]
    analyst: Option<String>,

    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &SummaryArgs, format: Format) -> Result<Exit> {
    let mut totals = Totals { owner: format!("{}.", args.owner), ..Totals::default() };
    entries::every(&args.target, |read| {
        totals.entry(&read);
        Ok(())
    })?;
    for partner in [Some(&args.owner), args.analyst.as_ref()].into_iter().flatten() {
        if !totals.partners.contains(partner) {
            return Err(Fault::usage(
                format!("`{partner}` was never a partner of the room"),
                "name partners as the room's document does",
            ));
        }
    }
    if let Some(analyst) = &args.analyst {
        totals.analysts.retain(|name, _| name == analyst);
    }
    let rows: Vec<Vec<String>> = totals.analysts.iter().flat_map(|(name, analyst)| analyst.rows(name)).collect();
    let analysts: Vec<Value> = totals.analysts.iter().map(|(name, analyst)| analyst.json(name)).collect();
    list(format, &HEADER, &rows, &json!({ "owner": args.owner, "analysts": analysts }))?;
    if format == Format::Table {
        print(&totals.words())?;
    }
    Ok(Exit::Done)
}

#[derive(Debug, Default)]
struct Totals {
    /// The owner's name and a dot.
    owner: String,
    partners: BTreeSet<String>,
    analysts: BTreeMap<String, Analyst>,
    /// Who asked a question of the owner's tables, and which.
    open: HashMap<String, (String, Vec<String>)>,
}

#[derive(Debug, Default)]
struct Analyst {
    tables: BTreeMap<String, Table>,
    /// By code. The log names no tables of these, so they count for the whole room.
    refused: BTreeMap<String, u64>,
    priced: u64,
    /// Stored results of questions about the owner's tables that were fetched, each time.
    delivered: u64,
}

#[derive(Debug, Default)]
struct Table {
    asked: u64,
    answered: u64,
    /// By code.
    unanswered: BTreeMap<String, u64>,
    /// Questions that were paid for before.
    repeated: u64,
    spent: Spent,
}

/// A sum of one amount, in the units of the log.
#[derive(Debug, Default)]
struct Sum {
    units: i128,
    /// Whether something in it has no bound; what has one still has, whatever the other amounts are.
    unlimited: bool,
}

/// Sums of charges.
#[derive(Debug, Default)]
struct Spent {
    rho: Sum,
    delta: Sum,
    epsilon: Sum,
    /// Whether something was charged that has no pure bound, or none at all.
    impure: bool,
    any: bool,
}

impl Totals {
    fn entry(&mut self, read: &Read) {
        let entry = &read.entry;
        let by = entry.actor.partner.clone().unwrap_or_default();
        match &entry.event {
            Event::RoomPut(room) => self.partners.extend(room.members.iter().map(|member| member.partner.clone())),
            Event::QueryIntent(intent) => self.asked(by, entry.request.clone().unwrap_or_default(), intent),
            Event::QueryOutcome(_) => {
                let ended = entry.request.as_ref().and_then(|request| self.open.get(request)).cloned();
                if let (Some((analyst, tables)), Some((word, code))) = (ended, outcome(&entry.event)) {
                    for table in tables {
                        let table = self.analysts.entry(analyst.clone()).or_default().tables.entry(table).or_default();
                        match word {
                            "released" => table.answered += 1,
                            _ => *table.unanswered.entry(code.unwrap_or(word).to_owned()).or_default() += 1,
                        }
                    }
                }
            }
            Event::ResultDelivered(_) => {
                let asked = entry.request.as_ref().and_then(|request| self.open.get(request));
                if let Some((analyst, _)) = asked {
                    self.analysts.entry(analyst.clone()).or_default().delivered += 1;
                }
            }
            Event::QueryRefused(refused) => {
                let analyst = self.analysts.entry(by).or_default();
                *analyst.refused.entry(refused.code.clone()).or_default() += 1;
            }
            Event::QueryPriced(_) => self.analysts.entry(by).or_default().priced += 1,
            _ => {}
        }
    }

    fn asked(&mut self, analyst: String, request: String, intent: &QueryIntent) {
        let read: BTreeSet<String> = intent
            .tables
            .iter()
            .map(|read| &read.table)
            .chain(intent.policies.iter().map(|policy| &policy.table))
            .filter(|table| table.starts_with(&self.owner))
            .cloned()
            .collect();
        if read.is_empty() {
            return;
        }
        let told = self.analysts.entry(analyst.clone()).or_default();
        for name in &read {
            let table = told.tables.entry(name.clone()).or_default();
            table.asked += 1;
            table.repeated += u64::from(intent.replay.is_some());
            intent.charge.iter().filter(|charge| charge.table == *name).for_each(|charge| table.spent.add(charge));
        }
        self.open.insert(request, (analyst, read.into_iter().collect()));
    }

    fn words(&self) -> String {
        let mut lines = Vec::new();
        for (name, analyst) in &self.analysts {
            lines.push(format!("{name}: {} deliveries of stored results are recorded", analyst.delivered));
            if analyst.priced > 0 {
                lines.push(format!("{name}: {} dry runs in the room", analyst.priced));
            }
            if !analyst.refused.is_empty() {
                lines.push(format!("{name}: refused in the room: {}", counts(&analyst.refused)));
            }
        }
        lines.push(
            "the log names no tables of refused questions, and holds neither how many cells were released nor what"
                .to_owned(),
        );
        lines.push("the guard against differences found: that would depend on rows".to_owned());
        lines.join("\n")
    }
}

impl Analyst {
    fn rows(&self, name: &str) -> Vec<Vec<String>> {
        let row = |(table, told): (&String, &Table)| {
            let spent = told.spent.texts();
            let [rho, delta, epsilon] = spent.map(Option::unwrap_or_default);
            vec![
                name.to_owned(),
                table.clone(),
                told.asked.to_string(),
                told.answered.to_string(),
                counts(&told.unanswered),
                told.open().to_string(),
                told.repeated.to_string(),
                rho,
                delta,
                epsilon,
            ]
        };
        self.tables.iter().map(row).collect()
    }

    fn json(&self, name: &str) -> Value {
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|(table, told)| {
                let [rho, delta, epsilon] = told.spent.texts();
                json!({
                    "table": table, "asked": told.asked, "answered": told.answered, "not_answered": told.unanswered,
                    "open": told.open(), "repeated": told.repeated, "rho": rho, "delta": delta, "epsilon": epsilon,
                })
            })
            .collect();
        json!({
            "analyst": name, "tables": tables, "delivered": self.delivered, "refused_in_room": self.refused,
            "priced_in_room": self.priced,
        })
    }
}

impl Table {
    /// Questions without an outcome yet.
    fn open(&self) -> u64 {
        self.asked.saturating_sub(self.answered).saturating_sub(self.unanswered.values().sum())
    }
}

impl Spent {
    fn add(&mut self, charge: &Charge) {
        self.rho.add(&charge.rho);
        self.delta.add(&charge.delta);
        match &charge.epsilon {
            Some(epsilon) => self.epsilon.add(epsilon),
            None => self.impure = true,
        }
        self.any = true;
    }

    /// `rho`, `delta` and, where every charge has one, `epsilon`; nothing where nothing was charged.
    fn texts(&self) -> [Option<String>; 3] {
        let text = |sum: &Sum, places| self.any.then(|| sum.text(places));
        [text(&self.rho, 12), text(&self.delta, 18), text(&self.epsilon, 12).filter(|_| !self.impure)]
    }
}

impl Sum {
    fn add(&mut self, text: &str) {
        // The entry was read by its rules: this is a whole number.
        let units: i64 = text.parse().unwrap_or(i64::MAX);
        self.unlimited |= units == i64::MAX;
        self.units += i128::from(units);
    }

    fn text(&self, places: usize) -> String {
        if self.unlimited { "unlimited".to_owned() } else { columns::decimal(&self.units.to_string(), places) }
    }
}

fn counts(by: &BTreeMap<String, u64>) -> String {
    by.iter().map(|(code, count)| format!("{code}: {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_without_a_bound_leaves_the_others_theirs() {
        let mut spent = Spent::default();
        assert_eq!(spent.texts(), [None, None, None]);
        let charge = |rho: &str| Charge {
            table: "shop.sales".to_owned(),
            space: "card".to_owned(),
            rho: rho.to_owned(),
            delta: "1000000000000".to_owned(),
            epsilon: Some("500000000000".to_owned()),
        };
        spent.add(&charge("1"));
        spent.add(&charge(&i64::MAX.to_string()));
        let [rho, delta, epsilon] = spent.texts().map(Option::unwrap);
        assert_eq!((rho.as_str(), delta.as_str(), epsilon.as_str()), ("unlimited", "0.000002", "1"));
    }
}
