//! `cleanroom budget`

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::fault::Result;
use crate::output::{Format, list, print};
use crate::target::{Target, TargetArgs, room_path};

/// Why there is none, in every room.
const NONE: &str = "no table has a privacy budget: this version answers without noise, under floors alone";

#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &BudgetArgs, format: Format) -> Result<Exit> {
    let budgets = match args.target.resolve()? {
        // No policy with noise is answered, so no budget is ever charged.
        Target::Files(files, _) => {
            files.tables()?;
            json!([])
        }
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            client.get(&format!("{room}/budgets"))?.get("budgets").cloned().unwrap_or_else(|| json!([]))
        }
    };
    if format == Format::Table && budgets.as_array().is_none_or(Vec::is_empty) {
        print(NONE)?;
    } else {
        list(format, &["table", "epsilon", "remaining"], &rows(&budgets), &budgets)?;
    }
    Ok(Exit::Done)
}

fn rows(budgets: &Value) -> Vec<Vec<String>> {
    let budgets = budgets.as_array().into_iter().flatten();
    budgets
        .map(|budget| {
            ["table", "epsilon", "remaining_epsilon"]
                .map(|key| {
                    budget
                        .get(key)
                        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                        .unwrap_or_default()
                })
                .to_vec()
        })
        .collect()
}
