//! What is asked: SQL, or a template of the room, and the values of its parameters.

use std::collections::BTreeMap;

use cleanroom_policy::{Parameter, TemplateName};
use cleanroom_registry::{Registry, TemplateUse};
use serde_json::Value;

use crate::parameters::MAX_PARAMETERS;
use crate::refusal::{Code, Refusal};
use crate::vault::{Request, Unavailable};

/// Largest values of all parameters together, as JSON, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A statement; `:name` in it stands for a parameter.
    Sql(String),
    /// The template of that name, as it stands in the room.
    Template(String),
}

/// A question with the text behind its template.
pub(crate) struct Asked {
    pub(crate) sql: String,
    pub(crate) template: Option<TemplateUse>,
    /// What the template declares; `None` for a question in SQL.
    pub(crate) declared: Option<BTreeMap<String, Parameter>>,
    /// The values given, as they are recorded.
    pub(crate) params: Option<String>,
    /// Why it cannot be asked at all.
    pub(crate) refused: Option<Refusal>,
}

impl Asked {
    /// Looks a question's template up.
    pub(crate) async fn of(request: &Request, registry: &Registry) -> Result<Self, Unavailable> {
        let mut asked = Self { sql: String::new(), template: None, declared: None, params: None, refused: None };
        match &request.question {
            Question::Sql(sql) => asked.sql.clone_from(sql),
            Question::Template(name) => {
                let record = match TemplateName::new(name) {
                    Ok(name) => registry.template(&request.room, &name).await?,
                    Err(_rule) => None,
                };
                match record {
                    Some(record) => {
                        asked.sql = record.template.sql.value;
                        asked.template = Some(TemplateUse { name: record.template.name, digest: record.digest });
                        asked.declared = Some(record.template.parameters);
                    }
                    None => {
                        let refusal = Refusal::new(Code::UnknownName, "the room has no template of this name");
                        asked.refused = Some(refusal.suggest("see `cleanroom get templates`"));
                    }
                }
            }
        }
        if !request.params.is_empty() {
            match recorded(&request.params) {
                Some(params) => asked.params = Some(params),
                None => {
                    let detail =
                        format!("there are more than {MAX_PARAMETERS} parameters, or their values are too large");
                    asked.refused = Some(Refusal::new(Code::TooLarge, detail));
                }
            }
        }
        Ok(asked)
    }
}

fn recorded(params: &BTreeMap<String, Value>) -> Option<String> {
    let text = (params.len() <= MAX_PARAMETERS).then(|| serde_json::to_string(params).ok()).flatten()?;
    (text.len() <= MAX_BYTES).then_some(text)
}
