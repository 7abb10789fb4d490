//! What questions were charged, against what the policies of their time let be spent.
//!
//! A table's budgets hold over every room it stands in, and this is the log of one: more may have been spent elsewhere, never
//! less. The account of an owner is not looked at, as it depends on other rooms' policies; whatever it is charged, a table of
//! the owner is charged too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cleanroom_budget::{Allowance, Delta, Loss, PureEpsilon, Rho};
use serde_json::Value;
use time::{Date, Duration};

use super::entry::Entry;
use super::finding::Code;
use super::replay::text;

/// What a policy lets be spent of its table.
struct Share {
    space: String,
    epsilon: f64,
    delta: f64,
    refresh: String,
    lifetime: Option<f64>,
    per_analyst: Option<f64>,
}

/// What was charged, by day and analyst.
type Spent = BTreeMap<(Date, String), Loss>;

/// A question that was charged, as a later one that shows its release again must match it.
struct Paid {
    analyst: String,
    reads: BTreeSet<String>,
}

/// The budgets of a log, entry by entry.
#[derive(Default)]
pub(super) struct Budgets {
    shares: HashMap<String, Share>,
    spent: HashMap<String, Spent>,
    paid: HashMap<String, Paid>,
}

impl Budgets {
    /// Another policy is active for a table; `content` is its document, where it is there.
    pub(super) fn policy(&mut self, table: &str, content: Option<&[u8]>) {
        match content.and_then(Share::read) {
            Some(share) => self.shares.insert(table.to_owned(), share),
            None => self.shares.remove(table),
        };
    }

    pub(super) fn intent(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let analyst = entry.text(&["actor", "partner"]).unwrap_or_default();
        let charges = entry.list(&["body", "charge"]);
        self.uncharged(entry, analyst, wrong);
        if let Some(request) = entry.text(&["body", "replay"]) {
            return self.replay(request, entry, analyst, wrong);
        }
        let mut charged = HashSet::new();
        let losses: Vec<Loss> = charges.iter().filter_map(loss).collect();
        if losses.windows(2).any(|pair| pair.first() != pair.last()) {
            wrong(Code::Charge, "its tables are not charged the same");
        }
        for (charge, loss) in charges.iter().zip(losses) {
            let table = text(charge, "table");
            let named = entry.list(&["body", "policies"]).iter().any(|policy| text(policy, "table") == table);
            if !named || !charged.insert(table.clone()) {
                wrong(Code::Charge, "it charges a table twice, or one that it does not read");
            }
            self.charge(&table, &text(charge, "space"), analyst, entry.time.date(), loss, wrong);
        }
        if let Some(request) = entry.text(&["request"]).filter(|_| !charges.is_empty()) {
            let paid = Paid { analyst: analyst.to_owned(), reads: reads(entry) };
            self.paid.entry(request.to_owned()).or_insert(paid);
        }
    }

    /// Everybody pays for what noise protects, unless it is their own.
    fn uncharged(&self, entry: &Entry, analyst: &str, wrong: &mut impl FnMut(Code, &str)) {
        let charges = entry.list(&["body", "charge"]);
        let missing = entry.list(&["body", "policies"]).iter().map(|policy| text(policy, "table")).any(|table| {
            let owned = table.split_once('.').is_some_and(|(owner, _)| owner == analyst);
            self.shares.contains_key(&table) && !owned && !charges.iter().any(|charge| text(charge, "table") == table)
        });
        if missing && entry.text(&["body", "replay"]).is_none() {
            wrong(Code::Uncharged, "it reads a table with noise and was not charged for it");
        }
    }

    fn replay(&self, request: &str, entry: &Entry, analyst: &str, wrong: &mut impl FnMut(Code, &str)) {
        if !entry.list(&["body", "charge"]).is_empty() {
            wrong(Code::Charge, "it shows a release again and is charged for it");
        }
        let paid = self.paid.get(request).is_some_and(|paid| paid.analyst == analyst && paid.reads == reads(entry));
        if !paid {
            wrong(Code::Uncharged, "it shows a release again that nobody paid for, or of other data or policies");
        }
    }

    fn charge(
        &mut self,
        table: &str,
        space: &str,
        analyst: &str,
        day: Date,
        loss: Loss,
        wrong: &mut impl FnMut(Code, &str),
    ) {
        let made = self.spent.entry(table.to_owned()).or_default();
        match self.shares.get(table).filter(|share| share.space == space) {
            None => wrong(Code::Charge, "it charges a table whose policy gives it no budget of that identity space"),
            Some(share) if !share.admits(made, analyst, day, loss) => {
                wrong(Code::Overspent, "it was charged more than a table's policy lets be spent");
            }
            Some(_) => {}
        }
        let held = made.entry((day, analyst.to_owned())).or_insert(Loss::NONE);
        *held = *held + loss;
    }
}

impl Share {
    /// `None` of anything but a policy with noise.
    fn read(content: &[u8]) -> Option<Self> {
        let policy: Value = serde_json::from_slice(content).ok()?;
        let space = policy.get("unit")?.get("space")?.as_str()?.to_owned();
        let budget = policy.get("noise")?.get("budget")?;
        let number = |name: &str| budget.get(name).and_then(Value::as_f64);
        Some(Self {
            space,
            epsilon: number("epsilon")?,
            delta: number("delta")?,
            refresh: budget.get("refresh")?.as_str()?.to_owned(),
            lifetime: number("lifetime"),
            per_analyst: number("per_analyst"),
        })
    }

    fn admits(&self, made: &Spent, analyst: &str, day: Date, loss: Loss) -> bool {
        let first = self.first_day(day);
        let in_period = |day: &Date| first.is_none_or(|first| *day >= first);
        let spent = |counts: &dyn Fn(&Date, &str) -> bool| -> Loss {
            made.iter().filter(|((day, analyst), _)| counts(day, analyst)).map(|(_, loss)| *loss).sum()
        };
        let mut limits = vec![(self.epsilon, self.delta, spent(&|day, _| in_period(day)))];
        if let Some(lifetime) = self.lifetime {
            limits.push((lifetime, self.delta * (lifetime / self.epsilon), spent(&|_, _| true)));
        }
        if let Some(most) = self.per_analyst {
            limits.push((most, self.delta, spent(&|day, who| who == analyst && in_period(day))));
        }
        limits.into_iter().all(|(epsilon, delta, spent)| Allowance::new(epsilon, delta).admits(spent, loss))
    }

    /// The first day of the period that a day is in; `None` where there is one period only.
    fn first_day(&self, day: Date) -> Option<Date> {
        let back = match self.refresh.as_str() {
            "daily" => 0,
            "weekly" => day.weekday().number_days_from_monday(),
            "monthly" => day.day() - 1,
            _ => return None,
        };
        day.checked_sub(Duration::days(i64::from(back)))
    }
}

/// The data that a question reads, and its policies, in no order.
fn reads(entry: &Entry) -> BTreeSet<String> {
    ["policies", "tables"].iter().flat_map(|list| entry.list(&["body", list])).map(Value::to_string).collect()
}

/// Amounts have their form, or the entry would not have been read.
fn loss(charge: &Value) -> Option<Loss> {
    let units = |name: &str| charge.get(name).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
    Some(Loss {
        rho: Rho::of_units(units("rho")?),
        epsilon: units("epsilon").map(PureEpsilon::of_units),
        delta: Delta::of_units(units("delta")?),
    })
}
