//! `cleanroom get`

use clap::{Args, ValueEnum};
use cleanroom_policy::{TableName, TemplateName};
use cleanroom_registry::QueryId;
use serde_json::{Value, json};

use super::block_on;
use crate::answer::Answer;
use crate::client::{Client, segment};
use crate::embedded::RoomFiles;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::listing;
use crate::output::{Format, list, print};
use crate::target::{Target, TargetArgs, room_path};

/// Most queries that are listed.
const QUERIES: u32 = 1000;

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// What to read
    #[arg(value_enum)]
    kind: Kind,

    /// One of them: a room, `owner.table`, a template, or a query's id
    name: Option<String>,

    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Rooms and their partners
    #[value(alias = "room")]
    Rooms,
    /// Policies in force
    #[value(alias = "policy")]
    Policies,
    /// Templates in force
    #[value(alias = "template")]
    Templates,
    /// Tables and how fresh they are
    #[value(alias = "table")]
    Tables,
    /// Questions that were asked, newest first
    #[value(alias = "query")]
    Queries,
}

pub(super) fn run(args: &GetArgs, format: Format) -> Result<Exit> {
    // A list of rooms needs no room.
    let value = match (args.kind, args.target.client()?) {
        (Kind::Rooms, Some(client)) => match &args.name {
            None => client.get("/v1/rooms")?.get("rooms").cloned().unwrap_or(Value::Null),
            Some(name) => client.get(&format!("/v1/rooms/{}", segment(name)))?,
        },
        _ => match args.target.resolve()? {
            Target::Files(files, _) => block_on(from_files(&files, args.kind, args.name.as_deref()))?,
            Target::Server(client, room) => {
                let room = room_path(&client, room.as_deref())?;
                from_server(&client, &room, args.kind, args.name.as_deref())?
            }
        },
    };
    if matches!(args.kind, Kind::Policies | Kind::Templates) && args.name.is_some() && format == Format::Table {
        print(value.get("text").and_then(Value::as_str).unwrap_or_default())?;
    } else if args.kind == Kind::Queries && args.name.is_some() {
        print(&value.to_string())?;
    } else {
        show(args.kind, &value, format)?;
    }
    Ok(Exit::Done)
}

async fn from_files(files: &RoomFiles, kind: Kind, name: Option<&str>) -> Result<Value> {
    let registry = files.records().await?;
    let file_room = files.room();
    let missing = |what: &str| {
        Fault::usage(
            format!("room `{}` has no {what}", file_room.name),
            format!("see `cleanroom get {what}s` for the names"),
        )
    };
    let Some(room) = registry.room(&file_room.name).await? else {
        return Err(Fault::usage(
            format!("room `{}` has not been used with this data directory", file_room.name),
            "use `cleanroom apply -f` first",
        ));
    };
    let value = match (kind, name) {
        (Kind::Rooms, None) => json!([listing::room(&room, None)]),
        (Kind::Rooms, Some(name)) if name == room.name.as_str() => listing::room(&room, None),
        (Kind::Rooms, Some(_)) => return Err(missing("room of that name")),
        (Kind::Tables, None) => json!(listing::tables(&registry, &room).await?),
        (Kind::Tables, Some(name)) => {
            named(listing::tables(&registry, &room).await?, name).ok_or_else(|| missing("table"))?
        }
        (Kind::Policies, None) => {
            let mut policies = Vec::new();
            for table in room.partners.iter().flat_map(|partner| &partner.tables) {
                policies.extend(registry.policy(&room.name, &table.name).await?.as_ref().map(listing::policy));
            }
            json!(policies)
        }
        (Kind::Policies, Some(name)) => {
            let table = TableName::parse(name).map_err(|error| Fault::usage(error, "name the table as queries do"))?;
            let record = registry.policy(&room.name, &table).await?.ok_or_else(|| missing("policy"))?;
            listing::policy(&record)
        }
        (Kind::Templates, None) => {
            let templates = registry.templates(&room.name).await?;
            json!(templates.iter().map(listing::template).collect::<Vec<_>>())
        }
        (Kind::Templates, Some(name)) => {
            let name = TemplateName::new(name).map_err(|error| Fault::usage(error, "correct the template's name"))?;
            let record = registry.template(&room.name, &name).await?.ok_or_else(|| missing("template"))?;
            listing::template(&record)
        }
        (Kind::Queries, None) => {
            let records = registry.queries(&room.name, None, QUERIES).await?;
            json!(records.iter().map(listing::query).collect::<Vec<_>>())
        }
        (Kind::Queries, Some(name)) => {
            let id = QueryId::parse(name).ok_or_else(|| missing("query"))?;
            let record = registry.query(&room.name, &id).await?.ok_or_else(|| missing("query"))?;
            let running = listing::query(&record);
            match Answer::stored(record, &registry).await? {
                Some(answer) => answer.to_json()?,
                None => running,
            }
        }
    };
    registry.close().await;
    Ok(value)
}

fn from_server(client: &Client, room: &str, kind: Kind, name: Option<&str>) -> Result<Value> {
    let list = |path: &str, key: &str| -> Result<Vec<Value>> {
        Ok(client.get(&format!("{room}/{path}"))?.get(key).and_then(Value::as_array).cloned().unwrap_or_default())
    };
    match (kind, name) {
        (Kind::Rooms, _) => client.get(room),
        (Kind::Tables, None) => Ok(json!(list("tables", "tables")?)),
        (Kind::Tables, Some(name)) => client.get(&format!("{room}/tables/{}", segment(name))),
        (Kind::Policies, Some(name)) => client.get(&format!("{room}/tables/{}/policy", segment(name))),
        (Kind::Policies, None) => {
            let mut policies = Vec::new();
            for table in list("tables", "tables")? {
                let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
                let reply = client.get_reply(&format!("{room}/tables/{}/policy", segment(name)), "application/json")?;
                // A partner is shown its own policies; of the others it sees the catalog.
                if reply.status == 200 {
                    policies.push(reply.json()?);
                }
            }
            Ok(json!(policies))
        }
        (Kind::Templates, None) => Ok(json!(list("templates", "templates")?)),
        (Kind::Templates, Some(name)) => client.get(&format!("{room}/templates/{}", segment(name))),
        (Kind::Queries, None) => Ok(json!(list("queries", "queries")?)),
        (Kind::Queries, Some(name)) => client.get(&format!("{room}/queries/{}", segment(name))),
    }
}

fn show(kind: Kind, value: &Value, format: Format) -> Result<()> {
    let keys: &[&str] = match kind {
        Kind::Rooms => &["name", "description", "partners"],
        Kind::Policies => &["table", "version", "digest"],
        Kind::Tables => &["name", "policy_version", "data_version", "updated", "description"],
        Kind::Templates => &["name", "version", "author", "description", "digest"],
        Kind::Queries => &["query_id", "analyst", "status", "code", "created", "sql"],
    };
    let one = [value.clone()];
    let items = value.as_array().map_or(one.as_slice(), Vec::as_slice);
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| keys.iter().map(|key| cell(item.get(*key))).collect()).collect();
    list(format, keys, &rows, value)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| cell(item.get("name").or(Some(item)))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

fn named(items: Vec<Value>, name: &str) -> Option<Value> {
    items.into_iter().find(|item| item.get("name").and_then(Value::as_str) == Some(name))
}
