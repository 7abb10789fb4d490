#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

use super::decide::{Border, Verdict, WORK, decide};
use super::store;
use super::vector::{Subject, Vector, combined, difference};

const BORDER: Border = Border([7; 32]);

fn vector(difference: u64, shares: &[(u32, i128)]) -> Vector {
    of("retailer", difference, shares.iter().copied(), 0)
}

fn of(owner: &str, difference: u64, shares: impl Iterator<Item = (u32, i128)>, scale: i8) -> Vector {
    Vector::of(Subject { space: "email", owners: vec![owner.to_owned()], difference }, shares, scale)
}

fn set(difference: u64, units: impl IntoIterator<Item = u32>) -> Vector {
    of("retailer", difference, units.into_iter().map(|unit| (unit, 1)), 0)
}

fn verdict(new: &Vector, released: &[&Vector]) -> Verdict {
    // Of which it is a multiple is looked at by itself.
    match decide(new, released, 2, (&BORDER, &mut { WORK })).unwrap() {
        Verdict::Earlier { ticks, scale, of: _ } => Verdict::Earlier { ticks, scale, of: None },
        other => other,
    }
}

fn earlier(ticks: i128) -> Verdict {
    Verdict::Earlier { ticks, scale: 0, of: None }
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
    let sets = [Arc::new(vector(5, &big)), Arc::new(set(5, 10..90)), Arc::new(vector(5, &[]))];
    let name = store::write(folder.path(), &sets).unwrap().unwrap();
    let read = store::Known::default().sets(folder.path(), std::slice::from_ref(&name)).unwrap();
    assert_eq!(read.len(), 3);
    for (one, other) in sets.iter().zip(&read) {
        assert_eq!(difference((one, 1), (other, 1), u64::MAX).unwrap(), 0);
        assert_eq!(one.facts.digest, other.facts.digest);
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
fn the_first_of_several_is_taken_and_the_stricter_rule_counts() {
    let (one, other) = (set(4, 0..50), set(4, 5..55));
    let near_both = set(4, 3..53);
    assert_eq!(verdict(&near_both, &[&one, &other]), verdict(&near_both, &[&other, &one]));
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
    let both = Vector::of(both, (1..50).map(|unit| (unit, 1)), 0);
    assert_eq!(verdict(&both, &[&mine]), earlier(50));
    let household = Subject { space: "household", owners: vec!["retailer".to_owned()], difference: 10 };
    assert_eq!(verdict(&Vector::of(household, (0..50).map(|unit| (unit, 1)), 0), &[&mine]), Verdict::Own);
}

#[test]
fn a_total_beside_its_parts_follows_from_them() {
    let parts = [set(5, 0..40), set(5, 40..90), set(5, 90..120)];
    let known: Vec<&Vector> = parts.iter().collect();
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
    let months: Vec<Vector> = (0..3).map(|number| vector(5, &month(number))).collect();
    let year: Vec<(u32, i128)> =
        (0..60).map(|unit| (unit, (0..3).map(|number| month(number)[unit as usize].1).sum())).collect();
    let sum: i128 = year.iter().map(|(_, share)| share).sum();
    let known: Vec<&Vector> = months.iter().collect();
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
    let ten_times = decide(&tens, &[&once, &counts], 2, (&BORDER, &mut { WORK })).unwrap();
    assert_eq!(ten_times, Verdict::Earlier { ticks: 400, scale: 0, of: Some(1) });
    // What was told as a multiple is a part of unions, too.
    let told = counts.told_for(&tens).unwrap();
    assert_eq!((told.facts.total * told.facts.factor, &told.facts.digest), (400, &tens.facts.digest));
    let others = vector(5, &(40..80).map(|unit| (unit, i128::from(unit))).collect::<Vec<_>>());
    let all: Vec<(u32, i128)> = (1..80).map(|unit| (unit, if unit < 40 { 10 } else { i128::from(unit) })).collect();
    assert_eq!(verdict(&vector(5, &all), &[&counts, &told, &others]), earlier(400 + others.facts.total));
    // Everybody has two rows but one unit, which has one.
    let even: Vec<(u32, i128)> = (0..50).map(|unit| (unit, 2)).collect();
    let mut odd = even.clone();
    odd[9].1 = 1;
    assert_eq!(verdict(&vector(5, &even), &[&vector(5, &odd)]), earlier(99));
}

#[test]
fn what_may_not_be_shown_any_more_is_not() {
    assert_eq!(decide(&set(10, 0..30), &[&set(10, 0..24)], 25, (&BORDER, &mut { WORK })).unwrap(), Verdict::Suppressed);
}

#[test]
fn what_cannot_be_ruled_out_in_time_is_not_shown() {
    let parts = [set(5, 0..40), set(5, 40..90), set(5, 90..120)];
    let known: Vec<&Vector> = parts.iter().collect();
    assert_eq!(decide(&set(5, 0..120), &known, 2, (&BORDER, &mut 0)).unwrap(), Verdict::Suppressed);
    // What is like none of them is ruled out at once.
    assert_eq!(decide(&set(5, 200..300), &known, 2, (&BORDER, &mut 0)).unwrap(), Verdict::Own);
}

#[test]
fn large_unions_are_found_through_samples() {
    const UNITS: u32 = 60_000;
    let part = |number: u32| (0..UNITS).filter(move |unit| unit.wrapping_mul(2_654_435_761) % 30 == number);
    let parts: Vec<Vector> = (0..30).map(|number| set(10, part(number))).collect();
    let known: Vec<&Vector> = parts.iter().collect();
    assert_eq!(verdict(&set(10, 1..UNITS), &known), earlier(i128::from(UNITS)));
    assert_eq!(verdict(&set(10, 1000..UNITS), &known), Verdict::Own);
    assert_eq!(verdict(&set(10, 25..UNITS), &known), Verdict::Own, "seen in all units only");
    let total = set(10, 0..UNITS);
    let mut others: Vec<&Vector> = parts.iter().skip(1).collect();
    others.push(&total);
    assert_eq!(verdict(&set(10, part(0).skip(3)), &others), earlier(parts[0].facts.total));
}

/// Sets of few units, so that many come near each other.
fn sets() -> impl Strategy<Value = Vec<(u64, BTreeMap<u32, i128>)>> {
    let entries = prop::collection::btree_map(0_u32..14, 1_i128..3, 0..14);
    prop::collection::vec((2_u64..4, entries), 1..8)
}

/// Whether a number comes too close to released ones, by looking at every union; if asked so, only at those of which no part
/// is there for nothing.
fn too_close(new: &Vector, released: &[&Vector], least: bool) -> bool {
    let raw = |vector: &Vector| vector.multiplier(0);
    let size = |terms: &[(&Vector, i128)]| combined(terms, u32::MAX).unwrap().len();
    // The parts come behind the first two: the new number, and the one that it is a part of with the others.
    let close = |terms: &[(&Vector, i128)], parts: usize| {
        let sets: Vec<&Vector> = terms.iter().map(|(vector, _)| *vector).collect();
        let all = size(terms);
        (all as u64) < BORDER.between(&sets)
            && (!least
                || (terms.len() - parts..terms.len()).all(|left_out| {
                    let mut fewer = terms.to_vec();
                    fewer.remove(left_out);
                    size(&fewer) > all
                }))
    };
    (1..1_u32 << released.len()).any(|taken| {
        let parts: Vec<&Vector> =
            released.iter().enumerate().filter(|(index, _)| taken >> index & 1 == 1).map(|(_, part)| *part).collect();
        let of_parts = |sign: i128| parts.iter().map(move |part| (*part, sign * raw(part))).collect::<Vec<_>>();
        let whole_of_them = [vec![(new, raw(new))], of_parts(-1)].concat();
        close(&whole_of_them, if parts.len() == 1 { 0 } else { parts.len() })
            || (0..parts.len()).any(|whole| {
                let mut others = of_parts(1);
                let (whole, by) = others.remove(whole);
                let count = others.len();
                close(&[vec![(new, raw(new)), (whole, -by)], others].concat(), count)
            })
    })
}

proptest! {
    #[test]
    fn every_union_is_found_and_nothing_else(asked in sets()) {
        let mut released: Vec<Vector> = Vec::new();
        for (difference, shares) in asked {
            let shares: Vec<(u32, i128)> = shares.into_iter().collect();
            let new = vector(difference, &shares);
            let known: Vec<&Vector> = released.iter().collect();
            let verdict = decide(&new, &known, 0, (&BORDER, &mut { WORK })).unwrap();
            if too_close(&new, &known, true) {
                prop_assert!(verdict != Verdict::Own, "too close to what was released, and answered");
            } else if !too_close(&new, &known, false)
                && new.facts.factor == 1 && known.iter().all(|known| known.facts.factor == 1) {
                // With multiples more is close than what is looked at above.
                prop_assert_eq!(&verdict, &Verdict::Own);
            }
            if verdict == Verdict::Own {
                released.push(new);
            }
        }
    }
}

/// Not a test: what a thousand earlier numbers of 600 000 units cost.
#[test]
#[ignore = "takes minutes and gigabytes of disk; CLEANROOM_NUMBERS says of how many earlier numbers"]
fn a_thousand_earlier_numbers() {
    const UNITS: u32 = 600_000;
    let numbers = std::env::var("CLEANROOM_NUMBERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000_u32);
    let folder = tempfile::tempdir().unwrap();
    let amounts = |number: u32| {
        let share = move |unit: u32| i128::from(unit.wrapping_mul(2 * number + 2_654_435_761) >> 18);
        of("retailer", 10, (0..UNITS).map(move |unit| (unit, share(unit))), 2)
    };
    let counted =
        |number: u32| set(10, (0..UNITS).filter(move |unit| unit.wrapping_mul(2 * number + 40_503) >> 30 != 1));
    let started = Instant::now();
    let names: Vec<String> = (0..numbers)
        .map(|number| if number % 2 == 0 { amounts(number) } else { counted(number) })
        .map(|vector| store::write(folder.path(), &[Arc::new(vector)]).unwrap().unwrap())
        .collect();
    println!("{numbers} numbers written in {:?}", started.elapsed());
    let bytes: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!("on disk: {} MB", bytes >> 20);
    let mut known = store::Known::default();
    for round in ["first", "second"] {
        for (what, new) in [
            ("a sum", amounts(numbers + 2)),
            ("a count", counted(numbers + 3)),
            ("an earlier one", counted(numbers - 1)),
        ] {
            let started = Instant::now();
            let sets = known.sets(folder.path(), &names).unwrap();
            let released: Vec<&Vector> = sets.iter().map(AsRef::as_ref).collect();
            let own = decide(&new, &released, 25, (&BORDER, &mut { WORK })).unwrap() == Verdict::Own;
            println!("{round} time, {what}: {:?}; its own answer: {own}", started.elapsed());
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
