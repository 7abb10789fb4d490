//! Witnesses: what they cosign, who must have, and what was kept of a log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::*;
use crate::merkle::{Growing, is_consistent};
use crate::note::{Checkpoint, Note};
use cleanroom_log::{InclusionProof, ReceiptExtra, consistency_proof, inclusion_proof};

pub(super) struct Signer {
    pair: Ed25519KeyPair,
    public: Cosigner,
}

impl Signer {
    pub(super) fn new(name: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = Cosigner::new(name, pair.public_key().as_ref().try_into().unwrap()).unwrap();
        Self { pair, public }
    }

    fn called(&self, name: &str) -> Cosigner {
        Cosigner::new(name, self.pair.public_key().as_ref().try_into().unwrap()).unwrap()
    }

    /// The note with this witness's line under it.
    pub(super) fn cosign(&self, note: &str) -> String {
        let text = Note::read(note).unwrap().text;
        let signature = self.pair.sign(Cosigner::message(1_700_000_000, text).as_bytes());
        format!("{note}{}", self.public.line(1_700_000_000, signature.as_ref()))
    }
}

fn policy_of(lines: &str) -> WitnessPolicy {
    lines.parse().unwrap()
}

pub(super) fn any_of(signer: &Signer) -> WitnessPolicy {
    policy_of(&format!("witness w {}\nquorum w\n", signer.public))
}

pub(super) fn kept(text: &str) -> Vec<Kept> {
    vec![Kept::read("kept", text).unwrap()]
}

impl Story {
    pub(super) fn against(&self, witnesses: &[WitnessPolicy], kept: &[Kept]) -> Vec<(Option<u64>, Code)> {
        let keys = [self.public()];
        let against = Against { keys: &keys, witnesses, kept, ..Against::default() };
        let reports = verify_against(&self.path(), &against).unwrap();
        let findings = reports[0].report.findings.iter().filter(|finding| finding.code != Code::Unsigned);
        findings.map(|finding| (finding.index, finding.code)).collect()
    }

    pub(super) fn note(&self) -> String {
        fs::read_to_string(self.path().join("checkpoint")).unwrap()
    }

    fn leaves(&self) -> Vec<EntryHash> {
        self.lines.iter().map(|line| EntryHash::of_entry(line)).collect()
    }

    /// A checkpoint over the first `size` entries, as an honest log signs it.
    pub(super) fn signed_at(&self, size: usize) -> String {
        let tree = Tree::from_leaves(self.leaves()[..size].iter().copied());
        self.sign(tree.size(), tree.root())
    }

    fn submission(&self, old: usize, new: usize) -> String {
        let proof = consistency_proof(self.leaves().as_slice(), old as u64, new as u64).unwrap();
        let proof: String = proof.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
        format!("old {old}\n{proof}\n{}", self.signed_at(new))
    }
}

#[test]
fn a_cosignature_of_the_specification_is_read() {
    // The example of C2SP tlog-cosignature, whose note and time must be bound by the message of `cosignature/v1`.
    let message = Cosigner::message(
        1_679_315_147,
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
    );
    assert_eq!(
        message,
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

/// A witness as another implementation of signed notes knows one.
struct Theirs {
    name: String,
    public: Vec<u8>,
}

impl signed_note::Verifier for Theirs {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        signed_note::key_id(&self.name, &[&[4], self.public.as_slice()].concat())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let (time, signature) = signature.split_at(8);
        let time = u64::from_be_bytes(time.try_into().unwrap());
        let message = [b"cosignature/v1\ntime ", time.to_string().as_bytes(), b"\n", text].concat();
        UnparsedPublicKey::new(&ED25519, &self.public).verify(&message, signature).is_ok()
    }
}

#[test]
fn another_implementation_reads_a_cosigned_checkpoint() {
    let story = Story::begun();
    let witness = Signer::new("w.example/w");
    let cosigned = witness.cosign(&story.signed_at(3));
    let public = witness.pair.public_key().as_ref().to_vec();
    let verify = |note: &str| {
        let log = signed_note::StandardVerifier::new(&story.vkey().to_string()).unwrap();
        let theirs = Theirs { name: "w.example/w".to_owned(), public: public.clone() };
        let known = signed_note::VerifierList::new(vec![Box::new(log), Box::new(theirs)]);
        let (verified, unknown) = signed_note::Note::from_bytes(note.as_bytes()).unwrap().verify(&known).unwrap();
        (verified.len(), unknown.len())
    };
    assert_eq!(verify(&cosigned), (2, 0));
    assert_eq!(verify(&story.signed_at(3)), (1, 0));
    assert_eq!(witness.public.to_string().parse(), Ok(witness.public.clone()));
    assert_eq!(witness.public.to_string().parse::<Key>(), Err(KeyError::Use));
    assert_eq!(story.vkey().to_string().parse::<Cosigner>(), Err(KeyError::Use));
}

#[test]
fn the_quorum_of_a_policy_is_asked_for() {
    let mut story = Story::begun();
    story.question("q1");
    let log = story.write();
    let (one, two) = (Signer::new("one.example/w"), Signer::new("two.example/w"));
    let both = policy_of(&format!("witness 1 {}\nwitness 2 {}\ngroup g all 1 2\nquorum g\n", one.public, two.public));
    assert_eq!(story.against(std::slice::from_ref(&both), &[]), [(Some(0), Code::Unwitnessed)]);
    log.write_checkpoint(&one.cosign(&story.note())).unwrap();
    assert_eq!(story.against(std::slice::from_ref(&both), &[]), [(Some(0), Code::Unwitnessed)]);
    assert_eq!(story.against(&[], &[]), [(None, Code::NoPolicy)]);
    log.write_checkpoint(&two.cosign(&story.note())).unwrap();
    assert_eq!(story.against(std::slice::from_ref(&both), &[]), []);
    // Entries that came since are not covered, and the first of them is named.
    let size = story.lines.len() as u64;
    story.question("q2");
    story.write();
    assert_eq!(story.against(std::slice::from_ref(&both), &[]), [(Some(size), Code::Unwitnessed)]);
    // A witness that the policy does not know counts for nothing, and is pointed out.
    let found = story.against(&[any_of(&one)], &[]);
    assert!(
        found.contains(&(None, Code::UnknownCosigner)) && found.contains(&(Some(size), Code::Unwitnessed)),
        "{found:?}"
    );
}

#[test]
fn a_receipt_is_believed_with_its_quorum_only() {
    let mut story = Story::begun();
    story.question("q1");
    let witness = Signer::new("w.example/w");
    let leaves = story.leaves();
    let tree = Tree::from_leaves(leaves.iter().copied());
    let note = story.sign(tree.size(), tree.root());
    let receipt = |checkpoint: String| InclusionProof {
        extra: Some(ReceiptExtra::new(String::from_utf8(story.lines[4].clone()).unwrap(), None).to_bytes()),
        index: 4,
        path: inclusion_proof(leaves.as_slice(), 4, tree.size()).unwrap(),
        checkpoint,
    };
    let check = |note: String, policy: &WitnessPolicy| {
        verify_receipt_witnessed(&receipt(note).to_string(), None, &story.public(), std::slice::from_ref(policy), &[])
    };
    let policy = any_of(&witness);
    assert!(check(note.clone(), &policy).is_err());
    assert!(check(witness.cosign(&note), &policy).is_ok());
    assert!(check(Signer::new("w.example/w").cosign(&note), &policy).is_err());
    // A cosignature by the log's own key bytes is not the log's signature, and the other way round.
    let elsewhere = policy_of(&format!("log {}\n{}", LogKey::generate().unwrap().vkey(&Origin::new("x").unwrap()), {
        format!("witness w {}\nquorum w\n", witness.public)
    }));
    assert!(check(witness.cosign(&note), &elsewhere).is_err());
    // A policy that lists logs says by which keys they are known.
    let listing = |key: &VerifierKey| policy_of(&format!("log {key}\nwitness w {}\nquorum w\n", witness.public));
    assert!(check(witness.cosign(&note), &listing(&story.vkey())).is_ok());
    assert!(check(witness.cosign(&note), &listing(&LogKey::generate().unwrap().vkey(&story.origin()))).is_err());
    // The very same checkpoint that somebody had cosigned counts, and no other one.
    let with = |kept: &str| {
        let receipt = receipt(note.clone()).to_string();
        verify_receipt_witnessed(&receipt, None, &story.public(), &[any_of(&witness)], &self::kept(kept))
    };
    assert!(with(&note).is_err());
    assert!(with(&witness.cosign(&note)).is_ok());
    assert!(with(&witness.cosign(&story.signed_at(3))).is_err());
    assert!(with(&witness.cosign(&note).replace("room/retail", "room/health")).is_err());
}

#[test]
fn one_key_over_several_logs_is_told_what_to_do() {
    let key = LogKey::generate().unwrap();
    let log = |room: &str| format!("log {}\n", key.vkey(&Origin::for_room("logs.example", room).unwrap()));
    let error = format!("{}{}quorum none\n", log("a"), log("b")).parse::<WitnessPolicy>().unwrap_err();
    assert!(error.line == 2 && error.reason.contains("a policy for each room"), "{error}");
}

#[test]
fn a_policy_says_who_is_enough() {
    let signers: Vec<Signer> = (0..6).map(|number| Signer::new(&format!("w{number}.example"))).collect();
    let mut text = "# two of three, and one of the others\n\n".to_owned();
    for (number, signer) in signers.iter().enumerate() {
        text.push_str(&format!("witness\tw{number} {} https://w{number}.example\n", signer.public));
    }
    text.push_str("group x 2 w0 w1 w2\ngroup y any w3 w4 w5\ngroup both all x y\nquorum both\n");
    let policy = policy_of(&text);
    assert_eq!(policy.witnesses()[2].url.as_deref(), Some("https://w2.example"));
    let story = Story::begun();
    for cosigners in 0_u32..64 {
        let note = (0..6)
            .filter(|number| cosigners >> number & 1 == 1)
            .fold(story.signed_at(3), |note, number| signers[number].cosign(&note));
        let expected = (cosigners & 7).count_ones() >= 2 && cosigners >> 3 != 0;
        assert_eq!(policy.cosigned(&note, &[story.public()]).unwrap().quorum, expected, "{cosigners:b}");
    }
}

#[test]
fn what_is_no_policy_is_refused_with_its_line() {
    let (one, two) = (Signer::new("one.example"), Signer::new("two.example"));
    let same = one.called("other.example");
    let (one, two) = (one.public.to_string(), two.public.to_string());
    let log = LogKey::generate().unwrap().vkey(&Origin::new("logs.example").unwrap()).to_string();
    let same = same.to_string();
    assert!(policy_of("quorum none").asks_nobody());
    for (line, text) in [
        (1, String::new()),
        (2, format!("witness a {one}\nwitness a {two}\nquorum a\n")),
        (2, format!("witness a {one}\nwitness b {same}\nquorum a\n")),
        (1, format!("witness none {one}\nquorum none\n")),
        (1, format!("witness a {log}\nquorum a\n")),
        (1, format!("log {one}\nquorum none\n")),
        (2, format!("log {log}\nlog {log}\nquorum none\n")),
        (1, "quorum a\n".to_owned()),
        (1, format!("quorum a\nwitness a {one}\n")),
        (2, "quorum none\nquorum none\n".to_owned()),
        (2, format!("witness a {one}\ngroup g 0 a\nquorum g\n")),
        (2, format!("witness a {one}\ngroup g 2 a\nquorum g\n")),
        (2, format!("witness a {one}\ngroup g +1 a\nquorum g\n")),
        (2, format!("witness a {one}\ngroup g any\nquorum g\n")),
        (2, format!("witness a {one}\ngroup g all a a\nquorum g\n")),
        (3, format!("witness a {one}\ngroup g all a\ngroup h all a\nquorum g\n")),
        (1, format!("group g all g\nwitness a {one}\nquorum g\n")),
        (1, format!("witness a {one}\r\nquorum a\n")),
        (1, "quorum\n".to_owned()),
        (1, "witnes a\nquorum none\n".to_owned()),
        (1, format!("witness a {}\nquorum a\n", one.replace("one", "two"))),
    ] {
        let error = text.parse::<WitnessPolicy>().unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
    }
    assert!("x".repeat(70_000).parse::<WitnessPolicy>().is_err());
}

#[test]
fn a_witness_accepts_what_continues_what_it_saw() {
    let mut story = Story::begun();
    (0..5).for_each(|number| story.question(&format!("q{number}")));
    let keys = [story.public()];
    let decide = |body: &str, seen: usize| {
        let seen = (seen > 0).then(|| Checkpoint::open(&story.signed_at(seen), &keys[0]).unwrap());
        Submission::read(body).and_then(|submission| submission.examine(&keys, seen.as_ref()).map(|_| ()))
    };
    for old in 0..=9 {
        for new in old..=9 {
            assert_eq!(decide(&story.submission(old, new), old), Ok(()), "{old} to {new}");
        }
    }
    assert_eq!(decide(&story.submission(3, 9), 5), Err(NotAccepted::Conflict { size: 5 }));
    assert_eq!(decide(&story.submission(0, 9), 5), Err(NotAccepted::Conflict { size: 5 }));
    assert_eq!(decide(&story.submission(5, 9), 0), Err(NotAccepted::Conflict { size: 0 }));
    let fork =
        |size, proof: &str, old| format!("old {old}\n{proof}\n{}", story.sign(size, EntryHash::of_entry(b"fork")));
    assert_eq!(decide(&fork(5, "", 5), 5), Err(NotAccepted::Conflict { size: 5 }));
    assert_eq!(decide(&fork(6, "", 5), 5), Err(NotAccepted::Inconsistent));
    let honest = story.submission(5, 9);
    let proof = honest.split_once('\n').unwrap().1.split_once("\n\n").unwrap().0;
    assert_eq!(decide(&fork(9, &format!("{proof}\n"), 5), 5), Err(NotAccepted::Inconsistent));
    assert_eq!(decide(&fork(3, "", 5), 5), Err(NotAccepted::Malformed), "a smaller log than the old one");
    let first = proof.split_once('\n').map_or(proof, |(first, _)| first);
    for (from, to) in [
        ("old 5", "old 05"),
        ("old 5", "old"),
        ("old 5\n", ""),
        ("old 5", "old 99999999999999999999"),
        (first, "AAAA"),
        ("\n\n", "\n"),
    ] {
        assert_eq!(decide(&honest.replacen(from, to, 1), 5), Err(NotAccepted::Malformed), "{to}");
    }
    let many = format!("old 5\n{}\n{}", format!("{first}\n").repeat(64), story.signed_at(9));
    assert_eq!(decide(&many, 5), Err(NotAccepted::Malformed));
    let more = honest.replacen(first, &format!("{first}\n{first}"), 1);
    assert_eq!(decide(&more, 5), Err(NotAccepted::Inconsistent));
    assert_eq!(decide(&honest.replace("room/retail", "room/health"), 5), Err(NotAccepted::UnknownLog));
    let stranger = story.sign(9, EntryHash::of_nothing()).replace("\u{2014} logs", "\u{2014} other");
    assert_eq!(decide(&format!("old 5\n\n{stranger}"), 5), Err(NotAccepted::Unsigned));
    let empty = |root| format!("old 0\n\n{}", story.sign(0, root));
    assert_eq!(decide(&empty(EntryHash::of_nothing()), 0), Ok(()));
    assert_eq!(decide(&empty(EntryHash::of_entry(b"x")), 0), Err(NotAccepted::Conflict { size: 0 }));
}

#[test]
fn no_bit_of_a_submission_can_be_another() {
    let mut story = Story::begun();
    (0..5).for_each(|number| story.question(&format!("q{number}")));
    let keys = [story.public()];
    let seen = Checkpoint::open(&story.signed_at(6), &keys[0]).unwrap();
    let honest = story.submission(6, 11);
    for at in 0..honest.len() {
        for bit in 0..8 {
            let mut bytes = honest.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            let decided = Submission::read(&flipped)
                .and_then(|flipped| flipped.examine(&keys, Some(&seen)).map(|accepted| accepted.checkpoint));
            assert!(decided.is_err(), "byte {at}, bit {bit}: {decided:?}");
        }
    }
}

fn hashes(ours: &[EntryHash]) -> Vec<Hash> {
    ours.iter().map(|ours| Hash::read(&ours.to_base64()).unwrap()).collect()
}

proptest! {
    #[test]
    fn consistency_is_as_the_writer_and_another_library_prove_it(
        new in 1_u64..260, old in 0_u64..260, wrong in 0_usize..12, bit in 0_u8..8,
    ) {
        let old = old % (new + 1);
        let leaves: Vec<EntryHash> = (0..new).map(|leaf| EntryHash::of_entry(&leaf.to_be_bytes())).collect();
        let (mut growing, mut theirs) = (Growing::default(), MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new());
        let (mut old_root, mut old_theirs) = (growing.root(), theirs.root());
        for (leaf, number) in hashes(&leaves).into_iter().zip(0_u64..) {
            growing.append(leaf);
            theirs.push(number.to_be_bytes().to_vec());
            if growing.size() == old {
                (old_root, old_theirs) = (growing.root(), theirs.root());
            }
        }
        let root = growing.root();
        let root_by_them = theirs.root();
        prop_assert_eq!(root.as_bytes().as_slice(), root_by_them.as_bytes().as_slice());
        let mut proof = hashes(&consistency_proof(leaves.as_slice(), old, new).unwrap());
        prop_assert!(is_consistent(old, new, old_root, root, &proof));
        if old > 0 && old < new {
            prop_assert_eq!(old_root.as_bytes().as_slice(), old_theirs.as_bytes().as_slice());
            let by_them = theirs.prove_consistency((new - old) as usize);
            let flat: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
            prop_assert_eq!(by_them.as_bytes(), flat.as_slice());
            // Any other proof, root or size is none.
            let mut other = *root.as_bytes();
            other[wrong % 32] ^= 1 << bit;
            let other = Hash::read(&STANDARD.encode(other)).unwrap();
            prop_assert!(!is_consistent(old, new, other, root, &proof));
            prop_assert!(!is_consistent(old, new, old_root, other, &proof));
            proof.insert(wrong % (proof.len() + 1), root);
            prop_assert!(!is_consistent(old, new, old_root, root, &proof));
            let tlog = |hash: &Hash| tlog_tiles::Hash(*hash.as_bytes());
            let others: Vec<_> = proof.iter().map(tlog).collect();
            prop_assert!(tlog_tiles::check_tree(&others, new, tlog(&root), old, tlog(&old_root)).is_err());
            proof.remove(wrong % proof.len());
            let others: Vec<_> = proof.iter().map(tlog).collect();
            let by_them = tlog_tiles::check_tree(&others, new, tlog(&root), old, tlog(&old_root)).is_ok();
            prop_assert_eq!(is_consistent(old, new, old_root, root, &proof), by_them);
        }
        prop_assert!(!is_consistent(new + 1, new, old_root, root, &[]));
    }
}
