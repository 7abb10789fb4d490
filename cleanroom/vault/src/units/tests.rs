//! The operator against the stock operators that it stands for, over snapshots as they are written.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned, displayable};
use datafusion::prelude::SessionContext;

use super::*;
use crate::check::CheckedQuery;
use crate::compile::RowsPlan;
use crate::noise::testing::{Random, noise};
use crate::noise::{Salt, bounded_plan, choice};
use crate::testing::{FIVE_TABLES, TestRoom};
use crate::{deep, execute};

const BY_KIND: &str = "SELECT kind, COUNT(*) AS n, SUM(amount) AS s FROM shop.sales GROUP BY kind";

/// Three hundred people, with many rows or none, in shuffled order.
async fn crowd() -> TestRoom {
    TestRoom::holding(|table, header| {
        let mut random = Random(7);
        let mut lines = Vec::new();
        for person in 0..300 {
            for _row in 0..random.below(9) {
                let (kind, region, day) = (random.below(6), random.below(3), 1 + random.below(28));
                let kind = ["red", "green", "blue", "", "grey", "violet"][usize::try_from(kind).unwrap()];
                let region = ["n", "s", ""][usize::try_from(region).unwrap()];
                let (cents, till) = (random.below(100_000), random.below(4));
                let till = if till == 0 { "test" } else { "t1" };
                lines.push(match table {
                    "shop.sales" => format!(
                        "c{person},{kind},{region},2024-01-{day:02},{}.{:02},1,{till}",
                        cents / 100,
                        cents % 100
                    ),
                    "shop.members" => format!("c{person},{}", if kind == "red" { "gold" } else { "silver" }),
                    _ => format!("c{person},a{},2024-01-{day:02}", random.below(2)),
                });
            }
        }
        for place in (1..lines.len()).rev() {
            lines.swap(place, usize::try_from(random.below(place as u64 + 1)).unwrap());
        }
        let mut csv = format!("{header}\n");
        match table {
            "shop.regions" => csv.push_str("n,cold\ns,warm\n"),
            "agency.campaigns" => csv.push_str("a0,tv\na1,web\n"),
            _ => lines.iter().for_each(|line| writeln!(csv, "{line}").unwrap()),
        }
        csv
    })
    .await
}

async fn collected(state: &SessionState, plan: Arc<dyn ExecutionPlan>) -> String {
    let schema = plan.schema();
    let context = SessionContext::new_with_state(state.clone());
    let batches = collect_partitioned(plan, context.task_ctx()).await.unwrap().concat();
    let batch = arrow::compute::concat_batches(&schema, &batches).unwrap();
    lines(&batch)
}

fn lines(batch: &RecordBatch) -> String {
    let table = pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string();
    let mut lines: Vec<&str> = table.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Both ways to the numbers agree; gives whether the operator was there.
async fn agree(state: &SessionState, plan: RowsPlan, what: &str) -> bool {
    let RowsPlan { plan, invariants, choice } = plan;
    let stock = execute::physical(state, plan.clone(), Some(invariants)).await.unwrap();
    // Operators run once.
    let ours = execute::physical(state, plan, None).await.unwrap();
    let ours = lowered(ours, choice.as_ref()).unwrap();
    let shown = displayable(ours.as_ref()).indent(false).to_string();
    let (expected, found) = (collected(state, stock).await, collected(state, ours).await);
    assert_eq!(found, expected, "{what}\n{shown}");
    shown.contains("UnitTotalsExec")
}

#[tokio::test]
async fn numbers_are_those_of_stock_operators() {
    let room = crowd().await;
    for (sql, ours) in [
        (BY_KIND, true),
        ("SELECT COUNT(DISTINCT card) AS n, SUM(amount) AS s, AVG(amount) AS m FROM shop.sales", true),
        ("SELECT region, kind, COUNT(DISTINCT card) AS n, COUNT(*) AS m FROM shop.sales GROUP BY kind, region", true),
        (
            "SELECT kind, day, SUM(amount) FILTER (WHERE qty = 1) AS s FROM shop.sales WHERE day < '2024-01-20' GROUP BY kind, day",
            true,
        ),
        ("SELECT COUNT(DISTINCT s.card) AS n FROM shop.sales s JOIN agency.seen e ON s.card = e.card", true),
        (
            "SELECT e.campaign, COUNT(DISTINCT s.card) AS n, SUM(s.amount) AS a FROM agency.seen e JOIN shop.sales s ON s.card = e.card AND s.day >= e.at GROUP BY e.campaign",
            true,
        ),
        ("SELECT COUNT(DISTINCT card) AS n FROM shop.sales WHERE card IN (SELECT card FROM agency.seen)", true),
        (
            "SELECT t.n, COUNT(*) AS m FROM (SELECT card, COUNT(*) AS n FROM shop.sales GROUP BY card) t GROUP BY t.n",
            true,
        ),
        ("SELECT COUNT(*) AS n FROM shop.sales WHERE kind = 'none'", true),
        // The last join puts its rows in the order of another table.
        (FIVE_TABLES, false),
        ("SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP (kind, region)", false),
    ] {
        for release in room.compiled(sql).await.into_parts().releases {
            let Some(plan) = release.plan else { continue };
            assert_eq!(agree(&room.state, plan, sql).await, ours, "{sql}");
        }
    }
}

/// A plan that bounds contributions, over the room's rows.
async fn bounded(room: &TestRoom, most: u64) -> RowsPlan {
    let (facts, state) = (room.facts().await, room.state.clone());
    let compiled = deep::run(move || {
        let CheckedQuery { releases, .. } = TestRoom::checked(&facts, &TestRoom::planned(&facts, BY_KIND));
        let (release, noise, salt) = (&releases[0], noise(false, most), Salt::fresh().unwrap());
        let plan = RowsPlan::new(&state, bounded_plan(release, &noise, &salt).unwrap(), None).unwrap();
        RowsPlan { choice: choice(release, &noise, &salt), ..plan }
    });
    compiled.await.unwrap()
}

#[tokio::test]
async fn the_groups_that_count_are_those_of_the_window() {
    let room = crowd().await;
    for most in [1, 2, 3, 4, 9] {
        for _salt in 0..4 {
            assert!(agree(&room.state, bounded(&room, most).await, &format!("{most} groups")).await);
        }
    }
}

/// Refuses the operator's memory now and then.
#[derive(Debug)]
struct Stingy {
    pool: GreedyMemoryPool,
    asked: AtomicUsize,
    every: usize,
}

impl fmt::Display for Stingy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stingy")
    }
}

impl MemoryPool for Stingy {
    fn name(&self) -> &str {
        "stingy"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if reservation.consumer().name().starts_with("UnitTotals")
            && self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every)
        {
            return Err(resources_datafusion_err!("short"));
        }
        self.pool.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }
}

#[tokio::test]
async fn short_of_memory_groups_leave_early_and_no_number_is_lost() {
    let room = crowd().await;
    for every in [2, 3] {
        let pool = Stingy { pool: GreedyMemoryPool::new(64 << 20), asked: AtomicUsize::new(0), every };
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc().unwrap();
        // So that there are batches within a unit's rows.
        let config = room.state.config().clone().with_batch_size(7);
        let context = SessionContext::new_with_config_rt(config, runtime);
        for sql in [BY_KIND, "SELECT region, kind, day, COUNT(*) AS m FROM shop.sales GROUP BY kind, day, region"] {
            for release in room.compiled(sql).await.into_parts().releases {
                assert!(agree(&context.state(), release.plan.unwrap(), sql).await);
            }
        }
        for most in [1, 2, 3] {
            assert!(agree(&context.state(), bounded(&room, most).await, "bounded").await);
        }
    }
}
