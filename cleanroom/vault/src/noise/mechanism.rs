//! Discrete Laplace and Gaussian noise on whole numbers, drawn by OpenDP.
//!
//! | | Laplace | Gaussian |
//! |---|---|---|
//! | input | one whole number a group, in ticks | the same |
//! | neighbours | all rows of one unit, in all tables of its identity space, added or removed | the same |
//! | sensitivity | L1: groups a unit adds to, times the most it adds to one | L2: the root of the groups, times the same |
//! | guarantee | pure differential privacy, `epsilon = L1 / scale` | zCDP, `rho = (L2 / scale)^2 / 2` |
//! | source | Ghosh, Roughgarden and Sundararajan 2009 | Canonne, Kamath and Steinke 2020, theorem 4 |
//!
//! *What the caller has to hold:* that no unit changes more groups, or one group by more, than [`Sensitivity`] says. The plan
//! of [`super::bound`] clamps and cuts so that it is so, whatever the data. *What is looked at here:* that OpenDP's own
//! privacy map of the mechanism, at that sensitivity, is no more than what is charged. Noise is whole ticks, so no bits of a
//! floating point number tell the value (Mironov 2012); the sampler is exact, with the operating system's randomness.

use cleanroom_budget::{PureEpsilon, Rho};
use cleanroom_policy::Mechanism;
use datafusion::common::{Result, exec_datafusion_err};
use opendp::core::Measurement;
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::{make_gaussian, make_laplace, make_noisy_max};
use opendp::measures::{MaxDivergence, ZeroConcentratedDivergence};
use opendp::metrics::{L1Distance, L2Distance, LInfDistance};

type Numbers = VectorDomain<AtomDomain<i128>>;
type Laplace = Measurement<Numbers, L1Distance<f64>, MaxDivergence, Vec<i128>>;
type Scores = VectorDomain<AtomDomain<u64>>;
type Flip = Measurement<Scores, LInfDistance<u64>, MaxDivergence, usize>;
type Exponential = Measurement<Scores, LInfDistance<u64>, ZeroConcentratedDivergence, usize>;
type Gaussian = Measurement<Numbers, L2Distance<f64>, ZeroConcentratedDivergence, Vec<i128>>;

/// What a mechanism may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// To be had with Laplace noise.
    Pure(PureEpsilon),
    /// To be had with Gaussian noise.
    Concentrated(Rho),
}

/// The most that one unit changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sensitivity {
    /// Groups it has a part in, at least 1.
    pub(crate) groups: u64,
    /// What it adds to one of them, without its sign, in ticks; at least 1.
    pub(crate) most: u128,
}

impl Sensitivity {
    /// Rounded up, as both factors are.
    fn l1(self) -> f64 {
        (up(u128::from(self.groups)) * up(self.most)).next_up()
    }

    /// Rounded up, as both factors are.
    fn l2(self) -> f64 {
        (up(u128::from(self.groups)).sqrt().next_up() * up(self.most)).next_up()
    }
}

/// A floating point number that is no less.
fn up(whole: u128) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "made no less than it was")]
    let near = whole as f64;
    if whole < 1 << 53 { near } else { near.next_up() }
}

/// Noise of one distribution and scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    pub(crate) mechanism: Mechanism,
    /// Of Laplace noise its `b`, of Gaussian noise its standard deviation; in ticks.
    pub(crate) scale: f64,
}

impl Noise {
    /// The least noise with which a number of this sensitivity loses no more than its share.
    ///
    /// # Errors
    /// Where the mechanism's own account of its loss is more than the share, or it cannot be made: for no share above 0.
    pub(crate) fn within(share: Share, sensitivity: Sensitivity) -> Result<Self> {
        // A little more than enough, so that no rounding of a quotient makes it too little.
        const MORE: f64 = 1.0 + 1e-12;
        let noise = match share {
            Share::Pure(epsilon) => {
                let epsilon = epsilon.value();
                let noise = Self { mechanism: Mechanism::Laplace, scale: sensitivity.l1() / epsilon * MORE };
                let loss = noise.laplace()?.map(&sensitivity.l1()).map_err(|_detail| cannot())?;
                (loss <= epsilon).then_some(noise)
            }
            Share::Concentrated(rho) => {
                let rho = rho.value();
                let noise =
                    Self { mechanism: Mechanism::Gaussian, scale: sensitivity.l2() / (2.0 * rho).sqrt() * MORE };
                let loss = noise.gaussian()?.map(&sensitivity.l2()).map_err(|_detail| cannot())?;
                (loss <= rho).then_some(noise)
            }
        };
        noise.filter(|noise| noise.scale.is_finite()).ok_or_else(cannot)
    }

    fn laplace(&self) -> Result<Laplace> {
        make_laplace(Numbers::default(), L1Distance::<f64>::default(), self.scale, None).map_err(|_detail| cannot())
    }

    fn gaussian(&self) -> Result<Gaussian> {
        make_gaussian(Numbers::default(), L2Distance::<f64>::default(), self.scale, None).map_err(|_detail| cannot())
    }

    /// The least noise with which a choice by scores of this sensitivity loses no more than its share: see
    /// [`super::quantile`].
    ///
    /// # Errors
    /// As [`Noise::within`].
    pub(crate) fn choosing(share: Share, sensitivity: Sensitivity) -> Result<Self> {
        const MORE: f64 = 1.0 + 1e-12;
        let most = u64::try_from(sensitivity.most).map_err(|_large| cannot())?;
        let (groups, twice) = (up(u128::from(sensitivity.groups)), 2.0 * up(sensitivity.most));
        let (noise, allowed) = match share {
            Share::Pure(epsilon) => {
                let epsilon = epsilon.value();
                (Self { mechanism: Mechanism::Laplace, scale: twice * groups / epsilon * MORE }, epsilon)
            }
            Share::Concentrated(rho) => {
                let rho = rho.value();
                (Self { mechanism: Mechanism::Gaussian, scale: twice * (groups / (8.0 * rho)).sqrt() * MORE }, rho)
            }
        };
        if !noise.scale.is_finite() {
            return Err(cannot());
        }
        let of_a_group = match noise.mechanism {
            Mechanism::Laplace => noise.permute_and_flip()?.map(&most),
            Mechanism::Gaussian => noise.exponential()?.map(&most),
        };
        let loss = (of_a_group.map_err(|_detail| cannot())? * groups).next_up();
        if loss <= allowed { Ok(noise) } else { Err(cannot()) }
    }

    fn permute_and_flip(&self) -> Result<Flip> {
        make_noisy_max(Scores::default(), LInfDistance::default(), MaxDivergence, self.scale, true)
            .map_err(|_detail| cannot())
    }

    fn exponential(&self) -> Result<Exponential> {
        make_noisy_max(Scores::default(), LInfDistance::default(), ZeroConcentratedDivergence, self.scale, true)
            .map_err(|_detail| cannot())
    }

    /// The place of one of some scores, of a low one the likelier.
    ///
    /// # Errors
    /// Where there are none, or there is no randomness to be had.
    pub(crate) fn choice(&self, scores: &[u64]) -> Result<usize> {
        let scores = scores.to_vec();
        let chosen = match self.mechanism {
            Mechanism::Laplace => self.permute_and_flip()?.invoke(&scores),
            Mechanism::Gaussian => self.exponential()?.invoke(&scores),
        };
        chosen.map_err(|_detail| cannot())
    }

    /// By how much the score of the choice among so many exceeds the best with a chance of at most 5 %: true of the
    /// exponential mechanism (McSherry and Talwar 2007), and of permute-and-flip, which is never worse (McKenna and Sheldon
    /// 2020).
    pub(crate) fn half_choice(&self, many: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let many = many as f64;
        self.scale * (many * 20.0).ln()
    }

    /// Exact numbers with fresh noise on each.
    ///
    /// # Errors
    /// Where there is no randomness to be had.
    pub(crate) fn on(&self, exact: &[i128]) -> Result<Vec<i128>> {
        let exact = exact.to_vec();
        let noisy = match self.mechanism {
            Mechanism::Laplace => self.laplace()?.invoke(&exact),
            Mechanism::Gaussian => self.gaussian()?.invoke(&exact),
        };
        noisy.map_err(|_detail| cannot())
    }

    /// A number of ticks that the noise reaches with a chance of at most `chance`, in `(0, 1)`: at least 1.
    pub(crate) fn seldom_reached(&self, chance: f64) -> i128 {
        let least = match self.mechanism {
            // The chance of t or more is e^(-t / b) / (1 + e^(-1 / b)).
            Mechanism::Laplace => self.scale * -(chance * (1.0 + (-1.0 / self.scale).exp())).ln(),
            // The chance of t or more is no more than a normal variable's of t - 1 or more (Canonne, Kamath and Steinke
            // 2020, proposition 25).
            Mechanism::Gaussian => 1.0 + self.scale * normal_seldom_above(chance),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the cast stops at the ends")]
        let ticks = (least * (1.0 + 1e-12)).ceil() as i128;
        ticks.max(1)
    }

    /// Half the width of an interval around a released number that holds the exact one with a chance of at least 95 %, in
    /// ticks.
    pub(crate) fn half_interval(&self) -> f64 {
        match self.mechanism {
            // The least m for which 2 e^(-(m + 1) / b) / (1 + e^(-1 / b)) is at most 0.05.
            Mechanism::Laplace => (self.scale * (40.0 / (1.0 + (-1.0 / self.scale).exp())).ln() - 1.0).ceil().max(0.0),
            Mechanism::Gaussian => (self.scale * 1.959_963_984_540_054).ceil(),
        }
    }
}

/// A number that a standard normal variable is above with a chance of at most `chance`.
///
/// By the lesser of two bounds of its tail: `e^(-x^2/2) / 2` and `e^(-x^2/2) / (x sqrt(2 pi))`.
fn normal_seldom_above(chance: f64) -> f64 {
    let tail = |x: f64| {
        let density = (-x * x / 2.0).exp();
        (density / 2.0).min(density / (x * (2.0 * std::f64::consts::PI).sqrt()))
    };
    let (mut low, mut high) = (0.0, 40.0);
    for _step in 0..100 {
        let middle = f64::midpoint(low, high);
        if tail(middle) <= chance {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

fn cannot() -> datafusion::common::DataFusionError {
    exec_datafusion_err!("the noise cannot be drawn")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use cleanroom_budget::{PureEpsilon, Rho};
    use cleanroom_policy::Mechanism;
    use proptest::prelude::*;

    use super::{Noise, Sensitivity, Share};

    fn draws(noise: Noise, many: usize) -> Vec<i128> {
        noise.on(&vec![0; many]).unwrap()
    }

    /// Pearson's statistic of draws against the distribution, tails in one bin each; and its degrees of freedom.
    fn chi_square(noise: Noise, many: usize, chance: impl Fn(i128) -> f64) -> (f64, f64) {
        let draws = draws(noise, many);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let many = many as f64;
        let mut within = 0_i128;
        while chance(within + 1) * many > 20.0 {
            within += 1;
        }
        let (mut statistic, mut bins, mut inside) = (0.0, 0.0, 0.0);
        for value in -within..=within {
            let expected = chance(value) * many;
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let seen = draws.iter().filter(|draw| **draw == value).count() as f64;
            statistic += (seen - expected) * (seen - expected) / expected;
            bins += 1.0;
            inside += chance(value);
        }
        let expected = (1.0 - inside) * many;
        if expected > 5.0 {
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let seen = draws.iter().filter(|draw| draw.abs() > within).count() as f64;
            statistic += (seen - expected) * (seen - expected) / expected;
            bins += 1.0;
        }
        (statistic, bins - 1.0)
    }

    /// A bound that a chi-square variable exceeds with a chance of 1e-6 (Laurent and Massart 2000, lemma 1).
    fn seldom(degrees: f64) -> f64 {
        let x = 1e6_f64.ln();
        degrees + 2.0 * (degrees * x).sqrt() + 2.0 * x
    }

    #[test]
    fn draws_follow_the_discrete_laplace_distribution() {
        let noise = Noise { mechanism: Mechanism::Laplace, scale: 3.0 };
        let decay = (-1.0_f64 / 3.0).exp();
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let chance = |value: i128| (1.0 - decay) / (1.0 + decay) * decay.powi(value.abs() as i32);
        let (statistic, degrees) = chi_square(noise, 200_000, chance);
        assert!(statistic < seldom(degrees), "{statistic} at {degrees} degrees of freedom");
        let (wrong, degrees) = chi_square(Noise { scale: 2.9, ..noise }, 200_000, chance);
        assert!(wrong > seldom(degrees), "less noise is not seen: {wrong} at {degrees}");
    }

    #[test]
    fn draws_follow_the_discrete_gaussian_distribution() {
        let noise = Noise { mechanism: Mechanism::Gaussian, scale: 4.0 };
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let weight = |value: i128| (-(value as f64) * (value as f64) / 32.0).exp();
        let all: f64 = (-200..=200).map(weight).sum();
        let (statistic, degrees) = chi_square(noise, 200_000, |value| weight(value) / all);
        assert!(statistic < seldom(degrees), "{statistic} at {degrees} degrees of freedom");
        let (wrong, degrees) = chi_square(Noise { scale: 3.9, ..noise }, 200_000, |value| weight(value) / all);
        assert!(wrong > seldom(degrees), "less noise is not seen: {wrong} at {degrees}");
    }

    #[test]
    fn scales_are_those_of_the_formulas() {
        let two = Sensitivity { groups: 4, most: 50 };
        let laplace = Noise::within(Share::Pure(PureEpsilon::nearest(0.5)), two).unwrap();
        assert!((laplace.scale - 400.0).abs() < 1e-6);
        let gaussian = Noise::within(Share::Concentrated(Rho::down(0.02)), two).unwrap();
        assert!((gaussian.scale - 500.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_seldom_reached_is() {
        for mechanism in [Mechanism::Laplace, Mechanism::Gaussian] {
            let noise = Noise { mechanism, scale: 5.0 };
            let tau = noise.seldom_reached(1e-3);
            let reached = draws(noise, 400_000).into_iter().filter(|draw| *draw >= tau).count();
            // 400 are expected at the bound itself, with a standard deviation of 20.
            assert!(reached < 500, "{mechanism}: {reached} reach {tau}");
            // Whole ticks and the bound of the tail cost a little: about 190 of Gaussian noise, with a deviation of 14.
            assert!(reached > 110, "{mechanism}: {reached} reach {tau}, which is more than is needed");
        }
    }

    #[test]
    fn intervals_hold_what_they_say() {
        for mechanism in [Mechanism::Laplace, Mechanism::Gaussian] {
            let noise = Noise { mechanism, scale: 20.0 };
            #[expect(clippy::cast_possible_truncation, reason = "small")]
            let half = noise.half_interval() as i128;
            let inside = draws(noise, 100_000).into_iter().filter(|draw| draw.abs() <= half).count();
            assert!((94_600..96_500).contains(&inside), "{mechanism}: {inside}");
        }
    }

    #[test]
    fn as_good_as_no_noise_is_none() {
        let sensitivity = Sensitivity { groups: 100, most: 1 << 60 };
        for share in [Share::Pure(PureEpsilon::MAX), Share::Concentrated(Rho::MAX)] {
            assert!(Noise::within(share, sensitivity).is_ok_and(|noise| noise.on(&[7; 50]).is_ok()));
        }
        let none = Noise::within(Share::Pure(PureEpsilon::MAX), Sensitivity { groups: 1, most: 1 });
        assert_eq!(none.unwrap().on(&[7; 50]).unwrap(), vec![7; 50]);
    }

    proptest! {
        #[test]
        fn no_scale_loses_more_than_its_share(
            groups in 1_u64..1_000_000, most in 1_u128..1 << 80, units in 1_000_000_u64..1 << 55, pure: bool
        ) {
            let share = if pure { Share::Pure(PureEpsilon::of_units(units)) } else { Share::Concentrated(Rho::of_units(units)) };
            let noise = Noise::within(share, Sensitivity { groups, most });
            prop_assert!(noise.is_ok());
        }
    }
}
