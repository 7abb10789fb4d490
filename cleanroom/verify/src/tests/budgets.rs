//! Charges, and what policies let be spent.

use super::*;

#[test]
fn charges_stay_within_what_the_policy_lets_be_spent() {
    let mut story = with_noise();
    story.ask("agency", noisy(vec![charge(4)]));
    let capped = story.ask("agency", noisy(vec![charge(2)]));
    story.ask("brand", noisy(vec![charge(4)]));
    let period = story.ask("brand", noisy(vec![charge(1)]));
    // What was overspent counts, too: 1.1 by now.
    story.clock += time::Duration::days(7);
    story.ask("agency", noisy(vec![charge(5)]));
    story.ask("brand", noisy(vec![charge(4)]));
    story.clock += time::Duration::days(7);
    let lifetime = story.ask("agency", noisy(vec![charge(1)]));
    let expected = [capped, period, lifetime].map(|index| (Some(index), Code::Overspent));
    assert_eq!(story.told(), expected);
}

#[test]
fn what_has_noise_is_charged_unless_it_is_the_askers_own() {
    let mut story = with_noise();
    let free = story.ask("agency", noisy(vec![]));
    story.ask("retailer", noisy(vec![]));
    assert_eq!(story.told(), [(Some(free), Code::Uncharged)]);
}

#[test]
fn a_charge_belongs_to_its_question() {
    let mut story = with_noise();
    let other = |table: &str, space: &str| Charge { table: table.to_owned(), space: space.to_owned(), ..charge(1) };
    let twice = story.ask("agency", noisy(vec![charge(1), charge(1)]));
    let unread = story.ask("agency", noisy(vec![charge(1), other("retailer.returns", "household")]));
    let space = story.ask("agency", noisy(vec![other(TABLE, "card")]));
    let unequal = story.ask("brand", noisy(vec![charge(1), Charge { rho: "2".to_owned(), ..charge(1) }]));
    story.tell(None, PolicyActive { previous: Some(Digest::sha256_of(NOISY)), ..policy(3, "policy 1", None) });
    let without = story.ask("brand", QueryIntent { charge: vec![charge(1)], ..intent("policy 1", 1) });
    let expected = [twice, unread, unread, space, unequal, unequal, without].map(|index| (Some(index), Code::Charge));
    assert_eq!(story.told(), expected);
}

#[test]
fn what_is_shown_again_was_paid_for_by_who_asks() {
    let mut story = with_noise();
    let paid = story.ask("agency", noisy(vec![charge(1)]));
    let again = |request: u64| QueryIntent { replay: Some(format!("q{request}")), ..noisy(vec![]) };
    story.ask("agency", again(paid));
    let another = story.ask("brand", again(paid));
    let unpaid = story.ask("brand", again(another));
    story.tell(
        None,
        TableVersion { table: TABLE.to_owned(), version: 2, schema: digest("schema"), content: digest("y") },
    );
    let tables = vec![TableReference { table: TABLE.to_owned(), version: 2 }];
    let newer = story.ask("agency", QueryIntent { tables, ..again(paid) });
    let expected = [another, unpaid, newer].map(|index| (Some(index), Code::Uncharged));
    assert_eq!(story.told(), expected);
}

#[test]
fn amounts_have_one_spelling() {
    for (amount, fits) in [
        ("0", true),
        ("9223372036854775807", true),
        ("9223372036854775808", false),
        ("99999999999999999999", false),
        ("007", false),
        ("+7", false),
        ("-7", false),
        ("", false),
        ("1.5", false),
    ] {
        let mut story = with_noise();
        let intent = noisy(vec![Charge { rho: amount.to_owned(), ..charge(1) }]);
        let entry = story.entry(5, Some("q5"), intent.into());
        assert_eq!(entry.to_line().is_ok(), fits, "{amount}");
        let honest = story.entry(5, Some("q5"), noisy(vec![charge(1)]).into()).to_line().unwrap();
        let line =
            String::from_utf8(honest).unwrap().replacen(r#""rho":"1000000000000""#, &format!(r#""rho":"{amount}""#), 1);
        assert_eq!(entry::Entry::read(line.as_bytes()).is_ok(), fits, "{amount}");
    }
    let mut story = with_noise();
    let both = QueryIntent { replay: Some("q1".to_owned()), ..noisy(vec![charge(1)]) };
    assert!(story.entry(5, Some("q5"), both.into()).to_line().is_err(), "what is shown again costs nothing");
}
