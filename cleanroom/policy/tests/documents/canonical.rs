//! One meaning, one text, one digest; and no text that brings the parser down.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use cleanroom_policy::{
    Literals, TemplateApproval, parse_document, parse_documents, parse_policy, parse_room, parse_template,
};
use proptest::prelude::*;

use crate::samples::{POLICY, REFERENCE, ROOM, SMALL_POLICY, TEMPLATE};

#[test]
fn one_meaning_has_one_digest() {
    let policy = parse_policy("p.yaml", SMALL_POLICY).unwrap();
    let other_spelling = SMALL_POLICY
        .replace("kind: Policy\n", "kind: \"Policy\"   # a comment\n\n")
        .replace("[join, count]", "[count, join]")
        .replace("[0, 10]", "[-0.0, 1e1], functions: [count, avg, sum]")
        .replace("release:", "joins: {with: ['*'], types: [semi, inner]}\nrelease:");
    let other = parse_policy("q.yaml", &other_spelling).unwrap();
    assert_eq!(policy.canonical_json(), other.canonical_json());
    assert_eq!(policy.digest(), other.digest());
    let changed = parse_policy("p.yaml", &SMALL_POLICY.replace("25", "26")).unwrap();
    assert_ne!(policy.digest(), changed.digest());
    assert_eq!(
        policy.canonical_json(),
        concat!(
            r#"{"access":{"analysts":["agency"],"receivers":["agency"],"templates":"any"},"apiVersion":"cleanroom/v1","#,
            r#""columns":{"amount":{"bounds":[0,10],"functions":["sum","avg","count"],"use":["measure"]},"#,
            r#""dept":{"use":["dimension"]},"id":{"use":["join","count"]}},"#,
            r#""joins":{"analyst_tables":"distinct","require":"none","types":["inner","semi"],"with":["*"]},"#,
            r#""kind":"Policy","release":{"min_units":25,"small_groups":"drop"},"table":"retailer.purchases","#,
            r#""unit":{"column":"id","space":"email"},"version":1}"#,
        )
    );
}

#[test]
fn canonical_text_parses_back() {
    for text in [POLICY, SMALL_POLICY, REFERENCE] {
        let policy = parse_policy("p.yaml", text).unwrap();
        let again = parse_policy("p.json", &policy.canonical_json()).unwrap();
        assert_eq!(again.canonical_json(), policy.canonical_json());
        assert_eq!((again.columns, again.release, again.noise), (policy.columns, policy.release, policy.noise));
    }
    let template = parse_template("t.yaml", TEMPLATE).unwrap();
    let again = parse_template("t.json", &template.canonical_json()).unwrap();
    assert_eq!((again.digest(), again.parameters), (template.digest(), template.parameters));
    let room = parse_room("room.yaml", &format!("{ROOM}templates: [b.yaml, a.yaml]\n")).unwrap();
    assert_eq!(parse_room("room.json", &room.canonical_json()).unwrap().templates, room.templates);
    let room = parse_room("room.yaml", ROOM).unwrap();
    let again = parse_room("room.json", &room.canonical_json()).unwrap();
    assert_eq!(again.canonical_json(), room.canonical_json());
    assert_eq!(again.digest(), room.digest());
}

/// What is approved is the template's meaning, all of it, and no spelling.
#[test]
fn whatever_changes_a_template_changes_its_digest() {
    let digest = |text: &str| parse_template("t.yaml", text).unwrap().digest();
    let spelled =
        TEMPLATE.replace("name: reach", "name: \"reach\" # as it was").replace("[\"8\", \"13\"]", "['13', \"8\"]");
    assert_eq!(digest(&spelled), digest(TEMPLATE));
    for (from, to) in [
        ("name: reach", "name: reached"),
        ("by one campaign", "by a campaign"),
        ("\"13\"", "\"14\""),
        (", values: [\"8\", \"13\"]", ""),
        ("type: date", "type: timestamp"),
        (">= :since", "> :since"),
    ] {
        assert_ne!(digest(&TEMPLATE.replace(from, to)), digest(TEMPLATE), "{to}");
    }
}

#[test]
fn literals_and_approvals_are_part_of_a_policy() {
    let hex = "0123456789abcdef".repeat(4);
    let text = SMALL_POLICY
        .replace("[dimension]", "[dimension], literals: [b, \"1\"]")
        .replace("[agency]", &format!("[agency], templates: [reach, 'reach@{hex}', spend]"));
    let policy = parse_policy("p.yaml", &text).unwrap();
    let again = parse_policy("p.json", &policy.canonical_json()).unwrap();
    assert_eq!((&again.columns, &again.access), (&policy.columns, &policy.access));
    let rule = policy.columns.values().find(|rule| rule.literals != Literals::Any).unwrap();
    assert_eq!(rule.literals, Literals::Only(vec!["1".to_owned(), "b".to_owned()]));
    let approved: Vec<String> = policy.access.templates.unwrap().iter().map(TemplateApproval::to_string).collect();
    assert_eq!(approved, ["reach".to_owned(), format!("reach@{hex}"), "spend".to_owned()]);
    // The default is not written out, so that policies from before it was known are what they were.
    let any = SMALL_POLICY.replace("[dimension]", "[dimension], literals: any");
    let digest = |text: &str| parse_policy("p.yaml", text).unwrap().digest();
    assert_eq!(digest(&any), digest(SMALL_POLICY));
    assert_ne!(digest(&SMALL_POLICY.replace("[dimension]", "[dimension], literals: none")), digest(SMALL_POLICY));
}

/// A policy document whose rules are drawn at random and do not contradict each other.
fn policy_text() -> impl Strategy<Value = String> {
    let column = prop_oneof![
        Just("use: [dimension, filter]".to_owned()),
        Just("use: [join]".to_owned()),
        text().prop_map(|value| format!("use: [filter], values: [{value}]")),
        (1..1_000_000_i64, 0..12_u32).prop_map(|(high, scale)| {
            let low = -high as f64 / 10f64.powi(scale as i32);
            format!("use: [measure], bounds: [{low}, {high}], step: 0.01")
        }),
        Just("use: [measure, filter], bounds: none, functions: [avg]".to_owned()),
    ];
    let columns = prop::collection::btree_map("[A-Za-z ,:#'{}é]{1,12}", column, 0..40);
    let joins = prop_oneof![
        Just(String::new()),
        Just("joins: {with: [], types: [inner]}\n".to_owned()),
        Just("joins: {require: any, with: [b.x, a.*], analyst_tables: full}\n".to_owned()),
    ];
    (columns, joins, text(), 2..9_007_199_254_740_991_u64, prop::option::of(0.000_1..1.0_f64)).prop_map(
        |(columns, joins, rows, floor, share)| {
            let columns: String =
                columns.iter().map(|(name, rule)| format!("  {}: {{{rule}}}\n", quoted(&format!("c{name}")))).collect();
            let dominance =
                share.map(|share| format!(", dominance: {{top: 1, max_share: {share}}}")).unwrap_or_default();
            format!(
                "apiVersion: cleanroom/v1\nkind: Policy\ntable: a.b\nversion: 1\nunit: {{column: id, space: s}}\n\
                 columns:\n  id: {{use: [join]}}\n{columns}rows: {rows}\n{joins}\
                 release: {{min_units: {floor}{dominance}}}\naccess: {{analysts: [a]}}\n"
            )
        },
    )
}

/// Any text, as JSON and therefore YAML writes it.
fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\u{feff}\u{fffe}\u{ffff}]{0,40}".prop_map(|text| quoted(&format!("x{text}")))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_policy_survives_its_canonical_text(text in policy_text()) {
        let policy = parse_policy("p.yaml", &text).unwrap();
        let canonical = policy.canonical_json();
        let again = parse_policy("p.json", &canonical).unwrap();
        prop_assert_eq!(&again.canonical_json(), &canonical);
        prop_assert_eq!(again.rows.map(|rows| rows.value), policy.rows.map(|rows| rows.value));
        prop_assert_eq!((again.columns, again.joins, again.release), (policy.columns, policy.joins, policy.release));
    }

    #[test]
    fn no_text_brings_the_parser_down(text in ".{0,200}") {
        drop(parse_documents("f", &text));
    }

    #[test]
    fn no_damage_brings_the_parser_down(
        which in 0..5_usize,
        at in any::<prop::sample::Index>(),
        length in 0..12_usize,
        noise in "[-\\[\\]{}:,?&*!|>'\"%@#\n\t a-z0-9é\\.]{0,12}",
    ) {
        let good: Vec<char> = [POLICY, SMALL_POLICY, REFERENCE, ROOM, TEMPLATE].get(which).unwrap().chars().collect();
        let cut = at.index(good.len());
        let text: String =
            good.iter().take(cut).copied().chain(noise.chars()).chain(good.iter().skip(cut + length).copied()).collect();
        if let Err(errors) = parse_document("f", &text) {
            prop_assert!(!errors.is_empty());
        }
    }
}
