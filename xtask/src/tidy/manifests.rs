//! Manifests: an external crate's version and features stand in the root, members only name it.

use toml::Table;

use super::Checkout;

/// Every dependency of a member says `workspace = true`. `fuzz/` is a workspace of its own, which
/// cargo-fuzz wants.
pub fn versions_in_root(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &checkout.files {
        let member = file.ends_with("/Cargo.toml") && !file.starts_with("fuzz/");
        if !member {
            continue;
        }
        match checkout.read(file).parse::<Table>() {
            Ok(manifest) => {
                for name in versioned(&manifest) {
                    findings.push(format!(
                        "{file}: {name} must be `workspace = true`, its version in the root"
                    ));
                }
            }
            Err(e) => findings.push(format!("{file}: {e}")),
        }
    }
    findings
}

fn versioned(manifest: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for key in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if let Some(table) = manifest.get(key).and_then(|value| value.as_table()) {
            names.extend(versioned_in(table));
        }
    }
    // [target.'cfg(..)'.dependencies]
    if let Some(targets) = manifest.get("target").and_then(|value| value.as_table()) {
        names.extend(targets.values().filter_map(|t| t.as_table()).flat_map(versioned));
    }
    names
}

fn versioned_in(table: &Table) -> Vec<String> {
    let inherits =
        |value: &toml::Value| value.get("workspace").and_then(|w| w.as_bool()) == Some(true);
    table.iter().filter(|(_, value)| !inherits(value)).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str, expected: &[&str]) {
        assert_eq!(versioned(&manifest.parse().expect("toml")), expected);
    }

    #[test]
    fn only_the_root_has_versions() {
        check("[dependencies]\na.workspace = true\nb = { workspace = true }", &[]);
        check("[dependencies]\na = \"1\"", &["a"]);
        check("[dev-dependencies]\na = { version = \"1\", features = [\"x\"] }", &["a"]);
        check("[target.'cfg(unix)'.dependencies]\na = \"1\"", &["a"]);
    }
}
