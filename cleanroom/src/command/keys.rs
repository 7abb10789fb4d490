//! `cleanroom keys`

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use cleanroom_keys::{RoomKey, SigningKey};
use cleanroom_log::{EntryTime, Origin, VerifierKey, signature_text};
use cleanroom_policy::PartnerName;
use cleanroom_registry::membership_statement;
use serde_json::json;

use super::sealed;
use super::witness::cosigner;
use crate::embedded::{LOG_HOST, RoomFiles};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list, print};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Makes a key and writes it to a new file that only you can read
    New(NewArgs),
    /// Shows what may be shown of a key
    Show(ShowArgs),
    /// Signs a partner's membership of a room; prints the lines that belong into the room document
    Join(JoinArgs),
    /// Seals a room key for another partner, who opens it with its signing key
    Share(sealed::ShareArgs),
    /// Opens a room key that another partner sealed
    Open(sealed::OpenArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What the key is for
    #[arg(value_enum)]
    kind: Kind,

    /// The file; a key is never overwritten
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The name a witness signs by: a URL without scheme, such as `shop.example/witness`
    #[arg(long, value_name = "NAME", required_if_eq("kind", "witness"))]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A key that `keys new` made
    file: PathBuf,

    /// Shows a signing key as the verifier key of this partner, for `audit verify --member`
    #[arg(id = "as", long = "as", value_name = "PARTNER")]
    partner: Option<String>,

    /// Shows a witness's key under this name, for policies of witnesses
    #[arg(long, value_name = "NAME", conflicts_with = "as")]
    witness: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The room document, with the partner and its abilities in it
    #[arg(value_name = "ROOM")]
    room: PathBuf,

    /// Who joins
    #[arg(long = "as", value_name = "PARTNER")]
    partner: String,

    /// The partner's signing key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The signing key that it had in the room until now, to replace it
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,

    /// The host in the name of the room's log, which is `HOST/room/NAME`: of a server its `log_host`, as its operator says
    #[arg(long, value_name = "HOST", default_value = LOG_HOST)]
    log_host: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Hashes identifiers; all partners of a room use the same
    Room,
    /// Signs what its owner approves
    Signing,
    /// Cosigns the checkpoints of logs, and nothing else
    Witness,
}

pub(super) fn run(command: KeysCommand, format: Format) -> Result<Exit> {
    match command {
        KeysCommand::New(NewArgs { kind: Kind::Room | Kind::Signing, name: Some(_), .. }) => {
            Err(Fault::usage("`--name` is for witnesses", "leave it out"))
        }
        KeysCommand::New(NewArgs { kind: Kind::Room, output, .. }) => {
            let key = RoomKey::generate().map_err(broken)?;
            key.save(&output).map_err(broken)?;
            show(format, "room", &key.key_id(), &output)
        }
        KeysCommand::New(NewArgs { kind: Kind::Signing, output, .. }) => {
            let key = SigningKey::generate().map_err(broken)?;
            key.save(&output).map_err(broken)?;
            show(format, "signing", &hex::encode(key.public()), &output)
        }
        KeysCommand::New(NewArgs { kind: Kind::Witness, output, name }) => {
            let key = SigningKey::generate().map_err(broken)?;
            let public = cosigner(&name.unwrap_or_default(), key.public())?;
            key.save(&output).map_err(broken)?;
            show(format, "witness", &public.to_string(), &output)
        }
        KeysCommand::Show(ShowArgs { file, witness: Some(name), .. }) => {
            show(format, "witness", &cosigner(&name, load(&file)?.public())?.to_string(), &file)
        }
        KeysCommand::Show(ShowArgs { file, partner: Some(partner), .. }) => {
            let (public, _) = signer(&load(&file)?, &partner_name(&partner)?)?;
            show(format, "signing", &public.to_string(), &file)
        }
        KeysCommand::Join(args) => join(&args, format),
        KeysCommand::Show(ShowArgs { file, .. }) => match RoomKey::load(&file) {
            Ok(key) => show(format, "room", &key.key_id(), &file),
            Err(error) => match SigningKey::load(&file) {
                Ok(key) => show(format, "signing", &hex::encode(key.public()), &file),
                Err(_) => Err(broken(error)),
            },
        },
        KeysCommand::Share(args) => sealed::share(&args, format),
        KeysCommand::Open(args) => sealed::open(&args, format),
    }
}

fn show(format: Format, kind: &str, id: &str, file: &Path) -> Result<Exit> {
    let name = file.display().to_string();
    let rows = [vec![kind.to_owned(), id.to_owned(), name.clone()]];
    list(format, &["kind", "public id", "file"], &rows, &json!({ "kind": kind, "id": id, "file": name }))?;
    Ok(Exit::Done)
}

fn join(args: &JoinArgs, format: Format) -> Result<Exit> {
    let files = RoomFiles::open(&args.room, None)?;
    let (room, name) = (files.room(), partner_name(&args.partner)?);
    let partner = room.partner(&name).ok_or_else(|| {
        Fault::usage(
            format!("`{name}` is no partner of room `{}`", room.name),
            "add it, with what it may do, to the room document",
        )
    })?;
    let key = load(&args.key)?;
    let (public, sign) = signer(&key, &name)?;
    let since = EntryTime::now();
    let log = Origin::for_room(&args.log_host, room.name.as_str()).map_err(|error| {
        Fault::usage(format!("`--log-host`: {error}"), "write the host alone, as in `host.example`")
    })?;
    let statement = membership_statement(&room.name, &log, partner, since, &public);
    let mut lines = vec![("key", public.to_string()), ("membership", sign(&statement)), ("since", since.to_string())];
    if let Some(previous) = &args.previous {
        let previous = load(previous)?;
        let (_, sign) = signer(&previous, &name)?;
        lines.push(("rotation", sign(&statement)));
    }
    if format == Format::Json {
        let lines: serde_json::Map<_, _> =
            lines.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        print(&serde_json::Value::Object(lines).to_string())?;
    } else {
        print(&lines.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Done)
}

pub(super) fn load(file: &Path) -> Result<SigningKey> {
    SigningKey::load(file).map_err(broken)
}

pub(super) fn partner_name(text: &str) -> Result<PartnerName> {
    PartnerName::new(text).map_err(|error| Fault::usage(error, "give the partner's name as the room document has it"))
}

/// A partner's public key under its name, and what signs texts with the key: each signature as a signed note carries it.
pub(super) fn signer<'k>(
    key: &'k SigningKey,
    partner: &PartnerName,
) -> Result<(VerifierKey, impl Fn(&str) -> String + use<'k>)> {
    let name = Origin::new(partner.as_str()).map_err(broken)?;
    let public = VerifierKey::new(name, key.public());
    let shown = public.clone();
    Ok((shown, move |text: &str| signature_text(&public, &key.sign(text.as_bytes()))))
}

fn broken(error: impl Display) -> Fault {
    Fault::usage(error, "")
}
