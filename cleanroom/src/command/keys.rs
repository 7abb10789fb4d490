//! `cleanroom keys`

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use cleanroom_keys::{RoomKey, SigningKey};
use serde_json::json;

use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Makes a key and writes it to a new file that only you can read
    New(NewArgs),
    /// Shows what may be shown of a key
    Show(ShowArgs),
    /// Gives a room key to another partner (not available in this version)
    Share,
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What the key is for
    #[arg(value_enum)]
    kind: Kind,

    /// The file; a key is never overwritten
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A key that `keys new` made
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Hashes identifiers; all partners of a room use the same
    Room,
    /// Signs what its owner approves
    Signing,
}

pub(super) fn run(command: KeysCommand, format: Format) -> Result<Exit> {
    match command {
        KeysCommand::New(NewArgs { kind: Kind::Room, output }) => {
            let key = RoomKey::generate().map_err(broken)?;
            key.save(&output).map_err(broken)?;
            show(format, "room", &key.key_id(), &output)
        }
        KeysCommand::New(NewArgs { kind: Kind::Signing, output }) => {
            let key = SigningKey::generate().map_err(broken)?;
            key.save(&output).map_err(broken)?;
            show(format, "signing", &hex::encode(key.public()), &output)
        }
        KeysCommand::Show(ShowArgs { file }) => match RoomKey::load(&file) {
            Ok(key) => show(format, "room", &key.key_id(), &file),
            Err(error) => match SigningKey::load(&file) {
                Ok(key) => show(format, "signing", &hex::encode(key.public()), &file),
                Err(_) => Err(broken(error)),
            },
        },
        KeysCommand::Share => Err(Fault::not_available(
            "sharing a room key sealed for another partner is not available in this version",
            "hand the key file over by a channel you trust, or let the server tokenise with a key of the room",
        )),
    }
}

fn show(format: Format, kind: &str, id: &str, file: &Path) -> Result<Exit> {
    let name = file.display().to_string();
    let rows = [vec![kind.to_owned(), id.to_owned(), name.clone()]];
    list(format, &["kind", "public id", "file"], &rows, &json!({ "kind": kind, "id": id, "file": name }))?;
    Ok(Exit::Done)
}

fn broken(error: impl Display) -> Fault {
    Fault::usage(error, "")
}
