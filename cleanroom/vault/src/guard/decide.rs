//! What a number is answered with that comes near a combination of released ones.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;

use super::field::{Residue, add};
use super::merge::merge;
use super::sets::sum;
use super::vector::Vector;

/// Products that it may take to see whether factors are borne out.
const WORK: u64 = 20_000_000;

/// A key of the room: without it nobody knows where the border of a combination is, nor which units are looked at first.
pub(crate) struct Border(pub(crate) [u8; 32]);

/// What a number is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was asked for.
    Own,
    /// What follows from released numbers: `ticks / of * 10^-scale`, where `of` is positive.
    Follows { ticks: i128, of: i128, scale: i8 },
    /// Nothing.
    Suppressed,
}

/// The verdict on a number of which at least `floor` units are asked, where it differs from the combination with these factors
/// in fewer units than the border; `None` where it does not.
///
/// What follows from released numbers is said only where its factors do not tell of few: see [`borne_out`]; or where it is one
/// earlier number as it stands.
///
/// # Errors
/// Where an earlier number cannot be read; then there is no answer.
pub(super) fn judge(
    new: &Vector,
    members: &[&Vector],
    factors: &[Residue],
    floor: u64,
    border: &Border,
) -> io::Result<Option<Verdict>> {
    let terms: Vec<(&Vector, Residue)> =
        members.iter().copied().zip(factors.iter().copied()).filter(|(_vector, factor)| !factor.is_zero()).collect();
    let vectors: Vec<&Vector> = std::iter::once(new).chain(terms.iter().map(|(vector, _factor)| *vector)).collect();
    let difference = vectors.iter().map(|vector| vector.facts.difference).max().unwrap_or(0);
    let border = border.between(&vectors);
    let by: Vec<Residue> =
        std::iter::once(Residue::ONE).chain(terms.iter().map(|(_vector, factor)| -*factor)).collect();
    let mut differ = 0_u64;
    merge(&vectors, 0, |_key, shares| {
        differ += u64::from(!sum(shares, &by).is_zero());
        if differ < border { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if differ >= border {
        return Ok(None);
    }
    if terms.is_empty() {
        // It is near nothing at all: an answer by itself, unless hardly anybody of many adds anything.
        let zeros = new.facts.units.saturating_sub(new.facts.entries);
        return Ok((zeros >= difference).then_some(Verdict::Follows { ticks: 0, of: 1, scale: 0 }));
    }
    let Some(fractions) = fractions(new, &terms) else { return Ok(Some(Verdict::Suppressed)) };
    let alone = match (terms.as_slice(), fractions.as_slice()) {
        ([(earlier, _)], [fraction]) => {
            if earlier.facts.units < floor {
                return Ok(Some(Verdict::Suppressed));
            }
            *fraction == (1, 1)
        }
        _ => false,
    };
    if !alone && !borne_out(&vectors, &by, difference)? {
        return Ok(Some(Verdict::Suppressed));
    }
    let terms: Vec<(&Vector, (i128, i128))> = terms.iter().map(|(vector, _factor)| *vector).zip(fractions).collect();
    if exactly(new, &terms)? != Some(differ) {
        return Ok(Some(Verdict::Suppressed));
    }
    Ok(Some(match value(&terms) {
        Some((ticks, of, scale)) => Verdict::Follows { ticks, of, scale },
        None => Verdict::Suppressed,
    }))
}

/// Whether factors still follow where any units, fewer than `difference`, are taken away from those that bear them out: those
/// are enough for that many disjoint information sets, put together as units come. Else the factors would tell of few, at the
/// worst be somebody's amount. `false` also where it would take too long to tell.
fn borne_out(vectors: &[&Vector], by: &[Residue], difference: u64) -> io::Result<bool> {
    let (terms, mut work) = (vectors.len().saturating_sub(1), WORK);
    let most = usize::try_from(difference).unwrap_or(usize::MAX);
    let (mut sets, mut full) = (Vec::new(), 0);
    let mut classes: HashMap<Vec<(usize, Residue)>, usize> = HashMap::new();
    merge(vectors, 0, |_key, shares| {
        let mut class: Vec<(usize, Residue)> =
            shares.iter().filter_map(|(index, share)| Some((index.checked_sub(1)?, Residue::of(*share)))).collect();
        let first = class.first().map_or(Residue::ZERO, |(_index, share)| share.inverse());
        if first.is_zero() || !sum(shares, by).is_zero() {
            return ControlFlow::Continue(());
        }
        let mut column = vec![Residue::ZERO; terms];
        for (index, share) in &mut class {
            *share = *share * first;
            if let Some(place) = column.get_mut(*index) {
                *place = *share;
            }
        }
        work = work.saturating_sub(terms as u64);
        // A unit more that is like others is of no use where each set has one of them.
        let like = classes.entry(class).or_default();
        *like += 1;
        if *like <= most && placed(&mut sets, most, &column, &mut work) == Some(terms) {
            full += 1;
        }
        if full == most || work == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(full == most)
}

/// Units in echelon form: what each adds, and where its first number is, which is 1.
type Echelon = Vec<(usize, Vec<Residue>)>;

/// Puts a unit into the first of at most `most` sets that do not determine what it adds; how many units that set has then.
fn placed(sets: &mut Vec<Echelon>, most: usize, column: &[Residue], work: &mut u64) -> Option<usize> {
    if sets.len() < most && sets.last().is_none_or(|set| !set.is_empty()) {
        sets.push(Vec::new());
    }
    for set in sets.iter_mut().filter(|set| set.len() < column.len()) {
        let mut left = column.to_vec();
        *work = work.saturating_sub(set.len() as u64 + 1);
        for (pivot, row) in set.iter() {
            let by = left.get(*pivot).copied().unwrap_or_default();
            if !by.is_zero() {
                *work = work.saturating_sub(row.len() as u64);
                add(&mut left, -by, row);
            }
        }
        if let Some((pivot, first)) = left.iter().enumerate().find(|(_pivot, number)| !number.is_zero()) {
            let inverse = first.inverse();
            set.push((pivot, left.iter().map(|number| *number * inverse).collect()));
            return Some(set.len());
        }
    }
    None
}

/// The factors by which the numbers themselves are multiplied, as small fractions; `None` where they are none.
fn fractions(new: &Vector, terms: &[(&Vector, Residue)]) -> Option<Vec<(i128, i128)>> {
    let tens = |scale: i8| {
        let power = (0..scale.unsigned_abs()).fold(Residue::ONE, |power, _| power * Residue::of(10));
        if scale < 0 { power.inverse() } else { power }
    };
    let unit = |vector: &Vector| Residue::of(vector.facts.factor) * tens(vector.facts.scale).inverse();
    terms
        .iter()
        .map(|(vector, factor)| {
            let theirs = unit(vector);
            if theirs.is_zero() {
                return None;
            }
            (*factor * unit(new) * theirs.inverse()).fraction()
        })
        .collect()
}

/// In how many units a number differs from a combination, without a modulus; `None` where numbers are too large to tell.
fn exactly(new: &Vector, terms: &[(&Vector, (i128, i128))]) -> io::Result<Option<u64>> {
    let vectors: Vec<&Vector> = std::iter::once(new).chain(terms.iter().map(|(vector, _by)| *vector)).collect();
    let scale = vectors.iter().map(|vector| vector.facts.scale).max().unwrap_or(0);
    let by = || {
        let common = common(terms)?;
        let times = std::iter::once(Some(common)).chain(
            terms
                .iter()
                .map(|(_vector, (numerator, of))| common.checked_div(*of)?.checked_mul(*numerator)?.checked_neg()),
        );
        vectors.iter().zip(times).map(|(vector, times)| vector.multiplier(scale)?.checked_mul(times?)).collect()
    };
    let by: Option<Vec<i128>> = by();
    let Some(by) = by else { return Ok(None) };
    let mut differ = Some(0_u64);
    merge(&vectors, 0, |_key, shares| {
        let sum =
            shares.iter().try_fold(0_i128, |sum, (index, share)| sum.checked_add(by.get(*index)?.checked_mul(*share)?));
        differ = differ.zip(sum).map(|(differ, sum)| differ + u64::from(sum != 0));
        if differ.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(differ)
}

/// What a combination comes to: ticks, by what they are divided, and the scale.
fn value(terms: &[(&Vector, (i128, i128))]) -> Option<(i128, i128, i8)> {
    let scale = terms.iter().map(|(vector, _by)| vector.facts.scale).max()?;
    let common = common(terms)?;
    let ticks = terms.iter().try_fold(0_i128, |ticks, (vector, (numerator, of))| {
        let times = common.checked_div(*of)?.checked_mul(*numerator)?;
        let own = vector.facts.total.checked_mul(vector.multiplier(scale)?)?;
        ticks.checked_add(own.checked_mul(times)?)
    })?;
    Some(match ticks.checked_rem(common)? {
        0 => (ticks.checked_div(common)?, 1, scale),
        _ => (ticks, common, scale),
    })
}

/// The least common denominator.
fn common(terms: &[(&Vector, (i128, i128))]) -> Option<i128> {
    terms.iter().try_fold(1_i128, |common, (_vector, (_numerator, of))| {
        let (mut a, mut b) = (common, *of);
        while b != 0 {
            (a, b) = (b, a.checked_rem(b)?);
        }
        common.checked_div(a)?.checked_mul(*of)
    })
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

    /// Numbers that nobody outside knows, the same for the same purpose.
    pub(super) fn secrets(&self, purpose: &str, count: usize) -> Vec<u64> {
        let mut output = blake3::Hasher::new_keyed(&self.0).update(purpose.as_bytes()).finalize_xof();
        let mut secrets = Vec::with_capacity(count);
        for _ in 0..count {
            let mut bytes = [0; 8];
            output.fill(&mut bytes);
            secrets.push(u64::from_le_bytes(bytes));
        }
        secrets
    }
}
