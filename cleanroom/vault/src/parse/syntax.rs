//! The list of supported syntax: every clause of a statement is named, and what is not supported is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, FunctionArgumentClause, FunctionArguments, GroupByExpr, Join, JoinConstraint, JoinOperator,
    LimitClause, ObjectName, Query, Select, SelectFlavor, SetExpr, SetOperator, SetQuantifier, TableFactor, Visitor,
};

use super::not_select;
use crate::refusal::{Code, Refusal};

fn unsupported(what: &str) -> Refusal {
    let first = what.split(' ').next().unwrap_or(what);
    Refusal::new(Code::Syntax, format!("{what} is not supported")).about(first)
}

/// What a statement leaves to the columns that there are.
#[derive(Default)]
pub(super) struct Open {
    /// Two tables are joined on whatever columns they have in common.
    pub(super) natural: bool,
    /// `*` stands for columns.
    pub(super) wildcard: bool,
    /// Rows are the same where all their columns are.
    pub(super) distinct: bool,
}

/// Refuses every clause that is not listed.
#[derive(Default)]
pub(super) struct Syntax {
    pub(super) open: Open,
}

impl Visitor for Syntax {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        self.open.distinct |= tells_apart(&query.body);
        flow(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        let wildcard = |item| matches!(item, &ast::SelectItem::Wildcard(_) | &ast::SelectItem::QualifiedWildcard(..));
        self.open.wildcard |= select.projection.iter().any(wildcard);
        self.open.distinct |= select.distinct.is_some() || matches!(select.group_by, GroupByExpr::All(_));
        self.open.natural |= select.from.iter().flat_map(|table| &table.joins).any(is_natural);
        flow(check_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.open.natural |= table_with_joins.joins.iter().any(is_natural);
        }
        flow(check_table(factor))
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Refusal> {
        flow(check_name(name))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        flow(check_expression(expr))
    }
}

fn flow(result: Result<(), Refusal>) -> ControlFlow<Refusal> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(refusal) => ControlFlow::Break(refusal),
    }
}

fn refuse_if(present: bool, what: &str) -> Result<(), Refusal> {
    if present { Err(unsupported(what)) } else { Ok(()) }
}

/// Whether distinct rows of branches are put together.
fn tells_apart(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            op != &SetOperator::Union || !all || tells_apart(left) || tells_apart(right)
        }
        _ => false,
    }
}

fn check_query(query: &Query) -> Result<(), Refusal> {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
        query;
    if let Some(with) = with {
        refuse_if(with.recursive, "RECURSIVE")?;
        for cte in &with.cte_tables {
            refuse_if(cte.from.is_some(), "FROM after a CTE")?;
            check_alias(Some(&cte.alias))?;
        }
    }
    if let Some(order_by) = order_by {
        refuse_if(order_by.interpolate.is_some(), "INTERPOLATE")?;
        match &order_by.kind {
            ast::OrderByKind::Expressions(list) => {
                refuse_if(list.iter().any(|item| item.with_fill.is_some()), "FILL")?;
            }
            ast::OrderByKind::All(_) => return Err(unsupported("ALL in ORDER BY")),
        }
    }
    match limit_clause {
        None => {}
        Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) => {
            refuse_if(!limit_by.is_empty(), "BY after LIMIT")?;
        }
        Some(LimitClause::OffsetCommaLimit { offset: _, limit: _ }) => {
            return Err(unsupported("LIMIT with a comma"));
        }
    }
    if let Some(fetch) = fetch {
        refuse_if(fetch.with_ties || fetch.percent, "FETCH with TIES or PERCENT")?;
        let limited = matches!(limit_clause, Some(LimitClause::LimitOffset { limit: Some(_), .. }));
        refuse_if(limited, "FETCH beside LIMIT")?;
    }
    if let (SetExpr::Select(select), None) = (body.as_ref(), order_by) {
        refuse_if(matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON without ORDER BY")?;
    }
    refuse_if(!locks.is_empty(), "FOR UPDATE")?;
    refuse_if(for_clause.is_some(), "FOR")?;
    refuse_if(settings.is_some(), "SETTINGS")?;
    refuse_if(format_clause.is_some(), "FORMAT")?;
    refuse_if(!pipe_operators.is_empty(), "|> operator")?;
    if let SetExpr::SetOperation { op: SetOperator::Except | SetOperator::Intersect, set_quantifier, .. } =
        body.as_ref()
    {
        // The planner would take them for their distinct forms.
        let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
        refuse_if(all, "ALL after EXCEPT or INTERSECT")?;
    }
    match body.as_ref() {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) => Ok(()),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Err(not_select()),
        SetExpr::Table(_) => Err(unsupported("TABLE")),
    }
}

fn check_select(select: &Select) -> Result<(), Refusal> {
    let Select {
        select_token: _,
        optimizer_hints,
        // Without ORDER BY no row is the first: the query is looked at.
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    refuse_if(!optimizer_hints.is_empty(), "hint")?;
    refuse_if(select_modifiers.is_some(), "modifier of SELECT")?;
    refuse_if(top.is_some(), "TOP")?;
    refuse_if(exclude.is_some(), "EXCLUDE")?;
    refuse_if(into.is_some(), "INTO")?;
    refuse_if(!lateral_views.is_empty(), "LATERAL VIEW")?;
    refuse_if(prewhere.is_some(), "PREWHERE")?;
    refuse_if(!connect_by.is_empty(), "CONNECT BY")?;
    refuse_if(!cluster_by.is_empty(), "CLUSTER BY")?;
    refuse_if(!distribute_by.is_empty(), "DISTRIBUTE BY")?;
    refuse_if(!sort_by.is_empty(), "SORT BY")?;
    refuse_if(value_table_mode.is_some(), "AS VALUE")?;
    for item in projection {
        match item {
            ast::SelectItem::ExprWithAlias { alias, .. } => check_ident(alias)?,
            ast::SelectItem::ExprWithAliases { .. } => return Err(unsupported("list of aliases")),
            ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::QualifiedWildcard(..) | ast::SelectItem::Wildcard(_) => {
            }
        }
    }
    match flavor {
        SelectFlavor::Standard => {}
        SelectFlavor::FromFirst | SelectFlavor::FromFirstNoSelect => {
            return Err(unsupported("FROM before SELECT"));
        }
    }
    match group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => {
            refuse_if(!modifiers.is_empty(), "WITH after GROUP BY")?;
        }
    }
    from.iter().flat_map(|table| &table.joins).try_for_each(check_join)
}

fn is_natural(join: &Join) -> bool {
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint)
    | JoinOperator::CrossJoin(constraint)
    | JoinOperator::Semi(constraint)
    | JoinOperator::LeftSemi(constraint)
    | JoinOperator::RightSemi(constraint)
    | JoinOperator::Anti(constraint)
    | JoinOperator::LeftAnti(constraint)
    | JoinOperator::RightAnti(constraint)) = &join.join_operator
    else {
        return false;
    };
    matches!(constraint, JoinConstraint::Natural)
}

fn check_join(join: &Join) -> Result<(), Refusal> {
    refuse_if(join.global, "GLOBAL")?;
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => match constraint {
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => Ok(()),
        },
        JoinOperator::CrossApply | JoinOperator::OuterApply => Err(unsupported("APPLY")),
        JoinOperator::AsOf { .. } => Err(unsupported("ASOF")),
        JoinOperator::StraightJoin(_) => Err(unsupported("STRAIGHT_JOIN")),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            Err(unsupported("ARRAY JOIN"))
        }
    }
}

fn check_table(factor: &TableFactor) -> Result<(), Refusal> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            if args.is_some() && series(factor).is_none() {
                return Err(match name.to_string().eq_ignore_ascii_case("generate_series") {
                    true => Refusal::new(
                        Code::Syntax,
                        format!(
                            "generate_series takes two whole numbers from 0 on, the first no greater, and gives at most {MAX_SERIES}"
                        ),
                    )
                    .about("generate_series"),
                    false => unsupported("table function"),
                });
            }
            refuse_if(!with_hints.is_empty() || !index_hints.is_empty(), "hint")?;
            refuse_if(version.is_some(), "version of a table")?;
            refuse_if(*with_ordinality, "ORDINALITY")?;
            refuse_if(!partitions.is_empty(), "PARTITION of a table")?;
            refuse_if(json_path.is_some(), "path into a table")?;
            refuse_if(sample.is_some(), "TABLESAMPLE")?;
            check_alias(alias.as_ref())
        }
        TableFactor::Derived { lateral, subquery: _, alias, sample } => {
            refuse_if(*lateral, "LATERAL")?;
            refuse_if(sample.is_some(), "TABLESAMPLE")?;
            check_alias(alias.as_ref())
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            table_with_joins.joins.iter().try_for_each(check_join)?;
            check_alias(alias.as_ref())
        }
        TableFactor::TableFunction { .. } | TableFactor::Function { .. } => Err(unsupported("table function")),
        TableFactor::UNNEST { .. } => Err(unsupported("UNNEST")),
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => Err(unsupported("JSON_TABLE")),
        TableFactor::Pivot { .. } => Err(unsupported("PIVOT")),
        TableFactor::Unpivot { .. } => Err(unsupported("UNPIVOT")),
        TableFactor::MatchRecognize { .. } => Err(unsupported("MATCH_RECOGNIZE")),
        TableFactor::XmlTable { .. } => Err(unsupported("XMLTABLE")),
        TableFactor::SemanticView { .. } => Err(unsupported("SEMANTIC_VIEW")),
    }
}

/// Most numbers of a series.
const MAX_SERIES: i64 = 1_000;

/// The first and last number of `generate_series(first, last)`, which is a list of constants; `None` for anything else.
pub(crate) fn series(factor: &TableFactor) -> Option<(i64, i64)> {
    let TableFactor::Table { name, args: Some(args), .. } = factor else { return None };
    if !name.to_string().eq_ignore_ascii_case("generate_series") || args.settings.is_some() {
        return None;
    }
    let number = |arg: &ast::FunctionArg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            ast::Value::Number(number, false) => number.parse::<i64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let [first, last] = args.args.as_slice() else { return None };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last.checked_sub(first)? < MAX_SERIES).then_some((first, last))
}

fn check_alias(alias: Option<&ast::TableAlias>) -> Result<(), Refusal> {
    alias.map_or(Ok(()), |alias| {
        refuse_if(alias.at.is_some(), "AT")?;
        check_ident(&alias.name)?;
        alias.columns.iter().try_for_each(|column| check_ident(&column.name))
    })
}

/// Beginnings of the server's and the planner's own names.
const RESERVED: &[&str] =
    &["__cr_", "__row", "__correlated", "__scalar_sq", "__always_true", "__common_expr", "__grouping_id", "__unnest"];

fn check_ident(ident: &ast::Ident) -> Result<(), Refusal> {
    let name = ident.value.to_ascii_lowercase();
    match RESERVED.iter().find(|reserved| name.starts_with(*reserved)) {
        Some(reserved) => {
            Err(Refusal::new(Code::UnknownName, format!("names that start with `{reserved}` are reserved"))
                .about(&ident.value))
        }
        None => Ok(()),
    }
}

fn check_name(name: &ObjectName) -> Result<(), Refusal> {
    name.0.iter().try_for_each(|part| match part {
        ast::ObjectNamePart::Identifier(ident) => check_ident(ident),
        ast::ObjectNamePart::Function(_) => Err(unsupported("computed name")),
    })
}

fn check_expression(expr: &Expr) -> Result<(), Refusal> {
    match expr {
        Expr::Identifier(ident) => check_ident(ident),
        Expr::CompoundIdentifier(idents) => idents.iter().try_for_each(check_ident),
        Expr::Function(function) => check_function(function),
        // What the planner makes of every other expression is checked on the plan, variant by variant.
        _ => Ok(()),
    }
}

/// The aggregates that take their values from a clause of their own.
fn is_percentile(name: &ObjectName) -> bool {
    let name = name.to_string().to_ascii_lowercase();
    matches!(name.as_str(), "percentile_cont" | "quantile_cont" | "approx_percentile_cont")
}

fn check_function(function: &ast::Function) -> Result<(), Refusal> {
    let ast::Function { name, uses_odbc_syntax, parameters, args, filter: _, null_treatment: _, over: _, within_group } =
        function;
    check_name(name)?;
    refuse_if(*uses_odbc_syntax, "{fn ...}")?;
    refuse_if(!matches!(parameters, FunctionArguments::None), "parameter list of a function")?;
    refuse_if(!within_group.is_empty() && !is_percentile(name), "WITHIN GROUP")?;
    if let FunctionArguments::List(list) = args {
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::OrderBy(_) => {}
                FunctionArgumentClause::Limit(_)
                | FunctionArgumentClause::OnOverflow(_)
                | FunctionArgumentClause::Having(_)
                | FunctionArgumentClause::Separator(_)
                | FunctionArgumentClause::JsonNullClause(_)
                | FunctionArgumentClause::JsonReturningClause(_) => {
                    return Err(unsupported("clause inside a function's arguments"));
                }
            }
        }
    }
    Ok(())
}
