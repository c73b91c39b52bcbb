//! What the network does to a message.

use crate::random::Random;

pub const NODES: usize = 6;

#[derive(Default)]
pub struct Network {
    /// Whether nothing gets from the one to the other.
    pub cut: [[bool; NODES]; NODES],
    /// Until when dials of a node, and dials to it, come to nothing, without a refusal.
    pub deaf_until_us: [u64; NODES],
    pub drop_per_mille: u64,
    pub repeat_per_mille: u64,
    /// Longest delay of a message, in microseconds.
    pub delay_us: u64,
}

impl Network {
    /// After how many microseconds a message arrives: never, once or twice.
    pub fn delays(
        &self,
        random: &mut Random,
        from: usize,
        to: usize,
        can_repeat: bool,
    ) -> Vec<u64> {
        if self.cut[from][to] || random.is_chance(self.drop_per_mille) {
            return vec![];
        }
        let mut delays = vec![random.between(100, self.delay_us)];
        if can_repeat && random.is_chance(self.repeat_per_mille) {
            delays.push(random.between(100, 40 * self.delay_us));
        }
        delays
    }

    pub fn is_whole(&self) -> bool {
        !self.cut.iter().flatten().any(|cut| *cut)
    }

    pub fn heal(&mut self) {
        self.cut = Default::default();
    }

    /// Whether a dial comes to nothing.
    pub fn is_deaf(&self, now: u64, from: usize, to: usize) -> bool {
        now < self.deaf_until_us[from].max(self.deaf_until_us[to])
    }

    /// Cuts two nodes off from each other, both ways.
    pub fn cut_pair(&mut self, one: usize, other: usize) {
        self.cut[one][other] = one != other;
        self.cut[other][one] = one != other;
    }

    /// Cuts what is in `side` off from the rest, both ways.
    pub fn divide(&mut self, side: usize) {
        for from in 0..NODES {
            for to in 0..NODES {
                self.cut[from][to] = (side >> from) & 1 != (side >> to) & 1;
            }
        }
    }
}
