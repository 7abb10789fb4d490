//! How large a plan's expressions become once every column is put in the place of its name.
//!
//! The engine moves conditions below projections, and so writes an expression out wherever its column is used: twenty steps
//! that each name the one before twice become a million terms, or a text a million times as long. Both are counted here,
//! column by column, before the engine sees the plan.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator};

use super::functions;
use crate::ingest::LONGEST_TEXT;
use crate::refusal::{Code, Refusal};

/// Most terms of one expression.
const MAX_TERMS: u64 = 5_000;
/// Most terms below the operators of one expression, those below several counted for each: what the planner looks at to
/// find out types.
const MAX_WORK: u64 = 60_000;
/// Longest text that one value may become, in bytes. A batch of 8 192 such texts takes a quarter of what the engine's
/// arrays hold: which rows there are never decides whether a statement fails.
const MAX_TEXT: u64 = 64 * 1024;
/// Most bytes of all texts that one row of a node's result holds anew.
const MAX_ROW: u64 = 128 * 1024;

/// Longest text of a value that was none: numbers, times and intervals.
const WRITTEN: u64 = 512;
/// Longest text of a time in a format of 64 bytes.
const FORMATTED: u64 = 2 * 1024;
/// Bytes that a letter takes at most for each byte that its other case takes.
const OTHER_CASE: u64 = 3;
/// Bytes of texts that are put together, which are cut there.
const TOGETHER: u64 = 8_192 * CHARACTER;
/// Bytes of a character.
const CHARACTER: u64 = 4;

/// What a column amounts to when it is written out.
#[derive(Debug, Clone, Copy)]
struct Weight {
    terms: u64,
    work: u64,
    /// Bytes of its longest text; 0 where it holds none.
    text: u64,
}

impl Weight {
    /// Of a column that is stored.
    fn plain(data_type: &DataType) -> Self {
        Self { terms: 1, work: 0, text: if data_type.is_string() { LONGEST_TEXT as u64 } else { 0 } }
    }

    fn or(self, other: Self) -> Self {
        Self { terms: self.terms.max(other.terms), work: self.work.max(other.work), text: self.text.max(other.text) }
    }
}

/// Refuses a plan that would be written out into more than the engine can hold.
pub(super) fn check_size(plan: &LogicalPlan) -> Result<(), Refusal> {
    weights(plan).map(|_columns| ())
}

fn weights(plan: &LogicalPlan) -> Result<Vec<Weight>, Refusal> {
    let inputs = plan.inputs().into_iter().map(weights).collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<Weight> = inputs.iter().flatten().copied().collect();
    let schema = plan.inputs().iter().try_fold(DFSchema::empty(), |all, input| all.join(input.schema()));
    // Inputs whose names collide (a union's) hold no expressions of their own.
    let schema = schema.unwrap_or_else(|_collision| DFSchema::empty());
    let below = Below { schema: &schema, columns: &columns };
    let expressions = plan.expressions();
    let computed = expressions.iter().map(|expr| below.weight(expr)).collect::<Result<Vec<_>, _>>()?;
    if let LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) = plan {
        let anew = expressions.iter().zip(&computed).filter(|(expr, _weight)| !is_column(expr));
        if anew.fold(0, |bytes: u64, (_expr, weight)| bytes.saturating_add(weight.text)) > MAX_ROW {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("the texts that are computed for one row could take more than {MAX_ROW} bytes"),
            )
            .suggest("shorten texts with left(), or compute fewer of them"));
        }
    }
    let fields = plan.schema().fields();
    let stored = fields.iter().map(|field| Weight::plain(field.data_type()));
    let mut out = match plan {
        LogicalPlan::Projection(_) => computed,
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => Vec::new(),
        LogicalPlan::Values(_) => {
            let most = once(computed).into_iter().fold(Weight { terms: 1, work: 0, text: 0 }, Weight::or);
            vec![most; fields.len()]
        }
        // What is aggregated or numbered is computed once and then a plain column; a long text stays long.
        LogicalPlan::Aggregate(_) => once(computed),
        LogicalPlan::Window(_) => columns.into_iter().chain(once(computed)).collect(),
        LogicalPlan::Union(_) => stored
            .clone()
            .enumerate()
            .map(|(position, _plain)| {
                let here = inputs.iter().filter_map(|input| input.get(position)).copied();
                here.reduce(Weight::or).unwrap_or(Weight { terms: 1, work: 0, text: MAX_TEXT })
            })
            .collect(),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti => inputs.into_iter().nth(1).unwrap_or_default(),
            JoinType::Inner
            | JoinType::Left
            | JoinType::Right
            | JoinType::Full
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark => columns,
            // Its rows are those of the right side.
            JoinType::RightMark => inputs.into_iter().nth(1).unwrap_or_default(),
        },
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_) => columns,
        // None of these is answered.
        LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => Vec::new(),
    };
    out.truncate(fields.len());
    out.extend(stored.skip(out.len()));
    // A number holds no text, whatever it was made of.
    for (weight, field) in out.iter_mut().zip(fields) {
        if !field.data_type().is_string() {
            weight.text = 0;
        }
    }
    Ok(out)
}

fn once(computed: Vec<Weight>) -> Vec<Weight> {
    computed.into_iter().map(|weight| Weight { terms: 1, work: 0, ..weight }).collect()
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_column(&alias.expr),
        _ => false,
    }
}

/// What an expression can name.
struct Below<'a> {
    schema: &'a DFSchema,
    columns: &'a [Weight],
}

impl Below<'_> {
    fn weight(&self, expr: &Expr) -> Result<Weight, Refusal> {
        let mut parts: Vec<Weight> = Vec::new();
        let mut refused = None;
        let walked = expr.apply_children(|child| {
            Ok(match self.weight(child) {
                Ok(weight) => {
                    parts.push(weight);
                    TreeNodeRecursion::Continue
                }
                Err(refusal) => {
                    refused = Some(refusal);
                    TreeNodeRecursion::Stop
                }
            })
        });
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        let below: u64 = parts.iter().fold(0, |terms: u64, part| terms.saturating_add(part.terms));
        let terms = match expr {
            Expr::Column(column) => self.column(column).terms,
            _ => below.saturating_add(1),
        };
        let work = parts.iter().fold(0, |work: u64, part| work.saturating_add(part.work));
        let work = match expr {
            Expr::Column(column) => self.column(column).work,
            // Whatever its parts, a condition is a truth value.
            Expr::BinaryExpr(binary) if binary.op.is_logic_operator() => work,
            Expr::BinaryExpr(_) | Expr::ScalarFunction(_) | Expr::Case(_) => work.saturating_add(terms),
            _ => work,
        };
        if walked.is_err() || terms > MAX_TERMS || work > MAX_WORK {
            return Err(Refusal::new(
                Code::TooLarge,
                format!(
                    "an expression has more than {MAX_TERMS} terms once the columns it names are written out, or they stand in \
                     too deep a chain"
                ),
            ));
        }
        let text = self.text(expr, &parts.iter().map(|part| part.text).collect::<Vec<_>>())?;
        if text > MAX_TEXT {
            return Err(Refusal::new(Code::TooLarge, format!("a text could become longer than {MAX_TEXT} bytes"))
                .suggest("put fewer texts together, or shorten them with left()"));
        }
        Ok(Weight { terms, work, text })
    }

    fn column(&self, column: &Column) -> Weight {
        // What is not found stands in a subquery for a column outside of it; no such subquery is answered.
        let found = self.schema.maybe_index_of_column(column).and_then(|index| self.columns.get(index));
        found.copied().unwrap_or(Weight { terms: 1, work: 0, text: LONGEST_TEXT as u64 })
    }

    /// Bytes of the longest text that the expression can give, from those of its parts. At least as many, where there is
    /// no rule of its own: a function that is listed gives no longer text than its longest argument.
    fn text(&self, expr: &Expr, parts: &[u64]) -> Result<u64, Refusal> {
        let longest = parts.iter().copied().max().unwrap_or_default();
        let together = parts.iter().fold(0, |bytes: u64, part| bytes.saturating_add(*part));
        Ok(match expr {
            Expr::Column(column) => self.column(column).text,
            Expr::Literal(
                ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
                _,
            ) => text.len() as u64,
            Expr::ScalarSubquery(subquery) => weights(&subquery.subquery)?.first().map_or(0, |weight| weight.text),
            Expr::InSubquery(subquery) => weights(&subquery.subquery.subquery).map(|_columns| 0)?,
            Expr::Exists(subquery) => weights(&subquery.subquery.subquery).map(|_columns| 0)?,
            Expr::Cast(cast) if cast.field.data_type().is_string() => longest.max(WRITTEN),
            Expr::TryCast(cast) if cast.field.data_type().is_string() => longest.max(WRITTEN),
            Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => together,
            Expr::AggregateFunction(call) if call.func.name() == functions::TOGETHER => {
                if longest > LONGEST_TEXT as u64 {
                    return Err(Refusal::new(
                        Code::TooLarge,
                        format!("texts that are put together are at most {LONGEST_TEXT} bytes each"),
                    )
                    .about(functions::TOGETHER)
                    .suggest("shorten them with left()"));
                }
                TOGETHER
            }
            Expr::ScalarFunction(call) => match call.func.name() {
                "regexp_replace" => {
                    // What it puts in the place of each match, and of nothing before each character.
                    let text = parts.first().copied().unwrap_or_default();
                    let by = parts.get(2).copied().unwrap_or_default();
                    text.saturating_add(1).saturating_mul(by).saturating_add(text.saturating_mul(by.saturating_add(1)))
                }
                // A number among the arguments is written out.
                "concat" => together.saturating_add(WRITTEN),
                "concat_ws" => {
                    let gaps = (parts.len() as u64).saturating_mul(parts.first().copied().unwrap_or_default());
                    together.saturating_add(gaps).saturating_add(WRITTEN)
                }
                "upper" | "lower" | "initcap" => longest.saturating_mul(OTHER_CASE),
                // More than these take is for their own rule to refuse.
                "lpad" | "rpad" => characters(call.args.get(1)).unwrap_or(MAX_TEXT).min(MAX_TEXT),
                "left" | "right" => longest.min(characters(call.args.get(1)).unwrap_or(u64::MAX)),
                "substr" => longest.min(characters(call.args.get(2)).unwrap_or(u64::MAX)),
                "to_char" => FORMATTED,
                _ => longest,
            },
            _ => longest,
        })
    }
}

/// Bytes of as many characters as a constant says.
fn characters(count: Option<&Expr>) -> Option<u64> {
    match functions::constant(count?)?.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(count))) => Some(u64::try_from(count).ok()?.saturating_mul(CHARACTER)),
        _ => None,
    }
}
