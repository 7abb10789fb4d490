//! `cleanroom-verify`: the verifier by itself, for whoever wants to build and read no more than this.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cleanroom_verify::{
    Against, Covers, Kept, Key, RoomReport, WitnessPolicy, read_json, verify_against, verify_receipt_witnessed,
};

const USAGE: &str = "\
usage: cleanroom-verify DIR [--key KEY|FILE]... [--member KEY|FILE]... [--witness-policy FILE]... [--kept FILE]...
       cleanroom-verify --receipt FILE --key KEY|FILE [--result FILE] [--witness-policy FILE]... [--kept FILE]...

DIR is a data directory, or the directory of one log. --key is a log's public key (log.pub), --member a partner's: its
policies must all be signed by it. --witness-policy names the witnesses that must have cosigned (C2SP tlog-policy), --kept
a checkpoint or receipt that you kept: the log must continue it, and its cosignatures count. A receipt is verified alone, or with
the answer that it is of; it must be cosigned itself, or be over the same entries as a checkpoint that you kept.
Ends with 0 where all holds, 6 where something does not, 2 where it cannot be told.";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(6),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let (mut directory, mut keys, mut members, mut receipt, mut result) = (None, Vec::new(), Vec::new(), None, None);
    let (mut witnesses, mut kept) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` needs a value\n\n{USAGE}"));
        match argument.as_str() {
            "--key" => keys.push(key(&value()?)?),
            "--member" => members.push(key(&value()?)?),
            "--witness-policy" => witnesses.push(policy(&value()?)?),
            "--kept" => kept.push(keep(&value()?)?),
            "--receipt" => receipt = Some(PathBuf::from(value()?)),
            "--result" => result = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Err(USAGE.to_owned()),
            other if directory.is_none() && !other.starts_with('-') => directory = Some(PathBuf::from(other)),
            other => return Err(format!("`{other}` is not understood\n\n{USAGE}")),
        }
    }
    match (directory, receipt, keys.as_slice()) {
        (None, Some(file), [key]) => one(&file, result.as_deref(), key, &witnesses, &kept),
        (Some(directory), None, keys) => {
            all(&directory, &Against { keys, members: &members, witnesses: &witnesses, kept: &kept })
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn all(directory: &Path, against: &Against<'_>) -> Result<bool, String> {
    let reports = verify_against(directory, against).map_err(|error| error.to_string())?;
    print!("{}", RoomReport::for_people(&reports));
    Ok(reports.iter().all(|room| room.report.passed()))
}

fn one(
    file: &Path,
    result: Option<&Path>,
    key: &Key,
    witnesses: &[WitnessPolicy],
    kept: &[Kept],
) -> Result<bool, String> {
    let answer = match result {
        None => None,
        Some(path) => {
            let json = read_json(read(path)?.as_bytes());
            Some(json.map_err(|error| format!("`{}` is not JSON: {error}", path.display()))?)
        }
    };
    match verify_receipt_witnessed(&read(file)?, answer.as_ref(), key, witnesses, kept) {
        Ok(verified) => {
            let what = match verified.covers {
                Covers::Answer => "the answer, every row of it, is entry",
                Covers::Record => "the record is entry",
            };
            println!("verified: {what} {} of the log `{}` of {} entries", verified.index, key.name(), verified.size);
            Ok(true)
        }
        Err(finding) => {
            println!("NOT verified: {finding}");
            Ok(false)
        }
    }
}

fn key(text: &str) -> Result<Key, String> {
    let held = if Path::new(text).is_file() { read(Path::new(text))? } else { text.to_owned() };
    held.trim_end().parse().map_err(|error| format!("`{text}`: {error}"))
}

fn policy(file: &str) -> Result<WitnessPolicy, String> {
    read(Path::new(file))?.parse().map_err(|error| format!("`{file}`, {error}"))
}

fn keep(file: &str) -> Result<Kept, String> {
    Kept::read(file, &read(Path::new(file))?).map_err(|error| format!("`{file}`: {error}"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}
