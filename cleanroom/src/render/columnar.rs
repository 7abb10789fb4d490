//! Released tables for programs.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::csv::WriterBuilder;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// An Arrow IPC stream.
pub(crate) fn to_arrow(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    writer.finish()?;
    writer.into_inner()
}

/// The table of an Arrow IPC stream.
pub(crate) fn from_ipc(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    concat_batches(&schema, &batches)
}

/// A Parquet file.
pub(crate) fn to_parquet(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("cleanroom".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

/// RFC 4180 with a header; NULL is an empty field.
pub(crate) fn to_csv(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_header(true).build(&mut bytes);
    writer.write(batch)?;
    drop(writer);
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use axum::body::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([
            ("name", Arc::new(StringArray::from(vec![Some("a,\"b\""), None])) as ArrayRef, true),
            ("n", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef, true),
            ("x", Arc::new(Float64Array::from(vec![Some(0.1), None])) as ArrayRef, true),
        ])
        .unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(String::from_utf8(to_csv(&batch()).unwrap()).unwrap(), "name,n,x\n\"a,\"\"b\"\"\",1,0.1\n,,\n");
    }

    #[test]
    fn arrow_and_parquet_read_back_as_they_were() {
        assert_eq!(from_ipc(&to_arrow(&batch()).unwrap()).unwrap(), batch());
        let file = Bytes::from(to_parquet(&batch()).unwrap());
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), batch());
    }

    #[test]
    fn an_answer_without_rows_keeps_its_columns() {
        let empty = batch().slice(0, 0);
        assert_eq!(from_ipc(&to_arrow(&empty).unwrap()).unwrap(), empty);
        assert_eq!(to_csv(&empty).unwrap(), b"name,n,x\n");
    }
}
