//! The binary `cumulet`: configuration, the table of services, threads, commands.
//!
//! Invariants: the environment is read once, here; every command ends with one of the codes of
//! [`exit`]; what a person reads goes to the standard output, what went wrong to the standard error.
//!
//! Deliberately absent: anything that a service does.

mod audit_log;
mod chance;
mod cli;
mod client;
mod clock;
mod console_parts;
mod descriptors;
mod docker_socket;
mod doctor;
mod doors;
mod drop_in;
mod engine_door;
mod env;
mod ephemeral;
mod events;
mod exit;
mod fault;
mod images;
mod import;
mod init;
mod lab;
#[cfg(test)]
mod papers;
mod privilege;
mod reset;
mod services;
mod settings;
mod shell;
mod snapshot;
mod status;
mod threads;
mod trust;
mod up;

use drop_in::Outside;
use exit::Failure;
use settings::Config;

/// Rows are allocated by the threads that answer requests and freed by the one that merges the index:
/// with the allocator of glibc they wait for each other's locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // The process that holds containers: nothing of what follows may have happened before.
    if std::env::args_os().nth(1).is_some_and(|name| name == engine::helper::COMMAND) {
        std::process::exit(engine::helper::main());
    }
    let code = match run() {
        Ok(()) => exit::OK,
        Err(failure) => {
            eprintln!("cumulet: {}", failure.text);
            failure.code
        }
    };
    std::process::exit(code);
}

fn run() -> Result<(), Failure> {
    let matches = cli::command().get_matches();
    let (name, matches) = matches.subcommand().unwrap_or(("up", &matches));
    if !cli::serves(name, matches) {
        engine::end_with_the_pipe();
    }
    match name {
        "version" => {
            println!("cumulet {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        "completions" => {
            if let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") {
                let mut command = cli::command();
                clap_complete::generate(*shell, &mut command, "cumulet", &mut std::io::stdout());
            }
            Ok(())
        }
        "inside" => shell::inside::run(matches),
        _ => {
            let mut settings = cli::settings(matches)?;
            let wrong = |error: settings::SettingError| Failure::new(exit::USAGE, error.0);
            let outside = Outside { variables: cli::variables(), is_mounted: &drop_in::is_mounted };
            let unneeded = drop_in::read(&mut settings, &outside).map_err(wrong)?;
            let data = settings::default_data(cli::variable);
            let mut config = Config::new(&settings, data.clone()).map_err(wrong)?;
            match name {
                "env" => env::print(&config, &settings, matches),
                "shell" => shell::run(&config, matches),
                "trust" => trust::run(&config, matches),
                "lab" => lab::run(&config, matches),
                "import" => import::run(&config, matches),
                "clock" => clock::run(&config, matches),
                "reset" => reset::run(&config, matches),
                "fault" => fault::run(&config, matches),
                "status" => status::run(&config),
                "events" => events::run(&config, matches),
                "snapshot" => snapshot::run(&config, matches),
                "images" => images::run(&config, matches),
                "doctor" => doctor::run(&config, matches.contains_id("data")),
                _ => {
                    start_log(&config.log)?;
                    unneeded.iter().for_each(|line| eprintln!("cumulet: {line}"));
                    config.is_ephemeral = matches.get_flag("ephemeral");
                    config.ends_containers =
                        config.is_ephemeral || matches.get_flag("end_containers");
                    if !config.is_ephemeral {
                        config.containers = privilege::settle(&config)?;
                        return up::run(&config, &settings, None);
                    }
                    let _scratch =
                        ephemeral::prepare(&mut config, &settings, &std::env::temp_dir())?;
                    let from = matches.get_one::<String>("from").map(String::as_str);
                    config.containers = privilege::settle(&config)?;
                    let disk = ephemeral::disk(&config, from, &data)?;
                    up::run(&config, &settings, Some(disk))
                }
            }
        }
    }
}

fn start_log(levels: &str) -> Result<(), Failure> {
    use std::io::IsTerminal;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    let filter: Targets = levels.parse().map_err(|error| {
        Failure::new(exit::USAGE, format!("log is {levels:?}: {error}; try info or access=info"))
    })?;
    let colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}
