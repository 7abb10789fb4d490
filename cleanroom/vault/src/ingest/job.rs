//! The blocking work of one ingestion: everything but its registration.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cleanroom_keys::RoomKey;
use cleanroom_policy::{Policy, Subject, Use};
use cleanroom_registry::{NewTableVersion, TableVersion};
use datafusion::error::DataFusionError;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, channel};

use super::arrays::LongTexts;
use super::binary;
use super::error::IngestError;
use super::fingerprint::{Fingerprint, Recipe};
use super::grid::UnitGrid;
use super::identities::{Identities, Unnumbered};
use super::layout::{Chunks, Layout};
use super::row_ids::{RowIds, with_row_ids};
use super::snapshot::{self, MAX_ROWS_PER_UNIT, Repeats, SnapshotWriter, Written};
use super::sort::{self, Feed, Sorter, Stopped};
use super::source::{Format, SourceFile};
use super::text;
use super::workspace::RoomLock;

/// Batches between two steps.
const QUEUE: usize = 4;

/// Numbers the rows while they are sorted, so that equal sources give equal snapshots.
const ROW: &str = "__row";

/// One ingestion.
pub(crate) struct Job {
    pub(crate) lock: RoomLock,
    pub(crate) memory_limit: usize,
    pub(crate) policy: Policy,
    pub(crate) path: PathBuf,
    pub(crate) label: String,
    pub(crate) format: Option<Format>,
    pub(crate) force: bool,
    pub(crate) current: Option<TableVersion>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What is to be registered. The lock is held until it is.
pub(crate) enum Prepared {
    /// Nothing.
    Unchanged { lock: RoomLock, rows: u64, notes: Vec<String> },
    /// A snapshot, durable and under its name.
    New { lock: RoomLock, version: NewTableVersion, rows: u64, notes: Vec<String> },
}

impl Job {
    pub(crate) fn run(self, handle: &Handle) -> Result<Prepared, IngestError> {
        let source = SourceFile::open(&self.path, &self.label, self.format)?;
        let (key, space) = match &self.policy.subject {
            Subject::Unit { space, .. } => (Some(self.room_key()?), Some(space)),
            Subject::Public => (None, None),
        };
        let recipe = Recipe::new(&self.policy, source.format, key.as_ref().map(RoomKey::key_id));
        if let Some(rows) = self.unchanged(|known| known.surely(&source, &recipe))? {
            return Ok(Prepared::Unchanged { lock: self.lock, rows, notes: Vec::new() });
        }
        let content = source.content()?;
        if let Some(rows) = self.unchanged(|known| known.covers(&content, &recipe))? {
            return Ok(Prepared::Unchanged { lock: self.lock, rows, notes: Vec::new() });
        }

        let row_key = key.as_ref().map(RoomKey::row_key);
        let workspace = self.lock.workspace()?;
        let sorting = sort::memory(self.memory_limit);
        let sorter = Sorter::new(sorting, workspace.path()).map_err(|error| self.engine(&error))?;
        let mut identities = match (key, space) {
            (Some(key), Some(space)) => {
                let (dir, memory) = (self.lock.spaces_dir()?, self.memory_limit - sorting);
                Some(Identities::open(&dir, workspace.path(), space.as_str(), key, memory)?)
            }
            _ => None,
        };
        let (layout, chunks) = self.decoder(&source)?;
        let stored = layout.stored_schema();
        let ids = match (layout.unit(), row_key) {
            (Some(unit), Some(key)) => {
                Some(RowIds::new(&stored, unit, key).map_err(|error| self.engine(&error.into()))?)
            }
            _ => None,
        };
        let schema = if ids.is_some() { with_row_ids(&stored) } else { stored };
        let writer = SnapshotWriter::create(workspace.path(), &schema, layout.unit())?;
        let (written, long) = self.transfer(handle, &sorter, &layout, chunks, identities.as_mut(), (ids, writer))?;
        source.still_the_same()?;
        let unique = self.unique(handle, &sorter, &layout, &written)?;

        // Tokens first: a snapshot is registered only once the numbers in it have a lasting meaning.
        identities.map_or(Ok(()), Identities::commit)?;
        self.lock.snapshots_dir()?;
        let already = self.current.as_ref().and_then(|current| Fingerprint::parse(&current.fingerprint));
        let already = already.is_some_and(|known| known.covers(&content, &recipe));
        let (snapshot, rows, cut) = (written.digest.clone(), written.rows, written.cut);
        let grid = written.grid.clone();
        written.publish(&self.lock.snapshot_path(&snapshot))?;
        let version = NewTableVersion {
            schema: describe(&layout.stored_schema()),
            meta: self.meta(&source, unique, grid.as_ref()),
            fingerprint: serde_json::to_string(&Fingerprint::new(source.stamp, content, recipe))
                .map_err(|_| IngestError::Internal { file: self.label.clone(), what: "fingerprint" })?,
            snapshot,
        };
        let mut notes: Vec<String> = layout.notes.into_iter().chain(long.notes()).collect();
        if cut > 0 {
            notes.push(format!("{cut} rows are left out: a table holds at most {MAX_ROWS_PER_UNIT} rows of one unit"));
        }
        Ok(match &self.current {
            // A new fingerprint is registered even with the same rows, or the source would be read again every time.
            Some(known) if already && same(known, &version) => Prepared::Unchanged { lock: self.lock, rows, notes },
            _ => Prepared::New { lock: self.lock, version, rows, notes },
        })
    }

    /// Rows of the version in force, where it exists, is of this very source, and nothing forces another look.
    fn unchanged(&self, is_same: impl Fn(&Fingerprint) -> bool) -> Result<Option<u64>, IngestError> {
        let Some(current) = self.current.as_ref().filter(|_| !self.force) else {
            return Ok(None);
        };
        let path = self.lock.snapshot_path(&current.snapshot);
        let same = Fingerprint::parse(&current.fingerprint).is_some_and(|known| is_same(&known));
        if same && path.exists() { snapshot::rows(&path).map(Some) } else { Ok(None) }
    }

    /// The room's key; made on first use.
    fn room_key(&self) -> Result<RoomKey, IngestError> {
        let path = self.lock.key_path();
        if path.exists() {
            return Ok(RoomKey::load(&path)?);
        }
        // Under another key every identity would become a new one, and match none of those taken in before.
        if self.lock.has_identities()? {
            return Err(IngestError::KeyMissing { path });
        }
        let key = RoomKey::generate()?;
        key.save(&path)?;
        Ok(key)
    }

    /// Opens the source. A decoder that panics on a damaged file is one that found it damaged.
    fn decoder(&self, source: &SourceFile) -> Result<(Layout, Box<dyn Chunks>), IngestError> {
        let opened = thread::scope(|scope| {
            let open = || match source.format {
                Format::Parquet => binary::parquet(source, &self.policy, &self.stop),
                Format::ArrowStream => binary::arrow_stream(source, &self.policy),
                Format::Csv => text::csv(source, &self.policy, &self.stop),
                Format::JsonLines => text::json_lines(source, &self.policy, &self.stop),
            };
            scope.spawn(open).join()
        });
        opened.unwrap_or_else(|_panic| Err(self.damaged()))
    }

    /// Decodes in one thread, sorts and writes in this one.
    fn transfer(
        &self,
        handle: &Handle,
        sorter: &Sorter,
        layout: &Layout,
        chunks: Box<dyn Chunks>,
        identities: Option<&mut Identities>,
        output: (Option<RowIds>, SnapshotWriter),
    ) -> Result<(Written, LongTexts), IngestError> {
        let (sender, feed) = channel(QUEUE);
        thread::scope(|scope| {
            let decoding = scope.spawn(move || self.decode(layout, chunks, identities, &sender));
            let written = self.write(handle, sorter, layout, feed, output);
            // What went wrong with the source explains what went wrong after it.
            let long = decoding.join().unwrap_or_else(|_panic| Err(self.damaged()))?;
            Ok((written?, long))
        })
    }

    /// Sends what [`Layout::stored_schema`] tells, with the row's number behind where the rows are to be sorted.
    fn decode(
        &self,
        layout: &Layout,
        mut chunks: Box<dyn Chunks>,
        mut identities: Option<&mut Identities>,
        sender: &Sender<Result<RecordBatch, Stopped>>,
    ) -> Result<LongTexts, IngestError> {
        let schema = feed_schema(layout);
        let misfit = |_| IngestError::Internal { file: self.label.clone(), what: "columns do not fit the layout" };
        let mut long = LongTexts::default();
        let mut done = 0;
        let mut step = || {
            if self.stop.load(Ordering::Relaxed) {
                return Err(IngestError::Interrupted);
            }
            let Some(chunk) = chunks.next()? else {
                return Ok(None);
            };
            let mut columns: Vec<ArrayRef> = long.taken_out(layout, &chunk.batch).map_err(misfit)?.columns().to_vec();
            let rows = chunk.batch.num_rows() as u64;
            if let (Some(unit), Some(identities)) = (layout.unit(), identities.as_deref_mut())
                && let Some(column) = columns.get_mut(unit)
            {
                *column = identities.number(column.as_string::<i32>()).map_err(|error| match error {
                    Unnumbered::Space(error) => error,
                    Unnumbered::Value(bad, what) => IngestError::Value {
                        file: self.label.clone(),
                        place: chunk.places.of(bad.row),
                        column: layout.columns.get(unit).map(|column| column.name.clone()),
                        what,
                        remedy: "correct or remove the row",
                    },
                })?;
                columns.push(Arc::new(Int64Array::from_iter_values((done..done + rows).map(u64::cast_signed))));
            }
            done += rows;
            RecordBatch::try_new(Arc::clone(&schema), columns).map(Some).map_err(misfit)
        };
        loop {
            match step() {
                Ok(None) => break,
                // Nobody listens any more where writing failed; that failure is the one to tell.
                Ok(Some(batch)) => {
                    if sender.blocking_send(Ok(batch)).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    sender.blocking_send(Err(Stopped)).ok();
                    return Err(error);
                }
            }
        }
        Ok(long)
    }

    fn write(
        &self,
        handle: &Handle,
        sorter: &Sorter,
        layout: &Layout,
        mut feed: Feed,
        (ids, mut writer): (Option<RowIds>, SnapshotWriter),
    ) -> Result<Written, IngestError> {
        let (Some(unit), Some(mut ids)) = (layout.unit().and_then(|unit| layout.columns.get(unit)), ids) else {
            while let Some(batch) = feed.blocking_recv() {
                writer.write(&batch.map_err(|Stopped| IngestError::Interrupted)?)?;
            }
            return writer.finish();
        };
        let kept: Vec<usize> = (0..layout.columns.len()).collect();
        handle.block_on(async {
            let mut sorted =
                sorter.sorted(&feed_schema(layout), &[&unit.name, ROW], feed).map_err(|error| self.engine(&error))?;
            while let Some(batch) = sorted.next().await {
                let batch = batch
                    .and_then(|batch| Ok(ids.number(&batch.project(&kept)?)?))
                    .map_err(|error| self.engine(&error))?;
                writer.write(&batch)?;
            }
            Ok::<_, IngestError>(())
        })?;
        writer.finish()
    }

    /// Which join columns of a reference table hold no value twice, and whether a protected table has one row a unit.
    fn unique(
        &self,
        handle: &Handle,
        sorter: &Sorter,
        layout: &Layout,
        written: &Written,
    ) -> Result<Map<String, Value>, IngestError> {
        let mut unique = Map::new();
        if let Subject::Unit { column: unit, .. } = &self.policy.subject {
            if let Some(position) = layout.columns.iter().position(|column| column.name == unit.as_str()) {
                // The rows lie sorted by it.
                let mut repeats = Repeats::default();
                for batch in written.column(position)? {
                    let batch = batch.map_err(|error| self.engine(&error.into()))?;
                    batch.columns().iter().for_each(|values| repeats.see(values));
                }
                unique.insert(unit.to_string(), Value::Bool(!repeats.found()));
            }
            return Ok(unique);
        }
        let joined = self.policy.columns.iter().filter(|(_name, rule)| rule.uses.contains(&Use::Join));
        for (name, _rule) in joined {
            let Some(position) = layout.columns.iter().position(|column| column.name == name.as_str()) else {
                continue;
            };
            let values = written.column(position)?;
            let schema = arrow::array::RecordBatchReader::schema(&values);
            let (sender, feed) = channel(QUEUE);
            let found = thread::scope(|scope| {
                scope.spawn(move || {
                    for batch in values {
                        if sender.blocking_send(batch.map_err(|_| Stopped)).is_err() {
                            break;
                        }
                    }
                });
                handle.block_on(async {
                    let mut sorted = sorter.sorted(&schema, &[name.as_str()], feed)?;
                    let mut repeats = Repeats::default();
                    while let Some(batch) = sorted.next().await {
                        batch?.columns().iter().for_each(|values| repeats.see(values));
                        if repeats.found() {
                            break;
                        }
                    }
                    Ok(repeats.found())
                })
            });
            unique.insert(name.to_string(), Value::Bool(!found.map_err(|error| self.engine(&error))?));
        }
        Ok(unique)
    }

    fn meta(&self, source: &SourceFile, unique: Map<String, Value>, grid: Option<&UnitGrid>) -> Value {
        let (unit, space) = match &self.policy.subject {
            Subject::Unit { column, space } => (Some(column.as_str()), Some(space.as_str())),
            Subject::Public => (None, None),
        };
        json!({
            "unit": unit, "space": space, "unique": unique, "format": source.format, "row_ids": unit.is_some(),
            "grid": grid.map(UnitGrid::to_json),
        })
    }

    fn damaged(&self) -> IngestError {
        IngestError::source(
            &self.label,
            "the file is damaged",
            "write the file again, and check that it was copied whole",
        )
    }

    /// What the engine says stays inside.
    fn engine(&self, error: &DataFusionError) -> IngestError {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) | DataFusionError::IoError(_) => {
                IngestError::Resources { file: self.label.clone() }
            }
            _ => IngestError::Internal { file: self.label.clone(), what: "sort" },
        }
    }
}

/// The snapshot's columns, and behind them the row's number where the rows are to be sorted.
fn feed_schema(layout: &Layout) -> SchemaRef {
    let stored = layout.stored_schema();
    if layout.unit().is_none() {
        return stored;
    }
    let row = Arc::new(Field::new(ROW, DataType::Int64, false));
    Arc::new(Schema::new(stored.fields().iter().cloned().chain([row]).collect::<Vec<_>>()))
}

fn describe(schema: &Schema) -> Value {
    let column = |field: &Arc<Field>| json!({ "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable() });
    Value::Array(schema.fields().iter().map(column).collect())
}

/// Whether the version in force already says all that the new one would.
fn same(known: &TableVersion, new: &NewTableVersion) -> bool {
    known.snapshot == new.snapshot && known.schema == new.schema && known.meta == new.meta
}
