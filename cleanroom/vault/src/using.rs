//! Several joins USING the same column, as the planner understands them: it knows two columns of that name as one, and takes
//! a third for another.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// Rewrites a SELECT in which several tables in a row are joined USING one column: the column is that of the first of them,
/// wherever it is named alone.
pub(crate) fn named_once(select: &mut Select) {
    // The planner shows the columns of both sides of such a join once; those of ON it shows twice.
    let all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    let [from] = select.from.as_mut_slice() else { return };
    if all {
        return;
    }
    for (owner, column) in rewritten(from) {
        let mut qualify = Qualify { owner: &owner, column: &column, depth: 0 };
        for item in &mut select.projection {
            let _: ControlFlow<()> = item.visit(&mut qualify);
        }
        let conditions = [&mut select.selection, &mut select.having, &mut select.qualify];
        for condition in conditions.into_iter().flatten() {
            let _: ControlFlow<()> = condition.visit(&mut qualify);
        }
        let _: ControlFlow<()> = select.group_by.visit(&mut qualify);
        let _: ControlFlow<()> = select.named_window.visit(&mut qualify);
        for from in &mut select.from {
            for join in &mut from.joins {
                if let Some(JoinConstraint::On(condition)) = constraint(join) {
                    let _: ControlFlow<()> = condition.visit(&mut qualify);
                }
            }
        }
    }
}

/// A table of the joins, as a column of it is written.
type Called = Vec<Ident>;

/// The joins after the first USING a column, with ON; each such column and the table whose it is.
fn rewritten(from: &mut TableWithJoins) -> Vec<(Called, Ident)> {
    let Some(first) = called(&from.relation) else { return Vec::new() };
    // The column of a RIGHT or FULL join is neither side's.
    let plain = from.joins.iter_mut().all(|join| constraint(join).is_some());
    let Some(Join { join_operator, .. }) = from.joins.first() else { return Vec::new() };
    let (JoinOperator::Join(JoinConstraint::Using(columns))
    | JoinOperator::Inner(JoinConstraint::Using(columns))
    | JoinOperator::Left(JoinConstraint::Using(columns))
    | JoinOperator::LeftOuter(JoinConstraint::Using(columns))) = join_operator
    else {
        return Vec::new();
    };
    let known: Vec<Ident> = columns.iter().filter_map(single).cloned().collect();
    let mut again: Vec<(Called, Ident)> = Vec::new();
    if !plain {
        return again;
    }
    for join in from.joins.iter_mut().skip(1) {
        let Some(here) = called(&join.relation) else { continue };
        let Some(constraint) = constraint(join) else { continue };
        let JoinConstraint::Using(columns) = constraint else { continue };
        let columns: Vec<Ident> = columns.iter().filter_map(single).cloned().collect();
        if columns.is_empty() || !columns.iter().all(|column| known.iter().any(|known| same(known, column))) {
            continue;
        }
        let equalities = columns.iter().map(|column| Expr::BinaryOp {
            left: Box::new(of(&first, column)),
            op: BinaryOperator::Eq,
            right: Box::new(of(&here, column)),
        });
        let condition = equalities.reduce(|one, other| Expr::BinaryOp {
            left: Box::new(one),
            op: BinaryOperator::And,
            right: Box::new(other),
        });
        let Some(condition) = condition else { continue };
        *constraint = JoinConstraint::On(condition);
        for column in columns {
            if !again.iter().any(|(_owner, known)| same(known, &column)) {
                again.push((first.clone(), column));
            }
        }
    }
    again
}

/// How columns of a table are written; `None` where it has no name.
fn called(factor: &TableFactor) -> Option<Called> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(vec![alias.name.clone()])
        }
        TableFactor::Table { name, alias: None, .. } => {
            name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<Called>>()
        }
        _ => None,
    }
}

/// The constraint of a join whose left side stands in every row; `None` for any other.
fn constraint(join: &mut Join) -> Option<&mut JoinConstraint> {
    match &mut join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident),
        _ => None,
    }
}

/// Whether two names are one to the planner.
fn same(one: &Ident, other: &Ident) -> bool {
    let name = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    name(one) == name(other)
}

fn of(table: &Called, column: &Ident) -> Expr {
    Expr::CompoundIdentifier(table.iter().chain([column]).cloned().collect())
}

/// Puts the table before a column that is named alone; subqueries name their own.
struct Qualify<'a> {
    owner: &'a Called,
    column: &'a Ident,
    depth: usize,
}

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(ident) = expr
            && same(ident, self.column)
        {
            *expr = of(self.owner, &ident.clone());
        }
        ControlFlow::Continue(())
    }
}
