//! Which room a command is about, and how it is reached.

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_policy::PartnerName;
use serde_json::Value;

use crate::client::{Client, segment};
use crate::embedded::RoomFiles;
use crate::fault::{Fault, Result};

/// Where the room is: a file, or a room of a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// The room: a room file, used without a server; with --server, the room's name
    #[arg(long, value_name = "FILE|NAME", env = "CLEANROOM_ROOM")]
    room: Option<String>,

    /// State of a room that is used without a server [default: `.cleanroom` beside the room file]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Who asks, without a server [default: the only partner that may query]
    #[arg(id = "as", long = "as", value_name = "PARTNER")]
    partner: Option<String>,

    /// Address of a server
    #[arg(long, value_name = "URL", env = "CLEANROOM_SERVER")]
    server: Option<String>,

    /// Token of the server
    #[arg(long, value_name = "TOKEN", env = "CLEANROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A room within reach.
pub(crate) enum Target {
    /// Through its own files.
    Files(RoomFiles, Option<PartnerName>),
    /// Through a server.
    Server(Client, Option<String>),
}

impl TargetArgs {
    /// Decides which it is. A room file on the command line wins over a server in the environment.
    pub(crate) fn resolve(&self) -> Result<Target> {
        let file = self.room.as_deref().filter(|room| Path::new(room).is_file());
        let server_flag =
            std::env::args_os().any(|arg| arg == "--server" || arg.to_string_lossy().starts_with("--server="));
        match (&self.server, file) {
            (Some(url), None) => self.remote(url),
            (Some(url), Some(_)) if server_flag => self.remote(url),
            _ => self.files(),
        }
    }

    /// The server alone, for commands that are not about one room.
    pub(crate) fn client(&self) -> Result<Option<Client>> {
        self.server.as_deref().map(|url| Client::new(url, self.token.clone())).transpose()
    }

    fn remote(&self, url: &str) -> Result<Target> {
        if self.partner.is_some() {
            return Err(Fault::usage(
                "`--as` goes with a room file; a server knows the partner by its token",
                "leave `--as` out, and give the partner's token by `--token` or `CLEANROOM_TOKEN`",
            ));
        }
        let room = match self.room.as_deref() {
            // A room file names its room.
            Some(path) if Path::new(path).is_file() => {
                let document = crate::embedded::read_document(Path::new(path))?;
                let room = cleanroom_policy::parse_room(path, &document).map_err(Fault::documents)?;
                Some(room.name.to_string())
            }
            other => other.map(str::to_owned),
        };
        Ok(Target::Server(Client::new(url, self.token.clone())?, room))
    }

    fn files(&self) -> Result<Target> {
        let Some(room) = &self.room else {
            return Err(Fault::usage(
                "no room is named",
                "add `--room FILE`, or `--server URL` for a room of a server",
            ));
        };
        let partner = self
            .partner
            .as_deref()
            .map(|name| {
                PartnerName::new(name)
                    .map_err(|error| Fault::usage(format!("--as: {error}"), "name a partner of the room"))
            })
            .transpose()?;
        let files = RoomFiles::open(Path::new(room), self.data_dir.as_deref())?;
        Ok(Target::Files(files, partner))
    }
}

/// The room to use on a server: the one that is named, or the only one the token opens.
pub(crate) fn room_path(client: &Client, room: Option<&str>) -> Result<String> {
    if let Some(room) = room {
        return Ok(format!("/v1/rooms/{}", segment(room)));
    }
    let list = client.get("/v1/rooms")?;
    let names: Vec<&str> = list
        .get("rooms")
        .and_then(Value::as_array)
        .map(|rooms| rooms.iter().filter_map(|room| room.get("name").and_then(Value::as_str)).collect())
        .unwrap_or_default();
    match names.as_slice() {
        [only] => Ok(format!("/v1/rooms/{}", segment(only))),
        [] => Err(Fault::usage("the token opens no room", "apply a room, or use a partner's token")),
        several => {
            Err(Fault::usage(format!("the token opens several rooms: {}", several.join(", ")), "add `--room NAME`"))
        }
    }
}
