//! `cleanroom demo`: the whole way from two partners' files to a verified log, on invented data and told in plain words.
//!
//! It goes through the same doors as the other commands: tokenisation, the embedded room, the vault's answers, the offline
//! verification of the log.

mod data;
mod evidence;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use cleanroom_keys::RoomKey;
use tempfile::TempDir;

use self::data::Facts;
use self::stage::Stage;
use super::block_on;
use crate::embedded::{RoomFiles, Session};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Format;

const ROOM: &str = include_str!("demo/room.yaml");
const PURCHASES: &str = include_str!("demo/policies/purchases.yaml");
const RETURNS: &str = include_str!("demo/policies/returns.yaml");
const POLICIES: [(&str, &str); 5] = [
    ("purchases.yaml", PURCHASES),
    ("returns.yaml", RETURNS),
    ("products.yaml", include_str!("demo/policies/products.yaml")),
    ("exposures.yaml", include_str!("demo/policies/exposures.yaml")),
    ("campaigns.yaml", include_str!("demo/policies/campaigns.yaml")),
];

/// The floor of the demonstration's policies.
const FLOOR: u64 = 25;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keeps the demonstration's files in this folder, which must be new or empty, to try more on them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) fn run(args: &DemoArgs, format: Format) -> Result<Exit> {
    if format != Format::Table {
        return Err(Fault::usage("the demonstration is text for people", "leave `--format` out"));
    }
    let started = Instant::now();
    let place = Place::new(args.keep.as_deref())?;
    let mut stage = Stage::default();
    stage.say(
        "Two companies want to know one thing: did the campaigns sell? A retailer knows what its customers bought. An agency \
         knows who saw its advertisements. Neither may give its rows to the other, and neither has to. All people below are \
         invented.",
    )?;
    let facts = identifiers(&mut stage, place.path())?;
    block_on(the_room(&mut stage, place.path(), &facts))?;
    close(&stage, args.keep.as_deref(), started)
}

/// 1: what the partners do on their own machines.
fn identifiers(stage: &mut Stage, folder: &Path) -> Result<Facts> {
    stage.step("1. Each partner replaces its e-mail addresses")?;
    let facts = data::write(folder)?;
    stage.say(
        "The partners share a room key. With it each of them turns every address into a token, on its own machine, before a \
         file goes anywhere:",
    )?;
    let key_file = folder.join("room.key");
    RoomKey::generate().and_then(|key| key.save(&key_file)).map_err(|error| Fault::failure(error, ""))?;
    stage.command("cleanroom keys new room -o room.key")?;
    for (source, rows) in &facts.rows {
        let tokenised = stage.tokenise(folder, source, &key_file)?;
        stage.expect(tokenised == *rows as u64, "every address has become a token");
    }
    let (before, after) =
        (evidence::first_email(folder, "retailer/purchases")?, evidence::first_email(folder, "room/data/purchases")?);
    let (before_too, after_too) =
        (evidence::first_email(folder, "agency/exposures")?, evidence::first_email(folder, "room/data/exposures")?);
    stage.say("One person who is in both files, as each partner has written the address down:")?;
    stage.table(
        &["partner", "before", "after"],
        &[
            vec!["retailer".to_owned(), before, evidence::shortened(&after)],
            vec!["agency".to_owned(), before_too, evidence::shortened(&after_too)],
        ],
    )?;
    stage.expect(after == after_too && after.starts_with("crt1_"), "one person has one token");
    stage.say("Spelling does not matter; without the key nobody can tell whose token it is, nor try addresses out.")?;
    Ok(facts)
}

/// 2 to 7: what happens in the room.
async fn the_room(stage: &mut Stage, folder: &Path, facts: &Facts) -> Result<()> {
    stage.step("2. A room, and a policy for every table")?;
    stage.say(
        "The files with tokens go to whoever runs the room; the addresses stay where they are. Each owner writes down what may be \
         asked of its table. The retailer about its purchases:",
    )?;
    stage.quote(PURCHASES)?;
    stage.say("With one such policy for every table, the room is set up:")?;
    let folder = folder.join("room");
    write_documents(&folder)?;
    stage.command("cleanroom apply -f room.yaml")?;
    let files = RoomFiles::open(&folder.join("room.yaml"), None)?;
    let tables = files.tables()?;
    let session = files.session().await?;
    let steps = std::cell::RefCell::new(Vec::new());
    session.apply(&tables, &[], |step| steps.borrow_mut().push(step.clone())).await?;
    stage.steps(&steps.into_inner())?;

    answered(stage, &session, facts).await?;
    suppressed(stage, &session, facts).await?;
    refused(stage, &session).await?;

    noisy(stage, &session).await?;

    stage.step("7. The log")?;
    stage.say("All of this was written to the room's log before anyone saw an answer:")?;
    evidence::log(stage, &session).await?;
    let log = session.registry.log_directory(&session.room.name);
    let key = session.registry.log_vkey(&session.room.name).await?;
    session.registry.close().await;
    evidence::verify(stage, &log, &key)
}

/// 3: what is answered.
async fn answered(stage: &mut Stage, session: &Session, facts: &Facts) -> Result<()> {
    stage.step("3. Questions that are answered")?;
    stage.say("The agency asks in plain SQL. How many people do the partners have in common?")?;
    let overlap = "\
SELECT COUNT(DISTINCT p.email) AS people
FROM retailer.purchases p
JOIN agency.exposures e ON e.email = p.email";
    let rows = stage.answered(session, overlap).await?;
    let people = rows.first().and_then(|row| row.get(0)).and_then(serde_json::Value::as_u64);
    stage.expect(people == Some(facts.common), "the overlap is what it was made to be");

    stage.say("What did people buy while the campaign ran that they saw?")?;
    let sales = "\
SELECT c.campaign, COUNT(DISTINCT p.email) AS buyers, SUM(p.amount) AS sales
FROM agency.exposures e
JOIN agency.campaigns c ON c.campaign_id = e.campaign_id
JOIN retailer.purchases p ON p.email = e.email AND p.bought_on BETWEEN c.starts AND c.ends
GROUP BY c.campaign_id, c.campaign
ORDER BY sales DESC";
    let rows = stage.answered(session, sales).await?;
    stage.expect(rows.len() == 4, "all four campaigns are shown");

    stage.say("How many of the retailer's customers did each channel reach?")?;
    let reach = "\
SELECT e.channel, COUNT(DISTINCT e.email) AS customers
FROM agency.exposures e
WHERE e.email IN (SELECT email FROM retailer.purchases)
GROUP BY e.channel
ORDER BY customers DESC";
    let rows = stage.answered(session, reach).await?;
    stage.expect(rows.len() == 4, "all four channels are shown");

    stage.say("How do sales split among the departments that sell for more than 50 000? To SQL, what is released is ordinary data:")?;
    let share = "\
SELECT d.department, SUM(p.amount) AS sales,
       ROUND(100 * SUM(p.amount) / SUM(SUM(p.amount)) OVER (), 1) AS percent
FROM retailer.purchases p
JOIN retailer.products d ON d.product_id = p.product_id
GROUP BY d.department
HAVING SUM(p.amount) > 50000
ORDER BY sales DESC";
    let rows = stage.answered(session, share).await?;
    stage.expect(!rows.is_empty() && rows.len() < 8, "only the larger departments are shown");
    Ok(())
}

/// 4: what is answered in part.
async fn suppressed(stage: &mut Stage, session: &Session, facts: &Facts) -> Result<()> {
    stage.step("4. Small groups do not show")?;
    let sql = "\
SELECT town, COUNT(DISTINCT email) AS customers, SUM(amount) AS sales
FROM retailer.purchases
GROUP BY town
ORDER BY town";
    let rows = stage.answered(session, sql).await?;
    let shown: Vec<&str> = rows.iter().filter_map(|row| row.get(0)?.as_str()).collect();
    let large = facts.customers_by_town.iter().filter(|(_, people)| **people >= FLOOR);
    stage
        .expect(large.map(|(town, _)| *town).eq(shown), "the towns that are shown are those with 25 customers or more");
    let small: Vec<String> = facts
        .customers_by_town
        .iter()
        .filter(|(_, people)| **people < FLOOR)
        .map(|(town, people)| format!("{town} ({people} customers)"))
        .collect();
    stage.say(&format!(
        "Whoever made the data up knows that there are {} towns. {} are not shown: the retailer's floor is {FLOOR} people. The \
         answer does not say how many groups are missing, or whether any is.",
        facts.customers_by_town.len(),
        small.join(" and "),
    ))
}

/// 5: what is not answered.
async fn refused(stage: &mut Stage, session: &Session) -> Result<()> {
    stage.step("5. Questions that are refused")?;
    stage.say("A refusal depends on the question and the policies alone, never on the data. Rows do not leave:")?;
    stage.refused(session, "SELECT town, bought_on, amount FROM retailer.purchases", "CR2101").await?;
    stage.say("Nobody is looked up:")?;
    let sql = "SELECT SUM(amount) AS spent FROM retailer.purchases WHERE email = 'jonas.weber.19999@example.org'";
    stage.refused(session, sql, "CR2104").await?;
    stage.say("A column that the policy does not list cannot be told from one that does not exist:")?;
    stage.refused(session, "SELECT AVG(margin) AS margin FROM retailer.purchases", "CR1005").await
}

/// 6: what is answered with noise.
async fn noisy(stage: &mut Stage, session: &Session) -> Result<()> {
    stage.step("6. Noise and budgets")?;
    stage.say(
        "Where a policy asks for noise, every number gets as much of it as hides any one person, and the owner's budget is charged \
         before a row is read. Once it is used up, nothing more is answered. The retailer's returns are such a table:",
    )?;
    stage.quote(RETURNS)?;
    let sql = "SELECT reason, COUNT(*) AS things FROM retailer.returns GROUP BY reason ORDER BY reason";
    let rows = stage.answered(session, sql).await?;
    stage.expect(rows.len() == 3, "every declared reason is shown");
    stage.say("The same question again, whatever it calls things, is the same numbers and costs nothing, so that nobody averages the noise away:")?;
    let sql = "SELECT r.reason AS why, COUNT(*) AS number FROM retailer.returns r GROUP BY 1 ORDER BY 1";
    let again = stage.answered(session, sql).await?;
    stage.expect(again == rows, "the same question has the same numbers");
    Ok(())
}

fn close(stage: &Stage, kept: Option<&Path>, started: Instant) -> Result<Exit> {
    stage.step("What to try next")?;
    let folder = match kept {
        Some(folder) => {
            stage.say(&format!("The files are in `{}`.", folder.display()))?;
            folder.display().to_string()
        }
        None => {
            stage.say("The files of this run are gone. `cleanroom demo --keep demo` keeps them; then:")?;
            "demo".to_owned()
        }
    };
    stage.command(&format!("cd {folder}/room"))?;
    stage.command("cleanroom catalog --room room.yaml --as agency")?;
    stage.command(
        "cleanroom query --room room.yaml --as agency \"SELECT channel, COUNT(*) AS n FROM agency.exposures GROUP BY channel\"",
    )?;
    stage.command("cleanroom query --room room.yaml --as agency --dry-run \"SELECT SUM(amount) AS sales FROM retailer.purchases\"")?;
    stage.command("cleanroom audit log --room room.yaml --type query.refused")?;
    stage.command("cleanroom audit verify .cleanroom --key .cleanroom/log/demo/log.pub")?;
    if let Ok(program) = std::env::current_exe() {
        stage.say(&format!("`cleanroom` is `{}`.", program.display()))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    match stage.failures() {
        [] => {
            stage.say(&format!("Everything went as told, in {seconds:.0} seconds."))?;
            Ok(Exit::Done)
        }
        failures => Err(Fault::failure(
            format!("the demonstration did not go as told: {}", failures.join("; ")),
            "please report this, with everything that was printed",
        )),
    }
}

fn write_documents(folder: &Path) -> Result<()> {
    let write = |path: PathBuf, text: &str| fs::write(&path, text).map_err(|error| Fault::write(&path, &error));
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).map_err(|error| Fault::write(&policies, &error))?;
    write(folder.join("room.yaml"), ROOM)?;
    POLICIES.iter().try_for_each(|(name, text)| write(policies.join(name), text))
}

/// Where the demonstration takes place.
enum Place {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Place {
    fn new(kept: Option<&Path>) -> Result<Self> {
        let Some(path) = kept else {
            let folder = tempfile::Builder::new().prefix("cleanroom-demo-").tempdir();
            return folder.map(Self::Temporary).map_err(|error| Fault::write(&std::env::temp_dir(), &error));
        };
        fs::create_dir_all(path).map_err(|error| Fault::write(path, &error))?;
        let mut entries = fs::read_dir(path).map_err(|error| Fault::read(path, &error))?;
        if entries.next().is_some() {
            return Err(Fault::usage(
                format!("`{}` is not empty", path.display()),
                "name a folder that is new or empty",
            ));
        }
        let path = path.canonicalize().map_err(|error| Fault::read(path, &error))?;
        Ok(Self::Kept(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
