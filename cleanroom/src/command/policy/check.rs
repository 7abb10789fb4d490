//! `cleanroom policy check`

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_policy::{
    Document, DocumentError, Policy, Room, Warning, check_policy_in_room, lint_policy, lint_policy_in_room,
    parse_documents,
};
use serde_json::{Value, json};

use super::data_lint;
use super::rows::OwnRows;
use crate::command::block_on;
use crate::embedded::{RoomFiles, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};

#[derive(Debug, Args)]
pub(in crate::command) struct CheckArgs {
    /// Policies, rooms or templates
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Checks the policies against this room as well: its tables, partners, other policies and data
    #[arg(long, value_name = "FILE")]
    room: Option<PathBuf>,

    /// Checks the one policy against the rows of this file: Parquet, CSV or JSON lines
    #[arg(long, value_name = "FILE", conflicts_with = "room")]
    data: Option<PathBuf>,

    /// Ends with 1 where there are warnings
    #[arg(long)]
    strict: bool,
}

/// A warning and the file it is about.
struct Found {
    file: String,
    warning: Warning,
}

pub(super) fn run(args: &CheckArgs, format: Format) -> Result<Exit> {
    let room = args.room.as_deref().map(|path| RoomFiles::open(path, None)).transpose()?;
    let (mut errors, mut checked, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.files {
        let label = path.display().to_string();
        match parse_documents(&label, &read_document(path)?) {
            Err(mut found) => errors.append(&mut found),
            Ok(documents) => {
                for document in documents {
                    let (kind, name, more) = describe(&document);
                    errors.append(&mut in_room(&document, room.as_ref().map(RoomFiles::room), &label));
                    checked.push([label.clone(), kind.to_owned(), name, more]);
                    if let Document::Policy(policy) = document {
                        policies.push((label.clone(), policy));
                    }
                }
            }
        }
    }
    if !errors.is_empty() {
        return Err(Fault::documents(errors));
    }
    if args.data.is_some() && policies.len() != 1 {
        return Err(Fault::usage(
            format!("`--data` is the file of one table, and {} policies are named", policies.len()),
            "name one policy; or check the room with `--room FILE`, which knows the file of every table",
        ));
    }
    let mut notes = Vec::new();
    let found = block_on(warnings(&policies, room.as_ref(), args.data.as_deref(), &mut notes))?;
    show(format, &checked, &found, &notes)?;
    Ok(if args.strict && !found.is_empty() { Exit::Failure } else { Exit::Done })
}

async fn warnings(
    policies: &[(String, Policy)],
    room: Option<&RoomFiles>,
    data: Option<&Path>,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>> {
    // A room whose other policies are broken still has this one checked: they are looked at as far as they can be read.
    let others: Vec<Policy> = room.map(RoomFiles::readable_policies).unwrap_or_default();
    let others: Vec<&Policy> = others.iter().collect();
    let mut found = Vec::new();
    for (label, policy) in policies {
        let mut warnings = lint_policy(policy);
        if let Some(room) = room {
            warnings.append(&mut lint_policy_in_room(room.room(), policy, &others));
        }
        let source = match (data, room) {
            (Some(path), _) => Some(path.to_owned()),
            (None, Some(room)) => room.room().table(&policy.table).and_then(|table| room.readable_source(table)),
            (None, None) => None,
        };
        match source {
            Some(path) => {
                let own = OwnRows::open(&path, Some(policy)).await?;
                notes.extend(own.notes().iter().map(|note| format!("{}: {note}", path.display())));
                let looked = data_lint::lint_rows(policy, &own).await?;
                warnings.extend(looked.warnings);
                notes.extend(looked.notes.into_iter().map(|note| format!("{}: {note}", policy.table)));
            }
            None if room.is_some() => {
                notes.push(format!("{}: its data is not here, so only its text was checked", policy.table))
            }
            None => {}
        }
        warnings.sort_by_key(|warning| warning.line);
        found.extend(warnings.into_iter().map(|warning| Found { file: label.clone(), warning }));
    }
    Ok(found)
}

fn show(format: Format, checked: &[[String; 4]], found: &[Found], notes: &[String]) -> Result<()> {
    let value = json!({
        "checked": checked
            .iter()
            .map(|[file, kind, name, more]| json!({ "file": file, "kind": kind, "name": name, "more": more }))
            .collect::<Vec<_>>(),
        "warnings": found
            .iter()
            .map(|Found { file, warning }| json!({
                "file": file,
                "line": warning.line,
                "rule": warning.rule,
                "message": warning.message,
                "remedy": warning.remedy,
            }))
            .collect::<Vec<Value>>(),
        "notes": notes,
    });
    let rows: Vec<Vec<String>> = checked.iter().map(|row| row.to_vec()).collect();
    list(format, &["file", "kind", "name", ""], &rows, &value)?;
    if format != Format::Json {
        // Beside the table rather than in it: a sentence for people, also where the output is piped on.
        for Found { file, warning } in found {
            let rule = warning.rule.clone();
            let error = warning.clone().in_file(file);
            let place = match error.line {
                Some(line) => format!("{}:{line}", error.file),
                None => error.file,
            };
            eprintln!("warning: {place}: {rule}: {}", error.message);
            eprintln!("  help: {}", error.remedy);
        }
        for note in notes {
            eprintln!("note: {note}");
        }
    }
    Ok(())
}

fn describe(document: &Document) -> (&'static str, String, String) {
    match document {
        Document::Room(room) => ("Room", room.name.to_string(), format!("{} partners", room.partners.len())),
        Document::Policy(policy) => ("Policy", policy.table.to_string(), format!("version {}", policy.version)),
        Document::Template(template) => {
            ("Template", template.name.to_string(), format!("{} parameters", template.parameters.len()))
        }
    }
}

fn in_room(document: &Document, room: Option<&Room>, label: &str) -> Vec<DocumentError> {
    match (document, room) {
        (Document::Policy(policy), Some(room)) => {
            check_policy_in_room(room, policy).into_iter().map(|error| error.in_file(label)).collect()
        }
        _ => Vec::new(),
    }
}
