//! What the simulator cannot show: the built binary, its threads and the kernel below it.
//!
//! `kills` ends it with SIGKILL under load, `cuts` does the same on a file system of ours that then
//! forgets or tears what was not synced (a third of the rounds begin with a kill that forgets nothing, so
//! that the next start rests on what only a later cut may take), `disk-full` takes its space away, `canaries` takes its syncs
//! away and fails unless that is found. Every answer is held against an oracle, every object says in
//! every sector which write it is of. A seed fixes what the clients do and what a cut takes, not how
//! the threads of a real process run: a failure comes back with the same seed often, not always.
//!
//! Deliberately absent: faults of single reads and writes, and errors of sync calls; these are the
//! simulator's, where they can be aimed.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of ours: its files, time, threads and processes are real"
)]

mod body;
mod client;
mod disk_full;
mod fuse;
mod guest;
mod items;
mod load;
mod oracle;
mod rounds;
mod serial;
mod server;
mod volume;

use rounds::{Outcome, Plan, Strike};
use server::Program;
use std::path::PathBuf;
use std::process::ExitCode;
use volume::Ignore;

const HELP: &str = "\
soak kills|cuts|disk-full|canaries --binary CUMULET [--rounds N] [--seed N]
     [--ignore-syncs files|names|all] [--durability synced|relaxed]

kills      SIGKILL under load, start again, look at every key
cuts       the same on a file system that drops and tears what was not synced, with kills in
           between that drop nothing; needs root
disk-full  fills a small file system, then makes room; needs root
canaries   cuts of a program without its syncs, each of which must be found; needs root
";
/// The end of a run that cannot be done here, with the reason printed.
const SKIPPED: u8 = 77;
const CANARY_ROUNDS_MAX: u64 = 40;

#[derive(Debug)]
struct Arguments {
    command: String,
    program: Program,
    rounds: u64,
    seed: u64,
    ignore: Ignore,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut found = Arguments {
        command: words.next().ok_or(HELP)?,
        program: Program { binary: PathBuf::new(), flags: Vec::new() },
        rounds: 5,
        seed: 1,
        ignore: Ignore::Nothing,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} takes a value\n{HELP}"))?;
        let number = || value.parse().map_err(|_| format!("{word} takes a number, not {value}"));
        match word.as_str() {
            "--binary" => found.program.binary = PathBuf::from(value),
            "--rounds" => found.rounds = number()?,
            "--seed" => found.seed = number()?,
            "--durability" => found.program.flags = vec![word, value],
            "--ignore-syncs" => {
                found.ignore = match value.as_str() {
                    "files" => Ignore::Files,
                    "names" => Ignore::Names,
                    "all" => Ignore::All,
                    _ => return Err(HELP.to_owned()),
                }
            }
            _ => return Err(HELP.to_owned()),
        }
    }
    let binary = std::fs::canonicalize(&found.program.binary);
    found.program.binary = binary.map_err(|e| format!("--binary: {e}"))?;
    Ok(found)
}

fn main() -> ExitCode {
    // Not as the first process of anybody's container.
    if std::process::id() == 1 && std::env::args().next().as_deref() == Some("/init") {
        return guest::first_process();
    }
    if std::env::args().nth(1).as_deref() == Some("guest") {
        return exit_code(guest::checks());
    }
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let root = rustix::process::geteuid().is_root();
    if arguments.command != "kills" && !root {
        println!("{}: skipped: mounting a file system needs root", arguments.command);
        return ExitCode::from(SKIPPED);
    }
    if let Err(error) = mounts_of_our_own(root) {
        // Then a run that is killed leaves its mounts behind, and nothing else is amiss.
        eprintln!("soak: no mount namespace of its own: {error}");
    }
    let done = match arguments.command.as_str() {
        "kills" => strikes(&arguments, Strike::Kill),
        "cuts" => strikes(&arguments, Strike::Cut(arguments.ignore)),
        "disk-full" => disk_full(&arguments),
        "canaries" => canaries(&arguments),
        _ => Err(HELP.to_owned()),
    };
    exit_code(done)
}

fn exit_code(done: Result<bool, String>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("soak: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Set for the run within [`mounts_of_our_own`].
const INSIDE: &str = "CUMULET_SOAK_INSIDE";

/// Goes on in a mount namespace of its own, so that a run that is killed leaves nothing mounted. By
/// `unshare`, whose process this becomes: the call itself is one that Rust holds to be unsafe.
fn mounts_of_our_own(root: bool) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    if !root || std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "--"]).arg(std::env::current_exe()?);
    Err(unshare.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec())
}

fn plan(arguments: &Arguments, strike: Strike) -> Plan {
    Plan {
        program: arguments.program.clone(),
        strike,
        rounds: arguments.rounds,
        seed: arguments.seed,
        until_failure: false,
        quiet: false,
    }
}

fn strikes(arguments: &Arguments, strike: Strike) -> Result<bool, String> {
    let outcome = rounds::run(&plan(arguments, strike))?;
    let Outcome { acknowledged, busy, slowest_start, loss, .. } = &outcome;
    println!(
        "{acknowledged} changes acknowledged, {busy} answered busy; slowest start {} ms",
        slowest_start.as_millis()
    );
    if strike != Strike::Kill {
        println!(
            "not synced when the power went: {} sectors lost, {} kept; {} names lost, {} kept",
            loss.sectors_lost, loss.sectors_kept, loss.names_lost, loss.names_kept
        );
    }
    println!("{}: {} passed, {} failed", arguments.command, outcome.passed, outcome.failed);
    Ok(outcome.failed == 0)
}

fn disk_full(arguments: &Arguments) -> Result<bool, String> {
    let result = disk_full::run(&arguments.program);
    match &result {
        Ok(text) => println!("{text}\ndisk-full: 1 passed, 0 failed"),
        Err(text) => println!("{text}\ndisk-full: 0 passed, 1 failed"),
    }
    Ok(result.is_ok())
}

fn canaries(arguments: &Arguments) -> Result<bool, String> {
    let relaxed = vec!["--durability".to_owned(), "relaxed".to_owned()];
    let all = [
        ("files without their syncs", Ignore::Files, Vec::new()),
        ("names without their syncs", Ignore::Names, Vec::new()),
        ("no syncs at all", Ignore::All, Vec::new()),
        ("--durability relaxed", Ignore::Nothing, relaxed),
    ];
    let mut found = 0;
    for (name, ignore, flags) in &all {
        let mut plan = plan(arguments, Strike::Cut(*ignore));
        plan.program.flags.clone_from(flags);
        (plan.rounds, plan.until_failure, plan.quiet) = (CANARY_ROUNDS_MAX, true, true);
        match rounds::run(&plan)?.first_failure {
            Some(failure) => {
                println!("{name}: found: {}", failure.lines().next().unwrap_or_default());
                found += 1;
            }
            None => println!("{name}: NOT FOUND in {CANARY_ROUNDS_MAX} cuts"),
        }
    }
    println!("canaries: {found} passed, {} failed", all.len() - found);
    Ok(found == all.len())
}
