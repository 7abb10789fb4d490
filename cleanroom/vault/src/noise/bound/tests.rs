//! That the plan keeps what the mechanism takes for granted: how much one unit changes, whatever the data.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema};
use cleanroom_policy::Mechanism;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Case;

use super::*;
use crate::check::Cell;
use crate::check::CellKind;
use crate::execute;
use crate::noise::mechanism::Noise;
use crate::noise::plan::{CellTerms, SetNoise, Term};

pub(in crate::noise) const LOW: i128 = -20;
pub(in crate::noise) const HIGH: i128 = 100;

/// Unit, group, amount and the number of the row.
pub(in crate::noise) type Row = (u32, u8, Option<i64>, i64);

fn scan(rows: &[Row]) -> LogicalPlan {
    let fields = [("u", DataType::UInt32), ("g", DataType::Utf8), ("m", DataType::Int64), ("r", DataType::Int64)];
    let schema = Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()));
    let batch = |rows: &[Row]| {
        let label = |group: u8| (group > 0).then(|| format!("g{group}"));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| label(row.1)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    // Small batches in two partitions: what the engine finds first is another in each world.
    let (one, other) = rows.split_at(rows.len() / 2);
    let partitions = [one, other].map(|rows| rows.chunks(7).map(batch).collect()).to_vec();
    let table = MemTable::try_new(Arc::clone(&schema), partitions).unwrap();
    LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).unwrap().build().unwrap()
}

pub(in crate::noise) fn release(rows: &[Row], sets: bool, most_rows: u32) -> ReleasePoint {
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
        unit_range: (LOW as f64, HIGH as f64),
        row_range: (LOW as f64, HIGH as f64),
        spread: None,
    };
    let cells = vec![cell(CellKind::Rows, lit(1_i64)), cell(CellKind::Sum, column("m"))];
    let mut release = ReleasePoint::over(scan(rows), "u", &[("r", false)], false, vec![column("g")], cells);
    release.most_rows = most_rows;
    release.sets = sets.then(|| vec![vec![0], Vec::new()]);
    release
}

pub(crate) fn noise(sets: bool, most_groups: u64) -> ReleaseNoise {
    let set = |groups: Vec<usize>, most_groups, cut| SetNoise {
        groups,
        most_groups,
        cut,
        noise: vec![Noise { mechanism: Mechanism::Laplace, scale: 0.0 }; 2],
        threshold: None,
    };
    let mut of = vec![set(vec![0], most_groups, true)];
    of.extend(sets.then(|| set(Vec::new(), 1, false)));
    ReleaseNoise {
        terms: vec![Term::of(What::Rows { cell: 0 }), Term::of(What::Sum { cell: 1, low: LOW, high: HIGH })],
        cells: vec![CellTerms::One(0), CellTerms::One(1)],
        sets: of,
        exists: None,
        domains: None,
    }
}

pub(in crate::noise) fn state() -> (SessionState, tempfile::TempDir) {
    let spill = tempfile::tempdir().unwrap();
    let runtime = execute::runtime(64 << 20, spill.path()).unwrap();
    (execute::session(&runtime, Some(2)), spill)
}

/// Of each group and set: units, rows and sum.
type Told = BTreeMap<(Option<String>, bool), [i128; 3]>;

async fn told(state: &SessionState, plan: LogicalPlan) -> Told {
    let batch = execute::run(state, plan).await.unwrap();
    let text = cast(batch.column_by_name(&group_name(0)).unwrap(), &DataType::Utf8).unwrap();
    let total = batch.column_by_name(GROUPING_ID).map(|ids| cast(ids, &DataType::Int64).unwrap());
    let whole = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let (units, rows) = (whole(UNITS), whole(&count_name(0)));
    let sums = batch.column_by_name(&sum_name(1)).unwrap().as_primitive::<Decimal128Type>().clone();
    (0..batch.num_rows())
        .map(|row| {
            let label = text.is_valid(row).then(|| text.as_string::<i32>().value(row).to_owned());
            let is_total = total.as_ref().is_some_and(|ids| ids.as_primitive::<Int64Type>().value(row) != 0);
            let sum = if sums.is_valid(row) { sums.value(row) } else { 0 };
            ((label, is_total), [i128::from(units.value(row)), i128::from(rows.value(row)), sum])
        })
        .collect()
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// `SplitMix64` (Steele, Lea and Flood 2014).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Some units have rows of one number in all their groups, as a reference table's labels make them.
pub(in crate::noise) fn random_rows(random: &mut Random) -> Vec<Row> {
    let mut rows = Vec::new();
    for unit in 0..25 {
        let same = random.below(2) == 0;
        for _row in 0..1 + random.below(14) {
            let amount = (random.below(8) > 0).then(|| random.below(300).cast_signed() - 100);
            let number = if same { 77 } else { random.below(u64::MAX).cast_signed() };
            rows.push((unit, u8::try_from(random.below(7)).unwrap(), amount, number));
        }
    }
    rows
}

#[tokio::test]
async fn one_unit_changes_no_more_than_the_mechanism_takes_for_granted() {
    let (state, _spill) = state();
    let mut random = Random(20);
    let (mut fullest, mut cut) = (0, 0);
    for world in 0..8 {
        // In half of the worlds all units fall into one part.
        let apart = if world % 4 < 2 { 1 } else { PARTS };
        let rows: Vec<Row> =
            random_rows(&mut random).into_iter().map(|row| (row.0 * apart, row.1, row.2, row.3)).collect();
        let (sets, groups, most_rows) = (world % 2 == 1, 1 + random.below(3), 1 + world % 4);
        let salt = Salt([(random.below(u64::MAX) | 1).cast_signed(), random.below(u64::MAX).cast_signed()]);
        let noise = noise(sets, groups);
        let of = |rows: &[Row]| bounded_plan(&release(rows, sets, most_rows), &noise, &salt).unwrap();
        let with = told(&state, of(&rows)).await;
        for unit in [3, 11, 17, 24].map(|unit| unit * apart) {
            let others: Vec<Row> = rows.iter().copied().filter(|row| row.0 != unit).collect();
            let without = told(&state, of(&others)).await;
            let mut changed = [0, 0];
            let keys: BTreeSet<_> = with.keys().chain(without.keys()).collect();
            for key in keys {
                let number = |told: &Told, place: usize| told.get(key).map_or(0, |numbers| numbers[place]);
                let difference = [0, 1, 2].map(|place| number(&with, place) - number(&without, place));
                if difference != [0; 3] {
                    changed[usize::from(key.1)] += 1;
                }
                let [units, of_rows, sum] = difference;
                assert!((0..=1).contains(&units), "world {world}, unit {unit}: {key:?} {difference:?}");
                assert!((0..=i128::from(most_rows)).contains(&of_rows), "world {world}, unit {unit}: {key:?}");
                assert!(sum == 0 || (LOW..=HIGH).contains(&sum), "world {world}, unit {unit}: {key:?} {sum}");
                fullest += usize::from(sum == HIGH);
            }
            let has: BTreeSet<u8> = rows.iter().filter(|row| row.0 == unit).map(|row| row.1).collect();
            assert_eq!(changed[0], has.len().min(usize::try_from(groups).unwrap()), "world {world}, unit {unit}");
            assert_eq!(changed[1], usize::from(sets), "world {world}, unit {unit}");
            cut += usize::from(has.len() as u64 > groups);
        }
    }
    assert!(fullest > 0 && cut > 8, "the bounds are not put to the test: {fullest}, {cut}");
}

/// A plan with some of its expressions or nodes in other shape.
pub(in crate::noise) fn changed(plan: &LogicalPlan, mut change: impl FnMut(LogicalPlan) -> LogicalPlan) -> LogicalPlan {
    plan.clone().transform_up(|node| Ok(Transformed::yes(change(node)))).unwrap().data
}

pub(in crate::noise) fn with_exprs(node: LogicalPlan, change: impl Fn(Expr) -> Expr) -> LogicalPlan {
    node.map_expressions(|expr| expr.transform_up(|expr| Ok(Transformed::yes(change(expr))))).unwrap().data
}

#[tokio::test]
async fn a_plan_without_its_bounds_is_found_out() {
    let (state, _spill) = state();
    let rows = random_rows(&mut Random(1));
    for sets in [false, true] {
        let (release, noise) = (release(&rows, sets, 3), noise(sets, 2));
        let bounding = bounding(&release, &noise).unwrap();
        let units = BTreeSet::from([UNIT.to_owned()]);
        let plan = bounded_plan(&release, &noise, &Salt::none()).unwrap();
        for plan in [state.optimize(&plan).unwrap(), plan] {
            bounding.holds(&plan, &units).unwrap();
            let broken = [
                (
                    "a clamp",
                    changed(&plan, |node| {
                        with_exprs(node, |expr| match expr {
                            Expr::Case(Case { else_expr: Some(otherwise), .. }) => *otherwise,
                            other => other,
                        })
                    }),
                ),
                (
                    "another limit",
                    changed(&plan, |node| {
                        with_exprs(node, |expr| match expr {
                            Expr::Literal(ScalarValue::Decimal128(Some(HIGH), p, s), meta) => {
                                Expr::Literal(ScalarValue::Decimal128(Some(HIGH * 2), p, s), meta)
                            }
                            other => other,
                        })
                    }),
                ),
                (
                    "the condition on groups",
                    changed(&plan, |node| match node {
                        LogicalPlan::Filter(filter) => Arc::unwrap_or_clone(filter.input),
                        other => other,
                    }),
                ),
                (
                    "more groups",
                    changed(&plan, |node| match node {
                        LogicalPlan::Filter(_) | LogicalPlan::Window(_) => with_exprs(node, |expr| match expr {
                            Expr::Literal(ScalarValue::UInt64(Some(2)), _) => lit(9_u64),
                            Expr::Literal(ScalarValue::Int64(Some(2)), _) => lit(9_i64),
                            other => other,
                        }),
                        other => other,
                    }),
                ),
                (
                    "whole units in a part",
                    changed(&plan, |node| {
                        with_exprs(node, |expr| match expr {
                            Expr::WindowFunction(mut call) => {
                                call.params.partition_by = vec![column(PRIORITY)];
                                Expr::WindowFunction(call)
                            }
                            other => other,
                        })
                    }),
                ),
                ("the aggregate over units", compile::unit_plan(&release, compile::Shares::Bounded).unwrap()),
            ];
            let mut broken = Vec::from(broken);
            if !sets {
                // Groups of several units in one order, and a condition that lets more through.
                let disordered = changed(&plan, |node| {
                    with_exprs(node, |expr| match expr {
                        Expr::WindowFunction(mut call) => {
                            call.params.order_by.remove(0);
                            Expr::WindowFunction(call)
                        }
                        other => other,
                    })
                });
                let wider = changed(&plan, |node| match node {
                    LogicalPlan::Filter(mut filter) => {
                        filter.predicate = filter.predicate.or(column(PRIORITY).gt(lit(0_i64)));
                        LogicalPlan::Filter(filter)
                    }
                    other => other,
                });
                broken.extend([("one unit after the other", disordered), ("the condition alone", wider)]);
            }
            for (what, broken) in broken {
                assert!(bounding.holds(&broken, &units).is_err(), "without {what}:\n{}", broken.display_indent());
            }
        }
    }
}
