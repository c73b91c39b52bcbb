//! Ranks with the frequencies of Zipf's law, drawn without a table.

use super::random::Random;

/// Ranks from 1 to `count`, rank `k` as often as `k` to the power of minus `exponent`.
///
/// Rejection-inversion, from W. Hörmann and G. Derflinger, "Rejection-inversion to generate
/// variates from monotone discrete distributions" (ACM TOMACS 6, 1996): the area under the
/// continuous curve is inverted, and the little that curve and steps differ is rejected. Neither
/// memory nor time depends on `count`.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_last: f64,
    accept_within: f64,
}

impl Zipf {
    /// The distribution over `count` ranks, at least one, with `exponent`, at least 0.
    pub(super) fn new(count: u64, exponent: f64) -> Self {
        // Counts stay far below 2^53, where this is exact.
        let mut zipf = Self {
            count: count as f64,
            exponent,
            area_first: 0.0,
            area_last: 0.0,
            accept_within: 0.0,
        };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_last = zipf.area(zipf.count + 0.5);
        zipf.accept_within = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank, counted from 0: 0 is the most frequent.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.area_last + random.unit() * (self.area_first - self.area_last);
            let point = self.area_inverse(area);
            let rank = (point + 0.5).floor().clamp(1.0, self.count);
            if rank - point <= self.accept_within
                || self.area(rank + 0.5) - self.density(rank) <= area
            {
                return rank as u64 - 1;
            }
        }
    }

    /// `x` to the power of minus the exponent.
    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The area under the density from 1 to `x`, also for the exponent 1, where it is a logarithm.
    fn area(&self, x: f64) -> f64 {
        let log = x.ln();
        exp_m1_by_x((1.0 - self.exponent) * log) * log
    }

    /// The `x` whose area is `area`.
    fn area_inverse(&self, area: f64) -> f64 {
        // Rounding may go a little past the end of what a logarithm takes.
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        (ln_1p_by_x(t) * area).exp()
    }
}

/// `ln(1 + x) / x`, by its series where the division would lose all digits.
fn ln_1p_by_x(x: f64) -> f64 {
    if 1e-8 < x.abs() {
        return x.ln_1p() / x;
    }
    1.0 - x * (0.5 - x * (1.0 / 3.0 - x * 0.25))
}

/// `(exp(x) - 1) / x`, by its series where the division would lose all digits.
fn exp_m1_by_x(x: f64) -> f64 {
    if 1e-8 < x.abs() {
        return x.exp_m1() / x;
    }
    1.0 + x * 0.5 * (1.0 + x * (1.0 / 3.0) * (1.0 + x * 0.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest distance of drawn frequencies from the law, in standard deviations, over ranks
    /// that are drawn often enough for that to mean something.
    fn worst_deviation(count: u64, exponent: f64) -> f64 {
        const DRAWS: u32 = 200_000;
        let zipf = Zipf::new(count, exponent);
        let mut random = Random::new(42, count);
        let mut drawn = vec![0_u32; usize::try_from(count).unwrap()];
        for _ in 0..DRAWS {
            drawn[usize::try_from(zipf.draw(&mut random)).unwrap()] += 1;
        }
        let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let deviation = |(drawn, weight): (&u32, &f64)| {
            let share = weight / sum;
            let expected = share * f64::from(DRAWS);
            let deviation = (expected * (1.0 - share)).sqrt().max(f64::MIN_POSITIVE);
            (20.0 < expected).then(|| (f64::from(*drawn) - expected).abs() / deviation)
        };
        drawn.iter().zip(&weights).filter_map(deviation).fold(0.0, f64::max)
    }

    #[test]
    fn ranks_are_drawn_as_often_as_the_law_says() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.0 + 1e-10, 1.2, 3.0] {
            for count in [1, 2, 3, 10, 1_000] {
                let worst = worst_deviation(count, exponent);
                assert!(worst < 5.0, "{count} ranks, exponent {exponent}: {worst}");
            }
        }
    }

    #[test]
    fn ranks_stay_in_range_for_any_size() {
        for (count, exponent) in
            [(1, 0.99), (1_000_000_000, 0.99), (1_000_000_000, 10.0), (5, 10.0)]
        {
            let zipf = Zipf::new(count, exponent);
            let mut random = Random::new(1, 1);
            assert!((0..10_000).all(|_| zipf.draw(&mut random) < count));
        }
    }
}
