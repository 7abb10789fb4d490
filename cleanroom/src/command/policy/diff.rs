//! `cleanroom policy diff`

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use cleanroom_policy::{Policy, PolicyChange, diff_policies};
use cleanroom_registry::{PolicyRecord, QueryRecord, Registry, TableVersion};
use serde_json::{Value, json};

use super::trial::{Told, Trial};
use crate::command::block_on;
use crate::embedded::{PolicyFile, RoomFiles};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};
use crate::render;

/// Most past questions that are decided again, the newest.
const QUESTIONS: u32 = 1000;
/// Most characters of a statement in the table.
const STATEMENT: usize = 100;

#[derive(Debug, Args)]
pub(in crate::command) struct DiffArgs {
    /// The policy as it was
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The policy as it is to be
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// Decides the room's past questions under both, and tells which of them change
    #[arg(long, value_name = "FILE")]
    room: Option<PathBuf>,

    /// State of the room [default: `.cleanroom` beside the room file]
    #[arg(long, value_name = "DIR", requires = "room")]
    data_dir: Option<PathBuf>,

    /// Ends with 1 where the policies differ
    #[arg(long)]
    exit_code: bool,
}

/// A past question that ends otherwise under the new policy.
struct Changed {
    record: QueryRecord,
    old: String,
    new: String,
}

pub(super) fn run(args: &DiffArgs, format: Format) -> Result<Exit> {
    let (old, new) = (super::read(&args.old)?, super::read(&args.new)?);
    if old.policy.table != new.policy.table {
        return Err(Fault::usage(
            format!("`{}` is for `{}`, and `{}` for `{}`", old.label, old.policy.table, new.label, new.policy.table),
            "name two versions of one table's policy",
        ));
    }
    let changes = diff_policies(&old.policy, &new.policy);
    let past = match &args.room {
        Some(room) => {
            let files = RoomFiles::open(room, args.data_dir.as_deref())?;
            Some(block_on(past(&files, &old, &new))?)
        }
        None => None,
    };
    show(format, &changes, past.as_ref())?;
    let differ = changes.iter().any(|change| change.rule != "version");
    Ok(if args.exit_code && differ { Exit::Failure } else { Exit::Done })
}

fn show(format: Format, changes: &[PolicyChange], past: Option<&(usize, Vec<Changed>)>) -> Result<()> {
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| vec![change.effect.to_string(), change.rule.clone(), change.text.clone()])
        .collect();
    let mut value = json!({
        "changes": changes
            .iter()
            .map(|change| json!({ "effect": change.effect.word(), "rule": change.rule, "text": change.text }))
            .collect::<Vec<Value>>(),
    });
    if let (Some((asked, changed)), Some(object)) = (past, value.as_object_mut()) {
        let queries: Vec<Value> = changed
            .iter()
            .map(|one| {
                json!({
                    "query_id": one.record.id.to_string(),
                    "analyst": one.record.analyst.to_string(),
                    "sql": one.record.sql,
                    "old": one.old,
                    "new": one.new,
                })
            })
            .collect();
        object.insert("past_queries".to_owned(), json!({ "decided": asked, "changed": queries }));
    }
    if changes.is_empty() && format == Format::Table {
        print("the two say the same")?;
    } else {
        list(format, &["effect", "rule", "change"], &rows, &value)?;
    }
    if let (Some((asked, changed)), Format::Table) = (past, format) {
        print(&format!("\n{} of the newest {asked} questions of the room would end otherwise", changed.len()))?;
        if !changed.is_empty() {
            let rows: Vec<Vec<String>> = changed
                .iter()
                .map(|one| {
                    let sql: String = one.record.sql.split_whitespace().collect::<Vec<_>>().join(" ");
                    let short: String = sql.chars().take(STATEMENT).collect();
                    let sql = if short.len() < sql.len() { format!("{short}...") } else { sql };
                    vec![one.record.analyst.to_string(), sql, one.old.clone(), one.new.clone()]
                })
                .collect();
            print(&render::text_table(&["asked by", "statement", "old", "new"], &rows))?;
        }
    }
    Ok(())
}

/// How many past questions were decided anew, and those that change. No row is read: a decision depends on statement, columns and
/// policies alone.
async fn past(files: &RoomFiles, old: &PolicyFile, new: &PolicyFile) -> Result<(usize, Vec<Changed>)> {
    let registry = files.records().await?;
    let state = State::read(files, &registry, &old.policy).await?;
    let records = registry.queries(&files.room().name, None, QUESTIONS).await?;
    registry.close().await;
    let (before, after) = (state.trial(files, old).await?, state.trial(files, new).await?);
    let asked = records.len();
    let mut changed = Vec::new();
    // Who asks the same again is decided the same.
    let mut decided: HashMap<(String, String), (String, String)> = HashMap::new();
    for record in records {
        let key = (record.analyst.to_string(), record.sql.clone());
        if let Some((old, new)) = decided.get(&key) {
            if old != new {
                changed.push(Changed { record, old: old.clone(), new: new.clone() });
            }
            continue;
        }
        let (was, now) = (
            before.ask(&record.analyst, &record.sql, true).await?,
            after.ask(&record.analyst, &record.sql, true).await?,
        );
        let (old, new) = (decision(&was), decision(&now));
        decided.insert(key, (old.clone(), new.clone()));
        if old != new {
            changed.push(Changed { record, old, new });
        }
    }
    before.close().await;
    after.close().await;
    Ok((asked, changed))
}

/// A decision in words; equal for two that give the same answer.
fn decision(told: &Told) -> String {
    if !told.released() {
        return format!("refused, {}", told.code());
    }
    let floors: Vec<String> = told
        .floors()
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|floor| {
            let table = floor.get("table").and_then(Value::as_str)?;
            Some(format!("{table} at least {}", floor.get("min_units")?))
        })
        .collect();
    if floors.is_empty() { "answered".to_owned() } else { format!("answered, {}", floors.join(", ")) }
}

/// What decisions of a room depend on, besides the policy that is compared.
struct State {
    policies: Vec<PolicyRecord>,
    data: Vec<(cleanroom_policy::TableName, TableVersion)>,
}

impl State {
    async fn read(files: &RoomFiles, registry: &Registry, compared: &Policy) -> Result<Self> {
        let room = files.room();
        if room.table(&compared.table).is_none() {
            return Err(Fault::usage(
                format!("room `{}` has no table `{}`", room.name, compared.table),
                "name the room in which the policy is used",
            ));
        }
        let (mut policies, mut data) = (Vec::new(), Vec::new());
        for table in room.partners.iter().flat_map(|partner| &partner.tables) {
            if table.name != compared.table {
                policies.extend(registry.policy(&room.name, &table.name).await?);
            }
            if let Some(version) = registry.table_version(&room.name, &table.name).await? {
                data.push((table.name.clone(), version));
            }
        }
        Ok(Self { policies, data })
    }

    /// The room with the policy in it, and without rows.
    async fn trial(&self, files: &RoomFiles, compared: &PolicyFile) -> Result<Trial> {
        let trial = Trial::open(files.room()).await?;
        for record in &self.policies {
            trial.policy(&record.policy, Some(&record.text)).await?;
        }
        trial.policy(&compared.policy, Some(&compared.text)).await?;
        for (table, version) in &self.data {
            trial.columns(table, version.schema.clone(), version.meta.clone()).await?;
        }
        Ok(trial)
    }
}
