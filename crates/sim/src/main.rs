//! `sim [--seed N] [--seeds N] [--operations N] [--bugs]`: runs seeds and says what it found.

use sim::{Bug, Options, run};
use std::io::Write as _;
use std::process::ExitCode;

const HELP: &str = "\
sim [--seed FIRST] [--seeds COUNT] [--operations N] [--crashes N] [--bugs]

Runs the cloud on one thread from seeds, with crashes, and checks every answer.
--bugs runs it with each planted bug instead, until a seed finds it.
";

struct Arguments {
    first: u64,
    seeds: u64,
    operations: u64,
    crashes: u64,
    bugs: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut out = Arguments { first: 1, seeds: 1, operations: 1_000, crashes: 3, bugs: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let text = words.next().ok_or(format!("{word} takes a number"))?;
            text.parse().map_err(|_| format!("{word} takes a number, not {text}"))
        };
        match word.as_str() {
            "--seed" => out.first = number()?,
            "--seeds" => out.seeds = number()?,
            "--operations" => out.operations = number()?,
            "--crashes" => out.crashes = number()?,
            "--bugs" => out.bugs = true,
            _ => return Err(HELP.into()),
        }
    }
    Ok(out)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let ok = if arguments.bugs { find_bugs(&arguments) } else { run_seeds(&arguments) };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(arguments: &Arguments, seed: u64) -> Options {
    Options { operations: arguments.operations, crashes: arguments.crashes, ..Options::new(seed) }
}

fn run_seeds(arguments: &Arguments) -> bool {
    let (mut passed, mut failed) = (0u64, 0u64);
    let mut out = std::io::stdout();
    for seed in arguments.first..arguments.first + arguments.seeds {
        match run(options(arguments, seed)) {
            Ok(report) => {
                passed += 1;
                if arguments.seeds == 1 {
                    println!("{report:?}");
                }
            }
            Err(message) => {
                failed += 1;
                println!("seed {seed}: {message}");
            }
        }
        if passed % 50 == 0 {
            let _ = out.flush();
        }
    }
    // Two runs of a seed must not differ in anything.
    let twice = [0, 1].map(|_| run(options(arguments, arguments.first)).ok());
    if twice[0] != twice[1] {
        println!("seed {} ran differently the second time", arguments.first);
        failed += 1;
    }
    println!("simulator: {passed} passed, {failed} failed");
    failed == 0
}

fn find_bugs(arguments: &Arguments) -> bool {
    let mut missed = 0;
    for bug in Bug::ALL {
        let seeds = arguments.first..arguments.first + arguments.seeds.max(50);
        let found = seeds.into_iter().find_map(|seed| {
            let options = Options { bug: Some(bug), ..options(arguments, seed) };
            run(options).err().map(|message| (seed, message))
        });
        match found {
            Some((seed, message)) => println!("{bug:?}: found by seed {seed}: {message}"),
            None => {
                println!("{bug:?}: NOT FOUND");
                missed += 1;
            }
        }
    }
    println!("planted bugs: {} passed, {missed} failed", Bug::ALL.len() - missed);
    missed == 0
}
