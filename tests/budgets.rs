//! Budgets as their owners and analysts see them, through both doors.

use std::fs;
use std::path::Path;

use cleanroom_budget::{Delta, Loss, PureEpsilon};
use cleanroom_policy::{PartnerName, RoomName, TableName};
use cleanroom_registry::{Intent, OpenOptions, Price, QueryId, Registry};
use serde_json::{Value, json};

use crate::server::{Server, data_dir, purchases, purchases_policy};
use crate::support::Room;

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: spring
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: purchases, source: {file: purchases.csv}, policy: purchases.yaml}
  - {name: agency, abilities: [query, receive]}
";

const NOISE: &str = "noise: {mechanism: laplace, epsilon: 1, delta: 1e-9, groups_per_unit: 4, rows_per_unit: 5, \
    budget: {epsilon: 20, delta: 1e-6, refresh: monthly, lifetime: 100, per_analyst: 5}}\n";

/// Charges a question of the agency to the purchases, as a question under noise does, and leaves it without an outcome.
async fn charge(data: &Path, epsilon: f64) {
    let options = OpenOptions { data_dir: data.to_owned(), log_host: "localhost".to_owned() };
    let registry = Registry::open(options).await.unwrap();
    let room = RoomName::new("spring").unwrap();
    let table = TableName::parse("retailer.purchases").unwrap();
    let digest = registry.policy(&room, &table).await.unwrap().unwrap().digest;
    let intent = Intent {
        query_id: QueryId::generate().unwrap(),
        room,
        analyst: PartnerName::new("agency").unwrap(),
        sql: "SELECT 1".to_owned(),
        template: None,
        params: None,
        plan: "Aggregate".to_owned(),
        policies: vec![(table.clone(), digest)],
        tables: vec![(table.clone(), 1)],
    };
    let loss = Loss::pure(PureEpsilon::nearest(epsilon), Delta::ZERO);
    let charged = registry.reserve_at(intent, &[], &Price::Charge { loss, tables: vec![table] }).await.unwrap();
    drop(charged);
    registry.close().await;
}

#[test]
fn what_is_left_is_told_to_whom_it_concerns() {
    let room = Room::new(ROOM, &[("purchases.yaml", &format!("{}{NOISE}", purchases_policy()))]);
    fs::write(room.path().join("purchases.csv"), purchases()).unwrap();
    let budgets = |more: &[&str]| -> Value {
        let output = room.run(&[&["budget", "--room", "room.yaml", "--format", "json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let fresh = budgets(&[]);
    assert_eq!(fresh[0]["spent_epsilon"], json!(0.0));
    assert_eq!((&fresh[0]["remaining_epsilon"], &fresh[0]["runs_out"]), (&json!(20.0), &Value::Null));

    tokio::runtime::Runtime::new().unwrap().block_on(charge(&room.path().join(".cleanroom"), 2.0));
    // The question has no outcome, and its charge stays.
    let seen = budgets(&[]);
    assert_eq!(seen[0]["table"], "retailer.purchases");
    assert_eq!(seen[0]["questions"], 1);
    assert_eq!(seen[0]["analysts"][0]["analyst"], "agency");
    assert_eq!(seen[0]["lifetime"]["remaining_epsilon"], json!(98.0));
    assert_eq!(seen[0], budgets(&["--as", "retailer"])[0], "an owner sees what the operator does");
    let own = budgets(&["--as", "agency"]);
    assert_eq!((&own[0]["remaining_epsilon"], &own[0]["questions"]), (&json!(3.0), &Value::Null));
    assert_eq!(
        own[0]["analysts"],
        json!([{"analyst": "agency", "spent_epsilon": 2.0, "remaining_epsilon": 3.0, "questions": 1}])
    );

    let table = room.run(&["budget", "--room", "room.yaml", "--format", "table"]);
    let table = String::from_utf8(table.stdout).unwrap();
    for part in ["retailer.purchases", "[##..................]", "a month", "agency", "[########............]"] {
        assert!(table.contains(part), "`{part}` is missing in:\n{table}");
    }
    assert!(room.verify().status.success());
}

#[test]
fn a_room_without_noise_has_no_budgets() {
    let room = Room::new(ROOM, &[("purchases.yaml", &purchases_policy())]);
    fs::write(room.path().join("purchases.csv"), purchases()).unwrap();
    let output = room.run(&["budget", "--room", "room.yaml", "--format", "table"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("no table that you may see has a privacy budget"));
}

#[test]
fn a_server_tells_each_partner_its_own() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let policy = format!("{}{NOISE}", purchases_policy().replace("version: 1", "version: 2"));
    let put = server.call(
        "PUT",
        "/v1/rooms/spring/tables/retailer.purchases/policy",
        &retailer,
        &[("content-type", "application/yaml")],
        policy.as_bytes(),
    );
    assert!((200..300).contains(&put.status));
    let budgets = |token: &str| {
        let reply = server.call("GET", "/v1/rooms/spring/budgets", token, &[], b"");
        assert_eq!(reply.status, 200);
        reply.json()["budgets"].clone()
    };
    tokio::runtime::Runtime::new().unwrap().block_on(charge(&data, 2.0));
    assert_eq!(budgets(&retailer)[0]["questions"], 1);
    assert_eq!(budgets(&server.admin())[0]["analysts"][0]["analyst"], "agency");
    let own = budgets(&agency);
    assert_eq!(
        (own.as_array().unwrap().len(), &own[0]["account"], &own[0]["questions"]),
        (1, &Value::Null, &Value::Null)
    );
    assert_eq!(own[0]["remaining_epsilon"], json!(3.0));
    let stranger = server.token("stranger");
    assert_eq!(server.call("GET", "/v1/rooms/spring/budgets", &stranger, &[], b"").status, 404);
}
