//! `cargo xtask soak`: the real binary killed, its power cut, its disk filled, and the simulator's
//! seeds; hours of them here, a few of each in the test command.

use std::path::Path;

use crate::report::{Report, Tally};
use crate::{black_box, install, qemu, run};

/// How much of each.
struct Amounts {
    kills: u64,
    cuts: u64,
    seeds: u64,
    /// Whether a machine with control groups of version 2 is made.
    qemu: bool,
    /// Whether the program for another processor is tried.
    arm64: bool,
}

const LONG: Amounts = Amounts { kills: 100, cuts: 100, seeds: 10_000, qemu: true, arm64: true };
const SHORT: Amounts = Amounts { kills: 5, cuts: 5, seeds: 200, qemu: false, arm64: false };
/// The exit code of a run that cannot be done by this user.
const SKIPPED: i32 = 77;

/// `[--kills N] [--cuts N] [--seeds N] [--qemu] [--arm64]`; with any of them only what they name is run.
pub fn run(root: &Path, words: &[&str]) -> Result<bool, String> {
    let amounts = parse(words)?;
    let mut report = Report::new();
    strikes(root, &mut report, &amounts);
    if words.is_empty() {
        report.step("canaries", || soak(root, "canaries", 0));
        report.step("disk-full", || soak(root, "disk-full", 0));
        report.step("planted bugs", || simulator(root, &["--bugs"]));
        report.step("install", || {
            install::everything(root)?;
            Ok(Tally::passed(1))
        });
        report.step("black-box, long versions", || black_box::suite(root, &["-m", "soak"]));
        let killed = ["-m", "not soak", "--kill"];
        report.step("black-box under kill -9", || black_box::suite(root, &killed));
    }
    Ok(report.close())
}

fn strikes(root: &Path, report: &mut Report, amounts: &Amounts) {
    if amounts.kills > 0 {
        report.step("kills", || soak(root, "kills", amounts.kills));
    }
    if amounts.cuts > 0 {
        report.step("cuts", || soak(root, "cuts", amounts.cuts));
    }
    if amounts.seeds > 0 {
        report.step("simulator", || simulator(root, &["--seeds", &amounts.seeds.to_string()]));
    }
    if amounts.qemu {
        report.step("control groups under qemu", || qemu::control_groups(root));
    }
    if amounts.arm64 {
        report.step("arm64, translated", || qemu::foreign::arm64(root));
    }
}

/// Five kills, for the test command.
pub fn kills(root: &Path) -> Result<Tally, String> {
    soak(root, "kills", SHORT.kills)
}

/// Five power cuts, and the programs without syncs that they must find.
pub fn cuts(root: &Path) -> Result<Tally, String> {
    let cuts = soak(root, "cuts", SHORT.cuts)?;
    Ok(sum(cuts, soak(root, "canaries", 0)?))
}

/// A file system that fills up.
pub fn disk_full(root: &Path) -> Result<Tally, String> {
    soak(root, "disk-full", 0)
}

/// Seeds of a thousand operations and three crashes each, and the planted bugs.
pub fn simulated(root: &Path) -> Result<Tally, String> {
    let seeds = simulator(root, &["--seeds", &SHORT.seeds.to_string()])?;
    Ok(sum(seeds, simulator(root, &["--bugs"])?))
}

fn sum(a: Tally, b: Tally) -> Tally {
    let detail = [a.detail, b.detail].join("\n").trim().to_owned();
    Tally { passed: a.passed + b.passed, failed: a.failed + b.failed, detail }
}

fn parse(words: &[&str]) -> Result<Amounts, String> {
    if words.is_empty() {
        return Ok(LONG);
    }
    let mut amounts = Amounts { kills: 0, cuts: 0, seeds: 0, qemu: false, arm64: false };
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let to = match *name {
            "--qemu" => {
                amounts.qemu = true;
                continue;
            }
            "--arm64" => {
                amounts.arm64 = true;
                continue;
            }
            "--kills" => &mut amounts.kills,
            "--cuts" => &mut amounts.cuts,
            "--seeds" => &mut amounts.seeds,
            _ => {
                return Err(format!(
                    "soak knows --kills, --cuts, --seeds, --qemu and --arm64, not {name}"
                ));
            }
        };
        let number = words.next().ok_or(format!("{name} takes a number"))?;
        *to = number.parse().map_err(|_| format!("{name} takes a number, not {number}"))?;
    }
    Ok(amounts)
}

fn soak(root: &Path, command: &str, rounds: u64) -> Result<Tally, String> {
    let binary = black_box::build(root)?;
    let (binary, rounds) = (binary.to_string_lossy(), rounds.max(1).to_string());
    let args = ["run", "--quiet", "--package", "soak", "--", command, "--binary", &binary];
    counted(root, &[&args[..], &["--rounds", &rounds]].concat())
}

fn simulator(root: &Path, extra: &[&str]) -> Result<Tally, String> {
    let args = ["run", "--quiet", "--release", "--package", "sim", "--"];
    counted(root, &[&args[..], extra].concat())
}

/// Runs a program of ours that ends with `NAME: N passed, N failed`.
fn counted(root: &Path, args: &[&str]) -> Result<Tally, String> {
    let finished = run::capture(root, &run::cargo(), args)?;
    if finished.code == Some(SKIPPED) {
        println!("    {}", finished.stdout.trim());
        return Ok(Tally::default());
    }
    let text = finished.text();
    let Some((passed, failed)) = closing_line(&finished.stdout) else {
        return Err(format!("it did not run to its end:\n{}", run::tail(&text, 60)));
    };
    print!(
        "{}",
        run::tail(&finished.stdout, 3)
            .lines()
            .fold(String::new(), |all, line| { format!("{all}    {line}\n") })
    );
    let failed = if finished.ok { failed } else { failed.max(1) };
    let detail = if failed > 0 { run::tail(&text, 60) } else { String::new() };
    Ok(Tally { passed, failed, detail })
}

pub fn closing_line(text: &str) -> Option<(u64, u64)> {
    let (_, counts) = text.lines().next_back()?.split_once(": ")?;
    let (passed, failed) = counts.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.strip_suffix(" failed")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        let check = |words: &[&str], expected: Option<[u64; 4]>| {
            let others = |a: &Amounts| u64::from(a.qemu) + 2 * u64::from(a.arm64);
            let found = parse(words).ok().map(|a| [a.kills, a.cuts, a.seeds, others(&a)]);
            assert_eq!(found, expected, "{words:?}");
        };
        check(&[], Some([100, 100, 10_000, 3]));
        check(&["--cuts", "7"], Some([0, 7, 0, 0]));
        check(&["--seeds", "1", "--kills", "2"], Some([2, 0, 1, 0]));
        check(&["--qemu", "--cuts", "7"], Some([0, 7, 0, 1]));
        check(&["--arm64"], Some([0, 0, 0, 2]));
        check(&["--cuts"], None);
        check(&["--cuts", "x"], None);
        check(&["--floods", "1"], None);
    }

    #[test]
    fn closing_lines() {
        assert_eq!(closing_line("x\nkills: 4 passed, 1 failed\n"), Some((4, 1)));
        assert_eq!(closing_line("kills: 4 passed\n"), None);
        assert_eq!(closing_line(""), None);
    }
}
