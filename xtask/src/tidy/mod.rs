//! Tidy: rules about the checkout itself that no compiler checks.
//!
//! Each rule reads the tracked files or `cargo metadata` and gives its findings, one line each, that
//! say what to do. A rule with findings is a failed test.

mod arrows;
mod fuzz;
mod kept;
mod licences;
mod manifests;
mod papers;
mod text;

use std::path::Path;

use serde_json::Value;

use crate::report::Tally;
use crate::run;

/// What the rules look at.
pub struct Checkout<'a> {
    root: &'a Path,
    /// Tracked and new files, relative to the root.
    files: Vec<String>,
    metadata: Value,
}

impl Checkout<'_> {
    fn read(&self, file: &str) -> String {
        // A file that is deleted but not yet committed is listed and absent; binary files have no
        // lines that a rule could judge.
        std::fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }
}

type Rule = fn(&Checkout) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("dependency arrows", arrows::point_one_way),
    ("libraries at home", arrows::libraries_at_home),
    ("versions only in the root manifest", manifests::versions_in_root),
    ("permissive licences", licences::permissive),
    ("file length", text::length),
    ("nothing left undone", text::undone),
    ("no sleeping tests", text::sleeps),
    ("NOTICE names the models", papers::notice),
    ("README opens with the two commands", papers::readme),
    ("decisions numbered", papers::decisions),
    ("the book is whole", papers::book),
    ("fuzz targets", fuzz::targets),
    ("parsers are fuzzed", fuzz::parsers),
    ("what is kept is read for ever", kept::rows),
    ("counters are counted", kept::counters),
];

/// Runs every rule.
pub fn check(root: &Path) -> Result<Tally, String> {
    let listed =
        run::must(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let metadata = run::must(root, &run::cargo(), &["metadata", "--format-version", "1"])?;
    let checkout = Checkout {
        root,
        files: listed.lines().map(str::to_owned).collect(),
        metadata: serde_json::from_str(&metadata).map_err(|e| format!("cargo metadata: {e}"))?,
    };
    let mut findings = Vec::new();
    for (name, rule) in RULES {
        let found = rule(&checkout);
        if !found.is_empty() {
            findings.push(format!("{name}:\n  {}", found.join("\n  ")));
        }
    }
    Ok(Tally::of_findings(RULES.len() as u64, &findings))
}

#[cfg(test)]
pub(crate) fn checkout_of(root: &Path, files: &[&str], metadata: Value) -> Checkout<'static> {
    let root: &'static Path = Box::leak(root.to_path_buf().into_boxed_path());
    Checkout { root, files: files.iter().map(|f| f.to_string()).collect(), metadata }
}
