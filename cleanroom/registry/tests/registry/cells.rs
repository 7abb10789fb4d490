use cleanroom_registry::{CellCap, CellClaim, QueryId, Registry, RegistryError};

use crate::house::{House, intent, open, purchases, released, room_name};

fn claim(seen: u64, file: &str) -> CellClaim {
    CellClaim { seen, file: Some(file.to_owned()), caps: Vec::new() }
}

fn capped(cap: u64, seen: u64, adds: u64) -> CellClaim {
    let cap = CellCap { table: purchases(), version: 1, cap, seen, adds };
    CellClaim { seen: 0, file: None, caps: vec![cap] }
}

async fn cells(registry: &Registry) -> u64 {
    registry.cells_of(&room_name(), &purchases(), 1).await.unwrap()
}

#[tokio::test]
async fn a_claim_holds_only_where_nobody_came_between() {
    let house = House::furnished().await;
    let (one, other) = (QueryId::generate().unwrap(), QueryId::generate().unwrap());
    let (_, first) = house.registry.reserve(intent(&one)).await.unwrap();
    let (_, second) = house.registry.reserve(intent(&other)).await.unwrap();
    let room = room_name();
    assert!(house.registry.claim_cells(&room, &one, &claim(0, "a")).await.unwrap());
    assert!(!house.registry.claim_cells(&room, &other, &claim(0, "b")).await.unwrap());
    assert_eq!(house.registry.released_cells(&room).await.unwrap(), ["a"]);
    assert!(house.registry.claim_cells(&room, &other, &claim(1, "b")).await.unwrap());
    house.registry.record(first, released()).await.unwrap();
    // Ended is ended.
    let late = house.registry.claim_cells(&room, &one, &claim(2, "c")).await;
    assert!(matches!(late, Err(RegistryError::AlreadyRecorded(_))));
    drop(second);
    let house = house.reopened().await;
    assert_eq!(house.registry.released_cells(&room).await.unwrap(), ["a", "b"], "whatever became of the query");
}

#[tokio::test]
async fn a_cap_is_never_passed() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    let room = room_name();
    assert!(house.registry.claim_cells(&room, &id, &capped(10, 0, 7)).await.unwrap());
    assert!(!house.registry.claim_cells(&room, &id, &capped(10, 0, 1)).await.unwrap(), "somebody came between");
    assert!(!house.registry.claim_cells(&room, &id, &capped(10, 7, 4)).await.unwrap());
    assert!(house.registry.claim_cells(&room, &id, &capped(10, 7, 3)).await.unwrap());
    // Lowered below what was released, it lets nothing more out, and holds nobody up who adds nothing.
    assert!(house.registry.claim_cells(&room, &id, &capped(5, 10, 0)).await.unwrap());
    assert_eq!(cells(&house.registry).await, 10);
    house.registry.record(pending, released()).await.unwrap();
}

/// Two registries stand on one data directory, as two processes do, and each claim has seen all before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_of_two_registries_are_in_one_order() {
    let house = House::furnished().await;
    let second = open(house.directory.path()).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let registry = if task % 2 == 0 { house.registry.clone() } else { second.clone() };
            tokio::spawn(async move {
                let id = QueryId::generate().unwrap();
                let (_, pending) = registry.reserve(intent(&id)).await.unwrap();
                loop {
                    let seen = registry.released_cells(&room_name()).await.unwrap().len() as u64;
                    if registry.claim_cells(&room_name(), &id, &claim(seen, &format!("{seen}"))).await.unwrap() {
                        break;
                    }
                }
                registry.record(pending, released()).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let order: Vec<String> = (0..20).map(|number: u64| number.to_string()).collect();
    assert_eq!(house.registry.released_cells(&room_name()).await.unwrap(), order);
}
