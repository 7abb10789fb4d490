use cleanroom_log::{Algorithm, Digest, Entry, Event, InclusionProof};
use cleanroom_policy::RoomName;
use cleanroom_registry::{Actor, Door, IdempotencyState, QueryId, RegistryError, Status};
use serde_json::{Value, json};

use crate::house::{
    Ended, House, agency, attempt, data, failed, intent, policy, policy_text, priced, purchases, refused, released,
    room_name, verified,
};

const SET_UP: [&str; 3] = ["room.put", "policy.active", "table.version"];

async fn said_since(house: &House) -> Vec<String> {
    house.kinds().await.split_off(SET_UP.len())
}

#[tokio::test]
async fn an_answer_is_an_intent_an_outcome_and_a_delivery() {
    let house = House::furnished().await;
    let registry = house.registry.clone().through(Door::Rest);
    let id = QueryId::generate().unwrap();
    let (reservation, pending) = registry.reserve(intent(&id)).await.unwrap();
    assert_eq!(reservation.query_id(), &id);
    let running = registry.query(&room_name(), &id).await.unwrap().unwrap();
    assert_eq!((running.status, running.document, running.result), (None, Value::Null, None));
    assert_eq!(said_since(&house).await, ["query.intent"]);

    let (answer, receipt) = registry.record(pending, released()).await.unwrap().into_parts();
    assert_eq!((answer, receipt.sequence), (released(), 4));
    verified(&registry);
    let ended = registry.query(&room_name(), &id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.document), (Some(Status::Released), json!({"outcome": "released"})));
    assert_eq!(ended.result, released().result);

    registry.delivered(&room_name(), &id, &agency(), "json").await.unwrap();
    assert_eq!(said_since(&house).await, ["query.intent", "query.outcome", "result.delivered"]);
    for entry in registry.log_entries(&room_name(), 3, 10).await.unwrap() {
        let entry = Entry::parse(entry.json.as_bytes()).unwrap();
        assert_eq!(entry.request.as_deref(), Some(id.as_str()));
        assert_eq!((entry.actor.partner.as_deref(), entry.actor.door), (Some("agency"), cleanroom_log::Door::Rest));
    }
}

#[tokio::test]
async fn the_log_commits_to_the_result_and_cannot_be_searched_for_it() {
    let house = House::furnished().await;
    let mut commitments = Vec::new();
    for _ in 0..2 {
        let (_, pending) = house.registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
        let sequence = house.registry.record(pending, released()).await.unwrap().receipt().sequence;
        let entries = house.registry.log_entries(&room_name(), sequence, 1).await.unwrap();
        let Event::QueryOutcome(outcome) = Entry::parse(entries.first().unwrap().json.as_bytes()).unwrap().event else {
            panic!("not the entry of an outcome")
        };
        commitments.push(outcome.result.unwrap());
    }
    let plain = Digest::sha256_of(&released().result.unwrap());
    assert_eq!(plain.algorithm(), Algorithm::Sha256);
    assert!(!commitments.contains(&plain));
    assert_ne!(commitments.first(), commitments.last());
}

#[tokio::test]
async fn what_is_not_executed_is_one_entry() {
    let house = House::furnished().await;
    let registry = &house.registry;
    for outcome in [refused(), priced(), failed()] {
        let id = QueryId::generate().unwrap();
        let recorded = registry.record_refusal(attempt(&id), outcome.clone()).await.unwrap();
        assert_eq!(recorded.value(), &outcome);
        let stored = registry.query(&room_name(), &id).await.unwrap().unwrap();
        assert_eq!(stored.status, Some(outcome.status));
        assert!(matches!(
            registry.delivered(&room_name(), &id, &agency(), "json").await,
            Err(RegistryError::NotReleased(_))
        ));
    }
    assert_eq!(said_since(&house).await, ["query.refused", "query.priced", "query.refused"]);
}

#[tokio::test]
async fn an_outcome_stands_only_where_it_belongs() {
    let house = House::furnished().await;
    let registry = &house.registry;
    let unreserved = registry.record_refusal(attempt(&QueryId::generate().unwrap()), released()).await;
    assert!(matches!(unreserved, Err(RegistryError::Misplaced { .. })));
    for outcome in
        [refused(), priced(), Ended { result: None, ..released() }, Ended { result: released().result, ..failed() }]
    {
        let id = QueryId::generate().unwrap();
        let (_, pending) = registry.reserve(intent(&id)).await.unwrap();
        assert!(matches!(registry.record(pending, outcome).await, Err(RegistryError::Misplaced { .. })));
        assert_eq!(ended(&house, &id).await, Status::Failed);
    }
}

#[tokio::test]
async fn a_pending_that_is_dropped_becomes_a_failure_at_once() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    drop(pending);
    assert_eq!(ended(&house, &id).await, Status::Failed);
    assert_eq!(said_since(&house).await, ["query.intent", "query.outcome"]);
}

/// The status of a query that is being ended by a task of its own.
async fn ended(house: &House, id: &QueryId) -> Status {
    for _ in 0..500 {
        if let Some(status) = house.registry.query(&room_name(), id).await.unwrap().unwrap().status {
            return status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the query never ended")
}

#[tokio::test]
async fn a_query_is_executed_under_the_active_policy_or_not_at_all() {
    let house = House::furnished().await;
    let registry = &house.registry;
    registry.put_policy(&room_name(), &policy(2, 30), &policy_text(2, 30), &Actor::operator()).await.unwrap();
    let id = QueryId::generate().unwrap();
    let outdated = registry.reserve(intent(&id)).await.map(drop);
    assert!(matches!(&outdated, Err(error @ RegistryError::PolicyChanged(_)) if error.code() == "CR4203"));
    assert_eq!(registry.query(&room_name(), &id).await.unwrap(), None);
    assert_eq!(said_since(&house).await, ["policy.active"]);
}

#[tokio::test]
async fn an_answer_is_recorded_under_the_policy_that_let_it_pass_or_not_at_all() {
    let house = House::furnished().await;
    let registry = &house.registry;
    let reserve = async || {
        let id = QueryId::generate().unwrap();
        let (_, pending) = registry.reserve(intent(&id)).await.unwrap();
        (id, pending)
    };
    let (in_force, pending) = reserve().await;
    let kept = registry.record_unless_revoked(pending, released(), failed).await.unwrap();
    assert!(kept.is_ok());
    let ((revoked, first), (dropped, second), (stopped, third)) = (reserve().await, reserve().await, reserve().await);
    registry.put_policy(&room_name(), &policy(2, 30), &policy_text(2, 30), &Actor::operator()).await.unwrap();
    assert!(registry.record_unless_revoked(first, released(), failed).await.unwrap().is_err());
    assert!(matches!(registry.record(second, released()).await, Err(RegistryError::PolicyChanged(_))));
    // What is no answer is recorded whatever is in force.
    registry.record(third, Ended { status: Status::Cancelled, ..failed() }).await.unwrap();
    let mut statuses = Vec::new();
    for id in [&in_force, &revoked, &dropped, &stopped] {
        statuses.push(ended(&house, id).await);
    }
    assert_eq!(statuses, [Status::Released, Status::Failed, Status::Failed, Status::Cancelled]);
}

#[tokio::test]
async fn a_query_id_is_used_once() {
    let house = House::furnished().await;
    let id = QueryId::generate().unwrap();
    let (_, pending) = house.registry.reserve(intent(&id)).await.unwrap();
    assert!(matches!(house.registry.reserve(intent(&id)).await, Err(RegistryError::QueryExists { .. })));
    let refusal = house.registry.record_refusal(attempt(&id), refused()).await;
    assert!(matches!(refusal, Err(RegistryError::QueryExists { .. })));
    // The first one is none the worse for it.
    house.registry.record(pending, released()).await.unwrap();
    assert_eq!(said_since(&house).await, ["query.intent", "query.outcome"]);
}

#[tokio::test]
async fn an_open_query_keeps_its_snapshot_in_use() {
    let house = House::furnished().await;
    let (_, pending) = house.registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
    house.registry.put_table_version(&room_name(), &purchases(), data("b"), &Actor::operator()).await.unwrap();
    assert_eq!(house.registry.snapshots_in_use().await.unwrap(), ["a".repeat(64), "b".repeat(64)]);
    house.registry.record(pending, failed()).await.unwrap();
    assert_eq!(house.registry.snapshots_in_use().await.unwrap(), ["b".repeat(64)]);
}

#[tokio::test]
async fn intents_count_against_the_day_and_refusals_do_not() {
    let house = House::furnished().await;
    let registry = &house.registry;
    for outcome in [released(), failed()] {
        let (_, pending) = registry.reserve(intent(&QueryId::generate().unwrap())).await.unwrap();
        registry.record(pending, outcome).await.unwrap();
    }
    registry.record_refusal(attempt(&QueryId::generate().unwrap()), refused()).await.unwrap();
    assert_eq!(registry.queries_today(&room_name(), &agency(), &purchases()).await.unwrap(), 2);
    let retailer = purchases().owner().clone();
    assert_eq!(registry.queries_today(&room_name(), &retailer, &purchases()).await.unwrap(), 0);

    let listed = registry.queries(&room_name(), Some(&agency()), 2).await.unwrap();
    assert_eq!(
        listed.iter().map(|query| query.status).collect::<Vec<_>>(),
        [Some(Status::Refused), Some(Status::Failed)]
    );
    assert!(registry.queries(&room_name(), Some(&retailer), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_questions_that_come_at_once_no_more_than_the_limit_are_reserved() {
    let house = House::furnished().await;
    let tasks = (0..6).map(|_| {
        let registry = house.registry.clone();
        tokio::spawn(async move {
            match registry.reserve_within(intent(&QueryId::generate().unwrap()), &[(purchases(), 4)]).await {
                Ok((_, pending)) => registry.record(pending, released()).await.map(drop),
                Err(error) => Err(error),
            }
        })
    });
    let mut answered = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(()) => answered += 1,
            Err(error) => assert_eq!(error.code(), "CR4104"),
        }
    }
    assert_eq!(answered, 4);
    assert_eq!(said_since(&house).await.len(), 8);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_request() {
    let house = House::furnished().await;
    let (first, second) = (QueryId::generate().unwrap(), QueryId::generate().unwrap());
    let key = async |request, id| house.registry.reserve_key(&room_name(), &agency(), "k1", request, id).await.unwrap();
    assert_eq!(key("r1", &first).await, IdempotencyState::New);
    assert_eq!(key("r1", &second).await, IdempotencyState::Same(first.clone()));
    assert_eq!(key("r2", &second).await, IdempotencyState::Conflict);
    let nowhere = RoomName::new("elsewhere").unwrap();
    let unknown = house.registry.reserve_key(&nowhere, &agency(), "k1", "r1", &first).await;
    assert!(matches!(unknown, Err(RegistryError::NoSuchRoom(_))));
}

#[tokio::test]
async fn a_proof_needs_nothing_but_the_key() {
    let house = House::furnished().await;
    let key = house.registry.log_vkey(&room_name()).await.unwrap().parse().unwrap();
    for entry in house.registry.log_entries(&room_name(), 0, 10).await.unwrap() {
        let proof: InclusionProof = house.registry.proof(&room_name(), entry.sequence).await.unwrap().parse().unwrap();
        assert_eq!(proof.verify(entry.json.as_bytes(), &key).unwrap().size, 3);
        assert!(proof.verify(b"another entry", &key).is_err());
    }
    let beyond = house.registry.proof(&room_name(), 3).await;
    assert!(matches!(beyond, Err(RegistryError::NoSuchEntry { sequence: 3, .. })));
}
