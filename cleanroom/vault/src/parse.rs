//! Text to [`ParsedQuery`]: one SELECT of the supported syntax; nothing else is representable.
//!
//! The list of supported syntax stands before planning, because the planner drops clauses it does not know without a word
//! (TABLESAMPLE among them). Sizes are measured on tokens, before anything recursive sees the text.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use cleanroom_policy::ParameterValue;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, FunctionArgumentClause, FunctionArguments, GroupByExpr, Join, JoinConstraint, JoinOperator,
    LimitClause, ObjectName, Query, Select, SelectFlavor, SetExpr, SetOperator, SetQuantifier, TableFactor, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::parameters;
use crate::refusal::{Code, Refusal, Span};

/// Longest text, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Most tokens that are not white space.
const MAX_TOKENS: usize = 6_000;
/// Most operators; each may become one level of a recursive structure.
const MAX_OPERATORS: usize = 600;
/// Most operators that compute: the planner asks for the type of each again and again, once for each that stands above it.
const MAX_COMPUTING: usize = 200;
/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 40;
/// Most tables named, with every use of a CTE counted as all that it names.
const MAX_RELATIONS: usize = 32;

/// One SELECT statement of the supported syntax.
pub(crate) struct ParsedQuery {
    statement: Statement,
    text: QueryText,
}

impl ParsedQuery {
    /// Reads `sql`.
    pub(crate) fn parse(sql: &str) -> Result<Self, Refusal> {
        let text = QueryText::read(sql)?;
        let statement = text.located(one_statement(sql).and_then(|statement| {
            check_statement(&statement)?;
            Ok(statement)
        }))?;
        Ok(Self { statement, text })
    }

    /// The parameters of the statement, and where each stands first.
    pub(crate) fn parameters(&self) -> Result<BTreeMap<String, Option<Span>>, Refusal> {
        match &self.statement {
            Statement::Statement(statement) => parameters::places(statement),
            _ => Err(not_select()),
        }
    }

    /// The same statement with values for all its parameters.
    pub(crate) fn bind(mut self, values: &BTreeMap<String, ParameterValue>) -> Result<Self, Refusal> {
        let places = self.parameters()?;
        match &mut self.statement {
            Statement::Statement(statement) => parameters::bind(statement, &places, values)?,
            _ => return Err(not_select()),
        }
        Ok(self)
    }

    pub(crate) fn into_parts(self) -> (Statement, QueryText) {
        (self.statement, self.text)
    }
}

/// The tokens of a query, to find out where a refusal points.
pub(crate) struct QueryText {
    tokens: Vec<TokenWithSpan>,
}

impl QueryText {
    fn read(sql: &str) -> Result<Self, Refusal> {
        if sql.len() > MAX_BYTES {
            return Err(Refusal::new(Code::TooLarge, format!("the statement is longer than {MAX_BYTES} bytes")));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
            Refusal::new(Code::NotSql, "the text cannot be split into SQL tokens").span(Some(Span {
                line: error.location.line,
                column: error.location.column,
                length: 1,
            }))
        })?;
        let text =
            Self { tokens: tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect() };
        text.check_size()?;
        Ok(text)
    }

    fn check_size(&self) -> Result<(), Refusal> {
        let too_large = |what: &str, most: usize| {
            Err(Refusal::new(Code::TooLarge, format!("the statement has more than {most} {what}")))
        };
        if self.tokens.len() > MAX_TOKENS {
            return too_large("tokens", MAX_TOKENS);
        }
        let (mut depth, mut deepest, mut operators, mut computing) = (0_usize, 0_usize, 0_usize, 0_usize);
        for token in &self.tokens {
            match &token.token {
                Token::LParen | Token::LBracket | Token::LBrace => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                // A list of values does not nest; everything else that joins two operands may.
                Token::Comma | Token::Period | Token::Number(..) | Token::SingleQuotedString(_) => {}
                Token::Word(word) => {
                    use datafusion::sql::sqlparser::keywords::Keyword;
                    if matches!(
                        word.keyword,
                        Keyword::AND
                            | Keyword::OR
                            | Keyword::NOT
                            | Keyword::UNION
                            | Keyword::EXCEPT
                            | Keyword::INTERSECT
                            | Keyword::JOIN
                            | Keyword::SELECT
                            | Keyword::CASE
                            | Keyword::WHEN
                            | Keyword::IS
                    ) {
                        operators += 1;
                    }
                }
                Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
                    operators += 1;
                }
                _ => {
                    operators += 1;
                    computing += 1;
                }
            }
        }
        if deepest > MAX_DEPTH {
            return too_large("levels of brackets", MAX_DEPTH);
        }
        if operators > MAX_OPERATORS {
            return too_large("operators", MAX_OPERATORS);
        }
        if computing > MAX_COMPUTING {
            return too_large("operators that compute", MAX_COMPUTING);
        }
        Ok(())
    }

    /// Gives a refusal its place in the text, where it has none yet.
    pub(crate) fn located<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        result.map_err(|refusal| {
            let span = refusal.culprit().and_then(|word| self.find(word));
            refusal.span(span)
        })
    }

    fn find(&self, culprit: &str) -> Option<Span> {
        self.tokens.iter().find_map(|token| {
            let text = match &token.token {
                Token::Word(word) => word.value.clone(),
                other => other.to_string(),
            };
            text.eq_ignore_ascii_case(culprit).then(|| Span {
                line: token.span.start.line,
                column: token.span.start.column,
                length: token.span.end.column.saturating_sub(token.span.start.column).max(1),
            })
        })
    }
}

fn one_statement(sql: &str) -> Result<Statement, Refusal> {
    let mut statements = DFParserBuilder::new(sql)
        .with_recursion_limit(MAX_DEPTH + 10)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|detail| {
            Refusal::new(Code::NotSql, "the text cannot be read as SQL").span(place_in(&detail.to_string()))
        })?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => Err(Refusal::new(Code::NotOneSelect, "there is more than one statement").about(";")),
        (None, _) => Err(Refusal::new(Code::NotOneSelect, "there is no statement")),
    }
}

/// The place that the parser names in its message: nothing else of it is told.
fn place_in(message: &str) -> Option<Span> {
    let number = |after: &str| {
        let rest = message.rsplit_once(after)?.1;
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse::<u64>().ok().filter(|number| *number > 0)
    };
    Some(Span { line: number(" Line: ")?, column: number(" Column: ")?, length: 1 })
}

fn check_statement(statement: &Statement) -> Result<(), Refusal> {
    let Statement::Statement(statement) = statement else {
        return Err(not_select());
    };
    let ast::Statement::Query(query) = statement.as_ref() else {
        return Err(not_select());
    };
    match query.visit(&mut Syntax) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => {
            let mut scopes = Vec::new();
            count_relations(query, &mut scopes).map(|_count| ())
        }
    }
}

fn not_select() -> Refusal {
    Refusal::new(Code::NotOneSelect, "the statement is not a SELECT").suggest("ask with one SELECT statement")
}

fn unsupported(what: &str) -> Refusal {
    let first = what.split(' ').next().unwrap_or(what);
    Refusal::new(Code::Syntax, format!("{what} is not supported")).about(first)
}

/// Refuses every clause that is not listed.
struct Syntax;

impl Visitor for Syntax {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        flow(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        flow(check_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
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
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::None => Ok(()),
            // A column added to either table would silently change the join.
            JoinConstraint::Natural => Err(unsupported("NATURAL").suggest("name the columns: JOIN ... USING (column)")),
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
            name: _,
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
            refuse_if(args.is_some() && series(factor).is_none(), "table function")?;
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

/// Tables that a query reads once its CTEs are put in place: a chain of CTEs that each name the one before twice doubles
/// at every step, and the planner would build it all.
fn count_relations(query: &Query, scopes: &mut Vec<(String, usize)>) -> Result<usize, Refusal> {
    let before = scopes.len();
    if let Some(with) = &query.with {
        for cte in &with.cte_tables {
            let count = count_relations(&cte.query, scopes)?;
            scopes.push((cte.alias.name.value.to_lowercase(), count));
        }
    }
    struct Counter<'a> {
        scopes: &'a mut Vec<(String, usize)>,
        count: usize,
        depth: usize,
    }
    impl Visitor for Counter<'_> {
        type Break = Refusal;

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
            self.depth += 1;
            // A nested WITH brings its own names; counted as if each were used once more, which errs to the safe side.
            if self.depth > 1
                && let Some(with) = &query.with
            {
                for cte in &with.cte_tables {
                    match count_relations(&cte.query, self.scopes) {
                        Ok(count) => self.scopes.push((cte.alias.name.value.to_lowercase(), count)),
                        Err(refusal) => return ControlFlow::Break(refusal),
                    }
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Refusal> {
            let text = name.to_string().replace('"', "").to_lowercase();
            let each =
                self.scopes.iter().rev().find(|(cte, _count)| *cte == text).map_or(1, |(_cte, count)| (*count).max(1));
            self.count = self.count.saturating_add(each);
            if self.count > MAX_RELATIONS {
                return ControlFlow::Break(Refusal::new(
                    Code::TooLarge,
                    format!("the statement reads more than {MAX_RELATIONS} tables, counting every use of a CTE"),
                ));
            }
            ControlFlow::Continue(())
        }
    }
    let mut counter = Counter { scopes, count: 0, depth: 0 };
    // The bodies of this query's own CTEs were counted where they are used.
    let mut body = query.clone();
    body.with = None;
    let result = body.visit(&mut counter);
    let count = counter.count;
    scopes.truncate(before);
    match result {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => Ok(count),
    }
}
