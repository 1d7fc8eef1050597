//! Whether a history of concurrent reads and writes is strictly serialisable.
//!
//! Every write brings a value that never was before and tells which value it replaced, so the versions
//! of each key stand in one line. What must have come before what follows from that line, and from the
//! clock: one request ended before the other began. The history is good if nothing comes before itself.
//! A request without an answer counts as done if anybody saw what it wrote.
//!
//! Deliberately absent: deletions (an absent item is no version of its own), and guesses: where several
//! requests without an answer leave open in which order they wrote, that much is not checked.

use std::collections::{BTreeMap, BTreeSet};

/// A value of a key; `None` before the first.
pub type Version = Option<u64>;

#[derive(Clone, Debug)]
pub struct Write {
    pub key: u8,
    pub new: u64,
    /// What it replaced, where that is known.
    pub old: Option<Version>,
}

/// One request, whose reads and writes happened at one moment between its start and its end.
#[derive(Clone, Default, Debug)]
pub struct Event {
    pub start: u64,
    /// `None`: no answer came.
    pub end: Option<u64>,
    pub reads: Vec<(u8, Version)>,
    pub writes: Vec<Write>,
}

#[derive(Clone, Default, Debug)]
pub struct History {
    /// What was there before.
    pub initial: BTreeMap<u8, u64>,
    pub events: Vec<Event>,
    /// What is there when all has ended.
    pub last: BTreeMap<u8, u64>,
}

/// The versions of one key.
#[derive(Default)]
struct Line {
    /// Which event wrote it.
    writer: BTreeMap<u64, usize>,
    next: BTreeMap<Version, u64>,
}

impl History {
    pub fn check(&self) -> Result<(), String> {
        let lines = self.lines()?;
        let mut graph = Graph::new(self.events.len());
        for (key, line) in &lines {
            self.check_end(*key, line)?;
            for (old, new) in &line.next {
                if let Some(before) = old.and_then(|old| line.writer.get(&old)) {
                    graph.edge(*before, line.writer[new]);
                }
            }
        }
        for (number, event) in self.events.iter().enumerate() {
            for (key, version) in &event.reads {
                let Some(line) = lines.get(key) else { continue };
                if let Some(writer) = version.and_then(|version| line.writer.get(&version)) {
                    graph.edge(*writer, number);
                }
                if let Some(next) = line.next.get(version) {
                    graph.edge(number, line.writer[next]);
                }
            }
        }
        graph.in_time(&self.events);
        match graph.cycle() {
            None => Ok(()),
            Some(cycle) => {
                let shown: Vec<String> =
                    cycle.iter().map(|number| format!("{:?}", self.events[*number])).collect();
                Err(format!(
                    "each of these must come before the next:\n    {}",
                    shown.join("\n    ")
                ))
            }
        }
    }

    /// Every value that anybody saw.
    fn seen(&self) -> BTreeSet<(u8, u64)> {
        let mut seen: BTreeSet<(u8, u64)> = self.last.iter().map(|(k, v)| (*k, *v)).collect();
        for event in &self.events {
            seen.extend(event.reads.iter().filter_map(|(key, v)| v.map(|v| (*key, v))));
            if event.end.is_some() {
                let old = event.writes.iter().filter_map(|w| Some((w.key, w.old??)));
                seen.extend(old);
            }
        }
        seen
    }

    fn lines(&self) -> Result<BTreeMap<u8, Line>, String> {
        let seen = self.seen();
        let mut lines: BTreeMap<u8, Line> = BTreeMap::new();
        for (number, event) in self.events.iter().enumerate() {
            let done = event.end.is_some()
                || event.writes.iter().any(|write| seen.contains(&(write.key, write.new)));
            for write in event.writes.iter().filter(|_| done) {
                let line = lines.entry(write.key).or_default();
                line.writer.insert(write.new, number);
                let Some(old) = write.old else { continue };
                if let Some(other) = line.next.insert(old, write.new) {
                    let (key, new) = (write.key, write.new);
                    return Err(format!("key {key}: {other} and {new} both replaced {old:?}"));
                }
            }
        }
        for (key, value) in seen {
            let known = self.initial.get(&key) == Some(&value)
                || lines.get(&key).is_some_and(|line| line.writer.contains_key(&value));
            if !known {
                return Err(format!("key {key}: {value} was seen, and nobody wrote it"));
            }
        }
        for (key, line) in &mut lines {
            self.close_gap(*key, line);
        }
        Ok(lines)
    }

    /// One write whose answer never came replaced the one version that nobody else replaced.
    fn close_gap(&self, key: u8, line: &mut Line) {
        let replaced: BTreeSet<u64> = line.next.values().copied().collect();
        let mut orphans = line.writer.keys().filter(|value| !replaced.contains(value));
        let (Some(orphan), None) = (orphans.next().copied(), orphans.next()) else { return };
        let first = self.initial.get(&key).copied();
        let all = line.writer.keys().map(|value| Some(*value)).chain([first]);
        let mut ends = all.filter(|version| {
            !line.next.contains_key(version) && *version != self.last.get(&key).copied()
        });
        if let (Some(end), None) = (ends.next(), ends.next())
            && end != Some(orphan)
        {
            line.next.insert(end, orphan);
        }
    }

    /// No version but the last is without one that replaced it.
    fn check_end(&self, key: u8, line: &Line) -> Result<(), String> {
        let last = self.last.get(&key).copied();
        let gaps = line.writer.len() - line.next.len();
        let ends: Vec<u64> = line
            .writer
            .keys()
            .filter(|value| !line.next.contains_key(&Some(**value)) && Some(**value) != last)
            .copied()
            .collect();
        if ends.len() > gaps {
            return Err(format!(
                "key {key}: {ends:?} were written, nothing replaced them, and {last:?} is there"
            ));
        }
        if last.is_some() && line.next.contains_key(&last) {
            return Err(format!("key {key}: {last:?} was replaced, and is there again"));
        }
        Ok(())
    }
}

/// What comes before what; behind the events stand moments, in the order of time.
struct Graph {
    events: usize,
    after: Vec<Vec<usize>>,
}

impl Graph {
    fn new(events: usize) -> Graph {
        Graph { events, after: vec![Vec::new(); events * 2] }
    }

    fn edge(&mut self, before: usize, after: usize) {
        if before != after {
            self.after[before].push(after);
        }
    }

    /// What ended comes before what began later.
    fn in_time(&mut self, events: &[Event]) {
        let ends = events.iter().enumerate().filter_map(|(n, event)| Some((event.end?, n)));
        let mut ends: Vec<(u64, usize)> = ends.collect();
        ends.sort_unstable();
        for (at, (_, number)) in ends.iter().enumerate() {
            self.after[*number].push(self.events + at);
            if at > 0 {
                self.after[self.events + at - 1].push(self.events + at);
            }
        }
        for (number, event) in events.iter().enumerate() {
            let before = ends.partition_point(|(end, _)| *end < event.start);
            if before > 0 {
                self.after[self.events + before - 1].push(number);
            }
        }
    }

    /// Events in a circle, if there is one.
    fn cycle(&self) -> Option<Vec<usize>> {
        let mut waits = vec![0; self.after.len()];
        self.after.iter().flatten().for_each(|to| waits[*to] += 1);
        let mut free: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for to in &self.after[node] {
                waits[*to] -= 1;
                if waits[*to] == 0 {
                    free.push(*to);
                }
            }
        }
        // All that is left lies on a circle or behind one: backwards one gets into it.
        let start = (0..waits.len()).find(|node| waits[*node] > 0)?;
        let before = |node: usize| {
            (0..waits.len()).find(|from| waits[*from] > 0 && self.after[*from].contains(&node))
        };
        let mut path = vec![start];
        loop {
            let next = before(*path.last()?)?;
            if let Some(at) = path.iter().position(|node| *node == next) {
                let circle = path[at..].iter().rev().copied();
                return Some(circle.filter(|node| *node < self.events).collect());
            }
            path.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `start-end: r 1=5 w 2:5>6`, `?` for an end that never came or an old value that is not known.
    fn history(initial: &str, lines: &[&str], last: &str) -> History {
        let map = |text: &str| {
            let pair = |part: &str| {
                let (key, value) = part.split_once('=').unwrap();
                (key.parse().unwrap(), value.parse().unwrap())
            };
            text.split_whitespace().map(pair).collect()
        };
        let version = |text: &str| (text != "-").then(|| text.parse().unwrap());
        let event = |line: &&str| {
            let (time, rest) = line.split_once(": ").unwrap();
            let (start, end) = time.split_once('-').unwrap();
            let mut event = Event { start: start.parse().unwrap(), ..Event::default() };
            event.end = (end != "?").then(|| end.parse().unwrap());
            for part in rest.split_whitespace() {
                if let Some((key, seen)) = part.split_once('=') {
                    event.reads.push((key.parse().unwrap(), version(seen)));
                } else if let Some((key, change)) = part.split_once(':') {
                    let (old, new) = change.split_once('>').unwrap();
                    let old = (old != "?").then(|| version(old));
                    let (key, new) = (key.parse().unwrap(), new.parse().unwrap());
                    event.writes.push(Write { key, new, old });
                }
            }
            event
        };
        let events = lines.iter().map(event).collect();
        History { initial: map(initial), events, last: map(last) }
    }

    #[track_caller]
    fn good(initial: &str, lines: &[&str], last: &str) {
        assert_eq!(history(initial, lines, last).check(), Ok(()), "{lines:?}");
    }

    #[track_caller]
    fn bad(initial: &str, lines: &[&str], last: &str, part: &str) {
        let found = history(initial, lines, last).check().expect_err(part);
        assert!(found.contains(part), "{found}");
    }

    const CIRCLE: &str = "must come before the next";

    #[test]
    fn good_histories() {
        good("", &[], "");
        good("", &["1-2: 1=-", "3-4: 1:->5", "5-6: 1=5"], "1=5");
        // At the same time a read may see either.
        good("1=5", &["1-9: 1:5>6", "2-3: 1=6", "4-5: 1=6"], "1=6");
        good("1=5", &["1-9: 1:5>6", "2-3: 1=5", "4-5: 1=6"], "1=6");
        good("1=5 2=5", &["1-9: 1:5>6 2:5>6", "2-8: 1=5 2=5", "2-8: 1=6 2=6"], "1=6 2=6");
        // Writers that cross.
        good("1=5", &["1-9: 1:6>7", "1-9: 1:5>6"], "1=7");
    }

    #[test]
    fn answers_that_never_came() {
        good("1=5", &["1-?: 1:5>6"], "1=5");
        good("1=5", &["1-?: 1:5>6"], "1=6");
        good("1=5", &["1-?: 1:?>6", "2-3: 1=6"], "1=6");
        good("1=5", &["1-?: 1:?>6", "2-3: 1:6>7"], "1=7");
        // Seen, and then gone.
        bad("1=5", &["1-?: 1:5>6", "2-3: 1=6"], "1=5", "nothing replaced");
        bad("1=5", &["1-?: 1:?>6", "2-3: 1=6", "4-5: 1=5"], "1=6", CIRCLE);
        // Half of a transaction.
        bad("1=5 2=5", &["1-?: 1:5>6 2:5>6", "2-3: 1=6 2=5"], "1=6 2=6", CIRCLE);
        bad("1=5 2=5", &["1-?: 1:5>6 2:5>6"], "1=6 2=5", "nothing replaced");
    }

    #[test]
    fn a_write_that_is_lost() {
        bad("1=5", &["1-2: 1:5>6"], "1=5", "nothing replaced");
        bad("1=5", &["1-2: 1:5>6"], "", "nothing replaced");
        bad("1=5", &["1-2: 1:5>6", "3-4: 1:5>7"], "1=7", "both replaced");
        bad("1=5", &["1-2: 1:5>6", "3-4: 1:6>7"], "1=6", "is there");
    }

    #[test]
    fn values_from_nowhere() {
        bad("1=5", &["1-2: 1=9"], "1=5", "nobody wrote it");
        bad("1=5", &["1-2: 1:9>6"], "1=6", "nobody wrote it");
        bad("1=5", &[], "1=6", "nobody wrote it");
    }

    #[test]
    fn old_values_after_new_ones() {
        bad("1=5", &["1-2: 1:5>6", "3-4: 1=5"], "1=6", CIRCLE);
        bad("1=5", &["1-9: 1:5>6", "2-3: 1=6", "4-5: 1=5"], "1=6", CIRCLE);
        bad("", &["1-2: 1:->6", "3-4: 1=-"], "1=6", CIRCLE);
        // From the future.
        bad("1=5", &["1-2: 1=6", "3-4: 1:5>6"], "1=6", CIRCLE);
        bad("1=5", &["1-2: 1:6>7", "3-4: 1:5>6"], "1=7", CIRCLE);
    }

    #[test]
    fn reads_that_do_not_fit_together() {
        // Half of a transaction.
        bad("1=5 2=5", &["1-9: 1:5>6 2:5>6", "2-8: 1=6 2=5"], "1=6 2=6", CIRCLE);
        // Two readers see two writers in different orders.
        let fork = ["1-9: 1:5>6", "1-9: 2:5>6", "2-8: 1=6 2=5", "2-8: 1=5 2=6"];
        bad("1=5 2=5", &fork, "1=6 2=6", CIRCLE);
        // Each writes what the other has read.
        bad("1=5 2=5", &["1-9: 2=5 1:5>6", "1-9: 1=5 2:5>6"], "1=6 2=6", CIRCLE);
    }
}
