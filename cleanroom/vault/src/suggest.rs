//! The nearest question that is answered: the refused statement rewritten, and decided on again before it is offered.
//!
//! A rewrite works on the statement's own text and on what the policies grant; it looks at no row. A column that is hidden
//! and one that does not exist are the same to it, as they are to the planner. What the checker does not accept is not
//! offered, so a rewrite need not be right, only useful.

mod near;
mod select;

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Expr, Query, SetExpr, visit_expressions};

use crate::facts::RoomFacts;
use crate::parse::ParsedQuery;
use crate::refusal::{Code, Refusal, Span};
use select::{aggregated, joined, without_call, without_column};

/// Longest statement that is rewritten, in bytes: each try costs a plan.
const MAX_BYTES: usize = 4_096;

/// The refusal with the nearest accepted statement in its suggestion, where one is found.
pub(crate) fn nearest(room: &RoomFacts, sql: &str, refusal: Refusal, accepted: impl Fn(&str) -> bool) -> Refusal {
    if sql.len() > MAX_BYTES {
        return refusal;
    }
    match rewritten(room, sql, &refusal).into_iter().map(|query| query.to_string()).find(|text| accepted(text)) {
        Some(text) => refusal.instead(&text),
        None => refusal,
    }
}

/// What might be meant instead, the nearest first.
fn rewritten(room: &RoomFacts, sql: &str, refusal: &Refusal) -> Vec<Query> {
    let Some(query) = query(sql) else { return Vec::new() };
    let named = refusal.position().and_then(|span| name_at(&query, span));
    let changed = |change: &dyn Fn(&mut ast::Select) -> Option<()>| {
        let mut query = query.clone();
        let SetExpr::Select(select) = query.body.as_mut() else { return None };
        change(select)?;
        ordered_by_output(&mut query);
        Some(query)
    };
    let tried = match refusal.code() {
        Code::UnknownName => match named {
            Some(name) => {
                let mut tried = near::columns(&query, room, &name);
                tried.push(changed(&|select| without_column(select, &name)));
                tried
            }
            None => refusal.position().map_or_else(Vec::new, |span| near::tables(&query, room, span)),
        },
        Code::Aggregate => match named {
            Some(name) => vec![changed(&|select| without_call(select, room, &name))],
            None => Vec::new(),
        },
        Code::RowsWouldLeave | Code::GroupedByKey | Code::KeyMisused | Code::Clause | Code::NotADimension => {
            vec![changed(&|select| aggregated(select, room, true)), changed(&|select| aggregated(select, room, false))]
        }
        Code::NotAKeyJoin | Code::NullSafeKey => {
            vec![changed(&|select| joined(select, room, true)), changed(&|select| joined(select, room, false))]
        }
        _ => Vec::new(),
    };
    tried.into_iter().flatten().collect()
}

fn query(sql: &str) -> Option<Query> {
    let (statement, _text) = ParsedQuery::parse(sql).ok()?.into_parts();
    let Statement::Statement(statement) = statement else { return None };
    match *statement {
        ast::Statement::Query(query) => Some(*query),
        _ => None,
    }
}

/// The column or function that a refusal points at.
fn name_at(query: &Query, span: Span) -> Option<String> {
    let here = |ident: &ast::Ident| ident.span.start.line == span.line && ident.span.start.column == span.column;
    let found = visit_expressions(query, |expr| {
        let parts: Vec<&ast::Ident> = match expr {
            Expr::Identifier(ident) => vec![ident],
            Expr::CompoundIdentifier(parts) => parts.iter().collect(),
            Expr::Function(call) => call.name.0.iter().filter_map(ast::ObjectNamePart::as_ident).collect(),
            _ => Vec::new(),
        };
        match (parts.iter().any(|part| here(part)), parts.last()) {
            (true, Some(last)) => ControlFlow::Break(last.value.clone()),
            _ => ControlFlow::Continue(()),
        }
    });
    match found {
        ControlFlow::Break(name) => Some(name),
        ControlFlow::Continue(()) => None,
    }
}

/// Drops what a rewritten statement is ordered by, where that is no longer in its output.
fn ordered_by_output(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let mut names = Vec::new();
    for item in &select.projection {
        match item {
            ast::SelectItem::UnnamedExpr(expr) => names.push(expr.to_string()),
            ast::SelectItem::ExprWithAlias { expr, alias } => names.extend([expr.to_string(), alias.to_string()]),
            ast::SelectItem::ExprWithAliases { .. }
            | ast::SelectItem::QualifiedWildcard(..)
            | ast::SelectItem::Wildcard(_) => {}
        }
    }
    if let Some(order) = &mut query.order_by
        && let ast::OrderByKind::Expressions(by) = &mut order.kind
    {
        by.retain(|item| names.contains(&item.expr.to_string()));
        if by.is_empty() {
            query.order_by = None;
        }
    }
}
