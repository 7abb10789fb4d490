//! `kind: Policy`: the document as a whole, whom it is about, joins and access. Columns and release have files of their own.

use std::collections::BTreeSet;

use crate::approval::TemplateApproval;
use crate::column;
use crate::fields::Fields;
use crate::model::{Access, AnalystTables, JoinKind, Joins, Located, Policy, Require, Subject, TablePattern};
use crate::names::{ColumnName, NameError, PartnerName, SpaceName, TableName};
use crate::release;
use crate::report::Report;
use crate::yaml::{Node, Value};

pub(crate) const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "table",
    "version",
    "unit",
    "public",
    "columns",
    "rows",
    "joins",
    "release",
    "noise",
    "access",
];
pub(crate) const JOIN_KEYS: &[&str] = &["require", "with", "types", "analyst_tables"];
/// What a policy approves stands in one log entry, whose length is limited.
const MAX_TEMPLATES: usize = 50;
pub(crate) const ACCESS_KEYS: &[&str] = &["analysts", "receivers", "queries", "templates"];

pub(crate) fn read(report: &mut Report<'_>, node: &Node) -> Option<Policy> {
    let fields = Fields::open(report, node, "", KEYS)?;
    let table = fields
        .require(report, "table", "write `table: owner.table`")
        .and_then(|node| report.name(node, "a table", TableName::parse));
    let version = fields
        .require(report, "version", "write `version: 1`, and count up with every change")
        .and_then(|node| report.integer(node, "a policy's version", 1));
    let subject = subject(report, &fields);
    let noise = match fields.get(report, "noise") {
        Some(node) => release::noise(report, node).map(Some),
        None => Some(None),
    };
    let columns = fields
        .require(report, "columns", "list the columns that queries may name")
        .and_then(|node| column::columns(report, node, subject.as_ref()?, fields.has("noise")));
    let release = match &subject {
        Some(subject) => release::release(report, &fields, subject),
        None => None,
    };
    let rows = match fields.get(report, "rows") {
        Some(node) => report
            .filled_text(node, "a row filter")
            .map(|text| Some(Located { value: text.to_owned(), line: node.at.line })),
        None => Some(None),
    };
    let joins = match fields.get(report, "joins") {
        Some(node) => joins(report, node),
        None => Some(Joins::default()),
    };
    let access = fields
        .require(report, "access", "write `access: {analysts: [PARTNER]}`; nobody may ask otherwise")
        .and_then(|node| access(report, node));
    Some(Policy {
        table: table?,
        version: version?,
        subject: subject?,
        columns: columns?,
        rows: rows?,
        joins: joins?,
        release: release?,
        noise: noise?,
        access: access?,
        lines: report.lines(),
    })
}

impl Policy {
    /// The line of a rule, by its dotted path (`columns.amount.bounds`), from 1. A rule that the document leaves to its default stands
    /// on the line of the nearest rule around it; `None` where there is none either.
    pub fn line(&self, rule: &str) -> Option<usize> {
        let mut path = rule;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

fn subject(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<Subject> {
    let public = match fields.get(report, "public") {
        Some(node) => report.flag(node, "`public`")?,
        None => false,
    };
    if !public {
        let remedy =
            "write `unit: {column: COLUMN, space: SPACE}`, or `public: true` for a reference table about nobody";
        let node = fields.require(report, "unit", remedy)?;
        return unit(report, node);
    }
    for (key, why) in [
        ("unit", "a reference table has no unit"),
        ("release", "a reference table has no floor"),
        ("noise", "a reference table needs no noise"),
    ] {
        if fields.has(key) {
            let message = format!("`{key}` beside `public: true`: {why}");
            let remedy = format!("remove `{key}`, or `public: true` if the rows are about someone");
            report.error(fields.at_key(key), message, remedy);
        }
    }
    Some(Subject::Public)
}

fn unit(report: &mut Report<'_>, node: &Node) -> Option<Subject> {
    let fields = Fields::open(report, node, "unit", &["column", "space"])?;
    let column = fields
        .require(report, "column", "name the column that holds the identity")
        .and_then(|node| report.name(node, "a column's name", ColumnName::new));
    let space = fields
        .require(report, "space", "name the identity space, such as `email` or `household`")
        .and_then(|node| report.name(node, "an identity space", SpaceName::new));
    Some(Subject::Unit { column: column?, space: space? })
}

impl Default for Joins {
    /// What a policy without `joins` says: inner and semi joins with any table, none required.
    fn default() -> Self {
        Self {
            require: Require::None,
            with: None,
            types: BTreeSet::from([JoinKind::Inner, JoinKind::Semi]),
            analyst_tables: AnalystTables::Distinct,
        }
    }
}

fn joins(report: &mut Report<'_>, node: &Node) -> Option<Joins> {
    let fields = Fields::open(report, node, "joins", JOIN_KEYS)?;
    let default = Joins::default();
    let require = match fields.get(report, "require") {
        Some(node) => report.word(node, "a required join", Require::WORDS),
        None => Some(default.require),
    };
    let with = match fields.get(report, "with") {
        Some(node) => patterns(report, node),
        None => Some(None),
    };
    let types = match fields.get(report, "types") {
        Some(node) => report.word_set(node, "a join type", JoinKind::WORDS),
        None => Some(default.types),
    };
    let analyst_tables = match fields.get(report, "analyst_tables") {
        Some(node) => report.word(node, "a way to join the analyst's tables", AnalystTables::WORDS),
        None => Some(default.analyst_tables),
    };
    let joins = Joins { require: require?, with: with?, types: types?, analyst_tables: analyst_tables? };
    if joins.with.as_ref().is_some_and(Vec::is_empty) && joins.require != Require::None {
        report.error(
            fields.at_key("require"),
            "a join is required, and `with` allows none",
            "name the tables in `with`, or remove `require`",
        );
    }
    Some(joins)
}

/// `None` inside means any table, an empty list no table.
fn patterns(report: &mut Report<'_>, node: &Node) -> Option<Option<Vec<TablePattern>>> {
    let mut patterns = Vec::new();
    let mut any = false;
    for item in report.list(node, "`with`")? {
        match report.name(item, "a table or pattern", pattern)? {
            Some(pattern) => patterns.push(pattern),
            None => any = true,
        }
    }
    // One form for one meaning, whatever the order of the list.
    patterns.sort_by(|a, b| (&a.partner, &a.table).cmp(&(&b.partner, &b.table)));
    patterns.dedup();
    Some((!any).then_some(patterns))
}

fn pattern(text: &str) -> Result<Option<TablePattern>, PatternError> {
    if text == "*" {
        return Ok(None);
    }
    let (partner, table) = text.split_once('.').ok_or(PatternError::Shape)?;
    let partner = PartnerName::new(partner).map_err(PatternError::Name)?;
    let table = if table == "*" {
        None
    } else {
        let name = TableName::new(partner.clone(), table).map_err(PatternError::Name)?;
        Some(name.table().to_owned())
    };
    Ok(Some(TablePattern { partner, table }))
}

#[derive(Debug, thiserror::Error)]
enum PatternError {
    #[error("write `owner.table`, `owner.*`, or `*` for any")]
    Shape,
    #[error(transparent)]
    Name(NameError),
}

fn access(report: &mut Report<'_>, node: &Node) -> Option<Access> {
    let fields = Fields::open(report, node, "access", ACCESS_KEYS)?;
    let analysts = fields
        .require(report, "analysts", "name the partners that may ask; nobody may otherwise")
        .and_then(|node| report_partners(report, node, "`analysts`"));
    let receivers = match fields.get(report, "receivers") {
        Some(node) => report_partners(report, node, "`receivers`"),
        None => analysts.clone(),
    };
    let queries_per_day = match fields.get(report, "queries") {
        Some(node) => queries(report, node).map(Some),
        None => Some(None),
    };
    let templates = match fields.get(report, "templates") {
        Some(node) => templates(report, node),
        None => Some(None),
    };
    Some(Access {
        analysts: analysts?,
        receivers: receivers?,
        queries_per_day: queries_per_day?,
        templates: templates?,
    })
}

fn report_partners(report: &mut Report<'_>, node: &Node, what: &str) -> Option<BTreeSet<PartnerName>> {
    report.set(node, what, |report, item| report.name(item, "a partner's name", PartnerName::new))
}

fn queries(report: &mut Report<'_>, node: &Node) -> Option<u64> {
    let fields = Fields::open(report, node, "access.queries", &["per_day"])?;
    let node = fields.require(report, "per_day", "write `queries: {per_day: 200}`")?;
    report.integer(node, "`per_day`", 1)
}

/// `None` inside means any SQL.
fn templates(report: &mut Report<'_>, node: &Node) -> Option<Option<BTreeSet<TemplateApproval>>> {
    match &node.value {
        Value::Scalar { .. } => report.word(node, "a rule for templates", &[("any", ())]).map(|()| None),
        Value::List(_) | Value::Map(_) => {
            let approvals = report.set(node, "`templates`", |report, item| {
                report.name(item, "a template's name", TemplateApproval::parse)
            })?;
            if approvals.len() > MAX_TEMPLATES {
                let message = format!("`templates` names more than {MAX_TEMPLATES}");
                report.error(node.at, message, "approve fewer, with more parameters");
                return None;
            }
            Some(Some(approvals))
        }
    }
}
