//! What a policy is meant to answer and to refuse, and data made up for trying it: `cases.yaml` and `schema.yaml` beside a room.

use crate::document::single;
use crate::error::DocumentError;
use crate::fields::Fields;
use crate::model::Located;
use crate::names::{ColumnName, NameError, PartnerName, TableName};
use crate::report::Report;
use crate::yaml::{Node, Value};

const KEYS: &[&str] = &["accepted", "refused"];
const CASE_KEYS: &[&str] = &["as", "sql", "code"];
const TABLE_KEYS: &[&str] = &["rows", "columns"];
const COLUMN_KEYS: &[&str] = &["type", "units", "distinct", "values", "range", "sequence", "prefix"];

/// Most rows of a table that is made up.
const MAX_ROWS: u64 = 1_000_000;

/// What the policies of a room are meant to answer and to refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// In the order of the document: first what is accepted, then what is refused.
    pub cases: Vec<Case>,
}

/// One statement and what is to become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Who asks.
    pub analyst: PartnerName,
    /// The statement, with its line.
    pub sql: Located<String>,
    /// The code under which it is to be refused; `None` where it is to be answered, with at least one row.
    pub refused: Option<String>,
}

/// How a table is made up.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeTable {
    /// Its name in the room.
    pub table: TableName,
    /// How many rows, at most a million.
    pub rows: u64,
    /// Its columns in order.
    pub columns: Vec<(ColumnName, MadeColumn)>,
}

/// Where the values of a column that is made up come from.
#[derive(Debug, Clone, PartialEq)]
pub enum MadeColumn {
    /// One of so many units, the same in every table of the room.
    Units {
        /// How many there are, at least 1.
        count: u64,
        /// Each at most once.
        distinct: bool,
    },
    /// One of these; never empty.
    Values(Vec<String>),
    /// A number between the two, both included.
    Numbers {
        /// Least.
        low: f64,
        /// Greatest.
        high: f64,
        /// Whole numbers only.
        whole: bool,
    },
    /// A day between the two, both included, as the document writes them: `2024-01-31`.
    Dates(String, String),
    /// Another value on each row, counted from the number, after the text.
    Sequence(String, u64),
}

/// Reads the cases of a room. `file` names the document in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse_cases(file: &str, text: &str) -> Result<Cases, Vec<DocumentError>> {
    let node = single(file, text)?;
    let mut report = Report::new(file);
    let cases = Fields::open(&mut report, &node, "", KEYS).map(|fields| {
        let mut cases = Vec::new();
        for (key, refused) in [("accepted", false), ("refused", true)] {
            if let Some(list) = fields.get(&mut report, key)
                && let Some(items) = report.list(list, &format!("`{key}`"))
            {
                cases.extend(items.iter().filter_map(|item| case(&mut report, item, key, refused)));
            }
        }
        if fields.entries().is_empty() {
            report.error(fields.at, "there is no case", "write `accepted` and `refused`");
        }
        Cases { cases }
    });
    report.finish(cases)
}

fn case(report: &mut Report<'_>, node: &Node, path: &str, refused: bool) -> Option<Case> {
    let fields = Fields::open(report, node, path, CASE_KEYS)?;
    let analyst = fields
        .require(report, "as", "write `as: PARTNER`, who asks")
        .and_then(|node| report.name(node, "a partner's name", PartnerName::new));
    let sql = fields
        .require(report, "sql", "write the statement under `sql`")
        .and_then(|node| Some(Located { value: report.filled_text(node, "`sql`")?.to_owned(), line: node.at.line }));
    let code = if refused {
        fields
            .require(report, "code", "write the code it is to be refused with, such as `code: CR2105`")
            .and_then(|node| report.filled_text(node, "`code`"))
            .map(|code| Some(code.to_owned()))
    } else if fields.has("code") {
        report.error(
            fields.at_key("code"),
            "an accepted case has no code",
            "remove `code`, or move the case to `refused`",
        );
        None
    } else {
        Some(None)
    };
    Some(Case { analyst: analyst?, sql: sql?, refused: code? })
}

/// Reads how the tables of a room are made up. `file` names the document in messages.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text.
pub fn parse_made_tables(file: &str, text: &str) -> Result<Vec<MadeTable>, Vec<DocumentError>> {
    let node = single(file, text)?;
    let mut report = Report::new(file);
    let tables = Fields::open_any(&mut report, &node, "").and_then(|fields| {
        let tables: Vec<Option<MadeTable>> =
            fields.entries().iter().map(|entry| table(&mut report, &entry.key, &entry.value, entry.at)).collect();
        tables.into_iter().collect()
    });
    report.finish(tables)
}

fn table(report: &mut Report<'_>, key: &str, node: &Node, at: crate::yaml::Position) -> Option<MadeTable> {
    let fields = Fields::open(report, node, key, TABLE_KEYS)?;
    let name =
        TableName::parse(key).map_err(|rule: NameError| report.error(at, "this is no table", rule.to_string())).ok();
    let rows = fields
        .require(report, "rows", "write how many rows, such as `rows: 1000`")
        .and_then(|node| Some((node, report.integer(node, "`rows`", 1)?)));
    if let Some((node, rows)) = rows
        && rows > MAX_ROWS
    {
        report.error(node.at, "`rows` is too large", "write at most 1000000");
    }
    let columns = fields.require(report, "columns", "list the columns").and_then(|node| {
        let columns = Fields::open_any(report, node, &fields.path_of("columns"))?;
        let read: Vec<Option<(ColumnName, MadeColumn)>> = columns
            .entries()
            .iter()
            .map(|entry| {
                let name = ColumnName::new(&entry.key);
                let name =
                    name.map_err(|rule| report.error(entry.at, "this is no column's name", rule.to_string())).ok();
                let made = column(report, &entry.value, &columns.path_of(&entry.key));
                Some((name?, made?))
            })
            .collect();
        read.into_iter().collect()
    });
    Some(MadeTable { table: name?, rows: rows?.1, columns: columns? })
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Text,
    Integer,
    Decimal,
    Date,
}

const TYPES: &[(&str, Type)] =
    &[("text", Type::Text), ("integer", Type::Integer), ("decimal", Type::Decimal), ("date", Type::Date)];

fn column(report: &mut Report<'_>, node: &Node, path: &str) -> Option<MadeColumn> {
    let fields = Fields::open(report, node, path, COLUMN_KEYS)?;
    let kind = fields
        .require(report, "type", "write `type: text`, `integer`, `decimal` or `date`")
        .and_then(|node| report.word(node, "a type", TYPES))?;
    let origins: Vec<&str> =
        ["units", "values", "range", "sequence"].into_iter().filter(|key| fields.has(key)).collect();
    let [origin] = origins.as_slice() else {
        let remedy = "write exactly one of `units`, `values`, `range` and `sequence`";
        report.error(fields.at, "where the values come from is not told once", remedy);
        return None;
    };
    let value = fields.get(report, origin)?;
    match *origin {
        "units" => {
            let distinct = match fields.get(report, "distinct") {
                Some(node) => report.flag(node, "`distinct`")?,
                None => false,
            };
            Some(MadeColumn::Units { count: report.integer(value, "`units`", 1)?, distinct })
        }
        "values" => {
            let items = report.filled_list(value, "`values`")?;
            let values: Option<Vec<String>> =
                items.iter().map(|item| report.text(item, "a value").map(str::to_owned)).collect();
            values.map(MadeColumn::Values)
        }
        "sequence" => {
            let prefix = match fields.get(report, "prefix") {
                Some(node) => report.text(node, "`prefix`")?.to_owned(),
                None => String::new(),
            };
            Some(MadeColumn::Sequence(prefix, report.integer(value, "`sequence`", 0)?))
        }
        _ if kind == Type::Date => dates(report, value),
        _ => {
            let (low, high) = report.range(value, "`range`")?;
            Some(MadeColumn::Numbers { low, high, whole: kind == Type::Integer })
        }
    }
}

fn dates(report: &mut Report<'_>, node: &Node) -> Option<MadeColumn> {
    if let Value::List(items) = &node.value
        && let [first, last] = items.as_slice()
    {
        let first = report.filled_text(first, "a day")?.to_owned();
        return Some(MadeColumn::Dates(first, report.filled_text(last, "a day")?.to_owned()));
    }
    report.error(node.at, "a range of days has a first and a last", "write `range: [\"2024-01-01\", \"2024-06-30\"]`");
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn cases_keep_their_lines() {
        let text = "accepted:\n  - {as: agency, sql: \"SELECT 1\"}\nrefused:\n  - as: agency\n    code: CR1005\n    sql: |\n      SELECT\n      2\n";
        let cases = parse_cases("cases.yaml", text).unwrap().cases;
        assert_eq!(cases.len(), 2);
        assert_eq!(cases.first().map(|case| (case.sql.line, case.refused.clone())), Some((2, None)));
        assert_eq!(cases.get(1).and_then(|case| case.refused.clone()), Some("CR1005".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_cases_is_said_with_its_line() {
        for (text, what) in [
            ("accepted:\n  - {as: agency}\n", "cases.yaml:2"),
            ("refused:\n  - {as: agency, sql: SELECT 1}\n", "`code` is missing"),
            ("accepted:\n  - {as: agency, sql: SELECT 1, code: CR1005}\n", "an accepted case has no code"),
            ("acepted: []\n", "unknown key `acepted`"),
            ("{}\n", "there is no case"),
        ] {
            let errors = parse_cases("cases.yaml", text).unwrap_err();
            assert!(errors.iter().any(|error| error.to_string().contains(what)), "{text}: {errors:?}");
        }
    }

    #[test]
    fn columns_that_are_made_up() {
        let text = "shop.sales:\n  rows: 10\n  columns:\n    card: {type: text, units: 5, distinct: true}\n    \
            day: {type: date, range: [\"2024-01-01\", \"2024-01-31\"]}\n    n: {type: integer, range: [1, 6]}\n    \
            id: {type: text, sequence: 1, prefix: c}\n    shop: {type: text, values: [a, b]}\n";
        let tables = parse_made_tables("schema.yaml", text).unwrap();
        let columns: Vec<&MadeColumn> =
            tables.iter().flat_map(|table| &table.columns).map(|(_name, made)| made).collect();
        assert_eq!(
            columns,
            [
                &MadeColumn::Units { count: 5, distinct: true },
                &MadeColumn::Dates("2024-01-01".to_owned(), "2024-01-31".to_owned()),
                &MadeColumn::Numbers { low: 1.0, high: 6.0, whole: true },
                &MadeColumn::Sequence("c".to_owned(), 1),
                &MadeColumn::Values(vec!["a".to_owned(), "b".to_owned()]),
            ]
        );
        for bad in
            ["type: text", "type: text, units: 5, values: [a]", "type: date, range: [1]", "type: money, units: 1"]
        {
            let text = format!("shop.sales: {{rows: 1, columns: {{c: {{{bad}}}}}}}\n");
            assert!(parse_made_tables("schema.yaml", &text).is_err(), "{bad}");
        }
    }
}
