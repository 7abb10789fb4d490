#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::event::{
    Charge, Member, OutcomeStatus, PolicyActive, PolicyReference, PricedOutcome, QueryIntent, QueryOutcome,
    QueryPriced, QueryRefused, ResultDelivered, Role, RoomPut, TableReference, TableVersion, TemplatePut,
    TemplateReference, TokenIssued, TokenRevoked,
};
use crate::hash::Digest;

const TIME: &str = "2026-05-04T13:14:15.123Z";

fn entry(event: impl Into<Event>) -> Entry {
    Entry {
        sequence: 7,
        room: "retail-media".to_owned(),
        time: EntryTime::parse(TIME).unwrap(),
        request: Some("q1".to_owned()),
        actor: Actor { partner: Some("agency".to_owned()), door: Door::Rest, token: Some("t_1".to_owned()) },
        event: event.into(),
    }
}

include!("one_of_each.rs");

fn outcome() -> Entry {
    entry(QueryOutcome { status: OutcomeStatus::Failed, code: Some("CR5001".to_owned()), result: None })
}

fn outcome_line() -> String {
    String::from_utf8(outcome().to_line().unwrap()).unwrap()
}

#[test]
fn an_entry_has_exactly_these_bytes() {
    let expected = concat!(
        r#"{"actor":{"door":"rest","partner":"agency","token":"t_1"},"body":{"code":"CR5001","status":"failed"},"#,
        r#""request":"q1","room":"retail-media","seq":7,"time":"2026-05-04T13:14:15.123Z","type":"query.outcome","v":1}"#
    );
    assert_eq!(outcome_line(), expected);
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for event in one_of_each() {
        let entry = entry(event);
        let line = entry.to_line().unwrap();
        assert_eq!(Entry::parse(&line), Ok(entry.clone()));
        let bare = Entry { request: None, actor: Actor { partner: None, door: Door::Operator, token: None }, ..entry };
        assert_eq!(Entry::parse(&bare.to_line().unwrap()), Ok(bare));
    }
}

#[test]
fn another_spelling_is_refused() {
    let line = outcome_line();
    for (from, to) in [
        (r#""v":1"#, r#""v":1.0"#),
        (r#""v":1"#, r#""v": 1"#),
        (r#""seq":7"#, r#""seq":07"#),
        (r#""seq":7"#, r#""seq":7e0"#),
        (r#""seq":7"#, r#""seq":7,"seq":7"#),
        (r#""seq":7"#, r#""seq":"7""#),
        (r#""v":1"#, r#""v":2"#),
        (r#""v":1"#, r#""v":1,"w":1"#),
        ("agency", "agenc\\u0079"),
        (r#","token":"t_1""#, r#","token":null"#),
        (r#""request":"q1","room":"retail-media""#, r#""room":"retail-media","request":"q1""#),
        ("query.outcome", "query.forgotten"),
        (r#""status":"failed""#, r#""status":"lost""#),
        (r#""status":"failed""#, r#""status":"failed","x":1"#),
        (r#""door":"rest""#, r#""door":"rest","x":1"#),
        ("15.123Z", "15.123+00:00"),
        ("15.123Z", "15.1230Z"),
        ("15.123Z", "15Z"),
        ("T13", "t13"),
        ("CR5001", "CR501"),
        (r#""code":"CR5001","#, ""),
        ("retail-media", "Retail"),
        (r#""v":1}"#, r#""v":1}}"#),
        (r#""v":1}"#, "\"v\":1}\n"),
        (r#""v":1}"#, r#""v":1"#),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        assert!(Entry::parse(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let refused = |entry: Entry| entry.to_line().unwrap_err();
    assert!(matches!(refused(Entry { sequence: 1 << 53, ..outcome() }), EntryError::Rule { field: "seq", .. }));
    assert!(matches!(refused(Entry { room: "a b".to_owned(), ..outcome() }), EntryError::Rule { field: "room", .. }));
    let request = Some(String::new());
    assert!(matches!(refused(Entry { request, ..outcome() }), EntryError::Rule { field: "request", .. }));
    let released = QueryOutcome { status: OutcomeStatus::Released, code: None, result: None };
    assert!(matches!(refused(entry(released)), EntryError::Rule { field: "result", .. }));
    let member = Member {
        partner: "agency".to_owned(),
        abilities: vec!["query".to_owned()],
        key: None,
        signature: None,
        since: None,
        rotation: None,
    };
    let crowd = RoomPut { digest: Digest::sha256_of(b""), strict: None, members: vec![member; 1000] };
    assert_eq!(refused(entry(crowd)), EntryError::TooLong);
}

#[test]
fn an_error_never_repeats_a_value() {
    let line = outcome_line().replacen("failed", "secret value", 1);
    assert!(!Entry::parse(line.as_bytes()).unwrap_err().to_string().contains("secret"));
}

#[test]
fn a_time_is_cut_to_the_millisecond_in_utc() {
    let moment = OffsetDateTime::parse("2026-05-04T15:14:15.123999+02:00", &Rfc3339).unwrap();
    assert_eq!(EntryTime::new(moment).to_string(), TIME);
    assert_eq!(EntryTime::parse(TIME), Some(EntryTime::new(moment)));
}
