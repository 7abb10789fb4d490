//! Sets of constants that a value can be, and what operators make of them.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use crate::check::union::tells_apart;

/// Most values that are told one by one.
const MAX_VALUES: usize = 16;

/// A constant of a type of which nothing is told: with it among them, values can be anything.
const UNTOLD: ScalarValue = ScalarValue::Float64(Some(0.0));

/// Constants that a value can be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Anything, or NULL.
    Any,
    /// Anything but NULL.
    NotNull,
    /// A whole number that is not zero or less.
    AtLeastOne,
    /// One of these, each once.
    Of(Vec<ScalarValue>),
}

impl Values {
    pub(super) fn one(value: &ScalarValue) -> Self {
        if value.is_null() {
            Self::null()
        } else if tells_apart(value) {
            Self::Of(vec![value.clone()])
        } else {
            Self::NotNull
        }
    }

    pub(super) fn null() -> Self {
        Self::Of(vec![ScalarValue::Null])
    }

    pub(super) fn truth(value: bool) -> Self {
        Self::Of(vec![ScalarValue::Boolean(Some(value))])
    }

    pub(super) fn no_value() -> Self {
        Self::Of(Vec::new())
    }

    /// One of these texts, numbers or truth values, or NULL.
    pub(super) fn listed(values: impl IntoIterator<Item = ScalarValue>) -> Self {
        let mut listed: Vec<ScalarValue> = Vec::new();
        for value in values {
            if !value.is_null() && !tells_apart(&value) {
                return Self::Any;
            }
            let value = if value.is_null() { ScalarValue::Null } else { value };
            if !listed.contains(&value) {
                listed.push(value);
            }
        }
        if listed.len() <= MAX_VALUES {
            Self::Of(listed)
        } else if listed.iter().any(ScalarValue::is_null) {
            Self::Any
        } else {
            Self::NotNull
        }
    }

    pub(super) fn can_be_null(&self) -> bool {
        match self {
            Self::Any => true,
            Self::NotNull | Self::AtLeastOne => false,
            Self::Of(values) => values.iter().any(ScalarValue::is_null),
        }
    }

    pub(super) fn can_be_more_than_null(&self) -> bool {
        match self {
            Self::Any | Self::NotNull | Self::AtLeastOne => true,
            Self::Of(values) => values.iter().any(|value| !value.is_null()),
        }
    }

    /// The truth values among them: true, false, NULL.
    pub(super) fn truths(&self) -> [bool; 3] {
        match self {
            Self::Any => [true; 3],
            Self::NotNull | Self::AtLeastOne => [true, true, false],
            Self::Of(values) => values.iter().fold([false; 3], |[yes, no, null], value| match value {
                ScalarValue::Boolean(Some(true)) => [true, no, null],
                ScalarValue::Boolean(Some(false)) => [yes, true, null],
                value if value.is_null() => [yes, no, true],
                _ => [true; 3],
            }),
        }
    }

    pub(super) fn of_truths([yes, no, null]: [bool; 3]) -> Self {
        let values = [(yes, Some(true)), (no, Some(false)), (null, None)];
        Self::listed(values.into_iter().filter(|(can, _truth)| *can).map(|(_can, truth)| ScalarValue::Boolean(truth)))
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Of(one), Self::Of(other)) => Self::listed(one.iter().chain(other).cloned()),
            (Self::AtLeastOne, Self::AtLeastOne) => Self::AtLeastOne,
            (Self::AtLeastOne, Self::Of(none)) | (Self::Of(none), Self::AtLeastOne) if none.is_empty() => {
                Self::AtLeastOne
            }
            _ if self.can_be_null() || other.can_be_null() => Self::Any,
            _ => Self::NotNull,
        }
    }

    /// Those that are not NULL.
    pub(super) fn not_null(&self) -> Self {
        match self {
            Self::Any | Self::NotNull => Self::NotNull,
            Self::AtLeastOne => Self::AtLeastOne,
            Self::Of(values) => Self::Of(values.iter().filter(|value| !value.is_null()).cloned().collect()),
        }
    }

    /// Whether no value is among both.
    pub(super) fn apart(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Of(one), Self::Of(other)) => one.iter().all(|one| other.iter().all(|other| differ(one, other))),
            (Self::AtLeastOne, Self::Of(values)) | (Self::Of(values), Self::AtLeastOne) => {
                values.iter().all(|value| value.is_null() || less_than_one(value))
            }
            (Self::NotNull | Self::AtLeastOne, other) | (other, Self::NotNull | Self::AtLeastOne) => {
                !other.can_be_more_than_null()
            }
            (Self::Any, other) | (other, Self::Any) => *other == Self::no_value(),
        }
    }

    /// The values that two operands give.
    pub(super) fn of_pairs(&self, other: &Self, result: impl Fn(&ScalarValue, &ScalarValue) -> ScalarValue) -> Self {
        match (self, other) {
            (Self::Of(one), Self::Of(other)) => Self::listed(
                one.iter().flat_map(|one| other.iter().map(|other| result(one, other)).collect::<Vec<_>>()),
            ),
            _ => Self::Any,
        }
    }
}

/// A whole number, of the type of counts, that no count of rows is.
fn less_than_one(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Int64(Some(number)) if *number < 1)
}

/// Whether the engine's groups keep two constants of one column apart.
pub(super) fn differ(one: &ScalarValue, other: &ScalarValue) -> bool {
    one != other && (one.is_null() || other.is_null() || one.data_type() == other.data_type())
}

pub(super) fn binary(left: &Values, op: Operator, right: &Values) -> Values {
    let (one, other) = (left.truths(), right.truths());
    match op {
        Operator::And => Values::of_truths([
            one[0] && other[0],
            one[1] || other[1],
            one[2] && (other[0] || other[2]) || other[2] && (one[0] || one[2]),
        ]),
        Operator::Or => Values::of_truths([
            one[0] || other[0],
            one[1] && other[1],
            one[2] && (other[1] || other[2]) || other[2] && (one[1] || one[2]),
        ]),
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
            match (left, right) {
                (Values::Of(one), Values::Of(other)) => {
                    let mut can = [false; 3];
                    for (one, other) in one.iter().flat_map(|one| other.iter().map(move |other| (one, other))) {
                        match compared(one, op, other) {
                            Some(Some(true)) => can[0] = true,
                            Some(Some(false)) => can[1] = true,
                            Some(None) => can[2] = true,
                            None => can = [true; 3],
                        }
                    }
                    Values::of_truths(can)
                }
                (Values::AtLeastOne, Values::Of(values)) => count_compared(op, values),
                (Values::Of(values), Values::AtLeastOne) => {
                    op.swap().map_or(Values::of_truths([true; 3]), |op| count_compared(op, values))
                }
                _ => any_truth(left, right),
            }
        }
        Operator::StringConcat => left.of_pairs(right, |one, other| match (one, other) {
            (ScalarValue::Utf8(Some(one)), ScalarValue::Utf8(Some(other))) => {
                ScalarValue::Utf8(Some(format!("{one}{other}")))
            }
            (one, other) if one.is_null() || other.is_null() => ScalarValue::Null,
            _ => UNTOLD,
        }),
        Operator::Plus | Operator::Minus | Operator::Multiply => {
            left.of_pairs(right, |one, other| match (one, other) {
                (ScalarValue::Int64(Some(one)), ScalarValue::Int64(Some(other))) => {
                    let result = match op {
                        Operator::Plus => one.checked_add(*other),
                        Operator::Minus => one.checked_sub(*other),
                        _ => one.checked_mul(*other),
                    };
                    result.map_or(UNTOLD, |result| ScalarValue::Int64(Some(result)))
                }
                (one, other) if one.is_null() || other.is_null() => ScalarValue::Null,
                _ => UNTOLD,
            })
        }
        _ => Values::Any,
    }
}

/// What a comparison of two values can be of which no more is known than whether they can be NULL.
fn any_truth(left: &Values, right: &Values) -> Values {
    let both = left.can_be_more_than_null() && right.can_be_more_than_null();
    Values::of_truths([both, both, left.can_be_null() || right.can_be_null()])
}

/// A count of rows that there are, compared with constants.
fn count_compared(op: Operator, values: &[ScalarValue]) -> Values {
    let known = |value: &ScalarValue| match (value, op) {
        (ScalarValue::Int64(Some(..=0)), Operator::Gt | Operator::GtEq | Operator::NotEq) => Some(true),
        (ScalarValue::Int64(Some(..=0)), Operator::Eq | Operator::Lt | Operator::LtEq) => Some(false),
        (ScalarValue::Int64(Some(1)), Operator::GtEq) => Some(true),
        (ScalarValue::Int64(Some(1)), Operator::Lt) => Some(false),
        _ => None,
    };
    match values.iter().map(known).collect::<Option<Vec<bool>>>() {
        Some(known) => Values::of_truths([known.contains(&true), known.contains(&false), false]),
        None => any_truth(&Values::AtLeastOne, &Values::Of(values.to_vec())),
    }
}

/// The least, or greatest, of two values. The engine passes over NULL.
pub(super) fn beyond(one: &Values, other: &Values, greatest: bool) -> Values {
    let least_one = |value: &ScalarValue| matches!(value, ScalarValue::Int64(Some(1..)));
    let whole = |value: &ScalarValue| matches!(value, ScalarValue::Int64(Some(_)));
    match (one, other) {
        (Values::AtLeastOne, Values::AtLeastOne) => Values::AtLeastOne,
        (Values::AtLeastOne, Values::Of(values)) | (Values::Of(values), Values::AtLeastOne)
            if values.iter().all(if greatest { whole } else { least_one }) =>
        {
            Values::AtLeastOne
        }
        (Values::AtLeastOne, Values::Of(values)) | (Values::Of(values), Values::AtLeastOne)
            if values.iter().all(less_than_one) =>
        {
            Values::Of(values.clone())
        }
        (Values::Of(_), Values::Of(_)) => one.of_pairs(other, |one, other| match (one, other) {
            (ScalarValue::Int64(Some(one)), ScalarValue::Int64(Some(other))) => {
                ScalarValue::Int64(Some(if greatest { *one.max(other) } else { *one.min(other) }))
            }
            (one, other) if one.is_null() => other.clone(),
            (one, other) if other.is_null() => one.clone(),
            _ => UNTOLD,
        }),
        _ => Values::Any,
    }
}

/// `None` where it is not known how the engine compares the two.
fn compared(one: &ScalarValue, op: Operator, other: &ScalarValue) -> Option<Option<bool>> {
    use std::cmp::Ordering;
    if one.is_null() || other.is_null() {
        return Some(None);
    }
    if one.data_type() != other.data_type() {
        return None;
    }
    let order = one.partial_cmp(other)?;
    Some(Some(match op {
        Operator::Eq => order == Ordering::Equal,
        Operator::NotEq => order != Ordering::Equal,
        Operator::Lt => order == Ordering::Less,
        Operator::LtEq => order != Ordering::Greater,
        Operator::Gt => order == Ordering::Greater,
        Operator::GtEq => order != Ordering::Less,
        _ => return None,
    }))
}

/// The values in another type.
pub(super) fn cast_to(value: &Values, to: &DataType) -> Values {
    match value {
        Values::Of(values) => {
            let cast: Option<Vec<ScalarValue>> = values
                .iter()
                .map(|value| if value.is_null() { Some(ScalarValue::Null) } else { value.cast_to(to).ok() })
                .collect();
            let none_is_null = cast.as_ref().is_some_and(|cast| !cast.iter().any(ScalarValue::is_null));
            match cast.map_or(Values::Any, Values::listed) {
                Values::Any if none_is_null => Values::NotNull,
                listed => listed,
            }
        }
        Values::AtLeastOne if *to == DataType::Int64 => Values::AtLeastOne,
        Values::Any | Values::NotNull | Values::AtLeastOne => Values::Any,
    }
}
