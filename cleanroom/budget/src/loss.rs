//! The loss of a question, in whole numbers.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// The greatest number that a database's signed integers hold. As a charge and as an allowance it stands for "without limit".
const MOST: u64 = i64::MAX as u64;

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $units:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// None at all.
            pub const ZERO: Self = Self(0);
            /// As good as without limit.
            pub const MAX: Self = Self(MOST);
            const UNITS: f64 = $units;

            /// Of whole units; more than [`Self::MAX`] is that.
            #[must_use]
            pub fn of_units(units: u64) -> Self {
                Self(units.min(MOST))
            }

            /// The whole units, at most `i64::MAX`.
            #[must_use]
            pub fn units(self) -> u64 {
                self.0
            }

            /// The least that is no less: for what is charged. Nothing is less than 0, and what is no number is [`Self::MAX`].
            #[must_use]
            pub fn up(value: f64) -> Self {
                // One unit more covers what the product is rounded by, as long as units are finer than the number is.
                let units = (value * Self::UNITS).ceil();
                if units <= 0.0 {
                    return if value > 0.0 { Self(1) } else { Self::ZERO };
                }
                match whole(units * (1.0 + 2.0 * f64::EPSILON)) {
                    Some(units) => Self::of_units(units.saturating_add(1)),
                    None => Self::MAX,
                }
            }

            /// The greatest that is no more: for what is allowed. What is no number is nothing.
            #[must_use]
            pub fn down(value: f64) -> Self {
                if value.is_nan() || value <= 0.0 {
                    return Self::ZERO;
                }
                match whole((value * Self::UNITS * (1.0 - 2.0 * f64::EPSILON)).floor()) {
                    Some(units) => Self::of_units(units),
                    None => Self::MAX,
                }
            }

            /// The nearest: for a decimal number that somebody wrote down. A mechanism is then made to lose no more than this.
            #[must_use]
            pub fn nearest(value: f64) -> Self {
                if value.is_nan() || value <= 0.0 {
                    return Self::ZERO;
                }
                whole((value * Self::UNITS).round()).map_or(Self::MAX, Self::of_units)
            }

            /// As a number, to be shown.
            #[must_use]
            #[expect(clippy::cast_precision_loss, reason = "shown, not added up")]
            pub fn value(self) -> f64 {
                if self.0 == MOST { f64::INFINITY } else { self.0 as f64 / Self::UNITS }
            }

            /// What is left after another is taken away, at least nothing.
            #[must_use]
            pub fn less(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self::of_units(self.0.saturating_add(other.0))
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }
    };
}

amount! {
    /// Zero-concentrated privacy loss, in units of 1e-12.
    Rho, 1e12
}
amount! {
    /// Pure privacy loss, in units of 1e-12.
    PureEpsilon, 1e12
}
amount! {
    /// The chance that a bound does not hold, in units of 1e-18.
    Delta, 1e18
}

/// `None` where it is more than the greatest, or no number.
fn whole(units: f64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    let most = MOST as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limits")]
    (units >= 0.0 && units < most).then_some(units as u64)
}

/// What a question costs everybody whose units stand in it: bounds of what it tells of one unit, all of which hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// As zCDP, but for `delta`.
    pub rho: Rho,
    /// As pure differential privacy, but for `delta`; `None` of Gaussian noise, which has no such bound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epsilon: Option<PureEpsilon>,
    /// The chance that neither holds: that a group of a single unit shows.
    pub delta: Delta,
}

impl Loss {
    /// Of nothing.
    pub const NONE: Self = Self { rho: Rho::ZERO, epsilon: Some(PureEpsilon::ZERO), delta: Delta::ZERO };

    /// Of a mechanism with pure differential privacy.
    ///
    /// It is `epsilon^2 / 2`-zCDP (Bun and Steinke 2016, proposition 1.4) and, as no Rényi divergence is above epsilon,
    /// also `epsilon`-zCDP.
    #[must_use]
    pub fn pure(epsilon: PureEpsilon, delta: Delta) -> Self {
        let value = epsilon.value();
        let rho = if value < 2.0 { value * value / 2.0 } else { value };
        Self { rho: Rho::up(rho), epsilon: Some(epsilon), delta }
    }

    /// Of a mechanism with zCDP.
    #[must_use]
    pub fn concentrated(rho: Rho, delta: Delta) -> Self {
        Self { rho, epsilon: None, delta }
    }
}

impl Add for Loss {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rho: self.rho + other.rho,
            epsilon: self.epsilon.zip(other.epsilon).map(|(one, other)| one + other),
            delta: self.delta + other.delta,
        }
    }
}

impl Sum for Loss {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::NONE, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Delta, Loss, PureEpsilon, Rho};

    proptest! {
        #[test]
        fn charges_are_rounded_up_and_allowances_down(value in 0.0..1e6_f64) {
            prop_assert!(Rho::up(value).value() >= value);
            prop_assert!(Rho::down(value).value() <= value);
            prop_assert!(Rho::up(value).units() - Rho::down(value).units() <= 4 + (value * 1e12 * 1e-14) as u64);
        }

        #[test]
        fn order_is_without_meaning(parts in proptest::collection::vec(0_u64..1 << 50, 0..50)) {
            let forth: Rho = parts.iter().map(|units| Rho::of_units(*units)).sum();
            let back: Rho = parts.iter().rev().map(|units| Rho::of_units(*units)).sum();
            prop_assert_eq!(forth, back);
        }
    }

    #[test]
    fn the_ends_are_where_they_should_be() {
        assert_eq!(Rho::up(0.0), Rho::ZERO);
        assert_eq!(Rho::up(1e-30).units(), 2);
        assert_eq!(Rho::up(f64::NAN), Rho::MAX);
        assert_eq!(Rho::up(f64::INFINITY), Rho::MAX);
        assert_eq!(Rho::up(1e30), Rho::MAX);
        assert_eq!(Rho::down(f64::NAN), Rho::ZERO);
        assert_eq!(Rho::down(f64::INFINITY), Rho::MAX);
        assert_eq!(Rho::MAX + Rho::of_units(1), Rho::MAX);
        assert!(Delta::up(1.0).value() >= 1.0);
    }

    #[test]
    fn a_pure_loss_is_also_a_concentrated_one() {
        let loss = Loss::pure(PureEpsilon::nearest(1.0), Delta::ZERO);
        assert!(loss.rho.value() >= 0.5 && loss.rho.value() < 0.5 + 1e-9);
        assert!(Loss::pure(PureEpsilon::nearest(20.0), Delta::ZERO).rho.value() < 20.1);
        let sum = loss + Loss::concentrated(Rho::up(0.1), Delta::ZERO);
        assert_eq!(sum.epsilon, None);
        assert_eq!((Loss::NONE + loss).epsilon, Some(PureEpsilon::nearest(1.0)));
    }
}
