//! The files of a log, and directories of logs.

use super::*;

#[test]
fn an_honest_log_verifies_at_every_size() {
    let mut story = Story::begun();
    assert_eq!(story.told(), []);
    for number in 0..90 {
        story.question(&format!("q{number}"));
        if number % 7 == 0 || number > 80 {
            assert_eq!(story.told(), [], "{number}");
        }
    }
    let report = story.verify();
    assert_eq!(report.size, 273);
    let tree = Tree::from_leaves(story.lines.iter().map(|line| EntryHash::of_entry(line)));
    assert_eq!(report.root.as_bytes(), tree.root().as_bytes());
}

#[test]
fn one_wrong_byte_anywhere_is_found() {
    let mut story = Story::begun();
    story.question("q1");
    story.write();
    for path in files(&story.path()) {
        let honest = fs::read(&path).unwrap();
        for at in 0..honest.len() {
            flip(&path, at);
            assert!(!story.verify().passed(), "{} byte {at}", path.display());
            fs::write(&path, &honest).unwrap();
        }
        fs::write(&path, [honest.as_slice(), b"x"].concat()).unwrap();
        assert!(!story.verify().passed(), "{} longer", path.display());
        // Without its history, or with what a crash left of its last record, a log is younger than it says, and no less whole.
        let history = path.ends_with("checkpoints");
        fs::write(&path, &honest[..honest.len() - 1]).unwrap();
        let shorter = story.findings();
        assert_eq!(story.verify().passed(), history, "{} shorter", path.display());
        assert_eq!(shorter == [(None, Code::PartialHistory)], history, "{} shorter", path.display());
        fs::remove_file(&path).unwrap();
        assert_eq!(story.verify().passed(), history, "{} gone", path.display());
        fs::write(&path, &honest).unwrap();
    }
    assert_eq!(story.findings(), []);
}

#[test]
fn one_wrong_byte_in_any_file_of_a_large_log_is_found() {
    let mut story = Story::begun();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    for path in files(&story.path()) {
        let middle = fs::metadata(&path).unwrap().len() as usize / 2;
        flip(&path, middle);
        assert!(!story.verify().passed(), "{}", path.display());
        flip(&path, middle);
    }
    assert_eq!(story.findings(), []);
}

#[test]
fn a_wrong_hash_is_found_where_it_is() {
    let mut story = Story::begun();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    let log = story.write();
    flip(&log.path().join("tile/0/000"), 32 * 200 + 5);
    assert_eq!(story.findings(), [(Some(200), Code::TileMismatch)]);
    flip(&log.path().join("tile/0/000"), 32 * 200 + 5);
    flip(&log.path().join("tile/1/000.p/1"), 5);
    assert_eq!(story.findings(), [(Some(0), Code::TileMismatch)]);
}

#[test]
fn a_tail_that_was_cut_off_is_missed() {
    let mut story = Story::begun();
    story.write();
    let short = files(&story.path().join("tile"));
    (0..2).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    for path in files(&story.path().join("tile")) {
        if !short.contains(&path) {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(story.findings(), [(Some(0), Code::MissingFile)]);
}

#[test]
fn a_copy_may_lack_the_schemas_that_it_lists_and_nothing_else() {
    let mut story = Story::begun();
    story.question("q1");
    let log = story.write();
    let remove = |text: &str| {
        let hex = Digest::sha256_of(text.as_bytes()).hex();
        fs::remove_file(log.path().join("blobs").join(&hex[..2]).join(&hex)).unwrap();
        hex
    };
    let schema = remove("schema");
    assert_eq!(story.findings(), [(Some(2), Code::MissingFile)]);
    fs::write(story.path().join("withheld"), format!("{schema}\n")).unwrap();
    let keys = [story.public()];
    let copied = || {
        let report = verify_copy(&story.path(), &keys, &Against::default()).unwrap().report;
        let found = report.findings.iter().filter(|found| found.code != Code::Unsigned);
        (report.passed(), found.map(|found| (found.index, found.code)).collect::<Vec<_>>())
    };
    assert_eq!(copied(), (true, vec![(None, Code::Withheld)]));
    // The log itself has them all: in a data directory, named by itself, or where it is at hand.
    let missing = [(Some(2), Code::MissingFile)];
    assert_eq!(story.findings(), missing);
    let named = |path: &Path| {
        let reports = verify_against(path, &Against { keys: &keys, ..Against::default() }).unwrap();
        let found = reports[0].report.findings.iter().filter(|found| found.code != Code::Unsigned);
        found.map(|found| (found.index, found.code)).collect::<Vec<_>>()
    };
    assert_eq!(named(&story.path()), missing);
    assert_eq!(named(story.folder.path()), missing);
    fs::remove_file(story.path().join("checkpoints")).unwrap();
    assert_eq!(named(story.folder.path()), missing);
    assert_eq!(named(&story.path()), [(None, Code::Withheld)]);
    let sql = remove("SELECT");
    fs::write(story.path().join("withheld"), format!("{schema}\n{sql}\n")).unwrap();
    assert_eq!(copied(), (false, vec![(Some(3), Code::MissingFile), (None, Code::Withheld)]));
}

#[test]
fn a_copy_is_held_against_what_was_given_and_nothing_is_left_out() {
    let mut story = Story::begun();
    story.question("q1");
    story.write();
    let (key, other) = (story.public(), read_key(&LogKey::generate().unwrap().vkey(&Origin::new("x/room/y").unwrap())));
    let (path, nobody) = (story.path(), Vec::new());
    let copied = |known: &[Key], against: Against<'_>| verify_copy(&path, known, &against);
    assert!(copied(&nobody, Against::default()).unwrap().key_on_trust);
    assert!(!copied(std::slice::from_ref(&key), Against::default()).unwrap().key_on_trust);
    // A policy that gives the log's key gives it.
    let policy = |key: &Key| vec![format!("log {key}\nquorum none\n").parse::<WitnessPolicy>().unwrap()];
    let report = copied(&nobody, Against { witnesses: &policy(&key), ..Against::default() }).unwrap();
    assert!(report.report.passed() && !report.key_on_trust);
    fs::remove_file(path.join("log.pub")).unwrap();
    let report = copied(&nobody, Against { witnesses: &policy(&key), ..Against::default() }).unwrap();
    assert_eq!(report.report.findings[0].code, Code::MissingFile);
    LogDirectory::open(&path).unwrap().write_key(&story.vkey()).unwrap();
    // Another key under the log's name is not the log's.
    let forged = read_key(&LogKey::generate().unwrap().vkey(&story.origin()));
    let report = copied(&nobody, Against { witnesses: &policy(&forged), ..Against::default() }).unwrap();
    assert_eq!(report.report.findings[0].code, Code::Signature);
    let report =
        copied(std::slice::from_ref(&key), Against { witnesses: &policy(&forged), ..Against::default() }).unwrap();
    assert!(report.report.findings.iter().any(|found| found.code == Code::KeyMismatch));
    // What is of another log was looked at by nobody.
    let kept =
        [Kept::read("kept", &fs::read_to_string(path.join("checkpoint")).unwrap().replace("retail", "health"))
            .unwrap()];
    let keys = [key.clone(), other.clone()];
    for against in [
        Against { kept: &kept, ..Against::default() },
        Against { witnesses: &policy(&other), ..Against::default() },
        Against { keys: &keys, ..Against::default() },
    ] {
        let found = copied(std::slice::from_ref(&key), against);
        assert!(matches!(found, Err(VerifyError::NoSuchLog { .. })), "{found:?}");
    }
}

#[test]
fn an_entry_that_was_taken_out_or_changed_needs_another_root() {
    let mut story = Story::begun();
    story.question("q1");
    let log = story.write();
    let signed = log.checkpoint().unwrap().unwrap();
    let honest = story.lines.clone();
    story.lines[4] = story.lines[3].clone();
    log.rebuild(&story.lines).unwrap();
    log.write_checkpoint(&signed).unwrap();
    assert!(story.findings().contains(&(None, Code::RootMismatch)));
    log.rebuild(&honest).unwrap();
    assert_eq!(story.findings(), []);
}

#[test]
fn a_checkpoint_must_sign_the_entries_that_are_there() {
    let story = Story::begun();
    let log = story.write();
    log.write_checkpoint(&story.sign(3, EntryHash::of_entry(b"another history"))).unwrap();
    assert_eq!(story.findings(), [(None, Code::RootMismatch), (Some(2), Code::Forked)]);
}

#[test]
fn a_checkpoint_must_be_signed_by_the_given_key() {
    let story = Story::begun();
    story.write();
    let foreign = read_key(&LogKey::generate().unwrap().vkey(&story.origin()));
    let report = verify_directory(&story.path(), std::slice::from_ref(&foreign)).unwrap();
    assert_eq!(report.findings[0].code, Code::Signature);
    assert!(!report.passed());
    let report = verify_directory(&story.path(), &[foreign, story.public()]).unwrap();
    assert!(report.passed());
    assert!(!verify_directory(&story.path(), &[]).unwrap().passed());
}

#[test]
fn another_published_key_is_found() {
    let story = Story::begun();
    let log = story.write();
    log.write_key(&LogKey::generate().unwrap().vkey(&story.origin())).unwrap();
    assert_eq!(story.findings(), [(None, Code::KeyMismatch)]);
}

#[test]
fn data_that_was_not_signed_yet_is_a_notice() {
    let mut story = Story::begun();
    let log = story.write();
    let signed = log.checkpoint().unwrap().unwrap();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    log.extend(3, &story.lines[3..10]).unwrap();
    assert_eq!(story.findings(), [(None, Code::BeyondCheckpoint)]);
    assert!(story.verify().passed());
    // As far as it is signed, it has to agree.
    for name in ["tile/0/000.p/10", "tile/entries/000.p/10"] {
        flip(&story.path().join(name), 40);
        assert!(story.findings().contains(&(None, Code::TileMismatch)));
        flip(&story.path().join(name), 40);
    }
    // Even when the signed partial tile has already given way to a full one.
    log.extend(3, &story.lines[3..]).unwrap();
    let history = fs::read(story.path().join("checkpoints")).unwrap();
    log.write_checkpoint(&story.sign(273, EntryHash::of_nothing())).unwrap();
    log.write_checkpoint(&signed).unwrap();
    fs::write(story.path().join("checkpoints"), history).unwrap();
    assert!(!story.path().join("tile/0/000.p").exists());
    assert_eq!(story.findings(), [(None, Code::BeyondCheckpoint)]);
    assert!(story.verify().passed());
}

#[test]
fn narrower_files_of_earlier_checkpoints_must_agree() {
    let mut story = Story::begun();
    story.write();
    story.question("q1");
    story.write();
    for name in ["tile/0/000.p/3", "tile/entries/000.p/3"] {
        flip(&story.path().join(name), 40);
        assert_eq!(story.findings(), [(None, Code::TileMismatch)]);
        flip(&story.path().join(name), 40);
    }
}

#[test]
fn a_data_directory_is_verified_log_by_log() {
    let story = Story::begun();
    story.write();
    for directory in [story.folder.path().to_owned(), story.folder.path().join("log"), story.path()] {
        let reports = verify_tree(&directory, &[]).unwrap();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].key_on_trust && reports[0].report.passed());
        let reports = verify_tree(&directory, &[story.public()]).unwrap();
        assert!(!reports[0].key_on_trust && reports[0].report.passed());
    }
    let other = story.key.vkey(&Origin::for_room("logs.example", "health").unwrap());
    assert!(matches!(verify_tree(&story.path(), &[read_key(&other)]), Err(VerifyError::NoSuchLog { .. })));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(verify_tree(empty.path(), &[]), Err(VerifyError::NotALog { .. })));
    assert!(matches!(verify_tree(&empty.path().join("none"), &[]), Err(VerifyError::NotALog { .. })));
}

#[test]
fn a_log_that_was_never_signed_is_a_notice_and_one_that_lost_its_checkpoint_a_failure() {
    let mut story = Story::begun();
    let log = LogDirectory::open(story.path()).unwrap();
    log.write_key(&story.vkey()).unwrap();
    log.extend(0, &story.lines).unwrap();
    let only = |reports: Vec<RoomReport>| reports[0].report.findings[0].code;
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::NotStarted);
    story.write();
    story.question("q1");
    story.write();
    fs::remove_file(story.path().join("checkpoint")).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::MissingFile);
    fs::remove_file(story.path().join("log.pub")).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::MissingFile);
    fs::write(story.path().join("log.pub"), [0xff, 0xfe]).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::KeyMismatch);
}

/// A server publishes between two reads: what is in the history by then must not be newer than the checkpoint that was read.
#[test]
fn a_log_that_grows_while_it_is_verified_did_not_go_back() {
    let mut story = Story::begun();
    story.write();
    let (path, keys) = (story.path(), [story.public()]);
    let (checkpoint, history) = (path.join("checkpoint"), path.join("checkpoints"));
    let (before, kept) = (fs::read(&checkpoint).unwrap(), fs::read(&history).unwrap());
    story.question("q1");
    story.write();
    let grown = fs::read(&history).unwrap();
    fs::write(&history, kept).unwrap();
    // Whoever opens a pipe to write waits for a reader: the rest happens at the moment when the checkpoint is read.
    fs::remove_file(&checkpoint).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&checkpoint).status().unwrap().success());
    let server = std::thread::spawn(move || {
        let mut pipe = File::options().write(true).open(&checkpoint).unwrap();
        fs::write(&history, grown).unwrap();
        std::io::Write::write_all(&mut pipe, &before).unwrap();
    });
    let report = verify_directory(&path, &keys).unwrap();
    server.join().unwrap();
    assert!(report.passed(), "{:?}", report.findings);
}
