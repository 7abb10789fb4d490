//! The operator's log: what went wrong inside, under the incident that the outside was told. It never holds a value,
//! SQL text or a token.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::fault::{Fault, Result};

/// Its name in the data directory of a room that is used without a server.
const FILE: &str = "operator.log";

/// Logs to stderr, as a server does. `CLEANROOM_LOG` filters, as in `info,sqlx=warn`.
pub(crate) fn to_stderr(format: LogFormat) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter("info,sqlx=warn")).with_writer(io::stderr);
    // Logging that was set up before, by a program around this one, is left alone.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
}

/// Logs to a file of the data directory, which must be there.
pub(crate) fn to_file(data_dir: &Path) -> Result<()> {
    let path = data_dir.join(FILE);
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Fault::write(&path, &error))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter("warn")).with_writer(Mutex::new(file));
    let _ = builder.json().flatten_event(true).try_init();
    Ok(())
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("CLEANROOM_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}
