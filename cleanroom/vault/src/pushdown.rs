//! Where the engine may move a condition below other operators of a physical plan.
//!
//! DataFusion 55 finds the columns of a condition that it moves by their names alone (its issues 21246, 25244, 25296). Above a
//! join two columns may have one name, and then the condition is asked of the wrong one: rows are missing, or too many, without
//! an error. Conditions are moved by their qualified names before, in the logical plan; what is left to do is to hand them to
//! the file below, where they save reading. So that alone is done: below no join, and where each name is there once.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

/// The engine's rules, but that conditions go down to files only; and none that follow from what other operators come upon.
pub(crate) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let (moves, moves_later) = (FilterPushdown::new(), FilterPushdown::new_post_optimization());
    PhysicalOptimizer::new()
        .rules
        .into_iter()
        .filter(|rule| rule.name() != moves_later.name())
        .map(|rule| match rule.name() == moves.name() {
            true => Arc::new(ToFiles(FilterPushdown::new())),
            false => rule,
        })
        .collect()
}

#[derive(Debug)]
struct ToFiles(FilterPushdown);

impl PhysicalOptimizerRule for ToFiles {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let moved = plan.transform_down(|node| {
            if !of_one_file(&node) {
                return Ok(Transformed::no(node));
            }
            let moved = self.0.optimize(node, config)?;
            Ok(Transformed::new(moved, true, TreeNodeRecursion::Jump))
        });
        moved.map(|moved| moved.data)
    }

    fn name(&self) -> &'static str {
        "filters_to_files"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether rows come from one file, one operator after the other, and columns are known by their names all the way.
fn of_one_file(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let names: BTreeSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.len() == schema.fields().len()
        && match plan.children().as_slice() {
            [] => true,
            [input] => of_one_file(input),
            _ => false,
        }
}
