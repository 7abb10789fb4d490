//! What was kept of a log, by somebody or by the log itself.

use super::witnesses::{Signer, any_of, kept};
use super::*;
use cleanroom_log::{InclusionProof, ReceiptExtra, inclusion_proof};

#[test]
fn one_wrong_byte_in_what_a_log_keeps_of_itself_is_found() {
    let mut story = Story::begun();
    let log = story.write();
    let witness = Signer::new("w.example/w");
    story.question("q1");
    story.write();
    log.write_checkpoint(&witness.cosign(&story.note())).unwrap();
    let policy = [any_of(&witness)];
    let sound = || {
        let keys = [story.public()];
        let against = Against { keys: &keys, witnesses: &policy, ..Against::default() };
        let known = |found: &Finding| found.code == Code::Unsigned;
        verify_against(&story.path(), &against).is_ok_and(|reports| reports[0].report.findings.iter().all(known))
    };
    assert!(sound());
    for name in ["checkpoint", "checkpoints"] {
        let path = story.path().join(name);
        let honest = fs::read(&path).unwrap();
        for at in 0..honest.len() {
            let mut bytes = honest.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, bytes).unwrap();
            assert!(!sound(), "{name}, byte {at}");
        }
        fs::write(&path, &honest).unwrap();
    }
    assert!(sound());
}

#[test]
fn what_was_kept_must_be_continued() {
    let mut story = Story::begun();
    (0..4).for_each(|number| story.question(&format!("q{number}")));
    let log = story.write();
    let size = story.lines.len();
    for old in 0..=size {
        assert_eq!(story.against(&[], &kept(&story.signed_at(old))), [], "{old}");
    }
    // Another history, signed by the log's own key.
    let fork = story.sign(5, EntryHash::of_entry(b"another"));
    assert_eq!(story.against(&[], &kept(&fork)), [(Some(4), Code::Forked)]);
    let forged = cleanroom_log::Checkpoint { origin: story.origin(), size: 5, root: EntryHash::of_nothing() }
        .sign(&LogKey::generate().unwrap());
    assert_eq!(story.against(&[], &kept(&forged)), [(None, Code::Signature)]);
    // A log that went back to an earlier state of itself.
    let newest = story.signed_at(size);
    log.write_checkpoint(&story.signed_at(4)).unwrap();
    fs::remove_file(story.path().join("checkpoints")).unwrap();
    assert!(story.against(&[], &kept(&newest)).contains(&(Some(4), Code::RolledBack)));
    // The history alone says as much.
    log.write_checkpoint(&newest).unwrap();
    log.write_checkpoint(&story.signed_at(4)).unwrap();
    assert!(story.against(&[], &[]).contains(&(Some(4), Code::RolledBack)));
    let other = Kept::read("other", &newest.replace("retail", "health")).unwrap();
    let against = Against { kept: &[other], ..Against::default() };
    assert!(matches!(verify_against(&story.path(), &against), Err(VerifyError::NoSuchLog { .. })));
}

#[test]
fn a_receipt_that_was_kept_is_held_against_the_log() {
    let mut story = Story::begun();
    (0..4).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    let receipt = |lines: &[Vec<u8>], index: u64, size: usize| {
        let leaves: Vec<_> = lines[..size].iter().map(|line| EntryHash::of_entry(line)).collect();
        let tree = Tree::from_leaves(leaves.iter().copied());
        let entry = String::from_utf8(lines[index as usize].clone()).unwrap();
        InclusionProof {
            extra: Some(ReceiptExtra::new(entry, None).to_bytes()),
            index,
            path: inclusion_proof(leaves.as_slice(), index, size as u64).unwrap(),
            checkpoint: story.sign(tree.size(), tree.root()),
        }
        .to_string()
    };
    for index in [0, 3, 7] {
        assert_eq!(story.against(&[], &kept(&receipt(&story.lines, index, 9))), [], "{index}");
    }
    // The log that was shown to whoever got the receipt had another entry in that place.
    let mut shown = story.lines.clone();
    shown[6] = shown[3].clone();
    let found = story.against(&[], &kept(&receipt(&shown, 6, 9)));
    assert_eq!(found, [(Some(6), Code::Forked), (Some(8), Code::Forked)]);
    // Without the entry in it, the path alone shows it.
    let bare: String = receipt(&shown, 6, 9).lines().filter(|line| !line.starts_with("extra")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    );
    assert_eq!(story.against(&[], &kept(&bare)), [(Some(6), Code::Forked), (Some(8), Code::Forked)]);
}

#[test]
fn what_was_kept_with_a_quorum_covers_the_log_up_to_there() {
    let mut story = Story::begun();
    (0..3).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    let size = story.lines.len();
    let (witness, stranger) = (Signer::new("w.example"), Signer::new("x.example"));
    let policy = [any_of(&witness)];
    assert_eq!(story.against(&policy, &[]), [(Some(0), Code::Unwitnessed)]);
    assert_eq!(story.against(&policy, &kept(&story.note())), [(Some(0), Code::Unwitnessed)]);
    assert_eq!(story.against(&policy, &kept(&witness.cosign(&story.note()))), []);
    // Whom else somebody asked is no fault of the log.
    assert_eq!(story.against(&policy, &kept(&stranger.cosign(&witness.cosign(&story.note())))), []);
    assert_eq!(story.against(&policy, &kept(&witness.cosign(&story.signed_at(5)))), [(Some(5), Code::Unwitnessed)]);
    let forked = witness.cosign(&story.sign(size as u64, EntryHash::of_nothing()));
    assert_eq!(story.against(&policy, &kept(&forked)), [(Some(size as u64 - 1), Code::Forked)]);
    let longer = witness.cosign(&story.sign(size as u64 + 1, EntryHash::of_nothing()));
    let found = story.against(&policy, &kept(&longer));
    assert_eq!(found, [(Some(size as u64), Code::RolledBack), (Some(0), Code::Unwitnessed)]);
    let name = witness.cosign(&story.note());
    let (note, line) = name.trim_end().rsplit_once('\n').unwrap();
    let mut signature = line.to_owned().into_bytes();
    let last = signature.len() - 9;
    signature[last] = if signature[last] == b'A' { b'B' } else { b'A' };
    let broken = format!("{note}\n{}\n", String::from_utf8(signature).unwrap());
    assert!(story.against(&policy, &kept(&broken)).contains(&(None, Code::Cosignature)));
}

#[test]
fn nothing_is_covered_by_nobody() {
    let story = Story::new();
    let log = LogDirectory::open(story.path()).unwrap();
    log.write_key(&story.vkey()).unwrap();
    log.write_checkpoint(&story.sign(0, EntryHash::of_nothing())).unwrap();
    assert_eq!(story.against(&[any_of(&Signer::new("w.example"))], &[]), []);
}

#[test]
fn what_a_crash_left_of_the_last_record_is_a_notice() {
    let mut story = Story::begun();
    story.write();
    story.question("q1");
    story.write();
    let path = story.path().join("checkpoints");
    let whole = fs::read(&path).unwrap();
    let newest = story.note().len() + 1;
    for cut in 0..newest {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let expected = if cut == 0 { vec![] } else { vec![(None, Code::PartialHistory)] };
        assert_eq!(story.against(&[], &[]), expected, "{cut}");
    }
    // The same of another note than the newest is damage, and so is one in the middle.
    fs::write(&path, &whole[..whole.len() - newest - 2]).unwrap();
    assert_eq!(story.against(&[], &[]), [(None, Code::DamagedFile)]);
    let first = whole.len() - newest;
    fs::write(&path, [&whole[..first - 1], &whole[first..]].concat()).unwrap();
    assert_eq!(story.against(&[], &[]), [(None, Code::DamagedFile)]);
    fs::write(&path, [whole.as_slice(), b"\xff"].concat()).unwrap();
    assert_eq!(story.against(&[], &[]), [(None, Code::DamagedFile)]);
}

#[test]
fn a_history_that_is_too_long_to_be_read_is_read_in_part() {
    let mut story = Story::begun();
    story.write();
    story.question("q1");
    story.write();
    let path = story.path().join("checkpoints");
    let whole = fs::read(&path).unwrap();
    let said = |limit: u64| {
        let mut findings = Findings::default();
        let _ = History::read_at_most(&story.path(), limit).unwrap().whole("", &mut findings);
        findings.into_vec().iter().map(|found| found.code).collect::<Vec<_>>()
    };
    for limit in 0..whole.len() as u64 {
        assert_eq!(said(limit), [Code::PartialHistory], "{limit}");
    }
    assert_eq!(said(whole.len() as u64), []);
    // Damage before the cut is damage.
    let mut broken = whole.clone();
    broken[3] = b'\n';
    fs::write(&path, &broken).unwrap();
    assert_eq!(said(whole.len() as u64 - 1), [Code::DamagedFile]);
}
