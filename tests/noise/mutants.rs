//! Mechanisms that are broken on purpose. Each has to be caught by the statistics that let the product's own pass, with as
//! many labels; the mechanism as it should be has to pass.

use cleanroom_budget::rho_of;

use super::blocks::{Blocks, HIGH, MOST_ROWS, What};
use super::canaries::{CURVE, LIMITS, SHOWN_FROM, delta_of, likelier, many, seed};
use super::statistics::{Judged, apart, guess, judge, off_laplace};
use crate::random::Random;

/// What is guessed of the numbers that a mechanism makes of the exact ones: without the one who is looked for, and how much
/// that one adds where the coin says so.
fn judged(blocks: &Blocks, what: What, mut mechanism: impl FnMut(f64, bool) -> f64) -> Judged {
    let guesses: Vec<Option<bool>> = blocks
        .exact(what)
        .into_iter()
        .zip(&blocks.coins)
        .map(|((without, with), coin)| guess(mechanism(without, *coin), without, with))
        .collect();
    judge(guesses, &blocks.coins, 1.0)
}

#[test]
fn broken_mechanisms_are_caught() {
    let blocks = Blocks::new(many(), seed());
    let mut random = Random::new(seed() as u64 + 10);
    for what in What::ALL {
        let most = what.most() as f64;
        let adds = |coin: bool, most: f64| if coin { most } else { 0.0 };
        let fine = judged(&blocks, what, |exact, coin| exact + adds(coin, most) + random.laplace(most));
        assert!(!fine.leaks(), "{what:?}, as it should be: {fine:?}");
        let half = judged(&blocks, what, |exact, coin| exact + adds(coin, most) + random.laplace(most / 2.0));
        assert!(half.leaks(), "{what:?}, half the noise: {half:?}");
        let loose = judged(&blocks, what, |exact, coin| exact + adds(coin, most * 10.0) + random.laplace(most));
        assert!(loose.leaks(), "{what:?}, rows or amounts without a limit: {loose:?}");
        let fresh = judged(&blocks, what, |exact, coin| {
            let draws: f64 = (0..5).map(|_draw| random.laplace(most)).sum();
            (exact + adds(coin, most) + draws / 5.0).round()
        });
        assert!(fresh.leaks(), "{what:?}, five draws for one number: {fresh:?}");
        let bare = judged(&blocks, what, |exact, coin| exact + adds(coin, most));
        assert!(bare.leaks(), "{what:?}, no noise: {bare:?}");
    }
}

#[test]
fn columns_charged_once_are_caught() {
    let (many, coins) = (many(), Blocks::new(many(), seed()).coins);
    let mut random = Random::new(seed() as u64 + 11);
    let mut both = |part: f64| {
        let (rows, sum) = (MOST_ROWS as f64, (MOST_ROWS * HIGH) as f64);
        let guesses: Vec<Option<bool>> = coins
            .iter()
            .map(|coin| {
                let mut told =
                    |most: f64| guess(if *coin { most } else { 0.0 } + random.laplace(most / part), 0.0, most);
                let first = told(rows);
                first.filter(|guess| told(sum) == Some(*guess))
            })
            .collect();
        judge(guesses, &coins, 1.0)
    };
    let (fine, once) = (both(0.5), both(1.0));
    assert!(!fine.leaks() && fine.guessed > many / 8, "{fine:?}");
    assert!(once.leaks(), "{once:?}");
}

/// Also what an epsilon for each group comes to, with noise that knows nothing of the number of groups.
#[test]
fn groups_without_a_limit_are_caught() {
    let many = (many() / 2).min(1600);
    let mut random = Random::new(seed() as u64 + 12);
    let coins: Vec<bool> = (0..many).map(|_block| random.one_in(2)).collect();
    let mut groups = |counted: usize| {
        let guesses: Vec<Option<bool>> = coins
            .iter()
            .map(|coin| {
                let numbers: Vec<f64> =
                    (0..6).map(|group| 1.0 + f64::from(*coin && group < counted) + random.laplace(1.0)).collect();
                likelier(&numbers)
            })
            .collect();
        judge(guesses, &coins, 1.0)
    };
    let (fine, all) = (groups(1), groups(6));
    assert!(!fine.leaks(), "{fine:?}");
    assert!(all.leaks(), "{all:?}");
}

#[test]
fn groups_that_show_by_their_people_are_caught() {
    let many = many();
    let mut random = Random::new(seed() as u64 + 13);
    let coins: Vec<bool> = (0..many).map(|_block| random.one_in(2)).collect();
    let mut shown = |noisy: bool| {
        let guesses: Vec<Option<bool>> = coins
            .iter()
            .map(|coin| {
                let units = (SHOWN_FROM - 1 + usize::from(*coin)) as f64;
                Some(units + if noisy { random.laplace(1.0) } else { 0.0 } >= SHOWN_FROM as f64)
            })
            .collect();
        judge(guesses, &coins, 1.0)
    };
    assert!(!shown(true).leaks());
    assert!(shown(false).leaks());
}

/// Averages of one person's rows or nobody's, and Gaussian noise.
#[test]
fn worlds_that_lie_too_far_apart_are_caught() {
    let many = many() / 4;
    let mut random = Random::new(seed() as u64 + 14);
    let limits = [1.0, 10.0, 25.0, 40.0, 50.0, 60.0, 75.0, 90.0, 100.0];
    let mut averages = |there: f64, part: f64| -> Vec<f64> {
        let (rows, sum) = (MOST_ROWS as f64, (MOST_ROWS * HIGH) as f64);
        let one = |_block| {
            let count = (rows * there + random.laplace(rows / part)).max(1.0);
            ((sum * there + random.laplace(sum / part)) / count).clamp(0.0, HIGH as f64)
        };
        (0..many).map(one).collect()
    };
    assert_eq!(apart(&averages(1.0, 0.5), &averages(0.0, 0.5), &limits, 1.0, 0.0), None);
    assert!(apart(&averages(1.0, 5.0), &averages(0.0, 5.0), &limits, 1.0, 0.0).is_some(), "a tenth of the noise");

    let rho = rho_of(8.0, 1e-6);
    let deviation = MOST_ROWS as f64 / (2.0 * rho).sqrt();
    let mut normal = |there: f64, deviation: f64| -> Vec<f64> {
        let mut uniform = || (random.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
        // Box and Muller 1958.
        let mut one = || (-2.0 * uniform().ln()).sqrt() * (uniform() * std::f64::consts::TAU).cos() * deviation;
        (0..2 * many).map(|_block| (there + one()).round()).collect()
    };
    let most = MOST_ROWS as f64;
    let mut curve = |deviation: f64| {
        let (with, without) = (normal(most, deviation), normal(0.0, deviation));
        CURVE.iter().find_map(|epsilon| apart(&with, &without, &LIMITS, *epsilon, delta_of(rho, *epsilon)))
    };
    assert_eq!(curve(deviation), None);
    assert!(curve(deviation / 2.0).is_some(), "half the noise");
}

/// The size of noise is looked at by itself, so that too much of it is seen, too.
#[test]
fn noise_of_another_size_is_caught() {
    let mut random = Random::new(seed() as u64 + 15);
    let mut off = |scale: f64| {
        let noise: Vec<f64> = (0..many()).map(|_label| random.laplace(scale)).collect();
        off_laplace(&noise, 3.0)
    };
    assert!(off(3.0) < 6.0);
    assert!(off(2.4) > 6.0);
    assert!(off(3.75) > 6.0);
}
