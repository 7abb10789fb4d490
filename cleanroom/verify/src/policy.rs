//! Which witnesses must have cosigned (C2SP tlog-policy).

use std::str::FromStr;

use crate::cosignature::Cosigner;
use crate::note::{Key, KeyError, Note, NoteError, number};

/// Logs, witnesses, groups: at most so many of each.
const LIMIT: usize = 64;
/// The longest policy, in bytes.
const TEXT_LIMIT: usize = 64 * 1024;
/// Where no cosignature is asked for.
const NONE: &str = "none";

/// A policy of witnesses: which there are, and which of them together are enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<Key>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// Nobody where it is `none`.
    quorum: Option<Member>,
}

/// A witness that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy.
    pub name: String,
    /// Its public key.
    pub key: Cosigner,
    /// Where checkpoints are sent to, before `/add-checkpoint`.
    pub url: Option<String>,
    /// The line of the policy, from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    least: usize,
    members: Vec<Member>,
}

/// A place among the witnesses or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Who cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// For each witness, in the order of the policy, when it did, in seconds since 1970.
    pub times: Vec<Option<u64>>,
    /// Whether they are enough.
    pub quorum: bool,
    /// How many signatures are by neither a witness of the policy nor one of the given log keys.
    pub unknown: usize,
}

impl WitnessPolicy {
    /// The logs that it is about; of any log where there are none.
    pub fn logs(&self) -> &[Key] {
        &self.logs
    }

    /// All witnesses.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether no cosignature is enough.
    pub fn asks_nobody(&self) -> bool {
        self.quorum.is_none()
    }

    /// Whether it is about the log of that name.
    pub fn is_about(&self, origin: &str) -> bool {
        self.logs.is_empty() || self.logs.iter().any(|log| log.name() == origin)
    }

    /// Whether a checkpoint is signed by a key that it gives for the log; any is as good where it lists none.
    pub(crate) fn knows(&self, note: &str) -> bool {
        self.logs.is_empty() || crate::kept::open(note, &self.logs).is_ok()
    }

    /// Looks who cosigned a checkpoint that one of `logs` signed, which is the caller's to have verified.
    ///
    /// # Errors
    /// Where it is not a signed note, or a signature names a witness and is not by it.
    pub fn cosigned(&self, note: &str, logs: &[Key]) -> Result<Cosigned, NoteError> {
        let note = Note::read(note)?;
        let times = self.witnesses.iter().map(|witness| witness.key.cosigned(&note)).collect::<Result<Vec<_>, _>>()?;
        let known = |name: &str, signature: &str| {
            logs.iter().any(|key| key.is_named_by(name, signature))
                || self.witnesses.iter().any(|witness| witness.key.is_named_by(name, signature))
        };
        let unknown = note.signatures.iter().filter(|(name, signature)| !known(name, signature)).count();
        Ok(Cosigned { quorum: self.is_met(&times), times, unknown })
    }

    /// The note without the signatures that are by neither one of `logs` nor a witness of the policy: those of witnesses that it
    /// named once. `None` where it is not a signed note.
    pub fn without_strangers(&self, note: &str, logs: &[Key]) -> Option<String> {
        let read = Note::read(note).ok()?;
        let mut left = format!("{}\n", read.text);
        for (name, signature) in &read.signatures {
            let known = logs.iter().any(|key| key.is_named_by(name, signature))
                || self.witnesses.iter().any(|witness| witness.key.is_named_by(name, signature));
            if known {
                left.push_str(&format!("\u{2014} {name} {signature}\n"));
            }
        }
        Some(left)
    }

    /// As [`WitnessPolicy::cosigned`], of one checkpoint with the signatures that `notes` carry together.
    pub(crate) fn cosigned_together(&self, notes: &[&str], logs: &[Key]) -> Result<Cosigned, NoteError> {
        let mut together = Cosigned { times: vec![None; self.witnesses.len()], quorum: false, unknown: 0 };
        for note in notes {
            let one = self.cosigned(note, logs)?;
            together.times.iter_mut().zip(one.times).for_each(|(latest, time)| *latest = (*latest).max(time));
            together.unknown += one.unknown;
        }
        together.quorum = self.is_met(&together.times);
        Ok(together)
    }

    fn is_met(&self, times: &[Option<u64>]) -> bool {
        let mut groups = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let met = group.members.iter().filter(|member| holds(**member, times, &groups)).count();
            groups.push(met >= group.least);
        }
        self.quorum.is_none_or(|quorum| holds(quorum, times, &groups))
    }

    fn named(&self, name: &str) -> Option<Member> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name).map(Member::Witness);
        witness.or_else(|| self.groups.iter().position(|group| group.name == name).map(Member::Group))
    }

    fn read(text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: None };
        let (mut quorum, mut grouped) = (None, Vec::new());
        let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        for (line, number) in lines.zip(1..) {
            let wrong = |reason: String| PolicyError { line: number, reason };
            if text.len() > TEXT_LIMIT {
                return Err(wrong("the policy is longer than 64 KiB".to_owned()));
            }
            if line.bytes().any(|byte| byte != b'\t' && byte < b' ' || byte == 0x7f) {
                return Err(wrong("a control character; lines end with a newline alone".to_owned()));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key] | ["log", key, _] => policy.add_log(key).map_err(wrong)?,
                ["witness", name, key] => policy.add_witness(name, key, None, number).map_err(wrong)?,
                ["witness", name, key, url] => policy.add_witness(name, key, Some(url), number).map_err(wrong)?,
                ["group", name, least, members @ ..] => {
                    policy.add_group(name, least, members, &mut grouped).map_err(wrong)?;
                }
                ["quorum", name] if quorum.is_none() => quorum = Some(policy.read_quorum(name).map_err(wrong)?),
                ["quorum", _] => return Err(wrong("a second quorum".to_owned())),
                _ => {
                    return Err(wrong(
                        "not one of `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME K|any|all NAME...`, `quorum NAME`"
                            .to_owned(),
                    ));
                }
            }
        }
        let missing = || PolicyError { line: text.lines().count().max(1), reason: "no `quorum` line".to_owned() };
        policy.quorum = quorum.ok_or_else(missing)?;
        Ok(policy)
    }

    fn add_log(&mut self, key: &str) -> Result<(), String> {
        let key: Key = key.parse().map_err(|error: KeyError| error.to_string())?;
        if self.logs.iter().any(|log| log.is_key(&key)) {
            return Err("the key of this log is listed already; where one server signs the logs of several rooms, write a policy \
                        for each room, or one without `log` lines, which is about every log"
                .to_owned());
        }
        self.logs.push(key);
        limit(self.logs.len())
    }

    fn add_witness(&mut self, name: &str, key: &str, url: Option<&&str>, line: usize) -> Result<(), String> {
        self.is_new(name)?;
        let key: Cosigner = key.parse().map_err(|error: KeyError| error.to_string())?;
        if let Some(other) = self.witnesses.iter().find(|witness| witness.key.is_key(&key)) {
            return Err(format!("witness `{name}` has the key of witness `{}`", other.name));
        }
        let url = url.map(|url| (*url).to_owned());
        self.witnesses.push(Witness { name: name.to_owned(), key, url, line });
        limit(self.witnesses.len())
    }

    fn add_group(
        &mut self,
        name: &str,
        least: &str,
        members: &[&str],
        grouped: &mut Vec<String>,
    ) -> Result<(), String> {
        self.is_new(name)?;
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            let place = self.named(member).ok_or_else(|| format!("`{member}` is not defined above"))?;
            if grouped.iter().any(|known| known == member) {
                return Err(format!("`{member}` is a member already; each counts once"));
            }
            grouped.push((*member).to_owned());
            places.push(place);
        }
        let least = match least {
            "all" => members.len(),
            "any" => 1,
            digits => number(digits).and_then(|least| usize::try_from(least).ok()).unwrap_or(0),
        };
        if !(1..=members.len()).contains(&least) {
            return Err(format!("group `{name}` needs `any`, `all` or a number from 1 to that of its members"));
        }
        self.groups.push(Group { name: name.to_owned(), least, members: places });
        limit(self.groups.len())
    }

    fn read_quorum(&self, name: &str) -> Result<Option<Member>, String> {
        match name {
            NONE => Ok(None),
            name => self.named(name).map(Some).ok_or_else(|| format!("`{name}` is not defined above")),
        }
    }

    fn is_new(&self, name: &str) -> Result<(), String> {
        match name {
            NONE => Err("`none` is no name of a witness or group".to_owned()),
            name if self.named(name).is_some() => Err(format!("`{name}` is defined already")),
            _ => Ok(()),
        }
    }
}

impl FromStr for WitnessPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::read(text)
    }
}

fn holds(member: Member, times: &[Option<u64>], groups: &[bool]) -> bool {
    match member {
        Member::Witness(place) => times.get(place).is_some_and(Option::is_some),
        Member::Group(place) => groups.get(place).is_some_and(|met| *met),
    }
}

fn limit(count: usize) -> Result<(), String> {
    if count <= LIMIT { Ok(()) } else { Err(format!("more than {LIMIT} logs, witnesses or groups")) }
}

/// A text that is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}
