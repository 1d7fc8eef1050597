//! Runs the tests of the workspace and counts them, with cargo-nextest when it is there.

use std::path::Path;

use crate::report::Tally;
use crate::run;

pub fn tests(root: &Path) -> Result<Tally, String> {
    let nextest = run::exists("cargo-nextest");
    let args: &[&str] = if nextest {
        &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
            "--color=never",
            "--show-progress=none",
            "--status-level=fail",
            "--final-status-level=fail",
        ]
    } else {
        println!("    cargo-nextest is not installed: `cargo test` runs them, more slowly");
        &["test", "--workspace", "--no-fail-fast", "--color=never"]
    };
    let finished = run::capture(root, &run::cargo(), args)?;
    let text = finished.text();
    let counted = if nextest { count_nextest(&text) } else { count_libtest(&text) };
    let Some((passed, failed)) = counted else {
        return Err(format!("the tests did not run:\n{}", run::tail(&text, 80)));
    };
    let mut tally = Tally { passed, failed, detail: String::new() };
    if failed > 0 || !finished.ok {
        tally.failed = failed.max(1);
        tally.detail = run::tail(&text, 200);
    }
    Ok(tally)
}

/// `Summary [ 1.0s] 3 tests run: 2 passed, 1 failed, 0 skipped`
fn count_nextest(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().rev().find(|line| line.trim_start().starts_with("Summary ["))?;
    let (_, counts) = line.split_once("run:")?;
    let failed = count_before(counts, "failed") + count_before(counts, "timed out");
    Some((count_before(counts, "passed"), failed))
}

/// `test result: ok. 3 passed; 0 failed; ...`, once a binary.
fn count_libtest(text: &str) -> Option<(u64, u64)> {
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("test result: ")).collect();
    let sum = |word: &str| lines.iter().map(|line| count_before(line, word)).sum();
    (!lines.is_empty()).then(|| (sum("passed"), sum("failed")))
}

/// The number that stands before a word, or zero.
fn count_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map(|(before, _)| before.trim_end()).unwrap_or_default();
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let nextest = |line: &str| count_nextest(&format!("x\n{line}\ny"));
        assert_eq!(
            nextest("     Summary [   0.011s] 12 tests run: 12 passed, 0 skipped"),
            Some((12, 0))
        );
        assert_eq!(
            nextest(
                "Summary [ 1s] 5 tests run: 2 passed (1 slow), 2 failed, 1 timed out, 9 skipped"
            ),
            Some((2, 3))
        );
        assert_eq!(nextest("error: could not compile"), None);
        let libtest = "test result: ok. 3 passed; 0 failed; 0 ignored\n\
                       test result: FAILED. 1 passed; 2 failed; 0 ignored\n";
        assert_eq!(count_libtest(libtest), Some((4, 2)));
        assert_eq!(count_libtest("error"), None);
    }
}
