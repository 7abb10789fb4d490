//! What was kept decides as what is worked out anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::decide::{Border, Verdict};
use super::super::field::{Residue, add, dot};
use super::super::kept::Kept;
use super::super::sets::{InformationSet, Step};
use super::super::span::Span;
use super::super::store::{self, Known};
use super::super::vector::Vector;
use super::{BORDER, chance, of, set, vector};

/// A number of any kind: anything, a part of all, or a combination of some before with a few units changed.
fn some(next: &mut impl FnMut(u64) -> u64, units: u32, before: &[Vec<i128>]) -> Vec<i128> {
    match next(4) {
        0 | 1 if !before.is_empty() => {
            let mut shares = vec![0_i128; units as usize];
            for _ in 0..=next(3) {
                let (by, other) =
                    (i128::from(next(5)) - 2, &before[usize::try_from(next(before.len() as u64)).unwrap()]);
                shares.iter_mut().zip(other).for_each(|(share, other)| *share += by * other);
            }
            for _ in 0..next(6) {
                shares[usize::try_from(next(units.into())).unwrap()] += i128::from(next(100));
            }
            shares
        }
        2 => {
            let (parts, part) = (next(4) + 2, next(2));
            (0..units)
                .map(|unit| i128::from(u64::from(unit.wrapping_mul(2_654_435_761) >> 8) % parts == part))
                .collect()
        }
        _ => (0..units).map(|_| i128::from(next(500))).collect(),
    }
}

fn kept_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "kept")).collect()
}

#[test]
fn decisions_are_the_same_in_whatever_process() {
    let (mut own, mut others, mut damaged) = (0, 0, 0);
    for seed in 0..12 {
        let mut next = chance(seed);
        let units = [12, 40, 120][usize::try_from(next(3)).unwrap()];
        let folder = tempfile::tempdir().unwrap();
        let (mut known, mut names, mut memory) = (Known::default(), Vec::new(), Span::default());
        let mut before: Vec<Vec<i128>> = Vec::new();
        for _ in 0..25 {
            let shares = some(&mut next, units, &before);
            let owner = if next(5) == 0 { "publisher" } else { "retailer" };
            let new = of(owner, 2 + next(12), (0..).zip(shares.iter().copied()), 0);
            before.push(shares);
            if next(3) == 0 {
                known = Known::default();
            }
            for path in kept_files(folder.path()) {
                let mut bytes = fs::read(&path).unwrap();
                let at = usize::try_from(next(bytes.len().max(1) as u64)).unwrap();
                match next(9) {
                    0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << next(8)),
                    1 => bytes.truncate(at),
                    2 => bytes.extend([1; 500]),
                    _ => continue,
                }
                fs::write(path, bytes).unwrap();
                damaged += 1;
            }
            known.sync(folder.path(), &names).unwrap();
            let (place, floor) = (known.span.len(), next(20));
            let verdict = known.span.decide(&new, floor, &BORDER).unwrap();
            assert_eq!(verdict, memory.decide(&new, floor, &BORDER).unwrap(), "seed {seed}");
            (own, others) = if verdict == Verdict::Own { (own + 1, others) } else { (own, others + 1) };
            if next(6) == 0 {
                // It was not shown.
                known.span.truncate(place);
                memory.truncate(place);
            } else {
                names.extend(store::write(folder.path(), &known.span.since(place)).unwrap());
                known.span.claimed();
            }
        }
    }
    assert!(own > 50 && others > 50 && damaged > 30, "{own} own, {others} others, {damaged} damaged");
}

#[test]
fn the_next_process_works_out_nothing_anew() {
    let folder = tempfile::tempdir().unwrap();
    let numbers: Vec<Arc<Vector>> = (0..8)
        .map(|number| match number {
            3 => of("publisher", 10, (0..50).map(|unit| (unit, 1)), 0),
            _ => vector(10, &(0..900).map(|unit| (unit, i128::from(unit * (number + 2) % 977))).collect::<Vec<_>>()),
        })
        .collect();
    let mut known = Known::default();
    let mut names = Vec::new();
    for number in &numbers {
        known.sync(folder.path(), &names).unwrap();
        let place = known.span.len();
        assert_eq!(known.span.decide(number, 2, &BORDER).unwrap(), Verdict::Own);
        names.extend(store::write(folder.path(), &known.span.since(place)).unwrap());
        known.span.claimed();
    }
    // All about an owner's own numbers and those of others between is kept when the last of them is claimed.
    let name = format!("{:?} {:?}", "email", ["retailer"]);
    let read = |numbers: &[Arc<Vector>], name: &str, border: &Border| {
        let (mut kept, mut taken) = (Kept::new(folder.path(), name, border), 0);
        let mut read = kept.read(3);
        let steps = numbers.iter().map_while(|number| {
            let steps = read(number, taken)?;
            taken += usize::from(!steps.is_empty());
            Some(steps)
        });
        steps.collect::<Vec<Vec<Step>>>()
    };
    let all = read(&numbers, &name, &BORDER);
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 0, 3, 3, 3, 3]);
    // About other numbers, in another order, by another key and for other owners nothing is.
    let mut others = numbers.clone();
    others.swap(4, 5);
    assert!(read(&others, &name, &BORDER) == all[..4]);
    let path = kept_files(folder.path()).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = fs::read(&path).unwrap();
    for (name, border) in [("another", &BORDER), (name.as_str(), &Border([8; 32]))] {
        let elsewhere = Kept::new(folder.path(), name, border);
        fs::write(elsewhere.path(), &whole).unwrap();
        assert!(read(&numbers, name, border).is_empty());
    }
    // What is behind any damage is not used, and all before it is.
    let mut ends = 0;
    for at in (0..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let left = read(&numbers, &name, &BORDER);
        assert!(left.len() < all.len() && left.len() >= ends && left == all[..left.len()], "{at}");
        ends = left.len();
    }
    assert_eq!(ends, all.len() - 1);
    // And what takes its place is the same.
    let mut known = Known::default();
    known.sync(folder.path(), &names).unwrap();
    assert_ne!(known.span.decide(&numbers[7], 2, &BORDER).unwrap(), Verdict::Own);
    assert!(fs::read(&path).unwrap() == whole);
    // As it does where all is gone while the process runs.
    fs::remove_file(&path).unwrap();
    known.span.claimed();
    assert!(fs::read(&path).unwrap() == whole);
}

#[test]
fn vectors_without_notes_or_with_damaged_ones_are_read() {
    let shares: Vec<(u32, i128)> = (0..30_000).map(|unit| (unit, i128::from(unit % 977) - 3)).collect();
    let (one, other) = (vector(5, &shares), set(5, 0..20_000));
    let folder = tempfile::tempdir().unwrap();
    let name = store::write(folder.path(), &[Arc::clone(&one), Arc::clone(&other)]).unwrap().unwrap();
    let bytes = fs::read(folder.path().join(&name)).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (head, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let mut facts: Vec<serde_json::Value> = serde_json::from_slice(head).unwrap();
    let sizes: Vec<(usize, usize)> = facts
        .iter()
        .map(|facts| ["bytes", "notes"].map(|name| usize::try_from(facts[name].as_u64().unwrap()).unwrap()))
        .map(|[bytes, notes]| (bytes, notes * 16))
        .collect();
    assert!(sizes.iter().all(|(bytes, notes)| *bytes > 20_000 && notes * 100 / bytes == 1), "{sizes:?}");
    let end = sizes[0].0 + sizes[0].1;
    let entries = [&data[..sizes[0].0], &data[end..end + sizes[1].0]].concat();
    for facts in &mut facts {
        facts.as_object_mut().unwrap().retain(|name, _| !name.starts_with("notes"));
    }
    let head = serde_json::to_vec(&facts).unwrap();
    let without = [&(head.len() as u64).to_le_bytes()[..], &head, &entries].concat();
    let mut damaged = bytes.clone();
    for at in [8 + rest.len() - data.len() + sizes[0].0 + 40, bytes.len() - 3] {
        damaged[at] ^= 1;
    }
    for (what, bytes) in [("whole", bytes), ("without", without), ("damaged", damaged)] {
        fs::write(folder.path().join(&name), bytes).unwrap();
        let read = Known::default().sets(folder.path(), std::slice::from_ref(&name)).unwrap();
        for (vector, read) in [&one, &other].into_iter().zip(&read) {
            let all: BTreeMap<u32, i128> = vector.entries().map(Result::unwrap).collect();
            assert_eq!(read.entries().map(Result::unwrap).collect::<BTreeMap<_, _>>(), all);
            let keys = (0..20_000_u32).map(|number| number * 200_003);
            let expected: Vec<i128> = keys.clone().map(|key| all.get(&key).copied().unwrap_or(0)).collect();
            assert_eq!(read.shares_at(keys).unwrap(), expected, "{what}");
            let near: Vec<(u32, i128)> = read.entries_near(1 << 31).unwrap().map(Result::unwrap).collect();
            assert!(near.ends_with(&all.range(1 << 31..).map(|(key, share)| (*key, *share)).collect::<Vec<_>>()));
        }
    }
}

#[test]
fn who_is_not_waited_for_ends_and_nothing_is_lost() {
    let mut next = chance(9);
    let mut some = || vector(10, &(0..400).map(|unit| (unit, i128::from(next(900)))).collect::<Vec<_>>());
    let numbers: Vec<Arc<Vector>> = (0..6).map(|_| some()).collect();
    let mut span = Span::default();
    span.sync(numbers[..3].to_vec());
    span.until(Arc::new(AtomicBool::new(true)));
    assert!(span.decide(&numbers[3], 2, &BORDER).is_err());
    assert_eq!(span.len(), 3);
    span.until(Arc::default());
    for number in &numbers[3..] {
        assert_eq!(span.decide(number, 2, &BORDER).unwrap(), Verdict::Own);
    }
    for number in &numbers {
        assert_ne!(span.decide(number, 2, &BORDER).unwrap(), Verdict::Own);
    }
}

#[test]
fn a_number_that_could_not_be_read_once_is_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = chance(31);
    let names: Vec<String> = (0..3)
        .map(|_| vector(10, &(0..9000).map(|unit| (unit, i128::from(next(900)) + 1)).collect::<Vec<_>>()))
        .map(|vector| store::write(folder.path(), &[vector]).unwrap().unwrap())
        .collect();
    let mut known = Known::default();
    known.sync(folder.path(), &names).unwrap();
    let numbers = known.span.since(0);
    let (path, aside) = (folder.path().join(&names[1]), folder.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    for _ in 0..2 {
        assert!(known.span.decide(&numbers[1], 2, &BORDER).is_err());
    }
    fs::rename(&aside, &path).unwrap();
    let mut later = Known::default();
    later.sync(folder.path(), &names).unwrap();
    for known in [&mut known, &mut later] {
        for number in &numbers {
            assert_ne!(known.span.decide(number, 2, &BORDER).unwrap(), Verdict::Own);
        }
        assert_eq!(known.span.len(), 3);
    }
}

/// The inverse of what units add to vectors, a row for each unit, worked out step by step as a whole.
#[derive(Default)]
struct Inverse(Vec<Vec<Residue>>);

impl Inverse {
    fn reduced(&self, column: &[Residue]) -> Vec<Residue> {
        self.0.iter().map(|row| dot(row, column)).collect()
    }

    fn push(&mut self, factors: &[Residue], left: Residue, column: &[Residue]) {
        let inverse = left.inverse();
        let reduced = self.reduced(column);
        for (row, by) in self.0.iter_mut().zip(reduced) {
            add(row, by * inverse, factors);
            row.push(-(by * inverse));
        }
        let last = factors.iter().map(|factor| -(*factor * inverse)).chain([inverse]).collect();
        self.0.push(last);
    }
}

#[test]
fn triangular_factors_are_as_good_as_the_inverse() {
    let mut next = chance(77);
    let mut random = |few: bool| match few && next(2) == 0 {
        true => Residue::ZERO,
        false => Residue::of_bits(next(1 << 31) << 31 | next(1 << 31)),
    };
    let (mut set, mut inverse) = (InformationSet::new(0), Inverse::default());
    for count in 0..150_u32 {
        let length = count as usize;
        let column: Vec<Residue> = (0..length).map(|_| random(count % 3 == 0)).collect();
        let given: Vec<Residue> = (0..length).map(|_| random(count % 2 == 0)).collect();
        let factors = set.combination(&given);
        let mut expected = vec![Residue::ZERO; length];
        for (given, row) in given.iter().zip(&inverse.0) {
            add(&mut expected, *given, row);
        }
        assert_eq!(factors, expected);
        assert_eq!(set.reduced(&column), inverse.reduced(&column));
        let left = random(false);
        inverse.push(&factors, left, &column);
        set.push(&factors, (count, left), &column);
        if count % 7 == 0 {
            // Taken out and in again.
            set.pop();
            set.push(&factors, (count, left), &column);
        }
    }
}
