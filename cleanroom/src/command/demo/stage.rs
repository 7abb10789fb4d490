//! What the demonstration shows, and whether it went as told.

use std::collections::BTreeMap;
use std::path::Path;

use cleanroom_keys::{RoomKey, TerminalProgress, TokenizeOptions, tokenize};
use cleanroom_registry::QueryId;
use cleanroom_vault::{Question, Request};
use serde_json::Value;

use crate::answer::Answer;
use crate::command::query::noise_lines;
use crate::embedded::{Session, Step};
use crate::fault::{Fault, Result};
use crate::output::print;
use crate::render;

const WIDTH: usize = 100;

/// Prints the demonstration and keeps what went differently.
#[derive(Debug, Default)]
pub(super) struct Stage {
    failures: Vec<String>,
}

impl Stage {
    /// What was not as told.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Holds the demonstration to what it tells.
    pub(super) fn expect(&mut self, kept: bool, what: &str) {
        if !kept {
            self.failures.push(format!("not so: {what}"));
        }
    }

    /// A heading.
    pub(super) fn step(&self, title: &str) -> Result<()> {
        print(&format!("\n\n{title}\n{}", "=".repeat(title.chars().count())))
    }

    /// A paragraph.
    pub(super) fn say(&self, text: &str) -> Result<()> {
        print(&format!("\n{}", wrapped(text)))
    }

    /// A command that a user could type.
    pub(super) fn command(&self, line: &str) -> Result<()> {
        print(&format!("  $ {line}"))
    }

    /// A text, indented.
    pub(super) fn quote(&self, text: &str) -> Result<()> {
        let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
        print(&format!("\n{}\n", lines.join("\n")))
    }

    /// A table.
    pub(super) fn table(&self, header: &[&str], rows: &[Vec<String>]) -> Result<()> {
        print(&render::text_table(header, rows))
    }

    /// What an apply changed.
    pub(super) fn steps(&self, steps: &[Step]) -> Result<()> {
        let rows: Vec<Vec<String>> = steps
            .iter()
            .map(|step| vec![step.kind.to_owned(), step.name.clone(), step.change.to_owned(), step.detail.clone()])
            .collect();
        self.table(&["kind", "name", "change", "detail"], &rows)
    }

    /// Tokenises a partner's file into the room's. Gives the number of tokens.
    pub(super) fn tokenise(&self, folder: &Path, source: &str, key: &Path) -> Result<u64> {
        let name = source.rsplit('/').next().unwrap_or(source);
        let output = format!("room/data/{name}.parquet");
        self.command(&format!("cleanroom tokenize {source}.parquet -o {output} --key room.key --column email=email"))?;
        let options = TokenizeOptions {
            input: folder.join(format!("{source}.parquet")),
            output: folder.join(output),
            key: RoomKey::load(key).map_err(|error| Fault::failure(error, ""))?,
            columns: vec![("email".to_owned(), "email".to_owned())],
            region: None,
            skip_bad: false,
            force: false,
        };
        let report = tokenize(&options, &TerminalProgress::new()).map_err(|error| Fault::failure(error, ""))?;
        Ok(report.tokenised)
    }

    /// Asks a question that is to be answered. Gives the rows.
    pub(super) async fn answered(&mut self, session: &Session, sql: &str) -> Result<Vec<Value>> {
        let object = self.ask(session, sql).await?;
        let released = object.get("outcome").and_then(Value::as_str) == Some("released");
        self.expect(released, "the question is answered");
        Ok(object.get("rows").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Asks a question that is to be refused with this code.
    pub(super) async fn refused(&mut self, session: &Session, sql: &str, code: &str) -> Result<()> {
        let object = self.ask(session, sql).await?;
        let error = object.get("error").unwrap_or(&Value::Null);
        self.expect(
            error.get("code").and_then(Value::as_str) == Some(code),
            &format!("the question is refused with {code}"),
        );
        Ok(())
    }

    /// Asks as the agency, by the door that `cleanroom query` uses, and shows what comes of it.
    async fn ask(&self, session: &Session, sql: &str) -> Result<Value> {
        self.quote(sql)?;
        let analyst = session.analyst(None)?;
        let request = Request {
            query_id: QueryId::generate()?,
            room: session.room.name.clone(),
            receiver: analyst.clone(),
            analyst,
            question: Question::Sql(sql.to_owned()),
            params: BTreeMap::new(),
            dry_run: false,
            spending: Default::default(),
        };
        let decision = session.vault.answer(request).await?;
        let answer = Answer::decided(decision, &session.registry).await?;
        let object = answer.to_json()?;
        match answer.batch() {
            Some(batch) => {
                let table = render::batch_table(batch)
                    .map_err(|error| Fault::failure(format!("the answer cannot be shown: {error}"), ""))?;
                print(&table)?;
                noise_lines(&object).iter().try_for_each(|line| print(line))?;
                let notes = object.get("notes").and_then(Value::as_array).into_iter().flatten();
                notes.filter_map(Value::as_str).try_for_each(|note| print(&format!("note: {note}")))?;
            }
            None => print(&render::refusal_text(object.get("error").unwrap_or(&Value::Null), sql))?,
        }
        Ok(object)
    }
}

/// A paragraph in lines of a readable width.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_page_and_no_word_is_lost() {
        let text = "word ".repeat(100);
        let page = wrapped(&text);
        assert!(page.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(page.split_whitespace().count(), 100);
        assert_eq!(page.lines().count(), 5);
    }
}
