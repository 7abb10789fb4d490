//! `cleanroom serve`

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use cleanroom_registry::{Door, OpenOptions, Registry};
use cleanroom_vault::{Vault, VaultOptions};
use tokio::net::TcpListener;

use super::{block_on, evidence};
use crate::config::{Config, ConfigArgs};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::http::{self, App};
use crate::operator_log;
use crate::witness::Asker;

/// The file in the data directory that the first administrator's token is written to.
const ADMIN_TOKEN: &str = "admin.token";

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: ServeArgs) -> Result<Exit> {
    let config = args.config.resolve()?;
    operator_log::to_stderr(config.log_format);
    // What a panic says may hold anything; where it was is enough.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    block_on(serve(config))?;
    Ok(Exit::Done)
}

async fn serve(config: Config) -> Result<()> {
    // The address first: a server that is running already is noticed before anything is touched.
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Fault::usage(
            format!("cannot listen on {}: {error}", config.listen),
            "stop what listens there, or choose another address with `--listen`",
        )
    })?;
    let address = listener.local_addr().map_err(|error| Fault::failure(format!("cannot listen: {error}"), ""))?;
    let options = OpenOptions { data_dir: config.data_dir.clone(), log_host: config.log_host.clone() };
    let registry = match &config.witness_policy {
        None => Registry::open(options).await?,
        Some(file) => {
            let asker = Asker::new(evidence::policy(file)?, file)?;
            Registry::open_witnessed(options, Arc::new(asker)).await?
        }
    };
    let registry = registry.through(Door::Rest);
    for room in registry.rooms().await? {
        registry.must_have_witnesses(&room).await?;
    }
    if let Some(room) = registry.rooms().await?.iter().find(|room| room.test_only) {
        return Err(Fault::usage(
            format!("the data directory holds room `{}`, which is for tests alone (`test_only: true`)", room.name),
            "serve another data directory, or take `test_only` out of the room and its policies first",
        ));
    }
    if let Some(secret) = registry.ensure_admin_token().await? {
        let path = config.data_dir.join(ADMIN_TOKEN);
        write_secret(&path, &secret).map_err(|error| Fault::write(&path, &error))?;
        tracing::info!(file = %path.display(), "first start: the administrator's token is in this file");
    }
    let vault = Vault::open(VaultOptions {
        registry: registry.clone(),
        data_dir: config.data_dir.clone(),
        memory_limit: config.memory,
        query_timeout: config.query_timeout,
        max_concurrent: config.concurrent_queries,
        release_quantum: config.release_quantum,
    })?;
    let uploads = http::prepare_uploads(&config.data_dir).map_err(|error| Fault::write(&config.data_dir, &error))?;
    let app = App::new(registry.clone(), vault, uploads, config.upload_bytes);
    tracing::info!(%address, data_dir = %config.data_dir.display(), "listening");
    let served = http::serve(listener, app).await;
    registry.close().await;
    tracing::info!("ended");
    served.map_err(|error| Fault::failure(format!("the server ended: {error}"), ""))
}

/// Writes a secret that only the server's user may read. A crash in between leaves a file that holds no working token;
/// the token is then gone, and a new data directory is the simplest way on.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
