//! What the console reads besides: versions of a policy, spending by day, and whether a token still stands.

use cleanroom_registry::{Actor, Role};
use time::macros::{date, datetime};
use time::{Duration, OffsetDateTime};

use crate::house::{House, agency, policy, policy_text, purchases, room_name};
use crate::ledger::{Bank, room, table, tenths};

const PURCHASES: &str = "retailer.purchases";

#[tokio::test]
async fn versions_of_a_policy_are_kept() {
    let house = House::furnished().await;
    house.registry.put_policy(&room_name(), &policy(3, 30), &policy_text(3, 30), &Actor::operator()).await.unwrap();
    let versions = house.registry.policy_versions(&room_name(), &purchases(), 10).await.unwrap();
    let told: Vec<_> = versions.iter().map(|one| (one.version, one.sequence, one.signed)).collect();
    assert_eq!(told, [(3, 3, false), (1, 1, false)]);
    assert_eq!(versions[0].policy, Some(policy(3, 30)));
    assert_eq!(versions[1].digest, policy(1, 25).digest());
    assert!(versions[0].at >= versions[1].at);
    assert_eq!(house.registry.policy_versions(&room_name(), &purchases(), 1).await.unwrap().len(), 1);
    let other = table("retailer.other");
    assert_eq!(house.registry.policy_versions(&room_name(), &other, 10).await.unwrap(), []);
}

#[tokio::test]
async fn spending_is_told_by_day_and_ahead_to_the_end_of_the_period() {
    let bank =
        Bank::with(&[(PURCHASES, "epsilon: 1, delta: 0, refresh: weekly, lifetime: 9"), ("shop.staff", "")]).await;
    let spending = async || bank.registry.spending(&room("main"), &table(PURCHASES)).await.unwrap().unwrap();
    assert!(spending().await.days.is_empty() && spending().await.ahead.is_empty());
    assert_eq!(bank.registry.spending(&room("main"), &table("shop.staff")).await.unwrap(), None, "it has no budget");
    // The week before does not count; 2026-05-04 was a Monday.
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(7)).await, None);
    for (at, spent) in
        [(datetime!(2026-05-04 9:00 UTC), 1), (datetime!(2026-05-04 10:00 UTC), 1), (datetime!(2026-05-06 9:00 UTC), 2)]
    {
        bank.clock.set(at);
        assert_eq!(bank.asks("agency", &[PURCHASES], tenths(spent)).await, None);
    }
    let told = spending().await;
    assert_eq!((told.today, told.period_ends), (date!(2026 - 05 - 06), Some(datetime!(2026-05-11 0:00 UTC))));
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    let days: Vec<_> = told.days.iter().map(|day| (day.day, day.questions)).collect();
    assert_eq!(days, [(date!(2026 - 05 - 04), 2), (date!(2026 - 05 - 06), 1)]);
    for (day, (spent, so_far)) in told.days.iter().zip([(0.2, 0.2), (0.2, 0.4)]) {
        near(day.spent, spent);
        near(day.so_far, so_far);
    }
    // Six days cost 1.1: this goes on to the last day of the week, or until the limit is passed.
    let ahead: Vec<_> = told.ahead.iter().map(|(day, _)| *day).collect();
    assert_eq!(ahead, [date!(2026 - 05 - 07), date!(2026 - 05 - 08), date!(2026 - 05 - 09), date!(2026 - 05 - 10)]);
    near(told.ahead[0].1, 0.4 + 1.1 / 6.0);
    assert!(told.ahead[3].1 > told.limit && told.ahead[2].1 < told.limit);
}

#[tokio::test]
async fn a_token_stands_until_it_ends() {
    let house = House::furnished().await;
    let registry = &house.registry;
    let issued = registry.issue_token(&agency(), Role::Member, "", None, &Actor::operator()).await.unwrap();
    assert_eq!(
        registry.standing_token(&issued.id).await.unwrap(),
        registry.authenticate(&issued.secret).await.unwrap()
    );
    assert_eq!(registry.standing_token(&issued.secret).await.unwrap(), None);
    registry.revoke_token(&issued.id, &Actor::operator()).await.unwrap();
    assert_eq!(registry.standing_token(&issued.id).await.unwrap(), None);
    let past = OffsetDateTime::now_utc() - Duration::seconds(1);
    let old = registry.issue_token(&agency(), Role::Member, "", Some(past), &Actor::operator()).await.unwrap();
    assert_eq!(registry.standing_token(&old.id).await.unwrap(), None);
}
