//! The way of a question: parse, check, reserve and charge, compile, execute, release, post-process, record.

use std::pin::Pin;
use std::sync::Arc;

use cleanroom_keys::RoomKey;
use cleanroom_policy::{Ability, PartnerName};
use cleanroom_registry::{Attempt, Door, Intent, Pending, RegistryError, Remaining, Reservation};
use datafusion::common::{DataFusionError, Result as EngineResult, exec_datafusion_err};
use datafusion::logical_expr::LogicalPlan;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use tokio::time::Instant;

use crate::check::{self, CheckedQuery, ReleasePoint};
use crate::compile::{self, PrivatePlan};
use crate::deep;
use crate::execute::{self, Executed};
use crate::facts::{RoomFacts, TableFacts};
use crate::guard::{self, Held};
use crate::ingest;
use crate::noise::Canonical;
use crate::parameters;
use crate::parse::ParsedQuery;
use crate::pay::{self, Payment};
use crate::plan;
use crate::post::{self, Above};
use crate::question::Asked;
use crate::refusal::{Code, Failure, Refusal, Rule};
use crate::release;
use crate::released::{Decision, OutputColumn, Priced, Released};
use crate::suggest;
use crate::vault::{Inner, Request, Unavailable};

/// The decision on a question that was asked at `asked_at`, unless `cancelled` comes first.
pub(crate) async fn answer(
    vault: &Inner,
    request: Request,
    asked_at: Instant,
    cancelled: impl Future<Output = ()>,
) -> Result<Decision, Unavailable> {
    let mut cancelled = std::pin::pin!(cancelled);
    let options = &vault.options;
    let Some(room) = RoomFacts::load(&options.registry, &options.data_dir, &request.room).await? else {
        return Err(Unavailable::new("there is no such room"));
    };
    let room = Arc::new(room);
    let asked = Asked::of(&request, &options.registry).await?;
    let not_begun = || Refusal::new(Code::Cancelled, "the question was cancelled before anything was read");
    let decided = unless(cancelled.as_mut(), decide(vault, &request, &asked, &room)).await;
    let (checked, canonical) = match decided.transpose()?.unwrap_or_else(|| Err(not_begun())) {
        Ok(decided) => decided,
        Err(refusal) => return refuse(vault, &request, &asked, refusal).await,
    };
    let payment = Payment::of(options, &request, &checked, canonical).await?;
    if request.dry_run {
        let remaining = match options.registry.price(&request.room, &request.analyst, &payment.price()).await {
            Ok(remaining) => remaining,
            Err(RegistryError::Exhausted { table, which, .. }) => {
                let refusal = pay::exhausted(&checked, &table, which);
                return refuse(vault, &request, &asked, refusal).await;
            }
            Err(error) => return Err(error.into()),
        };
        let priced = priced(&checked, &payment, &remaining);
        let recorded = options.registry.record_refusal(attempt(&request, &asked), priced).await?;
        return Ok(Decision::Priced(recorded));
    }
    let turn = match unless(cancelled.as_mut(), vault.turns.acquire()).await {
        Some(Ok(turn)) => turn,
        Some(Err(_closed)) => {
            return refuse(vault, &request, &asked, Refusal::new(Code::Busy, "the server is shutting down")).await;
        }
        None => return refuse(vault, &request, &asked, not_begun()).await,
    };
    if let Some(refusal) = used_up(vault, &request, &checked).await? {
        return refuse(vault, &request, &asked, refusal).await;
    }
    // Counted in the reservation's own transaction: two questions at once cannot both be the last of the day.
    let daily: Vec<_> = checked
        .tables
        .iter()
        .filter_map(|facts| Some((facts.name.clone(), facts.policy.access.queries_per_day?)))
        .collect();
    let intent = intent(&request, &asked, &checked)?;
    let (reservation, pending) = match options.registry.reserve_at(intent, &daily, &payment.price()).await {
        Ok(reserved) => reserved,
        Err(RegistryError::Exhausted { table, which, .. }) => {
            let refusal = pay::exhausted(&checked, &table, which);
            return refuse(vault, &request, &asked, refusal).await;
        }
        Err(RegistryError::DailyLimit { table, .. }) => {
            let mut refusal = Refusal::new(Code::DailyLimit, format!("the day's questions to `{table}` are used up"));
            if let Some(facts) = checked.tables.iter().find(|facts| facts.name == table) {
                refusal = refusal.rule(Rule::of(&facts.policy, "access.queries.per_day"));
            }
            return refuse(vault, &request, &asked, refusal).await;
        }
        Err(RegistryError::PolicyChanged { .. }) => {
            let refusal = Refusal::new(Code::Busy, "a policy changed while the question was decided; ask again");
            return refuse(vault, &request, &asked, refusal).await;
        }
        Err(RegistryError::PolicySignature { table, .. }) => {
            return refuse(vault, &request, &asked, check::not_signed(&table)).await;
        }
        Err(RegistryError::TemplateChanged(_)) => {
            let refusal = Refusal::new(Code::Busy, "the template changed while the question was decided; ask again");
            return refuse(vault, &request, &asked, refusal).await;
        }
        Err(RegistryError::NotAMember { partner, .. }) => {
            let refusal = Refusal::new(Code::NotAMember, format!("`{partner}` may no longer ask in this room"));
            return refuse(vault, &request, &asked, refusal).await;
        }
        Err(error) => return Err(error.into()),
    };
    let running = async {
        match payment {
            Payment::None => run(vault, &request, checked, reservation).await,
            payment => pay::run(vault, &request, checked, reservation, payment).await,
        }
    };
    let running = tokio::time::timeout(options.query_timeout, running);
    let ran = unless(cancelled.as_mut(), running).await;
    drop(turn);
    // It can be cancelled until it may be told: neither when it is recorded nor whether a cancelling came too late says
    // when the rows had been read.
    let outcome = match ran {
        Some(outcome) => unless(cancelled, vault.quantum(asked_at)).await.map(|()| outcome),
        None => None,
    };
    finish(vault, pending, outcome).await
}

/// What comes of `work`, unless it is cancelled.
async fn unless<T>(cancelled: Pin<&mut impl Future<Output = ()>>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = cancelled => None,
        done = work => Some(done),
    }
}

/// Whether all cells of a table's data are released that its policy lets out. It is looked at before anything is read, and
/// follows from what was released; the cell that would be one too many is not shown.
async fn used_up(vault: &Inner, request: &Request, checked: &CheckedQuery) -> Result<Option<Refusal>, Unavailable> {
    for (table, version, cap) in checked.releases.iter().flat_map(|release| &release.caps) {
        if vault.options.registry.cells_of(&request.room, table, *version).await? >= *cap {
            let mut refusal = Refusal::new(
                Code::CellLimit,
                format!("as many cells of `{table}` were released as its policy allows for this version of its data"),
            )
            .about(table.table());
            if let Some(facts) = checked.tables.iter().find(|facts| facts.name == *table) {
                refusal = refusal.rule(Rule::of(&facts.policy, "release.max_cells"));
            }
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

/// Everything that can be said before a row is read. It depends on the query, the schema and the policies alone.
async fn decide(
    vault: &Inner,
    request: &Request,
    asked: &Asked,
    room: &Arc<RoomFacts>,
) -> Result<Result<(CheckedQuery, Option<Canonical>), Refusal>, Unavailable> {
    if let Err(refusal) = check_member(room, &request.analyst, &request.receiver) {
        return Ok(Err(refusal));
    }
    if let Some(refusal) = &asked.refused {
        return Ok(Err(refusal.clone()));
    }
    let served = vault.options.registry.door() == Door::Rest;
    let values = match parameters::typed(asked.declared.as_ref(), &request.params) {
        Ok(values) => values,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (sql, template, facts) = (asked.sql.clone(), asked.template.clone(), Arc::clone(room));
    let (analyst, receiver, spending) = (request.analyst.clone(), request.receiver.clone(), request.spending.clone());
    let planning = Arc::clone(&vault.planning);
    let room_key = ingest::room_key_path(&vault.options.data_dir, &request.room);
    let checked = async move {
        let place = planning.acquire_owned().await;
        deep::run(move || {
            let _place = place;
            let decided = |sql: &str| {
                let query = ParsedQuery::parse(sql)?.bind(&values)?;
                let (plan, text) = plan::plan(&facts, query)?;
                text.located(
                    check::check(&facts, &analyst, &receiver, template.as_ref(), &plan, &spending)
                        .and_then(|checked| check_names(&plan).map(|()| checked)),
                )
            };
            let checked = decided(&sql).map_err(|refusal| match template {
                // Whoever uses a template does not write it.
                Some(_) => refusal,
                None => suggest::nearest(&facts, &sql, refusal, |sql| decided(sql).is_ok()),
            })?;
            let unnamed = || Refusal::new(Code::Internal, "the question cannot be named");
            let canonical = match &checked.noise {
                Some(noise) => {
                    let secret = RoomKey::load(&room_key).map_err(|_unreadable| unnamed())?.replay_key();
                    Some(Canonical::of(&checked, noise, &secret).map_err(|_detail| unnamed())?)
                }
                None => None,
            };
            Ok((checked, canonical))
        })
        .await
    };
    let checked = match tokio::time::timeout(vault.options.query_timeout, checked).await {
        Ok(Ok(Ok(checked))) => checked,
        Ok(Ok(Err(refusal))) => return Ok(Err(refusal)),
        Ok(Err(error)) => {
            report(&request.query_id.to_string(), "check", &error);
            return Ok(Err(Refusal::new(Code::Internal, "the statement could not be decided on")));
        }
        Err(_elapsed) => {
            return Ok(Err(Refusal::new(Code::TooLarge, "the statement takes too long to plan")));
        }
    };
    // Another process may have put it into the data directory.
    let for_tests = |facts: &&Arc<TableFacts>| facts.policy.noise.as_ref().is_some_and(|noise| noise.test_only);
    if let (true, Some(facts)) = (served, checked.0.tables.iter().find(for_tests)) {
        let refusal =
            format!("the policy of `{}` is for tests alone, and a server does not answer under it", facts.name);
        return Ok(Err(Refusal::new(Code::NoiseMissing, refusal).rule(Rule::of(&facts.policy, "noise.test_only"))));
    }
    Ok(Ok(checked))
}

fn check_member(room: &RoomFacts, analyst: &PartnerName, receiver: &PartnerName) -> Result<(), Refusal> {
    let able = |name: &PartnerName, ability: Ability| {
        room.room.partner(name).is_some_and(|partner| partner.abilities.contains(&ability))
    };
    if !able(analyst, Ability::Query) {
        return Err(Refusal::new(Code::NotAMember, format!("`{analyst}` may not ask in this room")));
    }
    if !able(receiver, Ability::Receive) {
        return Err(Refusal::new(Code::NotAReceiver, format!("`{receiver}` may not be given results in this room")));
    }
    Ok(())
}

fn check_names(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(plan::duplicate().about((*pair.first().unwrap_or(&"")).to_owned())),
        None => Ok(()),
    }
}

fn attempt(request: &Request, asked: &Asked) -> Attempt {
    Attempt {
        query_id: request.query_id.clone(),
        room: request.room.clone(),
        analyst: request.analyst.clone(),
        sql: asked.sql.clone(),
        template: asked.template.clone(),
        params: asked.params.clone(),
    }
}

fn intent(request: &Request, asked: &Asked, checked: &CheckedQuery) -> Result<Intent, Unavailable> {
    let mut plan = String::new();
    let of_rows =
        compile::row_plans(checked).map_err(|_detail| Unavailable::new("a checked plan cannot be written down"))?;
    for of_rows in of_rows {
        plan.push_str(&of_rows.display_indent().to_string());
        plan.push_str("\n\n");
    }
    plan.push_str(&checked.above.display_indent().to_string());
    Ok(Intent {
        query_id: request.query_id.clone(),
        room: request.room.clone(),
        analyst: request.analyst.clone(),
        sql: asked.sql.clone(),
        template: asked.template.clone(),
        params: asked.params.clone(),
        plan,
        policies: checked.tables.iter().map(|facts| (facts.name.clone(), facts.policy_digest.clone())).collect(),
        tables: checked
            .tables
            .iter()
            .filter_map(|facts| facts.data.as_ref().map(|data| (facts.name.clone(), data.version)))
            .collect(),
    })
}

fn priced(checked: &CheckedQuery, payment: &Payment, remaining: &[Remaining]) -> Priced {
    let fields = checked.above.schema().fields().iter();
    let columns = fields
        .zip(pay::columns_noise(checked).into_iter().chain(std::iter::repeat(None)))
        .map(|(field, noise)| OutputColumn::new(field.name(), field.data_type().to_string()).with_noise(noise))
        .collect();
    let floors = checked
        .tables
        .iter()
        .filter(|facts| facts.unit().is_some() && checked.noise.is_none())
        .map(|facts| json!({ "table": facts.name.to_string(), "min_units": facts.policy.release.min_units }))
        .collect();
    let mut notes = checked.notes.clone();
    notes.extend(payment.note());
    Priced::new(columns, notes, floors, payment.costs(checked.noise.as_ref(), remaining))
}

async fn refuse(vault: &Inner, request: &Request, asked: &Asked, refusal: Refusal) -> Result<Decision, Unavailable> {
    Ok(Decision::Refused(vault.options.registry.record_refusal(attempt(request, asked), refusal).await?))
}

async fn run(
    vault: &Inner,
    request: &Request,
    checked: CheckedQuery,
    reservation: Reservation,
) -> EngineResult<Released> {
    let state = execute::session(&vault.runtime, None);
    let notes = checked.notes.clone();
    let compiling = state.clone();
    let private = deep::run(move || PrivatePlan::compile(&compiling, checked, reservation)).await??;
    let Executed { exact, families, behind, above, noise } = execute::execute(&state, private).await?;
    if noise.is_some() {
        return Err(exec_datafusion_err!("numbers that are to get noise would be released without"));
    }
    let points: Vec<ReleasePoint> = exact.iter().map(|exact| exact.release.clone()).collect();
    let released = deep::run(move || release::release(exact, families)).await??;
    let held = points.into_iter().zip(released).zip(behind);
    let held = held.map(|((release, table), behind)| Held { release, table, behind }).collect();
    let released = guard::guard(vault, &request.room, &request.query_id, held).await?;
    // One partition above the release: the order of an answer follows from released values alone.
    let state = execute::session(&vault.runtime, Some(1));
    let above = Above::optimized(&state, above).await?;
    post::answer(&above.run(&state, released).await?, notes, Vec::new())
}

async fn finish(
    vault: &Inner,
    pending: Pending,
    outcome: Option<Result<EngineResult<Released>, tokio::time::error::Elapsed>>,
) -> Result<Decision, Unavailable> {
    let registry = &vault.options.registry;
    let code = match outcome {
        Some(Ok(Ok(released))) => {
            // Who revokes has revoked, also what runs.
            let revoked = || Failure::new(Code::Busy, String::new());
            return Ok(match registry.record_unless_revoked(pending, released, revoked).await? {
                Ok(recorded) => Decision::Released(recorded),
                Err(recorded) => Decision::Failed(recorded),
            });
        }
        None => {
            let recorded = registry.record(pending, Failure::new(Code::Cancelled, String::new())).await?;
            return Ok(Decision::Failed(recorded));
        }
        Some(Ok(Err(error))) => {
            let code = match error.find_root() {
                DataFusionError::ResourcesExhausted(_) => Code::SizeLimit,
                _ => Code::Internal,
            };
            report(&pending.query_id().to_string(), "execution", &error);
            code
        }
        Some(Err(_elapsed)) => Code::TimeLimit,
    };
    let incident = incident()?;
    tracing::warn!(query = %pending.query_id(), %incident, code = code.as_str(), "query failed");
    Ok(Decision::Failed(registry.record(pending, Failure::new(code, incident)).await?))
}

fn incident() -> Result<String, Unavailable> {
    let mut bytes = [0_u8; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| Unavailable::new("no randomness from the operating system"))?;
    Ok(hex::encode(bytes))
}

/// Tells the operator what kind of failure it was. The engine's own text is left out: it can hold values.
pub(crate) fn report(query: &str, stage: &str, error: &DataFusionError) {
    let root = error.find_root();
    let kind = match root {
        DataFusionError::ArrowError(..) => "arrow",
        DataFusionError::ParquetError(_) => "parquet",
        DataFusionError::ObjectStore(_) => "storage",
        DataFusionError::IoError(_) => "io",
        DataFusionError::NotImplemented(_) => "not implemented",
        DataFusionError::Internal(_) => "internal",
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => "plan",
        DataFusionError::Execution(_) | DataFusionError::ExecutionJoin(_) => "execution",
        DataFusionError::ResourcesExhausted(_) => "resources",
        _ => "other",
    };
    tracing::error!(query, stage, kind, "engine failure");
}
