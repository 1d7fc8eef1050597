//! What Cumulet costs, beside what the machine could do and what others need.
//!
//! Started by `cargo xtask bench`, which builds and installs what it measures. Every server runs on
//! loopback with a temporary folder of its own and is ended by its process id. The contestants of a
//! measure take turns (A B A B), so that a noisy neighbour hits all of them; figures are medians.
//! The CPU time is that of the server's processes alone, from `/proc`: on a busy machine it says
//! more than requests a second do.
//!
//! Deliberately absent: latency under a fixed rate, several machines, other services than S3 and DynamoDB.

#![allow(
    clippy::disallowed_methods,
    reason = "a tool of ours: its files, time, threads and processes are real"
)]

mod client;
mod contestant;
mod disk_floor;
mod document;
mod hyper_floor;
mod machine;
mod measure;
mod options;
mod process;
mod report;
mod request;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        // The bench starts itself as the floor: a process of its own has a CPU time of its own.
        ["hyper-floor", address, threads] => hyper_floor::serve(address, threads),
        // For profilers: load alone, on a server that runs already.
        ["load", address, pid, what, seconds] => measure::load(address, pid, what, seconds),
        words => options::parse(words).and_then(|options| measure::run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}
