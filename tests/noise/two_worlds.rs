//! Random statements under noise, with and without one person: all that is told but noisy numbers is the same.
//!
//! `WORLDS_CASES` (a quarter of it here) statements are asked from `WORLDS_SEED` (1) on. A plan without its bounds would fail,
//! which nothing does here.

use super::blocks::noise;
use crate::fixture::{Opened, Rows, block_on};
use crate::random::{Random, from_env};
use crate::worlds::{random_rows, statement};

/// The room of three partners under noise, with the values of some columns declared.
pub(crate) async fn noisy(rows: &Rows, mechanism: &str) -> Opened {
    let noise = noise(mechanism, 1.0, 1e-6, 2);
    Opened::under(rows, &noise, |table, columns| match table {
        "shop.sales" => columns
            .replace(
                "kind: {use: [dimension, filter]}",
                "kind: {use: [dimension, filter], values: [red, blue, green, odd, none]}",
            )
            .replace("functions: [sum]", "functions: [sum, quantile]")
            .replace("bounds: [0, 100]", "functions: [sum, avg, count, var, stddev, quantile], bounds: [0, 100]"),
        "media.users" => {
            columns.replace("state: {use: [dimension, filter]}", "state: {use: [dimension, filter], values: [CA, NY]}")
        }
        _ => columns.to_owned(),
    })
    .await
}

/// A document without simulated intervals: those follow from noisy numbers, which are others each time.
fn unsimulated(document: &serde_json::Value) -> serde_json::Value {
    let mut document = document.clone();
    for column in document["columns"].as_array_mut().into_iter().flatten() {
        if column["noise"]["mechanism"] == "derived" {
            column["noise"] = serde_json::json!("derived");
        }
    }
    document
}

#[test]
fn under_noise_nothing_but_numbers_tells_of_one_person() {
    let cases = from_env("WORLDS_CASES", 200) / 4;
    let seed = from_env("WORLDS_SEED", 1);
    println!("WORLDS_SEED={seed}");
    let mut released = 0;
    block_on(async {
        for (world, mechanism) in ["laplace", "gaussian"].into_iter().enumerate() {
            let mut random = Random::new((seed + world) as u64);
            let (with, without) = random_rows(&mut random);
            let (with, without) = (noisy(&with, mechanism).await, noisy(&without, mechanism).await);
            for number in world * cases / 2..(world + 1) * cases / 2 {
                let sql = statement(&mut random, number).sql;
                let (here, there) = (with.ask(&sql, false).await, without.ask(&sql, false).await);
                assert_ne!(here.outcome(), "failed", "seed {seed}, `{sql}`: {}", here.document);
                assert_eq!(unsimulated(&here.document), unsimulated(&there.document), "seed {seed}, `{sql}`");
                let (here, there) = (with.ask(&sql, true).await, without.ask(&sql, true).await);
                assert_eq!(
                    unsimulated(&here.document),
                    unsimulated(&there.document),
                    "seed {seed}, `{sql}`, its price"
                );
                released += usize::from(here.outcome() == "released");
            }
            // Declared groups are all there, whoever is in them.
            for sql in [
                "SELECT kind, COUNT(*) FROM shop.sales GROUP BY kind",
                "SELECT kind, state, SUM(amount) FROM shop.sales s JOIN media.users u ON s.card = u.card \
                 WHERE band = 'young' GROUP BY CUBE(kind, state)",
                "SELECT kind, AVG(amount) FROM shop.sales WHERE kind = 'odd' AND kind = 'red' GROUP BY kind",
                "SELECT COUNT(*) FROM shop.sales WHERE region = 'nowhere'",
            ] {
                let (here, there) = (with.ask(sql, false).await, without.ask(sql, false).await);
                assert_eq!(here.outcome(), "released", "`{sql}`: {}", here.document);
                assert_eq!(unsimulated(&here.document), unsimulated(&there.document), "`{sql}`");
                let labels = |rows: &[Vec<String>]| -> Vec<Vec<String>> {
                    rows.iter().map(|row| row[..row.len() - 1].to_vec()).collect()
                };
                assert!(!here.rows.is_empty());
                assert_eq!(labels(&here.rows), labels(&there.rows), "`{sql}`");
            }
        }
    });
    println!("{released} released");
    assert!(released >= cases / 2, "{released} of {cases}");
}
