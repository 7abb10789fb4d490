//! [`PrivatePlan`] to [`ExactAggregate`]: the only place where rows are read to answer a question.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use cleanroom_registry::Reservation;
use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned};
use datafusion::prelude::SessionContext;

use crate::check::{Family, ReleasePoint};
use crate::compile::{Parts, PrivateFamily, PrivatePlan, PrivateRelease, RowsPlan};
use crate::deep;
use crate::evidence::Evidence;
use crate::invariants::Invariants;
use crate::noise::QueryNoise;
use crate::plan;
use crate::pushdown;
use crate::{release, units};

/// Exact counts and sums of groups, large and small. It is consumed by the release and shown to nobody: it cannot be
/// printed, copied or serialised.
pub(crate) struct ExactAggregate {
    pub(crate) release: ReleasePoint,
    /// `None` where it is one of a family, whose evidence holds them.
    pub(crate) totals: Option<RecordBatch>,
    /// How the values of quantiles lie, bounded: for each of `ReleaseNoise::histograms`, rows by group and place on its grid.
    pub(crate) histograms: Vec<RecordBatch>,
    /// Units that match, for each check of the release point and its floors.
    pub(crate) matching: Vec<u64>,
}

/// What was read for release points that are judged together.
pub(crate) struct ExactFamily {
    pub(crate) family: Family,
    pub(crate) evidence: Evidence,
}

/// Who is behind a release point.
pub(crate) struct Behind {
    /// Where it has a guard or an audience.
    pub(crate) evidence: Option<Evidence>,
    /// The analyst's own units by the groups of their own, where it has an audience.
    pub(crate) audience: Option<RecordBatch>,
}

/// Everything a query read, and what is to be made of it once it is released.
pub(crate) struct Executed {
    pub(crate) exact: Vec<ExactAggregate>,
    pub(crate) families: Vec<ExactFamily>,
    /// For each release point, what rules that look further than its own numbers have to know.
    pub(crate) behind: Vec<Behind>,
    pub(crate) above: LogicalPlan,
    /// What the numbers get before anyone sees them, where a policy asks for noise.
    pub(crate) noise: Option<QueryNoise>,
}

/// Memory and disk that all queries share.
pub(crate) fn runtime(memory_limit: usize, spill: &Path) -> Result<Arc<RuntimeEnv>> {
    let most_reported = NonZeroUsize::MIN;
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(memory_limit), most_reported)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill.to_owned()])),
        )
        .build_arc()
}

/// A session of the shared runtime.
pub(crate) fn session(runtime: &Arc<RuntimeEnv>, partitions: Option<usize>) -> SessionState {
    let mut config = plan::config();
    if let Some(partitions) = partitions {
        config = config.with_target_partitions(partitions);
    }
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(runtime))
        .with_default_features()
        .with_physical_optimizer_rules(pushdown::rules())
        .build()
}

/// Runs the plan. The reservation is spent by it, whatever becomes of the run.
pub(crate) async fn execute(state: &SessionState, plan: PrivatePlan) -> Result<Executed> {
    let Parts { reservation, releases, families: private_families, above, noise } = plan.into_parts();
    let mut exact = Vec::with_capacity(releases.len());
    let mut behind = Vec::with_capacity(releases.len());
    for PrivateRelease { release, plan, histograms: of_values, checks, evidence: of_guard, audience: of_own } in
        releases
    {
        let totals = match plan {
            Some(plan) => Some(collected(state, totals_of(state, plan).await?).await?),
            None => None,
        };
        let mut histograms = Vec::with_capacity(of_values.len());
        for RowsPlan { plan, invariants, choice: _ } in of_values {
            let plan = physical(state, plan, Some(invariants)).await?;
            histograms.push(collected(state, plan).await?);
        }
        let mut matching = Vec::with_capacity(checks.len());
        for check in checks {
            matching.push(release::one_count(&run(state, check).await?)?);
        }
        let evidence = match of_guard {
            Some(RowsPlan { plan, invariants, choice: _ }) => {
                Some(Evidence::collect(state, &release, physical(state, plan, Some(invariants)).await?).await?)
            }
            None => None,
        };
        let audience = match of_own {
            Some(plan) => Some(run(state, plan).await?),
            None => None,
        };
        behind.push(Behind { evidence, audience });
        exact.push(ExactAggregate { release, totals, histograms, matching });
    }
    let mut families = Vec::with_capacity(private_families.len());
    for PrivateFamily { family, plan } in private_families {
        let evidence =
            Evidence::collect(state, &family.combined, physical(state, plan.plan, Some(plan.invariants)).await?)
                .await?;
        families.push(ExactFamily { family, evidence });
    }
    spend(reservation);
    Ok(Executed { exact, families, behind, above, noise })
}

/// A reservation allows one run: it ends here.
fn spend(reservation: Reservation) {
    drop(reservation);
}

/// The operators of a plan. Planning recurses with the depth of expressions, so it gets a deep stack; what has to hold of
/// the plan is looked at once it is optimized.
pub(crate) async fn physical(
    state: &SessionState,
    plan: LogicalPlan,
    invariants: Option<Invariants>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planning = state.clone();
    deep::run_async(async move {
        let optimized = planning.optimize(&plan)?;
        if let Some(invariants) = invariants {
            invariants.still_hold(&planning, &optimized)?;
        }
        planning.query_planner().create_physical_plan(&optimized, &planning).await
    })
    .await?
}

/// The operators of a release point's numbers: in one pass over the rows, where they lie so.
async fn totals_of(state: &SessionState, plan: RowsPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let RowsPlan { plan, invariants, choice } = plan;
    units::lowered(physical(state, plan, Some(invariants)).await?, choice.as_ref())
}

/// One plan to one batch.
pub(crate) async fn run(state: &SessionState, plan: LogicalPlan) -> Result<RecordBatch> {
    collected(state, physical(state, plan, None).await?).await
}

/// One plan, optimized before, to one batch.
pub(crate) async fn run_optimized(state: &SessionState, plan: LogicalPlan) -> Result<RecordBatch> {
    let planning = state.clone();
    let physical =
        deep::run_async(async move { planning.query_planner().create_physical_plan(&plan, &planning).await }).await??;
    collected(state, physical).await
}

async fn collected(state: &SessionState, physical: Arc<dyn ExecutionPlan>) -> Result<RecordBatch> {
    let schema = physical.schema();
    let context = SessionContext::new_with_state(state.clone());
    // Partition after partition: in the order in which they come, rows would lie as the threads ran.
    let batches = collect_partitioned(physical, context.task_ctx()).await?.concat();
    Ok(concat_batches(&schema, &batches)?)
}

#[cfg(test)]
mod tests {
    use super::{Behind, ExactAggregate, ExactFamily, Executed};
    use crate::compile::PrivatePlan;
    use crate::evidence::{CellEvidence, Contribution, Evidence, GroupEvidence};

    // What holds exact values cannot be printed, copied or written anywhere; a derive that changes this does not compile.
    static_assertions::assert_not_impl_any!(ExactAggregate: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(ExactFamily: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Behind: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Executed: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Evidence: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(GroupEvidence: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(CellEvidence: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    static_assertions::assert_not_impl_any!(Contribution: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);
    // A reservation is spent once, and so is the plan that holds it.
    static_assertions::assert_not_impl_any!(PrivatePlan: Clone, std::fmt::Debug);
    static_assertions::assert_not_impl_any!(cleanroom_registry::Reservation: Clone);
    static_assertions::assert_not_impl_any!(cleanroom_registry::Pending: Clone);
}
