//! What a number is answered with, beside what was released before.

use std::io;

pub(super) use super::cover::WORK;
use super::cover::{Cover, Search};
use super::vector::{Vector, combined, difference};

/// Greatest number of times that rows are taken to stand in a number.
const MULTIPLE: u128 = 16;
/// Units looked at before a search.
const FIRST: usize = 4096;
/// Most multiples looked at beside the number itself.
const FORMS: usize = 4;

/// A key of the room: without it nobody knows where the border of a pair is.
pub(crate) struct Border(pub(crate) [u8; 32]);

/// What a number is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was asked for.
    Own,
    /// What follows from released numbers: `ticks * 10^-scale`.
    Earlier {
        ticks: i128,
        scale: i8,
        /// The place of the number that this is a multiple of, where that was not told before.
        of: Option<usize>,
    },
    /// Nothing.
    Suppressed,
}

/// Decides on a number of which at least `floor` units are asked. `released` are in the order of their release; `work` is what
/// is left of [`WORK`] for the answer.
///
/// # Errors
/// Where an earlier number cannot be read; then there is no answer.
pub(crate) fn decide(
    new: &Vector,
    released: &[&Vector],
    floor: u64,
    (border, work): (&Border, &mut u64),
) -> io::Result<Verdict> {
    let released: Vec<(usize, &Vector)> =
        released.iter().copied().enumerate().filter(|(_place, other)| new.is_of(other)).collect();
    // The first of those that are near: which of them is nearest would be told by one unit.
    for multiple in [false, true] {
        for (place, earlier) in &released {
            let border = border.between(&[new, earlier]);
            let Some(ticks) = pair(new, earlier, border, multiple)? else { continue };
            if earlier.facts.units < floor {
                return Ok(Verdict::Suppressed);
            }
            return Ok(match ticks {
                Some((ticks, scale)) => Verdict::Earlier { ticks, scale, of: multiple.then_some(*place) },
                None => Verdict::Suppressed,
            });
        }
    }
    let released: Vec<&Vector> = released.into_iter().map(|(_place, earlier)| earlier).collect();
    let scale = released.iter().map(|other| other.facts.scale).chain([new.facts.scale]).max().unwrap_or(0);
    let all: Vec<(&Vector, i128)> = released.iter().map(|other| (*other, other.multiplier(scale))).collect();
    let own = new.multiplier(scale);
    for form in forms(own, &all) {
        match union(new, form, &all, (border, work))? {
            Union::None => {}
            Union::CutShort => return Ok(Verdict::Suppressed),
            Union::Sum(sum) => {
                let ticks = sum.and_then(|sum| sum.checked_mul(own)).and_then(|sum| sum.checked_div(form));
                return Ok(match ticks {
                    Some(ticks) => Verdict::Earlier { ticks, scale, of: None },
                    None => Verdict::Suppressed,
                });
            }
        }
    }
    Ok(Verdict::Own)
}

/// What a number's entries are multiplied by to compare it: what they are, and, where rows may stand several times in it,
/// what they would be if each stood there once.
fn forms(own: i128, all: &[(&Vector, i128)]) -> Vec<i128> {
    let mut forms = vec![own];
    for (_vector, multiplier) in all {
        let times = own.checked_rem(*multiplier).filter(|rest| *rest == 0).and_then(|_| own.checked_div(*multiplier));
        if times.is_some_and(|times| (2..=MULTIPLE).contains(&times.unsigned_abs())) && !forms.contains(multiplier) {
            forms.push(*multiplier);
        }
        if forms.len() > FORMS {
            break;
        }
    }
    forms
}

/// The earlier of two numbers, in ticks of a scale, where they differ in fewer units than the border; as a multiple, where
/// what they are multiples of does. `Some(None)` where that is no number that can be shown.
fn pair(new: &Vector, earlier: &Vector, border: u64, multiple: bool) -> io::Result<Option<Option<(i128, i8)>>> {
    let scale = new.facts.scale.max(earlier.facts.scale);
    let (own, theirs) = (new.multiplier(scale), earlier.multiplier(scale));
    if multiple && own == theirs {
        return Ok(None);
    }
    let (one, other, told) = if multiple { (1, 1, own) } else { (own, theirs, theirs) };
    if difference((new, one), (earlier, other), border)? >= border {
        return Ok(None);
    }
    Ok(Some(earlier.facts.total.checked_mul(told).map(|ticks| (ticks, scale))))
}

/// What came of looking for a union.
enum Union {
    /// What follows from its parts; `None` where that is no number that can be shown.
    Sum(Option<i128>),
    None,
    CutShort,
}

/// What follows of released numbers that add up to the new one, or that with it add up to a released one, but for fewer
/// units than the border.
fn union(new: &Vector, own: i128, all: &[(&Vector, i128)], (border, work): (&Border, &mut u64)) -> io::Result<Union> {
    let limit = all.iter().map(|(other, _)| other.facts.difference).chain([new.facts.difference]).max().unwrap_or(0);
    let limit = limit.saturating_mul(2);
    let mut cut_short = false;
    for whole in std::iter::once(None).chain(all.iter().enumerate().map(Some)) {
        let mut target = vec![(new, own)];
        let mut grows = new.grows();
        if let Some((_index, (whole, multiplier))) = whole {
            if !inside((new, own), (whole, *multiplier), limit)? {
                continue;
            }
            grows &= whole.grows();
            target = vec![(*whole, *multiplier), (new, own.wrapping_neg())];
        }
        let parts: Vec<(&Vector, i128)> = all
            .iter()
            .enumerate()
            .filter(|(index, (part, _))| {
                whole.is_none_or(|(whole, _)| *index != whole) && (!grows || part.grows()) && part.facts.entries > 0
            })
            .map(|(_index, part)| *part)
            .collect();
        let mut close = |taken: &[usize]| {
            let mut terms = target.clone();
            let mut sets: Vec<&Vector> = target.iter().map(|(vector, _)| *vector).collect();
            for index in taken {
                let Some((part, multiplier)) = parts.get(*index) else { return Ok(false) };
                terms.push((part, multiplier.wrapping_neg()));
                sets.push(part);
            }
            Ok((combined(&terms, u32::MAX)?.len() as u64) < border.between(&sets))
        };
        match (Search { target: &target, grows, parts: &parts, limit }).run(work, &mut close)? {
            Cover::None => {}
            Cover::CutShort => cut_short = true,
            Cover::Found(taken) => {
                let worth = |(vector, multiplier): &(&Vector, i128)| vector.facts.total.checked_mul(*multiplier);
                let parts: Option<i128> = taken
                    .iter()
                    .try_fold(0_i128, |sum, index| parts.get(*index).and_then(worth).and_then(|n| sum.checked_add(n)));
                let sum = match whole {
                    None => parts,
                    Some((_index, whole)) => {
                        worth(whole).zip(parts).and_then(|(whole, parts)| whole.checked_sub(parts))
                    }
                };
                return Ok(Union::Sum(sum));
            }
        }
    }
    Ok(if cut_short { Union::CutShort } else { Union::None })
}

/// Whether a number can be part of another, but for fewer units than `limit`, as far as the first units tell: what it lets
/// through is looked at by the search.
fn inside((new, own): (&Vector, i128), (whole, multiplier): (&Vector, i128), limit: u64) -> io::Result<bool> {
    let grows = new.grows() && whole.grows();
    if grows && new.facts.entries > whole.facts.entries.saturating_add(limit) {
        return Ok(false);
    }
    let mut others = whole.entries();
    let mut other = others.next().transpose()?;
    let mut outside = 0;
    for entry in new.entries().take(FIRST) {
        let (key, share) = entry?;
        while other.is_some_and(|(known, _)| known < key) {
            other = others.next().transpose()?;
        }
        outside += match other {
            Some((known, of_whole)) if known == key => {
                u64::from(grows && share.wrapping_mul(own) > of_whole.wrapping_mul(multiplier))
            }
            _ => 1,
        };
        if outside >= limit {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Border {
    /// How many units are a difference between some numbers: from the greatest that an owner asks for to twice that, less
    /// one, the same whenever the same sets are compared.
    pub(super) fn between(&self, vectors: &[&Vector]) -> u64 {
        let least = vectors.iter().map(|vector| vector.facts.difference).max().unwrap_or(0);
        let mut digests: Vec<&str> = vectors.iter().map(|vector| vector.facts.digest.as_str()).collect();
        digests.sort_unstable();
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for digest in digests {
            hasher.update(digest.as_bytes());
        }
        let drawn = hasher.finalize().as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        least.saturating_add(drawn.checked_rem(least).unwrap_or(0))
    }
}
