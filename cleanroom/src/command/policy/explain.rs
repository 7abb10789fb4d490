//! `cleanroom policy explain`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::fault::Result;
use crate::output::{Format, list, print};

#[derive(Debug, Args)]
pub(in crate::command) struct ExplainArgs {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &ExplainArgs, format: Format) -> Result<Exit> {
    let policy = super::read(&args.file)?.policy;
    let explanation = policy.explain();
    if format == Format::Table {
        let mut text = format!("{} version {}\n\n{}\n", policy.table, policy.version, explanation.in_short);
        for section in &explanation.sections {
            text.push_str(&format!("\n{}\n", section.title));
            for sentence in &section.sentences {
                text.push_str(&format!("  - {sentence}\n"));
            }
        }
        print(&text)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = explanation
        .sections
        .iter()
        .flat_map(|section| section.sentences.iter().map(|sentence| vec![section.title.to_owned(), sentence.clone()]))
        .collect();
    let sections: Vec<Value> = explanation
        .sections
        .iter()
        .map(|section| json!({ "title": section.title, "sentences": section.sentences }))
        .collect();
    let value = json!({
        "table": policy.table.to_string(),
        "version": policy.version,
        "in_short": explanation.in_short,
        "sections": sections,
    });
    list(format, &["about", "sentence"], &rows, &value)?;
    Ok(Exit::Done)
}
