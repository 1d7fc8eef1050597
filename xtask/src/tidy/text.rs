//! Rules on the text of files: not too long, nothing left for later, no test that sleeps.

use super::Checkout;

const LINES_MAX: usize = 1000;
const WRITTEN: &[&str] = &[".rs", ".py", ".js", ".mjs", ".toml", ".md", ".sh", ".html", ".css"];

/// Generated files are as long as their models.
fn written_by_hand(file: &str) -> bool {
    let generated = ["gen/", "models/"].iter().any(|dir| file.starts_with(dir));
    !generated && WRITTEN.iter().any(|end| file.ends_with(end))
}

pub fn length(checkout: &Checkout) -> Vec<String> {
    let mut findings = Vec::new();
    for file in checkout.files.iter().filter(|file| written_by_hand(file)) {
        let lines = checkout.read(file).lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{file}: {lines} lines, split it (at most {LINES_MAX})"));
        }
    }
    findings
}

fn lines_with(checkout: &Checkout, words: &[String], which: fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in checkout.files.iter().filter(|file| which(file)) {
        for (at, line) in checkout.read(file).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!("{file}:{}: {word}", at + 1));
            }
        }
    }
    findings
}

/// The words are put together so that this file passes its own rule.
pub fn undone(checkout: &Checkout) -> Vec<String> {
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["to", "do!("], ["unimpl", "emented!("]]
            .map(|halves| halves.concat());
    lines_with(checkout, &words, written_by_hand)
}

/// Where a program watches something over time and clippy has been told the reason.
const WATCHES: &[&str] = &["crates/bench/", "crates/cloud/", "crates/soak/"];

/// Tests wait on a state with a deadline.
pub fn sleeps(checkout: &Checkout) -> Vec<String> {
    let rust = [["thread::", "sleep("].concat()];
    let mut findings = lines_with(checkout, &rust, |file| {
        file.ends_with(".rs") && !WATCHES.iter().any(|place| file.starts_with(place))
    });
    let python = [["time.", "sleep("].concat(), ["asyncio.", "sleep("].concat()];
    findings.extend(lines_with(checkout, &python, |file| {
        file.starts_with("tests/") && file.ends_with(".py")
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Rule, checkout_of};
    use serde_json::Value;

    fn check(rule: Rule, name: &str, text: &str, expected: usize) {
        let dir = std::env::temp_dir().join(format!("cumulet-tidy-{}", std::process::id()));
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        let findings = rule(&checkout_of(&dir, &[name], Value::Null));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(findings.len(), expected, "{name} {findings:?}");
    }

    #[test]
    fn long_files() {
        check(length, "long/a.rs", &"\n".repeat(1000), 0);
        check(length, "long/b.rs", &"\n".repeat(1001), 1);
        check(length, "gen/c.rs", &"\n".repeat(1001), 0);
    }

    #[test]
    fn words_of_later() {
        check(undone, "words/a.rs", &["// TO", "DO: later"].concat(), 1);
        check(undone, "words/b.md", "nothing to do here", 0);
    }

    #[test]
    fn sleeping_tests() {
        let sleep = ["time.", "sleep(1)"].concat();
        check(sleeps, "tests/a.py", &sleep, 1);
        check(sleeps, "tests/b.md", &sleep, 0);
        let sleep = ["std::thread::", "sleep(d)"].concat();
        check(sleeps, "crates/c.rs", &sleep, 1);
        check(sleeps, "crates/bench/src/c.rs", &sleep, 0);
    }
}
