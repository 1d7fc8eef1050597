//! What may be true of each key, given what was acknowledged and what was not.

use std::collections::BTreeMap;

/// A value by its digest; `None` where there is no object.
pub type Seen = Option<u64>;

/// Keys of one client, which alone writes them.
#[derive(Debug, Default)]
pub struct Oracle {
    /// One possibility: it is known. Several: the answer to a change never came.
    keys: BTreeMap<String, Vec<Seen>>,
    /// A change that is under way.
    pending: Option<(String, Seen)>,
}

impl Oracle {
    fn possible(&self, key: &str) -> Vec<Seen> {
        self.keys.get(key).cloned().unwrap_or_else(|| vec![None])
    }

    /// The value, if there is no doubt about it.
    pub fn known(&self, key: &str) -> Option<Seen> {
        match self.possible(key)[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    pub fn begin(&mut self, key: &str, value: Seen) {
        debug_assert!(self.pending.is_none());
        self.pending = Some((key.to_owned(), value));
    }

    /// The change was acknowledged.
    pub fn done(&mut self) {
        if let Some((key, value)) = self.pending.take() {
            self.keys.insert(key, vec![value]);
        }
    }

    /// The change was refused: nothing may have changed.
    pub fn refused(&mut self) {
        self.pending = None;
    }

    /// The answer never came, or was an error of the server's: it may have happened.
    pub fn unknown(&mut self) {
        if let Some((key, value)) = self.pending.take() {
            let mut possible = self.possible(&key);
            if !possible.contains(&value) {
                possible.push(value);
            }
            self.keys.insert(key, possible);
        }
    }

    /// Something was seen; from now on it is true.
    pub fn observe(&mut self, key: &str, seen: Seen) -> Result<(), String> {
        let possible = self.possible(key);
        if !possible.contains(&seen) {
            return Err(format!("{key} is {seen:?}, and may only be one of {possible:?}"));
        }
        self.keys.insert(key.to_owned(), vec![seen]);
        Ok(())
    }

    /// A listing was seen.
    pub fn observe_listing(&mut self, prefix: &str, listed: &[String]) -> Result<(), String> {
        for key in listed {
            if self.possible(key) == [None] {
                return Err(format!("{key} is listed and is not there"));
            }
        }
        for (key, possible) in &self.keys {
            let must = key.starts_with(prefix) && !possible.contains(&None);
            if must && !listed.contains(key) {
                return Err(format!("{key} is there and is not listed"));
            }
        }
        Ok(())
    }

    pub fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_ends_with_the_first_look() {
        let mut oracle = Oracle::default();
        oracle.begin("k", Some(1));
        oracle.done();
        oracle.begin("k", Some(2));
        oracle.unknown();
        assert_eq!(oracle.known("k"), None);
        assert!(oracle.observe("k", None).is_err());
        oracle.observe("k", Some(2)).unwrap();
        assert!(oracle.observe("k", Some(1)).is_err());
        assert!(oracle.observe_listing("", &[]).is_err());
        assert!(oracle.observe_listing("", &["k".into(), "x".into()]).is_err());
        oracle.observe_listing("", &["k".into()]).unwrap();
    }
}
