//! M and N: noise and its price. M01, M03, M05, M07 and M09 are in `noise::canaries`, with what a correct mechanism allows.
//!
//! M13 (the time that a draw takes) is not measured here: the sampler is not constant in time, so all draws of a question
//! together take a whole number of steps (`pay`), and a server can be set to tell answers at whole multiples of
//! `release_quantum_ms`.

use cleanroom_vault::Spending;

use crate::fixture::block_on;
use crate::noise::blocks::{Blocks, HIGH, What, noise, numbers};

/// M11: amounts at the end of their type, of somebody with thirty of them.
#[test]
fn sums_do_not_wrap() {
    let blocks = Blocks::new(60, 5);
    block_on(async {
        let room = blocks.open(&noise("laplace", 1e9, 1e-6, 1)).await;
        for sql in [
            "SELECT block, SUM(amount) FROM shop.sales GROUP BY block",
            "SELECT block, SUM(-amount) * -1 FROM shop.sales GROUP BY block",
            "SELECT block, SUM(amount * 2) / 2 FROM shop.sales GROUP BY block",
        ] {
            let told = room.ask(sql, false).await;
            assert_eq!(numbers(&told, 60, 1), blocks.truth(What::Sum), "`{sql}`");
        }
    });
}

/// N05: parts that look disjoint are each charged in full. N07: a price is the same whatever is there, and known before.
#[test]
fn the_price_follows_from_the_question_alone() {
    let (some, others) = (Blocks::new(30, 5), Blocks::new(30, 6));
    block_on(async {
        let policy = noise("laplace", 1.0, 1e-6, 1);
        let (here, there) = (some.open(&policy).await, others.open(&policy).await);
        for sql in [
            "SELECT COUNT(*) FROM shop.sales WHERE block = 'b1'",
            "SELECT COUNT(*) FROM shop.sales WHERE block <> 'b1'",
            "SELECT block, COUNT(*) FROM shop.sales WHERE block IN ('b1', 'b2') GROUP BY block",
            "SELECT s.band, SUM(x.amount) FROM shop.sales x JOIN panel.users s ON s.card = x.card GROUP BY ROLLUP(s.band)",
        ] {
            let before = here.ask(sql, true).await;
            let (one, other) = (here.ask(sql, false).await, there.ask(sql, false).await);
            assert_eq!(one.outcome(), "released", "`{sql}`: {}", one.document);
            assert_eq!(one.document, other.document, "`{sql}`");
            assert_eq!(before.document["columns"], one.document["columns"], "`{sql}`");
            for cost in one.document["cost"].as_array().unwrap() {
                assert_eq!(cost["epsilon"], 1.0, "`{sql}`");
            }
            for (cost, before) in
                one.document["cost"].as_array().unwrap().iter().zip(before.document["cost"].as_array().unwrap())
            {
                assert_eq!((&cost["epsilon"], &cost["delta"]), (&before["epsilon"], &before["delta"]), "`{sql}`");
            }
        }
    });
}

/// M15: what is computed from noisy numbers is computed of them alone, also where these are nothing or less: with so much noise
/// half of the denominators are.
#[test]
fn denominators_below_zero_fail_nothing() {
    let blocks = Blocks::new(200, 7);
    block_on(async {
        let room = blocks.open(&noise("laplace", 0.001, 1e-6, 1)).await;
        let sql = "SELECT block, COUNT(*) AS n, SUM(amount) AS s, AVG(amount) AS mean, SUM(amount) * 1.0 / COUNT(*) AS ratio \
                   FROM shop.sales GROUP BY block";
        let told = room.ask(sql, false).await;
        assert_eq!((told.outcome(), told.rows.len()), ("released", 200), "{}", told.document);
        let number = |text: &str| text.parse::<f64>().ok();
        let mut low = 0;
        for row in &told.rows {
            let (rows, sum) = (number(&row[1]).unwrap(), number(&row[2]).unwrap());
            let (mean, ratio) = (number(&row[3]), number(&row[4]));
            low += usize::from(rows <= 0.0);
            assert!(mean.is_none_or(f64::is_finite) && ratio.is_none_or(f64::is_finite), "{row:?}");
            // A mean lies within the bounds, whatever its own noisy sum and count are; a ratio is of the two that are shown.
            assert!(mean.is_none_or(|mean| (0.0..=HIGH as f64).contains(&mean)), "{row:?}");
            assert!(ratio.is_none_or(|ratio| (ratio - sum / rows).abs() <= 1e-9 * ratio.abs().max(1.0)), "{row:?}");
            assert!(ratio.is_some() || rows == 0.0, "{row:?}");
        }
        assert!((60..=140).contains(&low), "{low} of 200 counts are not above 0");
    });
}

/// M17: what is too little to be counted is not spent.
#[test]
fn next_to_nothing_is_not_free() {
    let blocks = Blocks::new(30, 8);
    block_on(async {
        let room = blocks.open(&noise("laplace", 1.0, 1e-6, 1)).await;
        let ask = async |epsilon: f64| {
            let spending = Spending { epsilon: Some(epsilon), ..Spending::default() };
            room.ask_as("media", "SELECT COUNT(*) FROM shop.sales", false, spending).await
        };
        for epsilon in [1e-17, 1e-300, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ask(epsilon).await.outcome(), "refused", "{epsilon}");
        }
        let least = ask(1e-6).await;
        assert_eq!(least.outcome(), "released", "{}", least.document);
        assert!(least.document["cost"][0]["epsilon"].as_f64().unwrap() >= 1e-6, "{}", least.document);
    });
}
