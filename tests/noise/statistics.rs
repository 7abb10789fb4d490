//! What may be told of people by a mechanism of a stated epsilon, as a number of right guesses.
//!
//! A fair coin decides whether somebody is there, and whoever sees a noisy number guesses the coin. However the guess is
//! made, each is right with a chance of at most `e^epsilon / (1 + e^epsilon)` (Steinke, Nasr and Jagielski 2023, here without
//! delta), so that more right guesses than a binomial variable of that chance reaches with a chance of 1e-6 are a leak.

/// Chance that a correct mechanism is taken for a leak.
const FALSE_ALARM: f64 = 1e-6;

/// Guesses, of which some were right.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) right: usize,
    pub(crate) guessed: usize,
    limit: usize,
}

impl Judged {
    pub(crate) fn leaks(&self) -> bool {
        self.right >= self.limit
    }
}

/// Somebody is there where the number is at least what it would be then, and not where it is at most what it is otherwise.
pub(crate) fn guess(told: f64, without: f64, with: f64) -> Option<bool> {
    match (told >= with, told <= without) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

pub(crate) fn judge(guesses: impl IntoIterator<Item = Option<bool>>, coins: &[bool], epsilon: f64) -> Judged {
    let (mut right, mut guessed) = (0, 0);
    for (guess, coin) in guesses.into_iter().zip(coins) {
        guessed += usize::from(guess.is_some());
        right += usize::from(guess == Some(*coin));
    }
    Judged { right, guessed, limit: least_seldom(guessed, 1.0 / (1.0 + (-epsilon).exp())) }
}

/// The least number that a binomial variable reaches with a chance of at most [`FALSE_ALARM`].
fn least_seldom(many: usize, chance: f64) -> usize {
    let terms = terms(many, chance);
    let mut tail = 0.0;
    for at in (0..=many).rev() {
        tail += terms[at];
        if tail > FALSE_ALARM {
            return at + 1;
        }
    }
    0
}

/// The chances of 0 to `many` successes.
fn terms(many: usize, chance: f64) -> Vec<f64> {
    let mut factorial = vec![0.0; many + 1];
    for at in 1..=many {
        factorial[at] = factorial[at - 1] + (at as f64).ln();
    }
    let (yes, no) = (chance.ln(), (-chance).ln_1p());
    let term = |at: usize| {
        let choose = factorial[many] - factorial[at] - factorial[many - at];
        (choose + at as f64 * yes + (many - at) as f64 * no).exp()
    };
    (0..=many).map(term).collect()
}

/// How often something happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) hits: usize,
    pub(crate) of: usize,
}

impl Seen {
    pub(crate) fn count(numbers: &[f64], event: impl Fn(f64) -> bool) -> Self {
        Self { hits: numbers.iter().filter(|number| event(**number)).count(), of: numbers.len() }
    }

    /// A bound above its chance, wrong with a chance of at most `wrong` (Clopper and Pearson 1934).
    fn at_most(self, wrong: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _step in 0..40 {
            let middle = f64::midpoint(low, high);
            let reached: f64 = terms(self.of, middle).iter().take(self.hits + 1).sum();
            if reached >= wrong { low = middle } else { high = middle }
        }
        high
    }

    fn at_least(self, wrong: f64) -> f64 {
        1.0 - Self { hits: self.of - self.hits, of: self.of }.at_most(wrong)
    }

    /// Whether an event of one world is likelier than `e^epsilon` times its chance in the other and delta allow; each claim
    /// of it is wrong with a chance of at most 2e-8.
    pub(crate) fn breaks(self, other: Self, epsilon: f64, delta: f64) -> bool {
        self.at_least(1e-8) > epsilon.exp() * other.at_most(1e-8) + delta
    }
}

/// Whether numbers of two worlds lie further apart than epsilon and delta allow: in events at and above, or below, some of 12
/// limits that were chosen before. Of 24 or 48 events a false alarm has a chance of 1e-6 at most.
pub(crate) fn apart(with: &[f64], without: &[f64], limits: &[f64], epsilon: f64, delta: f64) -> Option<f64> {
    assert!(limits.len() <= 12);
    limits.iter().copied().find(|limit| {
        let above = |numbers| Seen::count(numbers, |number| number >= *limit);
        let below = |numbers| Seen::count(numbers, |number| number < *limit);
        above(with).breaks(above(without), epsilon, delta)
            || above(without).breaks(above(with), epsilon, delta)
            || below(with).breaks(below(without), epsilon, delta)
            || below(without).breaks(below(with), epsilon, delta)
    })
}

/// How many standard errors the mean size of noise is off that of discrete Laplace noise, `2 q / (1 - q^2)` with
/// `q = e^(-1 / scale)`: more than 6 has a chance below 1e-6 for some thousand numbers.
pub(crate) fn off_laplace(noise: &[f64], scale: f64) -> f64 {
    let q = (-1.0 / scale).exp();
    let (mean, square) = (2.0 * q / (1.0 - q * q), 2.0 * q / (1.0 - q).powi(2));
    let many = noise.len() as f64;
    let seen = noise.iter().map(|number| number.abs()).sum::<f64>() / many;
    (seen - mean).abs() / ((square - mean * mean) / many).sqrt()
}

/// Correlation of two columns of noise in standard errors: more than 6 has a chance below 1e-6 for some thousand numbers.
pub(crate) fn related(one: &[f64], other: &[f64]) -> f64 {
    let product: f64 = one.iter().zip(other).map(|(one, other)| one * other).sum();
    let squares = |numbers: &[f64]| numbers.iter().map(|number| number * number).sum::<f64>();
    (product / (squares(one) * squares(other)).sqrt()).abs() * (one.len() as f64).sqrt()
}

#[test]
fn limits_are_those_of_the_binomial_distribution() {
    let chance = |epsilon: f64| 1.0 / (1.0 + (-epsilon).exp());
    for (epsilon, many, limit) in [(0.5, 20_000, 12_775), (1.0, 2_000, 1_556), (1.0, 5_000, 3_804), (2.0, 2_000, 1_829)]
    {
        assert_eq!(least_seldom(many, chance(epsilon)), limit, "{many} guesses at epsilon {epsilon}");
    }
    let seen = Seen { hits: 30, of: 100 };
    assert!((0.05..0.15).contains(&seen.at_least(1e-6)) && (0.5..0.6).contains(&seen.at_most(1e-6)));
    assert!(Seen { hits: 900, of: 1000 }.breaks(Seen { hits: 100, of: 1000 }, 1.0, 0.0));
    assert!(!Seen { hits: 731, of: 1000 }.breaks(Seen { hits: 269, of: 1000 }, 1.0, 0.0));
}
