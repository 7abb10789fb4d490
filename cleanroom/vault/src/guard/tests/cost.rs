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

/// A count of three in four. From one to the next hardly anybody changes, so that much is read to tell them apart.
fn counted(number: u32, units: u32) -> Arc<Vector> {
    let mixed = |unit: u32, by: u32| unit.wrapping_add(by.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b) >> 7;
    let changed = move |unit: u32| mixed(mixed(unit, number), number).is_multiple_of(100);
    set(10, (0..units).filter(move |unit| mixed(*unit, 0).is_multiple_of(4) == changed(*unit)))
}

fn number(number: u32, units: u32) -> Arc<Vector> {
    if number.is_multiple_of(2) { amounts(number, units) } else { counted(number, units) }
}

/// How long a decision takes once the vector is there, and whether the number is answered as it is.
fn decided(known: &mut Known, folder: &Path, names: &[String], new: &Arc<Vector>) -> (Duration, bool) {
    let started = Instant::now();
    known.sync(folder, names).unwrap();
    let own = known.span.decide(new, 25, &BORDER).unwrap() == Verdict::Own;
    (started.elapsed(), own)
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
        (0..numbers).map(|of| store::write(folder, &[number(of, units)]).unwrap().unwrap()).collect();
    let (sum, count) = (amounts(2 * numbers, units), counted(2 * numbers + 1, units));
    println!("{numbers} numbers of {units} units; vectors on disk: {} MB", bytes(folder, false) / 1_000_000);
    peak();
    let (mut first, mut later) = (Known::default(), Known::default());
    let (took, own) = decided(&mut first, folder, &names, &sum);
    println!("worked out anew: {took:?}, peak {}; own answer: {own}", peak());
    drop(first);
    println!("kept: {} kB", bytes(folder, true) / 1000);
    let (took, own) = decided(&mut later, folder, &names, &sum);
    println!("in a new process: {took:?}, peak {}; own answer: {own}", peak());
    let earlier = number(numbers - 1, units);
    for (what, new) in [("a sum", &sum), ("a count", &count), ("an earlier one", &earlier)] {
        let (took, own) = decided(&mut later, folder, &names, new);
        println!("{what} more: {took:?}; own answer: {own}");
    }
    let started = Instant::now();
    drop(number(numbers, units));
    println!("to put a vector together: {:?}; peak {}", started.elapsed(), peak());
}
