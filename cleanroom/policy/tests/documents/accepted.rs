//! What a good document means.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use cleanroom_policy::{
    Bounds, Document, Grain, MeasureFunction, ParameterType, Refresh, Require, Source, Step, Subject, parse_document,
    parse_documents, parse_policy, parse_room, parse_template,
};

use crate::refused::one_error;
use crate::samples::{POLICY, REFERENCE, ROOM, SMALL_POLICY, TEMPLATE};

#[test]
fn the_whole_policy_format_is_read() {
    let policy = parse_policy("p.yaml", POLICY).unwrap();
    assert_eq!(policy.table.to_string(), "retailer.purchases");
    assert!(matches!(&policy.subject, Subject::Unit { column, .. } if column.as_str() == "household_id"));
    let rule = |name: &str| policy.columns.iter().find(|(column, _)| column.as_str() == name).unwrap().1;
    assert_eq!(rule("sales_value").bounds, Some(Bounds::Range { low: 0.0, high: 500.0 }));
    assert_eq!(rule("sales_value").step, Some(Step { mantissa: 1, scale: 2 }));
    assert_eq!(rule("sales_value").unit_bounds, Some((0.0, 2000.0)));
    assert!(rule("sales_value").functions.contains(&MeasureFunction::Avg));
    assert_eq!(rule("bought_at").grain, Some(Grain::Day));
    assert_eq!(rule("campaign_id").values.as_ref().unwrap().len(), 3);
    assert_eq!(policy.rows.as_ref().unwrap().value, "store_id <> 'test'");
    assert_eq!(policy.joins.require, Require::OtherPartner);
    assert_eq!(policy.release.min_units, 25);
    assert_eq!(policy.release.difference, Some(10));
    assert_eq!(policy.release.audience, Some(20));
    assert_eq!(policy.release.max_cells, Some(1000));
    assert_eq!(policy.release.round_to, Some(Step { mantissa: 10, scale: 0 }));
    let noise = policy.noise.as_ref().unwrap();
    assert_eq!((noise.delta, noise.budget.refresh), (1e-8, Refresh::Monthly));
    assert_eq!(noise.budget.per_analyst, None);
    let capped = POLICY.replacen("lifetime: 100", "lifetime: 100, per_analyst: 2.5", 1);
    let capped = parse_policy("p.yaml", &capped).unwrap();
    assert_eq!(capped.noise.as_ref().unwrap().budget.per_analyst, Some(2.5));
    assert_ne!(capped.digest(), policy.digest());
    assert_eq!(parse_policy("p.yaml", &capped.canonical_json()).unwrap().noise, capped.noise);
    assert_eq!(policy.access.queries_per_day, Some(200));
    assert_eq!(policy.access.templates, None);
}

#[test]
fn every_rule_knows_its_line() {
    let policy = parse_policy("p.yaml", POLICY).unwrap();
    let cases = [
        ("table", Some(3)),
        ("unit.column", Some(5)),
        ("columns.household_id.use", Some(7)),
        ("columns.sales_value", Some(11)),
        ("columns.sales_value.bounds", Some(14)),
        ("rows", Some(17)),
        ("joins.types", Some(18)),
        ("release.min_units", Some(20)),
        ("release.dominance.max_share", Some(21)),
        ("noise", Some(27)),
        ("noise.budget.lifetime", Some(33)),
        ("access.analysts", Some(35)),
        // Not written: the nearest rule around it answers.
        ("columns.sales_value.grain", Some(11)),
        ("columns.hidden.use", Some(6)),
        ("nothing.like.it", None),
    ];
    for (rule, line) in cases {
        assert_eq!(policy.line(rule), line, "{rule}");
    }
    assert_eq!(policy.rows.unwrap().line, 17);
}

#[test]
fn silence_means_the_strict_default() {
    let policy = parse_policy("p.yaml", SMALL_POLICY).unwrap();
    assert_eq!(policy.joins.with, None);
    let types: Vec<&str> = policy.joins.types.iter().map(|kind| kind.word()).collect();
    assert_eq!(types, ["inner", "semi"]);
    assert_eq!(policy.access.receivers, policy.access.analysts);
    let amount = policy.columns.iter().find(|(name, _)| name.as_str() == "amount").unwrap().1;
    let functions: Vec<&str> = amount.functions.iter().map(|function| function.word()).collect();
    assert_eq!(functions, ["sum", "avg", "count"]);
    assert!(policy.noise.is_none());
    let reference = parse_policy("p.yaml", REFERENCE).unwrap();
    assert_eq!(reference.subject, Subject::Public);
}

#[test]
fn rooms_and_templates_are_read() {
    let room = parse_room("room.yaml", ROOM).unwrap();
    let names: Vec<String> = room.partners.iter().flat_map(|p| &p.tables).map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["retailer.purchases", "retailer.products", "agency.exposures"]);
    let table = room.partners.iter().flat_map(|p| &p.tables).next().unwrap();
    assert_eq!((&table.source, table.line), (&Source::File("data/purchases.parquet".into()), 9));
    let last = room.partners.iter().flat_map(|p| &p.tables).last().unwrap();
    assert_eq!(last.source, Source::Unsupported("s3"));
    let template = parse_template("t.yaml", TEMPLATE).unwrap();
    assert_eq!(template.parameters.values().next().map(|p| p.kind), Some(ParameterType::Text));
    assert_eq!(template.sql.line, 9);
}

#[test]
fn documents_are_told_apart_by_kind() {
    assert!(matches!(parse_document("f", POLICY), Ok(Document::Policy(_))));
    assert!(matches!(parse_document("f", ROOM), Ok(Document::Room(_))));
    assert!(matches!(parse_document("f", TEMPLATE), Ok(Document::Template(_))));
    let both = format!("{ROOM}---\n{POLICY}");
    assert_eq!(parse_documents("f", &both).unwrap().len(), 2);
    let error = one_error(parse_document("f", &both));
    assert_eq!((error.line, error.message.contains("second document")), (Some(23), true));
    let error = one_error(parse_policy("f", ROOM));
    assert_eq!((error.line, error.remedy.as_str()), (Some(2), "write `Policy`"));
    for nothing in ["", "# nothing\n"] {
        assert!(one_error(parse_documents("f", nothing)).message.contains("no document"));
    }
}
