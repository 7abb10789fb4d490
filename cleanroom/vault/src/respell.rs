//! Spellings that the planner does not know, or takes for something else, in those that it knows.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, LimitClause, ObjectName,
    Parens, Query, Select, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, Value, ValueWithSpan, Values,
    VisitMut, VisitorMut,
};

use crate::apart;
use crate::parse::series;
use crate::using::named_once;

/// Most conditions of the same look that are told apart: each after the first grows by one operator more.
const MAX_ALIKE: usize = 8;

/// Rewrites a statement of the supported syntax.
pub(crate) fn respelled(statement: Statement) -> Statement {
    match statement {
        Statement::Statement(mut statement) => {
            let _: ControlFlow<()> = VisitMut::visit(statement.as_mut(), &mut Speller { known: Vec::new() });
            Statement::Statement(statement)
        }
        other => other,
    }
}

struct Speller {
    /// Conditions on subqueries so far: how each looks to the planner, and what it is.
    known: Vec<(String, Expr)>,
}

impl VisitorMut for Speller {
    type Break = ();

    /// FETCH FIRST n ROWS ONLY is LIMIT n.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        let one = Expr::Value(ValueWithSpan::from(Value::Number("1".to_owned(), false)));
        let most = fetch.quantity.unwrap_or(one);
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(most),
            none => *none = Some(LimitClause::LimitOffset { limit: Some(most), offset: None, limit_by: Vec::new() }),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        named_once(select);
        ControlFlow::Continue(())
    }

    /// A series of numbers is a list of constants.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let Some((first, last)) = series(factor) else { return ControlFlow::Continue(()) };
        let TableFactor::Table { alias, .. } = factor else { return ControlFlow::Continue(()) };
        let number = |number: i64| Expr::Value(ValueWithSpan::from(Value::Number(number.to_string(), false)));
        let rows = (first..=last).map(|value| Parens::with_empty_span(vec![number(value)])).collect();
        let mut alias = alias.take().unwrap_or_else(|| table_alias("generate_series"));
        if alias.columns.is_empty() {
            alias.columns.push(TableAliasColumnDef::from_name("value"));
        }
        let values = Values { explicit_row: false, value_keyword: false, rows };
        let subquery = Box::new(query_of(SetExpr::Values(values)));
        *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        apart::marked(expr);
        conditional(expr);
        // x = ANY (SELECT ...) is x IN (SELECT ...).
        if let Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some: _ } = expr
            && let Some(subquery) = subquery_of(right)
        {
            *expr = Expr::InSubquery { expr: left.clone(), subquery, negated: false };
        }
        // All subqueries look alike to the planner, which takes two conditions on them for one column of the same name.
        let look = match expr {
            Expr::InSubquery { expr, .. } => expr.to_string(),
            Expr::Exists { .. } => String::new(),
            _ => return ControlFlow::Continue(()),
        };
        let alike = self.known.iter().filter(|(known, _expr)| *known == look);
        let before = match alike.clone().position(|(_look, known)| known == expr) {
            Some(before) => before,
            None => {
                let before = alike.count();
                self.known.push((look, expr.clone()));
                before
            }
        };
        for _time in 0..before.min(MAX_ALIKE) {
            let always = Expr::Value(ValueWithSpan::from(Value::Boolean(true)));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(expr.clone()),
                op: BinaryOperator::And,
                right: Box::new(always),
            }));
        }
        ControlFlow::Continue(())
    }
}

/// IF, IFF and COUNT_IF are CASE and COUNT of one.
fn conditional(expr: &mut Expr) {
    let Expr::Function(call) = expr else { return };
    let name = call.name.to_string().to_ascii_lowercase();
    let bare = call.filter.is_none() && call.over.is_none() && call.null_treatment.is_none();
    let FunctionArguments::List(list) = &mut call.args else { return };
    let plain = list.duplicate_treatment.is_none() && list.clauses.is_empty();
    let given: Option<Vec<Expr>> = list.args.iter().map(argument).collect();
    let Some(given) = given.filter(|_given| plain) else { return };
    match (name.as_str(), given.as_slice()) {
        ("if" | "iff", [when, then, others @ ..]) if others.len() <= 1 && bare => {
            *expr = case(when, then, others.first());
        }
        ("count_if" | "countif", [when]) => {
            let one = Expr::Value(ValueWithSpan::from(Value::Number("1".to_owned(), false)));
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(case(when, &one, None)))];
            call.name = ObjectName::from(vec![Ident::new("count")]);
        }
        _ => {}
    }
}

fn argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

fn case(when: &Expr, then: &Expr, otherwise: Option<&Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: when.clone(), result: then.clone() }],
        else_result: otherwise.cloned().map(Box::new),
    }
}

fn table_alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None }
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn subquery_of(expr: &Expr) -> Option<Box<Query>> {
    match expr {
        Expr::Subquery(query) => Some(query.clone()),
        Expr::Nested(inner) => subquery_of(inner),
        _ => None,
    }
}
