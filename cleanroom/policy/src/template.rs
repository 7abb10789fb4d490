//! `kind: Template`

use std::collections::BTreeMap;

use crate::column;
use crate::fields::Fields;
use crate::model::{Located, Parameter, ParameterType, Template};
use crate::names::TemplateName;
use crate::parameter::ParameterValue;
use crate::report::Report;
use crate::yaml::{Node, shown};

const KEYS: &[&str] = &["apiVersion", "kind", "name", "description", "parameters", "sql"];
const PARAMETER_KEYS: &[&str] = &["type", "values"];

pub(crate) fn read(report: &mut Report<'_>, node: &Node) -> Option<Template> {
    let fields = Fields::open(report, node, "", KEYS)?;
    let name = fields
        .require(report, "name", "give the template a name")
        .and_then(|node| report.name(node, "a template's name", TemplateName::new));
    let description = match fields.get(report, "description") {
        Some(node) => report.text(node, "a description").map(str::to_owned),
        None => Some(String::new()),
    };
    let sql = fields
        .require(report, "sql", "write the query under `sql`")
        .and_then(|node| Some((node, report.filled_text(node, "`sql`")?)));
    let parameters = match fields.get(report, "parameters") {
        Some(node) => parameters(report, node),
        None => Some(BTreeMap::new()),
    };
    let (sql_node, sql) = sql?;
    let parameters = parameters?;
    for name in parameters.keys() {
        if !sql.contains(&format!(":{name}")) {
            let message = format!("parameter `{name}` does not occur in `sql`");
            let remedy = format!("write `:{name}` where it belongs, or take the parameter out");
            report.error(fields.at_key("parameters"), message, remedy);
        }
    }
    Some(Template {
        name: name?,
        description: description?,
        parameters,
        sql: Located { value: sql.to_owned(), line: sql_node.at.line },
    })
}

fn parameters(report: &mut Report<'_>, node: &Node) -> Option<BTreeMap<String, Parameter>> {
    let fields = Fields::open_any(report, node, "parameters")?;
    let mut parameters = BTreeMap::new();
    for entry in fields.entries() {
        if !parameter_name(&entry.key) {
            let message = format!("`{}` is not a parameter's name", shown(&entry.key));
            let remedy = "a parameter's name is 1 to 63 of a-z, 0-9 and `_`, starting with a letter";
            report.error(entry.at, message, remedy);
            continue;
        }
        let path = fields.path_of(&entry.key);
        if let Some(parameter) = parameter(report, &entry.value, &path) {
            parameters.insert(entry.key.clone(), parameter);
        }
    }
    Some(parameters)
}

fn parameter_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    starts && text.len() <= 63 && text.chars().all(known)
}

fn parameter(report: &mut Report<'_>, node: &Node, path: &str) -> Option<Parameter> {
    let fields = Fields::open(report, node, path, PARAMETER_KEYS)?;
    let kind = fields
        .require(report, "type", "give its type: `text`, `integer`, `decimal`, `date`, `timestamp` or `boolean`")
        .and_then(|node| report.word(node, "a type", ParameterType::WORDS));
    let values = match fields.get(report, "values") {
        Some(node) => column::values(report, node).map(Some),
        None => Some(None),
    };
    let (kind, values) = (kind?, values?);
    for value in values.iter().flatten() {
        if let Err(what) = ParameterValue::parse(kind, value) {
            let message = format!("`{}` is not {what}", shown(value));
            report.error(fields.at_key("values"), message, "give values of the parameter's type");
        }
    }
    Some(Parameter { kind, values })
}
