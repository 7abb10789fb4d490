//! `cleanroom query`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use clap::Args;
use cleanroom_policy::{RoomName, TemplateName};
use cleanroom_registry::{QueryId, Registry};
use cleanroom_vault::{Question, Request, Spending};
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
    #[arg(value_name = "SQL", required_unless_present_any = ["file", "template"], conflicts_with_all = ["file", "template"])]
    sql: Option<String>,

    /// Reads the question from a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Asks through a template of the room, instead of SQL
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    template: Option<String>,

    /// Decides and prices the question without running it
    #[arg(long)]
    dry_run: bool,

    /// Value of a parameter, written `:NAME` in the SQL. A template gives it its type; in SQL a JSON number, boolean or string
    /// is one, and anything else is text
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Epsilon to spend of the budgets, where policies ask for noise; at most what each lets one question spend, which it is
    /// where nothing is said
    #[arg(long, value_name = "NUMBER")]
    epsilon: Option<f64>,

    /// How much of the epsilon to spend on a column of the answer, beside 1 for each of the others
    #[arg(long = "weight", value_name = "COLUMN=NUMBER")]
    weights: Vec<String>,

    /// Writes the answer to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Writes the receipt to a file: proof that the log holds this answer, for `cleanroom audit receipt verify`
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,
}

/// An answer from either door.
struct Shown {
    /// The object of the contract.
    object: Value,
    /// The rows, where they are needed apart from the object.
    batch: Option<RecordBatch>,
    /// The text that a refusal points into.
    sql: String,
}

pub(super) fn run(args: QueryArgs, format: Format) -> Result<Exit> {
    let sink = Sink::new(args.output.clone());
    sink.check(format)?;
    let question = args.question()?;
    let params = args.params()?;
    let spending = args.spending()?;
    let shown = match args.target.resolve()? {
        Target::Files(files, partner) => block_on(async {
            let session = files.enter(progress).await?;
            let analyst = session.analyst(partner)?;
            let request = Request {
                query_id: QueryId::generate()?,
                room: files.room().name.clone(),
                receiver: analyst.clone(),
                analyst,
                question: question.clone(),
                params: params.clone(),
                dry_run: args.dry_run,
                spending: spending.clone(),
            };
            let sql = match &question {
                Question::Sql(sql) => sql.clone(),
                Question::Template(name) => template_sql(&session.registry, &request.room, name).await?,
            };
            let decision = session.vault.answer(request).await?;
            let answer = Answer::decided(decision, &session.registry).await?;
            session.registry.close().await;
            Ok(Shown { object: answer.to_json()?, batch: answer.batch().cloned(), sql })
        })?,
        Target::Server(client, room) => {
            let body = body(&question, &params, &spending, args.dry_run);
            ask_server(&client, room.as_deref(), &question, &body, format)?
        }
    };
    if let Some(path) = &args.receipt {
        let receipt = shown.object.get("receipt").and_then(|receipt| receipt.get("proof")).and_then(Value::as_str);
        let none = || Fault::failure("the answer came without a receipt", "look the query up again");
        Sink::new(Some(path.clone())).write(receipt.ok_or_else(none)?.as_bytes())?;
    }
    show(&shown, format, &sink)
}

impl QueryArgs {
    fn question(&self) -> Result<Question> {
        match &self.template {
            Some(name) => Ok(Question::Template(name.clone())),
            None => self.sql().map(Question::Sql),
        }
    }

    /// The values given, each name once.
    fn params(&self) -> Result<BTreeMap<String, Value>> {
        let mut params = BTreeMap::new();
        for param in &self.params {
            let Some((name, text)) = param.split_once('=') else {
                return Err(Fault::usage("`--param` is not `NAME=VALUE`", "write it as `--param campaign=8`"));
            };
            let value = match self.template {
                // The template knows the type.
                Some(_) => json!(text),
                None => match serde_json::from_str::<Value>(text) {
                    Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
                    Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => json!(text),
                },
            };
            if params.insert(name.to_owned(), value).is_some() {
                return Err(Fault::usage("`--param` gives a parameter twice", "give each parameter one value"));
            }
        }
        Ok(params)
    }

    fn spending(&self) -> Result<Spending> {
        let mut weights = BTreeMap::new();
        for weight in &self.weights {
            let given = weight.rsplit_once('=').and_then(|(name, number)| Some((name, number.parse::<f64>().ok()?)));
            let Some((name, number)) = given else {
                return Err(Fault::usage("`--weight` is not `COLUMN=NUMBER`", "write it as `--weight households=2`"));
            };
            if weights.insert(name.to_owned(), number).is_some() {
                return Err(Fault::usage("`--weight` names a column twice", "give each column one weight"));
            }
        }
        Ok(Spending { epsilon: self.epsilon, weights })
    }

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

/// What a server is asked.
fn body(question: &Question, params: &BTreeMap<String, Value>, spending: &Spending, dry_run: bool) -> Value {
    let (key, text) = match question {
        Question::Sql(sql) => ("sql", sql),
        Question::Template(name) => ("template", name),
    };
    let mut body = json!({ key: text, "params": params, "dry_run": dry_run });
    if let Some(members) = body.as_object_mut() {
        if let Some(epsilon) = spending.epsilon {
            members.insert("epsilon".to_owned(), json!(epsilon));
        }
        if !spending.weights.is_empty() {
            members.insert("weights".to_owned(), json!(spending.weights));
        }
    }
    body
}

fn ask_server(client: &Client, room: Option<&str>, question: &Question, body: &Value, format: Format) -> Result<Shown> {
    let room = room_path(client, room)?;
    let mut reply = client.post(&format!("{room}/queries"), body)?;
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
    let sql = match question {
        Question::Sql(sql) => sql.clone(),
        Question::Template(name) if !released(&object) && format != Format::Json => {
            let template = client.get_reply(&format!("{room}/templates/{}", segment(name)), "application/json")?;
            let template = template.json().unwrap_or(Value::Null);
            template.get("sql").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Question::Template(_) => String::new(),
    };
    Ok(Shown { object, batch, sql })
}

/// The text behind a template; empty where there is none.
async fn template_sql(registry: &Registry, room: &RoomName, name: &str) -> Result<String> {
    let record = match TemplateName::new(name) {
        Ok(name) => registry.template(room, &name).await?,
        Err(_) => None,
    };
    Ok(record.map(|record| record.template.sql.value).unwrap_or_default())
}

fn show(shown: &Shown, format: Format, sink: &Sink) -> Result<Exit> {
    let object = &shown.object;
    if format == Format::Json {
        sink.write(format!("{object}\n").as_bytes())?;
    } else if !released(object) {
        let error = object.get("error").unwrap_or(&Value::Null);
        eprint!("{}", render::refusal_text(error, &shown.sql));
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
    for line in noise_lines(object) {
        text.push_str(&format!("{line}\n"));
    }
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
    for line in noise_lines(object) {
        text.push_str(&format!("\n{line}"));
    }
    for note in texts(object, "notes") {
        text.push_str(&format!("\nnote: {note}"));
    }
    print(&text)
}

/// How far off the numbers are likely to be, and what the answer costs.
pub(super) fn noise_lines(object: &Value) -> Vec<String> {
    let list = |key: &str| object.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).map(render::short).unwrap_or_default();
    let mut lines = Vec::new();
    for column in list("columns") {
        let (Some(name), Some(noise)) = (column.get("name").and_then(Value::as_str), column.get("noise")) else {
            continue;
        };
        let mechanism = noise.get("mechanism").and_then(Value::as_str).unwrap_or_default();
        let (scale, half) = (number(noise.get("scale")), number(noise.get("ci95")));
        lines.push(match (mechanism, half.is_empty()) {
            ("derived", true) => format!("{name}: computed from noisy numbers"),
            ("derived", false) => {
                format!("{name}: about ± {half} in 95 of 100 cases (computed from noisy numbers; of the median row)")
            }
            ("permute-and-flip" | "exponential", _) => {
                let (rows, step) = (number(noise.get("rank95")), number(noise.get("step")));
                format!(
                    "{name}: in 95 of 100 cases no more than {rows} rows from the quantile that it stands for, in steps of \
                     {step} ({mechanism} mechanism)"
                )
            }
            _ => format!("{name}: ± {half} in 95 of 100 cases ({mechanism} noise of scale {scale})"),
        });
    }
    for cost in list("cost") {
        let table = cost.get("table").and_then(Value::as_str).unwrap_or_default();
        let (epsilon, delta) = (number(cost.get("epsilon")), number(cost.get("delta")));
        let left = match cost.get("remaining_epsilon").and_then(Value::as_f64) {
            Some(left) => format!("; {} left", render::short(left)),
            None => String::new(),
        };
        lines.push(format!("cost of {table}: epsilon {epsilon}, delta {delta}{left}"));
    }
    lines
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
