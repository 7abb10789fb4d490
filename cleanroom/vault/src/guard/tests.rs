#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod cost;
mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

use super::decide::{Border, Verdict};
use super::field::Residue;
use super::merge::merge;
use super::span::Span;
use super::store;
use super::vector::{Subject, Vector};

const BORDER: Border = Border([7; 32]);

fn vector(difference: u64, shares: &[(u32, i128)]) -> Arc<Vector> {
    of("retailer", difference, shares.iter().copied(), 0)
}

fn of(owner: &str, difference: u64, shares: impl Iterator<Item = (u32, i128)>, scale: i8) -> Arc<Vector> {
    Arc::new(Vector::of(Subject { space: "email", owners: vec![owner.to_owned()], difference }, shares, scale))
}

fn set(difference: u64, units: impl IntoIterator<Item = u32>) -> Arc<Vector> {
    of("retailer", difference, units.into_iter().map(|unit| (unit, 1)), 0)
}

fn span(released: &[&Arc<Vector>]) -> Span {
    let mut span = Span::default();
    span.sync(released.iter().copied().map(Arc::clone).collect());
    span
}

fn verdict(new: &Arc<Vector>, released: &[&Arc<Vector>]) -> Verdict {
    span(released).decide(new, 2, &BORDER).unwrap()
}

fn earlier(ticks: i128) -> Verdict {
    Verdict::Follows { ticks, of: 1, scale: 0 }
}

/// Numbers that look like chance, the same each time.
fn chance(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn entries_come_back() {
    let shares: Vec<(u32, i128)> =
        (0..5000).map(|unit| (unit * 7, i128::from(unit) * 1_000_003 - 2_000_000_000)).collect();
    let vector = vector(2, &shares);
    let read: BTreeMap<u32, i128> = vector.entries().map(Result::unwrap).collect();
    assert_eq!(read.len(), shares.iter().filter(|(_, share)| *share != 0).count());
    let sum: i128 = shares.iter().map(|(_, share)| share).sum();
    assert_eq!(vector.facts.total * vector.facts.factor, sum);
    assert!(read.keys().is_sorted());
}

#[test]
fn sets_come_back_from_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let big: Vec<(u32, i128)> = (0..200_000).map(|unit| (unit, i128::from(unit % 977) - 3)).collect();
    let sets = [vector(5, &big), set(5, 10..90), vector(5, &[])];
    let name = store::write(folder.path(), &sets).unwrap().unwrap();
    let read = store::Known::default().sets(folder.path(), std::slice::from_ref(&name)).unwrap();
    assert_eq!(read.len(), 3);
    for (one, other) in sets.iter().zip(&read) {
        assert!(one.facts == other.facts);
        assert!(one.entries().map(Result::unwrap).eq(other.entries().map(Result::unwrap)));
        // From anywhere.
        let keys: Vec<u32> = one.entries().map(|entry| entry.unwrap().0).step_by(997).collect();
        let all: BTreeMap<u32, i128> = one.entries().map(Result::unwrap).collect();
        let at = keys.iter().flat_map(|key| [key.saturating_sub(1), *key]).collect::<Vec<_>>();
        let expected: Vec<i128> = at.iter().map(|key| all.get(key).copied().unwrap_or(0)).collect();
        assert_eq!(other.shares_at(at.iter().copied()).unwrap(), expected);
        assert_eq!(one.shares_at(at.into_iter()).unwrap(), expected);
        for from in [0, 1, 1 << 20, 1 << 31, u32::MAX] {
            let mut met = Vec::new();
            merge(&[other], from, |key, shares| {
                met.push((key, shares[0].1));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            let turned: Vec<(u32, i128)> =
                all.range(from..).chain(all.range(..from)).map(|(key, share)| (*key, *share)).collect();
            assert_eq!(met, turned);
        }
    }
    // What cannot be read whole is no reason to answer.
    let path = folder.path().join(&name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(store::Known::default().sets(folder.path(), std::slice::from_ref(&name)).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(store::Known::default().sets(folder.path(), &[name]).is_err());
    assert!(store::write(folder.path(), &[]).unwrap().is_none());
}

#[test]
fn none_and_few_are_answered_alike() {
    let all = set(10, 0..100);
    for without in 0..10 {
        assert_eq!(verdict(&set(10, without..100), &[&all]), earlier(100), "{without}");
        assert_eq!(verdict(&set(10, 0..100 + without), &[&all]), earlier(100), "{without}");
    }
    assert_eq!(verdict(&set(10, 19..100), &[&all]), Verdict::Own);
    // Between them nobody knows; over many pairs both come.
    let between: Vec<bool> = (0..40)
        .map(|other| verdict(&set(10, other..85 + other), &[&set(10, other..100 + other)]) == Verdict::Own)
        .collect();
    assert!(between.contains(&true) && between.contains(&false));
}

#[test]
fn the_stricter_rule_counts() {
    let strict = set(40, 0..100);
    assert_eq!(verdict(&set(2, 30..100), &[&strict]), earlier(100));
    assert_eq!(verdict(&set(40, 30..100), &[&set(2, 0..100)]), earlier(100));
}

#[test]
fn other_owners_and_spaces_are_not_compared() {
    let mine = of("retailer", 10, (0..50).map(|unit| (unit, 1)), 0);
    let theirs = of("publisher", 10, (0..50).map(|unit| (unit, 1)), 0);
    assert_eq!(verdict(&mine, &[&theirs]), Verdict::Own);
    let both = Subject { space: "email", owners: vec!["publisher".to_owned(), "retailer".to_owned()], difference: 10 };
    let both = Arc::new(Vector::of(both, (1..50).map(|unit| (unit, 1)), 0));
    assert_eq!(verdict(&both, &[&mine]), earlier(50));
    let household = Subject { space: "household", owners: vec!["retailer".to_owned()], difference: 10 };
    let household = Arc::new(Vector::of(household, (0..50).map(|unit| (unit, 1)), 0));
    assert_eq!(verdict(&household, &[&mine]), Verdict::Own);
}

#[test]
fn a_total_beside_its_parts_follows_from_them() {
    let parts = [set(5, 0..40), set(5, 40..90), set(5, 90..120)];
    let known: Vec<&Arc<Vector>> = parts.iter().collect();
    for missing in 0..5 {
        assert_eq!(verdict(&set(5, missing..120), &known), earlier(120));
    }
    assert_eq!(verdict(&set(5, 9..120), &known), Verdict::Own);
    // And the last part from the total and the others.
    let total = set(5, 0..123);
    assert_eq!(verdict(&parts[2], &[&total, &parts[0], &parts[1]]), earlier(33));
    // Of a part that was given for another, what is left is known all the same.
    let nearly = set(5, 1..40);
    assert_eq!(verdict(&set(5, 0..120), &[&nearly, &parts[1], &parts[2]]), earlier(119));
}

#[test]
fn units_with_rows_in_several_parts_add_up() {
    // A unit's amount in each of three months, and in all of them.
    let month = |month: i128| -> Vec<(u32, i128)> {
        (0..60).map(|unit| (unit, (i128::from(unit) * 31 + month * 17) % 97 + 1)).collect()
    };
    let months: Vec<Arc<Vector>> = (0..3).map(|number| vector(5, &month(number))).collect();
    let year: Vec<(u32, i128)> =
        (0..60).map(|unit| (unit, (0..3).map(|number| month(number)[unit as usize].1).sum())).collect();
    let sum: i128 = year.iter().map(|(_, share)| share).sum();
    let known: Vec<&Arc<Vector>> = months.iter().collect();
    assert_eq!(verdict(&vector(5, &year), &known), earlier(sum));
    let mut one_more = year.clone();
    one_more[11].1 += 4000;
    assert_eq!(verdict(&vector(5, &one_more), &known), earlier(sum));
    let total = vector(5, &one_more);
    assert_eq!(
        verdict(&months[2], &[&months[0], &total, &months[1]]),
        earlier(sum + 4000 - months[0].facts.total - months[1].facts.total)
    );
}

#[test]
fn multiples_are_what_they_are_multiples_of() {
    let amounts = |times: i128, from: u32| -> Vec<(u32, i128)> {
        (from..80).map(|unit| (unit, times * i128::from(unit * unit % 101 + 1))).collect()
    };
    let once = vector(5, &amounts(1, 0));
    let twice = verdict(&vector(5, &amounts(2, 1)), &[&once]);
    assert_eq!(twice, earlier(2 * once.facts.total));
    assert_eq!(verdict(&vector(5, &amounts(-1, 1)), &[&once]), earlier(-once.facts.total));
    // The same amounts in other ticks.
    assert_eq!(verdict(&of("retailer", 5, amounts(1000, 1).into_iter(), 3), &[&once]), earlier(once.facts.total));
    // Rows that stand twice in a total over parts that stand there once.
    let halves = [vector(5, &amounts(1, 0)[..40]), vector(5, &amounts(1, 0)[40..])];
    assert_eq!(verdict(&vector(5, &amounts(2, 1)), &halves.iter().collect::<Vec<_>>()), earlier(2 * once.facts.total));
    let counts = set(5, 0..40);
    let tens = vector(5, &(0..40).map(|unit| (unit, 10)).collect::<Vec<_>>());
    assert_eq!(verdict(&tens, &[&once, &counts]), earlier(400));
    let others = vector(5, &(40..80).map(|unit| (unit, i128::from(unit))).collect::<Vec<_>>());
    let all: Vec<(u32, i128)> = (1..80).map(|unit| (unit, if unit < 40 { 10 } else { i128::from(unit) })).collect();
    assert_eq!(verdict(&vector(5, &all), &[&counts, &others]), earlier(400 + others.facts.total));
    // Everybody has two rows but one unit, which has one.
    let even: Vec<(u32, i128)> = (0..50).map(|unit| (unit, 2)).collect();
    let mut odd = even.clone();
    odd[9].1 = 1;
    assert_eq!(verdict(&vector(5, &even), &[&vector(5, &odd)]), earlier(99));
}

#[test]
fn what_may_not_be_shown_any_more_is_not() {
    let decided = span(&[&set(10, 0..24)]).decide(&set(10, 0..30), 25, &BORDER);
    assert_eq!(decided.unwrap(), Verdict::Suppressed);
}

#[test]
fn large_unions_are_found() {
    const UNITS: u32 = 60_000;
    let part = |number: u32| (0..UNITS).filter(move |unit| unit.wrapping_mul(2_654_435_761) % 30 == number);
    let parts: Vec<Arc<Vector>> = (0..30).map(|number| set(10, part(number))).collect();
    let known: Vec<&Arc<Vector>> = parts.iter().collect();
    assert_eq!(verdict(&set(10, 1..UNITS), &known), earlier(i128::from(UNITS)));
    assert_eq!(verdict(&set(10, 1000..UNITS), &known), Verdict::Own);
    assert_eq!(verdict(&set(10, 25..UNITS), &known), Verdict::Own);
    let total = set(10, 0..UNITS);
    let mut others: Vec<&Arc<Vector>> = parts.iter().skip(1).collect();
    others.push(&total);
    assert_eq!(verdict(&set(10, part(0).skip(3)), &others), earlier(parts[0].facts.total));
}

/// A person, an amount, and a group by each of two columns.
type Person = (u32, i128, u64, u64);

#[test]
fn two_partitions_of_the_same_people_do_not_tell_of_one() {
    for seed in 0..20 {
        let mut next = chance(seed);
        let people: Vec<Person> = (0..300).map(|unit| (unit, i128::from(next(10_000)) + 1, next(6), next(5))).collect();
        let sum = |of: &dyn Fn(&Person) -> bool| -> Arc<Vector> {
            let shares: Vec<(u32, i128)> =
                people.iter().filter(|one| of(one)).map(|(unit, share, _, _)| (*unit, *share)).collect();
            vector(10, &shares)
        };
        let alice = u32::try_from(next(300)).unwrap();
        let mut span = Span::default();
        for group in 0..6 {
            assert_eq!(span.decide(&sum(&|one| one.2 == group), 2, &BORDER).unwrap(), Verdict::Own);
        }
        // The other table without her, her own group first.
        let own = people[alice as usize].3;
        for group in (0..4).map(|group| (own + group) % 5) {
            let part = sum(&|one| one.3 == group && one.0 != alice);
            assert_eq!(span.decide(&part, 2, &BORDER).unwrap(), Verdict::Own);
        }
        let last = (own + 4) % 5;
        let everybody: i128 = people.iter().map(|one| one.1).sum();
        let shown: i128 = people.iter().filter(|one| one.3 != last && one.0 != alice).map(|one| one.1).sum();
        let answer = span.decide(&sum(&|one| one.3 == last), 2, &BORDER).unwrap();
        assert_eq!(answer, earlier(everybody - shown), "what is left of both tables");
    }
}

#[test]
fn factors_that_are_fractions() {
    let mut next = chance(3);
    let amounts: Vec<(i128, i128)> = (0..200).map(|_| (i128::from(next(1000)), i128::from(next(1000)))).collect();
    let of_both = |a: i128, b: i128, but: u32| -> Arc<Vector> {
        let shares: Vec<(u32, i128)> = (0_u32..)
            .zip(&amounts)
            .filter(|(unit, _)| *unit != but)
            .map(|(unit, (x, y))| (unit, a * x + b * y))
            .collect();
        vector(10, &shares)
    };
    let total = |vector: &Vector| vector.facts.total * vector.facts.factor;
    // 3 times one and 2 times the other, from their sums with other weights: half the one and a third of the other.
    let (one, other) = (of_both(2, 6, u32::MAX), of_both(4, 3, u32::MAX));
    let follows = |new: &Arc<Vector>| verdict(new, &[&one, &other]);
    // x = (-one + 2 other) / 6, y = (2 one - other) / 9.
    assert_eq!(follows(&of_both(1, 0, 7)), earlier((2 * total(&other) - total(&one)) / 6));
    let half = verdict(&of_both(1, 0, 7), &[&of_both(2, 0, 9)]);
    let all = total(&of_both(2, 0, 9));
    let expected = if all % 2 == 0 { earlier(all / 2) } else { Verdict::Follows { ticks: all, of: 2, scale: 0 } };
    assert_eq!(half, expected);
}

#[test]
fn factors_that_tell_of_few_are_not_told() {
    // A sum over so few people is near every multiple of their count: the factor would be somebody's amount.
    let count = set(10, 0..12);
    let sums = vector(10, &(0..12).map(|unit| (unit, 1000 + i128::from(unit * unit))).collect::<Vec<_>>());
    let decided = verdict(&sums, &[&count]);
    assert!(matches!(decided, Verdict::Own | Verdict::Suppressed), "{decided:?}");
    // Nor where many others stand in the number, of whom all follows from another one.
    let many = set(10, 100..2000);
    for amount in [1, 7, 1000] {
        let mut shares: Vec<(u32, i128)> = (100..2000).map(|unit| (unit, 1)).collect();
        shares.extend((0..12).map(|unit| (unit, amount + i128::from(unit))));
        let decided = verdict(&vector(10, &shares), &[&many, &count]);
        assert!(matches!(decided, Verdict::Own | Verdict::Suppressed), "{decided:?}");
        // Those of whom all add the same are told of as a group.
        shares.iter_mut().filter(|(unit, _)| *unit < 12).for_each(|(_, share)| *share = amount);
        assert_eq!(verdict(&vector(10, &shares), &[&many, &count]), earlier(1900 + 12 * amount));
    }
    // Of as many numbers as there are people the last tell of each.
    let mut next = chance(11);
    let mut span = Span::default();
    let mut own = 0;
    for _ in 0..60 {
        let shares: Vec<(u32, i128)> = (0..40).map(|unit| (unit, i128::from(next(100)) + 1)).collect();
        match span.decide(&vector(10, &shares), 2, &BORDER).unwrap() {
            Verdict::Own => own += 1,
            verdict => assert_eq!(verdict, Verdict::Suppressed),
        }
    }
    assert!((40 - 19..=40 - 9).contains(&own), "{own}");
}

#[test]
fn hardly_anybody_is_nobody() {
    let mut shares: Vec<(u32, i128)> = (0..60).map(|unit| (unit, 0)).collect();
    for few in 0..8 {
        assert_eq!(verdict(&vector(10, &shares), &[]), earlier(0), "{few}");
        shares[few].1 = 500;
    }
    // Of a small group by itself nothing is taken away.
    assert_eq!(verdict(&set(10, 0..5), &[]), Verdict::Own);
}

#[test]
fn few_among_the_units_that_are_looked_at_first() {
    // As many numbers as a fourth of the people: what a combination leaves out stands in an information set often.
    let (mut found, mut asked) = (0, 0);
    for seed in 0..4 {
        let mut next = chance(100 + seed);
        let mut span = Span::default();
        let mut released: Vec<Vec<i128>> = Vec::new();
        while released.len() < 40 {
            let shares: Vec<i128> = (0..160).map(|_| i128::from(next(500))).collect();
            let named: Vec<(u32, i128)> = (0..).zip(shares.iter().copied()).collect();
            assert_eq!(span.decide(&vector(10, &named), 2, &BORDER).unwrap(), Verdict::Own);
            released.push(shares);
        }
        for few in [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6] {
            let mut shares = vec![0_i128; 160];
            for number in &released {
                let by = i128::from(next(7)) - 3;
                for (share, other) in shares.iter_mut().zip(number) {
                    *share += by * other;
                }
            }
            for _ in 0..few {
                shares[usize::try_from(next(160)).unwrap()] += i128::from(next(900)) + 1;
            }
            let named: Vec<(u32, i128)> = (0..).zip(shares).collect();
            let place = span.len();
            let met = span.decide(&vector(10, &named), 2, &BORDER).unwrap() != Verdict::Own;
            span.truncate(place);
            assert!(met || few > 2, "{few} of seed {seed}");
            (found, asked) = (found + u32::from(met), asked + 1);
        }
    }
    assert!(found * 100 >= asked * 95, "{found} of {asked}");
}

#[test]
fn what_was_forgotten_is_as_if_it_never_was() {
    let mut next = chance(5);
    let mut some = |count: usize| -> Vec<Arc<Vector>> {
        (0..count).map(|_| vector(5, &(0..90).map(|unit| (unit, i128::from(next(50)))).collect::<Vec<_>>())).collect()
    };
    let (first, dropped, second) = (some(10), some(7), some(5));
    let decide = |span: &mut Span, vectors: &[Arc<Vector>]| -> Vec<Verdict> {
        vectors.iter().map(|vector| span.decide(vector, 2, &BORDER).unwrap()).collect()
    };
    let (mut span, mut other) = (Span::default(), Span::default());
    decide(&mut span, &first);
    let place = span.len();
    decide(&mut span, &dropped);
    span.truncate(place);
    decide(&mut other, &first);
    let near: Vec<Arc<Vector>> = dropped.iter().chain(&second).chain(&first).map(Arc::clone).collect();
    assert_eq!(decide(&mut span, &near), decide(&mut other, &near));
    // And as if another process had read it.
    let mut read = Span::default();
    read.sync(span.since(0));
    span.sync(other.since(0));
    let both: Vec<(u32, i128)> = (0..90)
        .map(|unit| {
            let at = |vector: &Vector| {
                let one = of("retailer", 5, std::iter::once((unit, 1)), 0);
                let key = one.entries().next().unwrap().unwrap().0;
                vector.shares_at(std::iter::once(key)).unwrap()[0] * vector.facts.factor
            };
            (unit, at(&dropped[2]) + at(&second[1]) - at(&first[4]))
        })
        .collect();
    let value = |vector: &Vector| vector.facts.total * vector.facts.factor;
    let expected = earlier(value(&dropped[2]) + value(&second[1]) - value(&first[4]));
    for span in [&mut span, &mut read, &mut other] {
        assert_eq!(span.decide(&vector(5, &both), 2, &BORDER).unwrap(), expected);
    }
}

#[test]
fn numbers_modulo_the_prime() {
    for number in [1_i128, -1, 2, 10, -977, 1 << 70, i128::MAX, i128::MIN, (1 << 61) - 2] {
        let residue = Residue::of(number);
        assert_eq!(residue * residue.inverse(), Residue::ONE);
        assert!((residue - residue).is_zero() && (residue + -residue).is_zero());
    }
    assert!(Residue::of((1 << 61) - 1).is_zero() && Residue::ZERO.inverse().is_zero());
    for (numerator, of) in [(0, 1), (1, 1), (-1, 1), (7, 3), (-1999, 1), (1_000_003, 77), (-5, 1_048_576)] {
        assert_eq!((Residue::of(numerator) * Residue::of(of).inverse()).fraction(), Some((numerator, of)));
    }
    assert_eq!((Residue::of(1 << 40) * Residue::of((1 << 35) + 1).inverse()).fraction(), None);
}

/// Numbers of few units, so that many come near each other.
fn numbers() -> impl Strategy<Value = Vec<(u64, BTreeMap<u32, i128>)>> {
    let entries = prop::collection::btree_map(0_u32..12, -1_i128..4, 0..13);
    prop::collection::vec((2_u64..5, entries), 1..9)
}

/// The rank of rows, worked out in whole numbers.
fn rank(mut rows: Vec<Vec<i128>>) -> usize {
    let mut rank = 0;
    for column in 0..rows.first().map_or(0, Vec::len) {
        let Some(found) = (rank..rows.len()).find(|row| rows[*row][column] != 0) else { continue };
        rows.swap(rank, found);
        let pivot = rows[rank].clone();
        for row in rows.iter_mut().skip(rank + 1) {
            let (own, its) = (row[column], pivot[column]);
            for (number, other) in row.iter_mut().zip(&pivot) {
                *number = *number * its - other * own;
            }
            let divisor = row.iter().fold(0_i128, |divisor, number| gcd(divisor, *number));
            if divisor > 1 {
                row.iter_mut().for_each(|number| *number /= divisor);
            }
        }
        rank += 1;
    }
    rank
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// Whether some combination of released numbers differs from a new one in at most `few` units; with `apart`, other than that
/// the new number itself is of few. By looking at all choices of the few.
fn near(new: &[i128], released: &[Vec<i128>], few: u32, apart: bool) -> bool {
    (0..1_u32 << 12).filter(|left_out| left_out.count_ones() == few).any(|left_out| {
        let outside = |row: &[i128]| -> Vec<i128> {
            row.iter().enumerate().filter(|(unit, _)| left_out >> unit & 1 == 0).map(|(_, share)| *share).collect()
        };
        let known: Vec<Vec<i128>> = released.iter().map(|row| outside(row)).collect();
        let new = outside(new);
        let nothing = new.iter().all(|share| *share == 0);
        if nothing {
            return !apart;
        }
        let with: Vec<Vec<i128>> = known.iter().cloned().chain([new]).collect();
        rank(with) == rank(known)
    })
}

proptest! {
    #[test]
    fn every_combination_is_found_and_nothing_else(asked in numbers()) {
        let mut span = Span::default();
        let mut released: Vec<Vec<i128>> = Vec::new();
        let mut most = 0;
        for (difference, shares) in asked {
            let dense: Vec<i128> = (0..12).map(|unit| shares.get(&unit).copied().unwrap_or(0)).collect();
            // A unit that adds nothing is no contributor here.
            let new = vector(difference, &shares.into_iter().filter(|(_, share)| *share != 0).collect::<Vec<_>>());
            most = most.max(difference);
            let verdict = span.decide(&new, 0, &BORDER).unwrap();
            let few = |number: u64| u32::try_from(number).unwrap();
            if near(&dense, &released, few(difference - 1), true) {
                prop_assert!(verdict != Verdict::Own, "near a combination, and answered");
            } else if !near(&dense, &released, few(2 * most - 2), false) {
                prop_assert_eq!(&verdict, &Verdict::Own);
            }
            if verdict == Verdict::Own {
                released.push(dense);
            }
        }
    }
}
