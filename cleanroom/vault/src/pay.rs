//! Questions under noise: what they cost this analyst, and the way of their numbers from the draw, or from what is kept, to
//! the answer.
//!
//! What is shown is what is kept: the first draw under a question's canonical form is durable before anyone sees it, and
//! whoever asks that question again, over the same data and policies, gets the same numbers. So averages of repeated
//! answers gain nothing. An analyst pays for a question once. Another analyst pays for itself, and its question is run
//! like any other, so that neither its price nor its time tells it what others asked.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use cleanroom_policy::TableName;
use cleanroom_registry::{Limit, Price, Registry, Remaining, Reservation};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use tokio::task::JoinSet;

use crate::check::{CheckedQuery, ReleasePoint};
use crate::compile::{self, PrivatePlan};
use crate::deep;
use crate::execute::{self, Behind, Executed};
use crate::guard::{self, Held};
use crate::noise::{self, Canonical, ColumnNoise, QueryNoise, Shape, Simulation};
use crate::post::{self, Above};
use crate::refusal::{Code, Refusal, Rule};
use crate::released::{Cost, Released};
use crate::vault::{Inner, Request, Unavailable, VaultOptions};

/// A sampler takes the longer the larger the noise is that it draws (Jin et al. 2022): how long all draws of a question took
/// is to be seen in such steps only. One is enough for a hundred numbers.
const DRAW_STEP: Duration = Duration::from_millis(10);

/// What a question costs the analyst who asks it.
pub(crate) enum Payment {
    /// Nothing, for no policy asks for noise.
    None,
    /// Its price.
    Due { canonical: Canonical, price: Price },
    /// Nothing, for the analyst has paid for it.
    Made(Canonical),
}

impl Payment {
    /// The price of a question, by the analyst's own history alone.
    pub(crate) async fn of(
        options: &VaultOptions,
        request: &Request,
        checked: &CheckedQuery,
        canonical: Option<Canonical>,
    ) -> std::result::Result<Self, Unavailable> {
        Ok(match (&checked.noise, canonical) {
            (None, _) => Self::None,
            (Some(_), None) => return Err(Unavailable::new("a question under noise has no name")),
            (Some(noise), Some(canonical)) => {
                if options.registry.paid(&request.room, &canonical.key, &request.analyst).await? {
                    Self::Made(canonical)
                } else {
                    let price = Price::Charge { loss: noise.loss, tables: noise.tables.clone() };
                    Self::Due { canonical, price }
                }
            }
        })
    }

    /// As the registry takes it.
    pub(crate) fn price(&self) -> Price {
        match self {
            Self::None => Price::Nothing,
            Self::Due { price, .. } => price.clone(),
            Self::Made(canonical) => Price::Replay(canonical.key.clone()),
        }
    }

    /// What each owner is charged; `remaining` is of the tables that are.
    pub(crate) fn costs(&self, noise: Option<&QueryNoise>, remaining: &[Remaining]) -> Vec<Cost> {
        let Some(noise) = noise else { return Vec::new() };
        let due = matches!(self, Self::Due { .. });
        let cost = |table: &TableName| Cost {
            table: table.clone(),
            epsilon: if due { noise.epsilon } else { 0.0 },
            delta: if due { noise.delta } else { 0.0 },
            remaining_epsilon: remaining.iter().find(|left| left.table == *table).map(|left| left.epsilon),
        };
        noise.tables.iter().map(cost).collect()
    }

    /// What is said beside the answer.
    pub(crate) fn note(&self) -> Option<String> {
        let paid = "you have paid for this question before: these are the same numbers, at no cost";
        matches!(self, Self::Made(_)).then(|| paid.to_owned())
    }
}

/// The refusal of a question that a budget does not admit.
pub(crate) fn exhausted(checked: &CheckedQuery, table: &TableName, which: Limit) -> Refusal {
    let refusal =
        Refusal::new(Code::Exhausted, format!("{which} of `{table}` does not admit what this question costs"))
            .about(table.table())
            .suggest(
                "spend less on it with `epsilon`, wait for the budget's next period, or ask its owner for a larger one",
            );
    match checked.tables.iter().find(|facts| facts.name == *table) {
        Some(facts) => refusal.rule(Rule::of(&facts.policy, "noise.budget")),
        None => refusal,
    }
}

/// The noise of the answer's columns; empty where there is none.
pub(crate) fn columns_noise(checked: &CheckedQuery) -> Vec<Option<ColumnNoise>> {
    checked.noise.as_ref().map(|noise| noise.columns(&checked.releases)).unwrap_or_default()
}

/// Runs a question that was charged or paid for.
pub(crate) async fn run(
    vault: &Inner,
    request: &Request,
    checked: CheckedQuery,
    reservation: Reservation,
    payment: Payment,
) -> Result<Released> {
    let mut notes = checked.notes.clone();
    notes.extend(payment.note());
    let mut columns = columns_noise(&checked);
    let cost = payment.costs(checked.noise.as_ref(), reservation.remaining());
    let Noisy { releases, noise, above, canonical, bytes } = match payment {
        Payment::None => return Err(exec_datafusion_err!("a question without noise is not paid for")),
        Payment::Made(canonical) => again(vault, request, checked, canonical).await?,
        Payment::Due { canonical, .. } => drawn(vault, request, checked, reservation, canonical).await?,
    };
    let (held, simulation) = deep::run(move || {
        let shapes = releases.iter().zip(&noise.releases).map(|(release, noise)| Shape::of(release, noise));
        let drawn = noise::read(&canonical.orders, &bytes, &shapes.collect::<Vec<_>>())?;
        let tables = drawn.iter().zip(&releases).zip(&noise.releases);
        let tables = tables.map(|((drawn, release), noise)| noise::released(drawn, release, noise));
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let behind = || Behind { evidence: None, audience: None };
        let held = releases.iter().cloned().zip(tables);
        let held = held.map(|(release, table)| Held { release, table, behind: behind() }).collect::<Vec<_>>();
        Ok::<_, DataFusionError>((held, Simulation::of(noise, releases, drawn)))
    })
    .await??;
    let released = guard::guard(vault, &request.room, &request.query_id, held).await?;
    // One partition above the release: the order of an answer follows from released values alone.
    let state = execute::session(&vault.runtime, Some(1));
    let above = Above::optimized(&state, above).await?;
    let batch = above.run(&state, released).await?;
    if let Some(simulation) = simulation {
        // The answer stands without: what cannot be simulated, or takes too long, has no interval.
        let simulated = simulate(&state, &above, &batch, simulation);
        if let Ok(Ok(simulated)) = tokio::time::timeout(vault.options.query_timeout / 8, simulated).await {
            for (column, simulated) in columns.iter_mut().zip(simulated) {
                *column = simulated.or_else(|| column.take());
            }
        }
    }
    Ok(post::answer(&batch, notes, columns)?.at_cost(cost))
}

/// How far off the columns are that are computed from noisy numbers.
async fn simulate(
    state: &SessionState,
    above: &Above,
    answer: &RecordBatch,
    simulation: Simulation,
) -> Result<Vec<Option<ColumnNoise>>> {
    let times = simulation.times(answer);
    let simulation = Arc::new(simulation);
    // Dropped when time is over, it ends what still runs.
    let mut workers = JoinSet::new();
    let among = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(times.max(1));
    for worker in 0..among {
        let (state, above, simulation) = (state.clone(), above.clone(), Arc::clone(&simulation));
        workers.spawn(async move {
            let mut simulated = Vec::new();
            for _time in (worker..times).step_by(among) {
                simulated.push(above.run(&state, simulation.tables()?).await?);
            }
            Ok::<_, DataFusionError>(simulated)
        });
    }
    let mut simulated = Vec::with_capacity(times);
    while let Some(of_worker) = workers.join_next().await {
        simulated.extend(of_worker.map_err(|_ended| exec_datafusion_err!("a simulation did not end"))??);
    }
    simulation.compare(answer, &simulated)
}

/// A question, and its noisy numbers as they are kept.
struct Noisy {
    releases: Vec<ReleasePoint>,
    noise: QueryNoise,
    above: LogicalPlan,
    canonical: Canonical,
    bytes: Vec<u8>,
}

/// The numbers that the analyst has paid for; no row is read.
async fn again(vault: &Inner, request: &Request, checked: CheckedQuery, canonical: Canonical) -> Result<Noisy> {
    let kept = vault.options.registry.replay(&request.room, &canonical.key).await.map_err(not_kept)?;
    let bytes = kept.ok_or_else(|| exec_datafusion_err!("a release that was paid for is not there"))?.bytes;
    let CheckedQuery { releases, above, noise, .. } = checked;
    let noise = noise.ok_or_else(|| exec_datafusion_err!("a question without noise was paid for"))?;
    let state = execute::session(&vault.runtime, None);
    let above = deep::run(move || compile::above_release(&state, above)).await??;
    Ok(Noisy { releases, noise, above, canonical, bytes })
}

/// Numbers drawn now; where the question was drawn before, the ones of then.
async fn drawn(
    vault: &Inner,
    request: &Request,
    checked: CheckedQuery,
    reservation: Reservation,
    canonical: Canonical,
) -> Result<Noisy> {
    let state = execute::session(&vault.runtime, None);
    let compiling = state.clone();
    let private = deep::run(move || PrivatePlan::compile(&compiling, checked, reservation)).await??;
    let Executed { exact, families: _, behind: _, above, noise } = execute::execute(&state, private).await?;
    let noise = noise.ok_or_else(|| exec_datafusion_err!("a question without noise was charged"))?;
    let releases: Vec<ReleasePoint> = exact.iter().map(|exact| exact.release.clone()).collect();
    let began = Instant::now();
    let (canonical, noise, fresh) = deep::run(move || {
        let drawn = exact.into_iter().zip(&noise.releases).map(|(exact, noise)| noise::draw(exact, noise));
        let bytes = noise::written(&canonical.orders, &drawn.collect::<Result<Vec<_>>>()?)?;
        Ok::<_, DataFusionError>((canonical, noise, bytes))
    })
    .await??;
    tokio::time::sleep(rest(began.elapsed())).await;
    let registry: &Registry = &vault.options.registry;
    let kept = registry.keep_replay(&request.room, &canonical.key, &request.query_id, &fresh).await;
    Ok(Noisy { releases, noise, above, canonical, bytes: kept.map_err(not_kept)? })
}

/// How long a draw that took so long waits, so that it has taken a whole number of steps.
fn rest(took: Duration) -> Duration {
    let steps = took.as_nanos() / DRAW_STEP.as_nanos() + 1;
    u32::try_from(steps).map_or(Duration::ZERO, |steps| DRAW_STEP.saturating_mul(steps).saturating_sub(took))
}

fn not_kept(_error: cleanroom_registry::RegistryError) -> DataFusionError {
    exec_datafusion_err!("releases cannot be kept or read")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DRAW_STEP, rest};

    #[test]
    fn draws_take_whole_steps() {
        for micros in [0, 1, 9_999, 10_000, 10_001, 123_456] {
            let took = Duration::from_micros(micros);
            let all = took + rest(took);
            assert!(all > took && all.as_nanos().is_multiple_of(DRAW_STEP.as_nanos()), "{took:?}");
            assert!(all <= took + DRAW_STEP);
        }
    }
}
