//! A secret number for every row of a protected table, which no query can name.
//!
//! It breaks ties in windows, tells two rows of one unit apart where each may count only once, and stands for the rows behind
//! a released cell when cells are compared. It follows from the unit, the row's values and how many equal rows of the unit
//! went before, under a key of the room: the same row has the same number in every version of the data, and nobody without
//! the key can predict one or choose rows that collide.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};
use zeroize::Zeroizing;

/// The column of a snapshot that holds the numbers: a name that no source column and no query can have.
pub(crate) const ROW_ID: &str = "__cr_row";

/// A snapshot's columns, with the numbers behind them.
pub(crate) fn with_row_ids(stored: &SchemaRef) -> SchemaRef {
    let fields = stored.fields().iter().cloned();
    Arc::new(Schema::new(fields.chain([row_id_field()]).collect::<Vec<_>>()))
}

pub(crate) fn row_id_field() -> Arc<Field> {
    Arc::new(Field::new(ROW_ID, DataType::Int64, true))
}

/// Numbers rows that come sorted by their unit.
pub(crate) struct RowIds {
    key: Zeroizing<[u8; 32]>,
    converter: RowConverter,
    unit: usize,
    /// The unit seen last, and how often each of its rows was seen.
    last: Option<u32>,
    seen: HashMap<u64, u64>,
}

impl RowIds {
    pub(crate) fn new(schema: &SchemaRef, unit: usize, key: Zeroizing<[u8; 32]>) -> Result<Self, ArrowError> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { key, converter: RowConverter::new(fields)?, unit, last: None, seen: HashMap::new() })
    }

    /// The batch with its rows' numbers behind it. Rows of no unit are in no answer; theirs is 0.
    pub(crate) fn number(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = self.converter.convert_columns(batch.columns())?;
        let key = &self.key;
        let hashes: Vec<u64> = (0..batch.num_rows())
            .into_par_iter()
            .with_min_len(256)
            .map(|row| first_bytes(&blake3::keyed_hash(key, rows.row(row).data())))
            .collect();
        let units = batch.column(self.unit).as_primitive::<UInt32Type>();
        let mut ids = Vec::with_capacity(batch.num_rows());
        for (row, hash) in hashes.into_iter().enumerate() {
            if units.is_null(row) {
                ids.push(0);
                continue;
            }
            let unit = units.value(row);
            if self.last != Some(unit) {
                self.last = Some(unit);
                self.seen.clear();
            }
            let before = self.seen.entry(hash).and_modify(|before| *before += 1).or_insert(0);
            let id = if *before == 0 { hash } else { again(key, hash, *before) };
            ids.push(id.cast_signed());
        }
        let schema = with_row_ids(&batch.schema());
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        RecordBatch::try_new(schema, batch.columns().iter().cloned().chain([ids]).collect())
    }
}

fn first_bytes(hash: &blake3::Hash) -> u64 {
    let bytes = hash.as_bytes();
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The number of a row whose equal went before.
fn again(key: &[u8; 32], hash: u64, before: u64) -> u64 {
    let mut input = [0_u8; 16];
    let (first, second) = input.split_at_mut(8);
    first.copy_from_slice(&hash.to_le_bytes());
    second.copy_from_slice(&before.to_le_bytes());
    first_bytes(&blake3::keyed_hash(key, &input))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use arrow::array::{StringArray, UInt32Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn ids(key: u8, batches: &[(&[Option<u32>], &[&str])]) -> Vec<i64> {
        let schema =
            Arc::new(Schema::new(vec![Field::new("k", DataType::UInt32, true), Field::new("x", DataType::Utf8, true)]));
        let mut row_ids = RowIds::new(&schema, 0, Zeroizing::new([key; 32])).unwrap();
        let mut all = Vec::new();
        for (units, texts) in batches {
            let columns: Vec<ArrayRef> =
                vec![Arc::new(UInt32Array::from(units.to_vec())), Arc::new(StringArray::from(texts.to_vec()))];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            let numbered = row_ids.number(&batch).unwrap();
            all.extend(numbered.column(2).as_primitive::<Int64Type>().values().iter().copied());
        }
        all
    }

    #[test]
    fn equal_rows_of_a_unit_differ_and_every_row_keeps_its_number() {
        let first = ids(1, &[(&[None, Some(1), Some(1), Some(1), Some(2)], &["a", "a", "a", "b", "a"])]);
        let distinct: std::collections::BTreeSet<i64> = first.iter().copied().collect();
        assert_eq!(distinct.len(), 5);
        assert_eq!(first.first(), Some(&0));
        // In other batches, and with a unit and a row more.
        let second = ids(1, &[(&[Some(0), Some(1)], &["a", "a"]), (&[Some(1), Some(1), Some(2)], &["a", "b", "a"])]);
        assert_eq!(first[1..], second[1..]);
        assert_ne!(first[1..], ids(2, &[(&[Some(1), Some(1), Some(1), Some(2)], &["a", "a", "b", "a"])])[..]);
    }
}
