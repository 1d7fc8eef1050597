//! The papers of the project: NOTICE, README.md, docs/decisions.

use std::collections::BTreeSet;

use super::Checkout;

/// Every model says where it is from, and NOTICE says under which licence that is.
pub fn notice(checkout: &Checkout) -> Vec<String> {
    let notice = checkout.read("NOTICE");
    let mut findings = Vec::new();
    for file in &checkout.files {
        let overlay = file.starts_with("models/") && file.ends_with(".toml");
        if !overlay {
            continue;
        }
        let table: toml::Table = checkout.read(file).parse().unwrap_or_default();
        let Some(source) = table.get("source").and_then(|source| source.as_str()) else {
            findings.push(format!("{file}: no `source`"));
            continue;
        };
        let named = notice.lines().any(|line| line.contains(source) && line.contains("Apache-2.0"));
        if !named {
            findings.push(format!("NOTICE has no line with {source} (of {file}) and its licence"));
        }
    }
    findings
}

pub fn readme(checkout: &Checkout) -> Vec<String> {
    let readme = checkout.read("README.md");
    let first: Vec<&str> = readme.lines().take(15).collect();
    ["cargo run --release", "cargo xtask test"]
        .iter()
        .filter(|command| !first.iter().any(|line| line.starts_with(*command)))
        .map(|command| format!("`{command}` is not among the first lines of README.md"))
        .collect()
}

/// Each page of the book stands in its contents, each of these is there, and what a page takes from
/// elsewhere is there too.
pub fn book(checkout: &Checkout) -> Vec<String> {
    const PAGES: &str = "docs/book/src/";
    let contents = checkout.read("docs/book/src/SUMMARY.md");
    let listed: BTreeSet<&str> =
        contents.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let is_page = |file: &&str| file.ends_with(".md") && *file != "SUMMARY.md";
    let pages: BTreeSet<&str> =
        checkout.files.iter().filter_map(|file| file.strip_prefix(PAGES)).filter(is_page).collect();
    let missing =
        listed.difference(&pages).map(|page| format!("{PAGES}{page} is listed and absent"));
    let lost = pages.difference(&listed).map(|page| format!("{PAGES}{page} is not in SUMMARY.md"));
    let mut findings: Vec<String> = missing.chain(lost).collect();
    for page in &pages {
        let text = checkout.read(&format!("{PAGES}{page}"));
        let taken = text.split("{{#include ").skip(1).filter_map(|rest| rest.split("}}").next());
        let above = std::path::Path::new(page).parent().unwrap_or(std::path::Path::new(""));
        let folder = checkout.root.join(PAGES).join(above);
        findings.extend(
            taken
                .filter(|path| !folder.join(path).is_file())
                .map(|path| format!("{PAGES}{page}: there is no {path}")),
        );
    }
    findings
}

/// `docs/decisions/NNN-title.md`, each number once.
pub fn decisions(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    let mut numbers = BTreeSet::new();
    for file in &checkout.files {
        let Some(name) = file.strip_prefix("docs/decisions/") else { continue };
        if name == "README.md" {
            continue;
        }
        match number(name) {
            Some(number) if numbers.insert(number.to_owned()) => {}
            Some(number) => findings.push(format!("{file}: {number} is taken, use the next")),
            None => findings.push(format!("{file}: name it NNN-title.md")),
        }
    }
    findings
}

fn number(name: &str) -> Option<&str> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let good = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()) && !title.is_empty();
    good.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::checkout_of;
    use serde_json::Value;
    use std::path::Path;

    #[test]
    fn decisions_have_numbers() {
        let check = |files: &[&str], expected: usize| {
            let files: Vec<String> = files.iter().map(|f| format!("docs/decisions/{f}")).collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let found = decisions(&checkout_of(Path::new("/nowhere"), &files, Value::Null));
            assert_eq!(found.len(), expected, "{found:?}");
        };
        check(&["001-log.md", "002-codec.md", "README.md"], 0);
        check(&["001-log.md", "001-codec.md"], 1);
        check(&["1-log.md", "log.md", "001-.md"], 3);
    }

    #[test]
    fn a_readme_without_the_commands_is_found() {
        assert_eq!(readme(&checkout_of(Path::new("/nowhere"), &[], Value::Null)).len(), 2);
    }
}
