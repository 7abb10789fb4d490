#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod text_of_csv;

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, UInt32Type};
use arrow::ipc::writer::StreamWriter;
use cleanroom_policy::{Policy, RoomName, TableName, parse_policy, parse_room};
use cleanroom_registry::{Actor, OpenOptions, Registry, TableVersion};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use tempfile::TempDir;

use super::*;

const ROOM: &str = "
apiVersion: cleanroom/v1
kind: Room
name: market
description: A test.
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, description: Sales., source: {upload: true}}
      - {name: products, description: Products., source: {upload: true}}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - {name: seen, description: Contacts., source: {upload: true}}
";

const SALES: &str = "
apiVersion: cleanroom/v1
kind: Policy
table: shop.sales
version: 1
unit: {column: id, space: household}
columns:
  id: {use: [join, count]}
  amount: {use: [measure], bounds: [0, 100]}
release: {min_units: 5}
access: {analysts: [agency]}
";

const SEEN: &str = "
apiVersion: cleanroom/v1
kind: Policy
table: agency.seen
version: 1
unit: {column: id, space: household}
columns:
  id: {use: [join, count]}
release: {min_units: 5}
access: {analysts: [agency]}
";

const PRODUCTS: &str = "
apiVersion: cleanroom/v1
kind: Policy
table: shop.products
version: 1
public: true
columns:
  code: {use: [join]}
  kind: {use: [join, dimension]}
access: {analysts: [agency]}
";

struct Bench {
    dir: TempDir,
    registry: Registry,
    room: RoomName,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions { data_dir: dir.path().join("state"), log_host: "test.example".to_owned() };
        let registry = Registry::open(options).await.unwrap();
        let room = parse_room("room.yaml", ROOM).unwrap();
        registry.put_room(&room, &Actor::operator()).await.unwrap();
        Self { dir, registry, room: room.name }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    async fn take_with(
        &self,
        policy: &Policy,
        path: PathBuf,
        force: bool,
        memory: usize,
    ) -> Result<Ingested, IngestError> {
        let label = path.file_name().unwrap().to_str().unwrap().to_owned();
        let request = IngestRequest {
            room: &self.room,
            table: &policy.table,
            policy,
            source: IngestSource::Path { path, label, format: None },
            actor: &Actor::operator(),
            force,
        };
        ingest(&self.registry, &self.state(), memory, request).await
    }

    async fn take(&self, policy: &str, path: PathBuf) -> Result<Ingested, IngestError> {
        self.take_with(&parse_policy("policy.yaml", policy).unwrap(), path, false, 64 << 20).await
    }

    /// The error's text; nothing must be left of the attempt.
    async fn refused(&self, policy: &str, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.file(name, content);
        let error = self.take(policy, path).await.unwrap_err();
        let table = parse_policy("policy.yaml", policy).unwrap().table;
        assert!(self.version(&table).await.is_none(), "registered in spite of: {error}");
        let left = fs::read_dir(self.state().join("tmp"))
            .map_or(0, |dir| dir.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count());
        assert_eq!(left, 0, "temporary files left by: {error}");
        error.to_string()
    }

    async fn version(&self, table: &TableName) -> Option<TableVersion> {
        self.registry.table_version(&self.room, table).await.unwrap()
    }

    /// The rows of the version in force.
    async fn rows(&self, table: &str) -> RecordBatch {
        let version = self.version(&TableName::parse(table).unwrap()).await.unwrap();
        let file = File::open(snapshot_path(&self.state(), &self.room, &version.snapshot)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let rows = concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap();
        // Without the rows' secret numbers, which differ from room to room.
        let kept: Vec<usize> = (0..rows.num_columns()).filter(|at| schema.field(*at).name() != ROW_ID).collect();
        rows.project(&kept).unwrap()
    }

    async fn units(&self, table: &str) -> Vec<Option<u32>> {
        self.rows(table).await["id"].as_primitive::<UInt32Type>().iter().collect()
    }
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn parquet_bytes(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn sales_parquet() -> Vec<u8> {
    parquet_bytes(&batch([
        ("id", Arc::new(StringArray::from(vec![Some("105"), Some("7"), None, Some("105")])) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0])) as ArrayRef),
    ]))
}

#[tokio::test]
async fn texts_too_long_for_a_batch_become_null_and_their_owner_is_told() {
    let bench = Bench::new().await;
    let policy = "
apiVersion: cleanroom/v1
kind: Policy
table: shop.sales
version: 1
unit: {column: id, space: household}
columns:
  id: {use: [join, count]}
  note: {use: [dimension, filter]}
release: {min_units: 5}
access: {analysts: [agency]}
";
    // Together more than 2 GiB, which no array of text holds.
    let long = "x".repeat(1 << 20);
    let rows = batch([
        ("id", Arc::new(Int64Array::from_iter_values(0..1050)) as ArrayRef),
        ("note", Arc::new(StringArray::from(vec![long.as_str(); 1050])) as ArrayRef),
    ]);
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.write(&rows).unwrap();
    let path = bench.file("sales.parquet", writer.into_inner().unwrap());
    let taken = bench.take(policy, path).await.unwrap();
    assert_eq!(
        (taken.rows, taken.notes),
        (2100, vec!["2100 texts of column `note` became NULL: longer than 4096 bytes".to_owned()])
    );
    assert_eq!(bench.rows("shop.sales").await["note"].null_count(), 2100);

    let csv = format!("id,note\n1,{}\n2,{}\n3,\n", "x".repeat(4096), "\u{e9}".repeat(2049));
    let taken = bench.take(policy, bench.file("sales.csv", csv)).await.unwrap();
    assert_eq!(taken.notes, ["1 text of column `note` became NULL: longer than 4096 bytes"]);
    let rows = bench.rows("shop.sales").await;
    let lengths: Vec<Option<usize>> = rows["note"].as_string::<i32>().iter().map(|text| text.map(str::len)).collect();
    assert_eq!(lengths.iter().flatten().collect::<Vec<_>>(), [&4096], "{lengths:?}");
}

#[tokio::test]
async fn identities_match_whatever_their_type_and_rows_are_laid_out_by_unit() {
    let bench = Bench::new().await;
    let path = bench.file("sales.parquet", sales_parquet());
    assert_eq!(bench.take(SALES, path).await.unwrap(), Ingested { version: 1, changed: true, rows: 4, notes: vec![] });
    assert_eq!(bench.units("shop.sales").await, [None, Some(0), Some(0), Some(1)]);
    let rows = bench.rows("shop.sales").await;
    assert_eq!(rows["amount"].as_ref(), &Float64Array::from(vec![3.0, 1.0, 4.0, 2.0]));

    for (name, content) in [
        ("seen.csv", b"id\n7\n105\n8\n".to_vec()),
        ("seen.jsonl", b"{\"id\":7}\n\n{\"id\":\" 105 \"}\r\n{\"id\":8.0}\n".to_vec()),
        ("seen.parquet", parquet_bytes(&batch([("id", Arc::new(Int64Array::from(vec![7, 105, 8])) as ArrayRef)]))),
        ("seen.arrows", {
            let batch = batch([("id", Arc::new(Int32Array::from(vec![7, 105, 8])) as ArrayRef)]);
            let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
            writer.write(&batch).unwrap();
            writer.into_inner().unwrap()
        }),
    ] {
        let path = bench.file(name, content);
        bench.take(SEEN, path).await.unwrap();
        assert_eq!(bench.units("agency.seen").await, [Some(0), Some(1), Some(2)], "{name}");
    }
}

#[tokio::test]
async fn every_type_of_a_snapshot_is_read_back_from_the_registered_schema() {
    let bench = Bench::new().await;
    let text = "id,amount,d,t,b,s\n1,2,2026-01-31,2026-01-31T00:00:00,true,x\n2,,,,,\n";
    let path = bench.file("sales.csv", text);
    bench.take(SALES, path).await.unwrap();
    let version = bench.version(&TableName::parse("shop.sales").unwrap()).await.unwrap();
    let types: Vec<DataType> = version
        .schema
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["type"].as_str().unwrap().parse().unwrap())
        .collect();
    let rows = bench.rows("shop.sales").await;
    let stored: Vec<DataType> = rows.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, stored);
    assert_eq!(
        types,
        [DataType::UInt32, DataType::Int64, DataType::Date32, layout::TIMESTAMP, DataType::Boolean, DataType::Utf8]
    );
    assert!(rows.columns().iter().skip(1).all(|column| column.is_null(1)));
}

#[tokio::test]
async fn a_forged_row_count_is_refused() {
    let bench = Bench::new().await;
    let bytes = sales_parquet();
    let metadata = SerializedFileReader::new(File::open(bench.file("honest.parquet", &bytes)).unwrap())
        .unwrap()
        .metadata()
        .clone();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let old = metadata.file_metadata();
    for (rows, values) in [(0, 4), (3, 4), (5, 4), (i64::MAX, 4), (-1, 4), (5, 5), (i64::MAX, i64::MAX), (-1, -1)] {
        let file = FileMetaData::new(old.version(), rows, None, None, old.schema_descr_ptr(), None);
        let columns = metadata
            .row_group(0)
            .columns()
            .iter()
            .map(|column| column.clone().into_builder().set_num_values(values).build().unwrap());
        let group = metadata.row_group(0).clone().into_builder();
        let group = group.set_column_metadata(columns.collect()).set_num_rows(rows).build().unwrap();
        let forged = ParquetMetaDataBuilder::new(file).add_row_group(group).build();
        let mut content = bytes[..bytes.len() - 8 - footer].to_vec();
        ParquetMetaDataWriter::new(&mut content, &forged).finish().unwrap();
        let error = bench.refused(SALES, "sales.parquet", content).await;
        assert!(error.starts_with("sales.parquet: "), "{rows}, {values}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_wherever_it_is_damaged() {
    let bench = Bench::new().await;
    let bytes = sales_parquet();
    for length in [1, 4, bytes.len() / 2, bytes.len() - 1] {
        let error = bench.refused(SALES, "sales.parquet", &bytes[..length]).await;
        assert!(error.contains("Parquet file"), "{length}: {error}");
    }
    let batch = batch([("id", Arc::new(Int32Array::from(vec![7, 105, 8])) as ArrayRef)]);
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let stream = writer.into_inner().unwrap();
    let error = bench.refused(SEEN, "seen.arrows", &stream[..stream.len() - 8]).await;
    assert!(error.contains("no end marker"), "{error}");
}

#[tokio::test]
async fn bad_rows_are_named_and_never_quoted() {
    let bench = Bench::new().await;
    let bad_number = "id,amount\r\n\r\n1,2\r\n\"2\r\n\",3\r\n3,secret\r\n";
    for (name, content, place) in [
        ("a.csv", "id,amount\n1,2\n2,secret\n", "a.csv:3: column `amount`: not a number; "),
        ("b.csv", bad_number, "b.csv:6: column `amount`: not a number; "),
        ("c.csv", "id,amount\n1,2\n1,2,secret\n", "c.csv:3: the row has more or fewer fields"),
        ("d.csv", "id,amount\n1,2\n2,NaN\n", "d.csv:3: column `amount`: not a number; "),
        ("e.csv", "id,amount\n1,2\n2,\"secret\n", "e.csv:3: "),
        ("f.csv", "id,amount\n1,2\ncrt1_secret,3\n", "f.csv:3: column `id`: a token is damaged"),
        ("g.csv", "id,amount,id\n1,2,3\n", "g.csv: column `id`: the name stands twice"),
        ("h.csv", "id\n1\n", "h.csv: column `amount`: no such column, and the policy of `shop.sales` (line "),
        ("i.csv", "", "i.csv: the file is empty"),
        ("j.txt", "x", "j.txt: its ending names no known format"),
        (
            "k.jsonl",
            "{\"id\":1,\"amount\":2}\n{\"id\":1,\"amount\":\"secret\"}",
            "k.jsonl:2: column `amount`: not a number",
        ),
        ("l.jsonl", "{\"id\":1,\"amount\":true}", "l.jsonl:1: column `amount`: not a number"),
        ("m.jsonl", "{\"id\":1,\"amount\":2}\n[1]", "m.jsonl:2: the line is not one JSON object"),
        ("n.jsonl", "{\"id\":1,\"amount\":2,\"id\":3}", "n.jsonl:1: column `id`: the key stands twice"),
        ("o.jsonl", "{\"id\":0.5,\"amount\":2}", "o.jsonl:1: column `id`: the unit is not a whole number"),
        ("p.jsonl", "{\"id\":1,\"amount\":2}\n{\"id\":1,\"amo", "p.jsonl:2: the line is not one JSON object"),
    ] {
        let error = bench.refused(SALES, name, content).await;
        assert!(error.starts_with(place), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let error = bench.refused(SALES, "q.csv", b"id,amount\n1,2\n\xFF,3\n").await;
    assert!(error.starts_with("q.csv:3: the text is not UTF-8"), "{error}");
    let nan = parquet_bytes(&batch([
        ("id", Arc::new(StringArray::from(vec!["1", "2"])) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(vec![1.0, f64::NAN])) as ArrayRef),
    ]));
    let error = bench.refused(SALES, "r.parquet", nan).await;
    assert!(error.starts_with("r.parquet: row 2: column `amount`: the number is infinite or not a number"), "{error}");
}

#[tokio::test]
async fn columns_that_cannot_be_kept_are_left_out_unless_the_policy_lists_them() {
    let bench = Bench::new().await;
    let nested = StructArray::try_from(vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let file = parquet_bytes(&batch([
        ("id", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ("nested", Arc::new(nested.clone()) as ArrayRef),
        ("__row", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("amount", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
    ]));
    let path = bench.file("sales.parquet", file);
    let taken = bench.take(SALES, path).await.unwrap();
    assert_eq!(taken.notes.len(), 2, "{:?}", taken.notes);
    let names: Vec<String> =
        bench.rows("shop.sales").await.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "amount"]);

    let bench = Bench::new().await;
    let file = parquet_bytes(&batch([
        ("id", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ("amount", Arc::new(nested) as ArrayRef),
    ]));
    let error = bench.refused(SALES, "sales.parquet", file).await;
    assert!(error.starts_with("sales.parquet: column `amount`: nested data does not fit the policy"), "{error}");
    let error = bench.refused(SALES, "sales.jsonl", "{\"id\":[1],\"amount\":1}").await;
    assert!(error.starts_with("sales.jsonl:1: column `id`: "), "{error}");
}

#[tokio::test]
async fn a_table_without_rows_is_a_table() {
    let bench = Bench::new().await;
    let path = bench.file("sales.csv", "\u{FEFF}id,amount\n");
    assert_eq!(bench.take(SALES, path).await.unwrap().rows, 0);
    assert_eq!(bench.rows("shop.sales").await.num_rows(), 0);
    let empty = batch([("id", Arc::new(StringArray::new_null(0)) as ArrayRef)]);
    let path = bench.file("seen.parquet", parquet_bytes(&empty));
    assert_eq!(bench.take(SEEN, path).await.unwrap().rows, 0);
}

#[tokio::test]
async fn tokens_of_the_owner_are_taken_as_they_are_and_never_mixed_with_identifiers() {
    let bench = Bench::new().await;
    let token = |digit: &str| format!("crt1_{}", digit.repeat(64));
    let path = bench.file("sales.csv", format!("id,amount\n{},1\n{},2\n,3\n", token("a"), token("b")));
    bench.take(SALES, path).await.unwrap();
    let stored = fs::read(bench.state().join("rooms/market/spaces/household.tokens")).unwrap();
    assert_eq!(stored, [[0xAA; 32], [0xBB; 32]].concat());

    let bench = Bench::new().await;
    let error = bench.refused(SALES, "sales.csv", format!("id,amount\n{},1\n105,2\n", token("a"))).await;
    assert!(error.starts_with("sales.csv:3: column `id`: tokens and plain identifiers are mixed"), "{error}");
}

#[tokio::test]
async fn only_other_content_makes_another_version() {
    let bench = Bench::new().await;
    let policy = parse_policy("policy.yaml", SALES).unwrap();
    let take = |path: PathBuf, force| bench.take_with(&policy, path, force, 64 << 20);
    let path = bench.file("sales.csv", "id,amount\n1,2\n");
    let taken = take(path.clone(), false).await.unwrap();
    assert_eq!((taken.version, taken.changed), (1, true));
    let again = take(path.clone(), false).await.unwrap();
    assert_eq!((again.version, again.changed, again.rows), (1, false, 1));
    let forced = take(path.clone(), true).await.unwrap();
    assert_eq!((forced.version, forced.changed), (1, false));
    let copy = bench.file("copy.csv", "id,amount\n1,2\n");
    assert!(!take(copy, false).await.unwrap().changed);

    // Old enough for its time to vouch for it.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::write(&path, "id,amount\n1,3\n").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let taken = take(path.clone(), false).await.unwrap();
    assert_eq!((taken.version, taken.changed), (2, true));
    fs::write(&path, "id,amount\n1,4\n").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    assert!(!take(path.clone(), false).await.unwrap().changed, "told by size and time alone");
    assert!(take(path.clone(), true).await.unwrap().changed);

    let version = bench.version(&policy.table).await.unwrap();
    fs::remove_file(snapshot_path(&bench.state(), &bench.room, &version.snapshot)).unwrap();
    take(path, false).await.unwrap();
    assert_eq!(bench.rows("shop.sales").await.num_rows(), 1, "a lost snapshot is made again");
}

#[tokio::test]
async fn join_columns_of_a_reference_table_are_known_to_be_unique_or_not() {
    let bench = Bench::new().await;
    let lines: String = (0..20_000).map(|n| format!("{},{}\n,x\n", n, n % 9_999)).collect();
    let path = bench.file("products.csv", format!("code,kind\n{lines}"));
    bench.take(PRODUCTS, path).await.unwrap();
    let version = bench.version(&TableName::parse("shop.products").unwrap()).await.unwrap();
    assert_eq!(version.meta["unique"], serde_json::json!({"code": true, "kind": false}));
    assert_eq!(bench.rows("shop.products").await.num_rows(), 40_000);
}

#[tokio::test]
async fn rows_beyond_the_memory_limit_are_sorted_on_disk_into_the_same_snapshot() {
    let policy = parse_policy("policy.yaml", SALES).unwrap();
    let bench = Bench::new().await;
    let lines: String = (0..60_000_u64).map(|n| format!("{},{n},{}\n", n * 7919 % 7_001, "x".repeat(150))).collect();
    let path = bench.file("sales.csv", format!("id,amount,text\n{lines}"));
    bench.take_with(&policy, path.clone(), false, 64 << 20).await.unwrap();
    let units = bench.units("shop.sales").await;
    assert!(units.is_sorted() && units.len() == 60_000);
    let taken = bench.take_with(&policy, path, true, 12 << 20).await.unwrap();
    assert_eq!((taken.changed, taken.rows), (false, 60_000));
}

#[tokio::test]
async fn one_unit_has_no_more_rows_than_a_table_holds_of_one() {
    let bench = Bench::new().await;
    let lines: String =
        (0..10_050).map(|n| format!("7,{n}\n")).chain((0..3).map(|n| format!("8,{n}\n,{n}\n"))).collect();
    let taken = bench.take(SALES, bench.file("sales.csv", format!("id,amount\n{lines}"))).await.unwrap();
    assert_eq!(taken.rows, 10_000 + 3 + 3);
    assert!(taken.notes.iter().any(|note| note.starts_with("50 rows are left out")), "{:?}", taken.notes);
    let mut rows = std::collections::BTreeMap::new();
    for unit in bench.units("shop.sales").await {
        *rows.entry(unit).or_insert(0) += 1;
    }
    assert_eq!(rows.into_values().max(), Some(10_000));
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_lives_stays() {
    let bench = Bench::new().await;
    let state = bench.state();
    let lock = RoomLock::acquire(&state, &bench.room).unwrap();
    let living = lock.workspace().unwrap();
    let dead = state.join("tmp/work-dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("rows"), "x").unwrap();
    fs::write(state.join("tmp/other"), "x").unwrap();
    clean_temporary(&state).unwrap();
    assert!(!dead.exists() && living.path().exists() && state.join("tmp/other").exists());
    let path = living.path().to_owned();
    drop(living);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_policy_that_lists_more_columns_reads_the_source_once_more() {
    let bench = Bench::new().await;
    let path = bench.file("sales.csv", "id,amount,kind\n1,2,x\n");
    bench.take(SALES, path.clone()).await.unwrap();
    let wider = SALES.replace("amount:", "kind: {use: [dimension]}\n  amount:");
    let first = bench.take(&wider, path.clone()).await.unwrap();
    assert_eq!((first.version, first.changed), (2, true));
    let second = bench.take(&wider, path).await.unwrap();
    assert_eq!((second.version, second.changed), (2, false));
}

#[tokio::test]
async fn a_lost_room_key_is_not_replaced() {
    let bench = Bench::new().await;
    let path = bench.file("sales.csv", "id,amount\n1,2\n");
    bench.take(SALES, path.clone()).await.unwrap();
    let key = bench.state().join("rooms/market/room.key");
    fs::remove_file(&key).unwrap();
    let error = bench.take(SALES, path).await.unwrap_err();
    assert!(matches!(error, IngestError::KeyMissing { .. }), "{error}");
    assert!(!key.exists());
}
