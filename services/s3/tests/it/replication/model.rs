//! Random operations against a small reference model of replication: of each version, which buckets the
//! rules of the moment at which it was made send it to, and what is in them once the jobs have run.

use super::*;
use base::{Entropy, SeededEntropy};
use std::collections::BTreeSet;

const TARGETS: [&str; 2] = ["copy", "other"];
const PREFIXES: [&str; 4] = ["", "a", "a/", "b"];
const KEYS: [&str; 4] = ["a", "a/x", "b/y", "c"];

/// A rule, as far as the model goes; its target is its place.
#[derive(Clone, Copy)]
struct Sends {
    prefix: &'static str,
    markers: bool,
}

/// A version: its key and its id.
type Name = (String, String);

#[derive(Default)]
struct Model {
    rules: [Option<Sends>; 2],
    /// With its body, or `None` for a delete marker.
    source: BTreeMap<Name, Option<Vec<u8>>>,
    targets: [BTreeMap<Name, Option<Vec<u8>>>; 2],
    /// What the jobs have to do yet.
    waiting: Vec<(Name, usize)>,
    /// Versions that went, or go, anywhere.
    sent: BTreeSet<Name>,
}

impl Model {
    fn add(&mut self, name: Name, body: Option<Vec<u8>>) {
        for (target, rule) in self.rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            if name.0.starts_with(rule.prefix) && (body.is_some() || rule.markers) {
                self.waiting.push((name.clone(), target));
                self.sent.insert(name.clone());
            }
        }
        self.source.insert(name, body);
    }

    /// A version that is gone before its turn goes nowhere.
    fn run(&mut self) {
        for (name, target) in std::mem::take(&mut self.waiting) {
            if let Some(body) = self.source.get(&name) {
                self.targets[target].insert(name, body.clone());
            }
        }
    }
}

fn remove(cloud: &Cloud, bucket: &str, (key, id): &Name) {
    let input = DeleteObjectInput {
        bucket: bucket.into(),
        key: key.clone(),
        version_id: Some(id.clone()),
        ..Default::default()
    };
    cloud.call::<DeleteObjectOutput>("DeleteObject", &input).unwrap();
}

/// One of them by the dice, if there is any.
fn one_of(of: &BTreeMap<Name, Option<Vec<u8>>>, dice: &SeededEntropy) -> Option<Name> {
    let count = of.len() as u64;
    (count > 0).then(|| of.keys().nth(dice.below(count) as usize).cloned())?
}

fn change_rules(cloud: &Cloud, model: &mut Model, dice: &SeededEntropy) {
    let mut rules = Vec::new();
    for (place, target) in TARGETS.iter().enumerate() {
        let sends = Sends { prefix: PREFIXES[dice.below(4) as usize], markers: dice.below(2) == 0 };
        model.rules[place] = (dice.below(4) > 0).then_some(sends);
        rules.extend(model.rules[place].map(|sends| ReplicationRule {
            id: Some(format!("r{place}")),
            delete_marker_replication: markers(if sends.markers { "Enabled" } else { "Disabled" }),
            ..rule(target, place as i32 + 1, sends.prefix)
        }));
    }
    if rules.is_empty() {
        let input = DeleteBucketReplicationInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<DeleteBucketReplicationOutput>("DeleteBucketReplication", &input).unwrap();
    } else {
        cloud.replicate("box", rules).unwrap();
    }
}

fn names(found: &ListObjectVersionsOutput) -> BTreeSet<(Name, bool)> {
    let versions = found.versions.iter().flatten();
    let versions = versions.map(|one| ((one.key.clone(), one.version_id.clone()), false));
    let markers = found.delete_markers.iter().flatten();
    let markers = markers.map(|one| ((one.key.clone(), one.version_id.clone()), true));
    let name = |((key, id), marker): ((Option<String>, Option<String>), bool)| {
        ((key.expect("a key"), id.expect("an id")), marker)
    };
    versions.chain(markers).map(name).collect()
}

fn check(cloud: &Cloud, model: &Model, place: &str) {
    for (bucket, expected) in
        [("box", &model.source)].into_iter().chain(TARGETS.into_iter().zip(&model.targets))
    {
        let wanted: BTreeSet<(Name, bool)> =
            expected.iter().map(|(name, body)| (name.clone(), body.is_none())).collect();
        assert_eq!(names(&cloud.versions(bucket)), wanted, "{place}: {bucket}");
        for ((key, id), body) in expected {
            let Some(body) = body else { continue };
            let input = GetObjectInput {
                bucket: bucket.into(),
                key: key.clone(),
                version_id: Some(id.clone()),
                ..Default::default()
            };
            let found = cloud.get_as(&input).unwrap();
            assert_eq!(&found.body[..], &body[..], "{place}: {bucket}/{key} {id}");
            let name = (key.clone(), id.clone());
            let waits = model.waiting.iter().any(|(own, _)| *own == name);
            let status = match (bucket, model.sent.contains(&name)) {
                ("box", false) => None,
                ("box", true) if waits => Some("PENDING"),
                ("box", true) => Some("COMPLETED"),
                _ => Some("REPLICA"),
            };
            assert_eq!(
                found.output.replication_status.as_deref(),
                status,
                "{place}: {bucket}/{key}"
            );
        }
    }
}

fn random(seed: u64, steps: usize) {
    let cloud = Cloud::seeded(seed);
    cloud.versioning("Enabled");
    TARGETS.iter().for_each(|target| cloud.make_versioned(target));
    cloud.make_role();
    let dice = SeededEntropy::new(seed);
    let mut model = Model::default();
    for step in 0..steps {
        let key = KEYS[dice.below(4) as usize];
        let name = |id: Option<String>| (key.to_owned(), id.expect("a version"));
        match dice.below(12) {
            0 => change_rules(&cloud, &mut model, &dice),
            1..=4 => {
                let body = format!("{step}").repeat(dice.below(3000) as usize).into_bytes();
                let id = cloud.put(key, &body).version_id;
                model.add(name(id), Some(body));
            }
            5 | 6 => {
                let id = cloud.delete(key, None).version_id;
                model.add(name(id), None);
            }
            7 => {
                if let Some(name) = one_of(&model.source, &dice) {
                    remove(&cloud, "box", &name);
                    model.source.remove(&name);
                }
            }
            8 => {
                let target = dice.below(2) as usize;
                if let Some(name) = one_of(&model.targets[target], &dice) {
                    remove(&cloud, TARGETS[target], &name);
                    model.targets[target].remove(&name);
                }
            }
            9 | 10 => {
                cloud.world.clock.advance_ms(30_000);
                cloud.run();
                model.run();
            }
            _ => check(&cloud, &model, &format!("seed {seed}, step {step}")),
        }
    }
    cloud.world.clock.advance_ms(30_000);
    cloud.run();
    model.run();
    check(&cloud, &model, &format!("seed {seed}, the end"));
}

#[test]
fn random_changes_of_rules_and_versions() {
    (0..60).for_each(|seed| random(seed, 120));
}
