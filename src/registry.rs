//! What all nodes know alike: a few names, each with some bytes and a version.
//!
//! It is for what a cluster is told once and goes by from then on, as the policies of namespaces are. Of
//! two that say something of a name the later one counts, by the cluster's time, so that any two nodes
//! which have exchanged what they know say the same, in whatever order and however often they have
//! ([`Known`] is a join-semilattice: Shapiro and others, "Conflict-free replicated data types", SSS
//! 2011). What is removed is remembered with its version, or a node that has not heard of it would bring
//! it back. `cluster` has it exchanged.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::entry::Version;
use crate::limits::{
    REGISTRY_NAME_BYTES_MAX, REGISTRY_NAMES_MAX, REGISTRY_REMOVED_MAX, REGISTRY_VALUE_BYTES_MAX,
};

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The name.
    pub name: String,
    /// Since when, in the order of all changes.
    pub version: Version,
    /// What it stands for; `None` if it was removed.
    pub value: Option<Bytes>,
}

/// All that is known, as data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<String, (Version, Option<Bytes>)>);

/// Is told all that is known, whenever that has changed.
pub type Follower = Box<dyn Fn(&Known) + Send + Sync>;

/// What this node knows.
#[derive(Default)]
pub struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    known: Known,
    followers: Vec<Follower>,
}

impl Item {
    /// Whether it is one that a node may have made.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let value_bytes = self.value.as_ref().map_or(0, Bytes::len);
        (1..=REGISTRY_NAME_BYTES_MAX).contains(&self.name.len())
            && value_bytes <= REGISTRY_VALUE_BYTES_MAX
            && self.version.is_possible()
    }
}

impl Known {
    /// Takes in what somebody knows of a name; whether it is news.
    ///
    /// Of two things that are said with one version the greater one counts, so that all come to the same.
    pub fn merge(&mut self, item: Item) -> bool {
        let Item { name, version, value } = item;
        let its = (version, value);
        match self.0.get(&name) {
            Some(known) if its <= *known => return false,
            None if its.1.is_some() && REGISTRY_NAMES_MAX <= self.len() => return false,
            Some(_) | None => {}
        }
        self.0.insert(name, its);
        self.forget_removed();
        true
    }

    /// Forgets what was removed first, beyond what is remembered of that.
    fn forget_removed(&mut self) {
        let removed = |(name, its): (&String, &(Version, Option<Bytes>))| {
            its.1.is_none().then(|| (its.0, name.clone()))
        };
        if self.0.len() <= REGISTRY_REMOVED_MAX {
            return;
        }
        let mut removed: Vec<_> = self.0.iter().filter_map(removed).collect();
        removed.sort_unstable();
        let too_many = removed.len().saturating_sub(REGISTRY_REMOVED_MAX);
        for (_, name) in &removed[..too_many] {
            self.0.remove(name);
        }
    }

    /// What a name stands for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).and_then(|(_, value)| value.as_ref())
    }

    /// What begins with `prefix`, each without it, in the order of the names.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        self.0.iter().filter_map(move |(name, (_, value))| {
            Some((name.strip_prefix(prefix)?, value.as_ref()?))
        })
    }

    /// All of it, for who may know less.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let item = |(name, (version, value)): (&String, &(Version, Option<Bytes>))| Item {
            name: name.clone(),
            version: *version,
            value: value.clone(),
        };
        self.0.iter().map(item).collect()
    }

    /// Tells what is known from what is known elsewhere; 0 of nothing.
    #[must_use]
    pub fn digest(&self) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let mut hash = Xxh3::new();
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (name, (version, value)) in &self.0 {
            add(name.as_bytes());
            add(&version.0.to_le_bytes());
            add(&[u8::from(value.is_some())]);
            add(value.as_deref().unwrap_or_default());
        }
        hash.digest()
    }

    /// Names that stand for something.
    fn len(&self) -> usize {
        self.0.values().filter(|(_, value)| value.is_some()).count()
    }

    fn version(&self) -> Version {
        self.0.values().map(|(version, _)| *version).max().unwrap_or_default()
    }
}

impl Registry {
    /// Says what a name stands for from now on, or that it is removed, at a time of the cluster; `false`
    /// if it is too long or there are too many.
    pub fn set(&self, name: &str, value: Option<Bytes>, now: Version) -> bool {
        let mut state = self.lock();
        // Later than all that is known here, whatever the clock shows.
        let version = now.max(state.known.version().after());
        let item = Item { name: name.to_owned(), version, value };
        state.take_in([item])
    }

    /// Takes in what another node knows; what no node can have made is passed over.
    pub fn merge(&self, items: Vec<Item>) {
        self.lock().take_in(items);
    }

    /// What `look` makes of what is known.
    pub fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.lock().known)
    }

    /// Has somebody told what is known now, and whenever that has changed.
    pub fn follow(&self, follower: Follower) {
        let mut state = self.lock();
        follower(&state.known);
        state.followers.push(follower);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in what is sound; whether any of it is news.
    fn take_in(&mut self, items: impl IntoIterator<Item = Item>) -> bool {
        let mut is_news = false;
        for item in items.into_iter().filter(Item::is_sound) {
            is_news |= self.known.merge(item);
        }
        if is_news {
            self.followers.iter().for_each(|follower| follower(&self.known));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn item(name: &str, version: u64, value: Option<&str>) -> Item {
        let value = value.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        Item { name: name.to_owned(), version: Version(version), value }
    }

    fn of(items: impl IntoIterator<Item = Item>) -> Known {
        let mut known = Known::default();
        items.into_iter().for_each(|item| _ = known.merge(item));
        known
    }

    fn both(one: &Known, other: &Known) -> Known {
        let mut known = one.clone();
        other.items().into_iter().for_each(|item| _ = known.merge(item));
        known
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let one = ("[a-d]", 0_u64..6, prop::option::of("[xy]"));
        vec(one.prop_map(|(name, version, value)| item(&name, version, value.as_deref())), 0..12)
    }

    proptest! {
        #[test]
        fn what_is_known_together_is_the_same_in_any_order_however_often(
            a in items(), b in items(), c in items(),
        ) {
            let (a, b, c) = (of(a), of(b), of(c));
            prop_assert_eq!(both(&a, &b), both(&b, &a));
            prop_assert_eq!(both(&both(&a, &b), &c), both(&a, &both(&b, &c)));
            prop_assert_eq!(both(&a, &a), a.clone());
            prop_assert_eq!(both(&both(&a, &b), &b), both(&a, &b));
            prop_assert_eq!(both(&a, &b).digest(), both(&b, &a).digest());
            prop_assert_eq!(a == b, a.digest() == b.digest());
        }
    }

    #[test]
    fn what_was_removed_does_not_come_back_with_who_has_not_heard_of_it() {
        let old = of([item("a", 1, Some("x"))]);
        let removed = both(&old, &of([item("a", 2, None)]));
        assert_eq!(both(&removed, &old).get("a"), None);
        assert_eq!(both(&removed, &of([item("a", 3, Some("y"))])).get("a").unwrap(), "y");
        assert_eq!(removed.under("").count(), 0);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_what_was_removed_last_is() {
        let names =
            (0..3 * REGISTRY_REMOVED_MAX).map(|n| item(&format!("r{n:06}"), n as u64, None));
        let mut known = of(names.chain([item("kept", 0, Some("x"))]));
        assert_eq!(known.items().len(), REGISTRY_REMOVED_MAX + 1);
        assert!(
            known.items().iter().skip(1).all(|it| 2 * REGISTRY_REMOVED_MAX as u64 <= it.version.0)
        );
        for n in 0..2 * REGISTRY_NAMES_MAX {
            known.merge(item(&format!("n{n}"), 1, Some("x")));
        }
        assert_eq!(known.len(), REGISTRY_NAMES_MAX);
        assert!(known.merge(item("n1", 2, Some("y"))), "what is there can be changed");
    }

    #[test]
    fn whoever_follows_is_told_at_once_and_of_every_change_and_of_nothing_else() {
        let registry = Registry::default();
        let told = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        registry.follow(Box::new(move |_| _ = counted.fetch_add(1, Ordering::Relaxed)));
        registry.set("a", Some("x".into()), Version(5));
        registry.set("a", Some("y".into()), Version(3));
        assert_eq!(registry.look(|known| known.get("a").cloned()), Some("y".into()));
        let items = registry.look(Known::items);
        assert_eq!(items[0].version, Version(6));
        registry.merge(items);
        registry.merge(vec![item("", 9, None), item(&"n".repeat(200), 9, None)]);
        assert_eq!(told.load(Ordering::Relaxed), 3);
        registry.set("a", None, Version(0));
        assert_eq!(registry.look(|known| known.get("a").cloned()), None);
    }
}
