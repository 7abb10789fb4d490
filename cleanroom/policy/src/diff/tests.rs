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
    assert_eq!(changes(POLICY, &POLICY.replace("version: 1", "version: 2")), [("version".to_owned(), Effect::Neutral)]);
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
    let more = noisy.replacen("epsilon: 1,", "epsilon: 2,", 1).replacen("rows_per_unit: 50", "rows_per_unit: 60", 1);
    assert_eq!(
        changes(&noisy, &more),
        [("noise.epsilon".to_owned(), Effect::Loosens), ("noise.rows_per_unit".to_owned(), Effect::Neutral)]
    );
    let monthly = noisy.replacen("delta: 1e-6}", "delta: 1e-6, refresh: monthly, lifetime: 100}", 1);
    assert_eq!(
        changes(&noisy, &monthly),
        [("noise.budget.refresh".to_owned(), Effect::Loosens), ("noise.budget.lifetime".to_owned(), Effect::Loosens)]
    );
    let capped = |most: &str| noisy.replacen("delta: 1e-6}", &format!("delta: 1e-6, per_analyst: {most}}}"), 1);
    let of_analyst = |effect| [("noise.budget.per_analyst".to_owned(), effect)];
    assert_eq!(changes(&noisy, &capped("5")), of_analyst(Effect::Tightens));
    assert_eq!(changes(&capped("5"), &capped("6")), of_analyst(Effect::Loosens));
    assert_eq!(changes(&capped("5"), &capped("4")), of_analyst(Effect::Tightens));
    assert_eq!(changes(&capped("5"), &noisy), of_analyst(Effect::Loosens));
}
