//! The sample policies of the project: they parse, fit their rooms, and their cases speak of what exists.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cleanroom_policy::{Source, check_policy_in_room, parse_policy, parse_room};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    accepted: Vec<Accepted>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    sql: String,
    r#as: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    sql: String,
    r#as: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableShape {
    rows: u64,
    columns: BTreeMap<String, ColumnShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnShape {
    r#type: String,
    units: Option<u64>,
    #[serde(default)]
    distinct: bool,
    values: Option<Vec<String>>,
    range: Option<(String, String)>,
    sequence: Option<u64>,
    prefix: Option<String>,
}

#[test]
fn every_sample_room_holds_together() {
    for directory in samples() {
        let room_file = directory.join("room.yaml");
        let room = parse_room(&name(&room_file), &read(&room_file)).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let shapes: BTreeMap<String, TableShape> =
            serde_saphyr::from_str(&read(&directory.join("schema.yaml"))).unwrap();
        let tables: Vec<_> = room.partners.iter().flat_map(|partner| &partner.tables).collect();
        assert_eq!(tables.len(), shapes.len(), "{}: schema and room differ", directory.display());
        for table in tables {
            assert!(matches!(table.source, Source::File(_)));
            let file = directory.join(table.policy.as_ref().unwrap());
            let policy = parse_policy(&name(&file), &read(&file)).unwrap_or_else(|errors| panic!("{errors:#?}"));
            assert_eq!(policy.table, table.name);
            assert_eq!(check_policy_in_room(&room, &policy), []);
            let shape = shapes.get(&table.name.to_string()).unwrap();
            for column in policy.columns.keys() {
                assert!(shape.columns.contains_key(column.as_str()), "{}: no `{column}`", table.name);
            }
        }
    }
}

#[test]
fn every_shape_says_one_thing_about_a_column() {
    for directory in samples() {
        let shapes: BTreeMap<String, TableShape> =
            serde_saphyr::from_str(&read(&directory.join("schema.yaml"))).unwrap();
        for (table, shape) in shapes {
            for (column, shape_of) in shape.columns {
                let sources = [
                    shape_of.units.is_some(),
                    shape_of.values.is_some(),
                    shape_of.range.is_some(),
                    shape_of.sequence.is_some(),
                ];
                assert_eq!(sources.iter().filter(|given| **given).count(), 1, "{table}.{column}");
                assert!(["text", "integer", "decimal", "date"].contains(&shape_of.r#type.as_str()), "{table}.{column}");
                assert!(shape_of.prefix.is_none() || shape_of.sequence.is_some(), "{table}.{column}");
                let enough = !shape_of.distinct || shape_of.units.is_some_and(|units| units >= shape.rows);
                assert!(enough, "{table}.{column}: more rows than units");
            }
        }
    }
}

#[test]
fn every_sample_has_cases_of_both_kinds() {
    for directory in samples() {
        let room_file = directory.join("room.yaml");
        let room = parse_room(&name(&room_file), &read(&room_file)).unwrap();
        let cases: Cases = serde_saphyr::from_str(&read(&directory.join("cases.yaml"))).unwrap();
        assert!(cases.accepted.len() >= 8 && cases.refused.len() >= 8, "{}", directory.display());
        let known = |partner: &str| room.partners.iter().any(|known| known.name.as_str() == partner);
        for case in &cases.accepted {
            assert!(known(&case.r#as), "{}", case.sql);
        }
        for case in &cases.refused {
            assert!(known(&case.r#as), "{}", case.sql);
            let digits = case.code.strip_prefix("CR").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{}", case.code);
        }
    }
}

fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut samples: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    samples.sort();
    assert!(samples.len() >= 3, "the samples are missing");
    samples
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
