//! `cleanroom keys share` and `cleanroom keys open`: a room key from partner to partner, over a server that cannot read it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use cleanroom_keys::{RoomKey, SigningKey};
use cleanroom_log::{VerifierKey, check_signature, signed_note, unverified_note};
use cleanroom_policy::{PartnerName, Room};
use serde_json::json;

use super::keys::{load, partner_name, signer};
use crate::client::{Client, segment};
use crate::embedded::{RoomFiles, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, Sink, list};

/// The first line of what is signed.
const STATEMENT: &str = "cleanroom/v1 sealed room key";

#[derive(Debug, Args)]
pub(super) struct Between {
    /// The room document, with the partners' keys as you know them
    #[arg(long, value_name = "FILE")]
    room: PathBuf,

    /// Who you are
    #[arg(long = "as", value_name = "PARTNER")]
    me: String,

    /// Your signing key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// A server that passes it on
    #[arg(long, value_name = "URL", env = "CLEANROOM_SERVER")]
    server: Option<String>,

    /// Your token there
    #[arg(long, value_name = "TOKEN", env = "CLEANROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    /// The room key, of `cleanroom keys new room`
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Whom it is sealed for
    #[arg(long, value_name = "PARTNER")]
    to: String,

    /// Writes the sealed key to a file
    #[arg(short, long, value_name = "FILE", required_unless_present = "server")]
    output: Option<PathBuf>,

    #[command(flatten)]
    between: Between,
}

#[derive(Debug, Args)]
pub(super) struct OpenArgs {
    /// The sealed key, of `cleanroom keys share`; otherwise it is fetched from the server
    #[arg(value_name = "FILE", required_unless_present = "server")]
    file: Option<PathBuf>,

    /// Whom it must be from
    #[arg(long, value_name = "PARTNER")]
    from: String,

    /// The file for the room key
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    between: Between,
}

pub(super) fn share(args: &ShareArgs, format: Format) -> Result<Exit> {
    let (room, me, key) = args.between.open()?;
    let to = partner_name(&args.to)?;
    let recipient = key_of(&room, &to)?;
    let (public, sign) = signer(&key, &me)?;
    must_be(&room, &me, &public)?;
    let shared = RoomKey::load(&args.file).map_err(|error| Fault::usage(error, ""))?;
    let said = said(&room, &me, &recipient);
    let sealed = shared.seal(recipient.public(), said.as_bytes()).map_err(|error| Fault::failure(error, ""))?;
    let text = format!("{said}sealed {}\n", STANDARD.encode(sealed));
    let note = signed_note(&text, &public, &sign(&text));
    let mut place = String::new();
    if let Some(output) = &args.output {
        Sink::new(Some(output.clone())).write(note.as_bytes())?;
        place = output.display().to_string();
    }
    if let Some(client) = args.between.client()? {
        client.put(&address(&room, &to, &me), "text/plain", &note)?;
        place = args.between.server.clone().unwrap_or_default();
    }
    let shown = [shared.key_id(), me.to_string(), to.to_string(), place];
    let value = json!({ "key": shown[0], "from": shown[1], "to": shown[2], "at": shown[3] });
    list(format, &["key", "from", "to", "at"], &[shown.to_vec()], &value)?;
    Ok(Exit::Done)
}

pub(super) fn open(args: &OpenArgs, format: Format) -> Result<Exit> {
    let (room, me, key) = args.between.open()?;
    let from = partner_name(&args.from)?;
    let (public, _) = signer(&key, &me)?;
    let note = match (&args.file, args.between.client()?) {
        (Some(file), _) => read_document(file)?,
        (None, Some(client)) => String::from_utf8(client.fetch(&address(&room, &me, &from), "text/plain")?.body)
            .map_err(|_| Fault::failure("the server sent something that is not text", ""))?,
        (None, None) => return Err(Fault::usage("there is no sealed key to open", "name a file, or a server")),
    };
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::usage(format!("the sealed key is not to be trusted: {what}"), format!("ask `{from}` to seal it again"))
    };
    // Whoever passed it on may have put a key of its own in its place: the sender's signature comes first.
    let (text, signature) = unverified_note(&note, from.as_str()).map_err(|error| wrong(&error))?;
    check_signature(text, signature, &key_of(&room, &from)?).map_err(|error| wrong(&error))?;
    let said = said(&room, &from, &public);
    let sealed = text.strip_prefix(&said).and_then(|rest| rest.strip_prefix("sealed "));
    let sealed = sealed.and_then(|text| STANDARD.decode(text.trim_end()).ok());
    let sealed = sealed.ok_or_else(|| wrong(&"it is sealed for another key, room or partner"))?;
    let shared = RoomKey::open(&sealed, &key, said.as_bytes()).map_err(|error| wrong(&error))?;
    shared.save(&args.output).map_err(|error| Fault::usage(error, ""))?;
    let shown = [shared.key_id(), from.to_string(), me.to_string(), args.output.display().to_string()];
    let value = json!({ "key": shown[0], "from": shown[1], "to": shown[2], "at": shown[3] });
    list(format, &["key", "from", "to", "at"], &[shown.to_vec()], &value)?;
    Ok(Exit::Done)
}

/// All that is said beside the sealed key; it opens under these words alone.
fn said(room: &Room, from: &PartnerName, to: &VerifierKey) -> String {
    format!("{STATEMENT}\nroom {}\nfrom {from}\nto {to}\n", room.name)
}

fn address(room: &Room, to: &PartnerName, from: &PartnerName) -> String {
    format!("/v1/rooms/{}/keys/{}/{}", segment(room.name.as_str()), segment(to.as_str()), segment(from.as_str()))
}

fn key_of(room: &Room, partner: &PartnerName) -> Result<VerifierKey> {
    let found = room.partner(partner).ok_or_else(|| {
        Fault::usage(
            format!("`{partner}` is no partner of room `{}`", room.name),
            "correct the name, or the room document",
        )
    })?;
    let key = found.key.as_ref().ok_or_else(|| {
        Fault::usage(
            format!("`{partner}` has no key in the room document"),
            format!("let it join with one: `cleanroom keys join ROOM --as {partner} --key FILE`"),
        )
    })?;
    key.parse().map_err(|error| Fault::usage(format!("the key of `{partner}`: {error}"), "correct the room document"))
}

fn must_be(room: &Room, me: &PartnerName, public: &VerifierKey) -> Result<()> {
    if key_of(room, me)? == *public {
        return Ok(());
    }
    let what = format!("the signing key is not the one that `{me}` has in the room document");
    Err(Fault::usage(what, "give the key with which the partner joined"))
}

impl Between {
    fn open(&self) -> Result<(Room, PartnerName, SigningKey)> {
        let room = RoomFiles::open(Path::new(&self.room), None)?.room().clone();
        Ok((room, partner_name(&self.me)?, load(&self.key)?))
    }

    fn client(&self) -> Result<Option<Client>> {
        self.server.as_deref().map(|url| Client::new(url, self.token.clone())).transpose()
    }
}
