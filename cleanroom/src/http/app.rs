//! What all handlers share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cleanroom_policy::{PartnerName, Room, RoomName};
use cleanroom_registry::{Registry, Role};
use cleanroom_vault::Vault;
use tokio::sync::Mutex;

use super::auth::Caller;
use super::metrics::Metrics;
use super::problem::Problem;
use super::running::Running;
use crate::console::Console;

/// The server's parts.
#[derive(Clone)]
pub(crate) struct App {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    vault: Vault,
    uploads: PathBuf,
    upload_bytes: u64,
    metrics: Metrics,
    running: Running,
    console: Console,
    /// Held while a room's document is read, changed and put back.
    rooms: Mutex<()>,
}

impl App {
    /// Puts the parts together. `uploads` is the folder that uploads are collected in.
    pub(crate) fn new(registry: Registry, vault: Vault, uploads: PathBuf, upload_bytes: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry,
                vault,
                uploads,
                upload_bytes,
                metrics: Metrics::default(),
                running: Running::default(),
                console: Console::default(),
                rooms: Mutex::new(()),
            }),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    pub(super) fn uploads(&self) -> &Path {
        &self.inner.uploads
    }

    pub(super) fn upload_bytes(&self) -> u64 {
        self.inner.upload_bytes
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(super) fn running(&self) -> &Running {
        &self.inner.running
    }

    pub(crate) fn console(&self) -> &Console {
        &self.inner.console
    }

    pub(super) fn rooms_lock(&self) -> &Mutex<()> {
        &self.inner.rooms
    }

    /// The room, if the caller is in it or administers the server. A room it is not in looks like none.
    pub(crate) async fn room(&self, caller: &Caller, name: &str) -> Result<Room, Problem> {
        let name = RoomName::new(name).map_err(|_| Problem::not_found())?;
        let room = self.registry().room(&name).await?.ok_or_else(Problem::not_found)?;
        let inside = caller.partner().is_some_and(|partner| room.partner(partner).is_some());
        if !inside && caller.role() != Role::Admin {
            return Err(Problem::not_found());
        }
        self.registry().must_serve(&room.name)?;
        Ok(room)
    }

    /// As [`App::room`], for what only a partner of the room may do.
    pub(crate) async fn member(&self, caller: &Caller, name: &str) -> Result<(Room, PartnerName), Problem> {
        let room = self.room(caller, name).await?;
        match caller.partner() {
            Some(partner) if caller.role() == Role::Member => {
                let partner = partner.clone();
                Ok((room, partner))
            }
            _ => Err(Problem::forbidden(
                "an administrator's token sets rooms up, and asks nothing in them",
                "use a partner's token",
            )),
        }
    }
}
