//! The difference of two policies in meaning, not in text.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use crate::model::{
    AnalystTables, Bounds, ColumnRule, Dominance, Grain, Joins, Literals, Noise, Policy, Refresh, Release, Require,
    SmallGroups, Step, Subject, TablePattern,
};
use crate::prose::{code, number};

/// What a change does to those whom the policy protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// More can be learned than before, or it cannot be told that not.
    Loosens,
    /// Less can be learned than before.
    Tightens,
    /// Neither.
    Neutral,
}

impl Effect {
    /// `loosens`, `tightens` or `neutral`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loosens => "loosens",
            Self::Tightens => "tightens",
            Self::Neutral => "neutral",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One difference between two versions of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// The rule, by its dotted path: `columns.amount.bounds`.
    pub rule: String,
    /// What it does.
    pub effect: Effect,
    /// What changed, in words.
    pub text: String,
}

/// What the policy `new` says otherwise than `old`, in the order of the document; empty for two texts of one meaning.
///
/// A change of which it cannot be told whether it lets more through counts as [`Effect::Loosens`]. Where wider limits come with more
/// noise (`unit_bounds`, `rows_per_unit`, `groups_per_unit`), the protection stays the same, and the change is [`Effect::Neutral`].
pub fn diff_policies(old: &Policy, new: &Policy) -> Vec<PolicyChange> {
    let mut changes = Changes(Vec::new());
    changes.head(old, new);
    changes.columns(old, new);
    changes.rows(old, new);
    changes.joins(&old.joins, &new.joins);
    changes.release(&old.release, &new.release);
    changes.noise(old.noise.as_ref(), new.noise.as_ref());
    changes.access(old, new);
    if differs_otherwise(old, new) {
        changes.add("policy", Effect::Loosens, "a rule changed that has no words here: compare the two texts");
    }
    changes.0
}

/// Whether the two differ in anything but what is compared above: a rule that was added to the format and not to this list is never
/// taken for no change.
fn differs_otherwise(old: &Policy, new: &Policy) -> bool {
    let shared = |policy: &Policy| {
        let mut policy = policy.clone();
        policy.columns.retain(|name, _rule| old.columns.contains_key(name) && new.columns.contains_key(name));
        if old.noise.is_none() || new.noise.is_none() {
            policy.noise = None;
        }
        policy
    };
    let (old, mut rest) = (shared(old), shared(new));
    rest.table = old.table.clone();
    rest.version = old.version;
    rest.subject = old.subject.clone();
    rest.rows = old.rows.clone();
    for (name, rule) in &mut rest.columns {
        if let Some(was) = old.columns.get(name) {
            rule.uses = was.uses.clone();
            rule.values = was.values.clone();
            rule.literals = was.literals.clone();
            rule.grain = was.grain;
            rule.functions = was.functions.clone();
            rule.bounds = was.bounds;
            rule.step = was.step;
            rule.unit_bounds = was.unit_bounds;
        }
    }
    rest.joins.require = old.joins.require;
    rest.joins.with = old.joins.with.clone();
    rest.joins.types = old.joins.types.clone();
    rest.joins.analyst_tables = old.joins.analyst_tables;
    rest.release.min_units = old.release.min_units;
    rest.release.dominance = old.release.dominance;
    rest.release.small_groups = old.release.small_groups;
    rest.release.difference = old.release.difference;
    rest.release.audience = old.release.audience;
    rest.release.max_cells = old.release.max_cells;
    rest.release.round_to = old.release.round_to;
    if let (Some(was), Some(noise)) = (&old.noise, &mut rest.noise) {
        noise.mechanism = was.mechanism;
        noise.epsilon = was.epsilon;
        noise.delta = was.delta;
        noise.groups_per_unit = was.groups_per_unit;
        noise.rows_per_unit = was.rows_per_unit;
        noise.budget = was.budget.clone();
        noise.test_only = was.test_only;
    }
    rest.access.analysts = old.access.analysts.clone();
    rest.access.receivers = old.access.receivers.clone();
    rest.access.queries_per_day = old.access.queries_per_day;
    rest.access.templates = old.access.templates.clone();
    rest.canonical_json() != old.canonical_json()
}

struct Changes(Vec<PolicyChange>);

impl Changes {
    fn add(&mut self, rule: impl Into<String>, effect: Effect, text: impl Into<String>) {
        self.0.push(PolicyChange { rule: rule.into(), effect, text: text.into() });
    }

    /// A number whose growth tightens or loosens.
    fn grows<T: PartialOrd + Display>(&mut self, rule: &str, old: T, new: T, up: Effect) {
        if old != new {
            let effect = if new > old { up } else { opposite(up) };
            self.add(rule, effect, format!("{} from {old} to {new}", if new > old { "raised" } else { "lowered" }));
        }
    }

    /// A protection that may be absent; being there tightens.
    fn guard<T: PartialOrd + Display>(&mut self, rule: &str, old: Option<T>, new: Option<T>, up: Effect) {
        match (old, new) {
            (None, None) => {}
            (None, Some(new)) => self.add(rule, Effect::Tightens, format!("added: {new}")),
            (Some(old), None) => self.add(rule, Effect::Loosens, format!("removed; it was {old}")),
            (Some(old), Some(new)) => self.grows(rule, old, new, up),
        }
    }

    /// A list of grants: each added one loosens.
    fn grants<T: Ord + Display>(&mut self, rule: &str, old: &BTreeSet<T>, new: &BTreeSet<T>) {
        for added in new.difference(old) {
            self.add(rule, Effect::Loosens, format!("{} added", code(added)));
        }
        for removed in old.difference(new) {
            self.add(rule, Effect::Tightens, format!("{} removed", code(removed)));
        }
    }

    /// A list that may be absent, which allows everything.
    fn allowed<T: Ord + Display>(&mut self, rule: &str, old: Option<&BTreeSet<T>>, new: Option<&BTreeSet<T>>) {
        match (old, new) {
            (None, None) => {}
            (None, Some(new)) => {
                self.add(rule, Effect::Tightens, format!("limited to {} named; any before", new.len()));
            }
            (Some(_), None) => self.add(rule, Effect::Loosens, "any allowed; a list before"),
            (Some(old), Some(new)) => self.grants(rule, old, new),
        }
    }

    fn head(&mut self, old: &Policy, new: &Policy) {
        if old.table != new.table {
            let text = format!("for {} instead of {}", code(&new.table), code(&old.table));
            self.add("table", Effect::Loosens, text);
        }
        if old.version != new.version {
            self.add("version", Effect::Neutral, format!("{} -> {}", old.version, new.version));
        }
        match (&old.subject, &new.subject) {
            (old, new) if old == new => {}
            (Subject::Unit { .. }, Subject::Public) => {
                self.add("public", Effect::Loosens, "now a reference table: nobody is protected any more");
            }
            (_, Subject::Unit { column, space }) => {
                let effect = if old.subject == Subject::Public { Effect::Tightens } else { Effect::Loosens };
                let text = format!("protects another unit: {} of space {}", code(column), code(space));
                self.add("unit", effect, text);
            }
            (Subject::Public, Subject::Public) => {}
        }
    }

    fn columns(&mut self, old: &Policy, new: &Policy) {
        for (name, rule) in &old.columns {
            match new.columns.get(name) {
                None => self.add(format!("columns.{name}"), Effect::Tightens, "hidden now"),
                Some(now) => self.column(&format!("columns.{name}"), rule, now),
            }
        }
        for (name, rule) in new.columns.iter().filter(|(name, _rule)| !old.columns.contains_key(*name)) {
            let uses: Vec<&str> = rule.uses.iter().map(|one| one.word()).collect();
            self.add(format!("columns.{name}"), Effect::Loosens, format!("shown now, for {}", uses.join(", ")));
        }
    }

    fn column(&mut self, path: &str, old: &ColumnRule, new: &ColumnRule) {
        self.grants(&format!("{path}.use"), &old.uses, &new.uses);
        self.grants(&format!("{path}.functions"), &old.functions, &new.functions);
        let set = |values: &Option<Vec<String>>| values.as_ref().map(|list| list.iter().cloned().collect());
        let (before, now): (Option<BTreeSet<String>>, _) = (set(&old.values), set(&new.values));
        self.allowed(&format!("{path}.values"), before.as_ref(), now.as_ref());
        let literals = |rule: &ColumnRule| match &rule.literals {
            Literals::Any => None,
            Literals::None => Some(BTreeSet::new()),
            Literals::Only(listed) => Some(listed.iter().cloned().collect()),
        };
        self.allowed(&format!("{path}.literals"), literals(old).as_ref(), literals(new).as_ref());
        self.guard(&format!("{path}.grain"), old.grain.map(Coarseness), new.grain.map(Coarseness), Effect::Tightens);
        self.bounds(&format!("{path}.bounds"), old.bounds, new.bounds);
        self.guard(&format!("{path}.step"), old.step.map(Size::of), new.step.map(Size::of), Effect::Tightens);
        if old.unit_bounds != new.unit_bounds {
            let shown = |bounds: Option<(f64, f64)>| match bounds {
                Some((low, high)) => range(low, high),
                None => "the default".to_owned(),
            };
            let text = format!("{} instead of {}", shown(new.unit_bounds), shown(old.unit_bounds));
            self.add(format!("{path}.unit_bounds"), Effect::Neutral, text);
        }
    }

    fn bounds(&mut self, rule: &str, old: Option<Bounds>, new: Option<Bounds>) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Bounds::Range { low, high }), Some(Bounds::Range { low: new_low, high: new_high })) => {
                let inside = new_low >= low && new_high <= high;
                let (effect, word) = if inside { (Effect::Tightens, "narrowed") } else { (Effect::Loosens, "widened") };
                let word = if !inside && (new_low > low || new_high < high) { "moved" } else { word };
                self.add(rule, effect, format!("{word} from {} to {}", range(low, high), range(new_low, new_high)));
            }
            (_, Some(Bounds::Range { low, high })) => {
                self.add(rule, Effect::Tightens, format!("values clamped to {}", range(low, high)));
            }
            (Some(Bounds::Range { low, high }), _) => {
                self.add(rule, Effect::Loosens, format!("values no longer clamped to {}", range(low, high)));
            }
            // Whether it is a measure at all is told by its uses.
            (Some(Bounds::Unbounded) | None, Some(Bounds::Unbounded) | None) => {}
        }
    }

    fn rows(&mut self, old: &Policy, new: &Policy) {
        let text = |policy: &Policy| policy.rows.as_ref().map(|rows| rows.value.clone());
        match (text(old), text(new)) {
            (old, new) if old == new => {}
            (None, Some(new)) => self.add("rows", Effect::Tightens, format!("only rows with {}", code(new))),
            (Some(old), None) => {
                self.add("rows", Effect::Loosens, format!("all rows; only those with {} before", code(old)))
            }
            (Some(old), Some(new)) => {
                let text =
                    format!("rows with {} instead of {}; it may be that others are seen now", code(new), code(old));
                self.add("rows", Effect::Loosens, text);
            }
            (None, None) => {}
        }
    }

    fn joins(&mut self, old: &Joins, new: &Joins) {
        let strictness = |require: Require| match require {
            Require::None => 0,
            Require::Any => 1,
            Require::OtherPartner => 2,
        };
        if old.require != new.require {
            let tighter = strictness(new.require) > strictness(old.require);
            let effect = if tighter { Effect::Tightens } else { Effect::Loosens };
            self.add("joins.require", effect, format!("{} instead of {}", code(new.require), code(old.require)));
        }
        self.partners(old.with.as_deref(), new.with.as_deref());
        self.grants("joins.types", &old.types, &new.types);
        match (old.analyst_tables, new.analyst_tables) {
            (AnalystTables::Distinct, AnalystTables::Full) => {
                self.add("joins.analyst_tables", Effect::Loosens, "analysts may weight people by tables of their own");
            }
            (AnalystTables::Full, AnalystTables::Distinct) => {
                self.add("joins.analyst_tables", Effect::Tightens, "analysts may no longer weight people");
            }
            (AnalystTables::Distinct, AnalystTables::Distinct) | (AnalystTables::Full, AnalystTables::Full) => {}
        }
    }

    fn partners(&mut self, old: Option<&[TablePattern]>, new: Option<&[TablePattern]>) {
        let (Some(old), Some(new)) = (old, new) else {
            match (old, new) {
                (None, Some(_)) => self.add("joins.with", Effect::Tightens, "limited to a list; any table before"),
                (Some(_), None) => self.add("joins.with", Effect::Loosens, "any table; a list before"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            return;
        };
        for pattern in new.iter().filter(|pattern| !old.contains(pattern)) {
            let effect = if covered(pattern, old) { Effect::Neutral } else { Effect::Loosens };
            self.add("joins.with", effect, format!("{} added", shown(pattern)));
        }
        for pattern in old.iter().filter(|pattern| !new.contains(pattern)) {
            let effect = if covered(pattern, new) { Effect::Neutral } else { Effect::Tightens };
            self.add("joins.with", effect, format!("{} removed", shown(pattern)));
        }
    }

    fn release(&mut self, old: &Release, new: &Release) {
        self.grows("release.min_units", old.min_units, new.min_units, Effect::Tightens);
        match (old.dominance, new.dominance) {
            (None, None) => {}
            (None, Some(rule)) => {
                self.add("release.dominance", Effect::Tightens, format!("added: {}", dominance(rule)))
            }
            (Some(rule), None) => {
                self.add("release.dominance", Effect::Loosens, format!("removed; it was {}", dominance(rule)));
            }
            (Some(old), Some(new)) => {
                self.grows("release.dominance.top", old.top, new.top, Effect::Tightens);
                self.grows("release.dominance.max_share", old.max_share, new.max_share, Effect::Loosens);
            }
        }
        match (old.small_groups, new.small_groups) {
            (SmallGroups::Drop, SmallGroups::Merge) => {
                self.add(
                    "release.small_groups",
                    Effect::Loosens,
                    "small groups become one remainder group that can be shown",
                );
            }
            (SmallGroups::Merge, SmallGroups::Drop) => {
                self.add("release.small_groups", Effect::Tightens, "small groups are left out; merged before");
            }
            (SmallGroups::Drop, SmallGroups::Drop) | (SmallGroups::Merge, SmallGroups::Merge) => {}
        }
        self.guard("release.difference", old.difference, new.difference, Effect::Tightens);
        self.guard("release.audience", old.audience, new.audience, Effect::Tightens);
        self.guard("release.max_cells", old.max_cells, new.max_cells, Effect::Loosens);
        self.guard("release.round_to", old.round_to.map(Size::of), new.round_to.map(Size::of), Effect::Tightens);
    }

    fn noise(&mut self, old: Option<&Noise>, new: Option<&Noise>) {
        let (Some(old), Some(new)) = (old, new) else {
            match (old, new) {
                (None, Some(_)) => self.add("noise", Effect::Tightens, "figures carry noise; exact before"),
                (Some(_), None) => self.add("noise", Effect::Loosens, "figures are exact; they carried noise before"),
                (None, None) | (Some(_), Some(_)) => {}
            }
            return;
        };
        if old.mechanism != new.mechanism {
            let text = format!("{} instead of {}", code(new.mechanism), code(old.mechanism));
            self.add("noise.mechanism", Effect::Neutral, text);
        }
        match (old.test_only, new.test_only) {
            (false, true) => self.add("noise.test_only", Effect::Loosens, "for tests alone: no limit of `epsilon`"),
            (true, false) => self.add("noise.test_only", Effect::Tightens, "no longer for tests alone"),
            (false, false) | (true, true) => {}
        }
        self.grows("noise.epsilon", old.epsilon, new.epsilon, Effect::Loosens);
        self.grows("noise.delta", old.delta, new.delta, Effect::Loosens);
        for (rule, old, new) in [
            ("noise.groups_per_unit", old.groups_per_unit, new.groups_per_unit),
            ("noise.rows_per_unit", old.rows_per_unit, new.rows_per_unit),
        ] {
            self.grows(rule, old, new, Effect::Neutral);
        }
        let (before, now) = (&old.budget, &new.budget);
        self.grows("noise.budget.epsilon", before.epsilon, now.epsilon, Effect::Loosens);
        self.grows("noise.budget.delta", before.delta, now.delta, Effect::Loosens);
        if before.refresh != now.refresh {
            let effect = if often(now.refresh) > often(before.refresh) { Effect::Loosens } else { Effect::Tightens };
            let text = format!("{} instead of {}", code(now.refresh), code(before.refresh));
            self.add("noise.budget.refresh", effect, text);
        }
        // A budget that is never refreshed has no lifetime of its own: what it gives is all there is.
        let lifetime = |budget: &crate::model::Budget| budget.lifetime.unwrap_or(budget.epsilon);
        self.grows("noise.budget.lifetime", lifetime(before), lifetime(now), Effect::Loosens);
        let (before, now) = (before.per_analyst.map(Size), now.per_analyst.map(Size));
        self.guard("noise.budget.per_analyst", before, now, Effect::Loosens);
    }

    fn access(&mut self, old: &Policy, new: &Policy) {
        let (old, new) = (&old.access, &new.access);
        self.grants("access.analysts", &old.analysts, &new.analysts);
        self.grants("access.receivers", &old.receivers, &new.receivers);
        self.guard("access.queries.per_day", old.queries_per_day, new.queries_per_day, Effect::Loosens);
        self.allowed("access.templates", old.templates.as_ref(), new.templates.as_ref());
    }
}

fn opposite(effect: Effect) -> Effect {
    match effect {
        Effect::Loosens => Effect::Tightens,
        Effect::Tightens => Effect::Loosens,
        Effect::Neutral => Effect::Neutral,
    }
}

fn covered(pattern: &TablePattern, by: &[TablePattern]) -> bool {
    by.iter().any(|other| other.partner == pattern.partner && other.table.is_none())
}

fn shown(pattern: &TablePattern) -> String {
    format!("`{}.{}`", pattern.partner, pattern.table.as_deref().unwrap_or("*"))
}

fn dominance(rule: Dominance) -> String {
    format!("the largest {} hold at most {} of a figure", rule.top, number(rule.max_share))
}

fn range(low: f64, high: f64) -> String {
    format!("[{}, {}]", number(low), number(high))
}

fn often(refresh: Refresh) -> u8 {
    match refresh {
        Refresh::Never => 0,
        Refresh::Monthly => 1,
        Refresh::Weekly => 2,
        Refresh::Daily => 3,
    }
}

/// A step or an epsilon, compared and shown as a number.
#[derive(PartialEq, PartialOrd)]
struct Size(f64);

impl Size {
    fn of(step: Step) -> Self {
        Self(step.as_f64())
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.0))
    }
}

/// A grain, the coarser the greater.
#[derive(PartialEq)]
struct Coarseness(Grain);

impl PartialOrd for Coarseness {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((self.0 as u8).cmp(&(other.0 as u8)))
    }
}

impl Display for Coarseness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
