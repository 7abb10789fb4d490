#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::{StringArray, UInt32Array};
use arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::*;
use crate::check::Cell;
use crate::execute;

/// Unit, group, amount, and the numbers of the row and of the analyst's own that it met.
type Row = (u32, &'static str, Option<i64>, i64, i64);

const ROWS: &[Row] = &[
    (7, "a", Some(10), 1001, 1),
    (3, "a", Some(5), 1002, 2),
    (7, "a", Some(10), 1003, 3),
    (7, "b", None, 1004, 4),
    (9, "b", Some(-2), i64::MAX, 5),
];

fn scan(rows: &[Row]) -> LogicalPlan {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("u", DataType::UInt32),
        field("g", DataType::Utf8),
        field("m", DataType::Int64),
        field("r", DataType::Int64),
        field("o", DataType::Int64),
    ]));
    // Several batches: whatever the engine reads first is not to matter.
    let batches = rows.chunks(rows.len() / 8 + 1).map(|rows| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.4)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    });
    let table = MemTable::try_new(Arc::clone(&schema), vec![batches.collect()]).unwrap();
    LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).unwrap().build().unwrap()
}

fn release(rows: &[Row], ids: &[(&str, bool)], repeated: bool) -> ReleasePoint {
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let cell = |kind, argument| Cell {
        kind,
        argument,
        filter: None,
        data_type: DataType::Int64,
        meets: Vec::new(),
        swayed: Vec::new(),
        floors: Vec::new(),
        unmatched: Vec::new(),
        matches: false,
        unit_range: (0.0, 0.0),
        row_range: (0.0, 0.0),
        spread: None,
    };
    let cells =
        vec![cell(CellKind::Rows, lit(1_i64)), cell(CellKind::Sum, column("m")), cell(CellKind::Units, column("u"))];
    ReleasePoint::over(scan(rows), "u", ids, repeated, vec![column("g")], cells)
}

async fn collected(memory: usize, release: &ReleasePoint) -> Result<Evidence> {
    let spill = tempfile::tempdir().unwrap();
    let runtime = execute::runtime(memory, spill.path()).unwrap();
    let state = execute::session(&runtime, Some(2));
    let plan = compile::unit_plan(release, compile::Shares::Evidence).unwrap();
    Evidence::collect(&state, release, execute::physical(&state, plan, None).await.unwrap()).await
}

const PLENTY: usize = 64 << 20;

/// For each group, each cell's units, counts and sums.
fn told(evidence: &Evidence) -> Vec<Vec<Vec<(u32, i64, i128)>>> {
    let of_cell = |cell: &CellEvidence| {
        assert_eq!(cell.contributors, cell.contributions.iter().map(|one| one.unit).collect());
        cell.contributions.iter().map(|one| (one.unit, one.count, one.sum)).collect()
    };
    evidence.groups.iter().map(|group| group.cells.iter().map(of_cell).collect()).collect()
}

fn hashes(evidence: &Evidence, group: usize, cell: usize) -> Vec<(u32, u64, u64)> {
    let contributions = &evidence.groups[group].cells[cell].contributions;
    contributions.iter().map(|one| (one.unit, one.rows, one.others)).collect()
}

#[tokio::test]
async fn each_unit_has_its_part_in_each_cell() {
    let evidence = collected(PLENTY, &release(ROWS, &[("r", false)], false)).await.unwrap();
    let units: Vec<Vec<u32>> = evidence.groups.iter().map(|group| group.units.iter().collect()).collect();
    assert_eq!(units, [vec![3, 7], vec![7, 9]]);
    let a = vec![vec![(3, 1, 0), (7, 2, 0)], vec![(3, 1, 5), (7, 2, 20)], vec![(3, 1, 0), (7, 2, 0)]];
    // What has no amount is no part of its sum.
    let b = vec![vec![(7, 1, 0), (9, 1, 0)], vec![(9, 1, -2)], vec![(7, 1, 0), (9, 1, 0)]];
    assert_eq!(told(&evidence), [a, b]);
    let keys = evidence.keys[0].as_string::<i32>();
    assert_eq!((keys.value(0), keys.value(1)), ("a", "b"));
    assert_eq!(hashes(&evidence, 0, 1), [(3, 1002, 1002), (7, 2004, 2004)]);
    assert_eq!(hashes(&evidence, 1, 1), [(9, i64::MAX as u64, i64::MAX as u64)]);
    assert_eq!(hashes(&evidence, 0, 2), [(3, 0, 0), (7, 0, 0)], "which rows a unit stands by is all one to its count");
}

#[tokio::test]
async fn rows_are_told_apart_and_the_analysts_own_are_told_from_the_others() {
    let ids: &[(&str, bool)] = &[("r", false), ("o", true)];
    let with = |change: fn(&mut Vec<Row>)| {
        let mut rows = ROWS.to_vec();
        change(&mut rows);
        release(&rows, ids, false)
    };
    let same = collected(PLENTY, &with(|_rows| ())).await.unwrap();
    let turned = collected(PLENTY, &with(|rows| rows.reverse())).await.unwrap();
    assert_eq!(hashes(&same, 0, 1), hashes(&turned, 0, 1));
    // Another row in the place of one, with the same amount.
    let other = collected(PLENTY, &with(|rows| rows[2].3 = 77)).await.unwrap();
    assert_eq!(told(&same), told(&other));
    assert_eq!(hashes(&same, 0, 1)[0], hashes(&other, 0, 1)[0]);
    assert!(
        hashes(&same, 0, 1)[1].1 != hashes(&other, 0, 1)[1].1 && hashes(&same, 0, 1)[1].2 != hashes(&other, 0, 1)[1].2
    );
    // Another row of the analyst's.
    let own = collected(PLENTY, &with(|rows| rows[2].4 = 77)).await.unwrap();
    assert!(hashes(&same, 0, 1)[1].1 != hashes(&own, 0, 1)[1].1 && hashes(&same, 0, 1)[1].2 == hashes(&own, 0, 1)[1].2);
}

#[tokio::test]
async fn a_row_met_again_counts_once_where_the_analyst_could_repeat_it() {
    let mut rows = ROWS.to_vec();
    rows.push((3, "a", Some(5), 1002, 6));
    let ids: &[(&str, bool)] = &[("r", false), ("o", true)];
    let once = collected(PLENTY, &release(&rows, ids, true)).await.unwrap();
    assert_eq!(told(&once)[0][1], [(3, 1, 5), (7, 2, 20)]);
    assert_eq!(
        hashes(&once, 0, 1)[0].2,
        hashes(&collected(PLENTY, &release(ROWS, ids, true)).await.unwrap(), 0, 1)[0].2
    );
    let twice = collected(PLENTY, &release(&rows, ids, false)).await.unwrap();
    assert_eq!(told(&twice)[0][1], [(3, 2, 10), (7, 2, 20)]);
}

#[tokio::test]
async fn evidence_keeps_within_the_queries_memory() {
    let many: Vec<Row> = (0..40_000).map(|unit| (unit, "a", Some(1), i64::from(unit), 0)).collect();
    let release = release(&many, &[("r", false)], false);
    let error = collected(4 << 20, &release).await.err().unwrap();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
    assert!(error.to_string().contains("evidence"), "{error}");
    assert_eq!(collected(PLENTY, &release).await.unwrap().groups[0].units.len(), 40_000);
}
