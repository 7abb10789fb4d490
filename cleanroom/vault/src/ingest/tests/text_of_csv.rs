//! Fields of a CSV file that come in Parquet.

use cleanroom_keys::{NoProgress, RoomKey, TEXT_OF_CSV, TokenizeOptions, tokenize};
use parquet::file::metadata::KeyValue;

use super::*;

#[tokio::test]
async fn a_csv_file_that_was_tokenised_gives_the_same_snapshot() {
    let columns = "amount: {use: [measure], bounds: [0, 100]}\n  whole: {use: [measure], bounds: [0, 100]}\n  none: {use: [measure], bounds: [0, 100]}";
    let policy = SALES.replace("amount: {use: [measure], bounds: [0, 100]}", columns);
    let mut csv = "id,amount,whole,none,int,float,bool,day,time,code,mixed,empty,late\n".to_owned();
    csv.push_str("a,+1.50,007,,1,1,true,2026-01-31,2026-01-31,007,1,,1\n");
    csv.push_str("b,,1,,-2,2.5e3,FALSE,0001-01-01,2026-01-31T10:00:00.5+01:00,8,true,,\n");
    csv.push_str(",.5,2,,,,,,,,,,\n");
    // Beyond the first batch of the reader.
    csv.extend(
        (0..9_000)
            .map(|row| format!("{},{row},{row},,{row},-0.0,true,2026-02-01,2026-02-01 10:00,x,y,,{row}\n", row % 7)),
    );
    csv.push_str("a,1,1,,1,1,true,2026-01-31,2026-01-31,1,1,,\"last, of all\"\n");

    let plain = Bench::new().await;
    let path = plain.file("sales.csv", &csv);
    plain.take(&policy, path).await.unwrap();
    let tokenised = Bench::new().await;
    let options = TokenizeOptions {
        input: tokenised.file("sales.csv", &csv),
        output: tokenised.path("sales.parquet"),
        key: RoomKey::generate().unwrap(),
        columns: vec![("id".to_owned(), "household".to_owned())],
        region: None,
        skip_bad: false,
        force: false,
    };
    tokenize(&options, &NoProgress).unwrap();
    tokenised.take(&policy, options.output).await.unwrap();

    let rows = tokenised.rows("shop.sales").await;
    assert_eq!(rows, plain.rows("shop.sales").await);
    let table = TableName::parse("shop.sales").unwrap();
    let (plain, tokenised) = (plain.version(&table).await.unwrap(), tokenised.version(&table).await.unwrap());
    assert_eq!(plain.schema, tokenised.schema);
    let types: Vec<DataType> = rows.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let numbers = [DataType::Float64, DataType::Int64, DataType::Int64, DataType::Int64, DataType::Float64];
    let others = [DataType::Boolean, DataType::Date32, layout::TIMESTAMP];
    let texts = [const { DataType::Utf8 }; 4];
    assert_eq!(types, [&[DataType::UInt32], &numbers[..], &others, &texts].concat());
}

#[tokio::test]
async fn fields_of_a_csv_file_are_checked_in_parquet_too() {
    let bench = Bench::new().await;
    let (key, value) = TEXT_OF_CSV;
    let table = |amounts: Vec<Option<&str>>| {
        let units = StringArray::from_iter_values((0..amounts.len()).map(|row| row.to_string()));
        batch([("id", Arc::new(units) as ArrayRef), ("amount", Arc::new(StringArray::from(amounts)) as ArrayRef)])
    };
    let mut amounts = vec![Some("1"); 9_000];
    amounts[8_999] = Some("secret");
    let error = bench.refused(SALES, "bad.parquet", noted_parquet_bytes(&table(amounts), key, value)).await;
    assert!(error.starts_with("bad.parquet: row 9000: column `amount`: not a number; correct the row"), "{error}");
    assert!(!error.contains("secret"), "{error}");

    let content = noted_parquet_bytes(&table(vec![Some("1"), Some(""), None, Some("2.5")]), key, value);
    let path = bench.file("sales.parquet", content);
    bench.take(SALES, path).await.unwrap();
    let rows = bench.rows("shop.sales").await;
    assert_eq!(rows["amount"].as_ref(), &Float64Array::from(vec![Some(1.0), None, None, Some(2.5)]));
}

#[tokio::test]
async fn text_of_other_parquet_files_stays_text() {
    let (key, value) = TEXT_OF_CSV;
    let kinds = StringArray::from(vec![Some("1"), Some(""), None]);
    let columns = batch([
        ("code", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("kind", Arc::new(kinds.clone()) as ArrayRef),
    ]);
    for content in [
        parquet_bytes(&columns),
        noted_parquet_bytes(&columns, key, "json"),
        noted_parquet_bytes(&columns, "other", value),
    ] {
        let bench = Bench::new().await;
        let path = bench.file("products.parquet", content);
        bench.take(PRODUCTS, path).await.unwrap();
        assert_eq!(bench.rows("shop.products").await["kind"].as_ref(), &kinds);
    }
    let bench = Bench::new().await;
    let path = bench.file("products.parquet", noted_parquet_bytes(&columns, key, value));
    bench.take(PRODUCTS, path).await.unwrap();
    let rows = bench.rows("shop.products").await;
    assert_eq!(rows["code"].as_ref(), &Int64Array::from(vec![1, 2, 3]), "a column that is no text");
    assert_eq!(rows["kind"].as_ref(), &Int64Array::from(vec![Some(1), None, None]));

    let amounts = batch([
        ("id", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ("amount", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
    ]);
    let error = bench.refused(SALES, "sales.parquet", parquet_bytes(&amounts)).await;
    assert!(error.contains("column `amount`: Utf8 does not fit the policy"), "{error}");
}

fn noted_parquet_bytes(batch: &RecordBatch, key: &str, value: &str) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_owned()));
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}
