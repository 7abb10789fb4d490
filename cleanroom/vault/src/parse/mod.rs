//! Text to [`ParsedQuery`]: one SELECT of the supported syntax; nothing else is representable.
//!
//! The list of supported syntax stands before planning, because the planner drops clauses it does not know without a word
//! (TABLESAMPLE among them). Sizes are measured on tokens, before anything recursive sees the text.

mod syntax;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use cleanroom_policy::ParameterValue;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, ObjectName, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::parameters;
use crate::refusal::{Code, Refusal, Span};
pub(crate) use syntax::series;
use syntax::{Open, Syntax};

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
    /// What it leaves open.
    open: Open,
}

impl ParsedQuery {
    /// Reads `sql`.
    pub(crate) fn parse(sql: &str) -> Result<Self, Refusal> {
        let text = QueryText::read(sql)?;
        let (statement, open) = text.located(one_statement(sql).and_then(|statement| {
            let open = check_statement(&statement)?;
            Ok((statement, open))
        }))?;
        Ok(Self { statement, text, open })
    }

    /// Whether the text says what the statement means. NATURAL does not, and `*` does not where rows are told apart: a column
    /// that is granted later changes what is joined, or which rows are the same.
    pub(crate) fn says_all(&self) -> Result<(), Refusal> {
        let refusal = |what: &str| Refusal::new(Code::Syntax, format!("{what} is not supported in a template"));
        self.text.located(if self.open.natural {
            Err(refusal("NATURAL").about("NATURAL").suggest("name the columns: JOIN ... USING (column)"))
        } else if self.open.wildcard && self.open.distinct {
            let what = "`*` beside DISTINCT, GROUP BY ALL, or UNION, INTERSECT and EXCEPT of distinct rows";
            Err(refusal(what).about("*").suggest("name the columns"))
        } else {
            Ok(())
        })
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

fn check_statement(statement: &Statement) -> Result<Open, Refusal> {
    let Statement::Statement(statement) = statement else {
        return Err(not_select());
    };
    let ast::Statement::Query(query) = statement.as_ref() else {
        return Err(not_select());
    };
    let mut syntax = Syntax::default();
    match query.visit(&mut syntax) {
        ControlFlow::Break(refusal) => Err(refusal),
        ControlFlow::Continue(()) => {
            let mut scopes = Vec::new();
            count_relations(query, &mut scopes).map(|_count| syntax.open)
        }
    }
}

fn not_select() -> Refusal {
    Refusal::new(Code::NotOneSelect, "the statement is not a SELECT").suggest("ask with one SELECT statement")
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
