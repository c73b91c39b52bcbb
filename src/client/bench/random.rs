//! Random numbers for load: fast, small and the same for the same seed on every machine.

/// xoshiro256++ 1.0 (Blackman and Vigna, <https://prng.di.unimi.it/xoshiro256plusplus.c>).
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator number `stream` of `seed`. Streams of one seed differ in all their words.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // Each stream starts at a place of its own in the sequence of splitmix64.
        let mut stream = stream;
        let mut place = seed ^ split_mix(&mut stream);
        Self { state: std::array::from_fn(|_| split_mix(&mut place)) }
    }

    /// The next 64 random bits.
    pub(super) fn next_bits(&mut self) -> u64 {
        let state = &mut self.state;
        let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// A number from 0 up to, but without, `end`; 0 if `end` is 0.
    ///
    /// Lemire's multiplication without its rejection: no number is favoured by more than `end` /
    /// 2^64.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product fits into 64 bits.
        ((u128::from(self.next_bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 up to, but without, 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

/// splitmix64 (Steele, Lea and Flood, OOPSLA 2014): advances `state` and returns its mix.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_reference() {
        // First outputs of the reference implementation for the state 1, 2, 3, 4.
        let mut random = Random { state: [1, 2, 3, 4] };
        let outputs: [u64; 5] = std::array::from_fn(|_| random.next_bits());
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
        ];
        assert_eq!(outputs, expected);
    }

    #[test]
    fn streams_of_a_seed_differ_and_are_the_same_each_time() {
        let first = |seed, stream| Random::new(seed, stream).next_bits();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
        assert_ne!(first(1, 2), first(2, 1));
    }

    #[test]
    fn numbers_below_a_bound_are_spread_evenly() {
        let mut random = Random::new(7, 0);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[usize::try_from(random.below(10)).unwrap()] += 1;
        }
        // Six standard deviations of 95 around the mean.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 570), "{counts:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn units_stay_below_one() {
        let mut random = Random::new(7, 0);
        let sum: f64 = (0..10_000).map(|_| random.unit()).inspect(|u| assert!(*u < 1.0)).sum();
        assert!((sum / 10_000.0 - 0.5).abs() < 0.02);
    }
}
