//! How large a plan's expressions become once every column is put in the place of its name.
//!
//! The engine moves conditions below projections, and so writes an expression out wherever its column is used: twenty steps
//! that each name the one before twice become a million terms, or a text a million times as long. Both are counted here,
//! column by column, before the engine sees the plan.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator};

use crate::refusal::{Code, Refusal};

/// Most terms of one expression.
const MAX_TERMS: u64 = 5_000;
/// Most texts that are put together in one value.
const MAX_TEXTS: u64 = 64;

/// What a column amounts to when it is written out.
#[derive(Debug, Clone, Copy)]
struct Weight {
    terms: u64,
    texts: u64,
}

const PLAIN: Weight = Weight { terms: 1, texts: 1 };

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
    let computed =
        plan.expressions().iter().map(|expr| weight(expr, &schema, &columns)).collect::<Result<Vec<_>, _>>()?;
    let width = plan.schema().fields().len();
    let mut out = match plan {
        LogicalPlan::Projection(_) => computed,
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Vec::new(),
        // What is aggregated or numbered is computed once and then a plain column; a long text stays long.
        LogicalPlan::Aggregate(_) => once(computed),
        LogicalPlan::Window(_) => columns.into_iter().chain(once(computed)).collect(),
        LogicalPlan::Union(_) => (0..width)
            .map(|position| {
                inputs.iter().filter_map(|input| input.get(position)).fold(PLAIN, |most, weight| Weight {
                    terms: most.terms.max(weight.terms),
                    texts: most.texts.max(weight.texts),
                })
            })
            .collect(),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti => inputs.into_iter().nth(1).unwrap_or_default(),
            _ => columns,
        },
        _ => columns,
    };
    out.truncate(width);
    out.resize(width, PLAIN);
    Ok(out)
}

fn once(computed: Vec<Weight>) -> Vec<Weight> {
    computed.into_iter().map(|weight| Weight { terms: 1, ..weight }).collect()
}

fn weight(expr: &Expr, schema: &DFSchema, columns: &[Weight]) -> Result<Weight, Refusal> {
    let mut total = Weight { terms: 0, texts: 0 };
    let mut longest = 1;
    let mut refused = None;
    let walked = expr.apply(|expr| {
        let here = match expr {
            Expr::Column(column) => {
                schema.maybe_index_of_column(column).and_then(|index| columns.get(index)).copied().unwrap_or(PLAIN)
            }
            Expr::ScalarSubquery(subquery) => {
                if let Err(refusal) = weights(&subquery.subquery) {
                    refused = Some(refusal);
                    return Ok(TreeNodeRecursion::Stop);
                }
                PLAIN
            }
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                Weight { terms: 1, texts: u64::try_from(text.len() / 256).unwrap_or(u64::MAX).saturating_add(1) }
            }
            _ => Weight { terms: 1, texts: 0 },
        };
        longest = longest.max(here.texts);
        total.terms = total.terms.saturating_add(here.terms);
        total.texts = total.texts.saturating_add(here.texts);
        Ok(TreeNodeRecursion::Continue)
    });
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    if walked.is_err() || total.terms > MAX_TERMS {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("an expression has more than {MAX_TERMS} terms once the columns it names are written out"),
        ));
    }
    // Only what puts texts together makes a longer one.
    let joins = concatenates(expr);
    if joins && total.texts > MAX_TEXTS {
        return Err(Refusal::new(Code::TooLarge, format!("a text is put together from more than {MAX_TEXTS} parts")));
    }
    let texts = if joins { total.texts } else { longest };
    Ok(Weight { terms: total.terms.max(1), texts: texts.max(1) })
}

fn concatenates(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
            Expr::ScalarFunction(call) => matches!(call.func.name(), "concat" | "concat_ws"),
            _ => false,
        })
    })
    .unwrap_or(true)
}
