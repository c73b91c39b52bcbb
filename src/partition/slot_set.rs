//! A set of slots, as a bitmap.

use std::fmt;
use std::sync::Arc;

use super::{SLOTS, Slot};

const WORDS: usize = SLOTS as usize / 64;

/// A set of slots: 2 KiB, which copies share until one of them is changed, and nothing while empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SlotSet(Option<Arc<Words>>);

type Words = [u64; WORDS];

static NONE: Words = [0; WORDS];

impl SlotSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self(None)
    }

    /// Every slot there is.
    #[must_use]
    pub fn all() -> Self {
        Self(Some(Arc::new([u64::MAX; WORDS])))
    }

    /// Puts a slot in; one that does not exist is ignored.
    pub fn insert(&mut self, slot: Slot) {
        if slot.0 < SLOTS {
            let words = self.0.get_or_insert_with(|| Arc::new(NONE));
            Arc::make_mut(words)[usize::from(slot.0 / 64)] |= 1 << (slot.0 % 64);
        }
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        if self.contains(slot) {
            self.change(|words| words[usize::from(slot.0 / 64)] &= !(1 << (slot.0 % 64)));
        }
    }

    /// Whether a slot is in.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        let word = self.words().get(usize::from(slot.0 / 64));
        word.is_some_and(|word| word & (1 << (slot.0 % 64)) != 0)
    }

    /// How many slots are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words().iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no slot is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.words().iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(Slot((place as u32 * 64 + bit) as u16))
            })
        })
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        match (&self.0, &other.0) {
            (_, None) => {}
            (None, Some(_)) => self.clone_from(other),
            (Some(ours), Some(theirs)) if Arc::ptr_eq(ours, theirs) => {}
            (Some(_), Some(theirs)) => self.change(|words| {
                words.iter_mut().zip(theirs.iter()).for_each(|(ours, theirs)| *ours |= theirs);
            }),
        }
    }

    /// Takes away all of `other`.
    pub fn subtract(&mut self, other: &Self) {
        if self.meets(other) {
            self.change(|words| {
                let pairs = words.iter_mut().zip(other.words());
                pairs.for_each(|(ours, theirs)| *ours &= !theirs);
            });
        }
    }

    /// Keeps only what is in `other` too.
    pub fn keep(&mut self, other: &Self) {
        if !self.is_in(other) {
            self.change(|words| {
                words.iter_mut().zip(other.words()).for_each(|(ours, theirs)| *ours &= theirs);
            });
        }
    }

    /// Whether a slot is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let mut pairs = self.words().iter().zip(other.words());
        !self.is_empty() && pairs.any(|(ours, theirs)| ours & theirs != 0)
    }

    /// Whether all of it is in `other`.
    #[must_use]
    pub fn is_in(&self, other: &Self) -> bool {
        let mut pairs = self.words().iter().zip(other.words());
        self.is_empty() || pairs.all(|(ours, theirs)| ours & !theirs == 0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.keep(other);
        both
    }

    /// What is in this one and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// The slots as runs, each with its first and its last slot, in order: what crosses the wire.
    /// There are at most half as many runs as slots.
    #[must_use]
    pub fn runs(&self) -> Vec<(u16, u16)> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for Slot(slot) in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => runs.push((slot, slot)),
            }
        }
        runs
    }

    /// The set of runs as [`SlotSet::runs`] gives them; what does not exist is ignored.
    #[must_use]
    pub fn from_runs(runs: &[(u16, u16)]) -> Self {
        let mut set = Self::new();
        for (first, last) in runs {
            (*first..=*last)
                .take_while(|slot| *slot < SLOTS)
                .for_each(|slot| set.insert(Slot(slot)));
        }
        set
    }

    /// The set as one byte of form and, whichever is shorter, runs of four bytes or the whole bitmap.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let runs = self.runs();
        if 4 * runs.len() < 8 * WORDS {
            let bytes = |(first, last): (u16, u16)| {
                let ([a, b], [c, d]) = (first.to_le_bytes(), last.to_le_bytes());
                [a, b, c, d]
            };
            return std::iter::once(0).chain(runs.into_iter().flat_map(bytes)).collect();
        }
        std::iter::once(1).chain(self.words().iter().flat_map(|word| word.to_le_bytes())).collect()
    }

    /// The set that [`SlotSet::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, body) = bytes.split_first()?;
        let mut set = Self::new();
        match form {
            0 if body.len() % 4 == 0 && body.len() < 8 * WORDS => {
                for run in body.chunks_exact(4) {
                    let first = u16::from_le_bytes([run[0], run[1]]);
                    let last = u16::from_le_bytes([run[2], run[3]]);
                    if SLOTS <= last || last < first {
                        return None;
                    }
                    (first..=last).for_each(|slot| set.insert(Slot(slot)));
                }
            }
            1 if body.len() == 8 * WORDS => {
                let mut words = NONE;
                for (word, bytes) in words.iter_mut().zip(body.chunks_exact(8)) {
                    *word = u64::from_le_bytes(bytes.try_into().ok()?);
                }
                set = Self::from_words(words);
            }
            _ => return None,
        }
        Some(set)
    }

    fn from_words(words: Words) -> Self {
        Self((words != NONE).then(|| Arc::new(words)))
    }

    fn words(&self) -> &Words {
        self.0.as_deref().unwrap_or(&NONE)
    }

    /// Changes a copy that is not shared; one that becomes empty is dropped, as equality needs it.
    fn change(&mut self, change: impl FnOnce(&mut Words)) {
        let Some(shared) = &mut self.0 else { return };
        let words = Arc::make_mut(shared);
        change(words);
        if *words == NONE {
            self.0 = None;
        }
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut words = NONE;
        for Slot(slot) in slots.into_iter().filter(|slot| slot.0 < SLOTS) {
            words[usize::from(slot / 64)] |= 1 << (slot % 64);
        }
        Self::from_words(words)
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotSet({} in {:?})", self.len(), self.runs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(step: usize) -> SlotSet {
        (0..SLOTS).step_by(step).map(Slot).collect()
    }

    #[test]
    fn sets_follow_the_algebra_of_sets() {
        let (twos, threes) = (every(2), every(3));
        assert_eq!(twos.and(&threes), every(6));
        let mut both = twos.without(&threes);
        both.add(&every(6));
        assert_eq!(both, twos);
        assert_eq!(SlotSet::all().len(), usize::from(SLOTS));
        assert!(SlotSet::new().is_empty() && !twos.is_empty());
        assert_eq!(twos.iter().count(), twos.len());
    }

    #[test]
    fn a_set_comes_back_from_the_wire() {
        let one: SlotSet = [Slot(7)].into_iter().collect();
        for set in [SlotSet::new(), SlotSet::all(), one, every(2), every(100)] {
            assert_eq!(SlotSet::from_bytes(&set.to_bytes()), Some(set.clone()));
            assert_eq!(SlotSet::from_runs(&set.runs()), set);
            assert!(set.to_bytes().len() <= 1 + 8 * WORDS);
        }
    }

    #[test]
    fn what_is_not_a_set_is_refused() {
        let over = [0, 0, 0, 0, 0x40];
        let reversed = [0, 2, 0, 1, 0];
        for bytes in [&[][..], &[0, 1], &[1, 2, 3], &[2], &over, &reversed] {
            assert_eq!(SlotSet::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
