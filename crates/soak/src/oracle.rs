//! What may be true of each key, given what was acknowledged, what was not, and what was seen.
//!
//! A change has a beginning and an end on one count of events; the end of one that was never answered
//! is never. A value may be seen as long as no other change began after its end and was itself over
//! before the look began. What was seen is as good as acknowledged: it must stay.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// The number in an object's bytes; `None` where there is no object.
pub type Seen = Option<u64>;
const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Change {
    value: Seen,
    began: u64,
    ended: u64,
}

#[derive(Debug, Default)]
struct State {
    events: u64,
    keys: BTreeMap<String, Vec<Change>>,
}

/// One for all clients: they may change the same keys at the same time.
#[derive(Debug, Default)]
pub struct Oracle {
    state: Mutex<State>,
}

/// A change or a look that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Began(u64);

impl State {
    fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn changes(&mut self, key: &str) -> &mut Vec<Change> {
        let nothing = Change { value: None, began: 0, ended: 0 };
        self.keys.entry(key.to_owned()).or_insert_with(|| vec![nothing])
    }
}

/// What a look that began then may see.
fn possible(changes: &[Change], looked: u64) -> Vec<usize> {
    let over = changes.iter().filter(|change| change.ended < looked);
    let newest = over.map(|change| change.began).max().unwrap_or(0);
    (0..changes.len()).filter(|at| changes[*at].ended >= newest).collect()
}

impl Oracle {
    pub fn begin(&self, key: &str, value: Seen) -> Began {
        let mut state = self.state.lock();
        let began = state.event();
        state.changes(key).push(Change { value, began, ended: NEVER });
        Began(began)
    }

    /// The change was acknowledged.
    pub fn done(&self, key: &str, change: Began) {
        let mut state = self.state.lock();
        let ended = state.event();
        for one in state.changes(key).iter_mut().filter(|one| one.began == change.0) {
            one.ended = one.ended.min(ended);
        }
    }

    pub fn look(&self) -> Began {
        Began(self.state.lock().event())
    }

    pub fn saw(&self, key: &str, look: Began, seen: Seen) -> Result<(), String> {
        let mut state = self.state.lock();
        let now = state.event();
        let changes = state.changes(key);
        let allowed = possible(changes, look.0);
        let mut matching = allowed.iter().filter(|at| changes[**at].value == seen);
        match (matching.next(), matching.next()) {
            (None, _) => {
                let known = allowed.iter().map(|at| changes[*at].value).collect::<BTreeSet<_>>();
                let was = changes.iter().any(|change| change.value == seen);
                let was = if was { "which it was once" } else { "which it never was" };
                Err(format!("{key} is {seen:?}, {was}, and may only be one of {known:?}"))
            }
            // Of several deletes nobody can say which one was seen.
            (Some(_), Some(_)) => Ok(()),
            (Some(at), None) => {
                let at = *at;
                changes[at].ended = changes[at].ended.min(now);
                Ok(())
            }
        }
    }

    /// The same while nothing is under way: from now on it is the only truth.
    pub fn settle(&self, key: &str, seen: Seen) -> Result<(), String> {
        let result = self.saw(key, self.look(), seen);
        let mut state = self.state.lock();
        let now = state.event();
        *state.changes(key) = vec![Change { value: seen, began: now, ended: now }];
        result
    }

    /// Every key that was ever touched.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().keys.keys().cloned().collect()
    }

    /// The keys that are there, once all are settled.
    pub fn present(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        let there = |changes: &[Change]| changes.iter().any(|change| change.value.is_some());
        state.keys.iter().filter(|(_, c)| there(c)).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look now may find, of the values 0 (none) to 9.
    fn check(oracle: &Oracle, expected: &[u64]) {
        let mut state = oracle.state.lock();
        let now = state.event();
        let changes = state.changes("k").clone();
        let found: BTreeSet<u64> =
            possible(&changes, now).iter().map(|at| changes[*at].value.unwrap_or(0)).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_acknowledged_change_is_the_only_truth() {
        let oracle = Oracle::default();
        check(&oracle, &[0]);
        let one = oracle.begin("k", Some(1));
        check(&oracle, &[0, 1]);
        oracle.done("k", one);
        check(&oracle, &[1]);
    }

    #[test]
    fn an_unanswered_change_may_come_until_something_else_was_seen() {
        let oracle = Oracle::default();
        oracle.begin("k", Some(1));
        let two = oracle.begin("k", Some(2));
        oracle.done("k", two);
        check(&oracle, &[1, 2]);
        oracle.settle("k", Some(2)).unwrap();
        check(&oracle, &[2]);
        assert!(oracle.settle("k", Some(1)).unwrap_err().contains("which it never was"));
    }

    #[test]
    fn what_was_seen_stays() {
        let oracle = Oracle::default();
        oracle.begin("k", Some(1));
        oracle.saw("k", oracle.look(), Some(1)).unwrap();
        check(&oracle, &[1]);
        assert!(oracle.saw("k", oracle.look(), None).unwrap_err().contains("which it was once"));
    }

    #[test]
    fn a_look_may_see_what_held_while_it_lasted() {
        let oracle = Oracle::default();
        let look = oracle.look();
        for value in 1..=3 {
            let change = oracle.begin("k", Some(value));
            oracle.done("k", change);
        }
        oracle.saw("k", look, Some(2)).unwrap();
        oracle.saw("k", look, None).unwrap();
        assert!(oracle.saw("k", oracle.look(), Some(2)).is_err());
    }
}
