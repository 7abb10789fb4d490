//! `cleanroom catalog`

use clap::Args;
use serde_json::Value;

use super::block_on;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};
use crate::target::{Target, TargetArgs, room_path};

#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &CatalogArgs, format: Format) -> Result<Exit> {
    let catalog = match args.target.resolve()? {
        Target::Files(files, partner) => block_on(async {
            let session = files.enter(|_| ()).await?;
            let caller = session.analyst(partner)?;
            let catalog = session.vault.catalog(&files.room().name, &caller).await?;
            session.registry.close().await;
            serde_json::to_value(catalog)
                .map_err(|error| Fault::failure(format!("cannot show the catalog: {error}"), ""))
        })?,
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            client.get(&format!("{room}/catalog"))?
        }
    };
    list(format, &["table", "column", "type", "uses", "more"], &rows(&catalog), &catalog)?;
    Ok(Exit::Done)
}

fn rows(catalog: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in catalog.get("tables").and_then(Value::as_array).into_iter().flatten() {
        let name = text(table, "name");
        for column in table.get("columns").and_then(Value::as_array).into_iter().flatten() {
            rows.push(vec![
                name.clone(),
                text(column, "name"),
                text(column, "type"),
                words(column, "uses"),
                more(table, column),
            ]);
        }
    }
    rows
}

fn more(table: &Value, column: &Value) -> String {
    let mut parts = Vec::new();
    let key = column.get("type").and_then(Value::as_str) == Some("key");
    if key && let Some(space) = table.get("space").and_then(Value::as_str) {
        parts.push(format!("space {space}"));
    }
    if key && let Some(floor) = table.get("min_units").and_then(Value::as_u64) {
        parts.push(format!("at least {floor} in a group"));
    }
    for (label, field) in [("of ", "functions"), ("one of ", "values")] {
        let words = words(column, field);
        if !words.is_empty() {
            parts.push(format!("{label}{words}"));
        }
    }
    if column.get("literals").and_then(Value::as_array).is_some() {
        parts.push(match words(column, "literals").as_str() {
            "" => "compared with columns only".to_owned(),
            listed => format!("compared with {listed} only"),
        });
    }
    if key && let Some(templates) = table.get("templates").and_then(Value::as_array) {
        let names = templates.iter().filter_map(Value::as_str).map(|text| text.split('@').next().unwrap_or(text));
        parts.push(format!("through templates {} only", names.collect::<Vec<_>>().join(", ")));
    }
    if let Some(bounds) = column.get("bounds") {
        parts.push(format!("clamped to {bounds}"));
    }
    parts.join("; ")
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn words(value: &Value, key: &str) -> String {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_column_has_a_line() {
        let catalog = json!({ "tables": [{ "name": "retailer.purchases", "space": "household", "min_units": 25, "columns": [
            { "name": "household_id", "type": "key", "uses": ["join", "count"] },
            { "name": "amount", "type": "Float64", "uses": ["measure"], "functions": ["sum"], "bounds": [0.0, 500.0] },
            { "name": "store", "type": "Utf8", "uses": ["filter"], "literals": ["8", "13"] },
            { "name": "town", "type": "Utf8", "uses": ["filter"], "literals": [] },
        ] }] });
        let rows = rows(&catalog);
        assert_eq!(
            rows.iter().map(|row| row.join("|")).collect::<Vec<_>>(),
            [
                "retailer.purchases|household_id|key|join, count|space household; at least 25 in a group",
                "retailer.purchases|amount|Float64|measure|of sum; clamped to [0.0,500.0]",
                "retailer.purchases|store|Utf8|filter|compared with 8, 13 only",
                "retailer.purchases|town|Utf8|filter|compared with columns only",
            ]
        );
    }
}
