//! Which identities have which number, in little memory and as much of it as allowed.

use std::mem::size_of;

use cleanroom_keys::KeyError;
use rayon::iter::ParallelIterator as _;
use rayon::slice::ParallelSlice as _;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Parts that grow one at a time, so that growing takes little memory beyond the table's own.
const PARTS: u32 = 256;

/// Entries that a part begins with.
const SMALLEST: usize = 8;

/// The number of no identity. It marks an entry that is free.
pub(crate) const NOBODY: u32 = u32::MAX;

/// What stands for a token in the table: 128 bits of its hash under a key that only this ingestion knows.
///
/// Owners can upload tokens of their choice, so nothing that they can compute may be compared in place of tokens. Of n
/// identities, two have the same mark with a probability of n²/2^129: about 2^-65 for the 2^32 that a space can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark([u32; 4]);

/// An identity.
#[derive(Debug, Clone, Copy)]
struct Entry {
    mark: Mark,
    number: u32,
}

/// There is no memory for another identity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// A map from identities to numbers: open addressing with linear probing in [`PARTS`] parts, each between half and four
/// fifths full but for the smallest. An identity takes 25 to 38 bytes.
pub(crate) struct Known {
    key: [u8; 32],
    parts: Vec<Part>,
    /// Entries that may yet be allocated.
    left: usize,
}

#[derive(Clone)]
struct Part {
    entries: Vec<Entry>,
    filled: usize,
}

impl Known {
    /// An empty map that takes at most `memory` bytes, or what the smallest takes.
    pub(crate) fn new(memory: usize) -> Result<Self, KeyError> {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).map_err(|_unspecified| KeyError::Randomness)?;
        let parts = vec![Part { entries: vec![FREE; SMALLEST], filled: 0 }; PARTS as usize];
        let left = (memory / size_of::<Entry>()).saturating_sub(SMALLEST * parts.len());
        Ok(Self { key, parts, left })
    }

    /// Makes room for that many identities at once.
    pub(crate) fn reserve(&mut self, identities: usize) -> Result<(), OutOfMemory> {
        // What a part holds varies by a few times the square root.
        let of_part = identities / self.parts.len();
        let entries = (of_part + 3 * of_part.isqrt()) / 3 * 4;
        for part in &mut self.parts {
            part.grow(entries, &mut self.left)?;
        }
        Ok(())
    }

    pub(crate) fn mark(&self, token: &[u8; 32]) -> Mark {
        let hash = blake3::keyed_hash(&self.key, token);
        let (words, _rest) = hash.as_bytes().as_chunks::<4>();
        let mut mark = [0; 4];
        for (part, word) in mark.iter_mut().zip(words) {
            *part = u32::from_le_bytes(*word);
        }
        Mark(mark)
    }

    pub(crate) fn marks(&self, tokens: &[[u8; 32]]) -> Vec<Mark> {
        tokens.par_chunks(1024).flat_map_iter(|tokens| tokens.iter().map(|token| self.mark(token))).collect()
    }

    /// The number of an identity.
    pub(crate) fn get(&self, mark: &Mark) -> Option<u32> {
        self.parts.get(part_of(mark)).and_then(|part| part.find(mark)).and_then(Result::ok)
    }

    /// Gives an identity that is not yet known a number, which is not [`NOBODY`].
    pub(crate) fn insert(&mut self, mark: Mark, number: u32) -> Result<(), OutOfMemory> {
        let part = self.parts.get_mut(part_of(&mark)).ok_or(OutOfMemory)?;
        if (part.filled + 1) * 5 > part.entries.len() * 4 {
            part.grow(part.entries.len() / 2 * 3, &mut self.left)?;
        }
        part.put(Entry { mark, number });
        Ok(())
    }
}

const FREE: Entry = Entry { mark: Mark([0; 4]), number: NOBODY };

impl Part {
    /// Where the search for a mark begins. Marks that are greater begin later, whatever the size: a part that grows is
    /// written from its start to its end.
    fn start(&self, Mark([high, low, _, _]): &Mark) -> usize {
        let place = (u64::from(*high) << 32 | u64::from(*low)) as u128 * self.entries.len() as u128;
        (place >> 64) as usize
    }

    /// The mark's number, or the position where it would stand.
    fn find(&self, mark: &Mark) -> Option<Result<u32, usize>> {
        let (before, behind) = self.entries.split_at_checked(self.start(mark))?;
        let probed = behind.iter().chain(before).position(|entry| entry.number == NOBODY || entry.mark == *mark)?;
        let position = (before.len() + probed) % self.entries.len();
        match self.entries.get(position)? {
            Entry { number: NOBODY, .. } => Some(Err(position)),
            entry => Some(Ok(entry.number)),
        }
    }

    /// There must be a free entry.
    fn put(&mut self, new: Entry) {
        if let Some(Err(position)) = self.find(&new.mark)
            && let Some(entry) = self.entries.get_mut(position)
        {
            *entry = new;
            self.filled += 1;
        }
    }

    fn grow(&mut self, entries: usize, left: &mut usize) -> Result<(), OutOfMemory> {
        let Some(more) = entries.checked_sub(self.entries.len()) else {
            return Ok(());
        };
        *left = left.checked_sub(more).ok_or(OutOfMemory)?;
        let mut larger = Vec::new();
        larger.try_reserve_exact(entries).map_err(|_refused| OutOfMemory)?;
        larger.resize(entries, FREE);
        let old = std::mem::replace(self, Self { entries: larger, filled: 0 });
        old.entries.into_iter().filter(|entry| entry.number != NOBODY).for_each(|entry| self.put(entry));
        Ok(())
    }
}

fn part_of(Mark([_, _, _, last]): &Mark) -> usize {
    (last % PARTS) as usize
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn token(number: u32) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    fn bytes(known: &Known) -> usize {
        known.parts.iter().map(|part| part.entries.capacity() * size_of::<Entry>()).sum()
    }

    #[test]
    fn identities_keep_their_numbers_while_the_table_grows_and_take_no_more_than_told() {
        let mut known = Known::new(usize::MAX).unwrap();
        for number in 0..100_000_u32 {
            let mark = known.mark(&token(number));
            assert_eq!(known.get(&mark), None);
            known.insert(mark, number).unwrap();
            if number >= 20_000 && number % 5_000 == 0 {
                let per_identity = bytes(&known) / number as usize;
                assert!((25..=38).contains(&per_identity), "{per_identity} bytes with {number}");
            }
        }
        assert!((0..100_000).all(|number| known.get(&known.mark(&token(number))) == Some(number)));
        assert!((100_000..200_000).all(|number| known.get(&known.mark(&token(number))).is_none()));
    }

    #[test]
    fn the_end_of_memory_is_told_and_not_passed() {
        let memory = 1 << 20;
        let mut known = Known::new(memory).unwrap();
        let full = (0..100_000).position(|number| {
            let mark = known.mark(&token(number));
            known.insert(mark, number) == Err(OutOfMemory)
        });
        assert!(bytes(&known) <= memory);
        // What is known is known even then.
        let full = u32::try_from(full.unwrap()).unwrap();
        assert!(full > 20_000 && (0..full).all(|number| known.get(&known.mark(&token(number))) == Some(number)));
        assert_eq!(Known::new(memory).unwrap().reserve(100_000), Err(OutOfMemory));
    }

    #[test]
    fn marks_that_begin_alike_are_told_apart() {
        let mut part = Part { entries: vec![FREE; SMALLEST], filled: 0 };
        // All of them begin at the last entry, so that the search goes on from the first.
        let mark = |last| Mark([u32::MAX, u32::MAX, 0, last]);
        for last in 0..6 {
            part.put(Entry { mark: mark(last), number: last });
        }
        part.grow(12, &mut usize::MAX.clone()).unwrap();
        assert_eq!(part.filled, 6);
        assert!((0..6).all(|last| part.find(&mark(last)) == Some(Ok(last))));
        assert!(matches!(part.find(&mark(6)), Some(Err(_))));
    }

    #[test]
    fn another_table_marks_differently() {
        let [one, other] = [(); 2].map(|()| Known::new(0).unwrap());
        assert_ne!(one.mark(&token(1)), other.mark(&token(1)));
    }
}
