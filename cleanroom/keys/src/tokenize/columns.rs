//! Columns of identifiers become columns of tokens.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanBufferBuilder, Decimal128Array, Float64Array, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::error::Unfit;
use super::{TokenizeError, TokenizeOptions};
use crate::normalise::{Normaliser, normaliser};
use crate::phone::Region;
use crate::room_key::RoomKey;
use crate::token::{PREFIX, TEXT_LENGTH};

/// Integers up to this size have one floating point number each.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A column that is tokenised.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) name: String,
    space: String,
    normaliser: Normaliser,
}

/// What became of identifiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) tokenised: u64,
    pub(super) nulls: u64,
    pub(super) bad: u64,
}

/// Why a column of a chunk was not tokenised; rows from 0.
#[derive(Debug)]
pub(super) enum Untokenised {
    Unfit { row: usize, why: Unfit },
    AlreadyToken { row: usize },
    Unreadable,
}

/// The columns to tokenise, found in the input.
pub(super) fn columns(options: &TokenizeOptions, schema: &Schema) -> Result<Vec<Column>, TokenizeError> {
    if options.columns.is_empty() {
        let remedy = "name a column and its identity space, such as `email=email`";
        return Err(TokenizeError::options("no column to tokenise", remedy));
    }
    let region = options.region.as_deref().map(region).transpose()?;
    let mut columns: Vec<Column> = Vec::with_capacity(options.columns.len());
    for (name, space) in &options.columns {
        if !is_space_name(space) {
            let what = format!("`{space}` is no name of an identity space");
            return Err(TokenizeError::options(what, "use 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter"));
        }
        if columns.iter().any(|column| column.name == *name) {
            let what = format!("column `{name}` is named twice");
            return Err(TokenizeError::options(what, "tokenise a column for one identity space"));
        }
        let mut found = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
        let (index, field) = found.next().ok_or_else(|| {
            let count = schema.fields().len();
            let what = format!("there is no column `{name}` among the {count} of the file");
            TokenizeError::input(&options.input, what, "write the name as the file does; case matters")
        })?;
        if found.next().is_some() {
            let what = format!("there is more than one column `{name}`");
            return Err(TokenizeError::input(&options.input, what, "give every column a name of its own"));
        }
        if !is_identifier_type(field.data_type()) {
            let what = format!("column `{name}` holds no identifiers, but {}", type_name(field.data_type()));
            return Err(TokenizeError::input(&options.input, what, "write it as text or as whole numbers"));
        }
        let normaliser = normaliser(space).with_region(region);
        columns.push(Column { index, name: name.clone(), space: space.clone(), normaliser });
    }
    Ok(columns)
}

/// The schema of the output: the input's, with tokens as text. What a program noted in it for itself is left out.
pub(super) fn output_schema(input: &Schema, columns: &[Column]) -> SchemaRef {
    let fields: Vec<Arc<Field>> = input
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| match columns.iter().any(|column| column.index == index) {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

impl Column {
    /// The tokens of identifiers. Those that are not valid become NULL where `skip_bad`, and are counted.
    pub(super) fn tokens(
        &self,
        key: &RoomKey,
        identifiers: &ArrayRef,
        skip_bad: bool,
    ) -> Result<(ArrayRef, Counts), Untokenised> {
        let identifiers = Identifiers::new(identifiers).map_err(|_detail| Untokenised::Unreadable)?;
        let rows = identifiers.len();
        let mut texts = Vec::with_capacity(rows * TEXT_LENGTH);
        let mut valid = BooleanBufferBuilder::new(rows);
        let mut counts = Counts::default();
        let mut hasher = key.hasher(&self.space);
        for row in 0..rows {
            let identifier = identifiers.get(row);
            if matches!(&identifier, Ok(Some(text)) if is_token_like(text)) {
                return Err(Untokenised::AlreadyToken { row });
            }
            let normal = identifier.and_then(|text| self.normal(text));
            valid.append(matches!(normal, Ok(Some(_))));
            match normal {
                Ok(Some(normal)) => {
                    hasher.append_text(&normal, &mut texts);
                    counts.tokenised += 1;
                }
                Ok(None) => counts.nulls += 1,
                Err(_) if skip_bad => counts.bad += 1,
                Err(why) => return Err(Untokenised::Unfit { row, why }),
            }
        }
        let valid = valid.finish();
        let lengths = valid.iter().map(|valid| if valid { TEXT_LENGTH } else { 0 });
        let tokens =
            StringArray::try_new(OffsetBuffer::from_lengths(lengths), texts.into(), Some(NullBuffer::new(valid)))
                .map_err(|_detail| Untokenised::Unreadable)?;
        Ok((Arc::new(tokens), counts))
    }

    fn normal<'a>(&self, text: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, Unfit> {
        match text {
            None => Ok(None),
            Some(Cow::Borrowed(text)) => Ok(self.normaliser.normalise(text)?),
            Some(Cow::Owned(text)) => {
                Ok(self.normaliser.normalise(&text)?.map(|normal| Cow::Owned(normal.into_owned())))
            }
        }
    }
}

/// Whether an identifier begins like a token, white space aside.
fn is_token_like(text: &str) -> bool {
    let spaced = text.bytes().next().is_some_and(|first| !first.is_ascii_graphic());
    if spaced { text.trim_start() } else { text }.starts_with(PREFIX)
}

/// Identifiers such that one has one text whatever its column's type: whole numbers in plain decimal.
enum Identifiers {
    Texts(StringArray),
    Floats(Float64Array),
    Decimals { values: Decimal128Array, one: i128 },
}

impl Identifiers {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        match array.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                Ok(Self::Floats(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone()))
            }
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
                let one = 10_i128.checked_pow(u32::from(scale.unsigned_abs())).unwrap_or(i128::MAX);
                let values = cast(array, &DataType::Decimal128(38, *scale))?;
                Ok(Self::Decimals { values: values.as_primitive::<Decimal128Type>().clone(), one })
            }
            _ => Ok(Self::Texts(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Decimals { values, .. } => values.len(),
        }
    }

    fn get(&self, row: usize) -> Result<Option<Cow<'_, str>>, Unfit> {
        match self {
            Self::Texts(values) if values.is_valid(row) => Ok(Some(Cow::Borrowed(values.value(row)))),
            Self::Floats(values) if values.is_valid(row) => match values.value(row) {
                #[expect(clippy::cast_possible_truncation, reason = "below 2^53 and whole")]
                value if value.fract() == 0.0 && value.abs() <= EXACT => {
                    Ok(Some(Cow::Owned((value as i64).to_string())))
                }
                _ => Err(Unfit::NotWhole),
            },
            Self::Decimals { values, one } if values.is_valid(row) => match values.value(row) {
                value if value % one == 0 => Ok(Some(Cow::Owned((value / one).to_string()))),
                _ => Err(Unfit::NotWhole),
            },
            _ => Ok(None),
        }
    }
}

fn region(text: &str) -> Result<Region, TokenizeError> {
    text.parse().map_err(|_unknown| {
        TokenizeError::options(format!("`{text}` is not a country"), "name it by its two letters, such as `DE`")
    })
}

/// The rule for the names of identity spaces in policies: another spelling of one would give other tokens.
fn is_space_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    name.len() <= 63 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(rest)
}

fn is_identifier_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => {
            matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => *scale >= 0,
        other => other.is_integer() || other.is_floating(),
    }
}

fn type_name(data_type: &DataType) -> String {
    if data_type.is_nested() { "nested data".to_owned() } else { data_type.to_string() }
}
