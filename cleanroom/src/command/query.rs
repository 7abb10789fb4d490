//! `cleanroom query`

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use clap::Args;
use cleanroom_registry::QueryId;
use cleanroom_vault::{Code, Request};
use serde_json::{Value, json};

use super::block_on;
use crate::answer::Answer;
use crate::client::{Client, segment};
use crate::embedded::Step;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, Sink, print};
use crate::render;
use crate::target::{Target, TargetArgs, room_path};

/// Longest query text that is read; the vault's own limit is lower.
const SQL_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The question; `-` reads it from standard input
    #[arg(value_name = "SQL", required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,

    /// Reads the question from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Decides and prices the question without running it
    #[arg(long)]
    dry_run: bool,

    /// Value of a template's parameter; templates are not available in this version
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Writes the answer to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,
}

/// An answer from either door.
struct Shown {
    /// The object of the contract.
    object: Value,
    /// The rows, where they are needed apart from the object.
    batch: Option<RecordBatch>,
}

pub(super) fn run(args: QueryArgs, format: Format) -> Result<Exit> {
    let sink = Sink::new(args.output.clone());
    sink.check(format)?;
    let sql = args.sql()?;
    if !args.params.is_empty() {
        return refuse_parameters(&sql, format, &sink);
    }
    let shown = match args.target.resolve()? {
        Target::Files(files, partner) => block_on(async {
            let session = files.enter(progress).await?;
            let analyst = session.analyst(partner)?;
            let request = Request {
                query_id: QueryId::generate()?,
                room: files.room().name.clone(),
                receiver: analyst.clone(),
                analyst,
                sql: sql.clone(),
                dry_run: args.dry_run,
            };
            let decision = session.vault.answer(request).await?;
            let answer = Answer::decided(decision, &session.registry).await?;
            session.registry.close().await;
            Ok(Shown { object: answer.to_json()?, batch: answer.batch().cloned() })
        })?,
        Target::Server(client, room) => ask_server(&client, room.as_deref(), &sql, args.dry_run, format)?,
    };
    show(&shown, &sql, format, &sink)
}

impl QueryArgs {
    fn sql(&self) -> Result<String> {
        let bytes = match (&self.sql, &self.file) {
            (Some(sql), _) if sql != "-" => return Ok(sql.clone()),
            (_, Some(path)) if path != Path::new("-") => {
                read(File::open(path)).map_err(|error| Fault::read(path, &error))?
            }
            _ => read(Ok(io::stdin().lock()))
                .map_err(|error| Fault::usage(format!("cannot read standard input: {error}"), ""))?,
        };
        if bytes.len() as u64 > SQL_BYTES {
            return Err(Fault::usage("the query is longer than 1 MiB", "shorten it"));
        }
        String::from_utf8(bytes).map_err(|_| Fault::usage("the query is not UTF-8 text", "save it as UTF-8"))
    }
}

/// Shows what the first use of a room does, to whoever watches.
fn progress(step: &Step) {
    if step.change != "unchanged" && io::stderr().is_terminal() {
        eprintln!("{} {}: {} ({})", step.kind, step.name, step.change, step.detail);
    }
}

fn refuse_parameters(sql: &str, format: Format, sink: &Sink) -> Result<Exit> {
    let object = json!({
        "outcome": "refused",
        "error": {
            "code": Code::NotAvailable.as_str(),
            "title": Code::NotAvailable.title(),
            "detail": "parameters belong to templates, which this version does not answer",
            "suggestion": "write the values into the SQL and leave `--param` out",
        },
    });
    show(&Shown { object, batch: None }, sql, format, sink)
}

fn ask_server(client: &Client, room: Option<&str>, sql: &str, dry_run: bool, format: Format) -> Result<Shown> {
    let room = room_path(client, room)?;
    let mut reply = client.post(&format!("{room}/queries"), &json!({ "sql": sql, "dry_run": dry_run }))?;
    // The server holds each request for a while, so this asks anew only a few times a minute.
    while reply.status == 202 {
        let Some(location) = reply.location.clone() else {
            return Err(Fault::failure("the server answered 202 and named no place to look", ""));
        };
        reply = client.get_reply(&location, "application/json")?;
    }
    let mut object = reply.json()?;
    if object.get("outcome").is_none() {
        return Err(reply.or_fault().err().unwrap_or_else(|| Fault::failure("the server gave no outcome", "")));
    }
    if let Some(members) = object.as_object_mut() {
        // A problem document carries the object of the contract among members of its own.
        for member in ["type", "title", "status", "detail", "instance"] {
            members.shift_remove(member);
        }
    }
    let query = object.get("query_id").and_then(Value::as_str);
    let batch = match (released(&object) && !is_dry(&object) && format != Format::Json, query) {
        (true, Some(query)) => {
            let path = format!("{room}/queries/{}/result", segment(query));
            let bytes = client.fetch(&path, "application/vnd.apache.arrow.stream")?.body;
            Some(render::from_ipc(&bytes).map_err(unreadable)?)
        }
        _ => None,
    };
    Ok(Shown { object, batch })
}

fn show(shown: &Shown, sql: &str, format: Format, sink: &Sink) -> Result<Exit> {
    let object = &shown.object;
    if format == Format::Json {
        sink.write(format!("{object}\n").as_bytes())?;
    } else if !released(object) {
        let error = object.get("error").unwrap_or(&Value::Null);
        eprint!("{}", render::refusal_text(error, sql));
        if let Some(query) = object.get("query_id").and_then(Value::as_str) {
            eprintln!("query {query} was recorded");
        }
    } else if is_dry(object) {
        dry(object)?;
    } else if let Some(batch) = &shown.batch {
        match format {
            Format::Table => sink.write(for_people(object, batch)?.as_bytes())?,
            Format::Csv => sink.write(&render::to_csv(batch).map_err(unreadable)?)?,
            Format::Arrow => sink.write(&render::to_arrow(batch).map_err(unreadable)?)?,
            Format::Parquet => sink.write(&render::to_parquet(batch).map_err(unreadable)?)?,
            Format::Json => {}
        }
    }
    Ok(match object.get("error").and_then(|error| error.get("code")).and_then(Value::as_str) {
        Some(code) => Exit::of_code(code),
        None if released(object) => Exit::Done,
        None => Exit::Failure,
    })
}

fn for_people(object: &Value, batch: &RecordBatch) -> Result<String> {
    let mut text = format!("{}\n", render::batch_table(batch).map_err(unreadable)?);
    for note in texts(object, "notes") {
        text.push_str(&format!("note: {note}\n"));
    }
    if let Some(query) = object.get("query_id").and_then(Value::as_str) {
        text.push_str(&format!("query {query}\n"));
    }
    Ok(text)
}

fn dry(object: &Value) -> Result<()> {
    let mut text = "the query would be answered; nothing was read or charged\n".to_owned();
    let columns: Vec<Vec<String>> = object
        .get("columns")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|column| {
            ["name", "type"].map(|key| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()).to_vec()
        })
        .collect();
    text.push_str(&render::text_table(&["column", "type"], &columns));
    for note in texts(object, "notes") {
        text.push_str(&format!("\nnote: {note}"));
    }
    print(&text)
}

fn texts<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn released(object: &Value) -> bool {
    object.get("outcome").and_then(Value::as_str) == Some("released")
}

fn is_dry(object: &Value) -> bool {
    object.get("dry_run").and_then(Value::as_bool) == Some(true)
}

fn read<R: io::Read>(source: io::Result<R>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source?.take(SQL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(error: impl std::fmt::Display) -> Fault {
    Fault::failure(format!("the answer cannot be shown: {error}"), "use `--format json`")
}
