//! Tables of a question cut at the same units, so that a unit's rows of all of them meet in one partition of the plan: neither
//! a join nor an aggregate per unit has to send a row elsewhere.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, SplitPoint};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::{ExecutionPlan, Partitioning, RangePartitioning};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use crate::facts::TableFacts;
use crate::ingest::UnitGrid;
use crate::source::CheckedScan;

/// Partitions for each of the engine's threads: some are done earlier than others.
const PER_THREAD: usize = 2;

/// Units at which the tables of one plan are cut, ascending; the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitRanges {
    /// Cells of this power of two...
    step: u32,
    /// ...before each of which there is a cut.
    cells: Vec<usize>,
}

impl UnitRanges {
    /// Chosen so that partitions hold about the same number of rows; `None` where a cut would bring nothing.
    pub(crate) fn of(state: &SessionState, plan: &LogicalPlan) -> Result<Option<Arc<Self>>> {
        let mut grids: Vec<UnitGrid> = Vec::new();
        plan.apply_with_subqueries(|node| {
            grids.extend(CheckedScan::of(node).and_then(|scan| scan.facts.data.as_ref()?.grid.clone()));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self::between(grids, state.config().target_partitions() * PER_THREAD).map(Arc::new))
    }

    fn between(mut grids: Vec<UnitGrid>, partitions: usize) -> Option<Self> {
        let step = grids.iter().map(UnitGrid::step).max()?;
        grids.iter_mut().for_each(|grid| grid.coarsen(step));
        let all = grids.iter().map(UnitGrid::cells).max()?;
        let rows: u64 = grids.iter().map(UnitGrid::rows).sum();
        let before = |cell: usize| grids.iter().map(|grid| grid.rows_before(cell)).sum::<u64>();
        let mut cells: Vec<usize> = Vec::new();
        for part in 1..partitions as u64 {
            let share = rows / partitions as u64 * part;
            // More than the rest may be in the last cell.
            let Some(cell) = (1..all).find(|cell| before(*cell) >= share) else { break };
            if cells.last() != Some(&cell) {
                cells.push(cell);
            }
        }
        (!cells.is_empty()).then_some(Self { step, cells })
    }

    /// The scan of a whole snapshot as one of these ranges, in order of the column `unit`; as it is where it cannot be.
    pub(crate) fn cut(&self, facts: &TableFacts, scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let grid = facts.data.as_ref().and_then(|data| data.grid.clone());
        let source = scan.downcast_ref::<DataSourceExec>();
        let config = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
        let (Some(mut grid), Some((unit, _space)), Some(config)) = (grid, facts.unit(), config) else {
            return Ok(scan);
        };
        let [group] = config.file_groups.as_slice() else {
            return Ok(scan);
        };
        let ([file], Ok(at)) = (group.files(), config.file_schema().index_of(unit)) else {
            return Ok(scan);
        };
        grid.coarsen(self.step);
        let unit = PhysicalSortExpr {
            expr: Arc::new(Column::new(unit, at)),
            options: SortOptions { descending: false, nulls_first: true },
        };
        let Some(order) = LexOrdering::new([unit]) else {
            return Ok(scan);
        };
        let splits = self.units().map(|unit| SplitPoint::new(vec![ScalarValue::UInt32(Some(unit))])).collect();
        let ranges = RangePartitioning::try_new(order.clone(), splits)?;
        let groups = self.parts(&grid).map(|part| FileGroup::new(part_of(file, part, grid.rows()))).collect();
        let config = FileScanConfigBuilder::from(config.clone())
            .with_file_groups(groups)
            .with_output_ordering(vec![order])
            .with_output_partitioning(Some(Partitioning::Range(ranges)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The first unit after each cut.
    fn units(&self) -> impl Iterator<Item = u32> {
        self.cells.iter().map(|cell| u32::try_from(*cell << self.step).unwrap_or(u32::MAX))
    }

    /// The rows of each partition: from, to.
    fn parts(&self, grid: &UnitGrid) -> impl Iterator<Item = (u64, u64)> {
        let cuts = || self.cells.iter().map(|cell| grid.rows_before(*cell));
        std::iter::once(0).chain(cuts()).zip(cuts().chain([grid.rows()]))
    }
}

/// Some rows of a file; none of it where there are none.
fn part_of(file: &PartitionedFile, (from, to): (u64, u64), rows: u64) -> Vec<PartitionedFile> {
    if from >= to {
        return Vec::new();
    }
    let rows_of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let selection = RowSelection::from(vec![
        RowSelector::skip(rows_of(from)),
        RowSelector::select(rows_of(to - from)),
        RowSelector::skip(rows_of(rows - to)),
    ]);
    // What is known of the whole file is not known of a part of it.
    let part = PartitionedFile { statistics: None, ..file.clone() };
    vec![part.with_extension(ParquetRowSelection::new(selection))]
}
