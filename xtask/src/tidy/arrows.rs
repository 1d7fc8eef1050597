//! Which crate may depend on which: arrows point down the layers, and never sideways.

use serde_json::Value;

use super::Checkout;

/// A crate may depend on crates of lower layers only. Folders stand for all crates below them.
const LAYERS: &[(&str, u32)] = &[
    ("crates/base", 0),
    ("crates/smithy", 1),
    ("crates/sigv4", 1),
    ("crates/policy", 1),
    ("crates/store", 1),
    ("crates/dns", 1),
    ("crates/authority", 1),
    ("crates/item", 2),
    ("crates/expression", 3),
    ("crates/oci", 1),
    ("crates/saml", 2),
    ("crates/select", 1),
    ("crates/dockerfile", 1),
    ("crates/net", 1),
    ("crates/net-sys", 2),
    ("crates/engine", 3),
    ("crates/api", 2),
    ("crates/directory", 3),
    ("crates/console", 3),
    ("gen/", 3),
    ("services/", 4),
    ("crates/gateway", 4),
    ("crates/registry", 4),
    ("crates/build", 5),
    ("crates/buildkit", 6),
    ("crates/docker", 7),
    ("crates/cloud", 8),
    ("crates/sim", 9),
    ("crates/bench", 9),
    ("crates/soak", 9),
    ("xtask", 10),
];

/// Libraries that only some crates may name.
const AT_HOME: &[(&str, &[&str])] = &[
    ("hyper", &["gateway", "cloud", "docker", "buildkit", "registry", "bench", "sim"]),
    ("hyper-util", &["gateway", "cloud", "docker", "buildkit", "registry", "bench", "sim"]),
    ("rustls", &["authority", "gateway", "cloud", "registry", "bench"]),
    ("tokio-rustls", &["gateway", "cloud", "docker", "registry", "bench"]),
    ("clap", &["cloud", "bench"]),
    ("clap_complete", &["cloud"]),
];

/// Where no library with procedural macros may be named: these crates are built the most often.
const NO_MACROS: &[&str] = &["crates/base", "crates/smithy", "crates/store", "gen/", "services/"];
const MACROS: &[&str] = &["serde", "serde_derive", "async-trait", "thiserror", "clap"];

fn place(checkout: &Checkout, package: &Value) -> String {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let root = checkout.root.to_string_lossy();
    let inside = manifest.strip_prefix(root.as_ref()).unwrap_or(manifest);
    inside.trim_start_matches('/').trim_end_matches("/Cargo.toml").to_owned()
}

fn layer(place: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(name, _)| place == *name || (name.ends_with('/') && place.starts_with(name)))
        .map(|(_, layer)| *layer)
}

/// Our own packages: those without a source.
fn ours(metadata: &Value) -> Vec<&Value> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().filter(|package| package["source"].is_null()).collect()
}

fn names(package: &Value) -> Vec<&str> {
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str())
        .collect()
}

/// Arrows between our crates. Those of tests may point anywhere: they are not in the product.
pub fn point_one_way(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    let ours = ours(&checkout.metadata);
    for package in &ours {
        let from = place(checkout, package);
        let Some(from_layer) = layer(&from) else {
            findings.push(format!("{from}: give it a layer in xtask/src/tidy/arrows.rs"));
            continue;
        };
        for name in names(package) {
            let Some(to) = ours.iter().find(|other| other["name"].as_str() == Some(name)) else {
                continue;
            };
            let to = place(checkout, to);
            if layer(&to).is_some_and(|to_layer| to_layer >= from_layer) {
                findings.push(format!("{from} -> {to}: arrows point down, see ARCHITECTURE.md"));
            }
        }
    }
    findings
}

/// Libraries that change how a crate is built or what it knows stay in their crates.
pub fn libraries_at_home(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    for package in ours(&checkout.metadata) {
        let from = place(checkout, package);
        let name = package["name"].as_str().unwrap_or_default();
        for library in names(package) {
            let home = AT_HOME.iter().find(|(owned, _)| *owned == library);
            if home.is_some_and(|(_, crates)| !crates.contains(&name)) {
                findings.push(format!("{from} names {library}, which is not its business"));
            }
            let plain = NO_MACROS.iter().any(|start| from.starts_with(start));
            if plain && MACROS.contains(&library) {
                findings.push(format!("{from} names {library}: no procedural macros here"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::checkout_of;
    use serde_json::json;
    use std::path::Path;

    fn package(name: &str, place: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "source": null, "manifest_path": format!("/r/{place}/Cargo.toml"),
               "dependencies": dependencies})
    }

    fn check(rule: super::super::Rule, packages: &[Value], expected: usize) {
        let checkout = checkout_of(Path::new("/r"), &[], json!({ "packages": packages }));
        let findings = rule(&checkout);
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn arrows_point_down() {
        let base = package("base", "crates/base", &[]);
        let s3 = |to: &str| package("s3", "services/s3", &[("base", None), (to, None)]);
        let iam = package("iam", "services/iam", &[]);
        check(point_one_way, &[base.clone(), iam.clone(), s3("bytes")], 0);
        check(point_one_way, &[base.clone(), iam.clone(), s3("iam")], 1);
        check(point_one_way, &[package("base", "crates/base", &[("iam", None)]), iam.clone()], 1);
        check(point_one_way, &[package("base", "crates/base", &[("iam", Some("dev"))]), iam], 0);
        check(point_one_way, &[package("odd", "crates/odd", &[])], 1);
    }

    #[test]
    fn libraries_stay_at_home() {
        let row = |place: &str, name: &str, library: &str| package(name, place, &[(library, None)]);
        check(libraries_at_home, &[row("crates/gateway", "gateway", "hyper")], 0);
        check(libraries_at_home, &[row("services/s3", "s3", "hyper")], 1);
        check(libraries_at_home, &[row("crates/store", "store", "serde")], 1);
        check(libraries_at_home, &[row("crates/cloud", "cloud", "serde")], 0);
    }
}
