//! An owner's signature over its policy, in a file beside it: a signed note (C2SP signed-note).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cleanroom_log::unverified_note;
use cleanroom_policy::{Policy, RoomName};

use crate::embedded::read_document;
use crate::fault::{Fault, Result};

/// The header that carries the signature of a policy to a server.
pub(crate) const HEADER: &str = "Cleanroom-Signature";

/// Where the signature of a policy lies: the policy's own name and `.sig`.
pub(crate) fn beside(policy: &Path) -> PathBuf {
    let mut name = OsString::from(policy);
    name.push(".sig");
    PathBuf::from(name)
}

/// The owner's signature over `policy`, where there is one beside its file. Whether it is right is found where it counts; that
/// it is of this policy is said here, for a better error.
///
/// # Errors
/// Where the file cannot be read, is no signature of the owner, or one of something else.
pub(crate) fn read(file: &Path, policy: &Policy, room: Option<&RoomName>) -> Result<Option<String>> {
    let path = beside(file);
    if !path.is_file() {
        return Ok(None);
    }
    let wrong = |what: &str| {
        Fault::usage(
            format!("`{}`: {what}", path.display()),
            format!("sign the policy: `cleanroom policy sign {} --room ROOM --key FILE`", file.display()),
        )
    };
    let note = read_document(&path)?;
    let owner = policy.table.owner();
    let (text, signature) = unverified_note(&note, owner.as_str()).map_err(|error| wrong(&error.to_string()))?;
    let says = |line: &str| text.lines().any(|held| held == line);
    if !says(&format!("policy sha256:{}", policy.digest())) || !says(&format!("table {}", policy.table)) {
        return Err(wrong("it is the signature of another policy, or of this one before it was changed"));
    }
    if room.is_some_and(|room| !says(&format!("room {room}"))) {
        return Err(wrong("it signs the policy for another room"));
    }
    Ok(Some(signature.to_owned()))
}
