//! Noisy numbers as bytes that are kept, to be shown again under another statement of the same question.
//!
//! One Arrow IPC stream of one batch for each release point, each with its length in 8 bytes (little-endian) before it, all in
//! canonical order: group columns `g0`, `g1`, ..., the grouping set `s`, and the noisy numbers `t0`, `t1`, ... as 16 bytes
//! (little-endian, two's complement). Groups that do not show are not in it, nor is anything exact. Before all that stand the 32
//! bytes of its BLAKE3 hash: a reader of damaged streams can panic.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};

use super::canonical::Order;
use super::draw::{Drawn, DrawnGroup};
use super::plan::ReleaseNoise;
use crate::check::ReleasePoint;

const WIDTH: i32 = 16;

/// What the numbers of a release point have to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Types of the group columns.
    groups: Vec<DataType>,
    sets: usize,
    terms: usize,
}

impl Shape {
    pub(crate) fn of(release: &ReleasePoint, noise: &ReleaseNoise) -> Self {
        let groups = (0..release.groups.len()).map(|group| release.schema.field(group).data_type().clone());
        Self { groups: groups.collect(), sets: noise.sets.len(), terms: noise.terms.len() }
    }
}

fn damaged() -> DataFusionError {
    exec_datafusion_err!("a kept release cannot be read")
}

/// The numbers of all release points of a question, which are given in its own order.
///
/// # Errors
/// Where there are more groups than a batch takes.
pub(crate) fn written(orders: &[Order], drawn: &[Drawn]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for order in orders {
        let of_point = drawn.get(order.release).ok_or_else(damaged)?;
        let batch = batch(order, of_point)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(&batch)?;
        writer.finish()?;
        let stream = writer.into_inner()?;
        bytes.extend((stream.len() as u64).to_le_bytes());
        bytes.extend(stream);
    }
    Ok([blake3::hash(&bytes).as_bytes().as_slice(), &bytes].concat())
}

fn batch(order: &Order, drawn: &Drawn) -> Result<RecordBatch> {
    let place = |place: usize| u32::try_from(place).map_err(|_many| exec_datafusion_err!("too many groups"));
    let keys: UInt32Array = drawn.groups.iter().map(|group| place(group.key).map(Some)).collect::<Result<_>>()?;
    let mut columns: Vec<ArrayRef> = Vec::new();
    for group in &order.groups {
        columns.push(take(drawn.keys.get(*group).ok_or_else(damaged)?, &keys, None)?);
    }
    let sets = drawn.groups.iter().map(|group| {
        let canonical = order.sets.iter().position(|set| *set == group.set).ok_or_else(damaged)?;
        place(canonical).map(Some)
    });
    columns.push(Arc::new(sets.collect::<Result<UInt32Array>>()?));
    for term in &order.terms {
        let numbers = drawn
            .groups
            .iter()
            .map(|group| group.terms.get(*term).map(|number| number.to_le_bytes()).ok_or_else(damaged))
            .collect::<Result<Vec<_>>>()?;
        let numbers = numbers.iter().map(|bytes| Some(bytes.as_slice()));
        columns.push(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(numbers, WIDTH)?));
    }
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    Ok(RecordBatch::try_new(schema(order, &types), columns)?)
}

fn schema(order: &Order, types: &[DataType]) -> SchemaRef {
    let groups = (0..order.groups.len()).map(|group| format!("g{group}"));
    let names = groups.chain(["s".to_owned()]).chain((0..order.terms.len()).map(|term| format!("t{term}")));
    let fields = names.zip(types).map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The numbers of all release points in the order of this statement, whose release points are of these shapes.
///
/// # Errors
/// Where the bytes are not those of [`written`] for the same question.
pub(crate) fn read(orders: &[Order], bytes: &[u8], shapes: &[Shape]) -> Result<Vec<Drawn>> {
    let (hash, mut rest) = bytes.split_first_chunk::<{ blake3::OUT_LEN }>().ok_or_else(damaged)?;
    if blake3::hash(rest) != *hash {
        return Err(damaged());
    }
    let mut drawn: Vec<Option<Drawn>> = shapes.iter().map(|_shape| None).collect();
    for order in orders {
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_long| damaged())?;
        let (stream, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        rest = after;
        let shape = shapes.get(order.release).ok_or_else(damaged)?;
        let place = drawn.get_mut(order.release).ok_or_else(damaged)?;
        *place = Some(point(order, stream, shape)?);
    }
    if !rest.is_empty() {
        return Err(damaged());
    }
    drawn.into_iter().map(|drawn| drawn.ok_or_else(damaged)).collect()
}

fn point(order: &Order, stream: &[u8], shape: &Shape) -> Result<Drawn> {
    let groups = shape.groups.len();
    if (order.groups.len(), order.sets.len(), order.terms.len()) != (groups, shape.sets, shape.terms) {
        return Err(damaged());
    }
    let of_groups = order.groups.iter().map(|group| shape.groups.get(*group).cloned().ok_or_else(damaged));
    let of_groups = of_groups.collect::<Result<Vec<_>>>()?;
    let of_terms = order.terms.iter().map(|_term| DataType::FixedSizeBinary(WIDTH));
    let types: Vec<DataType> = of_groups.into_iter().chain([DataType::UInt32]).chain(of_terms).collect();
    let mut reader = StreamReader::try_new(stream, None).map_err(|_detail| damaged())?;
    if reader.schema() != schema(order, &types) {
        return Err(damaged());
    }
    let batch = reader.next().and_then(std::result::Result::ok).ok_or_else(damaged)?;
    if reader.next().is_some() || batch.columns().iter().skip(groups).any(|column| column.null_count() > 0) {
        return Err(damaged());
    }
    let mut keys: Vec<Option<ArrayRef>> = vec![None; groups];
    for (column, group) in batch.columns().iter().zip(&order.groups) {
        *keys.get_mut(*group).ok_or_else(damaged)? = Some(Arc::clone(column));
    }
    let keys = keys.into_iter().map(|key| key.ok_or_else(damaged)).collect::<Result<Vec<_>>>()?;
    let sets =
        batch.columns().get(groups).and_then(|sets| sets.as_primitive_opt::<UInt32Type>()).ok_or_else(damaged)?;
    let mut of_rows = Vec::with_capacity(batch.num_rows());
    for (row, set) in sets.values().iter().enumerate() {
        let set = order.sets.get(*set as usize).ok_or_else(damaged)?;
        of_rows.push(DrawnGroup { key: row, set: *set, terms: vec![0; order.terms.len()] });
    }
    for (column, term) in batch.columns().iter().skip(groups + 1).zip(&order.terms) {
        let numbers = column.as_fixed_size_binary_opt().ok_or_else(damaged)?;
        for (row, bytes) in of_rows.iter_mut().zip(numbers.iter()) {
            let number = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).ok_or_else(damaged)?;
            *row.terms.get_mut(*term).ok_or_else(damaged)? = i128::from_le_bytes(number);
        }
    }
    Ok(Drawn { keys, groups: of_rows })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::{Shape, read, written};
    use crate::noise::canonical::Order;
    use crate::noise::draw::{Drawn, DrawnGroup};

    fn drawn() -> Drawn {
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(8), None]));
        // The keys are those of all groups there are; the second does not show.
        let groups = vec![
            DrawnGroup { key: 2, set: 1, terms: vec![-1, i128::MAX] },
            DrawnGroup { key: 0, set: 0, terms: vec![5, i128::MIN] },
        ];
        Drawn { keys: vec![words, numbers], groups }
    }

    fn shape() -> Shape {
        Shape { groups: vec![DataType::Utf8, DataType::Int64], sets: 2, terms: 2 }
    }

    fn order(release: usize, groups: [usize; 2], sets: [usize; 2], terms: [usize; 2]) -> Order {
        Order { release, groups: groups.to_vec(), sets: sets.to_vec(), terms: terms.to_vec() }
    }

    #[test]
    fn numbers_come_back_under_the_order_of_another_statement() {
        let bytes = written(&[order(0, [0, 1], [0, 1], [0, 1])], &[drawn()]).unwrap();
        let same = read(&[order(0, [0, 1], [0, 1], [0, 1])], &bytes, &[shape()]).unwrap();
        let [same] = same.as_slice() else { panic!("one release point") };
        let words: ArrayRef = Arc::new(StringArray::from(vec!["b", "a"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(7)]));
        assert_eq!(same.keys, vec![words.clone(), numbers.clone()]);
        assert_eq!(same.groups[0], DrawnGroup { key: 0, set: 1, terms: vec![-1, i128::MAX] });
        assert_eq!(same.groups[1], DrawnGroup { key: 1, set: 0, terms: vec![5, i128::MIN] });
        // The other statement has everything the other way round.
        let swapped = Shape { groups: vec![DataType::Int64, DataType::Utf8], ..shape() };
        let other = read(&[order(0, [1, 0], [1, 0], [1, 0])], &bytes, &[swapped]).unwrap();
        assert_eq!(other[0].keys, vec![numbers, words]);
        assert_eq!(other[0].groups[0], DrawnGroup { key: 0, set: 0, terms: vec![i128::MAX, -1] });
    }

    #[test]
    fn release_points_come_back_in_their_own_order() {
        let none = Drawn { keys: drawn().keys, groups: Vec::new() };
        let orders = |first, second| [order(first, [0, 1], [0, 1], [0, 1]), order(second, [0, 1], [0, 1], [0, 1])];
        let bytes = written(&orders(1, 0), &[none, drawn()]).unwrap();
        let read = read(&orders(0, 1), &bytes, &[shape(), shape()]).unwrap();
        assert_eq!((read[0].groups.len(), read[1].groups.len()), (2, 0));
    }

    #[test]
    fn what_is_not_of_the_question_is_an_error() {
        let order = [order(0, [0, 1], [0, 1], [0, 1])];
        let bytes = written(&order, &[drawn()]).unwrap();
        for wrong in [
            Shape { groups: vec![DataType::Int64, DataType::Utf8], ..shape() },
            Shape { groups: vec![DataType::Utf8], ..shape() },
            Shape { sets: 1, ..shape() },
            Shape { terms: 3, ..shape() },
        ] {
            assert!(read(&order, &bytes, &[wrong]).is_err());
        }
        for length in 0..bytes.len() {
            assert!(read(&order, &bytes[..length], &[shape()]).is_err(), "{length} bytes of {}", bytes.len());
        }
        assert!(read(&order, &[bytes.as_slice(), &[0]].concat(), &[shape()]).is_err());
        assert!(read(&[], &bytes, &[]).is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_an_error(place: prop::sample::Index, other in 1_u8..) {
            let order = [order(0, [0, 1], [0, 1], [0, 1])];
            let mut bytes = written(&order, &[drawn()]).unwrap();
            let place = place.index(bytes.len());
            bytes[place] ^= other;
            prop_assert!(read(&order, &bytes, &[shape()]).is_err());
        }
    }
}
