//! The difference of two policies in meaning, not in text.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use crate::model::{
    AnalystTables, Bounds, ColumnRule, Dominance, Grain, Joins, Noise, Policy, Refresh, Release, Require, SmallGroups,
    Step, Subject, TablePattern,
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
    let told = changes.0.iter().any(|change| change.rule != "version");
    if !told && unversioned(old) != unversioned(new) {
        // A rule that this list does not know yet is never taken for no change.
        changes.add("policy", Effect::Loosens, "a rule changed that has no words here: compare the two texts");
    }
    changes.0
}

fn unversioned(policy: &Policy) -> String {
    Policy { version: 0, ..policy.clone() }.canonical_json()
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

/// A step, compared and shown as a number.
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
mod tests {
    use super::*;
    use crate::parse_policy;

    const POLICY: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\n\
        unit: {column: card, space: card}\ncolumns:\n  card: {use: [join, count]}\n  dept: {use: [dimension]}\n  \
        day: {use: [filter], grain: day}\n  spent: {use: [measure], functions: [sum], bounds: [0, 100], step: 0.01}\n\
        rows: \"spent > 0\"\njoins: {with: [media.ads], types: [inner]}\n\
        release: {min_units: 25, dominance: {top: 1, max_share: 0.5}, difference: 10, max_cells: 100}\n\
        access: {analysts: [media], queries: {per_day: 20}}\n";

    fn changes(old: &str, new: &str) -> Vec<(String, Effect)> {
        let (old, new) = (parse_policy("old", old).unwrap(), parse_policy("new", new).unwrap());
        diff_policies(&old, &new).into_iter().map(|change| (change.rule, change.effect)).collect()
    }

    #[test]
    fn every_rule_has_a_direction_and_back_is_the_opposite() {
        let tighter = [
            ("columns.dept", "  dept: {use: [dimension]}\n", ""),
            ("columns.card.use", "use: [join, count]", "use: [join]"),
            ("columns.day.grain", "grain: day", "grain: month"),
            ("columns.spent.functions", "functions: [sum]", "functions: [sum, avg]"),
            ("columns.spent.bounds", "bounds: [0, 100]", "bounds: [0, 50]"),
            ("columns.spent.step", "step: 0.01", "step: 1"),
            ("columns.dept.values", "dept: {use: [dimension]}", "dept: {use: [dimension], values: [a]}"),
            ("rows", "rows: \"spent > 0\"\n", ""),
            ("joins.require", "joins: {", "joins: {require: any, "),
            ("joins.with", "with: [media.ads]", "with: [media.ads, media.more]"),
            ("joins.types", "types: [inner]", "types: [inner, left]"),
            ("joins.analyst_tables", "joins: {", "joins: {analyst_tables: full, "),
            ("release.min_units", "min_units: 25", "min_units: 50"),
            ("release.dominance", "dominance: {top: 1, max_share: 0.5}, ", ""),
            ("release.dominance.top", "top: 1", "top: 2"),
            ("release.dominance.max_share", "max_share: 0.5", "max_share: 0.4"),
            ("release.small_groups", "release: {", "release: {small_groups: merge, "),
            ("release.difference", "difference: 10", "difference: 20"),
            ("release.max_cells", "max_cells: 100", "max_cells: 50"),
            ("release.audience", "release: {", "release: {audience: 10, "),
            ("release.round_to", "release: {", "release: {round_to: 10, "),
            ("access.analysts", "analysts: [media], ", "analysts: [media, press], receivers: [media], "),
            ("access.queries.per_day", "per_day: 20", "per_day: 10"),
            ("access.templates", "access: {", "access: {templates: [reach], "),
        ];
        // Of these the second text is the looser one.
        let loosens = [
            "columns.spent.functions",
            "rows",
            "joins.with",
            "joins.types",
            "joins.analyst_tables",
            "release.dominance",
            "release.small_groups",
            "access.analysts",
        ];
        for (rule, from, to) in tighter {
            let other = POLICY.replacen(from, to, 1);
            assert_ne!(other, POLICY, "{rule}");
            let (there, back) = if loosens.contains(&rule) {
                (Effect::Loosens, Effect::Tightens)
            } else {
                (Effect::Tightens, Effect::Loosens)
            };
            assert_eq!(changes(POLICY, &other), [(rule.to_owned(), there)], "{rule}");
            assert_eq!(changes(&other, POLICY), [(rule.to_owned(), back)], "{rule} back");
        }
    }

    #[test]
    fn equal_meanings_have_no_difference() {
        let spelled =
            POLICY.replace("release: {", "release: {small_groups: drop, ").replace("[join, count]", "[count, join]");
        assert_eq!(changes(POLICY, &spelled), []);
        assert_eq!(
            changes(POLICY, &POLICY.replace("version: 1", "version: 2")),
            [("version".to_owned(), Effect::Neutral)]
        );
    }

    #[test]
    fn doubtful_changes_count_as_looser() {
        for (rule, from, to) in [
            ("rows", "spent > 0", "spent > 1"),
            ("columns.spent.bounds", "[0, 100]", "[-10, 90]"),
            ("unit", "space: card", "space: household"),
        ] {
            assert_eq!(changes(POLICY, &POLICY.replacen(from, to, 1)), [(rule.to_owned(), Effect::Loosens)]);
        }
        let with = |list: &str| POLICY.replacen("[media.ads]", list, 1);
        assert_eq!(
            changes(&with("[media.*]"), &with("[media.*, media.ads]")),
            [("joins.with".to_owned(), Effect::Neutral)],
            "a table that a pattern already covers"
        );
    }

    #[test]
    fn noise_and_budget() {
        let noise = "noise: {mechanism: gaussian, epsilon: 1, delta: 1e-8, groups_per_unit: 4, rows_per_unit: 50, budget: {epsilon: 20, delta: 1e-6}}\n";
        let noisy = format!("{POLICY}{noise}");
        assert_eq!(changes(POLICY, &noisy), [("noise".to_owned(), Effect::Tightens)]);
        assert_eq!(changes(&noisy, POLICY), [("noise".to_owned(), Effect::Loosens)]);
        let more =
            noisy.replacen("epsilon: 1,", "epsilon: 2,", 1).replacen("rows_per_unit: 50", "rows_per_unit: 60", 1);
        assert_eq!(
            changes(&noisy, &more),
            [("noise.epsilon".to_owned(), Effect::Loosens), ("noise.rows_per_unit".to_owned(), Effect::Neutral)]
        );
        let monthly = noisy.replacen("delta: 1e-6}", "delta: 1e-6, refresh: monthly, lifetime: 100}", 1);
        assert_eq!(
            changes(&noisy, &monthly),
            [
                ("noise.budget.refresh".to_owned(), Effect::Loosens),
                ("noise.budget.lifetime".to_owned(), Effect::Loosens)
            ]
        );
    }
}
