//! Which namespaces are counted apart, and how often each was read.
//!
//! Whoever reads counts, so that this costs a read one look at a cache line that nobody writes and one
//! count on a line of its own thread; a read of the namespace that is used if none is named costs the
//! count alone. A namespace is counted apart from its first write on, and for as long as the process
//! lives: the first ones that come, and in any case those for which somebody made a policy. All others
//! are counted together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::entry::Namespace;
use crate::limits::{NAMESPACES_COUNTED_MAX, NAMESPACES_NAMED_MAX};
use crate::metrics::Counter;

/// Places to look for a name: mostly the first one has it.
const PLACES: usize = 4 * NAMESPACES_COUNTED_MAX.next_power_of_two();

/// Which count a namespace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(u16);

/// The namespaces that are counted apart on this node.
pub struct Census {
    seed: u64,
    places: Box<[OnceLock<Named>]>,
    default: Reads,
    others: Reads,
    /// How many names there are, for who adds one.
    named: Mutex<usize>,
    /// How often a namespace was taken out of those that are counted together.
    changes: AtomicU64,
}

struct Named {
    namespace: Namespace,
    account: Account,
    reads: Reads,
}

#[derive(Default)]
struct Reads {
    hits: Counter,
    misses: Counter,
}

/// How often a namespace was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
}

impl Account {
    /// That of the namespace that is used if none is named.
    pub const DEFAULT: Self = Self(0);
    /// That of all that are not counted apart.
    pub const OTHERS: Self = Self(1);
    /// How many there are.
    pub const COUNT: usize = 2 + NAMESPACES_COUNTED_MAX;

    /// Its place in a list of [`Self::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl Default for Census {
    fn default() -> Self {
        Self {
            // Without entropy names that are looked for longer can be chosen, and that is all.
            seed: getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15),
            places: (0..PLACES).map(|_| OnceLock::new()).collect(),
            default: Reads::default(),
            others: Reads::default(),
            named: Mutex::new(0),
            changes: AtomicU64::new(0),
        }
    }
}

impl Census {
    /// The account of a namespace, which is that of all others if it has none of its own.
    #[must_use]
    pub fn find(&self, namespace: &[u8]) -> Account {
        match namespace {
            [] => Account::DEFAULT,
            name => self.named(name).map_or(Account::OTHERS, |named| named.account),
        }
    }

    /// The same, after an account of its own was made for it if there is one left.
    pub fn enter(&self, namespace: &Namespace) -> Account {
        match self.find(namespace.as_bytes()) {
            Account::OTHERS => self.add(namespace, NAMESPACES_NAMED_MAX).unwrap_or(Account::OTHERS),
            account => account,
        }
    }

    /// The same for a namespace that has a policy, for which some are kept.
    pub fn enter_governed(&self, namespace: &Namespace) -> Account {
        if self.find(namespace.as_bytes()) != Account::OTHERS {
            return self.find(namespace.as_bytes());
        }
        let is_full = NAMESPACES_NAMED_MAX <= *self.lock();
        let added = self.add(namespace, NAMESPACES_COUNTED_MAX);
        if is_full && added.is_some() {
            // Some of it may be among the others.
            self.changes.fetch_add(1, Ordering::Release);
        }
        added.unwrap_or(Account::OTHERS)
    }

    /// Counts a read.
    #[inline]
    pub fn looked(&self, namespace: &Namespace, is_hit: bool) {
        let reads = match namespace.as_bytes() {
            [] => &self.default,
            name => self.named(name).map_or(&self.others, |named| &named.reads),
        };
        if is_hit { reads.hits.count() } else { reads.misses.count() }
    }

    /// How often a namespace was read; `None` if it is not counted apart.
    #[must_use]
    pub fn reads(&self, namespace: &Namespace) -> Option<ReadCounts> {
        match namespace.as_bytes() {
            [] => Some(self.default.counts()),
            name => self.named(name).map(|named| named.reads.counts()),
        }
    }

    /// Those that are not counted apart, all together.
    #[must_use]
    pub fn other_reads(&self) -> ReadCounts {
        self.others.counts()
    }

    /// All reads there were.
    #[must_use]
    pub fn all_reads(&self) -> ReadCounts {
        let each = self.all().map(|named| named.reads.counts());
        let both = [self.default.counts(), self.others.counts()];
        each.chain(both).fold(ReadCounts::default(), |sum, one| ReadCounts {
            hits: sum.hits + one.hits,
            misses: sum.misses + one.misses,
        })
    }

    /// The namespaces that are counted apart, with the one that is used if none is named.
    #[must_use]
    pub fn namespaces(&self) -> Vec<(Namespace, Account)> {
        let named = self.all().map(|named| (named.namespace.clone(), named.account));
        let mut all: Vec<_> = named.chain([(Namespace::default(), Account::DEFAULT)]).collect();
        all.sort_unstable();
        all
    }

    /// How often a namespace was taken out of those that are counted together: what was counted before
    /// is to be counted again then.
    #[inline]
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn all(&self) -> impl Iterator<Item = &Named> {
        self.places.iter().filter_map(OnceLock::get)
    }

    /// Names are never removed, so that the search is over where nothing is.
    fn named(&self, name: &[u8]) -> Option<&Named> {
        let places = self.places_of(name).map_while(|at| self.places[at].get());
        let mut found = places.filter(|named| named.namespace.as_bytes() == name);
        found.next()
    }

    fn places_of(&self, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let hash = xxh3_64_with_seed(name, self.seed) as usize;
        (0..PLACES).map(move |step| hash.wrapping_add(step) % PLACES)
    }

    /// Adds a name while there are fewer than `names_max`; `None` if there are not.
    fn add(&self, namespace: &Namespace, names_max: usize) -> Option<Account> {
        let mut count = self.lock();
        if let Some(named) = self.named(namespace.as_bytes()) {
            return Some(named.account);
        }
        if names_max <= *count {
            return None;
        }
        let account = Account(u16::try_from(2 + *count).ok()?);
        // Its own copy: what it comes from may be part of a large request.
        let namespace = Namespace::from_peer(namespace.as_bytes().to_vec().into()).ok()?;
        let mut places = self.places_of(namespace.as_bytes());
        let place = places.find(|at| self.places[*at].get().is_none())?;
        let named = Named { namespace, account, reads: Reads::default() };
        // Nobody else adds one meanwhile.
        let is_added = self.places[place].set(named).is_ok();
        *count += usize::from(is_added);
        is_added.then_some(account)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reads {
    fn counts(&self) -> ReadCounts {
        ReadCounts { hits: self.hits.total(), misses: self.misses.total() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(n: usize) -> Namespace {
        Namespace::new(&format!("ns-{n}")).unwrap()
    }

    #[test]
    fn each_namespace_is_counted_apart_while_there_are_few_and_those_with_a_policy_after_that() {
        let census = Census::default();
        for n in 0..NAMESPACES_NAMED_MAX + 10 {
            let account = census.enter(&namespace(n));
            assert_eq!(account == Account::OTHERS, NAMESPACES_NAMED_MAX <= n, "{n}");
            assert_eq!(census.enter(&namespace(n)), account);
        }
        let late = namespace(NAMESPACES_NAMED_MAX + 1);
        assert_eq!((census.find(late.as_bytes()), census.changes()), (Account::OTHERS, 0));
        let account = census.enter_governed(&late);
        assert_eq!((census.find(late.as_bytes()), census.changes()), (account, 1));
        assert_ne!(account, Account::OTHERS);
        assert_eq!((census.enter_governed(&namespace(0)), census.changes()).1, 1);
        (0..2 * NAMESPACES_COUNTED_MAX).for_each(|n| _ = census.enter_governed(&namespace(n)));
        let all = census.namespaces();
        assert_eq!(all.len(), NAMESPACES_COUNTED_MAX + 1);
        assert!(all.iter().all(|(_, account)| account.index() < Account::COUNT));
    }

    #[test]
    fn reads_are_counted_where_they_belong() {
        let census = Census::default();
        let (known, unknown, default) = (namespace(1), namespace(2), Namespace::default());
        census.enter(&known);
        for (namespace, is_hit) in
            [(&known, true), (&known, false), (&known, true), (&unknown, true), (&default, false)]
        {
            census.looked(namespace, is_hit);
        }
        assert_eq!(census.reads(&known), Some(ReadCounts { hits: 2, misses: 1 }));
        assert_eq!(census.reads(&default), Some(ReadCounts { hits: 0, misses: 1 }));
        assert_eq!(census.reads(&unknown), None);
        assert_eq!(census.other_reads(), ReadCounts { hits: 1, misses: 0 });
        assert_eq!(census.all_reads(), ReadCounts { hits: 3, misses: 2 });
    }
}
