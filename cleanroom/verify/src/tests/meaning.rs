//! What entries say: all of these are correctly hashed and signed.

use super::*;

#[test]
fn every_kind_of_entry_is_of_the_format_that_the_verifier_knows() {
    let mut story = Story::new();
    for event in one_of_each() {
        let entry = story.entry(7, Some("q1"), event);
        assert!(entry::Entry::read(&entry.to_line().unwrap()).is_ok(), "{}", entry.event.kind());
    }
}

#[test]
fn an_entry_in_another_spelling_is_found() {
    let story = Story::begun();
    let line = String::from_utf8(story.lines[2].clone()).unwrap();
    let changed = |from: &str, to: &str| {
        let mut other = Story::begun();
        other.lines[2] = line.replacen(from, to, 1).into_bytes();
        assert_ne!(other.lines[2], story.lines[2]);
        other.told()
    };
    for (from, to) in [
        (r#""seq":2"#, r#""seq": 2"#),
        (r#""seq":2"#, r#""seq":2.0"#),
        (r#""seq":2"#, r#""seq":2,"seq":2"#),
        ("retailer", "retaile\\u0072"),
    ] {
        assert_eq!(changed(from, to), [(Some(2), Code::NotCanonical)], "{to}");
    }
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        (r#""v":1"#, r#""v":1,"w":1"#),
        ("table.version", "table.forgotten"),
        ("sha256:", "sha512:"),
        ("retailer.purchases", "purchases"),
        ("Z\"", "+00:00\""),
        (r#""door":"rest""#, r#""door":"back""#),
        (r#""door":"rest","#, ""),
        ("{", "["),
    ] {
        assert_eq!(changed(from, to), [(Some(2), Code::Entry)], "{to}");
    }
}

#[test]
fn entries_that_were_put_in_another_order_are_found() {
    let mut story = Story::begun();
    story.lines.swap(1, 2);
    let expected = [(Some(1), Code::Sequence), (Some(2), Code::Sequence), (Some(2), Code::Time)];
    assert_eq!(story.told(), expected);
}

#[test]
fn an_entry_of_another_room_is_found() {
    let mut story = Story::begun();
    let mut entry = story.entry(3, None, policy(2, "policy 1", Some("policy 1")).into());
    entry.room = "health".to_owned();
    story.lines.push(entry.to_line().unwrap());
    assert_eq!(story.told(), [(Some(3), Code::OtherRoom)]);
}

#[test]
fn a_question_without_outcome_is_unfinished_and_after_a_day_missing() {
    let mut story = Story::begun();
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    assert_eq!(story.told(), [(Some(asked), Code::Unfinished)]);
    assert!(story.verify().passed());
    story.question("q2");
    assert_eq!(story.told(), [(Some(asked), Code::Unfinished)]);
    story.clock += time::Duration::days(2);
    story.question("q3");
    assert_eq!(story.told(), [(Some(asked), Code::MissingOutcome)]);
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), []);
}

#[test]
fn an_outcome_needs_a_question_and_comes_once() {
    let mut story = Story::begun();
    story.question("q1");
    let second = story.tell(Some("q1"), failed());
    let lost = story.tell(Some("q2"), released());
    story.tell(
        Some("q3"),
        QueryRefused { sql: digest("SELECT"), code: "CR2104".to_owned(), template: None, params: None },
    );
    let refused = story.tell(Some("q3"), released());
    let expected = [(Some(second), Code::SecondOutcome), (Some(lost), Code::NoIntent), (Some(refused), Code::NoIntent)];
    assert_eq!(story.told(), expected);
}

#[test]
fn an_identifier_is_for_one_question() {
    let mut story = Story::begun();
    story.question("q1");
    let again = story.tell(
        Some("q1"),
        QueryPriced { sql: digest("SELECT"), outcome: PricedOutcome::Released, template: None, params: None },
    );
    let nameless = story.tell(None, intent("policy 1", 1));
    assert_eq!(story.told(), [(Some(again), Code::RepeatedRequest), (Some(nameless), Code::Entry)]);
}

#[test]
fn a_question_is_decided_by_the_policy_that_is_active() {
    let mut story = Story::begun();
    let unknown = story.tell(Some("q1"), intent("policy 2", 1));
    story.tell(Some("q1"), failed());
    let mut nothing = intent("policy 1", 1);
    nothing.policies.clear();
    let silent = story.tell(Some("q2"), nothing);
    story.tell(Some("q2"), failed());
    story.tell(None, policy(2, "plan", Some("policy 1")));
    let stale = story.tell(Some("q3"), intent("policy 1", 1));
    story.tell(Some("q3"), failed());
    let expected = [unknown, silent, stale].map(|index| (Some(index), Code::PolicyNotActive));
    assert_eq!(story.told(), expected);
}

#[test]
fn a_policy_never_goes_back() {
    let mut story = Story::begun();
    story.tell(None, policy(3, "plan", Some("policy 1")));
    let back = story.tell(None, policy(2, "policy 1", Some("plan")));
    let other = story.tell(None, policy(2, "plan", Some("policy 1")));
    let forgets = story.tell(None, policy(4, "policy 1", None));
    let expected = [back, other, forgets].map(|index| (Some(index), Code::PolicyVersion));
    assert_eq!(story.told(), expected);
}

#[test]
fn data_that_is_read_was_registered_and_its_version_rises() {
    let mut story = Story::begun();
    let same = story.tell(
        None,
        TableVersion { table: TABLE.to_owned(), version: 1, schema: digest("schema"), content: digest("y") },
    );
    let early = story.tell(Some("q1"), intent("policy 1", 2));
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), [(Some(same), Code::TableVersion), (Some(early), Code::TableVersion)]);
}

#[test]
fn only_a_member_that_may_ask_has_asked() {
    let mut story = Story::begun();
    story.tell(None, RoomPut { digest: digest("room"), strict: None, members: vec![] });
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), [(Some(asked), Code::NotAMember)]);
}

#[test]
fn nothing_is_delivered_that_was_not_released() {
    let mut story = Story::begun();
    let delivered = |query| ResultDelivered { query, to: "agency".to_owned(), format: "json".to_owned() };
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    let early = story.tell(Some("q1"), delivered(asked));
    let outcome = story.tell(Some("q1"), failed());
    let failed = story.tell(Some("q1"), delivered(outcome));
    story.question("q2");
    let other = story.tell(Some("q2"), delivered(outcome));
    let expected = [early, failed, other].map(|index| (Some(index), Code::NoOutcome));
    assert_eq!(story.told(), expected);
}

#[test]
fn a_checkpoint_over_more_entries_than_can_be_does_not_keep_the_verifier_busy() {
    let story = Story::begun();
    story.write();
    let note = story.sign(u64::MAX, EntryHash::of_nothing());
    fs::write(story.path().join("checkpoint"), note).unwrap();
    assert!(!story.verify().passed());
}

#[test]
fn a_log_that_is_wrong_throughout_is_reported_in_little_memory() {
    let mut story = Story::new();
    story.lines = vec![b"{}".to_vec(); 1500];
    story.write();
    let report = story.verify();
    assert_eq!(report.findings.len(), 1001);
    assert_eq!(report.findings[1000].code, Code::More);
}

#[test]
fn whether_answers_wait_for_witnesses_is_told() {
    let told = |strict: &[Option<bool>]| {
        let mut story = Story::new();
        for strict in strict {
            story.tell(None, RoomPut { digest: digest("room"), strict: *strict, members: vec![] });
        }
        let found = story.told();
        (story.verify().strict, found)
    };
    assert_eq!(told(&[None, None]), (None, vec![]), "the oldest entries do not tell");
    assert_eq!(told(&[None, Some(true), Some(true)]), (Some(true), vec![]));
    assert_eq!(told(&[Some(false)]), (Some(false), vec![]));
    assert_eq!(told(&[Some(true), Some(false)]), (Some(false), vec![(Some(1), Code::NotStrict)]));
    assert_eq!(told(&[Some(false), Some(true)]), (Some(true), vec![(Some(1), Code::Strict)]));
    assert_eq!(told(&[Some(true), None]), (Some(true), vec![(Some(1), Code::StrictLeftOut)]), "an older form again");
    assert!(!Code::NotStrict.is_failure() && Code::StrictLeftOut.is_failure());
    let mut story = Story::new();
    story.tell(None, RoomPut { digest: digest("room"), strict: Some(true), members: vec![] });
    let line = String::from_utf8(story.lines.pop().unwrap()).unwrap();
    for wrong in ["\"true\"", "1", "null"] {
        let line = line.replace("\"strict\":true", &format!("\"strict\":{wrong}"));
        assert!(crate::entry::Entry::read(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn every_code_is_explained() {
    let page = include_str!("../../../../docs/log.md");
    let rows: Vec<&str> = page.lines().skip_while(|line| *line != "| code | |").skip(2).collect();
    for code in Code::ALL {
        let row = rows.iter().find(|line| line.starts_with(&format!("| `{code}` |")));
        let is_notice = row.map(|row| row.contains("(a notice)"));
        assert_eq!(is_notice, Some(!code.is_failure()), "`{code}` in docs/log.md");
    }
    assert_eq!(rows.len(), Code::ALL.len(), "docs/log.md explains a code that there is not");
}
