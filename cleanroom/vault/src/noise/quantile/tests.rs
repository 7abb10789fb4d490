//! That choices are of the stated distribution, and that a unit moves no score further than the mechanism takes for granted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int32Type;
use cleanroom_budget::{PureEpsilon, Rho};
use cleanroom_policy::Mechanism;
use datafusion::execution::session_state::SessionState;
use proptest::prelude::*;

use super::*;
use crate::check::CellKind;
use crate::compile::{UNITS, count_name};
use crate::execute;
use crate::noise::bound::bounded_plan;
use crate::noise::bound::tests::{HIGH, LOW, Random, Row, changed, noise, random_rows, release, state, with_exprs};
use crate::noise::mechanism::{Noise, Sensitivity, Share};
use crate::noise::plan::Term;

fn grid() -> Grid {
    Grid::between(LOW, HIGH)
}

/// The release point of the tests of bounding, whose amounts have a median.
fn of_rows(rows: &[Row], most_rows: u32) -> ReleasePoint {
    let mut release = release(rows, false, most_rows);
    release.cells[1].kind = CellKind::Quantile(Rank::at(5000));
    release
}

fn median(most_groups: u64) -> ReleaseNoise {
    let mut noise = noise(false, most_groups);
    noise.terms[1] = Term::of(What::Quantile { cell: 1, rank: Rank::at(5000), low: LOW, high: HIGH });
    noise
}

/// Of each group and place on the grid, its rows.
type Lies = BTreeMap<(Option<String>, i32), i64>;

async fn lies(state: &SessionState, plan: LogicalPlan) -> Lies {
    let batch = execute::run(state, plan).await.unwrap();
    let labels = cast(batch.column_by_name(&group_name(0)).unwrap(), &DataType::Utf8).unwrap();
    let places = batch.column_by_name(BUCKET).unwrap().as_primitive::<Int32Type>().clone();
    let rows = batch.column_by_name(ROWS).unwrap().as_primitive::<Int64Type>().clone();
    (0..batch.num_rows())
        .map(|row| {
            let label = labels.is_valid(row).then(|| labels.as_string::<i32>().value(row).to_owned());
            ((label, places.value(row)), rows.value(row))
        })
        .collect()
}

#[tokio::test]
async fn one_unit_adds_so_many_rows_to_so_many_groups() {
    let (state, _spill) = state();
    let mut random = Random(40);
    let (mut full, mut cut) = (0, 0);
    for world in 0..6 {
        let rows = random_rows(&mut random);
        let (most_groups, most_rows) = (1 + random.below(3), 1 + world % 4);
        let salt = Salt([(random.below(u64::MAX) | 1).cast_signed(), random.below(u64::MAX).cast_signed()]);
        let noise = median(most_groups);
        let [of] = noise.histograms().try_into().unwrap();
        let plan = |rows: &[Row]| histogram_plan(&of_rows(rows, most_rows), &noise, &salt, of).unwrap();
        let with = lies(&state, plan(&rows)).await;
        for unit in [2, 9, 16, 24] {
            let others: Vec<Row> = rows.iter().copied().filter(|row| row.0 != unit).collect();
            let without = lies(&state, plan(&others)).await;
            let mut added: BTreeMap<Option<String>, i64> = BTreeMap::new();
            for key in with.keys().chain(without.keys()).collect::<BTreeSet<_>>() {
                let difference = with.get(key).unwrap_or(&0) - without.get(key).unwrap_or(&0);
                assert!(difference >= 0, "world {world}, unit {unit}: others' rows at {key:?} are fewer");
                *added.entry(key.0.clone()).or_default() += difference;
            }
            added.retain(|_group, rows| *rows > 0);
            assert!(added.len() as u64 <= most_groups, "world {world}, unit {unit}: {added:?}");
            assert!(added.values().all(|rows| *rows <= i64::from(most_rows)), "world {world}, unit {unit}: {added:?}");
            full += added.values().filter(|rows| **rows == i64::from(most_rows)).count();
            let has: BTreeSet<u8> = rows.iter().filter(|row| row.0 == unit).map(|row| row.1).collect();
            cut += usize::from(has.len() as u64 > most_groups);
        }
    }
    assert!(full > 8 && cut > 8, "the bounds are not put to the test: {full}, {cut}");
}

/// The rows of a quantile are as many, and of the same groups, as the rows that are counted beside it.
#[tokio::test]
async fn the_same_groups_count_as_in_other_numbers() {
    let (state, _spill) = state();
    let mut random = Random(41);
    for world in 0..4 {
        let rows: Vec<Row> =
            random_rows(&mut random).into_iter().map(|row| (row.0, row.1, row.2.or(Some(5)), row.3)).collect();
        let (most_groups, most_rows) = (1 + random.below(3), 1 + world % 4);
        let salt = Salt([(random.below(u64::MAX) | 1).cast_signed(), random.below(u64::MAX).cast_signed()]);
        let noise = median(most_groups);
        let [of] = noise.histograms().try_into().unwrap();
        let release = of_rows(&rows, most_rows);
        let mut by_group: BTreeMap<Option<String>, i64> = BTreeMap::new();
        for ((group, _place), rows) in lies(&state, histogram_plan(&release, &noise, &salt, of).unwrap()).await {
            *by_group.entry(group).or_default() += rows;
        }
        let totals = execute::run(&state, bounded_plan(&release, &noise, &salt).unwrap()).await.unwrap();
        let labels = cast(totals.column_by_name(&group_name(0)).unwrap(), &DataType::Utf8).unwrap();
        let counted = totals.column_by_name(&count_name(0)).unwrap().as_primitive::<Int64Type>();
        assert_eq!(totals.num_rows(), by_group.len(), "world {world}");
        assert!(totals.column_by_name(UNITS).is_some());
        for row in 0..totals.num_rows() {
            let label = labels.is_valid(row).then(|| labels.as_string::<i32>().value(row).to_owned());
            assert_eq!(by_group.get(&label), Some(&counted.value(row)), "world {world}: {label:?}");
        }
    }
}

#[tokio::test]
async fn a_plan_without_its_bounds_is_found_out() {
    let (state, _spill) = state();
    let rows = random_rows(&mut Random(2));
    let (release, noise) = (of_rows(&rows, 3), median(2));
    let [of] = noise.histograms().try_into().unwrap();
    let bounding = histogram_bounding(&release, &noise);
    let units = BTreeSet::from([UNIT.to_owned()]);
    let plan = histogram_plan(&release, &noise, &Salt::none(), of).unwrap();
    for plan in [state.optimize(&plan).unwrap(), plan] {
        bounding.holds(&plan, &units).unwrap();
        let without_filter = |on: &str| {
            changed(&plan, |node| match node {
                LogicalPlan::Filter(filter) if filter.predicate.to_string().contains(on) => {
                    Arc::unwrap_or_clone(filter.input)
                }
                other => other,
            })
        };
        let other_limit = |from: u64| {
            changed(&plan, |node| match node {
                LogicalPlan::Filter(_) => with_exprs(node, |expr| match expr {
                    Expr::Literal(ScalarValue::UInt64(Some(most)), _) if most == from => lit(90_u64),
                    other => other,
                }),
                other => other,
            })
        };
        let broken = [
            ("the cut of rows", without_filter("row_number()")),
            ("the cut of rows", without_filter(ROW_PLACE)),
            ("the cut of groups", without_filter("dense_rank()")),
            ("the cut of groups", without_filter(PLACE)),
            ("the limit of rows", other_limit(3)),
            ("the limit of groups", other_limit(2)),
        ];
        let found = broken.iter().filter(|(_what, broken)| bounding.holds(broken, &units).is_err()).count();
        // The engine calls what a window adds by its own names, or by ours: one of each two is there to be taken away.
        assert!(found >= 4, "{found} of the broken plans are found out\n{}", plan.display_indent());
        for (what, broken) in broken.iter().filter(|(_what, broken)| *broken != plan) {
            assert!(bounding.holds(broken, &units).is_err(), "without {what}:\n{}", broken.display_indent());
        }
    }
}

#[test]
fn grids_are_fine_enough_and_can_be_read() {
    assert_eq!(Grid::between(0, 100), Grid { low: 0, high: 100, step: 1 });
    assert_eq!(Grid::between(0, 100).len(), 101);
    // From 0 to 200 in ticks of 1e-9: steps of 0.2.
    let amounts = Grid::between(0, 200_000_000_000);
    assert_eq!((amounts.step(), amounts.len()), (200_000_000, 1001));
    let uneven = Grid::between(-7, 1500);
    assert_eq!((uneven.step(), uneven.value(0), uneven.value(1), uneven.value(uneven.last())), (2, -7, -5, 1500));
    assert_eq!(Grid::between(5, 5).len(), 1);
}

proptest! {
    #[test]
    fn a_grid_goes_from_end_to_end(low in -(1_i128 << 80)..1 << 80, span in 0_i128..1 << 81) {
        let grid = Grid::between(low, low + span);
        prop_assert!(grid.len() <= 1026);
        prop_assert!(span < 1024 || grid.len() > 400);
        prop_assert_eq!((grid.value(0), grid.value(grid.last())), (low, low + span));
        prop_assert!((1..grid.len()).all(|place| grid.value(place) > grid.value(place - 1)));
    }

    /// Rows of one unit, wherever they lie.
    #[test]
    fn a_unit_moves_scores_no_further_than_its_rows_do(
        lying in prop::collection::vec(0_u64..50, 1..40),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        rank in 0_u16..=10_000,
    ) {
        let mut more = lying.clone();
        for place in &places {
            *place.get_mut(more.as_mut_slice()) += 1;
        }
        let most = most_of_a_row(Rank::at(rank)) * places.len() as u128;
        for (one, other) in scores(&lying, Rank::at(rank)).iter().zip(scores(&more, Rank::at(rank))) {
            prop_assert!(u128::from(one.abs_diff(other)) <= most);
        }
    }

    #[test]
    fn the_best_score_is_the_quantile(values in prop::collection::vec(0_usize..30, 1..60), rank in 0_u16..=10_000) {
        let mut lying = vec![0; 30];
        for value in &values {
            lying[*value] += 1;
        }
        let scores = scores(&lying, Rank::at(rank));
        let (rank, all) = (usize::from(rank), values.len());
        for (place, score) in scores.iter().enumerate() {
            let below = values.iter().filter(|value| **value < place).count();
            let above = values.iter().filter(|value| **value > place).count();
            // Neither too many rows below it nor too many above.
            let is = below * 10_000 <= rank * all && above * 10_000 <= (10_000 - rank) * all;
            prop_assert_eq!(*score == 0, is, "{}: {} below, {} above", place, below, above);
        }
        prop_assert!(scores.contains(&0));
    }

    #[test]
    fn no_choice_loses_more_than_its_share(
        groups in 1_u64..100_000, most in 1_u128..1 << 40, units in 1_000_000_u64..1 << 50, pure: bool
    ) {
        let share = if pure { Share::Pure(PureEpsilon::of_units(units)) } else { Share::Concentrated(Rho::of_units(units)) };
        let noise = Noise::choosing(share, Sensitivity { groups, most }).unwrap();
        let loss = 2.0 * most as f64 / noise.scale;
        let (all, allowed) = match share {
            Share::Pure(epsilon) => (loss * groups as f64, epsilon.value()),
            Share::Concentrated(rho) => (loss * loss / 8.0 * groups as f64, rho.value()),
        };
        prop_assert!(all <= allowed && all >= allowed * 0.999_999, "{} of {}", all, allowed);
    }
}

/// Pearson's statistic of choices against the chances of the mechanism.
fn apart(noise: Noise, scores: &[u64], chances: &[f64]) -> f64 {
    const MANY: usize = 40_000;
    let mut seen = vec![0.0; scores.len()];
    for _choice in 0..MANY {
        seen[noise.choice(scores).unwrap()] += 1.0;
    }
    seen.iter().zip(chances).map(|(seen, chance)| (seen - chance * MANY as f64).powi(2) / (chance * MANY as f64)).sum()
}

#[test]
fn choices_are_those_of_the_mechanisms() {
    let scores = [0, 5_000, 5_000, 20_000];
    let odds = |scale: f64| scores.map(|score| (-(score as f64) / scale).exp());
    let exponential = |scale: f64| {
        let all: f64 = odds(scale).iter().sum();
        odds(scale).map(|odds| odds / all)
    };
    let noise = |mechanism, scale| Noise { mechanism, scale };
    // A chi-square variable of 3 degrees of freedom exceeds 33 with a chance of some 3e-7.
    let fine = apart(noise(Mechanism::Gaussian, 10_000.0), &scores, &exponential(10_000.0));
    assert!(fine < 33.0, "{fine}");
    let half = apart(noise(Mechanism::Gaussian, 5_000.0), &scores, &exponential(10_000.0));
    assert!(half > 33.0, "half the noise is not seen: {half}");
    // Permute-and-flip: the chance of each in all orders of the four, taken with its odds when its turn comes.
    let of_flips = |scale: f64| {
        let odds = odds(scale);
        let mut chances = [0.0; 4];
        for order in 0..256_usize {
            let order: Vec<usize> = (0..4).map(|turn| order >> (2 * turn) & 3).collect();
            if order.iter().collect::<BTreeSet<_>>().len() < 4 {
                continue;
            }
            let mut left = 1.0 / 24.0;
            for place in order {
                chances[place] += left * odds[place];
                left *= 1.0 - odds[place];
            }
        }
        chances
    };
    let fine = apart(noise(Mechanism::Laplace, 10_000.0), &scores, &of_flips(10_000.0));
    assert!(fine < 33.0, "{fine}");
    let half = apart(noise(Mechanism::Laplace, 5_000.0), &scores, &of_flips(10_000.0));
    assert!(half > 33.0, "half the noise is not seen: {half}");
}

#[test]
fn as_good_as_no_noise_chooses_the_best() {
    let sensitivity = Sensitivity { groups: 4, most: 30_000 };
    for share in [Share::Pure(PureEpsilon::MAX), Share::Concentrated(Rho::MAX)] {
        let noise = Noise::choosing(share, sensitivity).unwrap();
        assert!((0..50).all(|_time| noise.choice(&[7, 3, 1, 2, 9]).unwrap() == 2));
    }
}

/// In 95 of 100 choices and more no more rows lie between than is said.
#[test]
fn choices_are_as_near_as_is_said() {
    let lying: Vec<u64> = (0..200).map(|place| 20 + place % 7).collect();
    let scores = scores(&lying, Rank::at(5000));
    for share in [Share::Pure(PureEpsilon::nearest(0.1)), Share::Concentrated(Rho::down(0.001))] {
        let noise = Noise::choosing(share, Sensitivity { groups: 1, most: 5_000 }).unwrap();
        let limit = noise.half_choice(scores.len()) + *scores.iter().min().unwrap() as f64;
        let far = (0..2_000).filter(|_time| scores[noise.choice(&scores).unwrap()] as f64 > limit).count();
        assert!(far <= 100, "{far} of 2000 are further off");
    }
}

#[test]
fn the_test_s_grid_has_its_ends() {
    assert_eq!((grid().value(0), grid().value(grid().last())), (LOW, HIGH));
}
