//! Template documents, with the SQL in them.

use cleanroom_policy::{DocumentError, Template, parse_template};
use cleanroom_vault::check_template;

use crate::fault::{Fault, Result as Outcome};

/// A template and its text.
#[derive(Debug)]
pub(crate) struct TemplateFile {
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) template: Template,
}

impl TemplateFile {
    /// Reads a template document, and its SQL. `label` is how messages name it.
    pub(crate) fn parse(label: &str, text: String) -> Result<Self, Vec<DocumentError>> {
        let template = parse_template(label, &text)?;
        if let Err(refusal) = check_template(&template) {
            let place = refusal.position();
            let below = place.map_or(0, |span| usize::try_from(span.line).unwrap_or(0).saturating_sub(1));
            return Err(vec![DocumentError {
                file: label.to_owned(),
                line: Some(template.sql.line.saturating_add(below)),
                column: None,
                message: format!("`sql`: {} ({})", refusal.detail(), refusal.code().as_str()),
                remedy: "write one SELECT of the supported syntax, with the parameters that the template declares"
                    .to_owned(),
            }]);
        }
        Ok(Self { text, template })
    }
}

/// Templates that are put together: each name once, or which of them is in force would follow from their order.
pub(crate) fn together(templates: impl IntoIterator<Item = TemplateFile>) -> Outcome<Vec<TemplateFile>> {
    let templates: Vec<TemplateFile> = templates.into_iter().collect();
    let mut names: Vec<&str> = templates.iter().map(|file| file.template.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[&str]>::first) {
        Some(name) => {
            let message = format!("two templates are called `{name}`");
            Err(Fault::usage(message, "give each a name of its own, and apply each file once"))
        }
        None => Ok(templates),
    }
}
