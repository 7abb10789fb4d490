//! What accepted statements are compiled to, in files beside their golden ones: `tests/golden/plans/NAME.plan` of each
//! `tests/golden/NAME.sql`.
//!
//! `UPDATE_GOLDEN=1` writes the files anew; what then differs is for a reviewer to judge.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use datafusion::logical_expr::LogicalPlan;

use crate::compile::{Parts, PrivateFamily, PrivatePlan, PrivateRelease};
use crate::deep;
use crate::testing::TestRoom;
use crate::three::{ROOM, files, fixed_rows, statements};

/// Everything that a statement reads and does, in the order in which it is run.
async fn compiled(room: &TestRoom, sql: &str) -> String {
    let (facts, reservation) = (room.facts().await, room.reservation().await);
    let (state, asked) = (room.state.clone(), sql.to_owned());
    let compiled = deep::run(move || {
        let plan = TestRoom::planned(&facts, &asked);
        PrivatePlan::compile(&state, TestRoom::checked(&facts, &plan), reservation).unwrap()
    });
    let Parts { reservation: _, releases, families, above, noise: _ } = compiled.await.unwrap().into_parts();
    let mut text = format!("{sql}\n");
    let mut add = |what: &str, plan: &LogicalPlan| {
        writeln!(text, "  {what}:").unwrap();
        for line in plan.display_indent().to_string().lines() {
            writeln!(text, "    {line}").unwrap();
        }
    };
    for PrivateRelease { release: _, plan, checks, histograms, evidence, audience } in &releases {
        plan.iter().for_each(|rows| add("release", &rows.plan));
        histograms.iter().for_each(|rows| add("histogram", &rows.plan));
        checks.iter().for_each(|plan| add("check", plan));
        evidence.iter().for_each(|rows| add("evidence", &rows.plan));
        audience.iter().for_each(|plan| add("audience", plan));
    }
    families.iter().for_each(|PrivateFamily { family: _, plan }| add("family", &plan.plan));
    add("above", &above);
    text
}

#[tokio::test]
async fn accepted_statements_are_compiled_as_their_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut golden: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    golden.retain(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let accepted = !["refused", "noise"].iter().any(|beginning| name.starts_with(beginning));
        path.extension().is_some_and(|extension| extension == "sql") && accepted
    });
    golden.sort();
    let room = TestRoom::of(ROOM, files(&fixed_rows(), "", false, |_table, columns| columns.to_owned())).await;
    let mut count = 0;
    for path in golden {
        let mut found = String::new();
        for sql in statements(&fs::read_to_string(&path).unwrap()) {
            writeln!(found, "{}", compiled(&room, &sql).await).unwrap();
            count += 1;
        }
        let plans = folder.join("plans").join(path.with_extension("plan").file_name().unwrap());
        if update {
            fs::create_dir_all(plans.parent().unwrap()).unwrap();
            fs::write(&plans, &found).unwrap();
        }
        let expected = fs::read_to_string(&plans).unwrap_or_default();
        let differs = expected.lines().zip(found.lines()).position(|(expected, found)| expected != found);
        let differs = differs.or((expected != found).then(|| expected.lines().count().min(found.lines().count())));
        if let Some(line) = differs {
            let (expected, found) = (expected.lines().nth(line), found.lines().nth(line));
            panic!("{}:{}: {expected:?} has become {found:?}; UPDATE_GOLDEN=1 writes it", plans.display(), line + 1);
        }
    }
    assert!(count >= 220, "only {count} statements: files went missing");
}
