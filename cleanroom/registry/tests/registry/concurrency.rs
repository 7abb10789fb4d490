use cleanroom_registry::QueryId;

use crate::house::{House, attempt, furnish, intent, open, refused, released, room_name};

/// Two registries stand on one data directory, as two processes do, and eight tasks write through them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_two_registries_make_one_dense_log() {
    let house = House::empty().await;
    let second = open(house.directory.path()).await.unwrap();
    furnish(&second).await;
    let tasks = (0..8).map(|task| {
        let registry = if task % 2 == 0 { house.registry.clone() } else { second.clone() };
        tokio::spawn(async move {
            for question in 0..25 {
                let id = QueryId::generate().unwrap();
                if question % 5 == 0 {
                    registry.record_refusal(attempt(&id), refused()).await.unwrap();
                } else {
                    let (_, pending) = registry.reserve(intent(&id)).await.unwrap();
                    registry.record(pending, released()).await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let kinds = house.kinds().await;
    assert_eq!(kinds.len(), 3 + 8 * (5 + 20 * 2));
    let count = |kind: &str| kinds.iter().filter(|entry| *entry == kind).count();
    assert_eq!((count("query.intent"), count("query.outcome"), count("query.refused")), (160, 160, 40));
    assert_eq!(second.log_entries(&room_name(), 0, u64::MAX).await.unwrap().len(), kinds.len());
}

/// A registry that opens beside another leaves the other's open questions alone.
#[tokio::test]
async fn the_questions_of_a_living_process_are_its_own() {
    let house = House::furnished().await;
    let (_, pending) = house.registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
    let second = open(house.directory.path()).await.unwrap();
    assert_eq!(house.kinds().await.last().unwrap(), "query.intent");
    house.registry.record(pending, released()).await.unwrap();
    drop(second);
    assert_eq!(house.kinds().await.last().unwrap(), "query.outcome");
}
