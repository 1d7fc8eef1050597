//! `cargo xtask COMMAND`: the project's own commands.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of ours: its files, time and processes are real"
)]

mod codegen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  gen [--check]                      write gen/ from models/, or say what is not up to date
  gen --import DATA SERVICE...       make models/SERVICE.json from a botocore data folder
  gen --propose SERVICE OPERATION... print overlay rows for operations that shall be served
  gen --digest DATA SERVICE...       generate whole services in memory: does the generator know all?
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_owned();
    match run(&root, &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let owned = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    match words {
        ["gen"] => codegen::run(root, false),
        ["gen", "--check"] => codegen::run(root, true),
        ["gen", "--import", data, services @ ..] => {
            codegen::import(root, &PathBuf::from(data), &owned(services))
        }
        ["gen", "--propose", service, operations @ ..] => {
            codegen::propose(root, service, &owned(operations))
        }
        ["gen", "--digest", data, services @ ..] => {
            let types = codegen::digest(&PathBuf::from(data), &owned(services))?;
            println!("{} services, {types} structures", services.len());
            Ok(())
        }
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("no such command: {}\n\n{HELP}", other.join(" "))),
    }
}
