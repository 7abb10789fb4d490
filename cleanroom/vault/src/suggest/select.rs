//! Changes to one SELECT.

use std::ops::ControlFlow;

use cleanroom_policy::Use;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr,
    Ident, Join, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem, TableFactor, visit_expressions,
};

use crate::facts::{RoomFacts, TableFacts};

/// Aggregates that are answered over protected rows.
const ANSWERED: &[&str] = &["count", "sum", "avg"];

/// One table of FROM: how the statement calls it, and its facts.
struct Place<'r> {
    called: Vec<Ident>,
    facts: &'r TableFacts,
}

impl Place<'_> {
    /// Its key, as the statement would write it.
    fn key(&self, alone: bool) -> Option<Expr> {
        let (unit, _space) = self.facts.unit()?;
        let plain =
            unit.chars().all(|character| character.is_ascii_lowercase() || matches!(character, '_' | '0'..='9'));
        let unit = if plain { Ident::new(unit) } else { Ident::with_quote('"', unit) };
        if alone {
            return Some(Expr::Identifier(unit));
        }
        let mut parts = self.called.clone();
        parts.push(unit);
        Some(Expr::CompoundIdentifier(parts))
    }
}

/// The table of a FROM item, if it is one of the room's.
fn place<'r>(factor: &TableFactor, room: &'r RoomFacts) -> Option<Place<'r>> {
    let TableFactor::Table { name, alias, .. } = factor else { return None };
    let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let [.., owner, table] = parts.as_slice() else { return None };
    let named = format!("{}.{}", owner.value.to_lowercase(), table.value.to_lowercase());
    let facts = room.tables.iter().find(|facts| facts.name.to_string() == named)?;
    let called = match alias {
        Some(alias) => vec![alias.name.clone()],
        None => vec![(*owner).clone(), (*table).clone()],
    };
    Some(Place { called, facts })
}

fn places<'r>(select: &Select, room: &'r RoomFacts) -> Vec<Place<'r>> {
    select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)))
        .filter_map(|factor| place(factor, room))
        .collect()
}

fn tables(select: &Select) -> usize {
    select.from.iter().map(|from| from.joins.len() + 1).sum()
}

/// The name of a bare column.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(ident) => Some(&ident.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.as_str()),
        _ => None,
    }
}

fn any(expr: &Expr, holds: impl Fn(&Expr) -> bool) -> bool {
    let found =
        visit_expressions(expr, |expr| if holds(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    found.is_break()
}

fn names(expr: &Expr, name: &str) -> bool {
    any(expr, |expr| column(expr).is_some_and(|column| column.eq_ignore_ascii_case(name)))
}

fn calls(expr: &Expr, called: impl Fn(&str) -> bool) -> bool {
    any(expr, |expr| match expr {
        Expr::Function(call) => {
            call.name.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| called(&ident.value.to_lowercase()))
        }
        _ => false,
    })
}

fn said(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// COUNT(DISTINCT key) of the first protected table.
fn counted(select: &Select, room: &RoomFacts) -> Option<SelectItem> {
    let key = places(select, room).iter().find_map(|place| place.key(tables(select) == 1))?;
    let arguments = FunctionArgumentList {
        duplicate_treatment: Some(datafusion::sql::sqlparser::ast::DuplicateTreatment::Distinct),
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(key))],
        clauses: Vec::new(),
    };
    let count = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("COUNT")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    Some(SelectItem::ExprWithAlias { expr: count, alias: Ident::new("units") })
}

fn grouped(select: &Select) -> Option<Vec<Expr>> {
    match &select.group_by {
        GroupByExpr::Expressions(by, _modifiers) => Some(by.clone()),
        GroupByExpr::All(_) => None,
    }
}

/// Without a column that is not known, wherever it is shown or grouped by.
pub(super) fn without_column(select: &mut Select, name: &str) -> Option<()> {
    let before = select.projection.len();
    select.projection.retain(|item| !said(item).is_some_and(|expr| names(expr, name)));
    let by: Vec<Expr> = grouped(select)?.into_iter().filter(|expr| !names(expr, name)).collect();
    select.group_by = GroupByExpr::Expressions(by, Vec::new());
    (select.projection.len() < before && !select.projection.is_empty()).then_some(())
}

/// Without an aggregate that is not answered; units are counted where nothing is left.
pub(super) fn without_call(select: &mut Select, room: &RoomFacts, name: &str) -> Option<()> {
    let name = name.to_lowercase();
    let before = select.projection.len();
    select.projection.retain(|item| !said(item).is_some_and(|expr| calls(expr, |called| called == name)));
    if !select
        .projection
        .iter()
        .any(|item| said(item).is_some_and(|expr| calls(expr, |called| ANSWERED.contains(&called))))
    {
        let counted = counted(select, room)?;
        select.projection.push(counted);
    }
    (select.projection.len() <= before).then_some(())
}

/// Rows made groups: by the dimensions that are shown, if `by_dimensions`, with units counted where nothing is aggregated.
pub(super) fn aggregated(select: &mut Select, room: &RoomFacts, by_dimensions: bool) -> Option<()> {
    let counted = counted(select, room)?;
    let places = places(select, room);
    let dimension = |expr: &Expr| {
        column(expr).is_some_and(|name| {
            places.iter().any(|place| {
                place.facts.unit().is_none_or(|(unit, _space)| unit != name)
                    && place.facts.column(name).is_some_and(|rule| rule.uses.contains(&Use::Dimension))
            })
        })
    };
    let is_answered = |expr: &Expr| calls(expr, |called| ANSWERED.contains(&called));
    let mut shown = Vec::new();
    let mut by = Vec::new();
    for item in &select.projection {
        let Some(expr) = said(item) else { continue };
        if dimension(expr) && by_dimensions && !by.contains(expr) {
            by.push(expr.clone());
            shown.push(item.clone());
        } else if is_answered(expr) {
            shown.push(item.clone());
        }
    }
    if !shown.iter().any(|item| said(item).is_some_and(is_answered)) {
        shown.push(counted);
    }
    select.projection = shown;
    select.group_by = GroupByExpr::Expressions(by, Vec::new());
    select.distinct = None;
    select.having = None;
    select.qualify = None;
    Some(())
}

/// Each protected table joined with one before it on the keys of their space; further conditions stay, if `kept`.
pub(super) fn joined(select: &mut Select, room: &RoomFacts, kept: bool) -> Option<()> {
    let mut before: Vec<Place<'_>> = Vec::new();
    let mut wanted = Vec::new();
    let mut changed = false;
    for from in &mut select.from {
        let mut place_of = place(&from.relation, room);
        if let Some(equality) = place_of.as_ref().and_then(|place| equality(&before, place)) {
            wanted.push(equality);
        }
        before.extend(place_of.take());
        for join in &mut from.joins {
            let Some(here) = place(&join.relation, room) else { continue };
            if let Some(equality) = equality(&before, &here) {
                changed |= join_on(join, equality, kept);
            }
            before.push(here);
        }
    }
    for equality in wanted {
        changed = true;
        select.selection = Some(match select.selection.take() {
            Some(selection) if kept => both(equality, selection),
            _ => equality,
        });
    }
    changed.then_some(())
}

fn equality(before: &[Place<'_>], here: &Place<'_>) -> Option<Expr> {
    let (_unit, space) = here.facts.unit()?;
    let other = before.iter().find(|place| place.facts.unit().is_some_and(|(_unit, other)| other == space))?;
    Some(Expr::BinaryOp {
        left: Box::new(other.key(false)?),
        op: BinaryOperator::Eq,
        right: Box::new(here.key(false)?),
    })
}

fn both(equality: Expr, other: Expr) -> Expr {
    // Written out as `a AND b`, an OR in b would take in the equality.
    let other = match other {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => Expr::Nested(Box::new(other)),
        other => other,
    };
    Expr::BinaryOp { left: Box::new(equality), op: BinaryOperator::And, right: Box::new(other) }
}

fn join_on(join: &mut Join, equality: Expr, kept: bool) -> bool {
    let on = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::On(on) if kept && !any(on, |expr| *expr == equality) => {
            JoinConstraint::On(both(equality.clone(), on.clone()))
        }
        JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => {
            JoinConstraint::On(equality.clone())
        }
    };
    match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
            join.join_operator = JoinOperator::Join(on(constraint));
            true
        }
        // Another kind of join is asked for its own sake.
        _ => false,
    }
}
