use cleanroom_log::{Entry, Event};
use cleanroom_policy::{RoomName, TableName, parse_policy, parse_room};
use cleanroom_registry::{Actor, Change, Door, Registry, RegistryError};

use crate::house::{House, ROOM, data, policy, policy_text, purchases, room, room_name};

#[tokio::test]
async fn a_room_is_put_read_and_left_alone_when_nothing_changed() {
    let house = House::empty().await;
    let actor = Actor::operator();
    assert_eq!(house.registry.room(&room_name()).await.unwrap(), None);
    assert_eq!(house.registry.put_room(&room(), &actor).await.unwrap(), Change::Created);
    assert_eq!(house.registry.put_room(&room(), &actor).await.unwrap(), Change::Unchanged);
    let read = house.registry.room(&room_name()).await.unwrap().unwrap();
    assert_eq!(read.digest(), room().digest());
    let changed = parse_room("room.yaml", &ROOM.replace("spring", "autumn")).unwrap();
    assert_eq!(house.registry.put_room(&changed, &actor).await.unwrap(), Change::Updated);
    assert_eq!(house.registry.rooms().await.unwrap().first().unwrap().digest(), changed.digest());
    assert_eq!(house.kinds().await, ["room.put", "room.put"]);
}

#[tokio::test]
async fn a_policy_grows_with_its_version() {
    let house = House::furnished().await;
    let (registry, room, actor) = (&house.registry, room_name(), Actor::operator());
    let put = async |version, floor| {
        registry.put_policy(&room, &policy(version, floor), &policy_text(version, floor), &actor).await
    };
    assert_eq!(put(1, 25).await.unwrap(), Change::Unchanged);
    assert!(matches!(put(1, 30).await, Err(RegistryError::PolicyVersionReused { version: 1, .. })));
    assert_eq!(put(3, 30).await.unwrap(), Change::Updated);
    assert!(matches!(put(2, 40).await, Err(RegistryError::PolicyOutdated { active: 3, given: 2, .. })));
    let active = registry.policy(&room, &purchases()).await.unwrap().unwrap();
    assert_eq!((active.policy.version, active.digest), (3, policy(3, 30).digest()));
    assert_eq!(house.kinds().await, ["room.put", "policy.active", "table.version", "policy.active"]);

    let entries = registry.log_entries(&room, active.sequence, 1).await.unwrap();
    let Event::PolicyActive(entry) = Entry::parse(entries.first().unwrap().json.as_bytes()).unwrap().event else {
        panic!("not the entry of a policy")
    };
    assert_eq!(entry.previous.unwrap().hex(), policy(1, 25).digest());
}

#[tokio::test]
async fn what_is_for_tests_stays_in_rooms_for_tests_and_off_servers() {
    const NOISE: &str = "noise: {mechanism: laplace, epsilon: 1e20, delta: 1e-8, groups_per_unit: 1, rows_per_unit: 1, \
                         budget: {epsilon: 1e20, delta: 1e-6}, test_only: true}\n";
    let house = House::furnished().await;
    let actor = Actor::operator();
    let served = house.registry.clone().through(Door::Rest);
    let text = format!("{}{NOISE}", policy_text(2, 25));
    let policy = parse_policy("p.yaml", &text).unwrap();
    let put = async |registry: &Registry| registry.put_policy(&room_name(), &policy, &text, &actor).await;
    assert!(matches!(put(&house.registry).await, Err(RegistryError::NotForTests { .. })));
    assert!(matches!(put(&served).await, Err(RegistryError::TestOnly { .. })));

    let for_tests = parse_room("r.yaml", &ROOM.replacen("kind: Room\n", "kind: Room\ntest_only: true\n", 1)).unwrap();
    let refused = served.put_room(&for_tests, &actor).await.unwrap_err();
    assert_eq!((refused.code(), refused.is_request()), ("CR1006", true));
    assert!(refused.public().contains("room `retail-media` is for tests alone"), "{refused}");
    assert_eq!(house.registry.put_room(&for_tests, &actor).await.unwrap(), Change::Updated);
    assert!(matches!(put(&served).await, Err(RegistryError::TestOnly { .. })));
    assert_eq!(put(&house.registry).await.unwrap(), Change::Updated);

    // It does not cease to be one as long as it has such a policy.
    assert!(matches!(house.registry.put_room(&room(), &actor).await, Err(RegistryError::NotForTests { .. })));
    let text = policy_text(3, 25);
    let sound = parse_policy("p.yaml", &text).unwrap();
    house.registry.put_policy(&room_name(), &sound, &text, &actor).await.unwrap();
    assert_eq!(house.registry.put_room(&room(), &actor).await.unwrap(), Change::Updated);
}

#[tokio::test]
async fn a_policy_keeps_the_spelling_its_owner_put_last() {
    let house = House::furnished().await;
    let commented = format!("# a comment moves every line\n{}", policy_text(1, 25));
    let change = house.registry.put_policy(&room_name(), &policy(1, 25), &commented, &Actor::operator()).await.unwrap();
    assert_eq!(change, Change::Unchanged);
    let active = house.registry.policy(&room_name(), &purchases()).await.unwrap().unwrap();
    assert_eq!(active.text, commented);
    assert_eq!(active.policy.line("release.min_units"), policy(1, 25).line("release.min_units").map(|line| line + 1));
}

#[tokio::test]
async fn a_policy_is_put_with_its_own_text_and_for_a_table_of_the_room() {
    let house = House::furnished().await;
    let (registry, actor) = (&house.registry, Actor::operator());
    let foreign = registry.put_policy(&room_name(), &policy(2, 25), &policy_text(2, 26), &actor).await;
    assert!(matches!(foreign, Err(RegistryError::PolicyText(_))));
    let nowhere = RoomName::new("elsewhere").unwrap();
    let put = registry.put_policy(&nowhere, &policy(2, 25), &policy_text(2, 25), &actor).await;
    assert!(matches!(put, Err(RegistryError::NoSuchRoom(_))));
    let unknown = TableName::parse("retailer.returns").unwrap();
    let put = registry.put_table_version(&room_name(), &unknown, data("b"), &actor).await;
    assert!(matches!(put, Err(RegistryError::NoSuchTable { .. })));
}

#[tokio::test]
async fn a_table_has_one_version_after_the_other() {
    let house = House::furnished().await;
    let (registry, room) = (&house.registry, room_name());
    let second = registry.put_table_version(&room, &purchases(), data("b"), &Actor::operator()).await.unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(registry.table_version(&room, &purchases()).await.unwrap(), Some(second.clone()));
    assert_eq!(registry.snapshots_in_use().await.unwrap(), ["b".repeat(64)]);
    // The log holds neither the snapshot's name nor a digest that could be made without the room's secret.
    let entries = registry.log_entries(&room, 0, 100).await.unwrap();
    assert!(entries.iter().all(|entry| !entry.json.contains(&second.snapshot)));
    assert!(entries.iter().any(|entry| entry.json.contains(&second.salted_digest)));
    assert_eq!(house.kinds().await, ["room.put", "policy.active", "table.version", "table.version"]);
}
