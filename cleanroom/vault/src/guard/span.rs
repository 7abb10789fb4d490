//! All that can be computed of released numbers, and whether a new one comes near it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::decide::{Border, Verdict, judge};
use super::field::Residue;
use super::kept::Kept;
use super::search;
use super::sets::{InformationSet, Residual};
use super::vector::Vector;

/// Information sets for the same numbers, each of other units.
const SETS: usize = 3;
/// Most independent numbers of an owner and space that are looked at: what is worked out takes 24 bytes for each pair of them.
pub(super) const MOST: usize = 3000;

/// Numbers that are taken in before what was worked out about them is kept, whatever becomes of those that follow.
const KEPT_EVERY: usize = 32;

/// The released numbers of a room in the order of their release, and what was worked out about them.
#[derive(Default)]
pub(super) struct Span {
    all: Vec<Arc<Vector>>,
    /// How many of them are released for certain.
    released: usize,
    /// Where what is worked out about these is kept.
    dir: Option<PathBuf>,
    /// Set when nobody waits for a decision any more.
    stop: Arc<AtomicBool>,
    bases: HashMap<(String, Vec<String>), Basis>,
}

impl Span {
    /// Makes it that of some numbers, which mostly are those it has and a few more.
    pub(super) fn sync(&mut self, released: Vec<Arc<Vector>>) {
        let same = self.all.iter().zip(&released).take_while(|(one, other)| one.facts == other.facts).count();
        self.truncate(same);
        self.all = released;
        self.released = self.all.len();
    }

    /// Keeps what is worked out in a folder from now on, and reads what is kept there.
    pub(super) fn keep_in(&mut self, dir: &Path) {
        self.dir = Some(dir.to_owned());
    }

    /// Ends decisions early once this is set: they fail then.
    pub(super) fn until(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// All numbers are released for certain.
    pub(super) fn claimed(&mut self) {
        self.released = self.all.len();
        for basis in self.bases.values_mut() {
            basis.keep(&self.all);
        }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The numbers from a place on.
    pub(super) fn since(&self, place: usize) -> Vec<Arc<Vector>> {
        self.all.iter().skip(place).map(Arc::clone).collect()
    }

    /// Forgets the numbers from a place on.
    pub(super) fn truncate(&mut self, place: usize) {
        self.all.truncate(place);
        self.released = self.released.min(place);
        for basis in self.bases.values_mut() {
            basis.truncate(place);
        }
    }

    /// Decides on a number of which at least `floor` units are asked, and takes it in where it is to be shown as it is.
    ///
    /// # Errors
    /// Where an earlier number cannot be read; then there is no answer.
    pub(super) fn decide(&mut self, new: &Arc<Vector>, floor: u64, border: &Border) -> io::Result<Verdict> {
        let mut owners = new.facts.owners.clone();
        owners.sort_unstable();
        let about = (new.facts.space.clone(), owners);
        let mut basis = match self.bases.remove(&about) {
            Some(basis) => basis,
            None => Basis::new(&about, self.dir.as_deref(), border)
                .with_kept(self.all.get(..self.released).unwrap_or_default()),
        };
        let verdict = self.decide_by(&mut basis, new, floor, border);
        if let Ok((Verdict::Own, looks)) = &verdict {
            basis.push(looks, self.all.len());
            self.all.push(Arc::clone(new));
        }
        // Whatever came of it, no number is half taken in.
        self.bases.insert(about, basis);
        Ok(verdict?.0)
    }

    fn decide_by(
        &self,
        basis: &mut Basis,
        new: &Vector,
        floor: u64,
        border: &Border,
    ) -> io::Result<(Verdict, Vec<Look>)> {
        let (known, released) = (basis.seen, self.all.get(..self.released).unwrap_or_default());
        let taken = (known..self.all.len()).try_for_each(|place| {
            self.wanted()?;
            basis.take(&self.all, place, new, border)?;
            if place % KEPT_EVERY == 0 {
                basis.keep(released);
            }
            Ok::<_, io::Error>(())
        });
        if basis.seen > known {
            basis.keep(released);
        }
        taken?;
        self.wanted()?;
        basis.verdict(&self.all, new, floor, border)
    }

    /// # Errors
    /// Where nobody waits for a decision any more.
    fn wanted(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }
}

/// Independent numbers of one space that have an owner in common with some owners.
struct Basis {
    /// The numbers, by their places among all.
    members: Vec<usize>,
    /// How many of all numbers were looked at.
    seen: usize,
    sets: Vec<InformationSet>,
    name: String,
    kept: Option<Kept>,
}

/// What is to be known to take a number in: for each set, what is left of it.
struct Look {
    residual: Residual,
    /// What the units of the residual's sample add to the numbers so far.
    columns: Vec<Vec<Residue>>,
    /// Which of these units is to be taken.
    pivot: usize,
}

impl Basis {
    fn new((space, owners): &(String, Vec<String>), dir: Option<&Path>, border: &Border) -> Self {
        let name = format!("{space:?} {owners:?}");
        let starts = border.secrets(&format!("start {name}"), SETS);
        let sets = starts.into_iter().map(|start| InformationSet::new((start >> 32) as u32)).collect();
        let kept = dir.map(|dir| Kept::new(dir, &name, border));
        Self { members: Vec::new(), seen: 0, sets, name, kept }
    }

    /// The same with what is kept of released numbers.
    fn with_kept(mut self, released: &[Arc<Vector>]) -> Self {
        let Self { members, seen, sets, kept: Some(kept), .. } = &mut self else { return self };
        let mut read = kept.read(sets.len());
        for (place, vector) in released.iter().enumerate() {
            let Some(steps) = read(vector, members.len()) else { break };
            if !steps.is_empty() {
                members.push(place);
            }
            for (set, step) in sets.iter_mut().zip(steps) {
                set.take(step);
            }
            *seen = place + 1;
        }
        drop(read);
        self
    }

    /// Keeps what was worked out about released numbers.
    fn keep(&mut self, released: &[Arc<Vector>]) {
        let Self { members, seen, sets, kept: Some(kept), .. } = self else { return };
        if kept.records > 0 && !kept.is_there() {
            kept.forget();
        }
        let places = released.iter().enumerate().take(*seen).skip(kept.records);
        kept.write(places.map(|(place, vector)| {
            let member = members.binary_search(&place).ok();
            let steps = sets.iter().filter_map(|set| set.step(member?)).collect();
            (vector.as_ref(), steps)
        }));
    }

    fn truncate(&mut self, place: usize) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.records > place) {
            kept.forget();
        }
        self.seen = self.seen.min(place);
        while self.members.pop_if(|member| *member >= place).is_some() {
            for set in &mut self.sets {
                set.pop();
            }
        }
    }

    fn members<'v>(&self, all: &'v [Arc<Vector>]) -> Vec<&'v Vector> {
        self.members.iter().filter_map(|member| all.get(*member)).map(AsRef::as_ref).collect()
    }

    /// Takes in a number that was released before, unless it follows from others or is of other owners than `of`.
    fn take(&mut self, all: &[Arc<Vector>], place: usize, of: &Vector, border: &Border) -> io::Result<()> {
        let Some(vector) = all.get(place) else { return Ok(()) };
        // A number that cannot be read is not one that was looked at: it is tried again.
        if !of.is_of(vector) || self.members.len() >= MOST {
            self.seen = place + 1;
            return Ok(());
        }
        let members = self.members(all);
        let mut looks = Vec::with_capacity(self.sets.len());
        for (set, number) in self.sets.iter().zip(0_usize..) {
            let residual = set.residual(vector, &members, 1)?;
            if residual.support == 0 {
                self.seen = place + 1;
                return Ok(());
            }
            looks.push(self.look((number, residual), vector, &members, border)?);
        }
        self.push(&looks, place);
        Ok(())
    }

    fn push(&mut self, looks: &[Look], place: usize) {
        for (set, look) in self.sets.iter_mut().zip(looks) {
            if let (Some(unit), Some(column)) = (look.residual.sample.get(look.pivot), look.columns.get(look.pivot)) {
                set.push(&look.residual.factors, *unit, column);
            }
        }
        if !looks.is_empty() {
            self.members.push(place);
        }
        self.seen = place + 1;
    }

    /// What a number is answered with; where that is what was asked for, with all that is to be known to take it in.
    fn verdict(
        &self,
        all: &[Arc<Vector>],
        new: &Vector,
        floor: u64,
        border: &Border,
    ) -> io::Result<(Verdict, Vec<Look>)> {
        let members = self.members(all);
        let limit =
            members.iter().map(|member| member.facts.difference).chain([new.facts.difference]).max().unwrap_or(0);
        let limit = limit.saturating_mul(2);
        let mut hidden = false;
        // What follows from released numbers is an answer; that nothing is shown is one where nothing follows.
        let mut answered = |factors: &[Residue]| {
            Ok::<_, io::Error>(match judge(new, &members, factors, floor, border)? {
                Some(Verdict::Suppressed) => {
                    hidden = true;
                    None
                }
                verdict => verdict,
            })
        };
        let none = vec![Residue::ZERO; members.len()];
        if new.facts.entries < limit
            && let Some(verdict) = answered(&none)?
        {
            return Ok((verdict, Vec::new()));
        }
        let mut residuals = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let residual = set.residual(new, &members, limit)?;
            if residual.support < limit
                && let Some(verdict) = answered(&residual.factors)?
            {
                return Ok((verdict, Vec::new()));
            }
            residuals.push(residual);
        }
        let mut looks = Vec::with_capacity(self.sets.len());
        for ((number, residual), set) in residuals.into_iter().enumerate().zip(&self.sets) {
            let look = self.look((number, residual), new, &members, border)?;
            for factors in search::candidates(set, &look.residual, &look.columns, limit) {
                if let Some(verdict) = answered(&factors)? {
                    return Ok((verdict, Vec::new()));
                }
            }
            looks.push(look);
        }
        for factors in search::all(new, &members)? {
            if let Some(verdict) = answered(&factors)? {
                return Ok((verdict, Vec::new()));
            }
        }
        if hidden || members.len() >= MOST {
            return Ok((Verdict::Suppressed, Vec::new()));
        }
        // Nothing is left of a number that is nobody's.
        if looks.iter().any(|look| look.residual.sample.is_empty()) {
            looks.clear();
        }
        Ok((Verdict::Own, looks))
    }

    /// What the units of a residual's sample add to the numbers, and which of them is the best to take: one of those that are
    /// like the most others. Few units are never told apart from many that add the same to every number, up to a factor.
    fn look(
        &self,
        (number, residual): (usize, Residual),
        new: &Vector,
        members: &[&Vector],
        border: &Border,
    ) -> io::Result<Look> {
        let keys = || residual.sample.iter().map(|(key, _left)| *key);
        let mut columns = vec![Vec::with_capacity(members.len() + 1); residual.sample.len()];
        // Two sums with secret factors are in the same proportion in like units, and in others almost never.
        let secrets = border.secrets(&format!("classes {}", self.name), (members.len() + 1) * 2);
        let mut sums = vec![(Residue::ZERO, Residue::ZERO); residual.sample.len()];
        for (vector, by) in members.iter().copied().chain([new]).zip(secrets.chunks(2)) {
            let [one, other] = [by.first(), by.last()].map(|by| Residue::of_bits(by.copied().unwrap_or(0)));
            for ((share, column), sums) in vector.shares_at(keys())?.into_iter().zip(&mut columns).zip(&mut sums) {
                let share = Residue::of(share);
                column.push(share);
                if !share.is_zero() {
                    *sums = (sums.0 + one * share, sums.1 + other * share);
                }
            }
        }
        for column in &mut columns {
            // The new number's own.
            column.pop();
        }
        let classes: Vec<Residue> = sums.into_iter().map(|(one, other)| one * other.inverse()).collect();
        let mut sizes: HashMap<Residue, usize> = HashMap::new();
        for class in &classes {
            *sizes.entry(*class).or_default() += 1;
        }
        let like = |place: &usize| classes.get(*place).and_then(|class| sizes.get(class).copied()).unwrap_or(0);
        let most = (0..classes.len()).map(|place| like(&place)).max();
        let best: Vec<usize> = (0..classes.len()).filter(|place| Some(like(place)) == most).collect();
        let drawn = border.secrets(&format!("unit {number} {} {}", self.name, new.facts.digest), 1);
        let drawn = drawn.first().copied().unwrap_or(0);
        let drawn = drawn.checked_rem(best.len() as u64).unwrap_or(0);
        let pivot = usize::try_from(drawn).ok().and_then(|drawn| best.get(drawn)).copied().unwrap_or(0);
        Ok(Look { residual, columns, pivot })
    }
}
