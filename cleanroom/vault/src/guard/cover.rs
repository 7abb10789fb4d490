//! Whether released numbers add up to a vector, but for a few units.
//!
//! Parts are looked for in a sample of units first. A union that differs from the vector in few units differs in no more of
//! them within the sample, so what the sample rules out is ruled out; what it lets through is looked for again in more units,
//! in the end in all. The search takes or leaves one part at a time, and turns back where more units than allowed are left
//! that no part could stand for. It is complete but for its limit on work, which is told apart from "there is none".

use std::io;

use super::vector::{Vector, combined};

/// Units in the first sample, and by how much each further one is larger.
const SAMPLE: u64 = 4096;
const REFINED: u64 = 32;
/// Places that the searches for one answer may look at together: some seconds' work, so that no question holds a room up.
pub(super) const WORK: u64 = 100_000_000;
/// Most parts of a union.
const PARTS: usize = 1024;

/// What came of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// Positions of the parts.
    Found(Vec<usize>),
    None,
    /// Not known: the limit on work was reached.
    CutShort,
}

/// The search for parts of one vector.
pub(super) struct Search<'a> {
    /// The vector: a number taken with its sign, or one number less another.
    pub(super) target: &'a [(&'a Vector, i128)],
    /// Whether no unit adds less than zero to the target or a part.
    pub(super) grows: bool,
    /// What it may be made of, as multiplied.
    pub(super) parts: &'a [(&'a Vector, i128)],
    /// As many units make a difference, whatever the two sets.
    pub(super) limit: u64,
}

/// A part's entries in the sample: positions and shares.
type Sampled = Vec<(usize, i128)>;

struct State<'a> {
    search: &'a Search<'a>,
    /// Parts that may be, by their position among the search's.
    parts: Vec<(usize, Sampled)>,
    /// What is left of the target at each position.
    left: Vec<i128>,
    decided: Vec<bool>,
    taken: Vec<usize>,
    work: u64,
    whole: bool,
}

enum Step {
    Found,
    None,
    CutShort,
    /// The sample says yes where all units say no.
    TooCoarse,
}

impl Search<'_> {
    /// Looks for parts of which `close` says that they and the target differ in too few units.
    /// Takes what it looks at from `work`.
    pub(super) fn run(&self, work: &mut u64, close: &mut dyn FnMut(&[usize]) -> io::Result<bool>) -> io::Result<Cover> {
        let size = self.target.iter().map(|(vector, _)| vector.facts.entries).max().unwrap_or(0);
        let mut sample = SAMPLE;
        loop {
            let whole = size <= sample;
            // As many of the places as there are units to look at; they are spread evenly over all places.
            let bound = if whole { u64::from(u32::MAX) } else { (u64::from(u32::MAX) / size).saturating_mul(sample) };
            let bound = u32::try_from(bound).unwrap_or(u32::MAX);
            let mut state = self.state(bound, whole, *work)?;
            let step = state.step(close)?;
            *work = state.work;
            match step {
                Step::Found => {
                    state.taken.sort_unstable();
                    return Ok(Cover::Found(state.taken));
                }
                Step::None => return Ok(Cover::None),
                Step::CutShort => return Ok(Cover::CutShort),
                Step::TooCoarse => {
                    sample = sample.saturating_mul(REFINED);
                }
            }
        }
    }

    fn state(&self, bound: u32, whole: bool, work: u64) -> io::Result<State<'_>> {
        let target = combined(self.target, bound)?;
        let mut work = work.saturating_sub(target.len() as u64);
        let (places, left): (Vec<u32>, Vec<i128>) = target.into_iter().unzip();
        let mut parts = Vec::new();
        for (index, (vector, multiplier)) in self.parts.iter().enumerate() {
            let (mut sampled, mut outside): (Sampled, u64) = (Vec::new(), 0);
            let mut place = 0;
            for entry in vector.entries() {
                let (key, share) = entry?;
                if key > bound || outside >= self.limit {
                    break;
                }
                while places.get(place).is_some_and(|known| *known < key) {
                    place += 1;
                }
                let share = share.wrapping_mul(*multiplier);
                match places.get(place) {
                    Some(known) if *known == key => {
                        outside += u64::from(self.beyond(share, left.get(place).copied().unwrap_or(0)));
                        sampled.push((place, share));
                    }
                    // Units of the part that are not the target's count when the union is looked at as a whole.
                    _ => outside += 1,
                }
            }
            work = work.saturating_sub(sampled.len() as u64);
            if outside < self.limit && !sampled.is_empty() {
                parts.push((index, sampled));
            }
        }
        let decided = vec![false; parts.len()];
        Ok(State { search: self, parts, left, decided, taken: Vec::new(), work, whole })
    }

    /// Whether a unit's share cannot be part of what is left of the target there.
    fn beyond(&self, share: i128, left: i128) -> bool {
        if self.grows { share > left } else { share != left }
    }
}

impl State<'_> {
    fn step(&mut self, close: &mut dyn FnMut(&[usize]) -> io::Result<bool>) -> io::Result<Step> {
        let limit = self.search.limit;
        let mut passed: Vec<usize> = Vec::new();
        let outcome = loop {
            let unequal = self.left.iter().filter(|left| **left != 0).count() as u64;
            if unequal < limit && !self.taken.is_empty() {
                let close = close(&self.taken)?;
                if close {
                    return Ok(Step::Found);
                }
                if !self.whole {
                    return Ok(Step::TooCoarse);
                }
            }
            let Some(next) = self.pivot() else { break Step::None };
            if self.work == 0 || self.taken.len() >= PARTS {
                break Step::CutShort;
            }
            self.apply(next, true);
            let found = self.step(close)?;
            if !matches!(found, Step::None) {
                return Ok(found);
            }
            self.apply(next, false);
            // Left out from here on.
            if let Some(decided) = self.decided.get_mut(next) {
                *decided = true;
            }
            passed.push(next);
        };
        for part in passed {
            if let Some(decided) = self.decided.get_mut(part) {
                *decided = false;
            }
        }
        Ok(outcome)
    }

    /// Takes a part, or puts it back.
    fn apply(&mut self, part: usize, take: bool) {
        let Some((index, sampled)) = self.parts.get(part) else { return };
        for (place, share) in sampled {
            if let Some(left) = self.left.get_mut(*place) {
                *left = if take { left.wrapping_sub(*share) } else { left.wrapping_add(*share) };
            }
        }
        if take {
            self.taken.push(*index);
        } else {
            self.taken.pop();
        }
        if let Some(decided) = self.decided.get_mut(part) {
            *decided = take;
        }
    }

    /// A part for the place that fewest can stand for; `None` where too much is left that none can.
    fn pivot(&mut self) -> Option<usize> {
        let limit = self.search.limit;
        // How many parts can stand for a place, and the first of them.
        let mut covers: Vec<(u32, usize)> = vec![(0, usize::MAX); self.left.len()];
        let mut looked = self.left.len() as u64;
        for (part, (_index, sampled)) in self.parts.iter().enumerate() {
            if self.decided.get(part).copied().unwrap_or(true) {
                continue;
            }
            looked += sampled.len() as u64;
            let left = |place: usize| self.left.get(place).copied().unwrap_or(0);
            let beyond = sampled.iter().filter(|(place, share)| self.search.beyond(*share, left(*place))).count();
            if beyond as u64 >= limit {
                continue;
            }
            for (place, _share) in sampled {
                if let Some((count, first)) = covers.get_mut(*place) {
                    *count += 1;
                    *first = (*first).min(part);
                }
            }
        }
        self.work = self.work.saturating_sub(looked);
        let open = || self.left.iter().zip(&covers).filter(|(left, _covers)| **left != 0).map(|(_left, covers)| covers);
        if open().filter(|(count, _first)| *count == 0).count() as u64 >= limit {
            return None;
        }
        open().filter(|(count, _first)| *count > 0).min_by_key(|(count, _first)| *count).map(|(_count, first)| *first)
    }
}
