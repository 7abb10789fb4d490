//! Fields of a CSV file that come as arrays of text: read as if the CSV file itself had come.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;

use super::super::arrays::BadValue;
use super::super::layout::{SourceColumn, Want};
use super::Column;
use super::cell::{self, Cell, Seen};

/// A column of such fields in the first reading.
pub(crate) struct TextColumn {
    want: Want,
    seen: Seen,
}

impl TextColumn {
    pub(crate) fn new(want: Want) -> Self {
        Self { want, seen: Seen::Nothing }
    }

    pub(crate) fn observe(&mut self, fields: &StringArray) -> Result<(), BadValue> {
        for (row, field) in fields.iter().enumerate() {
            self.seen = self.seen.observe(self.want, bare(field)).map_err(|what| BadValue { row, what })?;
        }
        Ok(())
    }

    pub(crate) fn finish(&self, name: &str) -> SourceColumn {
        self.seen.column(name, self.want)
    }
}

/// The second reading: fields in the type found by the first one. `None` where no text becomes that type.
pub(crate) fn typed(fields: &StringArray, want: Want, data_type: &DataType) -> Option<Result<ArrayRef, BadValue>> {
    let (mut column, utc) = (Column::new(want, data_type)?, cell::utc()?);
    let mut fields = fields.iter().enumerate();
    let pushed =
        fields.try_for_each(|(row, field)| column.push(bare(field), &utc).map_err(|what| BadValue { row, what }));
    Some(pushed.map(|()| column.finish()))
}

fn bare(field: Option<&str>) -> Cell<'_> {
    field.filter(|field| !field.is_empty()).map_or(Cell::Null, Cell::Bare)
}
