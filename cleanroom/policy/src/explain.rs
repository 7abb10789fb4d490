//! What a policy allows, in sentences for somebody who reads no YAML.

use crate::model::{
    AnalystTables, Bounds, ColumnRule, Joins, Literals, MeasureFunction, Noise, Policy, Refresh, Release, Require,
    SmallGroups, Subject, Use,
};
use crate::names::{ColumnName, SpaceName};
use crate::prose::{and, code, number, or};

/// A policy in words. The sentences follow from the checked policy alone, so two documents of one meaning read the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One paragraph: who may learn what, and what stands against misuse.
    pub in_short: String,
    /// The rules, by subject.
    pub sections: Vec<Section>,
}

/// The sentences about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// One sentence or two each.
    pub sentences: Vec<String>,
}

impl Policy {
    /// The policy in words.
    pub fn explain(&self) -> Explanation {
        let mut sections = vec![
            Section { title: "Who may ask", sentences: who(self) },
            Section { title: "Whom it is about", sentences: vec![subject(self)] },
            Section { title: "Columns", sentences: columns(self) },
            Section { title: "Rows", sentences: vec![rows(self)] },
            Section { title: "Joins", sentences: joins(self) },
        ];
        if let Subject::Unit { column, .. } = &self.subject {
            sections.push(Section {
                title: "What must hold of an answer",
                sentences: release(&self.release, column, self.noise.as_ref()),
            });
            sections.push(Section { title: "Noise", sentences: noise(self.noise.as_ref(), &self.subject) });
        }
        Explanation { in_short: in_short(self), sections }
    }

    fn granted(&self, wanted: Use) -> Vec<String> {
        self.columns
            .iter()
            .filter(|(_name, rule)| rule.uses.contains(&wanted))
            .map(|(name, _rule)| code(name))
            .collect()
    }
}

fn in_short(policy: &Policy) -> String {
    let analysts = and(policy.access.analysts.iter().map(code));
    let Subject::Unit { column, .. } = &policy.subject else {
        return format!(
            "{} is a reference table: its rows are about nobody. {analysts} may look up {} in it, and what a question \
             takes from it is shown as it is.",
            code(&policy.table),
            and(policy.columns.keys().map(code)),
        );
    };
    let mut answers = Vec::new();
    if counts(policy, column) {
        answers.push(format!("how many {} and rows there are", code(column)));
    }
    let measures = policy.granted(Use::Measure);
    if !measures.is_empty() {
        answers.push(format!("aggregates of {}", and(measures)));
    }
    let dimensions = policy.granted(Use::Dimension);
    let by = if dimensions.is_empty() { String::new() } else { format!(", by {}", and(dimensions)) };
    let learn = if answers.is_empty() {
        format!("{analysts} may learn no figure of {}; the table only takes part in joins", code(&policy.table))
    } else {
        format!("{analysts} may learn {} of {}{by}", and(answers), code(&policy.table))
    };
    let guard = match &policy.noise {
        Some(noise) => format!(
            "Every figure carries noise, at most epsilon {} a question and {} in all of a period.",
            number(noise.epsilon),
            number(noise.budget.epsilon)
        ),
        None => "Figures are exact. Floors keep small groups out of an answer; they do not stop somebody who combines \
                 many answers, which only noise does."
            .to_owned(),
    };
    let floor = match &policy.noise {
        Some(_) => format!("A group of {} {} or fewer hardly ever shows", policy.release.min_units, code(column)),
        None => format!("Every figure is about at least {} different {}", policy.release.min_units, code(column)),
    };
    format!("{learn}. {floor}; nobody sees a row, and a column that is not listed does not exist for who asks. {guard}")
}

fn counts(policy: &Policy, unit: &ColumnName) -> bool {
    policy.columns.get(unit).is_some_and(|rule| rule.uses.contains(&Use::Count))
}

fn who(policy: &Policy) -> Vec<String> {
    let access = &policy.access;
    let mut sentences = vec![
        format!("{} may ask.", and(access.analysts.iter().map(code))),
        format!("Answers go to {} only.", or(access.receivers.iter().map(code))),
    ];
    if let Some(most) = access.queries_per_day {
        sentences.push(format!("Each of them may ask {most} questions a day that use this table."));
    }
    sentences.push(match &access.templates {
        None => "They may ask in SQL of their own, within the rules below.".to_owned(),
        Some(templates) => format!("They may ask only by the template {}.", or(templates.iter().map(code))),
    });
    sentences
}

fn subject(policy: &Policy) -> String {
    match &policy.subject {
        Subject::Unit { column, space } => format!(
            "Each value of {} stands for one whom the rules protect, with all rows of it; it is an identity of the space \
             {}, and the same one in every table of that space.",
            code(column),
            code(space)
        ),
        Subject::Public => "Nobody: this is a reference table, and nothing in it is protected.".to_owned(),
    }
}

fn columns(policy: &Policy) -> Vec<String> {
    let unit = match &policy.subject {
        Subject::Unit { column, .. } => Some(column),
        Subject::Public => None,
    };
    let mut sentences: Vec<String> = policy
        .columns
        .iter()
        .map(|(name, rule)| {
            if Some(name) == unit {
                format!("{} {}.", code(name), key(rule))
            } else {
                format!("{} {}.", code(name), and(column(rule, unit.is_some())))
            }
        })
        .collect();
    sentences
        .push("Every other column is hidden: naming it gives the same error as a column that is not there.".to_owned());
    sentences
}

fn key(rule: &ColumnRule) -> &'static str {
    match (rule.uses.contains(&Use::Join), rule.uses.contains(&Use::Count)) {
        (true, true) => "matches rows of other tables and is counted; its values are never shown or compared",
        (true, false) => "matches rows of other tables; it is not counted, and its values are never shown or compared",
        (false, _) => "is counted and matches nothing; its values are never shown or compared",
    }
}

/// What may be done with a column, each part a verb with its object.
fn column(rule: &ColumnRule, protected: bool) -> Vec<String> {
    let mut parts = Vec::new();
    let uses = |one| rule.uses.contains(&one);
    if uses(Use::Join) {
        parts.push("looks rows up in reference tables".to_owned());
    }
    let seen = match (uses(Use::Dimension), uses(Use::Filter)) {
        (true, true) => Some("divides answers into groups and stands in conditions"),
        (true, false) => Some("divides answers into groups"),
        (false, true) => Some("stands in conditions, and is never shown"),
        (false, false) => None,
    };
    if let Some(seen) = seen {
        let mut seen = seen.to_owned();
        if let Some(grain) = rule.grain {
            seen.push_str(&format!(" no finer than by the {grain}"));
        }
        if let Some(values) = &rule.values {
            seen.push_str(&format!(" (one of {} public values)", values.len()));
        }
        match &rule.literals {
            Literals::Any => {}
            Literals::None => seen.push_str(", compared with no constant"),
            Literals::Only(listed) => {
                seen.push_str(&format!(", compared with {} and no other constant", or(listed.iter().map(code))));
            }
        }
        parts.push(seen);
    }
    if uses(Use::Measure) {
        parts.push(measure(rule, protected));
    }
    parts
}

fn measure(rule: &ColumnRule, protected: bool) -> String {
    let words = rule.functions.iter().map(|function| match function {
        MeasureFunction::Sum => "summed",
        MeasureFunction::Avg => "averaged",
        MeasureFunction::Count => "counted where it has a value",
        MeasureFunction::Var => "looked at for its variance",
        MeasureFunction::Stddev => "looked at for its standard deviation",
        MeasureFunction::Quantile => "looked at for its quantiles",
    });
    let mut text = format!("is {}", and(words.map(str::to_owned)));
    match rule.bounds {
        Some(Bounds::Range { low, high }) => {
            text.push_str(&format!(", each row's value taken as between {} and {}", number(low), number(high)));
        }
        Some(Bounds::Unbounded) if protected => text.push_str(", each row's value as it is, however large"),
        Some(Bounds::Unbounded) | None => {}
    }
    if let Some(step) = rule.step {
        text.push_str(&format!(" and rounded to {}", number(step.as_f64())));
    }
    if let Some((low, high)) = rule.unit_bounds {
        text.push_str(&format!(
            "; one unit's total in a group is taken as between {} and {}",
            number(low),
            number(high)
        ));
    }
    text
}

fn rows(policy: &Policy) -> String {
    match &policy.rows {
        Some(filter) => format!("Only rows for which {} is true are there for any question.", code(&filter.value)),
        None => "All rows take part.".to_owned(),
    }
}

fn joins(policy: &Policy) -> Vec<String> {
    if policy.subject == Subject::Public {
        let keys = policy.granted(Use::Join);
        return vec![if keys.is_empty() {
            "Other tables can be joined with it on columns that it shows as dimensions.".to_owned()
        } else {
            format!("Other tables can be joined with it on {}.", or(keys))
        }];
    }
    let Joins { require, with, types, analyst_tables } = &policy.joins;
    let mut sentences = vec![
        match require {
            Require::None => "The table may be asked of alone.",
            Require::Any => "The table answers only together with another protected table.",
            Require::OtherPartner => "The table answers only together with a protected table of another partner.",
        }
        .to_owned(),
        match with {
            None => "Any table of another partner may be joined with it.".to_owned(),
            Some(patterns) if patterns.is_empty() => "No table of another partner may be joined with it.".to_owned(),
            Some(patterns) => {
                let names = patterns.iter().map(|pattern| match &pattern.table {
                    Some(table) => format!("`{}.{table}`", pattern.partner),
                    None => format!("any table of `{}`", pattern.partner),
                });
                format!("Of other partners' tables it may be joined with {} only.", or(names))
            }
        },
        format!("Joins are on equal keys, of the kinds {}.", and(types.iter().map(code))),
    ];
    sentences.push(match analyst_tables {
        AnalystTables::Distinct => {
            "A table of whoever asks only chooses rows of this one: its measures are none in a join, and a row of this table \
             counts once in a group however many of its rows it meets, so that it cannot weight people."
        }
        AnalystTables::Full => {
            "A table of whoever asks stands in a join as it is: it can weight people, and so tell whether one of them is \
             in this table."
        }
    }.to_owned());
    sentences
}

fn release(release: &Release, unit: &ColumnName, noise: Option<&Noise>) -> Vec<String> {
    let unit = code(unit);
    if let Some(noise) = noise {
        // Decisions on exact values would tell of them: under noise only the noisy threshold is left.
        return vec![format!(
            "A group is shown if its noisy number of {unit} passes a threshold above {}: one of {} or fewer shows with a \
             probability of at most {}. Figures over everybody, or over declared values, are always given; rules on exact \
             figures (`dominance`, `difference`, `audience`, `small_groups`) are off.",
            release.min_units,
            release.min_units,
            number(noise.delta)
        )];
    }
    let mut sentences = vec![format!(
        "A group is shown if at least {} different {unit} stand in it, and a figure in it if as many contribute.",
        release.min_units
    )];
    sentences.push(match release.small_groups {
        SmallGroups::Drop => "Smaller groups are left out, and nothing says whether there were any.".to_owned(),
        SmallGroups::Merge => "Smaller groups become one remainder group, to which the same rules apply.".to_owned(),
    });
    if let Some(rule) = release.dominance {
        let largest = if rule.top == 1 {
            "the largest contributor".to_owned()
        } else {
            format!("the {} largest contributors", rule.top)
        };
        sentences.push(format!(
            "A figure of which {largest} hold{} more than {} % is left out.",
            if rule.top == 1 { "s" } else { "" },
            number(rule.max_share * 100.0)
        ));
    }
    sentences.push(match release.difference {
        Some(least) => format!(
            "Two answers that differ by fewer than {least} to {} {unit} are not both given: the second repeats the first.",
            least.saturating_mul(2)
        ),
        None => format!("Nothing compares an answer with earlier ones, so two that differ by one {unit} tell of that one."),
    });
    if let Some(least) = release.audience {
        sentences.push(format!(
            "A join with a table of whoever asks stands only if at least {least} {unit} of it match and as many do not."
        ));
    }
    if let Some(most) = release.max_cells {
        sentences.push(format!("At most {most} figures are released of one version of the data."));
    }
    if let Some(step) = release.round_to {
        sentences.push(format!("Figures are rounded to multiples of {}.", number(step.as_f64())));
    }
    sentences
}

fn noise(noise: Option<&Noise>, subject: &Subject) -> Vec<String> {
    let Some(noise) = noise else {
        return vec!["None: figures are exact, within the rules above.".to_owned()];
    };
    let mut sentences = vec![
        format!(
            "Every figure carries {} noise (differential privacy); floors on exact counts are not used then.",
            noise.mechanism
        ),
        format!("One question costs at most epsilon {} and delta {}.", number(noise.epsilon), number(noise.delta)),
        format!(
            "Of one unit at most {} groups count, and in each at most {} rows.",
            noise.groups_per_unit, noise.rows_per_unit
        ),
    ];
    if noise.test_only {
        sentences
            .push("For tests alone: there may be no noise to speak of, and no server takes this policy.".to_owned());
    }
    let budget = &noise.budget;
    let period = match budget.refresh {
        Refresh::Never => "In all, and for ever,",
        Refresh::Daily => "A day",
        Refresh::Weekly => "A week",
        Refresh::Monthly => "A month",
    };
    let mut spend =
        format!("{period} at most epsilon {} and delta {} may be spent", number(budget.epsilon), number(budget.delta));
    if let Some(lifetime) = budget.lifetime {
        spend.push_str(&format!(", and epsilon {} over all periods", number(lifetime)));
    }
    if let Some(most) = budget.per_analyst {
        spend.push_str(&format!("; one analyst may spend epsilon {} of a period", number(most)));
    }
    sentences.push(format!("{spend}."));
    if let Subject::Unit { column, space } = subject {
        sentences.push(guarantee(noise, column, space));
    }
    sentences
}

/// What differential privacy promises, for somebody who has to quote it.
fn guarantee(noise: &Noise, unit: &ColumnName, space: &SpaceName) -> String {
    let budget = &noise.budget;
    let each = match budget.refresh {
        Refresh::Never => None,
        Refresh::Daily => Some("a day"),
        Refresh::Weekly => Some("a week"),
        Refresh::Monthly => Some("a month"),
    };
    let period = match each.zip(budget.lifetime) {
        None => "all time".to_owned(),
        Some((each, lifetime)) => format!(
            "{each} (UTC) and with epsilon {} and delta {} over all time",
            number(lifetime),
            shortest(budget.delta * (lifetime / budget.epsilon))
        ),
    };
    format!(
        "The guarantee: all answers to others that this table takes part in while this policy is in force, however they are combined \
         and whatever else is known, are together \
         (epsilon, delta)-differentially private with epsilon {} and delta {} over {period}, where two data sets are neighbours if \
         they differ in all rows of one unit, that is of one {} of the identity space {}, in all tables of that space, of all \
         owners; and one answer changes the odds that any such unit is in the data by a factor of at most {} (e to the power of {}), \
         but for a chance of at most {}.",
        number(budget.epsilon),
        shortest(budget.delta),
        code(unit),
        code(space),
        factor(noise.epsilon),
        number(noise.epsilon),
        shortest(noise.delta),
    )
}

/// e to the power of epsilon, rounded up to where it can be read.
fn factor(epsilon: f64) -> String {
    let factor = epsilon.exp();
    if factor < 1e6 { number((factor * 100.0).ceil() / 100.0) } else { format!("{factor:.1e}") }
}

/// A small number as a document would write it, to seven digits.
fn shortest(small: f64) -> String {
    let rounded = format!("{small:.6e}").parse().unwrap_or(small);
    if rounded == 0.0 { number(rounded) } else { format!("{rounded:e}") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::parse_policy;

    fn words(text: &str) -> String {
        let explanation = parse_policy("policy.yaml", text).unwrap().explain();
        let mut all = explanation.in_short;
        for sentence in explanation.sections.into_iter().flat_map(|section| section.sentences) {
            all.push('\n');
            all.push_str(&sentence);
        }
        all
    }

    const HEAD: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\n";

    #[test]
    fn each_column_and_rule_has_its_sentence() {
        let text = format!(
            "{HEAD}unit: {{column: card, space: card}}\ncolumns:\n  card: {{use: [join, count]}}\n  \
             day: {{use: [dimension, filter], grain: week}}\n  spent: {{use: [measure], functions: [sum], bounds: [0, 100], step: 0.01}}\n\
             rows: \"spent > 0\"\njoins: {{require: other_partner, with: [media.*]}}\n\
             release: {{min_units: 25, dominance: {{top: 1, max_share: 0.5}}, difference: 10}}\naccess: {{analysts: [media]}}\n"
        );
        let words = words(&text);
        for part in [
            "`media` may learn how many `card` and rows there are and aggregates of `spent` of `shop.sales`, by `day`.",
            "at least 25 different `card`",
            "`day` divides answers into groups and stands in conditions no finer than by the week.",
            "`spent` is summed, each row's value taken as between 0 and 100 and rounded to 0.01.",
            "Only rows for which `spent > 0` is true",
            "only together with a protected table of another partner",
            "any table of `media` only",
            "the largest contributor holds more than 50 % is left out",
            "fewer than 10 to 20 `card` are not both given",
        ] {
            assert!(words.contains(part), "`{part}` is missing in:\n{words}");
        }
    }

    #[test]
    fn what_is_exact_and_what_is_noisy_are_told_apart() {
        let policy = |noise: &str| {
            words(&format!(
                "{HEAD}unit: {{column: card, space: card}}\ncolumns:\n  card: {{use: [join, count]}}\nrelease: {{min_units: 25}}\n{noise}\
                 access: {{analysts: [media]}}\n"
            ))
        };
        assert!(policy("").contains("Figures are exact."));
        let noisy = policy(
            "noise: {mechanism: gaussian, epsilon: 1, delta: 1e-8, groups_per_unit: 4, rows_per_unit: 50, budget: {epsilon: 20, delta: 1e-6, refresh: monthly, lifetime: 100}}\n",
        );
        assert!(!noisy.contains("Figures are exact"));
        assert!(
            noisy.contains(
                "A month at most epsilon 20 and delta 0.000001 may be spent, and epsilon 100 over all periods."
            ),
            "{noisy}"
        );
        for part in [
            "with epsilon 20 and delta 1e-6 over a month (UTC) and with epsilon 100 and delta 5e-6 over all time",
            "all rows of one unit, that is of one `card` of the identity space `card`, in all tables of that space, of all owners",
            "by a factor of at most 2.72 (e to the power of 1), but for a chance of at most 1e-8.",
        ] {
            assert!(noisy.contains(part), "`{part}` is missing in:\n{noisy}");
        }
        let capped = policy(
            "noise: {mechanism: laplace, epsilon: 0.5, delta: 0, groups_per_unit: 4, rows_per_unit: 50, budget: {epsilon: 2, delta: 0, per_analyst: 1}}\n",
        );
        for part in [
            "may be spent; one analyst may spend epsilon 1 of a period.",
            "with epsilon 2 and delta 0 over all time, where",
            "at most 1.65 (e to the power of 0.5), but for a chance of at most 0.",
        ] {
            assert!(capped.contains(part), "`{part}` is missing in:\n{capped}");
        }
    }

    #[test]
    fn a_reference_table_is_about_nobody() {
        let words = words(&format!(
            "{HEAD}public: true\ncolumns: {{product: {{use: [join]}}}}\naccess: {{analysts: [media]}}\n"
        ));
        assert!(words.contains("is a reference table: its rows are about nobody"));
        assert!(words.contains("joined with it on `product`."), "{words}");
        assert!(!words.contains("What must hold"));
    }
}
