//! The distinct rows of the analyst's own tables, over the unit and the columns that the rest of the query uses.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// Marks where rows become distinct. It lives from the check to the compilation, where unused columns are cut off below it
/// and a stock aggregate takes its place: which columns are used is known only once the whole query is.
#[derive(Debug, Clone)]
pub(crate) struct OwnDistinct {
    pub(crate) input: Arc<LogicalPlan>,
}

impl OwnDistinct {
    pub(crate) fn over(input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input: Arc::new(input) }) })
    }
}

impl PartialEq for OwnDistinct {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input
    }
}

impl Eq for OwnDistinct {}

impl Hash for OwnDistinct {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl PartialOrd for OwnDistinct {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for OwnDistinct {
    fn name(&self) -> &'static str {
        "OwnDistinct"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnDistinct")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next()) {
            (Some(input), None) => Ok(Self { input: Arc::new(input) }),
            _ => datafusion::common::plan_err!("OwnDistinct has one input"),
        }
    }

    /// A condition on the rows' own columns may be met before or after they become distinct; met before, its columns are
    /// used no more, and do not make rows distinct that are otherwise the same.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}
