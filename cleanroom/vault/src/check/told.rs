//! What an expression can be, by which optional sides of the rows found a match.
//!
//! A group or condition tells matched rows from others by the question's own structure where none of its values can come of
//! both. That is found out without a row: the expression is evaluated once for each way in which the places can have matched,
//! over sets of constants; whatever is not known can be anything. Sets only ever hold too much, so what is found apart is.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};

use super::expression::Scope;
use super::label::Instance;
use super::union::tells_apart;

/// Most places that an expression is evaluated for, and most values that are told one by one.
const MAX_PLACES: usize = 4;
const MAX_VALUES: usize = 16;

/// What a value can be, by which places matched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// In ascending order.
    places: Vec<Instance>,
    /// For each set of places that matched: bit `i` of the position stands for `places[i]`.
    values: Vec<Values>,
}

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
    fn one(value: &ScalarValue) -> Self {
        if value.is_null() {
            Self::null()
        } else if tells_apart(value) {
            Self::Of(vec![value.clone()])
        } else {
            Self::NotNull
        }
    }

    fn null() -> Self {
        Self::Of(vec![ScalarValue::Null])
    }

    fn truth(value: bool) -> Self {
        Self::Of(vec![ScalarValue::Boolean(Some(value))])
    }

    fn no_value() -> Self {
        Self::Of(Vec::new())
    }

    /// One of these texts, numbers or truth values, or NULL.
    fn listed(values: impl IntoIterator<Item = ScalarValue>) -> Self {
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

    fn can_be_null(&self) -> bool {
        match self {
            Self::Any => true,
            Self::NotNull | Self::AtLeastOne => false,
            Self::Of(values) => values.iter().any(ScalarValue::is_null),
        }
    }

    fn can_be_more_than_null(&self) -> bool {
        match self {
            Self::Any | Self::NotNull | Self::AtLeastOne => true,
            Self::Of(values) => values.iter().any(|value| !value.is_null()),
        }
    }

    /// The truth values among them: true, false, NULL.
    fn truths(&self) -> [bool; 3] {
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

    fn of_truths([yes, no, null]: [bool; 3]) -> Self {
        let values = [(yes, Some(true)), (no, Some(false)), (null, None)];
        Self::listed(values.into_iter().filter(|(can, _truth)| *can).map(|(_can, truth)| ScalarValue::Boolean(truth)))
    }

    fn or(&self, other: &Self) -> Self {
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
    fn not_null(&self) -> Self {
        match self {
            Self::Any | Self::NotNull => Self::NotNull,
            Self::AtLeastOne => Self::AtLeastOne,
            Self::Of(values) => Self::Of(values.iter().filter(|value| !value.is_null()).cloned().collect()),
        }
    }

    /// Whether no value is among both.
    fn apart(&self, other: &Self) -> bool {
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
    fn of_pairs(&self, other: &Self, result: impl Fn(&ScalarValue, &ScalarValue) -> ScalarValue) -> Self {
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
fn differ(one: &ScalarValue, other: &ScalarValue) -> bool {
    one != other && (one.is_null() || other.is_null() || one.data_type() == other.data_type())
}

impl Told {
    pub(crate) fn any() -> Self {
        Self { places: Vec::new(), values: vec![Values::Any] }
    }

    pub(crate) fn not_null() -> Self {
        Self { places: Vec::new(), values: vec![Values::NotNull] }
    }

    /// A count of rows that there are.
    pub(crate) fn at_least_one() -> Self {
        Self { places: Vec::new(), values: vec![Values::AtLeastOne] }
    }

    fn constant(value: &ScalarValue) -> Self {
        Self { places: Vec::new(), values: vec![Values::one(value)] }
    }

    /// Whether a place matched.
    pub(crate) fn flag(place: Instance) -> Self {
        Self { places: vec![place], values: vec![Values::truth(false), Values::truth(true)] }
    }

    fn at(&self, places: &[Instance], matched: usize) -> &Values {
        let bit = |(bit, place): (usize, &Instance)| {
            places.iter().position(|known| known == place).map_or(0, |known| (matched >> known & 1) << bit)
        };
        let position: usize = self.places.iter().enumerate().map(bit).sum();
        self.values.get(position).unwrap_or(&Values::Any)
    }

    /// What is computed of several values.
    fn computed(parts: &[&Self], result: impl Fn(&[&Values]) -> Values) -> Self {
        let mut places: Vec<Instance> = parts.iter().flat_map(|part| part.places.iter().copied()).collect();
        places.sort_unstable();
        places.dedup();
        if places.len() > MAX_PLACES {
            return Self::any();
        }
        let values = (0..1_usize << places.len())
            .map(|matched| result(&parts.iter().map(|part| part.at(&places, matched)).collect::<Vec<_>>()))
            .collect();
        Self { places, values }
    }

    fn map(&self, result: impl Fn(&Values) -> Values) -> Self {
        Self { places: self.places.clone(), values: self.values.iter().map(result).collect() }
    }

    /// The same once it is known of some places whether they matched: `None` where their rows are no side of an outer join.
    pub(crate) fn settled(&self, known: impl Fn(Instance) -> Option<Settled>) -> Self {
        let mut told = self.clone();
        for place in &self.places {
            let keep = match known(*place) {
                Some(Settled::Open) => continue,
                Some(Settled::Matched) => 1,
                Some(Settled::Unmatched) => 0,
                None => return Self::any(),
            };
            let Some(at) = told.places.iter().position(|known| known == place) else { continue };
            let values = told.values.iter().enumerate();
            let values = values.filter(|(matched, _values)| matched >> at & 1 == keep);
            told.values = values.map(|(_matched, values)| values.clone()).collect();
            told.places.remove(at);
        }
        told
    }

    /// On the side of an outer join that need not match, and that `place` stands in every row of: NULL where it does not.
    pub(crate) fn made_optional(&self, place: Option<Instance>) -> Self {
        let Some(place) = place else { return Self::any() };
        Self::computed(&[self, &Self::flag(place)], |parts| match parts {
            [value, flag] if flag.truths() == [true, false, false] => (*value).clone(),
            // The places within match with that one or not at all.
            _ => Values::null(),
        })
    }

    /// Of a group of rows of one unit, each of which has this value: a place matched where it did in one of them.
    pub(crate) fn in_each_row(&self) -> Self {
        self.over_rows(|sets| {
            sets.iter().skip(1).fold(sets.first().cloned().unwrap_or(Values::Any), |one, other| match (one, other) {
                (Values::Of(one), Values::Of(other)) => Values::Of(
                    one.into_iter().filter(|value| !other.iter().all(|other| differ(value, other))).collect(),
                ),
                (Values::Of(one), _) => Values::Of(one),
                (_, other) => other.clone(),
            })
        })
    }

    /// The greatest, or least, value of rows of one unit.
    pub(crate) fn extreme(&self, greatest: bool) -> Self {
        let beyond = |one: &ScalarValue, other: &ScalarValue| {
            let order = one.partial_cmp(other);
            if greatest {
                order.is_some_and(std::cmp::Ordering::is_lt)
            } else {
                order.is_some_and(std::cmp::Ordering::is_gt)
            }
        };
        let values = (0..self.values.len()).map(|matched| {
            let all = self.among(matched, None);
            let mut can = all.clone();
            for bit in (0..self.places.len()).filter(|bit| matched >> bit & 1 == 1) {
                // One row at least has one of these, and what is beyond all of them is not the greatest.
                let one_row = self.among(matched, Some(bit));
                can = match (can, &one_row) {
                    (Values::Of(can), Values::Of(one_row)) if !one_row.iter().any(ScalarValue::is_null) => Values::Of(
                        can.into_iter()
                            .filter(|value| !value.is_null() && !one_row.iter().all(|least| beyond(value, least)))
                            .collect(),
                    ),
                    (can, one_row) if !one_row.can_be_null() => can.not_null(),
                    (can, _one_row) => can,
                };
            }
            can
        });
        Self { places: self.places.clone(), values: values.collect() }
    }

    /// What rows can have of which together just these places matched, or those of them of which one did.
    fn among(&self, matched: usize, bit: Option<usize>) -> Values {
        let within = self
            .values
            .iter()
            .enumerate()
            .filter(|(row, _values)| row & !matched == 0 && bit.is_none_or(|bit| row >> bit & 1 == 1));
        within.fold(Values::no_value(), |all, (_row, values)| all.or(values))
    }

    fn over_rows(&self, result: impl Fn(&[Values]) -> Values) -> Self {
        let values = (0..self.values.len()).map(|matched| {
            let bits = (0..self.places.len()).filter(|bit| matched >> bit & 1 == 1);
            let sets: Vec<Values> = bits.map(|bit| self.among(matched, Some(bit))).collect();
            if sets.is_empty() { self.among(0, None) } else { result(&sets) }
        });
        Self { places: self.places.clone(), values: values.collect() }
    }

    /// Whether it is 1 or 0 in every row, or NULL.
    pub(super) fn is_flag(&self) -> bool {
        let flag = |value: &ScalarValue| {
            value.is_null()
                || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
                || ScalarValue::new_one(&value.data_type()).is_ok_and(|one| one == *value)
        };
        self.values.iter().all(|values| matches!(values, Values::Of(values) if values.iter().all(flag)))
    }

    /// Whether it is NULL in no row.
    pub(super) fn is_never_null(&self) -> bool {
        !self.values.iter().any(Values::can_be_null)
    }

    /// The places for which it being true tells whether they matched.
    pub(crate) fn when_true(&self) -> Vec<(Instance, bool)> {
        let can = |bit: usize, matched: usize| {
            self.values.iter().enumerate().any(|(row, values)| {
                let [yes, _no, _null] = values.truths();
                yes && row >> bit & 1 == matched
            })
        };
        let told = self.places.iter().enumerate().filter_map(|(bit, place)| match (can(bit, 0), can(bit, 1)) {
            (false, true) => Some((*place, true)),
            (true, false) => Some((*place, false)),
            (true, true) | (false, false) => None,
        });
        told.collect()
    }
}

/// What is known of a place in all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Open,
    Matched,
    Unmatched,
}

/// The places that groups tell apart: no group holds rows in which one matched and rows in which it did not. `possible` says
/// which of the places (bit `i` for the `i`-th of those it is given) can have matched together.
pub(crate) fn told_apart(groups: &[Told], possible: &dyn Fn(&[Instance], usize) -> bool) -> Vec<Instance> {
    let mut places: Vec<Instance> = groups.iter().flat_map(|group| group.places.iter().copied()).collect();
    places.sort_unstable();
    places.dedup();
    if places.len() > MAX_PLACES {
        // Too many to look at together: one by one tells less, and nothing wrong.
        let alone = groups.iter().filter(|group| group.places.len() <= MAX_PLACES);
        return alone.flat_map(|group| told_apart(std::slice::from_ref(group), possible)).collect();
    }
    let ways: Vec<usize> = (0..1_usize << places.len()).filter(|matched| possible(&places, *matched)).collect();
    let apart =
        |one: usize, other: usize| groups.iter().any(|group| group.at(&places, one).apart(group.at(&places, other)));
    let told = places.iter().enumerate().filter(|(bit, _place)| {
        let with = ways.iter().filter(|way| **way >> bit & 1 == 1);
        with.flat_map(|one| ways.iter().map(move |other| (*one, *other)))
            .filter(|(_one, other)| other >> bit & 1 == 0)
            .all(|(one, other)| apart(one, other))
    });
    told.map(|(_bit, place)| *place).collect()
}

/// What an expression can be.
pub(crate) fn told(expr: &Expr, scope: &Scope<'_>) -> Told {
    match expr {
        Expr::Column(column) => scope.label(column).map_or_else(|_none| Told::any(), |label| label.told.clone()),
        Expr::Literal(value, _metadata) => Told::constant(value),
        Expr::Alias(alias) => told(&alias.expr, scope),
        Expr::Cast(cast) => cast_to(&in_type(&cast.expr, scope), cast.field.data_type()),
        Expr::TryCast(cast) => cast_to(&in_type(&cast.expr, scope), cast.field.data_type()),
        Expr::Not(inner) => truth(inner, scope, |[yes, no, null]| [no, yes, null]),
        Expr::IsTrue(inner) => truth(inner, scope, |[yes, no, null]| [yes, no || null, false]),
        Expr::IsNotTrue(inner) => truth(inner, scope, |[yes, no, null]| [no || null, yes, false]),
        Expr::IsFalse(inner) => truth(inner, scope, |[yes, no, null]| [no, yes || null, false]),
        Expr::IsNotFalse(inner) => truth(inner, scope, |[yes, no, null]| [yes || null, no, false]),
        Expr::IsUnknown(inner) | Expr::IsNull(inner) => told(inner, scope)
            .map(|value| Values::of_truths([value.can_be_null(), value.can_be_more_than_null(), false])),
        Expr::IsNotUnknown(inner) | Expr::IsNotNull(inner) => told(inner, scope)
            .map(|value| Values::of_truths([value.can_be_more_than_null(), value.can_be_null(), false])),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (left, right) = (told(left, scope), told(right, scope));
            Told::computed(&[&left, &right], |parts| match parts {
                [left, right] => binary(left, *op, right),
                _ => Values::Any,
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let parts: Vec<Told> = std::iter::once(expr.as_ref()).chain(list).map(|part| told(part, scope)).collect();
            Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
                let Some((value, list)) = parts.split_first() else { return Values::Any };
                let equal = list.iter().map(|item| binary(value, Operator::Eq, item));
                let within = equal.fold(Values::truth(false), |one, other| binary(&one, Operator::Or, &other));
                let [yes, no, null] = within.truths();
                if *negated { Values::of_truths([no, yes, null]) } else { within }
            })
        }
        Expr::Case(case) => of_case(case, scope),
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "nvl" | "ifnull") => {
            let parts: Vec<Told> = call.args.iter().map(|part| told(part, scope)).collect();
            Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
                let mut can = Values::no_value();
                for part in parts {
                    can = can.or(&part.not_null());
                    if !part.can_be_null() {
                        return can;
                    }
                }
                can.or(&Values::null())
            })
        }
        // Anything else can be anything.
        _ => Told::any(),
    }
}

/// What an expression can be; of one that is true or false, no more than that.
fn in_type(expr: &Expr, scope: &Scope<'_>) -> Told {
    let told = told(expr, scope);
    if scope.data_type(expr).is_ok_and(|data_type| data_type == DataType::Boolean) {
        told.map(|value| Values::of_truths(value.truths()))
    } else {
        told
    }
}

fn truth(inner: &Expr, scope: &Scope<'_>, result: impl Fn([bool; 3]) -> [bool; 3]) -> Told {
    told(inner, scope).map(|value| Values::of_truths(result(value.truths())))
}

fn cast_to(value: &Told, to: &DataType) -> Told {
    value.map(|value| match value {
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
    })
}

fn binary(left: &Values, op: Operator, right: &Values) -> Values {
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
                (Values::AtLeastOne, Values::Of(values)) if values.iter().all(less_than_one) => {
                    let above = matches!(op, Operator::Gt | Operator::GtEq | Operator::NotEq);
                    Values::truth(above)
                }
                _ => Values::of_truths([
                    left.can_be_more_than_null() && right.can_be_more_than_null(),
                    left.can_be_more_than_null() && right.can_be_more_than_null(),
                    left.can_be_null() || right.can_be_null(),
                ]),
            }
        }
        Operator::StringConcat => left.of_pairs(right, |one, other| match (one, other) {
            (ScalarValue::Utf8(Some(one)), ScalarValue::Utf8(Some(other))) => {
                ScalarValue::Utf8(Some(format!("{one}{other}")))
            }
            (one, other) if one.is_null() || other.is_null() => ScalarValue::Null,
            // Of another type: nothing is told of it.
            _ => ScalarValue::Float64(Some(0.0)),
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

fn of_case(case: &Case, scope: &Scope<'_>) -> Told {
    let mut parts: Vec<Told> = case.expr.iter().map(|base| told(base, scope)).collect();
    for (when, then) in &case.when_then_expr {
        parts.push(told(when, scope));
        parts.push(told(then, scope));
    }
    parts
        .push(case.else_expr.as_deref().map_or_else(|| Told::constant(&ScalarValue::Null), |other| told(other, scope)));
    let has_base = case.expr.is_some();
    Told::computed(&parts.iter().collect::<Vec<_>>(), |parts| {
        let (base, parts) = match parts.split_first() {
            Some((base, parts)) if has_base => (Some(*base), parts),
            _ => (None, parts),
        };
        let Some((otherwise, branches)) = parts.split_last() else { return Values::Any };
        let mut can = Values::no_value();
        for branch in branches.chunks_exact(2) {
            let [when, then] = branch else { return Values::Any };
            let [yes, no, null] = match base {
                Some(base) => binary(base, Operator::Eq, when).truths(),
                None => when.truths(),
            };
            if yes {
                can = can.or(then);
            }
            if !no && !null {
                return can;
            }
        }
        can.or(otherwise)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(_places: &[Instance], _matched: usize) -> bool {
        true
    }

    fn values(told: &Told) -> Vec<Vec<Option<i64>>> {
        told.values
            .iter()
            .map(|values| match values {
                Values::Of(values) => values
                    .iter()
                    .map(|value| match value {
                        ScalarValue::Int64(value) => *value,
                        _ => None,
                    })
                    .collect(),
                Values::Any | Values::NotNull | Values::AtLeastOne => vec![Some(-1)],
            })
            .collect()
    }

    fn numbers(place: Instance, without: i64, with: i64) -> Told {
        Told::computed(&[&Told::flag(place)], |parts| match parts {
            [flag] if flag.truths()[0] => Values::one(&ScalarValue::Int64(Some(with))),
            _ => Values::one(&ScalarValue::Int64(Some(without))),
        })
    }

    #[test]
    fn the_greatest_of_a_flag_tells_whether_any_row_matched_and_the_least_of_it_does_not() {
        assert_eq!(values(&numbers(3, 0, 1).extreme(true)), [vec![Some(0)], vec![Some(1)]]);
        assert_eq!(values(&numbers(3, 0, 1).extreme(false)), [vec![Some(0)], vec![Some(0), Some(1)]]);
        assert_eq!(values(&numbers(3, 1, 0).extreme(false)), [vec![Some(1)], vec![Some(0)]]);
        assert_eq!(told_apart(&[numbers(3, 0, 1).extreme(true)], &all), [3]);
        assert!(told_apart(&[numbers(3, 0, 1).extreme(false)], &all).is_empty());
    }

    #[test]
    fn rows_of_one_value_matched_as_the_value_says() {
        assert_eq!(told_apart(&[numbers(3, 0, 1).in_each_row()], &all), [3]);
        // Of two places either may have matched in another of the rows.
        let two = Told::computed(&[&numbers(1, 0, 1), &numbers(2, 0, 1)], |parts| match parts {
            [one, other] => binary(one, Operator::Eq, other),
            _ => Values::Any,
        });
        assert!(told_apart(&[two.in_each_row()], &all).is_empty());
    }

    #[test]
    fn what_is_on_an_optional_side_is_null_without_a_match() {
        let one = Told::constant(&ScalarValue::Int64(Some(1))).made_optional(Some(7));
        assert_eq!(values(&one), [vec![None], vec![Some(1)]]);
        assert_eq!(told_apart(&[one], &all), [7]);
        assert_eq!(told_apart(&[Told::not_null().made_optional(Some(7))], &all), [7]);
        assert!(told_apart(&[Told::any().made_optional(Some(7))], &all).is_empty());
        // A flag that is settled tells no more.
        let flag = Told::flag(7).settled(|_place| Some(Settled::Unmatched)).made_optional(Some(7));
        assert_eq!(flag.values, [Values::null(), Values::truth(false)]);
    }

    #[test]
    fn a_count_of_rows_that_there_are_is_not_zero() {
        let count = Told::at_least_one().made_optional(Some(7));
        let zero = Told::constant(&ScalarValue::Int64(Some(0)));
        let or = |other: &Told| {
            Told::computed(&[&count, other], |parts| match parts {
                [count, other] if count.can_be_null() => count.not_null().or(other),
                [count, _other] => (*count).clone(),
                _ => Values::Any,
            })
        };
        assert_eq!(told_apart(&[or(&zero)], &all), [7]);
        assert!(told_apart(&[or(&Told::constant(&ScalarValue::Int64(Some(1))))], &all).is_empty());
        // Of another type the engine may not keep them apart.
        assert!(told_apart(&[or(&Told::constant(&ScalarValue::Float64(Some(0.0))))], &all).is_empty());
        // What may be zero, or anything, is not told from zero.
        assert!(Values::AtLeastOne.or(&Values::NotNull).apart(&Values::Of(vec![])));
        assert!(!Values::AtLeastOne.or(&Values::NotNull).apart(&Values::one(&ScalarValue::Int64(Some(0)))));
        assert!(!Values::AtLeastOne.apart(&Values::AtLeastOne) && !Values::AtLeastOne.apart(&Values::Any));
    }

    #[test]
    fn a_condition_tells_only_what_every_row_that_meets_it_has() {
        assert_eq!(Told::flag(2).when_true(), [(2, true)]);
        assert_eq!(
            Told::flag(2).map(|flag| binary(flag, Operator::Eq, &Values::truth(false))).when_true(),
            [(2, false)]
        );
        let either = Told::computed(&[&Told::flag(1), &Told::flag(2)], |parts| match parts {
            [one, other] => binary(one, Operator::Or, other),
            _ => Values::Any,
        });
        assert!(either.when_true().is_empty());
        assert!(Told::any().when_true().is_empty());
    }

    #[test]
    fn constants_that_groups_may_not_keep_apart_are_not_told_apart() {
        let zero = |value: f64| Told::constant(&ScalarValue::Float64(Some(value)));
        let signs = Told::computed(&[&Told::flag(1), &zero(0.0), &zero(-0.0)], |parts| match parts {
            [flag, one, _other] if flag.truths()[0] => (*one).clone(),
            [_flag, _one, other] => (*other).clone(),
            _ => Values::Any,
        });
        assert!(told_apart(&[signs], &all).is_empty());
    }
}
