//! `cargo xtask compat`: the tables of docs/compat.md, from the tests that passed.
//!
//! A whole run of the black-box suite leaves in `target/operations.json` which operations were done for
//! which tests (`tests/conftest.py` reads them from the access log). A test counts for an operation that
//! was answered without an error in an account of the test's own, on the cloud that all tests share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::codegen::{self, Overlay};
use crate::report::Tally;

const BEGIN: &str = "<!-- written by `cargo xtask compat`: begin -->\n";
const END: &str = "<!-- written by `cargo xtask compat`: end -->\n";

/// Service to operation to tests.
type Seen = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Where a run of the suite leaves what it saw.
pub fn seen_path(root: &Path) -> PathBuf {
    root.join("target/operations.json")
}

fn seen(root: &Path) -> Result<Seen, String> {
    let path = seen_path(root);
    let text = fs::read_to_string(&path).map_err(|e| {
        format!(
            "{}: {e}; `cargo xtask black-box` without a choice of tests makes it",
            path.display()
        )
    })?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// A service that is more than its model.
struct Served {
    name: String,
    of: usize,
    overlay: Overlay,
}

fn served(root: &Path) -> Result<Vec<Served>, String> {
    let table = root.join("crates/cloud/src/services.rs");
    let table = fs::read_to_string(&table).map_err(|e| format!("{}: {e}", table.display()))?;
    let all = codegen::overlays(root)?.into_iter();
    let here = all.filter(|(name, ..)| !table.contains(&format!("gen_{name}::Handler(ToCome)")));
    Ok(here.map(|(name, of, overlay)| Served { name, of, overlay }).collect())
}

/// Writes the tables anew.
pub fn write(root: &Path) -> Result<(), String> {
    let path = root.join("docs/compat.md");
    let page = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (before, _, after) = split(&page)?;
    let tables = tables(&served(root)?, &seen(root)?);
    fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}"))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Whether all that the page says was seen in this run: one test for each operation of its tables. How
/// many tests there were may differ, and what is new may be missing, until somebody writes it again.
pub fn check(root: &Path) -> Result<Tally, String> {
    let path = root.join("docs/compat.md");
    let page = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (_, tables, _) = split(&page)?;
    let findings = untrue(tables, &served(root)?, &seen(root)?);
    Ok(Tally::of_findings(tables.lines().count() as u64, &findings))
}

fn untrue(tables: &str, services: &[Served], seen: &Seen) -> Vec<String> {
    let mut findings = Vec::new();
    let mut service = "";
    for line in tables.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            service = name;
        }
        let Some((operation, rest)) = line.strip_prefix("| `").and_then(|l| l.split_once('`'))
        else {
            continue;
        };
        let here = services.iter().find(|one| one.name == service);
        if here.is_none_or(|one| !one.overlay.operations.contains_key(operation)) {
            findings.push(format!("docs/compat.md: {service} does not serve {operation}"));
        } else if !rest.starts_with(" | none |")
            && seen.get(service).is_none_or(|names| !names.contains_key(operation))
        {
            findings.push(format!("docs/compat.md: no test that passed has {service} {operation}"));
        }
    }
    findings
}

fn split(page: &str) -> Result<(&str, &str, &str), String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (tables, after) = rest.split_once(END)?;
        Some((before, tables, after))
    });
    parts.ok_or_else(|| format!("docs/compat.md has no lines {BEGIN}{END}"))
}

fn tables(services: &[Served], seen: &Seen) -> String {
    let mut out = String::new();
    let none = BTreeMap::new();
    for Served { name, of, overlay } in services {
        let tests = seen.get(name).unwrap_or(&none);
        let operations = &overlay.operations;
        let tested = operations.keys().filter(|name| tests.contains_key(*name)).count();
        let _ = write!(
            out,
            "\n### {name}\n\n{} of {of} operations are served, {tested} of them in tests that passed.\n\n\
             | operation | tests | acted on | stored | refused |\n|---|---|---|---|---|\n",
            operations.len()
        );
        for (operation, row) in operations {
            let _ = writeln!(
                out,
                "| `{operation}` | {} | {} | {} | {} |",
                count(tests.get(operation)),
                row.acted.join(", "),
                row.stored.join(", "),
                row.refused.join(", "),
            );
        }
    }
    out.push('\n');
    out
}

/// `12 in 3 files`.
fn count(tests: Option<&BTreeSet<String>>) -> String {
    let Some(tests) = tests.filter(|tests| !tests.is_empty()) else {
        return "none".into();
    };
    let files: BTreeSet<&str> =
        tests.iter().map(|test| test.split_once("::").map_or(test.as_str(), |(f, _)| f)).collect();
    match files.len() {
        1 => format!("{} in 1 file", tests.len()),
        many => format!("{} in {many} files", tests.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pairs: &[(&str, &str)]) -> Seen {
        let names = pairs.iter().map(|(name, test)| {
            ((*name).to_owned(), BTreeSet::from([(*test).to_owned(), "test_b.py::x".to_owned()]))
        });
        BTreeMap::from([("s3".to_owned(), names.collect())])
    }

    fn services() -> Vec<Served> {
        let overlay: Overlay = toml::from_str(
            "[operations.GetObject]\nkind = \"read\"\nacted = [\"Key\"]\nrefused = [\"Odd\"]\n\
             [operations.PutObject]\nkind = \"write\"\n",
        )
        .expect("an overlay");
        vec![Served { name: "s3".into(), of: 9, overlay }]
    }

    #[test]
    fn what_the_page_says_must_be_so() {
        let both = seen(&[("GetObject", "test_a.py::x"), ("PutObject", "test_b.py::y")]);
        let one = seen(&[("GetObject", "test_a.py::x")]);
        let full = tables(&services(), &both);
        assert!(full.contains("2 of 9 operations are served, 2 of them in tests that passed."));
        assert!(full.contains("| `GetObject` | 2 in 2 files | Key |  | Odd |\n"), "{full}");
        assert!(full.contains("| `PutObject` | 2 in 1 file |"), "{full}");
        assert_eq!(untrue(&full, &services(), &both), Vec::<String>::new());
        let found = untrue(&full, &services(), &one);
        assert_eq!(found, ["docs/compat.md: no test that passed has s3 PutObject"]);
        let less = tables(&services(), &one);
        assert!(less.contains("| `PutObject` | none |"));
        assert_eq!(untrue(&less, &services(), &one), Vec::<String>::new());
        let gone = untrue("### s3\n| `Nothing` | none |\n", &services(), &one);
        assert_eq!(gone, ["docs/compat.md: s3 does not serve Nothing"]);
    }

    #[test]
    fn the_rest_of_the_page_stays() {
        let page = format!("a\n{BEGIN}old\n{END}z\n");
        assert_eq!(split(&page), Ok(("a\n", "old\n", "z\n")));
        assert!(split("a").is_err());
    }
}
