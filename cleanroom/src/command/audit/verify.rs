//! `cleanroom audit verify`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_log::Checkpoint;
use cleanroom_policy::RoomName;
use cleanroom_verify::{Against, Code, Finding, RoomReport, VerifyError, verify_against, verify_copy};
use serde_json::{Value, json};
use url::Url;

use super::verifier_key;
use crate::client::Client;
use crate::command::evidence;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::mirror::{self, Source};
use crate::output::{Format, list, print};
use crate::target::room_path;

#[derive(Debug, Args)]
pub(in crate::command) struct VerifyArgs {
    /// A data directory, the directory of one log, or a log on a server: `https://HOST/v1/rooms/ROOM/log`, or the server alone
    #[arg(value_name = "DIR|URL")]
    log: String,

    /// Public key of a log, or a file that holds it; otherwise the key beside the log is used, on trust
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,

    /// Public key of a partner, as `keys show --as` prints it, or a file that holds it: its policies must all be signed by it
    #[arg(long = "member", value_name = "KEY|FILE")]
    members: Vec<String>,

    #[command(flatten)]
    witnessed: evidence::WitnessedArgs,

    /// Checkpoints and receipts that somebody kept, as `audit cosign -o` writes them; the log must continue each of them, and
    /// their cosignatures count for `--witness-policy`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    kept: Vec<PathBuf>,

    /// Keeps what was copied from a server; the next time, only what is new is copied, and the log must have grown from this
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,

    /// The room, where the address names a server alone [default: the only one that the token opens]
    #[arg(long, value_name = "NAME")]
    room: Option<String>,

    /// Token of the server
    #[arg(long, value_name = "TOKEN", env = "CLEANROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Most that is copied from a server
    #[arg(long, value_name = "GIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    most: u64,
}

pub(super) fn run(args: &VerifyArgs, format: Format) -> Result<Exit> {
    let keys = args.keys.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let members = args.members.iter().map(|key| verifier_key(key)).collect::<Result<Vec<_>>>()?;
    let witnesses = args.witnessed.policies()?;
    let kept = args.kept.iter().map(|file| evidence::kept(file)).collect::<Result<Vec<_>>>()?;
    let against = Against { keys: &keys, members: &members, witnesses: &witnesses, kept: &kept };
    let reports = if args.log.starts_with("http://") || args.log.starts_with("https://") {
        vec![served(args, &against)?]
    } else if args.mirror.is_some() {
        return Err(Fault::usage("`--mirror` goes with the address of a server", "leave it out for a directory"));
    } else {
        verify_against(Path::new(&args.log), &against).map_err(not_a_log)?
    };
    let passed = reports.iter().all(|report| report.report.passed());
    match format {
        Format::Table => print(&RoomReport::for_people(&reports))?,
        _ => {
            let rows: Vec<Vec<String>> = reports.iter().flat_map(finding_rows).collect();
            let value = json!({ "verified": passed, "logs": reports.iter().map(report_json).collect::<Vec<_>>() });
            list(format, &["log", "entry", "code", "finding"], &rows, &value)?;
        }
    }
    Ok(if passed { Exit::Done } else { Exit::NotVerified })
}

fn not_a_log(error: VerifyError) -> Fault {
    Fault::usage(error, "name a data directory such as `.cleanroom`, or the directory of one log")
}

/// Copies a log from a server and verifies the copy.
fn served(args: &VerifyArgs, against: &Against<'_>) -> Result<RoomReport> {
    let keys = against.keys;
    let (server, room) = address(&args.log)?;
    let client = Client::new(&server, args.token.clone())?;
    let path = match room {
        Some(room) => format!("/v1/rooms/{room}/log"),
        None => format!("{}/log", room_path(&client, args.room.as_deref())?),
    };
    let temporary = match &args.mirror {
        Some(mirror) => {
            fs::create_dir_all(mirror).map_err(|error| Fault::write(mirror, &error))?;
            None
        }
        None => Some(tempfile::tempdir().map_err(|error| Fault::failure(format!("no temporary folder: {error}"), ""))?),
    };
    let earlier = args.mirror.as_deref().map(mirror::earlier).transpose()?.flatten();
    let beside = match (&args.mirror, &temporary) {
        (Some(mirror), _) => mirror.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => Path::new("."),
    };
    // The key of the first copy is the log's, whatever the server shows later.
    let known = match (&earlier, keys) {
        (Some((_, key)), []) => vec![verifier_key(key)?],
        _ => Vec::new(),
    };
    let mut source = Source::new(&client, path, args.most << 30);
    let verified = |copy: &mirror::Copied| {
        let report = verify_copy(copy.path(), &known, against).map_err(not_a_log)?;
        Ok::<_, Fault>(RoomReport { directory: args.log.clone().into(), ..report })
    };
    let reused = earlier.as_ref().and(args.mirror.as_deref());
    let mut copy = source.copy(beside, reused)?;
    let mut report = verified(&copy)?;
    if !report.report.passed() && reused.is_some() {
        // Either what was kept was damaged, or the server shows another log by now: what it shows is looked at by itself.
        copy = source.copy(beside, None)?;
        report = verified(&copy)?;
    }
    if let Some((kept, _)) = &earlier
        && report.report.passed()
        && !mirror::continues(copy.path(), kept)
    {
        report.report.findings.push(forked(kept, report.report.size));
    }
    match &args.mirror {
        Some(mirror) if report.report.passed() => copy.replace(mirror)?,
        // What a server signed and should not have signed is evidence.
        Some(_) => report.directory = copy.stay(),
        None => {}
    }
    Ok(report)
}

fn forked(kept: &Checkpoint, size: u64) -> Finding {
    let message = if size < kept.size {
        format!("the log has {size} entries, and had {} when it was copied before", kept.size)
    } else {
        format!("the log is not grown from the {} entries that were copied before", kept.size)
    };
    Finding { index: None, code: Code::Fork, message }
}

/// The server of an address, and the room where it names one.
fn address(text: &str) -> Result<(String, Option<String>)> {
    let wrong = || {
        Fault::usage(
            format!("`{text}` is neither the address of a log nor that of a server"),
            "write it as `https://host/v1/rooms/ROOM/log`, or as `https://host` with `--room ROOM`",
        )
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !plain {
        return Err(wrong());
    }
    match text.split_once("/v1/") {
        None => Ok((text.to_owned(), None)),
        Some((server, rest)) => {
            let room = rest.trim_end_matches('/').strip_prefix("rooms/").and_then(|rest| rest.strip_suffix("/log"));
            let room = room.and_then(|room| RoomName::new(room).ok()).ok_or_else(wrong)?;
            Ok((server.to_owned(), Some(room.to_string())))
        }
    }
}

fn report_json(room: &RoomReport) -> Value {
    let findings: Vec<Value> = room
        .report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "index": finding.index, "code": finding.code.as_str(), "message": finding.message,
                "failure": finding.is_failure(),
            })
        })
        .collect();
    json!({
        "directory": room.directory.display().to_string(),
        "verified": room.report.passed(),
        "size": room.report.size,
        "root": room.report.root.to_base64(),
        "key_on_trust": room.key_on_trust,
        "strict": room.report.strict,
        "findings": findings,
    })
}

fn finding_rows(room: &RoomReport) -> Vec<Vec<String>> {
    let findings = room.report.findings.iter();
    findings
        .map(|finding| {
            let index = finding.index.map(|index| index.to_string()).unwrap_or_default();
            vec![room.directory.display().to_string(), index, finding.code.as_str().to_owned(), finding.message.clone()]
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::address;

    #[test]
    fn an_address_names_a_server_and_perhaps_a_room() {
        let of = |text| address(text).unwrap();
        assert_eq!(of("https://h:1/v1/rooms/spring/log"), ("https://h:1".to_owned(), Some("spring".to_owned())));
        assert_eq!(of("https://h/below/v1/rooms/spring/log/").0, "https://h/below");
        assert_eq!(of("http://127.0.0.1:7878"), ("http://127.0.0.1:7878".to_owned(), None));
        for wrong in [
            "https://h/v1/rooms/../log",
            "https://h/v1/rooms/a/b/log",
            "https://h/v1/me",
            "https://h/?a=b",
            "https://u:p@h/",
            "https://",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
