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

    /// Prints the summary, what failed once more, since of a long run often only the end is kept, and the
    /// closing line; true when nothing failed.
    pub fn close(self) -> bool {
        let passed: u64 = self.rows.iter().map(|row| row.tally.passed).sum();
        let failed: u64 = self.rows.iter().map(|row| row.tally.failed).sum();
        println!("\nsummary, {} s in all", self.started.elapsed().as_secs());
        for row in &self.rows {
            println!("  {}", row_text(&row.name, &row.tally, row.took));
        }
        for row in self.rows.iter().filter(|row| row.tally.failed > 0) {
            println!("\nof {}:\n{}", row.name, indent(&ends(&row.tally.detail)));
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

/// How many lines of a long text stay at its beginning, and at its end.
const KEPT: (usize, usize) = (8, 30);

fn ends(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = KEPT;
    if lines.len() <= first + last {
        return text.to_owned();
    }
    let left_out = format!("... {} lines, see above ...", lines.len() - first - last);
    let (begin, end) = (&lines[..first], &lines[lines.len() - last..]);
    [begin, &[left_out.as_str()], end].concat().join("\n")
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
    fn a_long_account_keeps_both_ends() {
        let lines: Vec<String> = (1..=39).map(|n| n.to_string()).collect();
        let short = ends(&lines.join("\n"));
        assert!(short.starts_with("1\n2\n") && short.ends_with("\n38\n39"), "{short}");
        assert!(short.contains("\n8\n... 1 lines, see above ...\n10\n"), "{short}");
        assert_eq!(ends("a\nb"), "a\nb");
    }

    #[test]
    fn findings_are_failures() {
        let tally = Tally::of_findings(5, &["a".to_owned(), "b".to_owned()]);
        assert_eq!((tally.passed, tally.failed), (3, 2));
    }
}
