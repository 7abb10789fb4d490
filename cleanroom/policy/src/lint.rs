//! What is allowed in a policy, and hardly meant.

use std::fmt;

use cleanroom_budget::{Allowance, Delta, Loss, PureEpsilon, Rho, rho_of};

use crate::error::DocumentError;
use crate::model::{
    Ability, AnalystTables, Bounds, Mechanism, Noise, Policy, Require, Room, SmallGroups, Subject, TablePattern, Use,
};
use crate::prose::{code, number};

/// Below it a floor hardly hides anybody: who knows a few of a group knows the rest.
const LOW_FLOOR: u64 = 10;
/// Fewer steps between its bounds than this make a measure coarse.
const FEW_STEPS: f64 = 20.0;

/// More questions than this are not counted.
const MANY_QUESTIONS: u64 = 100_000;
/// More rows of one unit than this make the noise of a sum that has no bounds of its own coarse.
const MANY_ROWS: u32 = 10;

/// Something in a policy that is allowed and hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule, by its dotted path.
    pub rule: String,
    /// Its line, from 1; absent where it stands nowhere.
    pub line: Option<usize>,
    /// What is odd.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Warning {
    /// A warning about a rule of `policy`.
    pub fn new(policy: &Policy, rule: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), line: policy.line(rule), message: message.into(), remedy: remedy.into() }
    }

    /// The same as an error about the document of that name.
    pub fn in_file(self, file: &str) -> DocumentError {
        DocumentError {
            file: file.to_owned(),
            line: self.line,
            column: None,
            message: self.message,
            remedy: self.remedy,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.rule, self.message, self.remedy)
    }
}

/// What looks wrong in a policy taken alone: rules that can never apply, floors that hide nobody, protections that are given away.
pub fn lint_policy(policy: &Policy) -> Vec<Warning> {
    let mut lint = Lint { policy, found: Vec::new() };
    lint.access();
    if let Subject::Unit { column, .. } = &policy.subject {
        let unit = policy.columns.get(column);
        let counted = unit.is_some_and(|rule| rule.uses.contains(&Use::Count));
        let joined = unit.is_some_and(|rule| rule.uses.contains(&Use::Join));
        lint.reach(counted, joined);
        lint.joins(joined);
        lint.release(counted);
    }
    lint.columns();
    lint.found
}

/// What looks wrong in a policy among those of its room: joins that no other table can take part in. `others` are the policies of the
/// room's tables, this one's among them or not.
pub fn lint_policy_in_room(room: &Room, policy: &Policy, others: &[&Policy]) -> Vec<Warning> {
    let mut lint = Lint { policy, found: Vec::new() };
    let Subject::Unit { space, .. } = &policy.subject else {
        return lint.found;
    };
    let partners: Vec<&&Policy> = others
        .iter()
        .filter(|other| other.table != policy.table)
        .filter(|other| matches!(&other.subject, Subject::Unit { space: theirs, .. } if theirs == space))
        .collect();
    for pattern in policy.joins.with.iter().flatten() {
        let named: Vec<&&Policy> = others.iter().filter(|other| matches(pattern, other)).collect();
        if !named.is_empty() && !partners.iter().any(|other| matches(pattern, other)) {
            let what = match &pattern.table {
                Some(table) => format!("`{}.{table}` has", pattern.partner),
                None => format!("no table of `{}` has", pattern.partner),
            };
            let negation = if pattern.table.is_some() { " no" } else { "" };
            lint.warn(
                "joins.with",
                format!("{what}{negation} units of the space {}, so the rule never applies", code(space)),
                "remove the pattern, or mend `unit.space`; reference tables need no pattern",
            );
        }
    }
    let other_owner = |other: &&&Policy| other.table.owner() != policy.table.owner();
    let can_join = match policy.joins.require {
        Require::None => true,
        Require::Any => !partners.is_empty(),
        Require::OtherPartner => partners.iter().any(other_owner),
    };
    if !can_join {
        lint.warn(
            "joins.require",
            format!(
                "room {} has no other table with units of the space {} to join with, so nothing is ever answered",
                code(&room.name),
                code(space)
            ),
            "wait for such a table, mend `unit.space`, or write `require: none`",
        );
    }
    let ask = |name: &&crate::names::PartnerName| {
        room.partner(name).is_some_and(|partner| {
            partner.abilities.contains(&Ability::Query) && partner.abilities.contains(&Ability::Receive)
        })
    };
    if !policy.access.analysts.iter().any(|name| ask(&name) && policy.access.receivers.contains(name)) {
        lint.warn(
            "access.analysts",
            format!("no analyst may both query and receive in room {}, so nobody is answered", code(&room.name)),
            "give an analyst both abilities in the room, and name it in `access.receivers`",
        );
    }
    lint.found
}

fn matches(pattern: &TablePattern, policy: &Policy) -> bool {
    pattern.partner == *policy.table.owner()
        && pattern.table.as_deref().is_none_or(|table| table == policy.table.table())
}

struct Lint<'p> {
    policy: &'p Policy,
    found: Vec<Warning>,
}

impl Lint<'_> {
    fn warn(&mut self, rule: &str, message: impl Into<String>, remedy: &str) {
        self.found.push(Warning::new(self.policy, rule, message, remedy));
    }

    fn access(&mut self) {
        let access = &self.policy.access;
        if access.analysts.is_disjoint(&access.receivers) {
            self.warn(
                "access.receivers",
                "no analyst is among the receivers, and an answer goes to who asked",
                "name the analysts that may see answers in `receivers`, or leave `receivers` out",
            );
        }
    }

    /// Whether any figure of the table can be asked for.
    fn reach(&mut self, counted: bool, joined: bool) {
        let has = |one| self.policy.columns.values().any(|rule| rule.uses.contains(&one));
        let figures = counted || has(Use::Measure);
        if !figures && !joined {
            self.warn(
                "columns",
                "the unit may neither be counted nor joined, and there is no measure: no question can use the table",
                "give the unit's column `count` or `join`, or a column the use `measure`",
            );
        } else if !figures && has(Use::Dimension) && !joined {
            self.warn(
                "columns",
                "nothing of the table can be counted or summed, so its dimensions divide nothing",
                "give the unit's column `count`, or a column the use `measure`",
            );
        }
    }

    fn joins(&mut self, joined: bool) {
        let joins = &self.policy.joins;
        if !joined {
            if joins.require != Require::None {
                self.warn(
                    "joins.require",
                    "a join is required, and the unit's column may not be joined: nothing is ever answered",
                    "give the unit's column the use `join`, or write `require: none`",
                );
            } else if self.policy.lines.contains_key("joins") {
                self.warn(
                    "joins",
                    "the unit's column may not be joined, so the rules for joins never apply",
                    "give the unit's column the use `join`, or remove `joins`",
                );
            }
        }
        for pattern in joins.with.iter().flatten() {
            if pattern.partner == *self.policy.table.owner() {
                self.warn(
                    "joins.with",
                    format!(
                        "{} is the table's own owner, and `with` is about tables of others",
                        code(&pattern.partner)
                    ),
                    "remove the pattern: an owner's tables may be joined with each other",
                );
            }
        }
        if joins.analyst_tables == AnalystTables::Full {
            self.warn(
                "joins.analyst_tables",
                "an analyst can weight people by rows of its own table, and read from one sum who is in this one",
                "write `analyst_tables: distinct`, unless noise covers it",
            );
        }
    }

    fn release(&mut self, counted: bool) {
        let release = &self.policy.release;
        if let Some(noise) = &self.policy.noise {
            self.noise(noise);
            let unused = [
                ("release.dominance", release.dominance.is_some()),
                ("release.difference", release.difference.is_some()),
                ("release.audience", release.audience.is_some()),
                ("release.small_groups", release.small_groups == SmallGroups::Merge),
            ];
            for (rule, _there) in unused.into_iter().filter(|(_rule, there)| *there) {
                self.warn(
                    rule,
                    "under `noise` nothing is decided on exact figures, so the rule never applies",
                    "remove it, or `noise`",
                );
            }
            return;
        }
        if release.min_units < LOW_FLOOR {
            self.warn(
                "release.min_units",
                format!("a floor of {} hides hardly anybody", release.min_units),
                "take 10 or more; 25 is usual",
            );
        }
        if let Some(rule) = release.dominance {
            // Where all contribute the same, the largest `top` of n hold top/n.
            let least = rule.top as f64 / rule.max_share;
            if least > release.min_units as f64 {
                self.warn(
                    "release.dominance",
                    format!(
                        "of fewer than {} units the largest {} always hold more than {}, so no figure of {} to {} units can stand",
                        number(least.ceil()),
                        rule.top,
                        number(rule.max_share),
                        release.min_units,
                        number(least.ceil() - 1.0)
                    ),
                    "raise `max_share`, or raise `min_units` to what the rule comes to",
                );
            } else if rule.max_share >= 1.0 {
                self.warn(
                    "release.dominance",
                    "no contributor can hold more than all of a figure, so the rule never applies",
                    "lower `max_share`, to 0.5 for instance",
                );
            }
            let measured = self.policy.columns.values().any(|rule| rule.uses.contains(&Use::Measure));
            if !counted && !measured {
                self.warn(
                    "release.dominance",
                    "there is neither a measure nor a count of rows, so the rule never applies",
                    "remove it",
                );
            }
        }
    }

    fn noise(&mut self, noise: &Noise) {
        let budget = &noise.budget;
        let open =
            self.policy.columns.iter().find(|(_, rule)| rule.uses.contains(&Use::Dimension) && rule.values.is_none());
        if noise.delta == 0.0
            && let Some((column, _)) = open
        {
            self.warn(
                "noise.delta",
                format!(
                    "without a delta no group is shown that is not declared, so nothing is ever grouped by `{column}`"
                ),
                "write a small `delta` such as 1e-8, or list the column's `values`",
            );
        }
        // As many questions at the most per query, with and without the chance that a small group shows.
        let within = Allowance::new(budget.epsilon, budget.delta);
        let loss = match noise.mechanism {
            Mechanism::Laplace => Loss::pure(PureEpsilon::nearest(noise.epsilon), Delta::ZERO),
            Mechanism::Gaussian => Loss::concentrated(Rho::up(rho_of(noise.epsilon, noise.delta / 2.0)), Delta::ZERO),
        };
        let by_epsilon = within.times(Loss::NONE, loss, MANY_QUESTIONS);
        let shown = Loss { delta: Delta::up(noise.delta / 2.0), ..loss };
        let by_delta = within.times(Loss::NONE, shown, MANY_QUESTIONS);
        if noise.delta > 0.0 && by_delta < by_epsilon {
            self.warn(
                "noise.budget.delta",
                format!(
                    "of a period's epsilon {} and more questions could be asked, but its delta is used up by {} with groups that \
                     are not declared",
                    number(by_epsilon as f64),
                    number(by_delta as f64)
                ),
                "lower `noise.delta`, raise `budget.delta`, or list the `values` of the columns to group by",
            );
        }
        if noise.rows_per_unit > MANY_ROWS {
            let unbounded = self
                .policy
                .columns
                .iter()
                .find(|(_, rule)| matches!(rule.bounds, Some(Bounds::Range { .. })) && rule.unit_bounds.is_none());
            if let Some((column, _)) = unbounded {
                self.warn(
                    &format!("columns.{column}.bounds"),
                    format!(
                        "one unit's total is taken to be up to {} times a row's bounds (`rows_per_unit`), and noise grows with it",
                        noise.rows_per_unit
                    ),
                    "write `unit_bounds: [low, high]`, what one unit comes to in a group",
                );
            }
        }
    }

    fn columns(&mut self) {
        let noise = self.policy.noise.is_some();
        let public = self.policy.subject == Subject::Public;
        let columns: Vec<_> = self.policy.columns.iter().collect();
        for (name, rule) in columns {
            if !noise && rule.unit_bounds.is_some() {
                self.warn(
                    &format!("columns.{name}.unit_bounds"),
                    "without `noise` nobody's total is bounded, so the rule never applies",
                    "remove it, or add `noise`",
                );
            }
            if !public && rule.bounds == Some(Bounds::Unbounded) {
                self.warn(
                    &format!("columns.{name}.bounds"),
                    "without bounds one large value stands out of every sum that holds it",
                    "write `bounds: [low, high]`",
                );
            }
            if let (Some(Bounds::Range { low, high }), Some(step)) = (rule.bounds, rule.step) {
                let steps = (high - low) / step.as_f64();
                if steps < FEW_STEPS && steps.fract() != 0.0 {
                    self.warn(
                        &format!("columns.{name}.step"),
                        "the step is coarse for the bounds, and does not divide them",
                        "take a smaller `step`, or bounds that are a multiple of it apart",
                    );
                }
            }
            if rule.uses.contains(&Use::Measure) && rule.uses.contains(&Use::Filter) && !public && !noise {
                self.warn(
                    &format!("columns.{name}.use"),
                    "a measure that stands in conditions can be narrowed down to single values",
                    "remove `filter`, or offer bands of it as a column of its own",
                );
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::{parse_policy, parse_room};

    const POLICY: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\n\
        unit: {column: card, space: card}\ncolumns:\n  card: {use: [join, count]}\n  dept: {use: [dimension]}\n  \
        spent: {use: [measure], functions: [sum], bounds: [0, 100], step: 0.01}\n\
        joins: {require: other_partner, with: [media.ads]}\n\
        release: {min_units: 25, dominance: {top: 1, max_share: 0.5}}\naccess: {analysts: [media]}\n";

    fn rules(text: &str) -> Vec<String> {
        lint_policy(&parse_policy("policy", text).unwrap()).into_iter().map(|warning| warning.rule).collect()
    }

    #[test]
    fn a_sound_policy_is_left_alone() {
        assert_eq!(rules(POLICY), Vec::<String>::new());
    }

    #[test]
    fn each_oddity_is_found_at_its_rule() {
        for (rule, from, to) in [
            ("access.receivers", "analysts: [media]", "analysts: [media], receivers: [press]"),
            ("joins.require", "use: [join, count]", "use: [count]"),
            ("joins.with", "with: [media.ads]", "with: [media.ads, shop.sales]"),
            ("joins.analyst_tables", "joins: {", "joins: {analyst_tables: full, "),
            ("release.min_units", "min_units: 25", "min_units: 3"),
            ("release.dominance", "max_share: 0.5", "max_share: 0.03"),
            ("release.dominance", "max_share: 0.5", "max_share: 1"),
            ("columns.spent.unit_bounds", "step: 0.01", "step: 0.01, unit_bounds: [0, 500]"),
            ("columns.spent.bounds", "bounds: [0, 100], step: 0.01", "bounds: none"),
            ("columns.spent.step", "step: 0.01", "step: 30"),
            ("columns.spent.use", "use: [measure]", "use: [measure, filter]"),
        ] {
            let text = POLICY.replacen(from, to, 1);
            assert_eq!(rules(&text), [rule], "{text}");
        }
        let mute =
            POLICY.replacen("  spent: {use: [measure], functions: [sum], bounds: [0, 100], step: 0.01}\n", "", 1);
        let mute = mute.replacen("use: [join, count]", "use: [join]", 1);
        assert_eq!(rules(&mute), ["release.dominance"]);
    }

    #[test]
    fn under_noise_rules_on_exact_figures_never_apply() {
        let noise = "noise: {mechanism: laplace, epsilon: 1, delta: 1e-8, groups_per_unit: 4, rows_per_unit: 50, budget: {epsilon: 20, delta: 1e-6}}\n";
        let text = format!("{POLICY}{noise}");
        let text = text.replacen("step: 0.01", "step: 0.01, unit_bounds: [0, 500]", 1);
        assert_eq!(rules(&text), ["release.dominance"]);
        assert_eq!(
            rules(&text.replacen("dominance: {top: 1, max_share: 0.5}", "difference: 10", 1)),
            ["release.difference"]
        );
    }

    #[test]
    fn a_budget_is_looked_at_as_it_would_be_spent() {
        let policy = POLICY.replacen(", dominance: {top: 1, max_share: 0.5}", "", 1);
        let bounded = policy.replacen("step: 0.01", "step: 0.01, unit_bounds: [0, 500]", 1);
        let noise = |mechanism: &str, delta: &str, rows: u32| {
            format!(
                "noise: {{mechanism: {mechanism}, epsilon: 1, delta: {delta}, groups_per_unit: 4, rows_per_unit: {rows}, \
                 budget: {{epsilon: 20, delta: 1e-6}}}}\n"
            )
        };
        let sound = Vec::<String>::new();
        assert_eq!(rules(&format!("{bounded}{}", noise("laplace", "1e-8", 50))), sound);
        assert_eq!(rules(&format!("{bounded}{}", noise("gaussian", "1e-9", 50))), sound);
        assert_eq!(rules(&format!("{bounded}{}", noise("gaussian", "1e-7", 50))), ["noise.budget.delta"]);
        assert_eq!(rules(&format!("{policy}{}", noise("laplace", "1e-8", 10))), sound);
        assert_eq!(rules(&format!("{policy}{}", noise("laplace", "1e-8", 11))), ["columns.spent.bounds"]);
        assert_eq!(rules(&format!("{bounded}{}", noise("laplace", "0", 50))), ["noise.delta"]);
        let listed = bounded.replacen("use: [dimension]", "use: [dimension], values: [food, toys]", 1);
        assert_eq!(rules(&format!("{listed}{}", noise("laplace", "0", 50))), sound);
    }

    #[test]
    fn a_warning_names_its_line() {
        let text = POLICY.replacen("min_units: 25", "min_units: 3", 1);
        let warnings = lint_policy(&parse_policy("policy", &text).unwrap());
        assert_eq!(warnings.first().and_then(|warning| warning.line), Some(11));
    }

    #[test]
    fn joins_that_nothing_in_the_room_can_take_part_in() {
        let room = parse_room(
            "room",
            "apiVersion: cleanroom/v1\nkind: Room\nname: r\npartners:\n  - name: shop\n    abilities: [contribute]\n    tables:\n      \
             - {name: sales, source: {upload: true}}\n  - name: media\n    abilities: [contribute, query, receive]\n    tables:\n      \
             - {name: ads, source: {upload: true}}\n",
        )
        .unwrap();
        let sales = parse_policy("sales", POLICY).unwrap();
        let ads = |space: &str| {
            parse_policy(
                "ads",
                &format!(
                    "apiVersion: cleanroom/v1\nkind: Policy\ntable: media.ads\nversion: 1\nunit: {{column: card, space: {space}}}\n\
                     columns: {{card: {{use: [join, count]}}}}\nrelease: {{min_units: 25}}\naccess: {{analysts: [media]}}\n"
                ),
            )
            .unwrap()
        };
        let rules = |other: &Policy| -> Vec<String> {
            lint_policy_in_room(&room, &sales, &[&sales, other]).into_iter().map(|warning| warning.rule).collect()
        };
        assert_eq!(rules(&ads("card")), Vec::<String>::new());
        assert_eq!(rules(&ads("email")), ["joins.with", "joins.require"]);
    }
}
