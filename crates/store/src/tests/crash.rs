//! The power goes at every call in turn. What was acknowledged or seen is there afterwards, in order,
//! and nothing is half there.

use super::model::{self, Model};
use crate::disk::FaultyDisk;
use crate::{Drivers, Store};
use base::{Entropy, SeededEntropy};
use std::panic::AssertUnwindSafe;

/// One life of a store: opens it, compares it with the model, and writes until the power goes or
/// `steps` are done.
struct Life<'a> {
    disk: &'a FaultyDisk,
    chance: &'a SeededEntropy,
    model: &'a mut Model,
    /// The newest version that anybody was told of.
    told: u64,
}

impl Life<'_> {
    /// Whether it got to the end.
    fn run(&mut self, steps: u32) -> bool {
        let Ok((store, mut drivers)) = model::open(self.disk, self.chance.next_u64()) else {
            return false;
        };
        let (version, state) = model::read(&store);
        assert!(version >= self.told, "commit {} was acknowledged, {version} is there", self.told);
        assert!(version <= self.model.version(), "commit {version} was never made");
        assert!(state == self.model.states[version as usize], "not the state of commit {version}");
        self.model.cut(version);
        self.told = version;
        for _ in 0..steps {
            self.step(&store, &mut drivers);
            if store.stopped().is_some() {
                return false;
            }
        }
        true
    }

    fn step(&mut self, store: &Store, drivers: &mut Drivers) {
        let mut commits = Vec::new();
        for _ in 0..self.chance.below(4) {
            let change = model::random_change(self.chance);
            let before = store.shared.writer_version();
            let commit = model::write(store, &change);
            if store.shared.writer_version() > before {
                self.model.apply(&change);
            }
            commits.push(commit);
        }
        if self.chance.below(3) != 0 {
            drivers.log.step();
        }
        for _ in 0..self.chance.below(6) {
            drivers.maintenance.step();
        }
        for commit in commits {
            if let Some(Ok(version)) = commit.now() {
                self.told = self.told.max(version);
            }
        }
        self.told = self.told.max(store.read(|tx| tx.version()));
    }
}

/// Lives until one is not cut short; the power goes at the `at`th call of the second one.
fn run(seed: u64, at: u64, skip_syncs: bool) -> bool {
    let chance = SeededEntropy::new(seed);
    let disk = FaultyDisk::new();
    disk.skip_syncs(skip_syncs);
    let mut model = Model::new();
    let mut life = Life { disk: &disk, chance: &chance, model: &mut model, told: 0 };
    assert!(life.run(20));
    disk.crash(seed);
    disk.power_off_in(at);
    let reached_the_end = life.run(60);
    disk.crash(seed + at);
    assert!(life.run(5));
    disk.crash(seed + at + 1);
    assert!(life.run(1));
    !reached_the_end
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    for seed in 0..3 {
        let mut at = 1;
        while run(seed, at, false) {
            at += 1;
        }
        assert!(at > 50, "the workload is too small to mean anything");
    }
}

/// Killed at the `at`th call, started again, and the power goes while what the killed process wrote
/// last is known to the kernel alone.
fn run_killed(seed: u64, at: u64) -> bool {
    let chance = SeededEntropy::new(seed);
    let disk = FaultyDisk::new();
    let mut model = Model::new();
    let mut life = Life { disk: &disk, chance: &chance, model: &mut model, told: 0 };
    assert!(life.run(20));
    disk.power_off_in(at);
    let reached_the_end = life.run(60);
    disk.kill();
    assert!(life.run(at as u32 % 12));
    disk.crash(seed + at);
    assert!(life.run(5));
    !reached_the_end
}

#[test]
fn nothing_is_lost_when_the_power_goes_after_a_kill() {
    for seed in 0..2 {
        let mut at = 1;
        while run_killed(seed, at) {
            at += 1;
        }
        assert!(at > 50, "the workload is too small to mean anything");
    }
}

#[test]
fn a_first_start_may_be_killed_anywhere() {
    for at in 1.. {
        let disk = FaultyDisk::new();
        disk.power_off_in(at);
        let whole = model::open(&disk, at).is_ok();
        disk.kill();
        let (store, mut drivers) = model::open(&disk, at).expect("opens");
        let change = model::random_change(&SeededEntropy::new(at));
        let commit = model::write(&store, &change);
        drivers.log.step();
        assert_eq!(commit.now().expect("is synced").expect("commits"), 1);
        disk.crash(at);
        let (store, _) = model::open(&disk, at).expect("opens");
        assert_eq!(model::read(&store).0, 1);
        if whole {
            break;
        }
    }
}

#[test]
fn a_first_start_may_be_cut_short_anywhere() {
    for at in 1.. {
        let disk = FaultyDisk::new();
        disk.power_off_in(at);
        let whole = model::open(&disk, at).is_ok();
        disk.crash(at);
        let (store, _) = model::open(&disk, at).expect("opens");
        assert_eq!(model::read(&store).0, 0);
        if whole {
            break;
        }
    }
}

#[test]
fn a_build_that_skips_its_syncs_is_found() {
    let caught =
        (1..30).any(|at| std::panic::catch_unwind(AssertUnwindSafe(|| run(1, at, true))).is_err());
    assert!(caught);
}
