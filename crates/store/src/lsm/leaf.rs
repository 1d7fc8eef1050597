//! Sorted entries in leaves of some dozens, for one writer and many readers.
//!
//! A search meets few cache lines: it finds the leaf in a small tree of first keys, then the entry by
//! eight bytes of each key that lie side by side, as in [`super::fence`]. Locks are held for the time
//! of a search or of a copy, the one over all leaves for writing only where a leaf is divided.
//! Entries are never taken out, so the first key of a leaf is its bound for good.

use super::Entry;
use super::codec::common_prefix;
use super::fence::head;
use crate::engine::Version;
use bytes::Bytes;
use parking_lot::RwLock;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

/// What a leaf has room for: when there are so many, it is divided.
const ENTRIES_MAX: usize = 64;

/// A key and a version of it, newer ones first.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fence {
    key: Bytes,
    version: Version,
}

/// Owned or borrowed, so that a lookup need not own its key.
trait Place {
    fn place(&self) -> (&[u8], Version);
}

impl Place for Fence {
    fn place(&self) -> (&[u8], Version) {
        (&self.key, self.version)
    }
}

impl Place for (&[u8], Version) {
    fn place(&self) -> (&[u8], Version) {
        *self
    }
}

#[inline]
fn order(one: (&[u8], Version), other: (&[u8], Version)) -> Ordering {
    one.0.cmp(other.0).then(other.1.cmp(&one.1))
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.place(), other.place())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Fence {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.place(), other.place())
    }
}

impl PartialOrd for Fence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Borrow<dyn Place + 'a> for Fence {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

#[derive(Default)]
struct Leaf {
    /// What all its keys begin with.
    prefix: Box<[u8]>,
    /// Of each entry what follows the prefix.
    heads: Vec<u64>,
    entries: Vec<Entry>,
    /// Where the last entry was put.
    last: usize,
}

impl Leaf {
    fn of(entries: Vec<Entry>) -> Leaf {
        let mut leaf = Leaf { entries, ..Leaf::default() };
        leaf.find_prefix();
        leaf
    }

    fn find_prefix(&mut self) {
        let (first, last) = (self.entries.first(), self.entries.last());
        let (first, last) =
            (first.map_or(&[][..], |e| &e.key[..]), last.map_or(&[][..], |e| &e.key[..]));
        let prefix = &first[..common_prefix(first, last)];
        self.heads.clear();
        self.heads.extend(self.entries.iter().map(|entry| head(&entry.key[prefix.len()..])));
        self.prefix = prefix.into();
    }

    /// How many entries come before the place.
    fn before(&self, key: &[u8], version: Version) -> usize {
        let begin = &key[..key.len().min(self.prefix.len())];
        let range = match begin.cmp(&self.prefix) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.entries.len(),
            Ordering::Equal => {
                let wanted = head(&key[self.prefix.len()..]);
                let start = self.heads.partition_point(|head| *head < wanted);
                start..start + self.heads[start..].partition_point(|head| *head == wanted)
            }
        };
        let earlier = |entry: &Entry| order((&entry.key, entry.version), (key, version)).is_lt();
        range.start + self.entries[range].partition_point(earlier)
    }

    /// The first entry behind the place.
    fn after(&self, (key, version): (&[u8], Version)) -> usize {
        let at = self.before(key, version);
        let is_own = |entry: &Entry| entry.version == version && entry.key == key;
        at + usize::from(self.entries.get(at).is_some_and(is_own))
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.before(&entry.key, entry.version);
        self.last = at;
        if self.entries.is_empty() || !entry.key.starts_with(&self.prefix) {
            self.entries.insert(at, entry);
            self.find_prefix();
        } else {
            self.heads.insert(at, head(&entry.key[self.prefix.len()..]));
            self.entries.insert(at, entry);
        }
    }

    /// Takes the later entries out. If they came in order, those before stay together: more of their
    /// kind will follow, and leaves in the middle of which nothing comes any more should be full.
    fn divide(&mut self, in_order: bool) -> Leaf {
        let len = self.entries.len();
        let at = match (in_order, self.last + 1 == len) {
            (true, true) => len - 1,
            (true, false) => self.last + 1,
            (false, _) => len / 2,
        };
        let later = Leaf::of(self.entries.split_off(at.clamp(1, len - 1)));
        self.find_prefix();
        later
    }
}

pub(super) struct Leaves(RwLock<Tree>);

impl Default for Leaves {
    fn default() -> Leaves {
        let first = Fence { key: Bytes::new(), version: Version::MAX };
        Leaves(RwLock::new(BTreeMap::from([(first, RwLock::default())])))
    }
}

type Tree = BTreeMap<Fence, RwLock<Leaf>>;

/// The leaf in which the place is.
fn floor<'a>(leaves: &'a Tree, place: &dyn Place) -> Option<(&'a Fence, &'a RwLock<Leaf>)> {
    leaves.range::<dyn Place, _>((Bound::Unbounded, Bound::Included(place))).next_back()
}

impl Leaves {
    /// One writer at a time; of a key no version twice.
    pub(super) fn insert(&self, entry: Entry) {
        let (own, in_order) = {
            let leaves = self.0.read();
            let place = (&entry.key[..], entry.version);
            let found = floor(&leaves, &place);
            let Some((own, leaf)) = found else { return };
            let mut leaf = leaf.write();
            let last = leaf.last;
            leaf.insert(entry);
            if leaf.entries.len() < ENTRIES_MAX {
                return;
            }
            (own.clone(), leaf.last == last + 1)
        };
        let mut leaves = self.0.write();
        let Some(leaf) = leaves.get_mut(&own) else { return };
        let later = leaf.get_mut().divide(in_order);
        let Some(first) = later.entries.first() else { return };
        // A copy, so that all bounds lie close together.
        let fence = Fence { key: Bytes::copy_from_slice(&first.key), version: first.version };
        leaves.insert(fence, RwLock::new(later));
    }

    /// The newest version of the key up to `at`.
    pub(super) fn get(&self, key: &[u8], at: Version) -> Option<Option<Bytes>> {
        let leaves = self.0.read();
        let place = (key, at);
        let place = &place as &dyn Place;
        let (_, leaf) = floor(&leaves, place)?;
        let leaf = leaf.read();
        if let Some(entry) = leaf.entries.get(leaf.before(key, at)) {
            return (entry.key == key).then(|| entry.value.clone());
        }
        // Older versions of it may begin the next leaf.
        let (_, next) =
            leaves.range::<dyn Place, _>((Bound::Excluded(place), Bound::Unbounded)).next()?;
        let next = next.read();
        let entry = next.entries.first()?;
        (entry.key == key).then(|| entry.value.clone())
    }

    /// Up to `count` entries after the place, or before it, latest first, unless `take` has enough
    /// before; `None` is before all of them, or after.
    pub(super) fn from(
        &self,
        mut place: Option<(&[u8], Version)>,
        reverse: bool,
        count: usize,
        mut take: impl FnMut(&Entry) -> ControlFlow<()>,
    ) {
        let mut left = count;
        let leaves = self.0.read();
        let own = match &place {
            Some(place) => floor(&leaves, place),
            None if reverse => leaves.last_key_value(),
            None => leaves.first_key_value(),
        };
        let Some((own, _)) = own else { return };
        if reverse {
            for (_, leaf) in leaves.range::<Fence, _>(..=own).rev() {
                let leaf = leaf.read();
                // What is behind the leaf where it begins lies behind the place too.
                let end = match place.take() {
                    Some((key, version)) => leaf.before(key, version),
                    None => leaf.entries.len(),
                };
                let more = leaf.entries[..end].iter().rev().take(left).try_for_each(&mut take);
                left = left.saturating_sub(end);
                if more.is_break() || left == 0 {
                    return;
                }
            }
        } else {
            for (_, leaf) in leaves.range::<Fence, _>(own..) {
                let leaf = leaf.read();
                let start = place.take().map_or(0, |place| leaf.after(place));
                let more = leaf.entries[start..].iter().take(left).try_for_each(&mut take);
                left = left.saturating_sub(leaf.entries.len() - start);
                if more.is_break() || left == 0 {
                    return;
                }
            }
        }
    }

    pub(super) fn each_key(&self, mut take: impl FnMut(&[u8])) {
        for leaf in self.0.read().values() {
            leaf.read().entries.iter().for_each(|entry| take(&entry.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Entropy, SeededEntropy};
    use std::collections::BTreeSet;

    /// Keys in order and at random, some of them beginnings of others, in versions that rise.
    fn key(chance: &SeededEntropy, count: u64) -> String {
        match chance.below(4) {
            0 => format!("audit/{count:06}"),
            1 => format!("objects/{:03}", chance.below(500)),
            2 => "objects/0".repeat(chance.below(3) as usize),
            _ => format!("{:02x}", chance.below(256)),
        }
    }

    #[test]
    fn what_was_put_is_found_in_order() {
        for seed in 0..8 {
            let (chance, leaves) = (SeededEntropy::new(seed), Leaves::default());
            let mut model: BTreeSet<(String, std::cmp::Reverse<Version>)> = BTreeSet::new();
            for version in 1..3_000 {
                let key = key(&chance, version);
                let value = Some(Bytes::from(version.to_string()));
                leaves.insert(Entry { key: Bytes::from(key.clone()), version, value });
                model.insert((key, std::cmp::Reverse(version)));
                let asked =
                    (self::key(&chance, chance.below(version + 1)), chance.below(version + 2));
                let place = (asked.0.clone(), std::cmp::Reverse(asked.1));
                let expected = model.range(&place..).next().filter(|found| found.0 == asked.0);
                let expected = expected.map(|found| Some(Bytes::from(found.1.0.to_string())));
                assert_eq!(leaves.get(asked.0.as_bytes(), asked.1), expected, "{asked:?}");
                if version % 50 == 0 {
                    walk(&leaves, &model, Some(asked), 1 + chance.below(200) as usize);
                }
            }
            walk(&leaves, &model, None, usize::MAX);
        }
    }

    fn walk(
        leaves: &Leaves,
        model: &BTreeSet<(String, std::cmp::Reverse<Version>)>,
        place: Option<(String, Version)>,
        count: usize,
    ) {
        let own = place.as_ref().map(|(key, version)| (key.clone(), std::cmp::Reverse(*version)));
        let lower = own.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let upper = own.map_or(Bound::Unbounded, Bound::Excluded);
        let ahead: Vec<_> = model.range((lower, Bound::Unbounded)).take(count).collect();
        let back: Vec<_> = model.range((Bound::Unbounded, upper)).rev().take(count).collect();
        for (reverse, expected) in [(false, ahead), (true, back)] {
            let place = place.as_ref().map(|(key, version)| (key.as_bytes(), *version));
            let mut seen = Vec::new();
            leaves.from(place, reverse, count, |entry| {
                let key = String::from_utf8(entry.key.to_vec()).expect("text");
                seen.push((key, std::cmp::Reverse(entry.version)));
                ControlFlow::Continue(())
            });
            assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_leaves() {
        let leaves = Leaves::default();
        let put = |key: String, version| {
            leaves.insert(Entry { key: Bytes::from(key), version, value: None });
        };
        put("z".to_owned(), 1);
        (2..2_000).for_each(|version| put(format!("a/{version:08}"), version));
        let leaves = leaves.0.read();
        assert!(leaves.len() <= 2_000 / ENTRIES_MAX + 2, "{} leaves", leaves.len());
    }
}
