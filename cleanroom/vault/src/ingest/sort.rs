//! Sorting more rows than fit in memory, with the engine's own sort.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan as _;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::sync::mpsc::Receiver;

/// The sender's side failed and holds the reason.
#[derive(Debug)]
pub(crate) struct Stopped;

/// What a sort takes in.
pub(crate) type Feed = Receiver<std::result::Result<RecordBatch, Stopped>>;

/// Most memory that sorting takes, in bytes: more makes it no faster.
const ENOUGH: usize = 512 << 20;

/// Kept free for merging what was spilled, in bytes.
const MERGE: usize = 10 << 20;

/// What of an ingestion's memory goes into sorting, in bytes; the rest is for the identities.
pub(crate) fn memory(limit: usize) -> usize {
    (limit / 2).min(ENOUGH)
}

/// What one ingestion may use for its sorts.
pub(crate) struct Sorter {
    context: SessionContext,
}

impl Sorter {
    /// At most `memory` bytes of memory; beyond, files in `spill_dir`.
    pub(crate) fn new(memory: usize, spill_dir: &Path) -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
            .with_temp_file_path(spill_dir)
            .build_arc()?;
        let config =
            SessionConfig::new().with_target_partitions(1).with_sort_spill_reservation_bytes((memory / 4).min(MERGE));
        Ok(Self { context: SessionContext::new_with_config_rt(config, runtime) })
    }

    /// The rows of `feed` ascending by `keys`, NULL first.
    pub(crate) fn sorted(&self, schema: &SchemaRef, keys: &[&str], feed: Feed) -> Result<SendableRecordBatchStream> {
        let options = SortOptions { descending: false, nulls_first: true };
        let keys = keys
            .iter()
            .map(|key| Ok(PhysicalSortExpr { expr: col(key, schema)?, options }))
            .collect::<Result<Vec<_>>>()?;
        let ordering = LexOrdering::new(keys).ok_or_else(|| exec_datafusion_err!("a sort without keys"))?;
        let partition = Fed { schema: Arc::clone(schema), feed: Mutex::new(Some(feed)) };
        let input = StreamingTableExec::try_new(Arc::clone(schema), vec![Arc::new(partition)], None, [], false, None)?;
        SortExec::new(ordering, Arc::new(input)).execute(0, self.context.task_ctx())
    }
}

/// Hands the feed to the engine, once.
struct Fed {
    schema: SchemaRef,
    feed: Mutex<Option<Feed>>,
}

impl fmt::Debug for Fed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fed")
    }
}

impl PartitionStream for Fed {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = futures::stream::unfold(feed, |feed| async {
            let mut feed = feed?;
            let batch = feed.recv().await?;
            Some((batch.map_err(|Stopped| exec_datafusion_err!("the source stopped")), Some(feed)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
