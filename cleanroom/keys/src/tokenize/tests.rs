use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, AsArray as _, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, StringViewArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use tempfile::TempDir;

use super::*;
use crate::progress::NoProgress;

fn key() -> RoomKey {
    RoomKey::from_bytes([7; 32])
}

fn token(space: &str, identifier: &str) -> String {
    key().token_text(space, identifier)
}

/// A folder with one input, and what becomes of it.
struct Case {
    folder: TempDir,
    input: PathBuf,
}

impl Case {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join(name);
        fs::write(&input, content).unwrap();
        Self { folder, input }
    }

    fn parquet(columns: Vec<(&str, ArrayRef)>) -> Self {
        let case = Self::new("in.parquet", "");
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&case.input).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        case
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out.parquet")
    }

    fn options(&self, columns: &[(&str, &str)]) -> TokenizeOptions {
        TokenizeOptions {
            input: self.input.clone(),
            output: self.output(),
            key: key(),
            columns: columns.iter().map(|(name, space)| ((*name).to_owned(), (*space).to_owned())).collect(),
            region: None,
            skip_bad: false,
            force: false,
        }
    }

    fn run(&self, columns: &[(&str, &str)]) -> (TokenizeReport, RecordBatch) {
        let report = tokenize(&self.options(columns), &NoProgress).unwrap();
        (report, read(&self.output()))
    }

    /// The error, which leaves nothing behind.
    fn error(&self, options: &TokenizeOptions) -> String {
        let error = tokenize(options, &NoProgress).unwrap_err().to_string();
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "only the input is left: {error}");
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

fn some(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

#[test]
fn csv_becomes_parquet() {
    let text = "\u{feff}email,note,amount\r\n Ada@Example.org ,\"two\nlines, \"\"quoted\"\"\",007\r\n\r\n,last,\r\n";
    let case = Case::new("in.csv", text);
    let (report, batch) = case.run(&[("email", "email")]);
    assert_eq!(texts(&batch, "email"), [some(token("email", "ada@example.org")), None]);
    assert_eq!(texts(&batch, "note"), [some("two\nlines, \"quoted\""), some("last")]);
    assert_eq!(texts(&batch, "amount"), [some("007"), None]);
    assert_eq!((report.rows, report.tokenised, report.nulls, report.bad), (2, 1, 1, 0));
    assert_eq!(report.bytes_in, text.len() as u64);
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 2, "the input and the output");
}

#[test]
fn tabs_and_several_columns() {
    let case = Case::new("in.tsv", "a\tb,c\n1\t+44 (0)20 7946 0958");
    let (report, batch) = case.run(&[("b,c", "phone"), ("a", "household")]);
    assert_eq!(texts(&batch, "a"), [some(token("household", "1"))]);
    assert_eq!(texts(&batch, "b,c"), [some(token("phone", "+442079460958"))]);
    assert_eq!(report.tokenised, 2);
}

#[test]
fn national_phone_numbers_need_a_region() {
    let case = Case::new("in.csv", "p\n030 123456\n");
    assert!(case.error(&case.options(&[("p", "phone")])).starts_with("`in.csv`, line 2, column `p`: not a phone"));
    let german = TokenizeOptions { region: some("de"), ..case.options(&[("p", "phone")]) };
    tokenize(&german, &NoProgress).unwrap();
    assert_eq!(texts(&read(&case.output()), "p"), [some(token("phone", "+4930123456"))]);
}

#[test]
fn parquet_keeps_the_other_columns_and_drops_what_was_noted() {
    let case = Case::new("in.parquet", "");
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("day", DataType::Date32, false),
        Field::new("kind", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
    ]);
    let schema = Arc::new(schema.with_metadata([("pandas".to_owned(), "{}".to_owned())].into()));
    let kind: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("x")].into_iter().collect();
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(vec![Some(42), None, Some(-7)])),
            Arc::new(arrow::array::Date32Array::from(vec![1, 2, 3])),
            Arc::new(kind),
        ],
    )
    .unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&case.input).unwrap(), schema.clone(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let (report, out) = case.run(&[("id", "household")]);
    assert_eq!(texts(&out, "id"), [some(token("household", "42")), None, some(token("household", "-7"))]);
    assert_eq!(out.column(1), batch.column(1));
    assert_eq!(out.column(2), batch.column(2));
    assert!(out.schema().metadata().is_empty());
    assert_eq!(out.schema().field(1), schema.field(1));
    assert_eq!((report.rows, report.nulls), (3, 1));
}

#[test]
fn one_identifier_has_one_token_whatever_its_type() {
    let decimals = Decimal128Array::from(vec![1200_i128]).with_precision_and_scale(10, 2).unwrap();
    let case = Case::parquet(vec![
        ("int", Arc::new(Int32Array::from(vec![12]))),
        ("float", Arc::new(Float64Array::from(vec![12.0]))),
        ("decimal", Arc::new(decimals)),
        ("text", Arc::new(StringArray::from(vec![" 12"]))),
        ("view", Arc::new(StringViewArray::from(vec!["12"]))),
        ("dictionary", Arc::new(vec![Some("12")].into_iter().collect::<DictionaryArray<Int32Type>>())),
    ]);
    let names = ["int", "float", "decimal", "text", "view", "dictionary"];
    let (_, batch) = case.run(&names.map(|name| (name, "id")));
    for name in names {
        assert_eq!(texts(&batch, name), [some(token("id", "12"))], "{name}");
    }
}

#[test]
fn a_bad_value_is_told_by_its_place() {
    let case = Case::new("in.csv", "id,email\n1,\"a\n\"\"b@\"\"\"\n");
    let error = case.error(&case.options(&[("email", "email")]));
    assert!(error.starts_with("`in.csv`, line 2, column `email`: "), "{error}");

    for (ends, text) in
        [("LF", "id,email\n\n\"1\n1\",a@b.de\n2,secret\n"), ("CRLF", "id,email\r\n\"1\r\n\r\n1\",a@b.de\r\n2,secret")]
    {
        let case = Case::new("in.csv", text);
        let error = case.error(&case.options(&[("email", "email")]));
        assert!(error.starts_with("`in.csv`, line 5, column `email`: not an e-mail address; "), "{ends}: {error}");
        assert!(!error.contains("secret"));
    }

    let case = Case::parquet(vec![("id", Arc::new(Float64Array::from(vec![1.0, 2.5])))]);
    let error = case.error(&case.options(&[("id", "id")]));
    assert!(error.starts_with("`in.parquet`, row 2, column `id`: the number is not whole"), "{error}");
}

#[test]
fn bad_values_can_be_skipped() {
    let case = Case::new("in.csv", "email\na@b.de\nsecret\n\" \"\n");
    let options = TokenizeOptions { skip_bad: true, ..case.options(&[("email", "email")]) };
    let report = tokenize(&options, &NoProgress).unwrap();
    assert_eq!((report.rows, report.tokenised, report.nulls, report.bad), (3, 1, 1, 1));
    assert_eq!(texts(&read(&case.output()), "email"), [some(token("email", "a@b.de")), None, None]);
}

#[test]
fn tokens_are_not_tokenised_again() {
    let case = Case::new("in.csv", format!("id\n1\n{}\n", token("id", "2")));
    let options = TokenizeOptions { skip_bad: true, ..case.options(&[("id", "id")]) };
    assert!(
        case.error(&options).starts_with("`in.csv`, line 3, column `id`: it is a token already, or begins like one; ")
    );
}

#[test]
fn damaged_csv_is_refused() {
    for (text, told) in [
        (&b""[..], "`in.csv`: the file is empty; "),
        (b"id,x\n1,2\n3\n", "`in.csv`, line 3: the row has more or fewer fields than the header; "),
        (b"id,x\n1,2\n3,\"4\n5,6\n", "`in.csv`, line 3: a quoted field is not closed before the end of the file; "),
        (b"id,x\n1,2\n3,\xff\n", "`in.csv`, line 3, column `x`: the text is not UTF-8; "),
        // Together the two fields would be one character.
        (b"id,x\n\xc3,\xa9\n", "`in.csv`, line 2, column `id`: the text is not UTF-8; "),
        (b"\xff,id\n1,2\n", "`in.csv`, line 1: the text is not UTF-8; "),
    ] {
        let case = Case::new("in.csv", text);
        let error = case.error(&case.options(&[("id", "id")]));
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn damaged_parquet_is_refused() {
    let ids: StringArray = (0..5000).map(|id| Some(id.to_string())).collect();
    let whole = fs::read(&Case::parquet(vec![("id", Arc::new(ids))]).input).unwrap();
    let mut garbled = whole.clone();
    garbled[4..2000].fill(0xee);
    for content in [&b""[..], b"PAR1", b"id\n1\n", &whole[..whole.len() / 2], &whole[..whole.len() - 1], &garbled] {
        let case = Case::new("in.parquet", content);
        let error = case.error(&case.options(&[("id", "id")]));
        assert!(
            error.starts_with("`in.parquet`: the file is damaged, or cut off, or not of the kind that its name says; "),
            "{error}"
        );
    }
}

#[test]
fn a_file_with_a_header_alone_has_no_rows() {
    let case = Case::new("in.csv", "id,x\n");
    let (report, batch) = case.run(&[("id", "id")]);
    assert_eq!((report.rows, batch.num_rows(), batch.num_columns()), (0, 0, 2));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let case = Case::new("in.csv", "id,twice,twice\n1,2,3\n");
    for (columns, told) in [
        (&[][..], "no column to tokenise; "),
        (&[("ID", "id")], "`in.csv`: there is no column `ID` among the 3 of the file; "),
        (&[("twice", "id")], "`in.csv`: there is more than one column `twice`; "),
        (&[("id", "id"), ("id", "email")], "column `id` is named twice; "),
        (&[("id", "Email")], "`Email` is no name of an identity space; "),
        (&[("id", "")], "`` is no name of an identity space; "),
    ] {
        let error = case.error(&case.options(columns));
        assert!(error.starts_with(told), "{error}");
    }
    let options = || case.options(&[("id", "id")]);
    let told = case.error(&TokenizeOptions { region: some("Germany"), ..options() });
    assert!(told.starts_with("`Germany` is not a country; "), "{told}");
    let told = case.error(&TokenizeOptions { output: case.folder.path().join("out.csv"), ..options() });
    assert!(told.starts_with("`out.csv`: the output is Parquet; "), "{told}");
    let told = case.error(&TokenizeOptions { output: case.folder.path().join("none/out.parquet"), ..options() });
    assert!(told.starts_with("`none/out.parquet`: cannot be written "), "{told}");
    let told = case.error(&TokenizeOptions { input: case.folder.path().join("none.csv"), ..options() });
    assert!(told.starts_with("`none.csv`: cannot be read "), "{told}");
    let told = case.error(&TokenizeOptions { input: case.folder.path().join("in.xlsx"), ..options() });
    assert!(told.starts_with("`in.xlsx`: the kind of file is not known"), "{told}");

    let case = Case::parquet(vec![("id", Arc::new(arrow::array::BooleanArray::from(vec![true])))]);
    let told = case.error(&case.options(&[("id", "id")]));
    assert!(told.starts_with("`in.parquet`: column `id` holds no identifiers, but Boolean; "), "{told}");
    let told =
        case.error(&TokenizeOptions { output: case.input.clone(), force: true, ..case.options(&[("id", "id")]) });
    assert!(told.contains("it is the input as well"), "{told}");
}

#[test]
fn the_output_is_replaced_only_on_demand() {
    let case = Case::new("in.csv", "id\n1\n");
    fs::write(case.output(), "precious").unwrap();
    let error = tokenize(&case.options(&[("id", "id")]), &NoProgress).unwrap_err().to_string();
    assert!(error.contains("there is such a file already"), "{error}");
    assert_eq!(fs::read(case.output()).unwrap(), b"precious");

    let force = |columns| TokenizeOptions { force: true, ..case.options(columns) };
    tokenize(&force(&[("id", "email")]), &NoProgress).unwrap_err();
    assert_eq!(fs::read(case.output()).unwrap(), b"precious", "a run that fails replaces nothing");
    tokenize(&force(&[("id", "id")]), &NoProgress).unwrap();
    assert_eq!(texts(&read(&case.output()), "id"), [some(token("id", "1"))]);
}

/// Keeps what it is told.
#[derive(Default)]
struct Heard {
    last: AtomicU64,
    finished: AtomicU64,
}

impl Progress for Heard {
    fn report(&self, done: u64, total: u64) {
        assert!(self.last.swap(done, Ordering::Relaxed) <= done && done <= total);
    }

    fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn rows_keep_their_order_and_the_first_error_is_told_however_many_work() {
    let scale = |threads| Scale { threads, chunk_rows: 64 };
    let rows = 50 * 64 + 17;
    let mut text = String::from("id,n\n");
    for row in 0..rows {
        text.push_str(&format!("{row},{row}\n"));
    }
    let case = Case::new("in.csv", &text);
    for threads in [1, 4] {
        let heard = Heard::default();
        let options = TokenizeOptions { force: true, ..case.options(&[("id", "id")]) };
        let report = tokenize_with(&scale(threads), &options, &heard).unwrap();
        assert_eq!(report.rows, rows as u64);
        assert_eq!(heard.last.load(Ordering::Relaxed), text.len() as u64);
        assert_eq!(heard.finished.load(Ordering::Relaxed), 1);
        let batch = read(&case.output());
        let (ids, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        assert_eq!(batch.num_rows(), rows);
        assert!((0..rows).all(|row| numbers.value(row) == row.to_string()));
        assert!((0..rows).all(|row| ids.value(row) == token("id", &row.to_string())));
    }

    let bad = text.replace("\n700,", "\n\u{1},").replace("\n1900,", "\n\u{1},");
    let case = Case::new("in.csv", bad);
    for threads in [1, 4] {
        let heard = Heard::default();
        let error = tokenize_with(&scale(threads), &case.options(&[("id", "id")]), &heard).unwrap_err().to_string();
        assert!(error.contains(", line 702, column `id`: the identifier holds a control character; "), "{error}");
        assert_eq!(heard.finished.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn tokens_are_the_same_whether_they_repeat_or_not() {
    let rows = 5000;
    let ids: Vec<usize> = (0..rows).map(|row| if row < 2500 { row } else { row % 10 }).collect();
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let case = Case::new("in.csv", format!("id\n{text}"));
    tokenize_with(&Scale { threads: 2, chunk_rows: 1250 }, &case.options(&[("id", "id")]), &Heard::default()).unwrap();
    let reader = SerializedFileReader::new(File::open(case.output()).unwrap()).unwrap();
    let columns: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.column(0).clone()).collect();
    let dictionaries: Vec<bool> = columns.iter().map(|column| column.dictionary_page_offset().is_some()).collect();
    assert_eq!(dictionaries, [false, false, true, true]);
    assert!(columns.iter().all(|column| column.statistics().is_none()));
    let batch = read(&case.output());
    let tokens = batch.column(0).as_string::<i32>();
    assert!(ids.iter().zip(tokens).all(|(id, text)| text == Some(&token("id", &id.to_string()))));
}

#[test]
fn what_a_killed_run_left_is_removed_and_what_others_write_stays() {
    let case = Case::new("in.csv", "id\n1\n");
    let [left, living, other] = [".tokenize-left.tmp", ".tokenize-living.tmp", ".other.tmp"].map(|name| {
        let path = case.folder.path().join(name);
        fs::write(&path, "x").unwrap();
        path
    });
    let lock = File::open(&living).unwrap();
    lock.lock().unwrap();
    case.run(&[("id", "id")]);
    assert!(!left.exists() && living.exists() && other.exists());
}
