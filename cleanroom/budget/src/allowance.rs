//! What may be lost in all.

use crate::convert::{epsilon_of, rho_of};
use crate::loss::{Delta, Loss, PureEpsilon, Rho};

/// The most that may be lost of a table, or of an owner's tables, in a period or in all.
///
/// A question is admitted where what was lost before and what it costs stay within epsilon, but for a chance delta, by one
/// of two accounts: as pure epsilons, added up; or as zCDP, added up and converted. Of an answer's whole history one of the
/// two holds, so its likelihood differs by more than e^epsilon with a chance of at most delta.
///
/// Half of delta belongs to the conversion and half to thresholds. Where delta is 0 only pure losses are admitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    epsilon: f64,
    delta: f64,
    pure: PureEpsilon,
    rho: Rho,
    thresholds: Delta,
}

impl Allowance {
    /// Of an epsilon above 0, which may be infinite, and a delta in `[0, 1)`. What is above, as a sum of deltas can be, is
    /// taken for the greatest below 1, so that epsilon still binds; what is no number for 0.
    #[must_use]
    pub fn new(epsilon: f64, delta: f64) -> Self {
        let delta = if delta.is_nan() { 0.0 } else { delta.clamp(0.0, 1.0 - f64::EPSILON) };
        Self {
            epsilon,
            delta,
            // What is given as a decimal number is spent to its last digit by charges of decimal numbers.
            pure: PureEpsilon::nearest(epsilon),
            rho: Rho::down(rho_of(epsilon, delta / 2.0)),
            thresholds: Delta::down(delta / 2.0),
        }
    }

    /// Several allowances that may all be spent.
    #[must_use]
    pub fn together(allowances: impl IntoIterator<Item = Self>) -> Self {
        let (epsilon, delta) = allowances
            .into_iter()
            .fold((0.0, 0.0), |(epsilon, delta), other| (epsilon + other.epsilon, delta + other.delta));
        Self::new(epsilon, delta)
    }

    /// The epsilon it was made of.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The delta it was made of.
    #[must_use]
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// Whether something that costs `charge` may be answered after `spent`.
    #[must_use]
    pub fn admits(&self, spent: Loss, charge: Loss) -> bool {
        let all = spent + charge;
        let purely = all.epsilon.is_some_and(|epsilon| within(epsilon, self.pure));
        within(all.delta, self.thresholds) && (purely || within(all.rho, self.rho))
    }

    /// The epsilon that a loss amounts to under this allowance's delta, to be shown: never more than what the accounts bound.
    #[must_use]
    pub fn epsilon_spent(&self, spent: Loss) -> f64 {
        let concentrated = epsilon_of(spent.rho.value(), self.delta / 2.0);
        spent.epsilon.map_or(concentrated, |pure| pure.value().min(concentrated))
    }

    /// What is left of epsilon, to be shown: at least 0.
    #[must_use]
    pub fn epsilon_left(&self, spent: Loss) -> f64 {
        (self.epsilon - self.epsilon_spent(spent)).max(0.0)
    }

    /// How often a charge is admitted after what was spent, at most `most` times.
    #[must_use]
    pub fn times(&self, spent: Loss, charge: Loss, most: u64) -> u64 {
        let mut all = spent;
        for time in 0..most {
            if !self.admits(all, charge) {
                return time;
            }
            all = all + charge;
        }
        most
    }
}

/// Without limit, whatever is spent is within.
fn within<T: PartialOrd + Limit>(spent: T, allowed: T) -> bool {
    allowed == T::MOST || spent <= allowed && spent < T::MOST
}

trait Limit: PartialEq {
    const MOST: Self;
}

impl Limit for Rho {
    const MOST: Self = Self::MAX;
}

impl Limit for PureEpsilon {
    const MOST: Self = Self::MAX;
}

impl Limit for Delta {
    const MOST: Self = Self::MAX;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Allowance;
    use crate::loss::{Delta, Loss, PureEpsilon, Rho};

    fn pure(epsilon: f64, delta: f64) -> Loss {
        Loss::pure(PureEpsilon::nearest(epsilon), Delta::up(delta))
    }

    fn concentrated(rho: f64) -> Loss {
        Loss::concentrated(Rho::up(rho), Delta::ZERO)
    }

    #[test]
    fn pure_charges_are_spent_to_the_last() {
        let allowance = Allowance::new(1.0, 0.0);
        let charge = pure(0.1, 0.0);
        assert_eq!(allowance.times(Loss::NONE, charge, 1000), 10);
        assert!(!allowance.admits(Loss::NONE, concentrated(1e-9)), "there is no delta to convert with");
        assert!(!allowance.admits(Loss::NONE, pure(0.1, 1e-9)), "nor one for thresholds");
    }

    #[test]
    fn many_small_charges_cost_less_than_their_sum() {
        let allowance = Allowance::new(20.0, 1e-6);
        let charge = concentrated(crate::rho_of(0.5, 1e-8));
        assert!(allowance.times(Loss::NONE, charge, 10_000) > 1_000);
        assert!(allowance.times(Loss::NONE, pure(0.5, 0.0), 10_000) >= 40, "never fewer than their sum");
    }

    #[test]
    fn thresholds_have_a_budget_of_their_own() {
        let allowance = Allowance::new(1e6, 1e-6);
        assert_eq!(allowance.times(Loss::NONE, pure(1e-9, 1e-7), 100), 4);
    }

    #[test]
    fn without_limit_nothing_is_refused() {
        let allowance = Allowance::new(1e20, 1e-6);
        assert!(allowance.admits(Loss::NONE, pure(1e20, 0.0)));
    }

    #[test]
    fn a_delta_that_is_no_chance_does_not_lift_epsilon() {
        for delta in [1.0, 2.0, 7.0, f64::INFINITY] {
            let allowance = Allowance::new(1.0, delta);
            assert!(!allowance.admits(Loss::NONE, concentrated(1e6)), "{delta}");
            assert!(allowance.delta() < 1.0);
        }
        assert!(!Allowance::together([Allowance::new(1.0, 0.9); 4]).admits(Loss::NONE, concentrated(1e6)));
        for delta in [-1.0, f64::NAN] {
            assert!(!Allowance::new(1.0, delta).admits(Loss::NONE, concentrated(1e-9)), "{delta}");
        }
    }

    proptest! {
        #[test]
        fn what_is_spent_is_shown_within_what_is_allowed(
            epsilon in 0.01..30.0_f64, exponent in -10.0..-3.0_f64, charges in proptest::collection::vec((0.001..2.0_f64, any::<bool>()), 0..80)
        ) {
            let allowance = Allowance::new(epsilon, 10_f64.powf(exponent));
            let mut spent = Loss::NONE;
            for (part, purely) in charges {
                let charge = if purely { pure(part, 0.0) } else { concentrated(part / 10.0) };
                if allowance.admits(spent, charge) {
                    spent = spent + charge;
                }
                prop_assert!(allowance.epsilon_spent(spent) <= epsilon * (1.0 + 1e-9) + 1e-9);
            }
        }
    }
}
