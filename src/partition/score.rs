//! How much a node is drawn to a slot: weighted rendezvous hashing.
//!
//! Every node has a pseudo-random score for every slot, and the best one owns it: Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates" (IEEE/ACM Transactions on
//! Networking, 1998). With a weight `w` and a uniform `u` the score `-ln(u) / w`, the least winning,
//! gives each node slots in proportion to its weight: Schindelhauer and Schomaker, "Weighted
//! distributed hash tables" (SPAA 2005). All of it is computed in integers, so that no two machines
//! can differ.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::slot::Slot;

/// Changes every assignment there is; chosen once so that common sets of names share evenly.
const SEED: u64 = 7;

/// Natural logarithm of 2 in units of 2^-32.
const LN_2: u128 = 2_977_044_472;

/// What is computed once of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    seed: u64,
    weight: u64,
}

/// The score of one node for one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    hash: u64,
    weight: u64,
    /// See [`distance`]: computed only where weights differ, as the hash alone tells otherwise.
    distance: Option<u64>,
}

impl Node {
    pub(super) fn new(name: &str, weight: u32) -> Self {
        let seed = xxh3_64_with_seed(name.as_bytes(), SEED);
        Self { seed, weight: u64::from(weight.max(1)) }
    }

    fn hash(self, slot: u64) -> u64 {
        mix(self.seed ^ slot)
    }

    /// Its score for a slot of which [`hash_slot`] is known.
    pub(super) fn score(self, slot: u64) -> Score {
        Score { hash: self.hash(slot), weight: self.weight, distance: None }
    }

    /// Puts its score in the place of `best` if it is better, and returns whether it was; of two
    /// equal ones the first stands.
    pub(super) fn beat(self, best: &mut Score, slot: u64) -> bool {
        let mut score = self.score(slot);
        let is_better = match score.weight == best.weight {
            true => best.hash < score.hash,
            // `1 - u <= -ln(u)`, which spares nearly all logarithms.
            false => {
                let floor = u128::from(!score.hash >> 32) * u128::from(best.weight);
                let least = u128::from(best.distance()) * u128::from(score.weight);
                floor <= least && score.is_better_than(best)
            }
        };
        if is_better {
            *best = score;
        }
        is_better
    }
}

impl Score {
    /// Whether `-ln(u) / w` is less here than in `other`.
    pub(super) fn is_better_than(&mut self, other: &mut Self) -> bool {
        let ours = u128::from(self.distance()) * u128::from(other.weight);
        let theirs = u128::from(other.distance()) * u128::from(self.weight);
        ours < theirs || ours == theirs && other.hash < self.hash
    }

    fn distance(&mut self) -> u64 {
        *self.distance.get_or_insert_with(|| distance(self.hash))
    }
}

/// What is computed once of a slot.
pub(super) fn hash_slot(slot: Slot) -> u64 {
    mix(u64::from(slot.0) + 1)
}

/// The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): every bit depends on every bit.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// `-ln(u)` for the `u` that `hash` is, in units of 2^-32: at most 45 of 2^32.
///
/// Never less than `1 - u`, as [`Node::beat`] relies on it, and never growing with the hash.
fn distance(hash: u64) -> u64 {
    let bits = 64 * (1_u128 << 32) - u128::from(log2(hash.max(1)));
    let nats = u64::try_from((bits * LN_2) >> 32).unwrap_or(u64::MAX);
    nats.max(!hash >> 32)
}

/// The logarithm to base 2 of a number that is not 0, in units of 2^-32, one bit after the other by
/// squaring (Knuth, "The Art of Computer Programming" 1, exercise 1.2.2-25).
fn log2(number: u64) -> u64 {
    let whole = 63 - number.leading_zeros();
    // Between 1 and 2, in units of 2^-63.
    let mut rest = number << number.leading_zeros();
    let mut log = u64::from(whole);
    for _ in 0..32 {
        let square = (u128::from(rest) * u128::from(rest)) >> 63;
        let bit = (square >> 64) as u64;
        rest = (square >> bit) as u64;
        log = (log << 1) | bit;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_right_to_a_millionth() {
        for hash in [1, 2, 3, 1 << 20, 0x1234_5678_9ABC_DEF0, 1 << 63, u64::MAX - (1 << 40)] {
            let exact = -((hash as f64) / 2_f64.powi(64)).ln();
            let ours = distance(hash) as f64 / 2_f64.powi(32);
            assert!((exact - ours).abs() < 1e-6, "{hash:x}: {exact} {ours}");
        }
        assert_eq!(log2(1 << 63), 63 << 32);
    }

    #[test]
    fn the_distance_never_grows_with_the_hash() {
        let mut hash = 1_u64;
        let mut last = distance(0);
        while let Some(next) = hash.checked_add(hash / 1_000 + 1) {
            assert!(distance(next) <= last);
            last = distance(next);
            hash = next;
        }
    }
}
