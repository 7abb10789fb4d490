//! The `release` and `noise` sections of a policy.

use crate::fields::Fields;
use crate::model::{Budget, Dominance, MAX_EPSILON, Mechanism, Noise, Refresh, Release, SmallGroups, Step, Subject};
use crate::report::Report;
use crate::yaml::Node;

/// Below it a "group" is one person.
const LEAST_FLOOR: u64 = 2;

pub(crate) const RELEASE_KEYS: &[&str] =
    &["min_units", "dominance", "small_groups", "difference", "audience", "max_cells", "round_to"];
pub(crate) const NOISE_KEYS: &[&str] =
    &["mechanism", "epsilon", "delta", "groups_per_unit", "rows_per_unit", "budget", "test_only"];
pub(crate) const BUDGET_KEYS: &[&str] = &["epsilon", "delta", "refresh", "lifetime", "per_analyst"];

/// Reads `release` out of the whole document's fields. A reference table has none.
pub(crate) fn release(report: &mut Report<'_>, document: &Fields<'_>, subject: &Subject) -> Option<Release> {
    let mut release = Release {
        min_units: LEAST_FLOOR,
        dominance: None,
        small_groups: SmallGroups::Drop,
        difference: None,
        audience: None,
        max_cells: None,
        round_to: None,
    };
    if *subject == Subject::Public {
        return Some(release);
    }
    let remedy = "write `release: {min_units: 25}`, or a floor of your own of at least 2";
    let node = document.require(report, "release", remedy)?;
    let fields = Fields::open(report, node, "release", RELEASE_KEYS)?;
    let min_units = fields
        .require(report, "min_units", "write how many distinct units a group needs, at least 2")
        .and_then(|node| report.integer(node, "`min_units`", LEAST_FLOOR));
    let dominance = match fields.get(report, "dominance") {
        Some(node) => dominance(report, node).map(Some),
        None => Some(None),
    };
    let small_groups = match fields.get(report, "small_groups") {
        Some(node) => report.word(node, "a fate of small groups", SmallGroups::WORDS),
        None => Some(release.small_groups),
    };
    let difference = optional_integer(report, &fields, "difference", LEAST_FLOOR);
    let audience = optional_integer(report, &fields, "audience", LEAST_FLOOR);
    let max_cells = optional_integer(report, &fields, "max_cells", 1);
    let round_to = round_to(report, &fields);
    release.min_units = min_units?;
    release.dominance = dominance?;
    release.small_groups = small_groups?;
    release.difference = difference?;
    release.audience = audience?;
    release.max_cells = max_cells?;
    release.round_to = round_to?;
    Some(release)
}

/// Reads `noise`.
pub(crate) fn noise(report: &mut Report<'_>, node: &Node) -> Option<Noise> {
    let fields = Fields::open(report, node, "noise", NOISE_KEYS)?;
    let mechanism = fields
        .require(report, "mechanism", "write `gaussian` or `laplace`")
        .and_then(|node| report.word(node, "a mechanism", Mechanism::WORDS));
    let epsilon = epsilon(report, &fields);
    let delta = delta(report, &fields);
    let groups_per_unit = count(report, &fields, "groups_per_unit");
    let rows_per_unit = count(report, &fields, "rows_per_unit");
    let budget = fields
        .require(report, "budget", "write what may be spent: `{epsilon: 20, delta: 1e-6}`")
        .and_then(|node| budget(report, node));
    let test_only = match fields.get(report, "test_only") {
        Some(node) => report.flag(node, "`test_only`"),
        None => Some(false),
    };
    let noise = Noise {
        mechanism: mechanism?,
        epsilon: epsilon?,
        delta: delta?,
        groups_per_unit: groups_per_unit?,
        rows_per_unit: rows_per_unit?,
        budget: budget?,
        test_only: test_only?,
    };
    if noise.mechanism == Mechanism::Gaussian && noise.delta == 0.0 {
        report.error(
            fields.at_key("delta"),
            "`gaussian` with a `delta` of zero",
            "write a small `delta` such as 1e-8, or take `laplace`",
        );
    }
    if noise.epsilon > MAX_EPSILON && !noise.test_only {
        report.error(
            fields.at_key("epsilon"),
            format!("an `epsilon` of more than {MAX_EPSILON} for one question is no protection"),
            "lower it; a room for tests alone takes more beside `test_only: true`",
        );
    }
    if noise.epsilon > noise.budget.epsilon {
        report.error(
            fields.at_key("epsilon"),
            "one query's `epsilon` is more than the whole budget",
            "lower it, or raise `budget.epsilon`",
        );
    }
    if noise.delta > noise.budget.delta {
        report.error(
            fields.at_key("delta"),
            "one query's `delta` is more than the whole budget",
            "lower it, or raise `budget.delta`",
        );
    }
    Some(noise)
}

fn budget(report: &mut Report<'_>, node: &Node) -> Option<Budget> {
    let fields = Fields::open(report, node, "noise.budget", BUDGET_KEYS)?;
    let epsilon = epsilon(report, &fields);
    let delta = delta(report, &fields);
    let refresh = match fields.get(report, "refresh") {
        Some(node) => report.word(node, "a refresh", Refresh::WORDS),
        None => Some(Refresh::Never),
    };
    let lifetime = match fields.get(report, "lifetime") {
        Some(node) => positive(report, node, "`lifetime`").map(Some),
        None => Some(None),
    };
    let per_analyst = match fields.get(report, "per_analyst") {
        Some(node) => positive(report, node, "`per_analyst`").map(Some),
        None => Some(None),
    };
    let budget =
        Budget { epsilon: epsilon?, delta: delta?, refresh: refresh?, lifetime: lifetime?, per_analyst: per_analyst? };
    if budget.per_analyst.is_some_and(|epsilon| epsilon > budget.epsilon) {
        report.error(
            fields.at_key("per_analyst"),
            "`per_analyst` is more than the whole budget",
            "lower it, or raise `epsilon`",
        );
    }
    match (budget.refresh, budget.lifetime) {
        (Refresh::Never, Some(_)) => report.error(
            fields.at_key("lifetime"),
            "`lifetime` of a budget that is never refreshed",
            "remove `lifetime`: the budget's `epsilon` is all there will ever be",
        ),
        (Refresh::Daily | Refresh::Weekly | Refresh::Monthly, None) => report.error(
            fields.at_key("refresh"),
            "a refreshed budget without `lifetime`",
            "write `lifetime`, the epsilon of all periods together",
        ),
        (_, Some(lifetime)) if lifetime < budget.epsilon => report.error(
            fields.at_key("lifetime"),
            "`lifetime` is less than one period's `epsilon`",
            "raise `lifetime`, or lower `epsilon`",
        ),
        (Refresh::Never, None) | (_, Some(_)) => {}
    }
    Some(budget)
}

fn dominance(report: &mut Report<'_>, node: &Node) -> Option<Dominance> {
    let fields = Fields::open(report, node, "release.dominance", &["top", "max_share"])?;
    let top = fields
        .require(report, "top", "write how many units are looked at together, such as 1")
        .and_then(|node| report.integer(node, "`top`", 1));
    let max_share =
        fields.require(report, "max_share", "write the largest share they may hold, such as 0.5").and_then(|node| {
            report.number(node, "`max_share`", "above 0 and at most 1", |share| share > 0.0 && share <= 1.0)
        });
    Some(Dominance { top: top?, max_share: max_share? })
}

fn optional_integer(report: &mut Report<'_>, fields: &Fields<'_>, key: &str, least: u64) -> Option<Option<u64>> {
    match fields.get(report, key) {
        Some(node) => report.integer(node, &format!("`{key}`"), least).map(Some),
        None => Some(None),
    }
}

fn round_to(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<Option<Step>> {
    match fields.get(report, "round_to") {
        Some(node) => report.step(node, "`round_to`").map(Some),
        None => Some(None),
    }
}

fn epsilon(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<f64> {
    let node = fields.require(report, "epsilon", "write a number above 0, such as 1.0")?;
    positive(report, node, "`epsilon`")
}

fn delta(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<f64> {
    let node = fields.require(report, "delta", "write a small number, such as 1e-8")?;
    report.number(node, "`delta`", "of at least 0 and below 1", |delta| (0.0..1.0).contains(&delta))
}

fn positive(report: &mut Report<'_>, node: &Node, what: &str) -> Option<f64> {
    report.number(node, what, "above 0", |number| number > 0.0)
}

fn count(report: &mut Report<'_>, fields: &Fields<'_>, key: &str) -> Option<u32> {
    let node = fields.require(report, key, "write a whole number of at least 1")?;
    let what = format!("`{key}`");
    let number = report.integer(node, &what, 1)?;
    if let Ok(number) = u32::try_from(number) {
        return Some(number);
    }
    report.error(node.at, format!("{what} is too large"), "write at most 4294967295");
    None
}
