//! What is new in the trail for somebody who follows it.
//!
//! Events in memory have running numbers, so nothing of them is seen twice, and what fell out before it was
//! seen is counted. Changes stand in the store by their times: a look goes back over a few seconds, and
//! knows by a hash what it has seen there.

use crate::audit::{Audit, EVENTS, Event, Filter, Line, newest};
use api::Tx;
use base::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Scope, StoreError};

/// A change may be recorded under a time that lies so far back when it can be seen.
const LATE_SECONDS: i64 = 3;
/// Rows of one look.
const ROWS_MAX: usize = 10_000;
/// Rows come into sight in the order of their times, but for those that are late: behind so many that
/// were seen there is no new one.
const SEEN_MAX: usize = 1000;

/// Records that are new, oldest first, and how many more there were.
#[derive(Default, Debug)]
pub(crate) struct Fresh {
    pub lines: Vec<Line>,
    pub left_out: u64,
}

/// How far somebody has seen.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Events before this number.
    noted: u64,
    looked: Timestamp,
    /// Changes, while they are not too old to come into sight.
    rows: BTreeSet<(Timestamp, u64)>,
}

fn mark(id: &str) -> u64 {
    let digest = sigv4::sha256(id.as_bytes());
    digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

impl Cursor {
    /// From now on; or from a time on, and then with what was recorded since.
    pub fn begin(
        audit: &Audit,
        tx: &Tx,
        filter: &Filter,
        (now, since): (Timestamp, Option<Timestamp>),
        limit: usize,
    ) -> Result<(Cursor, Fresh), StoreError> {
        let (recent, noted) = audit.snapshot();
        let mut cursor = Cursor { noted, looked: now, rows: BTreeSet::new() };
        let mut past = Fresh::default();
        if let Some(since) = since {
            let since = since.min(now).plus_secs(-LATE_SECONDS);
            let filter = Filter { since, ..filter.clone() };
            past.lines = audit.lines_of(tx, &filter, limit + 1, &recent)?;
            // How many there were before these, nobody knows: one at least.
            if past.lines.len() > limit {
                past.lines.remove(0);
                past.left_out = 1;
            }
        }
        cursor.changes(tx, filter, now, 0)?;
        Ok((cursor, past))
    }

    /// What came since the last look.
    pub fn look(
        &mut self,
        audit: &Audit,
        tx: &Tx,
        filter: &Filter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Fresh, StoreError> {
        let mut fresh = self.changes(tx, filter, now, limit)?;
        let (events, lost) = self.events(audit, filter);
        let more = events.len().saturating_sub(limit);
        fresh.left_out += lost + more as u64;
        let own = events.iter().skip(more);
        fresh.lines.extend(own.map(|event| Line { at: event.at, text: event.json() }));
        fresh.left_out += fresh.lines.len().saturating_sub(limit) as u64;
        fresh.lines = newest(fresh.lines, limit);
        Ok(fresh)
    }

    /// New reads, failures and denials, and how many were gone before anybody looked.
    fn events(&mut self, audit: &Audit, filter: &Filter) -> (Vec<Arc<Event>>, u64) {
        audit.with_recent(|events, noted| {
            let first = noted - events.len() as u64;
            let lost = first.saturating_sub(self.noted);
            // Whether these would have been among those that are asked for, nobody knows: one at least.
            let lost = if filter.takes_all() { lost } else { lost.min(1) };
            let seen = self.noted.saturating_sub(first) as usize;
            self.noted = noted;
            let new = events.range(seen.min(events.len())..);
            (new.filter(|event| filter.takes(event)).cloned().collect(), lost)
        })
    }

    fn changes(
        &mut self,
        tx: &Tx,
        filter: &Filter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Fresh, StoreError> {
        // The clock may have been moved, either way.
        let since = self.looked.min(now).plus_secs(-LATE_SECONDS);
        self.looked = now;
        self.rows = self.rows.split_off(&(since, 0));
        let (mut fresh, mut seen, mut looked) = (Fresh::default(), 0, 0);
        let mut rows = tx.scan(&EVENTS, &Scope::Global).reverse();
        for found in rows.by_ref().take(ROWS_MAX) {
            let ((at, id), row) = found?;
            looked += 1;
            if at < since || seen >= SEEN_MAX {
                break;
            }
            if !self.rows.insert((at, mark(&id))) {
                seen += 1;
            } else if filter.takes_row(&row) {
                match fresh.lines.len() < limit {
                    true => fresh.lines.push(Line { at, text: row.json(at, &id) }),
                    false => fresh.left_out += 1,
                }
            }
        }
        // How many lie behind so many, nobody looks.
        fresh.left_out += u64::from(looked == ROWS_MAX);
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::KEPT_MAX;
    use api::Caller;
    use base::{AccountId, ManualClock, Partition, SeededEntropy};
    use store::Store;

    struct World {
        audit: Audit,
        store: Store,
        clock: Arc<ManualClock>,
        caller: Arc<Caller>,
        count: u64,
    }

    impl World {
        fn new() -> World {
            let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
            let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
            let caller = Arc::new(Caller::root(Partition::Aws, AccountId::DEFAULT));
            World { audit: Audit::default(), store, clock, caller, count: 0 }
        }

        fn read(&mut self, agent: &str) {
            self.count += 1;
            self.audit.note(Event {
                at: base::Clock::now(&*self.clock),
                request_id: format!("read-{}", self.count).into(),
                service: "s3",
                operation: "GetObject",
                is_read: true,
                caller: self.caller.clone(),
                region: None,
                source_ip: None,
                user_agent: Some(agent.to_owned()),
                path: String::new(),
                resource: None,
                allowed: None,
                error: None,
            });
        }

        fn change(&mut self) {
            self.count += 1;
            let id = format!("change-{}", self.count);
            let row = crate::audit::tests::row("PutObject");
            let write = self.store.write(|tx| {
                let key = (tx.now(), id.clone());
                tx.put(&EVENTS, &Scope::Global, &key, &row)
            });
            write.now().unwrap().unwrap();
        }

        fn begin(&self, since: Option<Timestamp>) -> (Cursor, Fresh) {
            let now = base::Clock::now(&*self.clock);
            let when = (now, since);
            self.store
                .read(|tx| Cursor::begin(&self.audit, tx, &Filter::default(), when, 100))
                .unwrap()
        }

        fn look(&self, cursor: &mut Cursor, filter: &Filter, limit: usize) -> (Vec<String>, u64) {
            let now = base::Clock::now(&*self.clock);
            let fresh =
                self.store.read(|tx| cursor.look(&self.audit, tx, filter, now, limit)).unwrap();
            let id = |line: Line| {
                line.text
                    .split("\"requestID\":\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .to_owned()
            };
            (fresh.lines.into_iter().map(id).collect(), fresh.left_out)
        }
    }

    #[test]
    fn each_is_seen_once() {
        let mut world = World::new();
        world.read("a");
        world.change();
        let (mut cursor, past) = world.begin(None);
        assert!(past.lines.is_empty());
        let all = Filter::default();
        assert_eq!(world.look(&mut cursor, &all, 100), (vec![], 0));
        world.change();
        world.clock.advance_ms(1);
        world.read("a");
        assert_eq!(world.look(&mut cursor, &all, 100).0, ["change-3", "read-4"]);
        world.clock.advance_ms(1_000);
        assert_eq!(world.look(&mut cursor, &all, 100), (vec![], 0));
        // A clock that goes back.
        world.clock.advance_ms(60_000);
        world.change();
        world.clock.jump_to(Timestamp::from_secs(1_800_000_000));
        world.read("a");
        let mut seen = world.look(&mut cursor, &all, 100).0;
        seen.sort();
        assert_eq!(seen, ["change-5", "read-6"]);
        assert_eq!(world.look(&mut cursor, &all, 100), (vec![], 0));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut world = World::new();
        let (mut cursor, _) = world.begin(None);
        let all = Filter::default();
        (0..30).for_each(|_| world.read("a"));
        (0..30).for_each(|_| world.change());
        let (seen, left_out) = world.look(&mut cursor, &all, 10);
        assert_eq!((seen.len(), left_out), (10, 50));
        (0..KEPT_MAX + 7).for_each(|_| world.read("a"));
        let (seen, left_out) = world.look(&mut cursor, &all, 10);
        assert_eq!((seen.len() as u64, left_out), (10, KEPT_MAX as u64 + 7 - 10));
        assert_eq!(world.look(&mut cursor, &all, 10), (vec![], 0));
    }

    #[test]
    fn whoever_comes_back_has_what_came_meanwhile() {
        let mut world = World::new();
        world.read("a");
        world.clock.advance_ms(60_000);
        let left = base::Clock::now(&*world.clock);
        world.read("a");
        world.change();
        let (mut cursor, past) = world.begin(Some(left));
        assert_eq!((past.lines.len(), past.left_out), (2, 0));
        assert_eq!(world.look(&mut cursor, &Filter::default(), 100), (vec![], 0));
        (0..200).for_each(|_| world.read("a"));
        let (_, past) = world.begin(Some(left));
        assert_eq!((past.lines.len(), past.left_out), (100, 1));
        // A time that is yet to come is none to wait for.
        let (mut cursor, _) = world.begin(Some(left.plus_secs(1000)));
        world.read("a");
        assert_eq!(world.look(&mut cursor, &Filter::default(), 100).0.len(), 1);
    }

    #[test]
    fn reads_of_one_agent_can_be_left_away() {
        let mut world = World::new();
        let (mut cursor, _) = world.begin(None);
        world.read("console");
        world.read("other");
        let filter = Filter { without_reads_of: "console".into(), ..Filter::default() };
        assert_eq!(world.look(&mut cursor, &filter, 100), (vec!["read-2".to_owned()], 0));
    }
}
