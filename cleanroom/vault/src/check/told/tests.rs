use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::values::binary;
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
    assert_eq!(Told::flag(2).map(|flag| binary(flag, Operator::Eq, &Values::truth(false))).when_true(), [(2, false)]);
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

#[test]
fn a_count_of_rows_that_there_are_is_one_or_more() {
    let compared =
        |op, constant: i64| binary(&Values::AtLeastOne, op, &Values::one(&ScalarValue::Int64(Some(constant))));
    assert_eq!(compared(Operator::GtEq, 1), Values::truth(true));
    assert_eq!(compared(Operator::Lt, 1), Values::truth(false));
    assert_eq!(compared(Operator::Gt, 0), Values::truth(true));
    for (op, constant) in [(Operator::Gt, 1), (Operator::Eq, 1), (Operator::LtEq, 1), (Operator::GtEq, 2)] {
        assert_eq!(compared(op, constant).truths(), [true, true, false], "{op} {constant}");
    }
    let swapped = binary(&Values::one(&ScalarValue::Int64(Some(1))), Operator::LtEq, &Values::AtLeastOne);
    assert_eq!(swapped, Values::truth(true));
    let number = |number: i64| Values::one(&ScalarValue::Int64(Some(number)));
    assert_eq!(values::beyond(&Values::AtLeastOne, &number(3), false), Values::AtLeastOne);
    assert_eq!(values::beyond(&number(0), &Values::AtLeastOne, false), number(0));
    assert_eq!(values::beyond(&number(0), &number(3), true), number(3));
    assert_eq!(values::beyond(&Values::AtLeastOne, &Values::null(), false), Values::Any);
    assert_eq!(values::beyond(&Values::NotNull, &number(3), false), Values::Any);
}

#[test]
fn a_value_that_only_rows_without_a_match_have_is_told_where_others_are_not() {
    let text = |text: &str| Values::one(&ScalarValue::Utf8(Some(text.to_owned())));
    // CASE WHEN anything THEN 'a' WHEN unmatched THEN 'b' ELSE 'c' END
    let group = Told { places: vec![7], values: vec![text("a").or(&text("b")), text("a").or(&text("c"))] };
    assert!(told_apart(std::slice::from_ref(&group), &all).is_empty());
    let told = told_unmatched(&[group], &all);
    assert_eq!(told, [(7, 0, vec![ScalarValue::Utf8(Some("b".to_owned()))])]);
    // Nothing is told where a match can be anything, and of NULL only where no match is NULL.
    let null_or = |matched: Values| Told { places: vec![7], values: vec![Values::null(), matched] };
    assert!(told_unmatched(&[null_or(Values::Any)], &all).is_empty());
    assert_eq!(told_unmatched(&[null_or(Values::NotNull)], &all).len(), 1);
    assert!(told_unmatched(&[Told::any(), Told::not_null()], &all).is_empty());
}
