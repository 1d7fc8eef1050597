//! Sorted keys, searched by eight bytes of each.
//!
//! What all keys begin with is compared once, then the eight bytes that follow it, which lie side by
//! side: a search touches a few cache lines instead of a key's memory per step. Keys that are equal
//! that far are left to the caller.

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
                let start = self.heads.partition_point(|head| *head < wanted);
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
    use super::Fences;

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
