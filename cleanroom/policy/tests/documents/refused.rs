//! What is refused, on which line, and in which words.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use cleanroom_policy::{DocumentError, check_policy_in_room, parse_document, parse_policy, parse_room, parse_template};

use crate::samples::{POLICY, REFERENCE, ROOM, SMALL_POLICY, TEMPLATE};

const FOR_TESTS: &str = "noise: {mechanism: laplace, epsilon: 1e20, delta: 1e-8, groups_per_unit: 1, rows_per_unit: 1, \
                         budget: {epsilon: 1e20, delta: 1e-6}, test_only: true}\n";

/// Replaces a part of a good document, which must be there, and expects an error on that line that says so.
type Bad<'a> = (&'a str, &'a str, usize, &'a str);

#[test]
fn bad_policies_are_refused_with_line_and_reason() {
    #[rustfmt::skip]
    let cases: &[Bad<'_>] = &[
        // What is unknown.
        ("cleanroom/v1", "cleanroom/v2", 1, "`cleanroom/v2` is not known as a version"),
        ("release:", "realease:", 10, "unknown key `realease`"),
        ("{use: [dimension]}", "{uses: [dimension]}", 8, "unknown key `uses`"),
        ("[dimension]", "[dimensions]", 8, "`dimensions` is not known as a use"),
        ("{min_units: 25}", "{min_units: 25, small_groups: keep}", 10, "`keep` is not known"),
        // Names and versions.
        ("retailer.purchases", "purchases", 3, "`purchases` is not a table"),
        ("version: 1", "version: 0", 4, "at least 1"),
        ("version: 1", "version: '1'", 4, "whole number"),
        ("version: 1", "version: 1.5", 4, "whole number"),
        ("version: 1", "version: 9007199254740993", 4, "whole number"),
        ("version: 1\n", "", 1, "`version` is missing"),
        // The unit.
        ("unit: {column: id, space: email}\n", "", 1, "`unit` is missing"),
        ("space: email", "space: E-Mail", 5, "`E-Mail` is not an identity space"),
        ("column: id", "column: nobody", 7, "the unit's column `nobody` is not listed"),
        ("[join, count]", "[join, dimension]", 7, "cannot be a `dimension`"),
        ("[join, count]", "[count, filter]", 7, "cannot be a `filter`"),
        ("[join, count]", "[join, measure]", 7, "cannot be a `measure`"),
        ("[join, count]", "[]", 7, "is empty"),
        ("{use: [join, count]}", "{}", 7, "`use` is missing"),
        // Columns.
        ("{use: [dimension]}", "{use: dimension}", 8, "is a list"),
        ("{use: [dimension]}", "{use: [dimension, dimension]}", 8, "twice"),
        ("{use: [dimension]}", "{use: [dimension, count]}", 8, "`count` on column `dept`"),
        ("{use: [dimension]}", "{use: [dimension], functions: [sum]}", 8, "which is no measure"),
        ("{use: [dimension]}", "{use: [dimension], bounds: [0, 1]}", 8, "which is no measure"),
        ("{use: [dimension]}", "{use: [dimension], step: 1}", 8, "which is no measure"),
        ("{use: [dimension]}", "{use: [dimension], values: []}", 8, "`values` is empty"),
        ("{use: [dimension]}", "{use: [dimension], values: [a, a]}", 8, "twice"),
        ("{use: [dimension]}", "{use: [join], values: [a]}", 8, "neither `dimension` nor `filter`"),
        ("{use: [dimension]}", "{use: [join], grain: day}", 8, "neither `dimension` nor `filter`"),
        ("{use: [dimension]}", "{use: [dimension], grain: days}", 8, "`days` is not known as a grain"),
        ("[measure], bounds: [0, 10]", "[measure, join], bounds: [0, 10]", 9, "both `join` and `measure`"),
        ("[measure], bounds: [0, 10]", "[measure]", 9, "has no `bounds`"),
        ("[0, 10]", "[10, 0]", 9, "low is not below high"),
        ("[0, 10]", "[1, 1]", 9, "low is not below high"),
        ("[0, 10]", "[0, .inf]", 9, "two finite numbers"),
        ("[0, 10]", "[0, 1e999]", 9, "two finite numbers"),
        ("[0, 10]", "[0]", 9, "two finite numbers"),
        ("[0, 10]", "[0, 10], functions: []", 9, "is empty"),
        ("[0, 10]", "[0, 10], functions: [min]", 9, "`min` is not known as a function"),
        ("[0, 10]", "[0, 10], functions: [quantile]", 9, "without noise"),
        ("[0, 10]", "[0, 10], step: 0", 9, "exact decimal"),
        ("[0, 10]", "[0, 10], step: -1", 9, "exact decimal"),
        ("[0, 10]", "[0, 10], step: 0.0000000001", 9, "exact decimal"),
        ("[0, 10]", "[0, 10], step: 11", 9, "wider than its `bounds`"),
        ("[0, 10]", "[0, 1e15], step: 0.01", 9, "too fine"),
        ("[0, 10]", "[0, 10], unit_bounds: [5, 5]", 9, "low is not below high"),
        // Release.
        ("release: {min_units: 25}\n", "", 1, "`release` is missing"),
        ("{min_units: 25}", "{}", 10, "`min_units` is missing"),
        ("{min_units: 25}", "{min_units: 1}", 10, "at least 2"),
        ("{min_units: 25}", "{min_units: 2, dominance: {top: 0, max_share: 1}}", 10, "at least 1"),
        ("{min_units: 25}", "{min_units: 2, dominance: {top: 1, max_share: 0}}", 10, "above 0 and at most 1"),
        ("{min_units: 25}", "{min_units: 2, dominance: {top: 1, max_share: 1.1}}", 10, "above 0 and at most 1"),
        ("{min_units: 25}", "{min_units: 2, difference: 1}", 10, "at least 2"),
        ("{min_units: 25}", "{min_units: 2, round_to: 0}", 10, "exact decimal"),
        // Access.
        ("access: {analysts: [agency]}\n", "", 1, "`access` is missing"),
        ("{analysts: [agency]}", "{receivers: [agency]}", 11, "`analysts` is missing"),
        ("[agency]", "[]", 11, "is empty"),
        ("[agency]", "[Agency]", 11, "`Agency` is not a partner's name"),
        ("[agency]", "[agency], queries: {per_day: 0}", 11, "at least 1"),
        ("[agency]", "[agency], templates: some", 11, "`some` is not known"),
        ("[agency]", "[agency], templates: []", 11, "is empty"),
        ("[agency]", "[agency], templates: [Reach]", 11, "`Reach` is not a template's name"),
        ("[agency]", "[agency], templates: [reach@abc]", 11, "`reach@abc` is not a template's name"),
        ("[agency]", "[agency], templates: ['reach@']", 11, "is not a template's name"),
        ("[agency]", "[agency], templates: [reach, reach]", 11, "names this twice"),
        // Literals.
        ("[dimension]", "[dimension], literals: some", 8, "`some` is not known as a rule for literals"),
        ("[dimension]", "[dimension], literals: []", 8, "is empty"),
        ("[dimension]", "[dimension], literals: [[a]]", 8, "a literal is a text"),
        ("[0, 10]", "[0, 10], literals: none", 9, "neither `dimension` nor `filter`"),
        ("[join, count]", "[join, count], literals: none", 7, "neither `dimension` nor `filter`"),
        // Rows and joins.
        ("release:", "rows: ' '\nrelease:", 10, "a row filter is empty"),
        ("release:", "rows:\nrelease:", 10, "`rows` has no value"),
        ("release:", "joins: {with: [agency]}\nrelease:", 10, "`agency` is not a table or pattern"),
        ("release:", "joins: {types: []}\nrelease:", 10, "is empty"),
        ("release:", "joins: {types: [cross]}\nrelease:", 10, "`cross` is not known as a join type"),
        ("release:", "joins: {require: any, with: []}\nrelease:", 10, "`with` allows none"),
        // YAML that is not read.
        ("[agency]", "&a [agency]", 11, "anchors"),
        ("[agency]", "*a", 11, "not valid YAML"),
        ("[agency]", "!!seq [agency]", 11, "tags"),
        ("version: 1", "version: 1\nversion: 2", 5, "`version` stands on line 4 already"),
        ("version: 1", "version: [1", 5, "not valid YAML"),
        ("version: 1", "? [a]\n: 1", 4, "a key is not text"),
    ];
    refused_each(SMALL_POLICY, cases, |text| parse_policy("p.yaml", text).map(drop));
}

#[test]
fn bad_noise_is_refused_with_line_and_reason() {
    #[rustfmt::skip]
    let cases: &[Bad<'_>] = &[
        ("bounds: [0, 500]\n", "bounds: none\n", 14, "`bounds: none` of column `sales_value` beside `noise`"),
        ("  epsilon: 1.0", "  epsilon: 0", 29, "above 0"),
        ("  epsilon: 1.0", "  epsilon: .nan", 29, "above 0"),
        ("  epsilon: 1.0", "  epsilon: 21", 29, "more than the whole budget"),
        ("  epsilon: 1.0", "  epsilon: 100.5", 29, "more than 100 for one question is no protection"),
        ("  epsilon: 1.0", "  epsilon: 1.0\n  test_only: yes", 30, "`test_only` is `true` or `false`"),
        ("  delta: 1e-8", "  delta: 1", 30, "of at least 0 and below 1"),
        ("  delta: 1e-8", "  delta: 1e-5", 30, "more than the whole budget"),
        ("  delta: 1e-8", "  delta: 0", 30, "`gaussian` with a `delta` of zero"),
        ("groups_per_unit: 4", "groups_per_unit: 0", 31, "at least 1"),
        ("rows_per_unit: 50", "rows_per_unit: 5000000000", 32, "too large"),
        (", lifetime: 100", "", 33, "a refreshed budget without `lifetime`"),
        ("lifetime: 100", "lifetime: 10", 33, "less than one period"),
        ("lifetime: 100", "lifetime: 100, per_analyst: 21", 33, "`per_analyst` is more than the whole budget"),
        ("lifetime: 100", "lifetime: 100, per_analyst: 0", 33, "above 0"),
        ("lifetime: 100", "lifetime: 100, per_analysts: 2", 33, "per_analysts"),
        // A Gaussian question always needs a delta, so that a budget without one would admit none.
        ("epsilon: 20, delta: 1e-6", "epsilon: 20, delta: 0", 30, "more than the whole budget"),
        ("refresh: monthly", "refresh: never", 33, "never refreshed"),
        ("refresh: monthly", "refresh: yearly", 33, "`yearly` is not known"),
        ("mechanism: gaussian", "mechanism: uniform", 28, "`uniform` is not known"),
    ];
    refused_each(POLICY, cases, |text| parse_policy("p.yaml", text).map(drop));
}

#[test]
fn bad_reference_tables_are_refused_with_line_and_reason() {
    #[rustfmt::skip]
    let cases: &[Bad<'_>] = &[
        ("access:", "unit: {column: product_id, space: x}\naccess:", 10, "`unit` beside `public: true`"),
        ("access:", "release: {min_units: 25}\naccess:", 10, "`release` beside `public: true`"),
        ("access:", "noise: {}\naccess:", 10, "`noise` beside `public: true`"),
        ("[join]", "[join, count]", 7, "`count` on column `product_id`"),
        ("[measure]", "[measure], bounds: [0, 1]", 9, "of a reference table"),
        ("public: true", "public: yes", 5, "`true` or `false`"),
        ("public: true", "public: false", 1, "`unit` is missing"),
    ];
    refused_each(REFERENCE, cases, |text| parse_policy("p.yaml", text).map(drop));
}

#[test]
fn bad_rooms_are_refused_with_line_and_reason() {
    #[rustfmt::skip]
    let cases: &[Bad<'_>] = &[
        ("name: retail-media", "name: Retail Media", 3, "`Retail Media` is not a room's name"),
        ("name: watchdog", "name: agency", 20, "partner `agency` is listed twice"),
        ("name: products", "name: purchases", 13, "table `retailer.purchases` is listed twice"),
        ("name: products", "name: retailer.products", 13, "is not a table's name"),
        ("[contribute]", "[query]", 8, "has tables and may not contribute"),
        ("[audit]", "[admin]", 21, "`admin` is not known as an ability"),
        ("[audit]", "[]", 21, "is empty"),
        ("{upload: true}", "{upload: false}", 14, "leaves no source"),
        ("{upload: true}", "{upload: true, file: x.csv}", 14, "exactly one kind"),
        ("{upload: true}", "{ftp: x}", 14, "unknown key `ftp`"),
        ("{upload: true}", "{file: ''}", 14, "is empty"),
        ("        source: {upload: true}\n", "", 13, "`source` is missing"),
        ("    abilities: [audit]\n", "", 20, "`abilities` is missing"),
        ("  - name: watchdog\n", "  - watchdog\n  - name: other\n", 20, "is a mapping"),
    ];
    refused_each(ROOM, cases, |text| parse_room("room.yaml", text).map(drop));
    let nobody = "apiVersion: cleanroom/v1\nkind: Room\nname: r\npartners: []\n";
    assert_eq!(one_error(parse_room("r", nobody)).line, Some(4));
}

#[test]
fn bad_templates_are_refused_with_line_and_reason() {
    #[rustfmt::skip]
    let cases: &[Bad<'_>] = &[
        ("type: date", "type: date, values: [soon]", 7, "`soon` is not a date"),
        ("type: text, values: [\"8\", \"13\"]", "type: integer, values: [8, many]", 6, "`many` is not an integer"),
        ("type: date", "type: day", 7, "`day` is not known as a type"),
        ("  since:", "  Since:", 7, "`Since` is not a parameter's name"),
        (" AND day >= :since", "", 5, "parameter `since` does not occur"),
        ("name: reach", "name: Reach", 3, "`Reach` is not a template's name"),
    ];
    refused_each(TEMPLATE, cases, |text| parse_template("t.yaml", text).map(drop));
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_text() {
    let text =
        SMALL_POLICY.replace("version: 1", "version: none").replace("[dimension]", "[dimenson]").replace("25", "1");
    let errors = parse_policy("p.yaml", &text).unwrap_err();
    let lines: Vec<Option<usize>> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [Some(4), Some(8), Some(10)]);
    let shown = errors.iter().map(ToString::to_string).nth(1).unwrap();
    assert_eq!(shown, "p.yaml:8:16: `dimenson` is not known as a use; did you mean `dimension`?");
}

#[test]
fn bombs_and_floods_are_refused_quickly() {
    let deep = "[".repeat(100_000);
    let wide = format!("kind: Policy\n{}", (0..50_000).map(|i| format!("k{i}: 1\n")).collect::<String>());
    let large = "#".repeat((1 << 20) + 1);
    let nested: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    for text in [&deep, &wide, &large, &nested] {
        let errors = parse_document("f", text).unwrap_err();
        assert!(errors.len() <= 51, "{} errors", errors.len());
        assert!(errors.iter().all(|error| error.to_string().len() < 600));
    }
}

#[test]
fn a_policy_is_held_against_its_room() {
    let room = parse_room("room.yaml", ROOM).unwrap();
    let fits = SMALL_POLICY.to_owned();
    let for_tests = format!("{FOR_TESTS}release:");
    let test_room =
        parse_room("room.yaml", &ROOM.replacen("kind: Room\n", "kind: Room\ntest_only: true\n", 1)).unwrap();
    let policy = parse_policy("p.yaml", &fits.replacen("release:", &for_tests, 1)).unwrap();
    assert_eq!(policy.noise.as_ref().map(|noise| (noise.epsilon, noise.test_only)), Some((1e20, true)));
    assert_eq!(parse_policy("p.yaml", &policy.canonical_json()).unwrap().digest(), policy.digest());
    assert_eq!(check_policy_in_room(&test_room, &policy), []);
    let cases = [
        ("", "", None),
        ("retailer.purchases", "retailer.returns", Some((3, "no table `retailer.returns`"))),
        ("[agency]", "[nobody]", Some((11, "no partner `nobody`"))),
        ("[agency]", "[watchdog]", Some((11, "`watchdog` lacks the ability `query`"))),
        ("[agency]", "[agency], receivers: [watchdog]", Some((11, "lacks the ability `receive`"))),
        ("release:", "joins: {with: [agency.*]}\nrelease:", None),
        ("release:", &for_tests, Some((10, "the policy is for tests alone, and room `retail-media` is not"))),
        ("release:", "joins: {with: [other.*]}\nrelease:", Some((10, "no partner `other`"))),
        ("release:", "joins: {with: [agency.x]}\nrelease:", Some((10, "no table `agency.x`"))),
    ];
    for (from, to, expected) in cases {
        let text = if from.is_empty() { fits.clone() } else { fits.replacen(from, to, 1) };
        let found = check_policy_in_room(&room, &parse_policy("p.yaml", &text).unwrap());
        match expected {
            None => assert_eq!(found, [], "{to}"),
            Some((line, message)) => {
                let first = found.first().unwrap();
                assert_eq!(first.line, Some(line), "{to}");
                assert!(first.message.contains(message), "{to}: {first}");
            }
        }
    }
}

#[track_caller]
pub(crate) fn one_error<T: std::fmt::Debug>(result: Result<T, Vec<DocumentError>>) -> DocumentError {
    let errors = result.unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

fn refused_each(good: &str, cases: &[Bad<'_>], parse: impl Fn(&str) -> Result<(), Vec<DocumentError>>) {
    parse(good).unwrap();
    for (from, to, line, message) in cases {
        assert!(good.contains(from), "the good document lacks `{from}`");
        let errors = parse(&good.replacen(from, to, 1)).expect_err(to);
        let expected = |error: &&DocumentError| error.line == Some(*line) && error.message.contains(message);
        assert!(errors.iter().any(|error| expected(&error)), "`{to}` gives {errors:#?}");
    }
}
