//! Parameters: constants put into the syntax tree of a parsed statement where `:name` stands.
//!
//! A value never meets the text of the statement, so whatever it holds it stays one constant. It is put there before
//! planning: to the checker and its rules a parameter is the literal it stands for.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use cleanroom_policy::{Parameter, ParameterType, ParameterValue, Template};
use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, GroupByExpr, Query, Select, TimezoneInfo, TypedString, UnaryOperator, Value, ValueWithSpan,
    Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer;
use serde_json::Value as Json;

use crate::parse::ParsedQuery;
use crate::refusal::{Code, Refusal, Span};

/// Most parameters of a question.
pub(crate) const MAX_PARAMETERS: usize = 64;

/// The values of a question's parameters, by the types its template gives them; those of a question in SQL have the types
/// of JSON.
pub(crate) fn typed(
    declared: Option<&BTreeMap<String, Parameter>>,
    given: &BTreeMap<String, Json>,
) -> Result<BTreeMap<String, ParameterValue>, Refusal> {
    let mut values = BTreeMap::new();
    for (name, json) in given {
        let value = match declared {
            None => inferred(name, json)?,
            Some(declared) => {
                let parameter = declared.get(name).ok_or_else(|| unknown(name))?;
                let value = of_type(name, parameter.kind, json)?;
                if !parameter.allows(&value) {
                    let allowed = parameter.values.as_deref().unwrap_or_default().join(", ");
                    return Err(malformed(format!("the parameter `{name}` may not have this value"))
                        .suggest(format!("give one of: {allowed}")));
                }
                value
            }
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Whether a template can be asked at all: one statement of the supported syntax, with the parameters it declares and no
/// others.
///
/// # Errors
/// What is wrong with it, and where in its SQL.
pub fn check_template(template: &Template) -> Result<(), Refusal> {
    if template.parameters.len() > MAX_PARAMETERS {
        return Err(Refusal::new(Code::TooLarge, format!("the template has more than {MAX_PARAMETERS} parameters")));
    }
    let query = ParsedQuery::parse(&template.sql.value)?;
    query.says_all()?;
    let places = query.parameters()?;
    if let Some((name, span)) = places.iter().find(|(name, _span)| !template.parameters.contains_key(*name)) {
        return Err(malformed(format!("the template uses `:{name}`, which is not among its parameters")).span(*span));
    }
    match template.parameters.keys().find(|name| !places.contains_key(*name)) {
        Some(name) => Err(malformed(format!("the parameter `{name}` does not occur in the template"))),
        None => Ok(()),
    }
}

/// Where the parameters of a statement stand first.
pub(crate) fn places(statement: &ast::Statement) -> Result<BTreeMap<String, Option<Span>>, Refusal> {
    let mut places = Places(BTreeMap::new());
    match statement.visit(&mut places) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(places.0),
    }
}

/// Puts values where their parameters stand. Afterwards there is no parameter left in the statement.
pub(crate) fn bind(
    statement: &mut ast::Statement,
    places: &BTreeMap<String, Option<Span>>,
    values: &BTreeMap<String, ParameterValue>,
) -> Result<(), Refusal> {
    if let Some((name, span)) = places.iter().find(|(name, _span)| !values.contains_key(*name)) {
        return Err(malformed(format!("the parameter `{name}` has no value"))
            .span(*span)
            .suggest(format!("give it one: `--param {name}=VALUE`, or `\"params\": {{\"{name}\": VALUE}}`")));
    }
    if let Some(name) = values.keys().find(|name| !places.contains_key(*name)) {
        return Err(unknown(name));
    }
    let _: ControlFlow<()> = VisitMut::visit(statement, &mut Binder(values));
    let mut left = Places(BTreeMap::new());
    let clean = Visit::visit(&*statement, &mut left).is_continue() && left.0.is_empty();
    if clean {
        Ok(())
    } else {
        let span = left.0.into_values().next().flatten();
        Err(malformed("a parameter stands where no value can").span(span))
    }
}

/// Finds parameters, and refuses them where their value would be more than a constant.
struct Places(BTreeMap<String, Option<Span>>);

impl Visitor for Places {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        match query.order_by.as_ref().map(|order_by| &order_by.kind) {
            Some(ast::OrderByKind::Expressions(list)) => no_position(list.iter().map(|item| &item.expr), "ORDER BY"),
            Some(ast::OrderByKind::All(_)) | None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        match &select.group_by {
            GroupByExpr::Expressions(list, _modifiers) => no_position(list, "GROUP BY"),
            GroupByExpr::All(_) => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<Refusal> {
        let Value::Placeholder(text) = &value.value else { return ControlFlow::Continue(()) };
        let span = located(value.span);
        match text.strip_prefix(':').filter(|name| is_name(name)) {
            Some(name) => {
                self.0.entry(name.to_owned()).or_insert(span);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(
                malformed("a parameter is written `:name`, in a-z, 0-9 and `_`, starting with a letter").span(span),
            ),
        }
    }
}

/// A number alone in GROUP BY or ORDER BY is the position of a column, and so more than a constant.
fn no_position<'e>(exprs: impl IntoIterator<Item = &'e Expr>, clause: &str) -> ControlFlow<Refusal> {
    for expr in exprs {
        let mut bare = expr;
        while let Expr::Nested(inner) = bare {
            bare = inner;
        }
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(_), span }) = bare {
            let refusal = malformed(format!("a parameter cannot choose a column of {clause}"));
            return ControlFlow::Break(refusal.span(located(*span)));
        }
    }
    ControlFlow::Continue(())
}

struct Binder<'a>(&'a BTreeMap<String, ParameterValue>);

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(text), span }) = expr
            && let Some(value) = text.strip_prefix(':').and_then(|name| self.0.get(name))
        {
            *expr = literal(value, *span);
        }
        ControlFlow::Continue(())
    }
}

/// The syntax of a constant.
fn literal(value: &ParameterValue, span: tokenizer::Span) -> Expr {
    let spanned = |value: Value| ValueWithSpan { value, span };
    let number = |text: &str| match text.strip_prefix('-') {
        Some(digits) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(Expr::Value(spanned(Value::Number(digits.to_owned(), false)))),
        },
        None => Expr::Value(spanned(Value::Number(text.to_owned(), false))),
    };
    let typed = |data_type: DataType, text: &str| {
        let value = spanned(Value::SingleQuotedString(text.to_owned()));
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
    };
    match value {
        ParameterValue::Text(text) => Expr::Value(spanned(Value::SingleQuotedString(text.clone()))),
        ParameterValue::Integer(integer) => number(&integer.to_string()),
        ParameterValue::Decimal(text) => number(text),
        ParameterValue::Boolean(flag) => Expr::Value(spanned(Value::Boolean(*flag))),
        ParameterValue::Date(text) => typed(DataType::Date, text),
        ParameterValue::Timestamp(text) => typed(DataType::Timestamp(None, TimezoneInfo::None), text),
    }
}

fn of_type(name: &str, kind: ParameterType, json: &Json) -> Result<ParameterValue, Refusal> {
    let text = match (json, kind) {
        (Json::String(text), _) => Some(text.clone()),
        (Json::Number(number), ParameterType::Integer | ParameterType::Decimal) => Some(number.to_string()),
        (Json::Bool(flag), ParameterType::Boolean) => Some(flag.to_string()),
        (Json::Number(_) | Json::Bool(_) | Json::Null | Json::Array(_) | Json::Object(_), _) => None,
    };
    let wrong = |what: &str| malformed(format!("the value of the parameter `{name}` is not {what}"));
    match text {
        Some(text) => ParameterValue::parse(kind, &text).map_err(wrong),
        None => Err(wrong(&format!("of its type, `{kind}`"))),
    }
}

fn inferred(name: &str, json: &Json) -> Result<ParameterValue, Refusal> {
    match json {
        Json::String(_) => of_type(name, ParameterType::Text, json),
        Json::Bool(_) => of_type(name, ParameterType::Boolean, json),
        Json::Number(number) if number.to_string().contains(['.', 'e', 'E']) => {
            of_type(name, ParameterType::Decimal, json)
        }
        Json::Number(_) => of_type(name, ParameterType::Integer, json),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            Err(malformed(format!("the value of the parameter `{}` is not a text, number or boolean", shown(name))))
        }
    }
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

fn unknown(name: &str) -> Refusal {
    malformed(format!("there is no parameter `{}`", shown(name))).suggest("leave it out, or correct its name")
}

/// A name as it came, as long as it could be one.
fn shown(name: &str) -> &str {
    if is_name(name) { name } else { "?" }
}

fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(known)
}

fn located(span: tokenizer::Span) -> Option<Span> {
    (span.start.line > 0).then(|| Span {
        line: span.start.line,
        column: span.start.column,
        length: span.end.column.saturating_sub(span.start.column).max(1),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn bound(sql: &str, params: &Json) -> Result<String, Refusal> {
        let given = serde_json::from_value(params.clone()).unwrap();
        let values = typed(None, &given)?;
        let (statement, _text) = ParsedQuery::parse(sql)?.bind(&values)?.into_parts();
        Ok(statement.to_string())
    }

    #[derive(Default)]
    struct Seen {
        constants: Vec<Value>,
        expressions: usize,
    }

    impl Visitor for Seen {
        type Break = ();

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            self.constants.push(value.value.clone());
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
            self.expressions += 1;
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn a_value_stays_one_constant_whatever_it_holds() {
        for text in [
            "' OR 1=1 --",
            "'; DROP TABLE t; --",
            "\\' OR ''='",
            ":b",
            "ʼ' \u{202e}",
            "",
            "a\nb",
            "%_",
            "x' AS k, '",
            "''",
            "\u{0301}",
        ] {
            let given = serde_json::from_value(json!({ "a": text })).unwrap();
            let query = ParsedQuery::parse("SELECT a FROM t WHERE a = :a AND b = 1").unwrap();
            let (statement, _text) = query.bind(&typed(None, &given).unwrap()).unwrap().into_parts();
            let datafusion::sql::parser::Statement::Statement(statement) = statement else { unreachable!() };
            let mut seen = Seen::default();
            let _: ControlFlow<()> = statement.visit(&mut seen);
            let expected = [Value::SingleQuotedString(text.to_owned()), Value::Number("1".to_owned(), false)];
            assert_eq!((seen.constants.as_slice(), seen.expressions), (&expected[..], 8));
        }
    }

    #[test]
    fn values_keep_their_types() {
        let sql = "SELECT :i, :n, :d, :b, :t FROM t WHERE x - :n > 0 LIMIT :i";
        let params = json!({ "i": 3, "n": -5, "d": 1.50, "b": true, "t": "3" });
        let expected = "SELECT 3, -5, 1.5, true, '3' FROM t WHERE x - -5 > 0 LIMIT 3";
        assert_eq!(bound(sql, &params).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let cases = [
            ("SELECT :a", json!({}), "`a` has no value"),
            ("SELECT 1", json!({ "a": 1 }), "no parameter `a`"),
            ("SELECT 1", json!({ "a'; --": 1 }), "no parameter `?`"),
            ("SELECT :a", json!({ "a": null }), "`a` is not a text"),
            ("SELECT :a", json!({ "a": [1] }), "`a` is not a text"),
            ("SELECT :a", json!({ "a": { "b": { "c": 1 } } }), "`a` is not a text"),
            ("SELECT :a", json!({ "a": 123_456_789_012_345_678_901_234_567_890_f64 }), "`a` is not a decimal"),
            ("SELECT :a", serde_json::from_str(r#"{"a": 9223372036854775808}"#).unwrap(), "`a` is not an integer"),
            ("SELECT :a", serde_json::from_str(r#"{"a": 1e400}"#).unwrap(), "`a` is not a decimal"),
            ("SELECT $1", json!({}), "written `:name`"),
            ("SELECT ?", json!({}), "written `:name`"),
            ("SELECT :A", json!({ "A": 1 }), "written `:name`"),
            ("SELECT a FROM t ORDER BY :a", json!({ "a": 1 }), "choose a column"),
            ("SELECT a FROM t GROUP BY (:a)", json!({ "a": 1 }), "choose a column"),
        ];
        for (sql, params, detail) in cases {
            let refusal = bound(sql, &params).unwrap_err();
            assert_eq!(refusal.code(), Code::Malformed, "{sql}: {}", refusal.detail());
            assert!(refusal.detail().contains(detail), "{sql}: {}", refusal.detail());
        }
        // Names cannot be given.
        for sql in ["SELECT a FROM :a", "SELECT a AS :a FROM t", "SELECT t.:a FROM t", "SELECT a FROM t ORDER BY a :a"]
        {
            assert!(bound(sql, &json!({ "a": "b" })).is_err(), "{sql}");
        }
        let refusal = bound("SELECT 1\n  , :a", &json!({})).unwrap_err();
        assert_eq!(refusal.position().map(|span| (span.line, span.column, span.length)), Some((2, 5, 2)));
    }

    #[test]
    fn a_template_types_its_parameters() {
        let text = "apiVersion: cleanroom/v1\nkind: Template\nname: t\nparameters:\n  c: {type: text, values: [\"8\", b]}\n  n: {type: integer, values: [1, 20]}\n  d: {type: date}\nsql: SELECT a FROM t WHERE c = :c AND n = :n AND d = :d\n";
        let template = cleanroom_policy::parse_template("t", text).unwrap();
        check_template(&template).unwrap();
        let ask = |params: Json| {
            let given = serde_json::from_value(params).unwrap();
            let values = typed(Some(&template.parameters), &given)?;
            ParsedQuery::parse(&template.sql.value)?.bind(&values).map(|query| query.into_parts().0.to_string())
        };
        let asked = ask(json!({ "c": "8", "n": "020", "d": "2024-02-29" })).unwrap();
        assert_eq!(asked, "SELECT a FROM t WHERE c = '8' AND n = 20 AND d = DATE '2024-02-29'");
        for (params, detail) in [
            (json!({ "c": 8, "n": 1, "d": "2024-01-01" }), "`c` is not of its type"),
            (json!({ "c": "9", "n": 1, "d": "2024-01-01" }), "`c` may not have this value"),
            (json!({ "c": "8", "n": 2, "d": "2024-01-01" }), "`n` may not have this value"),
            (json!({ "c": "8", "n": 1, "d": "2024-01-01' OR '1" }), "`d` is not a date"),
            (json!({ "c": "8", "n": 1 }), "`d` has no value"),
            (json!({ "c": "8", "n": 1, "d": "2024-01-01", "e": 1 }), "no parameter `e`"),
        ] {
            let refusal = ask(params).unwrap_err();
            assert!(refusal.detail().contains(detail), "{}", refusal.detail());
        }
        let all = |text: &str| check_template(&cleanroom_policy::parse_template("t", text).unwrap());
        all(&text.replacen("SELECT a FROM t", "SELECT * FROM (SELECT a, b FROM t)", 1)).unwrap();
        for (from, to) in [
            (":c", ":x"),
            ("d = :d", "d = 1"),
            ("SELECT a", "DELETE"),
            ("FROM t", "FROM t NATURAL JOIN u"),
            ("SELECT a", "SELECT DISTINCT *"),
            ("SELECT a", "SELECT * FROM u UNION SELECT a"),
            ("SELECT a FROM t", "SELECT a FROM (SELECT u.* FROM u GROUP BY ALL)"),
        ] {
            let other = text
                .replacen(from, to, 1)
                .replace("sql: SELECT a FROM t WHERE c = :c", "sql: SELECT a FROM t WHERE c = :x");
            if let Ok(template) = cleanroom_policy::parse_template("t", &other) {
                assert!(check_template(&template).is_err(), "{other}");
            }
        }
    }
}
