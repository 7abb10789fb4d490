//! Medians: that nobody is told apart by one, what is told of it, and that mechanisms which forget something are caught.
//!
//! The canary of a label has ten times the rows and far more than the upper bound. Beside it stand three rows each of the two
//! least values there are: without it the median is one of them, with it the second alone. So whoever is told the least
//! value guesses that nobody is there; nothing else in the answer tells as much.

use super::blocks::{MOST_ROWS, declared, noise, numbers, open, table};
use super::canaries::{many, seed};
use super::statistics::{Judged, judge};
use crate::fixture::{Opened, block_on};
use crate::random::Random;

/// The values are 0 to this.
const TOP: usize = 19;

fn coins(many: usize, seed: u64) -> Vec<bool> {
    let mut random = Random::new(seed);
    (0..many).map(|_block| random.one_in(2)).collect()
}

/// The least value says that nobody is there; no other says anything.
fn judged(chosen: impl IntoIterator<Item = f64>, coins: &[bool]) -> Judged {
    judge(chosen.into_iter().map(|value| (value == 0.0).then_some(false)), coins, 1.0)
}

async fn room(coins: &[bool], noise: &str) -> Opened {
    let mut rows = Vec::new();
    for (block, coin) in coins.iter().enumerate() {
        rows.extend((0..2 * MOST_ROWS).map(|one| format!("p{block}-{one},b{block},{}", one % 2)));
        if *coin {
            rows.extend((0..10 * MOST_ROWS).map(|_row| format!("x{block},b{block},{}", 1000 * TOP)));
        }
    }
    let blocks = declared("block", (0..coins.len()).map(|block| format!("b{block}")));
    let columns = format!("{blocks}  size: {{use: [measure], functions: [quantile, sum], bounds: [0, {TOP}]}}\n");
    open(&[table("shop.sales", &columns, noise, "card,block,size", &rows)]).await
}

/// False alarm: 1e-6, of each mechanism.
#[test]
fn nobody_is_told_apart_by_a_median() {
    let many = (2 * many()).min(10_000);
    let coins = coins(many, seed() as u64 + 20);
    block_on(async {
        for (mechanism, epsilon, delta) in [("laplace", 1.0, 1e-6), ("gaussian", 1.0, 1e-6)] {
            let room = room(&coins, &noise(mechanism, epsilon, delta, 1)).await;
            let told = room.ask("SELECT block, MEDIAN(size) FROM shop.sales GROUP BY block", false).await;
            let chosen = numbers(&told, many, 1);
            assert!(chosen.iter().all(|value| (0..=TOP).any(|step| step as f64 == *value)), "off the grid");
            // All values are chosen, whoever is there: the support says nothing.
            for there in [true, false] {
                let of =
                    |value: f64| chosen.iter().zip(&coins).any(|(chosen, coin)| *coin == there && *chosen == value);
                assert!((0..=TOP).all(|value| of(value as f64)), "{mechanism}: a value that is never chosen");
            }
            let judged = judged(chosen, &coins);
            println!("{mechanism}: {judged:?}");
            assert!(!judged.leaks() && judged.guessed > many / 40, "{mechanism}: {judged:?}");
            // Nor does it hide what it need not: a guess is better than a coin.
            assert!(judged.right * 100 > judged.guessed * 52, "{mechanism}: {judged:?}");
        }
    });
}

/// Permute-and-flip as it is published (McKenna and Sheldon 2020, algorithm 1), over the scores of a median.
fn chosen(random: &mut Random, rows: &[usize], scale: f64) -> f64 {
    let score = |place: usize| {
        let half = rows.iter().sum::<usize>() as f64 / 2.0;
        let (below, to_it) = (rows[..place].iter().sum::<usize>(), rows[..=place].iter().sum::<usize>());
        (below as f64 - half).max(half - to_it as f64).max(0.0)
    };
    let best = (0..rows.len()).map(score).fold(f64::INFINITY, f64::min);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    for turn in 0..order.len() {
        order.swap(turn, turn + random.below(rows.len() - turn));
        let heads = (random.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
        if heads < (-(score(order[turn]) - best) / scale).exp() {
            return order[turn] as f64;
        }
    }
    unreachable!("the best is always taken")
}

#[test]
fn broken_medians_are_caught() {
    let many = 4 * many();
    let coins = coins(many, seed() as u64 + 21);
    let mut random = Random::new(seed() as u64 + 22);
    let most = MOST_ROWS as usize;
    let mut of = |rows: usize, scale: f64| {
        let chosen: Vec<f64> = coins
            .iter()
            .map(|coin| {
                let mut lying = vec![0; TOP + 1];
                lying[..2].fill(most);
                lying[TOP] = if *coin { rows } else { 0 };
                chosen(&mut random, &lying, scale)
            })
            .collect();
        judged(chosen, &coins)
    };
    // A row moves a score by a half; twice what a unit's rows do is the range.
    let scale = most as f64;
    let fine = of(most, scale);
    assert!(!fine.leaks() && fine.guessed > many / 20, "{fine:?}");
    for (what, broken) in [
        ("the rows of a unit left out of the sensitivity", of(most, 1.0)),
        ("half the noise", of(most, scale / 2.0)),
        ("rows without a limit", of(10 * most, scale)),
        ("no noise", of(most, 1e-6)),
    ] {
        assert!(broken.leaks(), "{what}: {broken:?}");
    }
}

#[test]
fn what_is_told_and_paid_of_quantiles() {
    let coins = coins(30, 5);
    block_on(async {
        let room = room(&coins, &noise("laplace", 1.0, 1e-6, 1)).await;
        let sql = "SELECT block, MEDIAN(size) AS middle, SUM(size) AS s, MEDIAN(size) * 2 AS twice FROM shop.sales GROUP BY block";
        let priced = room.ask(sql, true).await;
        let told = room.ask(sql, false).await;
        assert_eq!(told.outcome(), "released", "{}", told.document);
        assert_eq!(priced.document["columns"], told.document["columns"]);
        let cost = |told: &crate::fixture::Told| told.document["cost"][0]["epsilon"].as_f64().unwrap();
        assert_eq!((cost(&priced), cost(&told)), (1.0, 1.0));
        let column = |name: &str| {
            let columns = told.document["columns"].as_array().unwrap();
            columns.iter().find(|column| column["name"] == name).unwrap()["noise"].clone()
        };
        let middle = column("middle");
        assert_eq!(middle["mechanism"], "permute-and-flip");
        assert!(middle["ci95"].is_null());
        // Half of the epsilon: a range of 2 x 3 rows x 1/2 over 0.5.
        assert!((middle["scale"].as_f64().unwrap() - 6.0).abs() < 1e-6, "{middle}");
        assert_eq!(middle["step"].as_f64(), Some(1.0));
        assert_eq!(middle["rank95"].as_f64(), Some((6.0 * (20.0 * (TOP as f64 + 1.0)).ln()).ceil()));
        assert_eq!((&column("twice")["mechanism"], column("twice")["ci95"].is_null()), (&"derived".into(), true));
        // The same question is the same answer, whatever it is called, at no cost.
        let again = "SELECT 2 * m AS x, block, m FROM (SELECT SUM(size) AS s, block, APPROX_PERCENTILE_CONT(size, 0.5) AS m \
                     FROM shop.sales GROUP BY block)";
        let other = room.ask(again, false).await;
        assert_eq!(other.outcome(), "released", "{}", other.document);
        let same = room.ask(&sql.replace("middle", "m"), false).await;
        assert_eq!(cost(&same), 0.0);
        assert_eq!(same.rows, told.rows);
        // Groups that are not declared show by the units there are.
        let hidden = "SELECT size > 3 AS x, MEDIAN(size) FROM shop.sales GROUP BY 1";
        assert_eq!(room.ask(hidden, false).await.outcome(), "refused");
    });
}

#[test]
fn what_of_quantiles_is_refused() {
    let coins = coins(10, 6);
    block_on(async {
        let room = room(&coins, &noise("gaussian", 1.0, 1e-6, 1)).await;
        let mut found = Vec::new();
        let wanted = [
            ("SELECT block, MEDIAN(size) FROM shop.sales GROUP BY ROLLUP(block)", "CR2302"),
            ("SELECT MEDIAN(DISTINCT size) FROM shop.sales", "CR2107"),
            ("SELECT APPROX_PERCENTILE_CONT(size, 0.5, 100) FROM shop.sales", "CR2107"),
            ("SELECT APPROX_PERCENTILE_CONT(size, 1.5) FROM shop.sales", "CR2108"),
            ("SELECT MEDIAN(block) FROM shop.sales", "CR1008"),
            ("SELECT MEDIAN(COALESCE(size, 0)) FROM shop.sales", "CR2108"),
            ("SELECT MEDIAN(m) FROM (SELECT card, MEDIAN(size) AS m FROM shop.sales GROUP BY card)", "CR2107"),
            ("SELECT COUNT(*) WITHIN GROUP (ORDER BY size) FROM shop.sales", "CR1003"),
        ];
        for (sql, _code) in wanted {
            let told = room.ask(sql, true).await;
            println!("{} {sql}: {}", told.code(), told.document["error"]["detail"]);
            found.push((sql, told.code().to_owned()));
        }
        assert_eq!(found, wanted.map(|(sql, code)| (sql, code.to_owned())));
    });
}
