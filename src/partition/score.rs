//! How much a node is drawn to a slot: weighted rendezvous hashing.
//!
//! Every node has a pseudo-random score for every slot, and the best one owns it: Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates" (IEEE/ACM Transactions on
//! Networking, 1998). With a weight `w` and a uniform `u` the score `-ln(u) / w`, the least winning,
//! gives each node slots in proportion to its weight: Schindelhauer and Schomaker, "Weighted
//! distributed hash tables" (SPAA 2005). All of it is computed in integers, so that no two machines
//! can differ.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Slot;

/// Changes every assignment there is; chosen once so that common sets of names share evenly.
const SEED: u64 = 7;

/// 1 in units of 2^-32.
const WHOLE: f64 = 4_294_967_296.0;

/// Natural logarithm of 2 in units of 2^-32.
const LN_2: u128 = 2_977_044_472;

/// What is computed once of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    seed: u64,
    weight: u32,
}

/// The score of one node for one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    hash: u64,
    weight: u32,
    /// See [`distance`].
    distance: u64,
}

/// Who is drawn most to one slot, among nodes of unlike weights.
///
/// As `1 - u <= -ln(u) <= (1 - u) / u`, which are close to each other for a winner, nearly all
/// logarithms are spared. Products and quotients are rounded here, but bounds are so much wider that
/// this does not decide: logarithms do, where bounds meet.
pub(super) struct Race<'a> {
    slot: u64,
    /// At least the least upper bound of all scores, in units of 2^-32.
    limit: f64,
    /// Whose lower bound was not above the limit when it entered, in order, and that bound.
    contenders: [(&'a (u16, Node), f64); CONTENDERS],
    count: usize,
}

/// More than there are in nearly all races; if there are more, some are decided early.
const CONTENDERS: usize = 16;

impl Node {
    pub(super) fn new(name: &str, weight: u32) -> Self {
        Self { seed: xxh3_64_with_seed(name.as_bytes(), SEED), weight: weight.max(1) }
    }

    /// Its score for a slot of which [`hash_slot`] is known.
    pub(super) fn score(self, slot: u64) -> Score {
        let hash = self.hash(slot);
        Score { hash, weight: self.weight, distance: distance(hash) }
    }

    /// What decides among nodes of one weight, the greatest winning.
    pub(super) fn hash(self, slot: u64) -> u64 {
        mix(self.seed ^ slot)
    }

    pub(super) fn weight(self) -> u32 {
        self.weight
    }
}

impl Score {
    /// Whether `-ln(u) / w` is less here than in `other`.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let ours = u128::from(self.distance) * u128::from(other.weight);
        let theirs = u128::from(other.distance) * u128::from(self.weight);
        ours < theirs || ours == theirs && other.hash < self.hash
    }
}

impl<'a> Race<'a> {
    /// The best of `nodes`, none of which is heavier than `heaviest`, for a slot of which
    /// [`hash_slot`] is known; of equals the first. `first` is the first of them.
    pub(super) fn run(
        slot: u64,
        heaviest: u32,
        first: &'a (u16, Node),
        nodes: impl Iterator<Item = &'a (u16, Node)>,
    ) -> u16 {
        let contenders = [(first, 0.0); CONTENDERS];
        let mut race = Race { slot, limit: f64::INFINITY, contenders, count: 0 };
        let mut bar = 0;
        for entrant in std::iter::once(first).chain(nodes) {
            let hash = entrant.1.hash(slot);
            if bar <= hash && race.enter(entrant, hash) {
                bar = race.bar(heaviest);
            }
        }
        race.decide();
        race.contenders[0].0.0
    }

    /// The least hash with which the heaviest node could still win.
    fn bar(&self, heaviest: u32) -> u64 {
        let most = (self.limit * f64::from(heaviest)) as u64;
        match most.saturating_add(1) {
            over if over <= u64::from(u32::MAX) => (u64::MAX - (over << 32)) + 1,
            _ => 0,
        }
    }

    /// Takes in one node and returns whether the limit may have changed.
    fn enter(&mut self, entrant: &'a (u16, Node), hash: u64) -> bool {
        let weight = f64::from(entrant.1.weight);
        let least = f64::from((!hash >> 32) as u32);
        if self.limit * weight < least {
            return false;
        }
        // The sum allows for what a distance is rounded up by, the factor for this quotient.
        let rest = (WHOLE - least - 1.0).max(0.0);
        let most = ((least + 1.0) / rest * WHOLE + 64.0) / weight * (1.0 + 1e-9);
        self.limit = self.limit.min(most);
        if self.count == CONTENDERS {
            self.decide();
        }
        self.contenders[self.count] = (entrant, least / weight);
        self.count += 1;
        true
    }

    /// Leaves only the best contender.
    fn decide(&mut self) {
        let limit = self.limit * (1.0 + 1e-9);
        let mut left = self.contenders[..self.count].iter().filter(|(_, least)| *least <= limit);
        let Some(mut best) = left.next() else {
            // Who enters is better than all.
            self.count = 0;
            return;
        };
        let mut score = None;
        for next in left {
            let known = score.unwrap_or_else(|| best.0.1.score(self.slot));
            let other = next.0.1.score(self.slot);
            let is_better = other.is_better_than(&known);
            best = if is_better { next } else { best };
            score = Some(if is_better { other } else { known });
        }
        self.contenders[0] = *best;
        self.count = 1;
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
/// Never less than `1 - u`, as [`Race`] relies on it, and never growing with the hash.
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
