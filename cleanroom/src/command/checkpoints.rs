//! `cleanroom audit checkpoints`

use clap::Args;
use serde_json::{Value, json};

use super::block_on;
use crate::exit::Exit;
use crate::fault::Result;
use crate::listing;
use crate::output::{Format, list};
use crate::target::{Target, TargetArgs, room_path};

/// Checkpoints that are read at once.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct CheckpointsArgs {
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &CheckpointsArgs, format: Format) -> Result<Exit> {
    let limit = args.limit.min(PAGE);
    let checkpoints: Vec<Value> = match args.target.resolve()? {
        Target::Files(files, _) => block_on(async {
            let registry = files.records().await?;
            let notes = registry.checkpoints(&files.room().name, limit).await?;
            registry.close().await;
            Ok(notes.iter().map(|note| listing::checkpoint(note)).collect())
        })?,
        Target::Server(client, room) => {
            let path = format!("{}/log/checkpoints?limit={limit}", room_path(&client, room.as_deref())?);
            let listed = client.get(&path)?;
            listed.get("checkpoints").and_then(Value::as_array).cloned().unwrap_or_default()
        }
    };
    let text = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let rows: Vec<Vec<String>> =
        checkpoints.iter().map(|value| ["size", "root", "signed_by"].map(|key| text(value, key)).to_vec()).collect();
    list(format, &["entries", "root", "signed by"], &rows, &json!(checkpoints))?;
    Ok(Exit::Done)
}
