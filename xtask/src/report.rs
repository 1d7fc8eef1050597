//! The account that a run of many steps gives of itself: a line a step, a summary, one closing line.

use std::time::{Duration, Instant};

/// How many tests of a step passed and failed, and what to print of the failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub detail: String,
}

impl Tally {
    pub fn passed(count: u64) -> Tally {
        Tally { passed: count, ..Tally::default() }
    }

    /// One test per finding; with none, `checked` tests passed.
    pub fn of_findings(checked: u64, findings: &[String]) -> Tally {
        let failed = findings.len() as u64;
        Tally { passed: checked.saturating_sub(failed), failed, detail: findings.join("\n") }
    }
}

struct Row {
    name: String,
    tally: Tally,
    took: Duration,
}

/// Collects the steps of one run.
pub struct Report {
    started: Instant,
    rows: Vec<Row>,
}

impl Report {
    pub fn new() -> Report {
        Report { started: Instant::now(), rows: Vec::new() }
    }

    /// Runs one step, prints its line, and goes on after a failure: a person wants to see them all.
    /// Returns whether every test of it passed.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Tally, String>) -> bool {
        println!("[{:>4}s] {name} ...", self.started.elapsed().as_secs());
        let started = Instant::now();
        let tally = work().unwrap_or_else(|e| Tally { passed: 0, failed: 1, detail: e });
        let took = started.elapsed();
        let ok = tally.failed == 0;
        if !ok {
            println!("{}", indent(&tally.detail));
        }
        println!("[{:>4}s] {}", self.started.elapsed().as_secs(), row_text(name, &tally, took));
        self.rows.push(Row { name: name.to_owned(), tally, took });
        ok
    }

    /// Prints the summary and the closing line; true when nothing failed.
    pub fn close(self) -> bool {
        let passed: u64 = self.rows.iter().map(|row| row.tally.passed).sum();
        let failed: u64 = self.rows.iter().map(|row| row.tally.failed).sum();
        println!("\nsummary, {} s in all", self.started.elapsed().as_secs());
        for row in &self.rows {
            println!("  {}", row_text(&row.name, &row.tally, row.took));
        }
        println!("{passed} passed, {failed} failed");
        failed == 0
    }
}

fn row_text(name: &str, tally: &Tally, took: Duration) -> String {
    let state = if tally.failed == 0 { "ok" } else { "FAILED" };
    let mut text = format!("{state:<6} {name}: {} passed", tally.passed);
    if tally.failed > 0 {
        text.push_str(&format!(", {} failed", tally.failed));
    }
    text.push_str(&format!(" ({:.1} s)", took.as_secs_f64()));
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_cannot_run_is_one_failure() {
        let mut report = Report::new();
        assert!(report.step("good", || Ok(Tally::passed(3))));
        assert!(!report.step("bad", || Err("no disk".to_owned())));
        assert!(!report.close());
    }

    #[test]
    fn findings_are_failures() {
        let tally = Tally::of_findings(5, &["a".to_owned(), "b".to_owned()]);
        assert_eq!((tally.passed, tally.failed), (3, 2));
    }
}
