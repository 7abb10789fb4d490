//! The server's configuration: flags, then environment, then `cleanroom.toml`, then defaults.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cleanroom_policy::DocumentError;
use serde::{Deserialize, Deserializer};

use crate::embedded::folder_of;
use crate::fault::{Fault, Result};

/// Bytes of memory that queries and ingestion share, unless told otherwise.
pub(crate) const DEFAULT_MEMORY: usize = 2 << 30;
/// Seconds a query may take, unless told otherwise.
pub(crate) const DEFAULT_QUERY_SECONDS: u64 = 300;
/// Queries executed at once, unless told otherwise.
pub(crate) const DEFAULT_CONCURRENT: usize = 4;
const DEFAULT_UPLOAD: u64 = 16 << 30;
const DEFAULT_FILE: &str = "cleanroom.toml";

/// How a server is set up. Every key of `cleanroom.toml` is also a flag and an environment variable.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file [default: `cleanroom.toml` in the current folder, if there is one]
    #[arg(long, value_name = "FILE", env = "CLEANROOM_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    values: Values,
}

/// The keys of the configuration; each may be left out.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    /// Address to listen on [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDRESS", env = "CLEANROOM_LISTEN")]
    listen: Option<SocketAddr>,

    /// Everything the server keeps; in the file, relative to the file [default: ./cleanroom-data]
    #[arg(long, value_name = "DIR", env = "CLEANROOM_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Database of rooms and records; only `sqlite://`, which is in the data directory, in this version
    #[arg(long, value_name = "URL", env = "CLEANROOM_REGISTRY")]
    registry: Option<String>,

    /// What executes queries; only `local` in this version
    #[arg(long, value_name = "ENGINE", env = "CLEANROOM_ENGINE")]
    engine: Option<String>,

    /// First part of the name of every room's log, `<host>/room/<room>` [default: localhost]
    #[arg(long, value_name = "HOST", env = "CLEANROOM_LOG_HOST")]
    log_host: Option<String>,

    /// Witnesses that every new checkpoint is sent to, and how many of them are enough: a C2SP tlog-policy file with their
    /// addresses; in the file, relative to the file
    #[arg(long, value_name = "FILE", env = "CLEANROOM_WITNESS_POLICY")]
    witness_policy: Option<PathBuf>,

    /// Form of the operator's log on stderr [default: json]
    #[arg(long, value_enum, env = "CLEANROOM_LOG_FORMAT")]
    log_format: Option<LogFormat>,

    /// Serve without TLS on an address that others can reach: behind a proxy that does TLS
    #[arg(long, num_args = 0..=1, default_missing_value = "true", env = "CLEANROOM_INSECURE_HTTP")]
    insecure_http: Option<bool>,

    #[command(flatten)]
    #[serde(default)]
    limits: LimitValues,
}

/// The table `limits` of the configuration.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitValues {
    /// Memory that queries and ingestion share [default: 2GiB]
    #[arg(long = "memory", value_name = "SIZE", env = "CLEANROOM_LIMITS_MEMORY")]
    memory: Option<Size>,

    /// Seconds a query may take [default: 300]
    #[arg(long, value_name = "SECONDS", env = "CLEANROOM_LIMITS_QUERY_SECONDS")]
    query_seconds: Option<u64>,

    /// Queries executed at once; more wait [default: 4]
    #[arg(long, value_name = "N", env = "CLEANROOM_LIMITS_CONCURRENT_QUERIES")]
    concurrent_queries: Option<usize>,

    /// Decisions are told at whole multiples of this many milliseconds, whatever they took; 0 is at once [default: 0]
    #[arg(long, value_name = "MS", env = "CLEANROOM_LIMITS_RELEASE_QUANTUM_MS")]
    release_quantum_ms: Option<u64>,

    /// Largest upload of one table [default: 16GiB]
    #[arg(long = "upload-size", value_name = "SIZE", env = "CLEANROOM_LIMITS_UPLOAD_BYTES")]
    upload_bytes: Option<Size>,
}

/// A configuration that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Everything the server keeps.
    pub(crate) data_dir: PathBuf,
    /// First part of every log's origin.
    pub(crate) log_host: String,
    /// Who is asked to cosign checkpoints.
    pub(crate) witness_policy: Option<PathBuf>,
    /// Form of the operator's log.
    pub(crate) log_format: LogFormat,
    /// Bytes.
    pub(crate) memory: usize,
    /// Longest a query may take.
    pub(crate) query_timeout: Duration,
    /// Queries executed at once, at least 1.
    pub(crate) concurrent_queries: usize,
    /// Decisions are told at whole multiples of this; zero is at once.
    pub(crate) release_quantum: Duration,
    /// Bytes of the largest upload.
    pub(crate) upload_bytes: u64,
}

/// Form of the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// A number of bytes, written `512MiB`, `2GiB` or plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl ConfigArgs {
    /// The configuration of this process.
    pub(crate) fn resolve(self) -> Result<Config> {
        let file = match &self.config {
            Some(path) => Values::read(path)?,
            None if Path::new(DEFAULT_FILE).is_file() => Values::read(Path::new(DEFAULT_FILE))?,
            None => Values::default(),
        };
        self.values.over(file).check()
    }
}

impl Values {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| Fault::read(path, &error))?;
        let mut values = Self::parse(&path.display().to_string(), &text)?;
        values.data_dir = values.data_dir.map(|dir| folder_of(path).join(dir));
        values.witness_policy = values.witness_policy.map(|file| folder_of(path).join(file));
        Ok(values)
    }

    fn parse(file: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            Fault::documents(vec![DocumentError {
                file: file.to_owned(),
                line: before.map(|before| before.matches('\n').count() + 1),
                column: before.map(|before| before.chars().rev().take_while(|c| *c != '\n').count() + 1),
                message: error.message().to_owned(),
                remedy: "see `cleanroom serve --help` for the keys and their values".to_owned(),
            }])
        })
    }

    /// These values, and for what they leave out those of `below`.
    fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            data_dir: self.data_dir.or(below.data_dir),
            registry: self.registry.or(below.registry),
            engine: self.engine.or(below.engine),
            log_host: self.log_host.or(below.log_host),
            witness_policy: self.witness_policy.or(below.witness_policy),
            log_format: self.log_format.or(below.log_format),
            insecure_http: self.insecure_http.or(below.insecure_http),
            limits: LimitValues {
                memory: self.limits.memory.or(below.limits.memory),
                query_seconds: self.limits.query_seconds.or(below.limits.query_seconds),
                concurrent_queries: self.limits.concurrent_queries.or(below.limits.concurrent_queries),
                release_quantum_ms: self.limits.release_quantum_ms.or(below.limits.release_quantum_ms),
                upload_bytes: self.limits.upload_bytes.or(below.limits.upload_bytes),
            },
        }
    }

    fn check(self) -> Result<Config> {
        if let Some(url) = self.registry.filter(|url| url != "sqlite://") {
            let kind = url.split("://").next().unwrap_or_default();
            return Err(Fault::not_available(
                format!("a registry at a `{kind}://` address of its own is not available in this version"),
                "write `registry = \"sqlite://\"`: the database is in the data directory",
            ));
        }
        if let Some(engine) = self.engine.filter(|engine| engine != "local") {
            return Err(Fault::not_available(
                format!("engine `{engine}` is not available in this version"),
                "write `engine = \"local\"`",
            ));
        }
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7878)));
        if !listen.ip().is_loopback() && !self.insecure_http.unwrap_or(false) {
            return Err(Fault::usage(
                format!("`{listen}` can be reached from other machines, and this version serves no TLS"),
                "listen on 127.0.0.1; or put a proxy that does TLS before it and add `--insecure-http`",
            ));
        }
        let log_host = self.log_host.unwrap_or_else(|| "localhost".to_owned());
        if cleanroom_log::Origin::for_room(&log_host, "room").is_err() {
            return Err(Fault::usage(
                "the log host holds a space, a control character or `+`",
                "write the server's host name, such as `log_host = \"cleanroom.example\"`",
            ));
        }
        let limits = self.limits;
        let positive = |value: u64, key: &str| {
            if value > 0 {
                Ok(value)
            } else {
                Err(Fault::usage(format!("`{key}` is 0"), "give it a value above 0, or leave it out"))
            }
        };
        let memory = positive(limits.memory.map_or(DEFAULT_MEMORY as u64, |size| size.0), "limits.memory")?;
        let seconds = positive(limits.query_seconds.unwrap_or(DEFAULT_QUERY_SECONDS), "limits.query_seconds")?;
        let concurrent = limits.concurrent_queries.unwrap_or(DEFAULT_CONCURRENT);
        positive(concurrent as u64, "limits.concurrent_queries")?;
        Ok(Config {
            listen,
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("cleanroom-data")),
            log_host,
            witness_policy: self.witness_policy,
            log_format: self.log_format.unwrap_or(LogFormat::Json),
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            query_timeout: Duration::from_secs(seconds),
            concurrent_queries: concurrent,
            release_quantum: Duration::from_millis(limits.release_quantum_ms.unwrap_or(0).min(60_000)),
            upload_bytes: positive(limits.upload_bytes.map_or(DEFAULT_UPLOAD, |size| size.0), "limits.upload_bytes")?,
        })
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or(SizeError)?;
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(SizeError),
        };
        let number: u64 = number.parse().map_err(|_| SizeError)?;
        number.checked_mul(1 << shift).map(Self).ok_or(SizeError)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a size such as \"2GiB\"")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value).map(Size).map_err(|_| E::custom(SizeError))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a size is a number and one of KiB, MiB, GiB, TiB, as in `2GiB`")]
pub(crate) struct SizeError;

impl From<SizeError> for io::Error {
    fn from(error: SizeError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigArgs,
    }

    fn flags(args: &[&str]) -> Values {
        Cli::try_parse_from([&["serve"], args].concat()).unwrap().config.values
    }

    fn file(text: &str) -> Values {
        Values::parse("cleanroom.toml", text).unwrap()
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let below =
            file("listen = \"127.0.0.1:1\"\nlog_host = \"file\"\n[limits]\nmemory = \"1GiB\"\nquery_seconds = 5");
        let config = flags(&["--listen", "127.0.0.1:2", "--memory", "3MiB"]).over(below).check().unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.log_host, "file");
        assert_eq!(config.memory, 3 << 20);
        assert_eq!(config.query_timeout, Duration::from_secs(5));
        assert_eq!(config.concurrent_queries, DEFAULT_CONCURRENT);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let fault = Values::parse("c.toml", "listen = \"127.0.0.1:1\"\n[limits]\nmemroy = 5\n").unwrap_err();
        let text = format!("{fault:?}");
        assert!(text.contains("c.toml:3:1: unknown field `memroy`"), "{text}");
    }

    #[test]
    fn what_is_not_built_is_refused() {
        for text in ["registry = \"postgres://db/x\"", "engine = \"ballista://host:1\"", "listen = \"0.0.0.0:80\""] {
            assert!(file(text).check().is_err(), "{text}");
        }
        assert!(file("listen = \"0.0.0.0:80\"\ninsecure_http = true").check().is_ok());
        assert!(file("[limits]\nmemory = 0").check().is_err());
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("3 MiB"), Ok(3 << 20));
        for bad in ["", "GiB", "1GB", "-1", "99999999TiB"] {
            assert_eq!(bytes(bad), Err(SizeError), "{bad}");
        }
    }
}
