//! Signatures of partners: every way in which one is missing or wrong is found.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use cleanroom_log::{MembershipStatement, PolicyStatement, signature_text};

struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    fn new(partner: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: VerifierKey::new(Origin::new(partner).unwrap(), public) }
    }

    fn sign(&self, text: &str) -> String {
        signature_text(&self.key, self.pair.sign(text.as_bytes()).as_ref().try_into().unwrap())
    }

    fn member(&self, before: Option<&Signer>) -> Member {
        let since = if before.is_some() { "2026-05-04T13:14:15.123Z" } else { "2026-05-04T13:14:15.122Z" };
        self.member_since(since, &["contribute"], before)
    }

    fn member_since(&self, since: &str, abilities: &[&str], before: Option<&Signer>) -> Member {
        self.member_in(Some("logs.example/room/retail"), since, abilities, before)
    }

    fn member_in(&self, log: Option<&str>, since: &str, abilities: &[&str], before: Option<&Signer>) -> Member {
        let abilities: Vec<String> = abilities.iter().map(|&ability| ability.to_owned()).collect();
        let (room, partner) = ("retail", "retailer");
        let at = EntryTime::parse(since).unwrap();
        let log = log.map(|log| Origin::new(log).unwrap());
        let log = log.as_ref();
        let text = MembershipStatement { room, log, partner, abilities: &abilities, since: at, key: &self.key }.text();
        Member {
            since: Some(since.to_owned()),
            partner: "retailer".to_owned(),
            abilities,
            key: Some(self.key.to_string()),
            signature: Some(self.sign(&text)),
            rotation: before.map(|before| before.sign(&text)),
        }
    }

    fn policy(&self, version: u64, text: &str, previous: Option<&str>) -> PolicyActive {
        let statement =
            PolicyStatement { room: "retail", table: TABLE, version, digest: digest(text), templates: &[] }.text();
        PolicyActive { signature: Some(self.sign(&statement)), ..policy(version, text, previous) }
    }
}

fn room(members: &[Member]) -> RoomPut {
    RoomPut { digest: digest("room"), strict: None, members: members.to_vec() }
}

fn found(entries: Vec<Event>) -> Vec<(Option<u64>, Code)> {
    let mut story = Story::new();
    for entry in entries {
        story.tell(None, entry);
    }
    story.told()
}

#[test]
fn a_policy_is_signed_by_the_key_that_its_owner_signed_for() {
    let (one, other) = (Signer::new("retailer"), Signer::new("retailer"));
    let begun = || room(&[one.member(None)]).into();
    assert_eq!(found(vec![begun(), one.policy(1, "policy 1", None).into()]), []);
    let wrong = [(Some(1), Code::PolicySignature)];
    assert_eq!(found(vec![begun(), policy(1, "policy 1", None).into()]), wrong, "not signed");
    assert_eq!(found(vec![begun(), other.policy(1, "policy 1", None).into()]), wrong, "by another key");
    let stolen = PolicyActive { signature: one.policy(2, "policy 1", None).signature, ..policy(1, "policy 1", None) };
    assert_eq!(found(vec![begun(), stolen.into()]), wrong, "the signature of another version");
    let approving = PolicyActive {
        templates: Some(vec![TemplateReference { name: "reach".to_owned(), digest: digest("SELECT") }]),
        ..one.policy(1, "policy 1", None)
    };
    assert_eq!(found(vec![begun(), approving.into()]), wrong, "templates that were not signed for");
}

#[test]
fn a_key_is_replaced_by_itself_alone() {
    let (one, two) = (Signer::new("retailer"), Signer::new("retailer"));
    let (first, rotated) = (room(&[one.member(None)]), room(&[two.member(Some(&one))]));
    let signed = two.policy(1, "policy 1", None);
    assert_eq!(found(vec![first.clone().into(), rotated.clone().into(), signed.clone().into()]), []);
    assert_eq!(
        found(vec![first.clone().into(), rotated.into(), one.policy(1, "policy 1", None).into()]),
        [(Some(2), Code::PolicySignature)],
        "by the key that was replaced"
    );
    let wrong = [(Some(1), Code::Membership)];
    let unsigned = two.member_since("2026-06-01T00:00:00.000Z", &["contribute"], None);
    for members in [vec![unsigned.clone()], vec![two.member(Some(&two))]] {
        assert_eq!(found(vec![first.clone().into(), room(&members).into()]), wrong, "not by the key before");
    }
    let bare = Member { key: None, signature: None, since: None, ..one.member(None) };
    assert_eq!(found(vec![first.clone().into(), room(&[bare]).into()]), wrong, "without its key");
    // Left out of the room and let in again, the partner is who it was.
    assert_eq!(found(vec![first.clone().into(), room(&[]).into(), room(&[one.member(None)]).into()]), []);
    assert_eq!(found(vec![first.into(), room(&[]).into(), room(&[unsigned]).into()]), [(Some(2), Code::Membership)]);
}

#[test]
fn a_membership_is_of_one_log() {
    let one = Signer::new("retailer");
    let member = |log: Option<&str>, since: &str| room(&[one.member_in(log, since, &["contribute"], None)]).into();
    let (first, later) = ("2026-05-04T00:00:00.000Z", "2026-05-05T00:00:00.000Z");
    let here = Some("logs.example/room/retail");
    assert_eq!(found(vec![member(here, first)]), []);
    for elsewhere in ["logs.example/room/other", "evil.example/room/retail"] {
        assert_eq!(found(vec![member(Some(elsewhere), first)]), [(Some(0), Code::Membership)], "{elsewhere}");
    }
    // The oldest name none: they hold, and it is said, once.
    let unbound = [(Some(0), Code::UnboundMembership)];
    assert_eq!(found(vec![member(None, first), member(None, first), member(here, later)]), unbound);
    assert_eq!(found(vec![member(None, later), member(here, first)])[1..], [(Some(1), Code::Membership)]);
}

#[test]
fn terms_that_were_replaced_do_not_come_back() {
    let one = Signer::new("retailer");
    let terms = |since: &str, abilities: &[&str]| room(&[one.member_since(since, abilities, None)]).into();
    let (more, fewer) = (["contribute", "query"], ["contribute"]);
    let told = |last: Event| {
        found(vec![terms("2026-05-04T00:00:00.000Z", &more), terms("2026-05-05T00:00:00.000Z", &fewer), last])
    };
    let wrong = [(Some(2), Code::Membership)];
    assert_eq!(told(terms("2026-05-04T00:00:00.000Z", &more)), wrong, "the terms from before");
    assert_eq!(told(terms("2026-05-05T00:00:00.000Z", &more)), wrong, "of the same time");
    assert_eq!(told(terms("2026-05-05T00:00:00.000Z", &fewer)), [], "the same terms");
    assert_eq!(told(terms("2026-05-05T00:00:00.001Z", &more)), [], "later ones");
}

#[test]
fn abilities_are_what_the_partner_signed() {
    let one = Signer::new("retailer");
    let more = Member { abilities: vec!["contribute".to_owned(), "query".to_owned()], ..one.member(None) };
    assert_eq!(found(vec![room(&[more]).into()]), [(Some(0), Code::Membership)]);
    let other = Member { partner: "agency".to_owned(), ..one.member(None) };
    assert!(Story::new().entry(0, None, room(&[other]).into()).to_line().is_err(), "the key of another name");
}

#[test]
fn whoever_knows_a_partners_key_needs_not_believe_the_log_about_it() {
    let (real, made_up) = (Signer::new("retailer"), Signer::new("retailer"));
    let mut story = Story::new();
    story.tell(None, room(&[made_up.member(None)]));
    story.tell(None, made_up.policy(1, "policy 1", None));
    story.write();
    let codes = |member: &Signer| -> Vec<Code> {
        let (keys, members) = ([story.public()], [read_key(&member.key)]);
        let against = Against { keys: &keys, members: &members, ..Against::default() };
        let reports = verify_against(&story.path(), &against).unwrap();
        reports[0].report.findings.iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&made_up), []);
    assert_eq!(codes(&real), [Code::PolicySignature]);
}

#[test]
fn an_owner_without_a_key_is_named_once() {
    let mut story = Story::new();
    story.tell(None, policy(1, "policy 1", None));
    story.tell(None, policy(2, "policy 1", Some("policy 1")));
    story.write();
    let report = verify_directory(&story.path(), &[story.public()]).unwrap();
    assert_eq!(report.findings.iter().map(|found| found.code).collect::<Vec<_>>(), [Code::Unsigned]);
    assert!(report.passed());
    assert!(!Code::Unsigned.is_failure());
}

#[test]
fn a_policy_from_before_its_owner_had_a_key_decides_nothing_after() {
    let one = Signer::new("retailer");
    let agency = Member {
        partner: "agency".to_owned(),
        abilities: vec!["query".to_owned()],
        key: None,
        signature: None,
        since: None,
        rotation: None,
    };
    let mut story = Story::begun();
    story.question("q1");
    story.tell(None, room(&[agency, one.member(None)]));
    let asked = story.ask("agency", intent("policy 1", 1));
    // The same policy, which is its owner's now.
    story.tell(None, one.policy(1, "policy 1", Some("policy 1")));
    story.question("q2");
    assert_eq!(story.told(), [(Some(asked), Code::PolicySignature)]);
}

#[test]
fn a_membership_from_before_there_were_times_is_older_than_any() {
    let one = Signer::new("retailer");
    let old = |abilities: &[&str]| {
        let abilities: Vec<String> = abilities.iter().map(|&ability| ability.to_owned()).collect();
        let text = format!(
            "cleanroom/v1 membership\nroom retail\npartner retailer\nabilities {}\nkey {}\n",
            abilities.join(" "),
            one.key
        );
        Member { since: None, abilities, signature: Some(one.sign(&text)), ..one.member(None) }
    };
    let first = || Event::from(room(&[old(&["contribute"])]));
    // They name no log either, which is said of each.
    let unbound = |index| (Some(index), Code::UnboundMembership);
    assert_eq!(found(vec![first(), one.policy(1, "policy 1", None).into()]), [unbound(0)]);
    assert_eq!(found(vec![first(), room(&[old(&["contribute", "query"])]).into()]), [unbound(0), unbound(1)]);
    assert_eq!(found(vec![first(), room(&[one.member(None)]).into()]), [unbound(0)]);
    let wrong = (Some(1), Code::Membership);
    assert_eq!(found(vec![room(&[one.member(None)]).into(), first()]), [unbound(1), wrong], "terms from before");
    let wrong = [unbound(0), wrong];
    // A time that is taken out or put in is not what was signed.
    let without = Member { since: None, ..one.member(None) };
    assert_eq!(found(vec![first(), room(&[without]).into()]), wrong);
    let with = Member { since: one.member(None).since, ..old(&["contribute"]) };
    assert_eq!(found(vec![first(), room(&[with]).into()]), wrong);
}
