//! `cleanroom audit witness`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cleanroom_verify::Cosigner;
use serde_json::json;
use tokio::net::TcpListener;

use super::audit::verifier_key;
use super::block_on;
use super::keys::load;
use crate::config::LogFormat;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::http::serve_router;
use crate::operator_log;
use crate::output::{Format, print};
use crate::witness::{Store, StoreError, Witness, router};

#[derive(Debug, Args)]
pub(super) struct WitnessArgs {
    /// The witness's key, as `keys new witness` made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The name it signs by, as given to `keys new witness`
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Public key of a log to witness, or a file that holds it (`log.pub`); may be given several times
    #[arg(long = "log", value_name = "KEY|FILE", required = true)]
    logs: Vec<String>,

    /// Where it remembers what it saw; never to be restored from a backup
    #[arg(long, value_name = "DIR", default_value = "cleanroom-witness")]
    data_dir: PathBuf,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7879")]
    listen: SocketAddr,

    /// Serve without TLS on an address that others can reach: behind a proxy that does TLS
    #[arg(long)]
    insecure_http: bool,

    /// Form of the log on stderr
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
}

pub(super) fn run(args: &WitnessArgs, format: Format) -> Result<Exit> {
    if !args.listen.ip().is_loopback() && !args.insecure_http {
        return Err(Fault::usage(
            format!("`{}` can be reached from other machines, and this version serves no TLS", args.listen),
            "listen on 127.0.0.1; or put a proxy that does TLS before it and add `--insecure-http`",
        ));
    }
    let key = load(&args.key)?;
    let public = cosigner(&args.name, key.public())?;
    let logs = args.logs.iter().map(|log| verifier_key(log)).collect::<Result<Vec<_>>>()?;
    operator_log::to_stderr(args.log_format);
    block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            Fault::usage(
                format!("cannot listen on {}: {error}", args.listen),
                "stop what listens there, or choose another address with `--listen`",
            )
        })?;
        let store = Store::open(&args.data_dir, logs).map_err(broken)?;
        let shown = match format {
            Format::Json => json!({ "key": public.to_string(), "listen": args.listen.to_string() }).to_string(),
            _ => public.to_string(),
        };
        print(&shown)?;
        tracing::info!(listen = %args.listen, data_dir = %args.data_dir.display(), "witnessing");
        let served = serve_router(listener, router(Arc::new(Witness::new(key, public, store)))).await;
        served.map_err(|error| Fault::failure(format!("the witness ended: {error}"), ""))
    })?;
    Ok(Exit::Done)
}

/// A witness's public key under its name.
pub(super) fn cosigner(name: &str, public: [u8; 32]) -> Result<Cosigner> {
    Cosigner::new(name, public).map_err(|_| {
        Fault::usage(
            format!("`{name}` cannot be the name of a witness"),
            "give a URL without scheme, such as `shop.example/witness`, without spaces and `+`",
        )
    })
}

fn broken(error: StoreError) -> Fault {
    let remedy = match &error {
        StoreError::Taken(_) => "stop it, or give each witness a folder of its own by `--data-dir`",
        StoreError::Damaged(_) => {
            "find out what happened; take the file away only if the log's newest checkpoint is known from elsewhere"
        }
        StoreError::Io { .. } => "check that the folder can be written and has space",
    };
    Fault::usage(error, remedy)
}
