//! `cleanroom policy attack`: known attacks, run against a policy on its owner's own data in a room of their own.
//!
//! The owner looks at its own rows, so it may be told exactly what would have leaked. Nothing of it is shown to anybody else.

mod audience;
mod combining;
mod field;
mod groups;
mod joining;
mod statements;

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_policy::{Literals, MeasureFunction, Policy, SmallGroups, TableName};
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use self::field::Field;
use super::rows::OwnRows;
use crate::command::block_on;
use crate::embedded::{PolicyFile, RoomFiles};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};

#[derive(Debug, Args)]
pub(in crate::command) struct AttackArgs {
    /// The policy
    #[arg(value_name = "FILE", required_unless_present = "room", requires = "data")]
    file: Option<PathBuf>,

    /// The rows of its table: Parquet, CSV or JSON lines
    #[arg(long, value_name = "FILE", requires = "file", conflicts_with = "room")]
    data: Option<PathBuf>,

    /// A room file, whose policy and data are taken
    #[arg(long, value_name = "FILE", conflicts_with = "file", requires = "table")]
    room: Option<PathBuf>,

    /// With --room: the table
    #[arg(long, value_name = "OWNER.TABLE", requires = "room")]
    table: Option<String>,
}

/// How often an attack that seems to learn something under noise is run once more, each time in a new room.
const AGAIN: usize = 5;

/// One known attack. Its statements are made from the policy's own columns.
trait Attack {
    /// A short name that stays.
    fn name(&self) -> &'static str;
    /// What it tries, in a sentence.
    fn idea(&self) -> &'static str;
    /// The rules of a policy that stop it.
    fn stopped_by(&self) -> &'static str;
    /// Runs it.
    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>>;
}

/// What came of an attack.
struct Finding {
    verdict: Verdict,
    /// The code it was refused with, and the rule of the policy where there is one.
    refused: Option<(String, String)>,
    /// What the attacker would know now.
    learned: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The policy or the data give it nothing to work on.
    NotApplicable,
    /// Not answered, by rule.
    Refused,
    /// Answered without the figures it was after.
    Suppressed,
    /// Answered, and nothing learned of fewer units than the floor.
    Held,
    /// Something was learned that the floor is to hide.
    Leaks,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::Refused => "refused",
            Self::Suppressed => "suppressed",
            Self::Held => "held",
            Self::Leaks => "LEAKS",
        }
    }
}

impl Finding {
    fn new(verdict: Verdict, learned: impl Into<String>) -> Self {
        Self { verdict, refused: None, learned: learned.into() }
    }

    fn none(why: &str) -> Self {
        Self::new(Verdict::NotApplicable, why)
    }
}

/// `1 figure`, `2 figures`
fn some(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// One version of the policy and what the attacks came to under it.
struct Run {
    policy: &'static str,
    findings: Vec<(&'static str, &'static str, &'static str, Finding)>,
}

pub(super) fn run(args: &AttackArgs, format: Format) -> Result<Exit> {
    let (file, data) = target(args)?;
    if super::rows::unit(&file.policy).is_none() {
        return Err(Fault::usage(
            format!("`{}` is a reference table: its rows are about nobody", file.policy.table),
            "name the policy of a table with a unit",
        ));
    }
    let (units, runs) = block_on(attack_all(&file, &data))?;
    show(format, &file.policy, units, &runs)?;
    Ok(Exit::Done)
}

fn target(args: &AttackArgs) -> Result<(PolicyFile, PathBuf)> {
    match (&args.file, &args.data, &args.room, &args.table) {
        (Some(file), Some(data), _, _) => Ok((super::read(file)?, data.clone())),
        (_, _, Some(room), Some(table)) => {
            let name = TableName::parse(table).map_err(|error| {
                Fault::usage(format!("--table: {error}"), "write it as `--table retailer.purchases`")
            })?;
            let tables = RoomFiles::open(room, None)?.tables()?;
            let found = tables.into_iter().find(|table| table.declaration.name == name);
            let found = found
                .ok_or_else(|| Fault::usage(format!("the room has no table `{name}`"), "name one of its tables"))?;
            Ok((found.policy, found.source))
        }
        _ => Err(Fault::usage(
            "no policy is named",
            "name a policy and `--data FILE`, or `--room FILE --table OWNER.TABLE`",
        )),
    }
}

async fn attack_all(file: &PolicyFile, data: &Path) -> Result<(f64, Vec<Run>)> {
    let own = OwnRows::open(data, Some(&file.policy)).await?;
    let written = Policy { access: unlimited(&file.policy), ..file.policy.clone() };
    let floors = floors_alone(&written);
    let mut runs = vec![attack(&written, &own, data, "as written").await?];
    if floors.digest() != written.digest() {
        runs.push(attack(&floors, &own, data, "floors alone").await?);
    }
    let unit = super::rows::unit(&file.policy).map(super::rows::quoted).unwrap_or_default();
    let [units] = own.row(&format!("SELECT COUNT(DISTINCT {unit}) FROM kept")).await?;
    Ok((units, runs))
}

async fn attack(policy: &Policy, own: &OwnRows, data: &Path, name: &'static str) -> Result<Run> {
    let field = Field::open(policy, own, data).await?;
    let mut findings = Vec::new();
    for attack in catalogue() {
        let mut finding = attack.run(&field).await?;
        if policy.noise.is_some() {
            // What noisy answers seem to tell comes true now and then. What leaks is told every time, whatever the noise.
            for _time in 0..AGAIN {
                if finding.verdict != Verdict::Leaks {
                    break;
                }
                let field = Field::open(policy, own, data).await?;
                let again = attack.run(&field).await?;
                field.close().await;
                if again.verdict != Verdict::Leaks {
                    finding = Finding::new(Verdict::Held, "a guess: asked anew, the answers told something else");
                }
            }
        }
        findings.push((attack.name(), attack.idea(), attack.stopped_by(), finding));
    }
    field.close().await;
    Ok(Run { policy: name, findings })
}

fn catalogue() -> Vec<Box<dyn Attack>> {
    let mut all = statements::all();
    all.extend(groups::all());
    all.extend(combining::all());
    all.extend(joining::all());
    all
}

/// The daily limit would end the attacks, not stop an attacker who has time.
fn unlimited(policy: &Policy) -> cleanroom_policy::Access {
    cleanroom_policy::Access { queries_per_day: None, ..policy.access.clone() }
}

/// The policy with nothing but its floors: no noise, no guard, any SQL.
fn floors_alone(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.noise = None;
    policy.access.templates = None;
    let release = &mut policy.release;
    release.difference = None;
    release.audience = None;
    release.max_cells = None;
    release.small_groups = SmallGroups::Drop;
    release.dominance = release.dominance.filter(|rule| rule.top == 1);
    for rule in policy.columns.values_mut() {
        rule.unit_bounds = None;
        rule.literals = Literals::Any;
        // Quantiles go with noise only.
        if rule.functions.remove(&MeasureFunction::Quantile) && rule.functions.is_empty() {
            rule.functions.insert(MeasureFunction::Count);
        }
    }
    policy
}

fn show(format: Format, policy: &Policy, units: f64, runs: &[Run]) -> Result<()> {
    let stops = |finding: &Finding, stopped_by: &str| match (&finding.refused, finding.verdict) {
        (Some((_code, rule)), _) if !rule.is_empty() => rule.clone(),
        (_, Verdict::Leaks) => stopped_by.to_owned(),
        _ => String::new(),
    };
    let verdict = |finding: &Finding| match &finding.refused {
        Some((code, _rule)) => format!("{} {code}", finding.verdict.word()),
        None => finding.verdict.word().to_owned(),
    };
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for run in runs {
        let mut attacks = Vec::new();
        for (name, idea, stopped_by, finding) in &run.findings {
            rows.push(vec![
                run.policy.to_owned(),
                (*name).to_owned(),
                verdict(finding),
                finding.learned.clone(),
                stops(finding, stopped_by),
            ]);
            attacks.push(json!({
                "name": name,
                "idea": idea,
                "verdict": finding.verdict.word().to_lowercase(),
                "code": finding.refused.as_ref().map(|(code, _rule)| code),
                "rule": finding.refused.as_ref().map(|(_code, rule)| rule).filter(|rule| !rule.is_empty()),
                "learned": finding.learned,
                "stopped_by": stopped_by,
            }));
        }
        values.push(json!({ "policy": run.policy, "attacks": attacks }));
    }
    let value = json!({
        "table": policy.table.to_string(),
        "version": policy.version,
        "units": units,
        "runs": Value::Array(values),
    });
    list(format, &["policy", "attack", "outcome", "learned", "stopped by"], &rows, &value)?;
    if format == Format::Table {
        for run in runs {
            let leaks = run.findings.iter().filter(|(.., finding)| finding.verdict == Verdict::Leaks).count();
            print(&format!("{}: {leaks} of {} attacks learn something", run.policy, run.findings.len()))?;
        }
        print("these are the attacks that are known to this program, not all there are")?;
    }
    Ok(())
}
