//! `cargo xtask COMMAND`: the project's own commands.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of ours: its files, time and processes are real"
)]

mod bench;
mod black_box;
mod codegen;
mod compat;
mod dist;
mod install;
mod labs;
mod members;
mod qemu;
mod report;
mod run;
mod soak;
mod test;
mod tidy;
mod unit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [STEP...]                     install what the tests need and run everything, or the named
                                     steps
  soak [--kills N] [--cuts N] [--seeds N] [--qemu] [--arm64]
                                     the long versions: hours, not minutes; or only those named
  install                            only install what the tests need
  tidy                               only the rules about the checkout itself
  black-box [PYTEST ARGUMENTS]       build the binary and drive it with real clients
  compat                             write the tables of docs/compat.md from the last whole run of
                                     black-box
  dist                               what is given to others, in target/dist: static programs, an image,
                                     papers for systemd, Compose and GitHub, completions, a man page
  image PROGRAM ARCHIVE              an image of any build of the program
  screenshots                        draw the pictures of docs/console anew, which takes some minutes
  bench [GROUP...] [--quick]         what it costs, beside floors and peers; `bench --help` says more

  gen [--check]                      write gen/ from models/, or say what is not up to date
  gen --import DATA SERVICE...       make models/SERVICE.json from a botocore data folder
  gen --propose SERVICE OPERATION... print overlay rows for operations that shall be served
  gen --digest DATA SERVICE...       generate whole services in memory: does the generator know all?
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_owned();
    match dispatch(&root, &words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// False when tests failed, which their own report has said already.
fn dispatch(root: &Path, words: &[&str]) -> Result<bool, String> {
    let owned = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    match words {
        ["bench", "--help" | "-h"] => {
            print!("{}", bench::HELP);
            Ok(true)
        }
        ["bench", words @ ..] => bench::run(root, words),
        ["help" | "--help" | "-h"] | [_, "--help" | "-h"] | [] => {
            print!("{HELP}\nsteps of test: {}\n", test::names());
            Ok(true)
        }
        ["test", steps @ ..] => test::run(root, steps),
        ["soak", words @ ..] => soak::run(root, words),
        ["dist"] => dist::run(root),
        ["screenshots"] => bench::script(root, "tests/screenshots.py", &[]),
        ["image", program, archive] => dist::image_of(program, archive),
        ["install"] => install::everything(root).map(|()| true),
        ["tidy"] => one_step("tidy", || tidy::check(root)),
        ["black-box", extra @ ..] => one_step("black-box", || black_box::suite(root, extra)),
        ["compat"] => compat::write(root).map(|()| true),
        ["gen"] => codegen::run(root, false).map(|()| true),
        ["gen", "--check"] => codegen::run(root, true).map(|()| true),
        ["gen", "--import", data, services @ ..] => {
            codegen::import(root, &PathBuf::from(data), &owned(services)).map(|()| true)
        }
        ["gen", "--propose", service, operations @ ..] => {
            codegen::propose(root, service, &owned(operations)).map(|()| true)
        }
        ["gen", "--digest", data, services @ ..] => {
            let types = codegen::digest(&PathBuf::from(data), &owned(services))?;
            println!("{} services, {types} structures", services.len());
            Ok(true)
        }
        other => Err(format!("no such command: {}\n\n{HELP}", other.join(" "))),
    }
}

fn one_step(
    name: &str,
    work: impl FnOnce() -> Result<report::Tally, String>,
) -> Result<bool, String> {
    let mut report = report::Report::new();
    report.step(name, work);
    Ok(report.close())
}
