//! Known ways to get a row out of a clean room, one file a group. The fixture has planted people; none may be seen.

mod a_rows_and_keys;
mod b_grouping;
mod c_filters;
mod c_literals;
mod d_thresholds;
mod e_joins;
mod f_subqueries;
mod g_having;
mod h_differencing;
mod h_guard;
mod i_names;
mod j_errors;
mod k_metadata;
mod l_statements;
mod m_noise;
mod o_tenancy;
mod p_honest;
mod q_uploads;
mod r_resources;
mod t_templates;
mod y_absence;
mod y_padding;
mod z_laundering;

use crate::support::{Answer, Room, shared};

/// Values that belong to one planted person each.
const PLANTED: &[&str] = &[
    "ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976",
    "7919.13",
    "99950",
    "9000001",
    "4111.11",
    "99951",
    "9000002",
];

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: adversarial
description: Planted people
partners:
  - name: retailer
    abilities: [contribute, query, receive]
    tables:
      - name: purchases
        source: {file: DATA/purchases.parquet}
        policy: purchases.yaml
  - name: publisher
    abilities: [contribute, query, receive]
    tables:
      - name: users
        source: {file: DATA/users.parquet}
        policy: users.yaml
      - name: impressions
        source: {file: DATA/impressions.parquet}
        policy: impressions.yaml
";

fn policy(table: &str, columns: &str) -> String {
    format!(
        "\
apiVersion: cleanroom/v1
kind: Policy
table: {table}
version: 1
unit: {{column: email_hash, space: email}}
columns:
  email_hash: {{use: [join, count]}}
{columns}joins: {{require: none, types: [inner, semi]}}
release: {{min_units: 25}}
access: {{analysts: [publisher, retailer], receivers: [publisher, retailer]}}
"
    )
}

/// The attack catalogue's room, without noise.
pub(crate) fn room() -> Room {
    let data = shared("data/adversarial");
    let purchases = policy(
        "retailer.purchases",
        "  category: {use: [dimension, filter]}\n  amount: {use: [measure], functions: [sum, avg], bounds: none}\n",
    );
    let users =
        policy("publisher.users", "  state: {use: [dimension, filter]}\n  age_band: {use: [dimension, filter]}\n");
    let impressions = policy(
        "publisher.impressions",
        "  campaign: {use: [dimension, filter]}\n  device: {use: [dimension, filter]}\n",
    );
    Room::new(
        &ROOM.replace("DATA", data.to_str().unwrap()),
        &[("purchases.yaml", &purchases), ("users.yaml", &users), ("impressions.yaml", &impressions)],
    )
}

/// Nothing of a planted person is anywhere in what was printed.
fn unseen(answer: &Answer) {
    let mut printed = String::from_utf8_lossy(&answer.printed).into_owned();
    // Digits of hashes and of chance, in which any five stand now and then.
    let receipt = &answer.json["receipt"];
    for chance in [&answer.json["query_id"], &receipt["entry"], &receipt["proof"]] {
        printed = printed.replace(&chance.to_string(), "");
    }
    for planted in PLANTED {
        assert!(!printed.contains(planted), "a planted value was printed:\n{printed}");
    }
}

/// Each statement is refused with one of the codes, prints no planted value, and leaves a log that verifies.
fn all_refused(room: &Room, partner: &str, statements: &[(&str, &[&str])]) {
    for (sql, codes) in statements {
        let answer = room.ask(partner, sql);
        assert_eq!(answer.outcome(), "refused", "`{sql}` was not refused: {}", answer.json);
        assert!(
            codes.contains(&answer.code()),
            "`{sql}` was refused with {}, not {codes:?}: {}",
            answer.code(),
            answer.json
        );
        assert!([3, 5].contains(&answer.exit), "exit {} for `{sql}`", answer.exit);
        // The text of the question stands nowhere in the refusal but in names it is about.
        let mut answer = answer;
        answer.printed = answer.json["error"].to_string().into_bytes();
        unseen(&answer);
    }
    let verified = room.verify();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
