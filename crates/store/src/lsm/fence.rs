//! Sorted keys, searched by eight bytes of each.
//!
//! What all keys begin with is compared once, then the eight bytes that follow it, which lie side by
//! side: a search touches a few cache lines instead of a key's memory per step. Where there are many, it
//! begins at the place that the proportion tells, as keys are often hashes, or nearly counted up: its
//! cache lines are then neighbours, and seldom more than four. Keys that are equal that far are left to
//! the caller.

use super::codec::common_prefix;
use std::cmp::Ordering;
use std::ops::Range;

#[derive(Default, Debug)]
pub(super) struct Fences {
    prefix: Box<[u8]>,
    heads: Box<[u64]>,
}

/// The eight bytes after the prefix as a number, short keys filled up with zeros.
pub(super) fn head(rest: &[u8]) -> u64 {
    if let Some(word) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*word);
    }
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(word)
}

/// Fewer are searched by halves at once: they lie in a few cache lines.
const MANY: usize = 64;

/// How many numbers, of those that stand in order, are below `wanted`.
fn below(all: &[u64], wanted: u64) -> usize {
    let half = |from: usize, to: usize| from + all[from..to].partition_point(|one| *one < wanted);
    let (Some(&first), Some(&last)) = (all.first(), all.last()) else { return 0 };
    if wanted <= first {
        return 0;
    }
    if wanted > last {
        return all.len();
    }
    if all.len() < MANY {
        return half(0, all.len());
    }
    let share = (wanted - first) as f64 / (last - first) as f64;
    let guess = ((share * (all.len() - 1) as f64) as usize).min(all.len() - 1);
    // Wider and wider steps, so that a guess that is far off costs twice a search by halves.
    let mut step = 8;
    if all[guess] < wanted {
        let mut low = guess;
        loop {
            let high = low.saturating_add(step);
            match all.get(high) {
                Some(one) if *one < wanted => (low, step) = (high, step * 2),
                found => return half(low, found.map_or(all.len(), |_| high)),
            }
        }
    }
    let mut high = guess;
    loop {
        let low = high.saturating_sub(step);
        if low == 0 || all[low] < wanted {
            return half(low, high);
        }
        (high, step) = (low, step * 2);
    }
}

impl Fences {
    /// Of keys in order.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let (first, last) = (keys.clone().next(), keys.clone().last());
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let shared = common_prefix(first, last);
        let heads = keys.map(|key| head(key.get(shared..).unwrap_or_default())).collect();
        Self { prefix: first[..shared].into(), heads }
    }

    /// Keys before the range are below `key`, those after it above; those in it are not decided.
    pub(super) fn search(&self, key: &[u8]) -> Range<usize> {
        let all = self.heads.len();
        let begin = &key[..key.len().min(self.prefix.len())];
        match begin.cmp(&self.prefix) {
            Ordering::Less => 0..0,
            Ordering::Greater => all..all,
            Ordering::Equal => {
                let wanted = head(&key[self.prefix.len()..]);
                let start = below(&self.heads, wanted);
                let same = self.heads[start..].iter().take_while(|head| **head == wanted);
                // Long rows of equal heads are rare, and then worth a second search.
                let end = match same.take(16).count() {
                    16 => start + self.heads[start..].partition_point(|head| *head == wanted),
                    count => start + count,
                };
                start..end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fences, below};
    use base::{Entropy, SeededEntropy};

    #[test]
    fn places_are_found_wherever_the_guess_is() {
        let chance = SeededEntropy::new(1);
        for round in 0..400 {
            let len = chance.below(300);
            let number = || match round % 4 {
                0 => chance.next_u64(),
                // Many at one end, and a few far away.
                1 => 1 << chance.below(64),
                2 => chance.below(40),
                _ => u64::MAX - chance.below(1_000),
            };
            let mut all: Vec<u64> = (0..len).map(|_| number()).collect();
            all.sort_unstable();
            let wanted = all.iter().flat_map(|one| [*one, one.saturating_add(1), one / 2]);
            for wanted in wanted.chain([0, u64::MAX]) {
                let expected = all.iter().filter(|one| **one < wanted).count();
                assert_eq!(below(&all, wanted), expected, "{wanted} in {all:?}");
            }
        }
    }

    fn check(keys: &[&str], wanted: &str) {
        let fences = Fences::new(keys.iter().map(|key| key.as_bytes()));
        let found = fences.search(wanted.as_bytes());
        assert!(keys[..found.start].iter().all(|key| *key < wanted), "{keys:?} {wanted}");
        assert!(keys[found.end..].iter().all(|key| *key > wanted), "{keys:?} {wanted}");
    }

    #[test]
    fn what_is_left_out_is_decided() {
        let many: Vec<String> = (0..40).map(|key| format!("prefix/{:012}", key * 3)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sets: [&[&str]; 6] =
            [&[], &["a"], &["a", "a\0", "ab", "b"], &["", "x"], &many, &["same/", "same/\0\0"]];
        for keys in sets {
            for wanted in
                ["", "a", "a\0", "aa", "p", "prefix/", "prefix/0", "same/", "same/\0", "z"]
            {
                check(keys, wanted);
            }
            for key in keys {
                check(keys, key);
                check(keys, &format!("{key}\0"));
                check(keys, key.get(1..).unwrap_or_default());
            }
        }
    }
}
