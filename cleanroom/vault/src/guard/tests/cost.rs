//! What earlier numbers cost; `docs/guard.md` has the figures.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::decide::Verdict;
use super::super::store::{self, Known};
use super::super::vector::Vector;
use super::{BORDER, of, set};

/// What a sum of amounts has for everybody.
fn amounts(number: u32, units: u32) -> Arc<Vector> {
    let share = move |unit: u32| i128::from(unit.wrapping_mul(2 * number + 2_654_435_761) >> 18);
    of("retailer", 10, (0..units).map(move |unit| (unit, share(unit))), 2)
}

/// Numbers without a pattern.
fn mixed(unit: u32, by: u32) -> u32 {
    unit.wrapping_add(by.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b) >> 12
}

/// A count of every fourth. From one to the next hardly anybody changes.
fn counted(number: u32, units: u32) -> Arc<Vector> {
    let changed = move |unit: u32| mixed(mixed(unit, number), number).is_multiple_of(100);
    set(10, (0..units).filter(move |unit| mixed(*unit, 0).is_multiple_of(4) != changed(*unit)))
}

/// A count of one of many groups, for which much is read to meet some of it.
fn group(number: u32, of: u32, units: u32) -> Arc<Vector> {
    set(10, (0..units).filter(move |unit| mixed(*unit, 1) % of == number % of))
}

/// A third of the numbers are of each kind.
fn number(number: u32, numbers: u32, units: u32) -> Arc<Vector> {
    match number % 3 {
        0 => amounts(number, units),
        1 => counted(number, units),
        _ => group(number / 3, numbers / 3 + 2, units),
    }
}

/// How long this thread ran so far, where the system tells: unlike the clock it does not count what others do meanwhile.
fn ran() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// What a piece of work took, by the clock and of a processor.
fn timed<T>(work: impl FnOnce() -> T) -> (T, String) {
    let (clock, before) = (Instant::now(), ran());
    let result = work();
    (result, format!("{:?}, {:?} of a processor", clock.elapsed(), ran().saturating_sub(before)))
}

/// What a decision takes once the vector is there, and whether the number is answered as it is.
fn decided(known: &mut Known, folder: &Path, names: &[String], new: &Arc<Vector>) -> (String, bool) {
    let (own, took) = timed(|| {
        known.sync(folder, names).unwrap();
        known.span.decide(new, 25, &BORDER).unwrap() == Verdict::Own
    });
    (took, own)
}

fn bytes(folder: &Path, kept: bool) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = files.filter(|file| file.path().extension().is_some_and(|extension| (extension == "kept") == kept));
    files.map(|file| file.metadata().unwrap().len()).sum()
}

/// The most memory that the process has used since it was last asked for, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned();
    std::fs::write("/proc/self/clear_refs", "5").ok();
    line
}

/// Not a test: prints a row of the table in `docs/guard.md`.
#[test]
#[ignore = "takes minutes and gigabytes of disk; CLEANROOM_NUMBERS and CLEANROOM_UNITS say of how much"]
fn what_earlier_numbers_cost() {
    let given = |name: &str, or: u32| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (numbers, units) = (given("CLEANROOM_NUMBERS", 60), given("CLEANROOM_UNITS", 600_000));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names: Vec<String> =
        (0..numbers).map(|of| store::write(folder, &[number(of, numbers, units)]).unwrap().unwrap()).collect();
    let (sum, count) = (amounts(2 * numbers, units), counted(2 * numbers, units));
    let part = group(numbers / 3, numbers / 3 + 2, units);
    println!("{numbers} numbers of {units} units; vectors on disk: {} MB", bytes(folder, false) / 1_000_000);
    peak();
    let (mut first, mut later) = (Known::default(), Known::default());
    let (took, own) = decided(&mut first, folder, &names, &sum);
    println!("worked out anew: {took}, peak {}; own answer: {own}", peak());
    drop(first);
    println!("kept: {} kB", bytes(folder, true) / 1000);
    let (took, own) = decided(&mut later, folder, &names, &sum);
    println!("in a new process: {took}, peak {}; own answer: {own}", peak());
    let earlier = number(numbers - 1, numbers, units);
    for (what, new) in [("a sum", &sum), ("a count", &count), ("a group", &part), ("an earlier one", &earlier)] {
        let (took, own) = decided(&mut later, folder, &names, new);
        println!("{what} more: {took}; own answer: {own}");
    }
    let (_vector, took) = timed(|| amounts(numbers, units));
    println!("to put a vector together: {took}; peak {}", peak());
}
