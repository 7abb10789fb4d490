//! From zCDP to (epsilon, delta) and back.

/// The least epsilon that is known to hold, but for a chance `delta`, of whatever is `rho`-zCDP: infinite where `delta` is 0.
///
/// A `rho`-zCDP mechanism is `rho * alpha`-Rényi private for every `alpha > 1`, and so
/// `(rho * alpha + ln(1 / (alpha * delta)) / (alpha - 1) + ln(1 - 1 / alpha), delta)`-differentially private (Canonne, Kamath
/// and Steinke 2020, proposition 12). Every `alpha` gives a bound; the best is looked for, and a little added for the
/// rounding of the logarithms.
#[must_use]
pub fn epsilon_of(rho: f64, delta: f64) -> f64 {
    if rho <= 0.0 {
        return 0.0;
    }
    if delta.is_nan() || delta <= 0.0 || !rho.is_finite() {
        return f64::INFINITY;
    }
    let bound = |log_excess: f64| {
        let excess = log_excess.exp();
        let alpha = 1.0 + excess;
        rho * alpha + (-(alpha * delta).ln()) / excess + (excess / alpha).ln()
    };
    // The bound falls, then rises; the best alpha lies near 1 + sqrt(ln(1 / delta) / rho).
    let (mut low, mut high) = (-30.0_f64, 60.0_f64);
    for _step in 0..200 {
        let (one, other) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if bound(one) <= bound(other) {
            high = other;
        } else {
            low = one;
        }
    }
    let epsilon = bound(f64::midpoint(low, high));
    (epsilon + 1e-12 * (1.0 + rho)).max(0.0)
}

/// The greatest rho of which [`epsilon_of`] is no more than `epsilon`: 0 where `delta` is 0.
#[must_use]
pub fn rho_of(epsilon: f64, delta: f64) -> f64 {
    if epsilon.is_nan() || epsilon <= 0.0 || delta.is_nan() || delta <= 0.0 {
        return 0.0;
    }
    if !epsilon.is_finite() || delta >= 1.0 {
        return f64::INFINITY;
    }
    // Rho is never above epsilon: alpha is above 1, and the rest of the bound not below 0 for a delta below 1.
    let (mut low, mut high) = (0.0, epsilon * 2.0 + 1.0);
    for _step in 0..200 {
        let middle = f64::midpoint(low, high);
        if epsilon_of(middle, delta) <= epsilon {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{epsilon_of, rho_of};

    /// The exact delta of Gaussian noise that is `rho`-zCDP (Balle and Wang 2018, theorem 8), which no bound may be below.
    fn exact_delta(rho: f64, epsilon: f64) -> f64 {
        let ratio = (2.0 * rho).sqrt();
        normal(ratio / 2.0 - epsilon / ratio) - epsilon.exp() * normal(-ratio / 2.0 - epsilon / ratio)
    }

    /// The standard normal distribution function, by its integral.
    fn normal(at: f64) -> f64 {
        let steps = 20_000;
        let low = at.min(0.0) - 40.0;
        let width = (at - low) / f64::from(steps);
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let inner: f64 = (1..steps).map(|step| density(low + width * f64::from(step))).sum();
        width * (inner + f64::midpoint(density(low), density(at)))
    }

    #[test]
    fn it_is_a_bound_and_near_the_exact_value() {
        for (rho, delta) in [(0.01, 1e-6), (0.1, 1e-6), (0.5, 1e-5), (1.0, 1e-8), (4.0, 1e-6)] {
            let epsilon = epsilon_of(rho, delta);
            let exact = exact_delta(rho, epsilon);
            assert!(exact <= delta, "rho {rho}: {exact} of {delta}");
            assert!(
                exact_delta(rho, epsilon * 0.85) > delta,
                "rho {rho}: epsilon {epsilon} is far above what is needed"
            );
            assert!(epsilon <= rho + 2.0 * (rho * (1.0 / delta).ln()).sqrt() + 1e-9, "worse than the simple bound");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(epsilon in 0.001..50.0_f64, exponent in -12.0..-2.0_f64) {
            let delta = 10_f64.powf(exponent);
            let rho = rho_of(epsilon, delta);
            prop_assert!(rho > 0.0 && rho < epsilon);
            prop_assert!(epsilon_of(rho, delta) <= epsilon);
            prop_assert!(epsilon_of(rho * 1.001, delta) > epsilon * 0.999);
        }
    }

    #[test]
    fn the_ends_are_where_they_should_be() {
        assert_eq!(epsilon_of(0.0, 1e-6), 0.0);
        assert!(epsilon_of(1.0, 0.0).is_infinite());
        assert_eq!(rho_of(1.0, 0.0), 0.0);
        assert_eq!(rho_of(0.0, 1e-6), 0.0);
        assert!(rho_of(1e20, 1e-6) > 1e18);
        assert!(epsilon_of(1e30, 1e-6).is_finite());
    }
}
