//! M and N: noise and its price. M01, M03, M05, M07 and M09 are in `noise::canaries`, with what a correct mechanism allows.
//!
//! M13 (the time that a draw takes) is not measured here: the sampler is not constant in time, so all draws of a question
//! together take a whole number of steps (`pay`), and a server can be set to tell answers at whole multiples of
//! `release_quantum_ms`.

use crate::fixture::block_on;
use crate::noise::blocks::{Blocks, What, noise, numbers};

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
