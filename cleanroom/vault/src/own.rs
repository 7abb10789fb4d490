//! A file that whoever calls holds in plain, looked at before it is brought into a room: for writing and trying its policy.
//!
//! It is decoded as ingestion decodes it, so that what is found here holds there. Nothing in this module knows a room, a snapshot or
//! another partner's rows: only a path that its caller can read anyway. A server has no use for it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, StringArray, UInt32Builder};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use cleanroom_keys::{normaliser, parse_token_text};
use cleanroom_policy::{Policy, Subject, parse_policy};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::execute;
use crate::facts::{DataFacts, TableFacts};
use crate::ingest::{Format, IngestError, own_rows};
use crate::snapshot;

/// All rows of the file, the unit as a number of its own from 0.
const FILE: &str = "file";
/// Those of them that the policy's row filter keeps.
const KEPT: &str = "kept";

/// A table's file before it is brought into a room. Statements run over two tables: `file`, all of its rows, and `kept`, those that the
/// policy's row filter keeps. The unit's column holds a number for each identity in normal form, NULL where there is none.
pub struct OwnFile {
    context: SessionContext,
    schema: SchemaRef,
    notes: Vec<String>,
    identities: Vec<String>,
    /// Removed with it.
    _folder: TempDir,
}

/// Why a file could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OwnFileError {
    /// The file itself, or its fit to the policy.
    #[error(transparent)]
    File(#[from] IngestError),
    /// The row filter of the policy is no condition on the file's columns.
    #[error("`rows` is no condition on the columns of the file: {0}")]
    Rows(String),
    /// A folder for temporary files.
    #[error("cannot use a temporary folder: {0}")]
    Temporary(#[from] std::io::Error),
    /// The engine, on a statement of this program's.
    #[error("cannot look at the rows: {0}")]
    Engine(String),
}

impl OwnFile {
    /// Decodes the file, under `policy` where there is one, into a temporary file that goes with the value. `memory_limit` is in bytes.
    ///
    /// # Errors
    /// Where the file cannot be read or does not fit the policy: [`OwnFileError`].
    pub async fn open(
        path: &Path,
        label: &str,
        policy: Option<&Policy>,
        memory_limit: usize,
    ) -> Result<Self, OwnFileError> {
        let policy = match policy {
            Some(policy) => policy.clone(),
            None => unrestricted(label)?,
        };
        let folder = tempfile::Builder::new().prefix("cleanroom-own-").tempdir()?;
        let copy = folder.path().join("rows.parquet");
        let job =
            Decode { source: path.to_owned(), label: label.to_owned(), policy: policy.clone(), copy: copy.clone() };
        let decoded = spawn_blocking(move || job.run())
            .await
            .map_err(|_panic| IngestError::Internal { file: label.to_owned(), what: "a worker panicked" })??;
        let runtime = execute::runtime(memory_limit, folder.path()).map_err(engine)?;
        let context = SessionContext::new_with_state(execute::session(&runtime, None));
        let data = DataFacts {
            version: 0,
            snapshot: copy,
            stored: Arc::clone(&decoded.schema),
            grid: None,
            unique: BTreeSet::new(),
            at: time::OffsetDateTime::UNIX_EPOCH,
        };
        context
            .register_table(FILE, Arc::new(snapshot::file(&data, Arc::clone(&data.stored)).map_err(engine)?))
            .map_err(engine)?;
        let facts = TableFacts {
            name: policy.table.clone(),
            description: String::new(),
            policy,
            policy_digest: String::new(),
            approved: BTreeSet::new(),
            signed: true,
            data: Some(data),
        };
        let rows = |error: DataFusionError| OwnFileError::Rows(error.strip_backtrace());
        let filter = snapshot::row_filter(&context.state(), &facts, &TableReference::bare(FILE)).map_err(rows)?;
        let mut kept = context.table(FILE).await.map_err(engine)?;
        if let Some(filter) = filter {
            kept = kept.filter(filter).map_err(rows)?;
        }
        context.register_table(KEPT, kept.into_view()).map_err(engine)?;
        Ok(Self {
            context,
            schema: decoded.schema,
            notes: decoded.notes,
            identities: decoded.identities,
            _folder: folder,
        })
    }

    /// The file's columns in order, as ingestion would store them.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()))
    }

    /// Sentences for the owner, such as columns left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The identity in normal form that a number in the unit's column stands for.
    pub fn identity(&self, number: u32) -> Option<&str> {
        self.identities.get(number as usize).map(String::as_str)
    }

    /// The result of one `SELECT` over `file` and `kept`, exact.
    ///
    /// # Errors
    /// Where it is no such statement, or the engine fails on it.
    pub async fn query(&self, sql: &str) -> Result<RecordBatch, OwnFileError> {
        let select = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = self.context.sql_with_options(sql, select).await.map_err(engine)?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(engine)?;
        concat_batches(&schema, &batches).map_err(|error| OwnFileError::Engine(error.to_string()))
    }
}

fn engine(error: DataFusionError) -> OwnFileError {
    OwnFileError::Engine(error.strip_backtrace())
}

/// A policy that wants nothing of any column.
fn unrestricted(label: &str) -> Result<Policy, IngestError> {
    let text = "apiVersion: cleanroom/v1\nkind: Policy\ntable: own.file\nversion: 1\npublic: true\n\
                columns: {any: {use: [dimension]}}\naccess: {analysts: [own]}\n";
    let mut policy = parse_policy("own", text)
        .map_err(|_errors| IngestError::Internal { file: label.to_owned(), what: "no policy" })?;
    policy.columns.clear();
    Ok(policy)
}

/// The file on its way into the temporary one.
struct Decode {
    source: PathBuf,
    label: String,
    policy: Policy,
    copy: PathBuf,
}

struct Decoded {
    schema: SchemaRef,
    notes: Vec<String>,
    identities: Vec<String>,
}

impl Decode {
    fn run(self) -> Result<Decoded, IngestError> {
        let format = Format::from_path(&self.source);
        let mut rows = own_rows(&self.source, &self.label, format, &self.policy)?;
        let (schema, unit) = (rows.layout().stored_schema(), rows.layout().unit());
        let mut numbers = Numbers::new(&self.policy);
        let internal = |what| IngestError::Internal { file: self.label.clone(), what };
        let storage = || IngestError::storage("write", &self.copy);
        let file = File::create(&self.copy).map_err(storage())?;
        let mut writer =
            ArrowWriter::try_new(file, Arc::clone(&schema), None).map_err(|_| internal("temporary file"))?;
        while let Some((batch, places)) = rows.next()? {
            let mut columns = batch.columns().to_vec();
            if let Some(unit) = unit
                && let Some(column) = columns.get_mut(unit)
            {
                let texts = column.as_any().downcast_ref::<StringArray>().ok_or_else(|| internal("unit column"))?;
                *column = numbers.number(texts).map_err(|(row, what)| IngestError::Value {
                    file: self.label.clone(),
                    place: places.of(row),
                    column: schema.fields().get(unit).map(|field| field.name().clone()),
                    what,
                    remedy: "correct or remove the row",
                })?;
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|_| internal("columns"))?;
            writer.write(&batch).map_err(|error| storage()(std::io::Error::other(error)))?;
        }
        writer.close().map_err(|error| storage()(std::io::Error::other(error)))?;
        Ok(Decoded { schema, notes: rows.notes(), identities: numbers.texts })
    }
}

/// Identities in normal form and their numbers.
struct Numbers {
    normaliser: cleanroom_keys::Normaliser,
    known: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Numbers {
    fn new(policy: &Policy) -> Self {
        let space = match &policy.subject {
            Subject::Unit { space, .. } => space.as_str(),
            Subject::Public => "",
        };
        Self { normaliser: normaliser(space), known: HashMap::new(), texts: Vec::new() }
    }

    /// The error is the row's position and what is wrong with it, without the value.
    fn number(&mut self, texts: &StringArray) -> Result<ArrayRef, (usize, String)> {
        let mut numbers = UInt32Builder::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let normal = match text.map(str::trim) {
                // A token that the owner computed is taken as it is, as ingestion takes it.
                Some(token) if token.starts_with("crt1_") => match parse_token_text(token) {
                    Some(_token) => Some(Cow::Owned(token.to_ascii_lowercase())),
                    None => return Err((row, "a token is damaged (`crt1_` and 64 hexadecimal digits)".to_owned())),
                },
                Some(text) => self.normaliser.normalise(text).map_err(|error| (row, error.to_string()))?,
                None => None,
            };
            match normal {
                None => numbers.append_null(),
                Some(normal) => match self.known.get(normal.as_ref()) {
                    Some(number) => numbers.append_value(*number),
                    None => {
                        let number = u32::try_from(self.texts.len())
                            .map_err(|_| (row, "there are more identities than can be told apart".to_owned()))?;
                        self.texts.push(normal.clone().into_owned());
                        self.known.insert(normal.into_owned(), number);
                        numbers.append_value(number);
                    }
                },
            }
        }
        Ok(Arc::new(numbers.finish()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    const POLICY: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\n\
        unit: {column: card, space: email}\ncolumns:\n  card: {use: [join, count]}\n  spent: {use: [measure], bounds: [0, 9]}\n\
        rows: \"shop <> 'test'\"\nrelease: {min_units: 25}\naccess: {analysts: [media]}\n";

    async fn open(text: &str, policy: Option<&str>) -> Result<OwnFile, OwnFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sales.csv");
        std::fs::write(&path, text).unwrap();
        let policy = policy.map(|text| parse_policy("policy", text).unwrap());
        OwnFile::open(&path, "sales.csv", policy.as_ref(), 64 << 20).await
    }

    async fn number(own: &OwnFile, sql: &str) -> i64 {
        let batch = own.query(sql).await.unwrap();
        batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
    }

    const ROWS: &str = "card,shop,spent\nA@x.org,city,1\n a@x.org,city,2\nb@x.org,test,3\n,city,4\n";

    #[tokio::test]
    async fn rows_are_those_that_ingestion_would_keep() {
        let own = open(ROWS, Some(POLICY)).await.unwrap();
        assert_eq!(number(&own, "SELECT COUNT(*) FROM file").await, 4);
        assert_eq!(number(&own, "SELECT COUNT(*) FROM kept").await, 3);
        assert_eq!(number(&own, "SELECT COUNT(DISTINCT card) FROM kept").await, 1, "one address in two spellings");
        assert_eq!(own.identity(0), Some("a@x.org"));
    }

    #[tokio::test]
    async fn tokens_of_the_owner_are_identities() {
        let token = |digit: &str| format!("crt1_{}", digit.repeat(64));
        let (one, other) = (token("a"), token("b"));
        let own = open(&format!("card,shop,spent\n{one},city,1\n{other},city,1\n{one},city,1\n"), Some(POLICY))
            .await
            .unwrap();
        assert_eq!(number(&own, "SELECT COUNT(DISTINCT card) FROM kept").await, 2);
        assert_eq!(own.identity(0), Some(one.as_str()));
        assert!(open("card,shop,spent\ncrt1_a,city,1\n", Some(POLICY)).await.is_err());
    }

    #[tokio::test]
    async fn without_a_policy_every_column_is_there_as_it_is() {
        let own = open(ROWS, None).await.unwrap();
        let columns: Vec<(String, DataType)> =
            own.columns().map(|(name, data_type)| (name.to_owned(), data_type.clone())).collect();
        let expected = [("card", DataType::Utf8), ("shop", DataType::Utf8), ("spent", DataType::Int64)];
        assert_eq!(columns, expected.map(|(name, data_type)| (name.to_owned(), data_type)));
        assert!(own.query("SELECT shop FROM file").await.unwrap().column(0).len() == 4);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_an_error_and_only_select_runs() {
        let refused = |result: Result<OwnFile, OwnFileError>| match result {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it was accepted"),
        };
        assert!(refused(open("card,shop\na@x.org,city\n", Some(POLICY)).await).contains("column `spent`"));
        let rows = POLICY.replace("shop <> 'test'", "nothing = 1");
        assert!(refused(open(ROWS, Some(&rows)).await).contains("`rows` is no condition"));
        let error = refused(open("card,shop,spent\nno address,city,1\n", Some(POLICY)).await);
        assert!(error.starts_with("sales.csv:2: column `card`") && !error.contains("no address"), "{error}");
        let own = open(ROWS, None).await.unwrap();
        assert!(own.query("CREATE TABLE t AS SELECT 1").await.is_err());
        assert!(own.query("COPY (SELECT 1) TO '/tmp/own.csv'").await.is_err());
    }
}
