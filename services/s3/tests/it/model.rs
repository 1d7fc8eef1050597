//! Random operations against a small reference model of versions: a list of versions per key.

use crate::Cloud;
use base::{Entropy, SeededEntropy};
use gen_s3::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Version {
    /// `null`, or the id that was given out.
    id: String,
    /// `None` for a delete marker.
    body: Option<Vec<u8>>,
}

/// Versions of each key, newest first.
#[derive(Default)]
struct Model {
    keys: BTreeMap<String, Vec<Version>>,
    status: &'static str,
}

impl Model {
    fn add(&mut self, key: &str, id: Option<String>, body: Option<Vec<u8>>) {
        let versions = self.keys.entry(key.into()).or_default();
        let id = id.unwrap_or_else(|| "null".into());
        if id == "null" {
            versions.retain(|v| v.id != "null");
        }
        versions.insert(0, Version { id, body });
    }

    fn remove(&mut self, key: &str, id: &str) {
        if let Some(versions) = self.keys.get_mut(key) {
            versions.retain(|v| v.id != id);
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
    }
}

fn run(seed: u64, steps: usize) {
    let cloud = Cloud::seeded(seed);
    let dice = SeededEntropy::new(seed);
    let mut model = Model { status: "", ..Model::default() };
    for step in 0..steps {
        let key = ["a", "a/b", "c"][dice.below(3) as usize];
        match dice.below(10) {
            0 => {
                model.status = ["Enabled", "Suspended"][dice.below(2) as usize];
                cloud.versioning(model.status);
            }
            1..=4 => {
                let body = format!("{step}").repeat(dice.below(8000) as usize).into_bytes();
                let id = cloud.put(key, &body).version_id;
                assert_eq!(id.is_some(), model.status == "Enabled");
                model.add(key, id, Some(body));
            }
            5 | 6 => {
                let output = cloud.delete(key, None);
                match model.status {
                    "" => model.remove(key, "null"),
                    _ => model.add(key, output.version_id, None),
                }
            }
            7 => {
                let known = model.keys.get(key).cloned().unwrap_or_default();
                let id = match known.get(dice.below(4) as usize) {
                    Some(version) => version.id.clone(),
                    None => "null".into(),
                };
                cloud.delete(key, Some(&id));
                model.remove(key, &id);
            }
            _ => check(&cloud, &model, seed, step),
        }
    }
    check(&cloud, &model, seed, steps);
}

fn check(cloud: &Cloud, model: &Model, seed: u64, step: usize) {
    let at = format!("seed {seed}, step {step}");
    for (key, versions) in &model.keys {
        for version in versions {
            let got = cloud.get(key, Some(&version.id)).map(|o| o.body.to_vec()).ok();
            assert_eq!(got, version.body, "{at}: {key} {}", version.id);
        }
        let got = cloud.get(key, None).map(|o| o.body.to_vec()).ok();
        assert_eq!(got, versions[0].body, "{at}: {key}");
    }
    let input = ListObjectVersionsInput { bucket: "box".into(), ..Default::default() };
    let listed: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &input).unwrap();
    let mut shown: Vec<(String, String, bool)> = Vec::new();
    for v in listed.versions.into_iter().flatten() {
        shown.push((v.key.unwrap(), v.version_id.unwrap(), v.is_latest.unwrap()));
    }
    for v in listed.delete_markers.into_iter().flatten() {
        shown.push((v.key.unwrap(), v.version_id.unwrap(), v.is_latest.unwrap()));
    }
    let mut expected: Vec<(String, String, bool)> = Vec::new();
    for (key, versions) in &model.keys {
        for (i, version) in versions.iter().enumerate() {
            expected.push((key.clone(), version.id.clone(), i == 0));
        }
    }
    shown.sort();
    expected.sort();
    assert_eq!(shown, expected, "{at}");
    let input = ListObjectsV2Input { bucket: "box".into(), ..Default::default() };
    let listed: ListObjectsV2Output = cloud.call("ListObjectsV2", &input).unwrap();
    let keys: Vec<String> = listed.contents.into_iter().flatten().map(|o| o.key.unwrap()).collect();
    let live = model.keys.iter().filter(|(_, v)| v[0].body.is_some());
    assert_eq!(keys, live.map(|(k, _)| k.clone()).collect::<Vec<_>>(), "{at}");
}

#[test]
fn versions_are_as_in_the_model() {
    for seed in 0..40 {
        run(seed, 120);
    }
}
