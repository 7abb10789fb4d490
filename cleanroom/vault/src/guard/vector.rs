//! What each unit adds to one released number, as it is kept and compared.
//!
//! A number is `factor * 10^-scale` times the sum of whole numbers without a common divisor, one for each unit that adds
//! something. Units stand in an order that is the same in all vectors and has nothing to do with who they are, so those from
//! any place on are a sample: vectors that differ in many units are told apart by reading a few. Where reading can begin is
//! noted behind the entries. Notes that are missing or damaged are made anew by reading all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

/// Bytes that are read first, mostly enough to see that two vectors are unlike.
const FIRST: usize = 4 * 1024;
/// Bytes between the places that are noted.
const APART: usize = 1024;
/// Bytes of a note.
const NOTE: usize = 16;
/// Most bytes read at a time after these.
const BLOCK: usize = 256 * 1024;

/// A released number and who adds what to it.
pub(crate) struct Vector {
    pub(crate) facts: Facts,
    data: Data,
    /// Where reading can begin, in the order of the units.
    places: OnceLock<Vec<Place>>,
}

/// What is known between two entries.
#[derive(Clone, Copy)]
struct Place {
    /// Where the unit before stands.
    key: u32,
    /// Entries and bytes before.
    entries: u32,
    bytes: u64,
}

impl Place {
    fn note(self) -> [u8; NOTE] {
        (u128::from(self.key) << 96 | u128::from(self.entries) << 64 | u128::from(self.bytes)).to_be_bytes()
    }

    fn noted(note: [u8; NOTE]) -> Self {
        let note = u128::from_be_bytes(note);
        Self { key: (note >> 96) as u32, entries: (note >> 64) as u32, bytes: note as u64 }
    }
}

/// All of a vector but its entries.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The identity space of the units.
    pub(crate) space: String,
    /// Owners whose guarded tables the number was made of.
    pub(crate) owners: Vec<String>,
    /// The least difference that was asked for then.
    pub(crate) difference: u64,
    /// Units that add something other than zero.
    pub(crate) entries: u64,
    /// Units that contribute, zeros too.
    pub(crate) units: u64,
    #[serde(with = "as_text")]
    pub(crate) factor: i128,
    pub(crate) scale: i8,
    /// The sum of the entries.
    #[serde(with = "as_text")]
    pub(crate) total: i128,
    /// Every entry is 1.
    ones: bool,
    /// BLAKE3 of the entries and the factor.
    pub(crate) digest: String,
    bytes: u64,
    /// How many places are noted behind the entries, and the BLAKE3 of these notes.
    #[serde(default)]
    notes: u64,
    #[serde(default)]
    notes_digest: String,
}

impl Facts {
    /// All of them but where reading can begin, which follows from the entries.
    pub(crate) fn text(&self) -> String {
        let Self { space, owners, difference, entries, units, factor, scale, total, ones, digest, bytes, .. } = self;
        format!("{space:?} {owners:?} {difference} {entries} {units} {factor} {scale} {total} {ones} {digest} {bytes}")
    }
}

/// Whole numbers wider than JSON's.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

enum Data {
    Memory(Arc<[u8]>),
    /// Opened for each reading: there are more files than a process may hold open.
    File {
        path: Arc<PathBuf>,
        at: u64,
        first: OnceLock<Arc<[u8]>>,
    },
}

/// Of whom a vector is.
pub(crate) struct Subject<'a> {
    pub(crate) space: &'a str,
    pub(crate) owners: Vec<String>,
    pub(crate) difference: u64,
}

impl Vector {
    /// The vector of `(unit, share)`s, each unit once; shares are in ticks of `10^-scale`.
    pub(crate) fn of(subject: Subject<'_>, shares: impl Iterator<Item = (u32, i128)>, scale: i8) -> Self {
        let mut units = 0;
        let mut entries: Vec<(u32, i128)> = shares
            .inspect(|_share| units += 1)
            .filter(|(_unit, share)| *share != 0)
            .map(|(unit, share)| (mixed(unit), share))
            .collect();
        entries.sort_unstable_by_key(|(key, _share)| *key);
        let divisor = entries.iter().fold(0, |divisor, (_key, share)| gcd(divisor, share.unsigned_abs()));
        let mut factor = i128::try_from(divisor).unwrap_or(1).max(1);
        let sum = entries.iter().fold(0_i128, |sum, (_key, share)| sum.wrapping_add(*share));
        // Amounts and the same amounts with the other sign are one.
        if sum < 0 {
            factor = -factor;
        }
        for (_key, share) in &mut entries {
            *share = share.checked_div(factor).unwrap_or(*share);
        }
        let total = entries.iter().fold(0_i128, |sum, (_key, share)| sum.wrapping_add(*share));
        let mut scale = scale;
        while scale > 0 && factor % 10 == 0 {
            factor /= 10;
            scale -= 1;
        }
        let ones = entries.iter().all(|(_key, share)| *share == 1);
        let (bytes, places) = encoded(&entries, ones);
        let notes: Vec<u8> = places.iter().flat_map(|place| place.note()).collect();
        let facts = Facts {
            space: subject.space.to_owned(),
            owners: subject.owners,
            difference: subject.difference,
            entries: entries.len() as u64,
            units,
            factor,
            scale,
            total,
            ones,
            digest: digest(factor, scale, ones, &bytes),
            bytes: bytes.len() as u64,
            notes: places.len() as u64,
            notes_digest: blake3::hash(&notes).to_hex().to_string(),
        };
        Self { facts, data: Data::Memory(bytes.into()), places: OnceLock::from(places) }
    }

    /// A vector whose entries begin at a place of a file; the place behind them.
    pub(crate) fn stored(facts: Facts, path: &Arc<PathBuf>, at: u64) -> (Self, u64) {
        let behind = at.saturating_add(facts.bytes).saturating_add(facts.notes.saturating_mul(NOTE as u64));
        let data = Data::File { path: Arc::clone(path), at, first: OnceLock::new() };
        (Self { facts, data, places: OnceLock::new() }, behind)
    }

    /// The entries and the notes as they are kept; `None` where they are kept already.
    pub(crate) fn bytes(&self) -> Option<(&[u8], Vec<u8>)> {
        match &self.data {
            Data::Memory(bytes) => {
                Some((bytes, self.places.get().into_iter().flatten().flat_map(|place| place.note()).collect()))
            }
            Data::File { .. } => None,
        }
    }

    /// Whether another is of a common owner's units.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.facts.space == other.facts.space
            && self.facts.owners.iter().any(|owner| other.facts.owners.contains(owner))
    }

    /// What an entry is multiplied by to be in ticks of `10^-scale`, which is no coarser than the vector's own; `None` where
    /// that is too large.
    pub(crate) fn multiplier(&self, scale: i8) -> Option<i128> {
        let places = u32::try_from(i16::from(scale) - i16::from(self.facts.scale)).ok()?;
        self.facts.factor.checked_mul(10_i128.checked_pow(places)?)
    }

    /// The entries from the first on.
    pub(crate) fn entries(&self) -> Entries<'_> {
        self.entries_behind(Place { key: 0, entries: 0, bytes: 0 })
    }

    fn entries_behind(&self, place: Place) -> Entries<'_> {
        Entries {
            vector: self,
            file: None,
            block: None,
            start: place.bytes,
            at: 0,
            size: FIRST,
            key: place.key,
            left: self.facts.entries.saturating_sub(place.entries.into()),
        }
    }

    /// The entries of units that stand at `key` or behind it, and few before.
    ///
    /// # Errors
    /// Where the vector cannot be read.
    pub(crate) fn entries_near(&self, key: u32) -> io::Result<Entries<'_>> {
        let places = self.places()?;
        let behind = places.partition_point(|place| place.key < key);
        Ok(match behind.checked_sub(1).and_then(|place| places.get(place)) {
            Some(place) => self.entries_behind(*place),
            None => self.entries(),
        })
    }

    /// What the units at some places add, which ascend; zero for those that add nothing.
    ///
    /// # Errors
    /// Where the vector cannot be read.
    pub(crate) fn shares_at(&self, keys: impl Iterator<Item = u32>) -> io::Result<Vec<i128>> {
        let places = self.places()?;
        let part = |key: u32| places.partition_point(|place| place.key < key);
        // One file is held open here, and not one for each vector.
        let file = match &self.data {
            Data::Memory(_) => None,
            Data::File { path, .. } => Some(Arc::new(File::open(path.as_path())?)),
        };
        let mut shares = Vec::new();
        let mut entries: Option<Entries<'_>> = None;
        let mut next: Option<(u32, i128)> = None;
        for key in keys {
            let far = entries.as_ref().is_none_or(|entries| part(key) > part(entries.key) + 1);
            if far && next.is_none_or(|(known, _share)| known < key) {
                let mut near = Entries { file: file.clone(), size: APART, ..self.entries_near(key)? };
                next = near.next().transpose()?;
                entries = Some(near);
            }
            while let (Some((known, _share)), Some(entries)) = (next, &mut entries)
                && known < key
            {
                next = entries.next().transpose()?;
            }
            shares.push(next.filter(|(known, _share)| *known == key).map_or(0, |(_known, share)| share));
        }
        Ok(shares)
    }

    /// Where reading can begin beside the start; that is found by reading all once, where there is much to read.
    fn places(&self) -> io::Result<&[Place]> {
        if let Some(places) = self.places.get() {
            return Ok(places);
        }
        let places = match self.noted()? {
            Some(places) => places,
            None => {
                let (mut places, mut entries) = (Places::default(), self.entries());
                while let Some((key, _share)) = entries.next().transpose()? {
                    places.passed(key, entries.start.saturating_add(entries.at as u64));
                }
                places.places
            }
        };
        Ok(self.places.get_or_init(|| places))
    }

    /// The places that were noted, where they were and the notes are whole.
    fn noted(&self) -> io::Result<Option<Vec<Place>>> {
        if self.facts.bytes < APART as u64 {
            return Ok(Some(Vec::new()));
        }
        let Data::File { path, at, .. } = &self.data else { return Ok(None) };
        if self.facts.notes == 0 || self.facts.notes > self.facts.bytes / APART as u64 {
            return Ok(None);
        }
        let length = usize::try_from(self.facts.notes).unwrap_or(usize::MAX).saturating_mul(NOTE);
        let mut notes = vec![0; length];
        File::open(path.as_path())?.read_exact_at(&mut notes, at.saturating_add(self.facts.bytes))?;
        if blake3::hash(&notes).to_hex().as_str() != self.facts.notes_digest {
            return Ok(None);
        }
        Ok(Some(notes.as_chunks().0.iter().map(|note| Place::noted(*note)).collect()))
    }

    /// At most `most` bytes from `start` on: at least one, unless there are none.
    fn block(&self, start: u64, most: usize, file: Option<&File>) -> io::Result<Arc<[u8]>> {
        let (path, at, first) = match &self.data {
            Data::Memory(bytes) => {
                let rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..));
                return Ok(match start {
                    0 => Arc::clone(bytes),
                    _ => rest.map(|rest| rest.get(..most).unwrap_or(rest)).unwrap_or_default().into(),
                });
            }
            Data::File { path, at, first } => (path, at, first),
        };
        if start == 0
            && let Some(block) = first.get()
        {
            return Ok(Arc::clone(block));
        }
        let left = self.facts.bytes.saturating_sub(start);
        let mut block = vec![0; usize::try_from(left).unwrap_or(most).min(most)];
        match file {
            Some(file) => file.read_exact_at(&mut block, at.saturating_add(start))?,
            None => File::open(path.as_path())?.read_exact_at(&mut block, at.saturating_add(start))?,
        }
        let block: Arc<[u8]> = block.into();
        if start == 0 {
            first.set(Arc::clone(&block)).ok();
        }
        Ok(block)
    }
}

/// Entries in the order of all vectors: where the unit stands, and its share without factor and scale.
pub(crate) struct Entries<'v> {
    vector: &'v Vector,
    /// The vector's file, where it is held open.
    file: Option<Arc<File>>,
    block: Option<Arc<[u8]>>,
    /// Where the block starts, and what comes next in it.
    start: u64,
    at: usize,
    /// Bytes to read next.
    size: usize,
    key: u32,
    left: u64,
}

impl Entries<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        loop {
            if let Some(block) = &self.block {
                if let Some(byte) = block.get(self.at) {
                    self.at += 1;
                    return Ok(*byte);
                }
                self.start = self.start.saturating_add(block.len() as u64);
            }
            if self.start >= self.vector.facts.bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.block = Some(self.vector.block(self.start, self.size, self.file.as_deref())?);
            self.size = self.size.saturating_mul(4).min(BLOCK);
            self.at = 0;
        }
    }

    fn number(&mut self) -> io::Result<u128> {
        // Mostly it is short and stands in the block as a whole.
        let rest = self.block.as_ref().and_then(|block| block.get(self.at..)).unwrap_or_default();
        let mut number = 0_u64;
        for (place, byte) in rest.iter().take(9).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.at += place + 1;
                return Ok(number.into());
            }
        }
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn entry(&mut self) -> io::Result<(u32, i128)> {
        let step = u32::try_from(self.number()?).map_err(io::Error::other)?;
        self.key = self.key.checked_add(step).ok_or(io::ErrorKind::InvalidData)?;
        let share = match self.vector.facts.ones {
            true => 1,
            false => {
                let folded = self.number()?;
                (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed())
            }
        };
        Ok((self.key, share))
    }
}

impl Iterator for Entries<'_> {
    type Item = io::Result<(u32, i128)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

fn digest(factor: i128, scale: i8, ones: bool, bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&factor.to_le_bytes()).update(&scale.to_le_bytes()).update(&[u8::from(ones)]).update(bytes);
    hasher.finalize().to_hex().to_string()
}

/// Places some way apart.
#[derive(Default)]
struct Places {
    places: Vec<Place>,
    entries: u64,
}

impl Places {
    /// An entry ends where so many bytes were passed.
    fn passed(&mut self, key: u32, bytes: u64) {
        self.entries += 1;
        if bytes.saturating_sub(self.places.last().map_or(0, |last| last.bytes)) >= APART as u64
            && let Ok(entries) = u32::try_from(self.entries)
        {
            self.places.push(Place { key, entries, bytes });
        }
    }
}

fn encoded(entries: &[(u32, i128)], ones: bool) -> (Vec<u8>, Vec<Place>) {
    let mut bytes = Vec::with_capacity(entries.len() * if ones { 2 } else { 4 });
    let put = |bytes: &mut Vec<u8>, mut number: u128| {
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    };
    let (mut places, mut before) = (Places::default(), 0);
    for (key, share) in entries {
        put(&mut bytes, u128::from(key - before));
        before = *key;
        if !ones {
            put(&mut bytes, ((share << 1) ^ (share >> 127)).cast_unsigned());
        }
        places.passed(*key, bytes.len() as u64);
    }
    (bytes, places.places)
}

/// Where a unit stands. Every number has a place of its own (the finaliser of MurmurHash3, which can be undone).
fn mixed(unit: u32) -> u32 {
    let mut key = unit;
    key ^= key >> 16;
    key = key.wrapping_mul(0x85eb_ca6b);
    key ^= key >> 13;
    key = key.wrapping_mul(0xc2b2_ae35);
    key ^ (key >> 16)
}

fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
