//! Where the rows of units lie in a snapshot that is sorted by them, so that several readers can each take some units.

use serde_json::{Value, json};

/// Most cells: a table's record holds one number each.
const CELLS: usize = 128;

/// Units of a cell at first, as a power of two.
const FINEST: u32 = 4;

/// How many rows come before certain units: those whose numbers are multiples of 2^`step`, from 0 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitGrid {
    step: u32,
    /// Rows before each cell; rows of nobody belong to the first.
    before: Vec<u64>,
    rows: u64,
}

impl Default for UnitGrid {
    fn default() -> Self {
        Self { step: FINEST, before: vec![0], rows: 0 }
    }
}

impl UnitGrid {
    /// Takes the next row, of this unit or of nobody. Units come in order, nobody first.
    pub(crate) fn see(&mut self, unit: Option<u32>) {
        if let Some(unit) = unit {
            while self.cell(unit) >= CELLS {
                self.coarsen(self.step + 1);
            }
            let cell = self.cell(unit);
            if cell >= self.before.len() {
                self.before.resize(cell + 1, self.rows);
            }
        }
        self.rows += 1;
    }

    fn cell(&self, unit: u32) -> usize {
        usize::try_from(unit >> self.step).unwrap_or(usize::MAX)
    }

    /// Rows in all.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The power of two that all units of a cell start at multiples of.
    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    /// Cells with units in them, and those before.
    pub(crate) fn cells(&self) -> usize {
        self.before.len()
    }

    /// Makes cells larger.
    pub(crate) fn coarsen(&mut self, step: u32) {
        while self.step < step {
            self.before = self.before.iter().step_by(2).copied().collect();
            self.step += 1;
        }
    }

    /// Rows of units before that of a cell's beginning.
    pub(crate) fn rows_before(&self, cell: usize) -> u64 {
        self.before.get(cell).copied().unwrap_or(self.rows)
    }

    /// As it stands in a table's record.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "step": self.step, "before": self.before, "rows": self.rows })
    }

    /// Reads a table's record; `None` for an earlier program's, and for one that cannot be.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let before: Vec<u64> = value.get("before")?.as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
        let (step, rows) = (number("step").and_then(|step| u32::try_from(step).ok())?, number("rows")?);
        let ascends =
            before.is_sorted() && before.first() == Some(&0) && before.last().is_some_and(|last| *last <= rows);
        (ascends && step < u32::BITS && before.len() <= CELLS).then_some(Self { step, before, rows })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_before_a_cell_are_those_of_smaller_units(
            nobody in 0_usize..3,
            mut units in proptest::collection::vec(prop_oneof![0_u32..300, 0_u32..100_000, any::<u32>()], 0..400),
            coarser in 0_u32..4,
        ) {
            units.sort_unstable();
            let mut grid = UnitGrid::default();
            (0..nobody).for_each(|_| grid.see(None));
            units.iter().for_each(|unit| grid.see(Some(*unit)));
            prop_assert_eq!(UnitGrid::from_json(&grid.to_json()), Some(grid.clone()));
            grid.coarsen((grid.step() + coarser).min(31));
            prop_assert!(grid.cells() <= CELLS);
            prop_assert_eq!(grid.rows(), (nobody + units.len()) as u64);
            prop_assert_eq!(grid.rows_before(0), 0);
            for cell in 1..=grid.cells() {
                let start = u64::try_from(cell).unwrap() << grid.step();
                let smaller = units.iter().filter(|unit| u64::from(**unit) < start).count();
                prop_assert_eq!(grid.rows_before(cell), (nobody + smaller) as u64);
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_is_none() {
        for wrong in [
            json!({}),
            json!({"step": 4, "before": [], "rows": 3}),
            json!({"step": 4, "before": [1], "rows": 3}),
            json!({"step": 4, "before": [0, 2, 1], "rows": 3}),
            json!({"step": 4, "before": [0, 4], "rows": 3}),
            json!({"step": 32, "before": [0], "rows": 3}),
        ] {
            assert_eq!(UnitGrid::from_json(&wrong), None, "{wrong}");
        }
    }
}
