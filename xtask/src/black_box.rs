//! Builds the binary and drives it with real clients: the pytest suite of `tests/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Tally;
use crate::{compat, install, run};

/// Builds `cumulet` and gives its path. The dev profile: the libraries are already built for the unit
/// tests, and the clients are slower than the server in any profile.
pub fn build(root: &Path) -> Result<PathBuf, String> {
    build_program(root, "cloud", "cumulet")
}

/// The same of another package.
pub fn build_program(root: &Path, package: &str, program: &str) -> Result<PathBuf, String> {
    let args = ["build", "--package", package, "--bin", program, "--message-format=json"];
    let finished = run::capture(root, &run::cargo(), &args)?;
    if !finished.ok {
        return Err(format!("{program} does not build:\n{}", run::tail(&finished.stderr, 60)));
    }
    executable(&finished.stdout).ok_or("cargo build named no executable".to_owned())
}

/// The last executable that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let mut paths = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    paths.next_back()
}

/// Runs the suite; `extra` are arguments for pytest. It prints as it goes.
pub fn suite(root: &Path, extra: &[&str]) -> Result<Tally, String> {
    suite_of(root, &build(root)?, extra)
}

/// With a program that somebody else has built.
pub fn suite_of(root: &Path, binary: &Path, extra: &[&str]) -> Result<Tally, String> {
    let python = install::python(root);
    if !python.is_file() {
        return Err("there is no .venv: run `cargo xtask install` first".to_owned());
    }
    let results = std::env::temp_dir().join(format!("cumulet-results-{}.xml", std::process::id()));
    // Only a whole run says what is tested.
    let chosen = ["-k", "--kill", "--co", "--lf", "-x"];
    let whole = !extra.iter().any(|word| chosen.contains(word) || word.contains(".py"));
    let operations = if whole { compat::seen_path(root) } else { PathBuf::new() };
    let status = Command::new(&python)
        .args(["-m", "pytest", "-q", "--no-header", "--junitxml"])
        .arg(&results)
        .args(extra)
        .current_dir(root.join("tests"))
        .env("CUMULET_BIN", binary)
        .env("CUMULET_XTASK", std::env::current_exe().unwrap_or_default())
        .env("CUMULET_OPERATIONS", &operations)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .map_err(|e| format!("cannot start pytest: {e}"))?;
    let text = std::fs::read_to_string(&results)
        .map_err(|e| format!("pytest ({status}) left no results: {e}"))?;
    let _ = std::fs::remove_file(&results);
    let mut tally = count(&text).ok_or(format!("pytest ({status}) left unreadable results"))?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
        tally.detail = format!("pytest ended with {status}");
    }
    Ok(tally)
}

/// A skipped test is a test that did not pass: the suite has none on purpose.
fn count(junit: &str) -> Option<Tally> {
    let (_, suite) = junit.split_once("<testsuite ")?;
    let number = |name: &str| -> Option<u64> {
        let (_, rest) = suite.split_once(&format!(" {name}=\""))?;
        rest.split_once('"')?.0.parse().ok()
    };
    let (failures, errors, skipped) = (number("failures")?, number("errors")?, number("skipped")?);
    let failed = failures + errors + skipped;
    let detail = if failed > 0 {
        let names = failures_in(suite).join("\n");
        format!("{failures} failures, {errors} errors, {skipped} skipped\n{names}")
    } else {
        String::new()
    };
    Some(Tally { passed: number("tests")?.saturating_sub(failed), failed, detail })
}

/// `file::test: message` of each that did not pass.
fn failures_in(suite: &str) -> Vec<String> {
    let attribute = |text: &str, name: &str| -> Option<String> {
        let (_, rest) = text.split_once(&format!(" {name}=\""))?;
        let (value, _) = rest.split_once('"')?;
        let plain = value.replace("&#10;", "\n").replace("&quot;", "\"").replace("&lt;", "<");
        Some(plain.replace("&gt;", ">").replace("&amp;", "&"))
    };
    let one = |case: &str| -> Option<String> {
        let kinds = ["<failure", "<error", "<skipped"];
        let at = kinds.iter().filter_map(|kind| case.find(kind)).min()?;
        let (head, rest) = case.split_at(at);
        let (file, test) = (attribute(head, "classname")?, attribute(head, "name")?);
        let message = attribute(rest, "message").unwrap_or_default();
        let short: Vec<&str> = message.lines().take(4).collect();
        Some(format!("{file}::{test}: {}", short.join("\n  ")))
    };
    suite.split("<testcase ").skip(1).filter_map(|case| one(&format!(" {case}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_failed_are_named() {
        let suite = r#"tests="2"><testcase classname="test_a" name="t1" time="1" /><testcase classname="test_b" name="t2[x]" time="2"><failure message="assert &quot;a&quot; &lt; 1&#10;more">def t2(): ..</failure></testcase>"#;
        assert_eq!(failures_in(suite), ["test_b::t2[x]: assert \"a\" < 1\n  more"]);
    }

    #[test]
    fn a_skipped_test_has_not_passed() {
        let junit = r#"<testsuites name="t"><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1">"#;
        let tally = count(junit).expect("read");
        assert_eq!((tally.passed, tally.failed), (4, 6));
        assert_eq!(count("<x/>"), None);
    }

    #[test]
    fn the_executable_is_found_among_messages() {
        let messages = "{\"executable\":null}\n{\"executable\":\"/t/cumulet\"}\n{\"reason\":\"build-finished\"}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/cumulet")));
    }
}
