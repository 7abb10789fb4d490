//! Coin-flip canaries: one question about some thousand labels, each with somebody who is there or not. See
//! [`super::statistics`] for what a correct mechanism allows.
//!
//! `NOISE_BLOCKS` (5000) labels from `NOISE_SEED` (1) on.

use cleanroom_budget::rho_of;

use super::blocks::{Blocks, HIGH, MOST_ROWS, What, declared, noise, numbers, open, table};
use super::statistics::{apart, guess, judge, off_laplace, related};
use crate::fixture::{Told, block_on};
use crate::random::{Random, from_env};

pub(crate) fn many() -> usize {
    from_env("NOISE_BLOCKS", 5000)
}

pub(crate) fn seed() -> usize {
    let seed = from_env("NOISE_SEED", 1);
    println!("NOISE_SEED={seed}");
    seed
}

/// The numbers of the labels that have nobody but the one of the coin, by the coin.
fn by_coin(numbers: &[f64], coins: &[bool], wanted: bool) -> Vec<f64> {
    let of =
        numbers.iter().zip(coins).enumerate().filter(|(block, (_number, coin))| block % 2 == 1 && **coin == wanted);
    of.map(|(_block, (number, _coin))| *number).collect()
}

pub(crate) fn less(numbers: &[f64], truth: &[f64]) -> Vec<f64> {
    numbers.iter().zip(truth).map(|(number, truth)| number - truth).collect()
}

fn cost(told: &Told) -> (f64, f64) {
    let cost = &told.document["cost"][0];
    (cost["epsilon"].as_f64().unwrap(), cost["delta"].as_f64().unwrap())
}

/// False alarms: 1e-6 for each of 7 judgements, 8 sizes of noise, 3 relations and one average.
#[test]
fn nobody_is_told_apart_better_than_epsilon_allows() {
    let (many, seed) = (many(), seed());
    let blocks = Blocks::new(many, seed);
    block_on(async {
        let room = blocks.open(&noise("laplace", 1.0, 1e-6, 1)).await;
        let mut noises = Vec::new();
        for what in What::ALL {
            let told = room.ask(what.sql(), false).await;
            assert_eq!(cost(&told), (1.0, 0.0), "{what:?}");
            let numbers = numbers(&told, many, 1);
            // All numbers are whole, odd and even alike, whoever is there.
            assert!(numbers.iter().all(|number| number.fract() == 0.0), "{what:?}");
            for coin in [true, false] {
                let odd = by_coin(&numbers, &blocks.coins, coin).iter().filter(|number| *number % 2.0 != 0.0).count();
                // A quarter of all labels; of noise of scale 1 some 40 % are odd, of wider noise half.
                assert!((many / 14..many / 6).contains(&odd), "{what:?}: {odd} odd numbers");
            }
            let exact = blocks.exact(what);
            let guesses = numbers.iter().zip(&exact).map(|(told, (without, with))| guess(*told, *without, *with));
            let judged = judge(guesses, &blocks.coins, 1.0);
            println!("{what:?}: {judged:?}");
            assert!(judged.guessed > many / 3 && !judged.leaks(), "{what:?}: {judged:?}");
            let of_labels = less(&numbers, &blocks.truth(what));
            let off = off_laplace(&of_labels, what.most() as f64);
            assert!(off < 6.0, "{what:?}: the noise is {off} standard errors off what it is said to be");
            noises.push(of_labels);
        }
        // Of the next label, of another question, of the same question once more.
        let again =
            room.ask("SELECT block, COUNT(*) FROM shop.sales WHERE block <> 'none' GROUP BY block", false).await;
        let again = less(&numbers(&again, many, 1), &blocks.truth(What::Rows));
        let rows = &noises[0];
        for (what, related) in [
            ("labels", related(&rows[1..], &rows[..many - 1])),
            ("questions", related(rows, &noises[1])),
            ("repeats", related(rows, &again)),
        ] {
            assert!(related < 6.0, "the noise of {what} is related: {related} standard errors");
        }

        // Two columns and one of them twice: each of two numbers has half.
        let sql = "SELECT block, COUNT(*) AS n, SUM(amount) AS s, COUNT(*) + 0 AS again FROM shop.sales GROUP BY block";
        let told = room.ask(sql, false).await;
        assert_eq!(cost(&told), (1.0, 0.0));
        let [n, s, twice] = [1, 2, 3].map(|column| numbers(&told, many, column));
        assert_eq!(n, twice, "a number has one draw of noise, however often it is asked for");
        let both = (0..many).map(|block| {
            let of = |numbers: &[f64], what: What| {
                let (without, with) = blocks.exact(what)[block];
                guess(numbers[block], without, with)
            };
            of(&n, What::Rows).filter(|guess| of(&s, What::Sum) == Some(*guess))
        });
        let judged = judge(both.collect::<Vec<_>>(), &blocks.coins, 1.0);
        println!("two columns: {judged:?}");
        assert!(judged.guessed > many / 8 && !judged.leaks(), "{judged:?}");
        let (n, s) = (less(&n, &blocks.truth(What::Rows)), less(&s, &blocks.truth(What::Sum)));
        for (noise, scale) in [(&n, 2 * MOST_ROWS), (&s, 2 * MOST_ROWS * HIGH)] {
            let off = off_laplace(noise, scale as f64);
            assert!(off < 6.0, "{off} standard errors");
        }
        assert!(related(&n, &s) < 6.0);

        // An average, in labels of nobody but one.
        let told = room.ask("SELECT block, AVG(amount) AS a FROM shop.sales GROUP BY block", false).await;
        assert_eq!(cost(&told), (1.0, 0.0));
        let averages = numbers(&told, many, 1);
        let [with, without] = [true, false].map(|coin| by_coin(&averages, &blocks.coins, coin));
        assert_eq!(apart(&with, &without, &[1.0, 10.0, 25.0, 40.0, 50.0, 60.0, 75.0, 90.0, 100.0], 1.0, 0.0), None);
        assert!(averages.iter().all(|average| (0.0..=100.0).contains(average)));
    });
}

/// Somebody in six labels, of which one counts. False alarm: 1e-6.
#[test]
fn who_stands_in_many_groups_is_told_apart_no_better() {
    const GROUPS: usize = 6;
    // No more than 10 000 declared labels are shown.
    let (many, seed) = ((many() / 2).min(1600), seed());
    let mut random = Random::new(seed as u64 + 1);
    let coins: Vec<bool> = (0..many).map(|_block| random.one_in(2)).collect();
    let mut rows = Vec::new();
    for (block, coin) in coins.iter().enumerate() {
        for group in 0..GROUPS {
            let label = block * GROUPS + group;
            rows.push(format!("p{label},g{label}"));
            rows.extend(coin.then(|| format!("x{block},g{label}")));
        }
    }
    let labels = declared("label", (0..many * GROUPS).map(|label| format!("g{label}")));
    block_on(async {
        let room = open(&[table("shop.spread", &labels, &noise("laplace", 1.0, 1e-6, 1), "card,label", &rows)]).await;
        let sql = "SELECT label, COUNT(DISTINCT card) FROM shop.spread GROUP BY label";
        let told = room.ask(sql, false).await;
        let numbers = numbers(&told, many * GROUPS, 1);
        let judged = judge(numbers.chunks(GROUPS).map(likelier), &coins, 1.0);
        println!("groups: {judged:?}");
        assert!(judged.guessed == many && !judged.leaks(), "{judged:?}");
        // That one counts in one of them at most: one more on average, not six.
        let truth: f64 = coins.iter().filter(|coin| **coin).count() as f64 + (many * GROUPS) as f64;
        let off = (numbers.iter().sum::<f64>() - truth) / (many as f64 * GROUPS as f64 * 1.85).sqrt();
        assert!(off.abs() < 6.0, "{off} standard errors");
    });
}

/// Whether numbers of labels with one person each are likelier with somebody in all of them, under noise of scale 1.
pub(super) fn likelier(numbers: &[f64]) -> Option<bool> {
    let ratio: f64 = numbers.iter().map(|number| (number - 1.0).abs() - (number - 2.0).abs()).sum();
    Some(ratio > 0.0)
}

/// The least noise that 1e-5 is the chance of, for noise of scale 1; with the floor of 2, what a group has to reach.
pub(super) const SHOWN_FROM: usize = 12 + 2;

/// Which groups there are tells no more: somebody who decides whether a group reaches what it takes; and groups of one or
/// two people, which show with a chance of 5e-6 each. False alarms: 1e-6 and 1e-9.
#[test]
fn groups_show_by_noise_and_not_by_their_people() {
    let (many, seed) = (many(), seed());
    let mut random = Random::new(seed as u64 + 2);
    let coins: Vec<bool> = (0..many).map(|_block| random.one_in(2)).collect();
    let mut rows = Vec::new();
    for (block, coin) in coins.iter().enumerate() {
        rows.extend((0..SHOWN_FROM - 1 + usize::from(*coin)).map(|one| format!("p{block}-{one},b{block}")));
    }
    for label in 0..10_000 {
        rows.extend((0..1 + label % 2).map(|one| format!("l{label}-{one},lonely{label}")));
    }
    block_on(async {
        let policy = noise("laplace", 1.0, 1e-5, 1);
        let column = "  label: {use: [dimension, filter]}\n";
        let room = open(&[table("shop.labels", column, &policy, "card,label", &rows)]).await;
        let told = room.ask("SELECT label, COUNT(DISTINCT card) AS n FROM shop.labels GROUP BY label", false).await;
        assert_eq!(told.outcome(), "released", "{}", told.document);
        assert_eq!(cost(&told), (1.0, 1e-5));
        let lonely = told.rows.iter().filter(|row| row[0].starts_with("lonely")).count();
        assert!(lonely <= 4, "{lonely} groups of one or two people");
        assert!(told.rows.iter().all(|row| row[1].parse::<usize>().unwrap() >= SHOWN_FROM));
        let mut shown = vec![false; many];
        for row in told.rows.iter().filter(|row| !row[0].starts_with("lonely")) {
            shown[row[0][1..].parse::<usize>().unwrap()] = true;
        }
        let judged = judge(shown.into_iter().map(Some), &coins, 1.0);
        println!("shown: {judged:?}");
        // At the limit itself the guess is as good as it may be.
        assert!(!judged.leaks() && judged.right > many * 69 / 100, "{judged:?}");
    });
}

/// Gaussian noise by the curve of the rho that the price stands for. False alarm: 1e-6 for each of 4 points, and for the size.
#[test]
fn gaussian_noise_keeps_to_the_curve_of_its_rho() {
    let (many, seed) = (many(), seed());
    let blocks = Blocks::new(many, seed + 3);
    let rho = rho_of(8.0, 1e-6);
    block_on(async {
        let room = blocks.open(&noise("gaussian", 8.0, 1e-6, 1)).await;
        let told = room.ask(What::ThreeTables.sql(), false).await;
        assert_eq!(cost(&told), (8.0, 1e-6));
        let without: Vec<f64> = blocks.exact(What::ThreeTables).iter().map(|(without, _with)| *without).collect();
        let noisy = less(&numbers(&told, many, 1), &without);
        let [with, without] = [true, false].map(|coin| {
            let of = noisy.iter().zip(&blocks.coins).filter(|(_number, there)| **there == coin);
            of.map(|(number, _coin)| *number).collect::<Vec<f64>>()
        });
        for epsilon in CURVE {
            assert_eq!(apart(&with, &without, &LIMITS, epsilon, delta_of(rho, epsilon)), None, "at {epsilon}");
        }
        let truth = blocks.truth(What::ThreeTables);
        let noise = less(&numbers(&told, many, 1), &truth);
        let variance = noise.iter().map(|number| number * number).sum::<f64>() / many as f64;
        let said = (MOST_ROWS * MOST_ROWS) as f64 / (2.0 * rho);
        // The variance of a normal variable's square is twice its own squared.
        let off = (variance / said - 1.0) / (2.0 / many as f64).sqrt();
        assert!(off.abs() < 6.0, "{off} standard errors");
    });
}

pub(super) const CURVE: [f64; 4] = [0.5, 1.0, 2.0, 3.0];
/// Places between nobody and the one who adds three.
pub(super) const LIMITS: [f64; 9] = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// The delta at an epsilon of what is `rho`-zCDP (Canonne, Kamath and Steinke 2020, proposition 12).
pub(super) fn delta_of(rho: f64, epsilon: f64) -> f64 {
    let at =
        |alpha: f64| ((alpha - 1.0) * (alpha * rho - epsilon)).exp() / (alpha - 1.0) * (1.0 - 1.0 / alpha).powf(alpha);
    (1..2000).map(|step| at(1.0 + f64::from(step) * 0.01)).fold(1.0, f64::min)
}
