//! `cumulet snapshot`: save and list in the running cloud or a resting data folder, restore into a
//! new one.

use crate::chance::SystemClock;
use crate::cli;
use crate::client::{Client, holder, text};
use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::up;
use base::percent;
use clap::ArgMatches;
use smithy::Document;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use store::disk::{Disk, FsDisk};
use store::{SnapshotError, SnapshotInfo, Store};

const PAGE: &str = "/_cumulet/snapshots";

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let (what, matches) = matches.subcommand().unwrap_or(("list", matches));
    let name = matches.try_get_one::<String>("name").ok().flatten().cloned().unwrap_or_default();
    match what {
        "save" => change(config, "POST", &name, |store| store.snapshot_save(&name).map(|_| ()))?,
        "remove" => change(config, "DELETE", &name, |store| store.snapshot_remove(&name))?,
        "restore" => {
            let to = matches.get_one::<String>("to").cloned().unwrap_or_default();
            return restore(config, &name, Path::new(&to));
        }
        "fork" => {
            let to = matches.get_one::<String>("to").cloned().unwrap_or_default();
            return fork(config, Path::new(&to));
        }
        _ => {}
    }
    list(config)
}

fn failed(error: SnapshotError) -> Failure {
    Failure::new(exit::FAILED, error.to_string())
}

/// In the running cloud if there is one, else in the folder itself.
fn change(
    config: &Config,
    method: &str,
    name: &str,
    offline: impl FnOnce(&Store) -> Result<(), SnapshotError>,
) -> Result<(), Failure> {
    if holder(config).is_some() {
        let query = format!("name={}", percent::encode(name.as_bytes()));
        return Client::new(config).ask(method, PAGE, &query).map(|_| ());
    }
    up::with_store(config, |store| offline(store).map_err(failed))
}

fn list(config: &Config) -> Result<(), Failure> {
    if holder(config).is_none() {
        let all = up::with_store(config, |store| store.snapshot_list().map_err(failed))?;
        if all.is_empty() {
            cli::remark("no snapshots; `cumulet snapshot save NAME` makes one");
        }
        for SnapshotInfo { name, taken, size_bytes, problem, .. } in all {
            show(&name, &taken.iso8601_secs(), size_bytes as i64, problem.as_deref());
        }
        return Ok(());
    }
    let answer = Client::new(config).ask("GET", PAGE, "")?;
    let Document::Map(map) = answer else { return Ok(()) };
    let Some(Document::List(all)) = map.get("snapshots") else { return Ok(()) };
    if all.is_empty() {
        cli::remark("no snapshots; `cumulet snapshot save NAME` makes one");
    }
    for info in all {
        let size = match info {
            Document::Map(map) => match map.get("sizeBytes") {
                Some(Document::Integer(n)) => *n,
                _ => 0,
            },
            _ => 0,
        };
        let (name, taken) = (text(info, "name").unwrap_or(""), text(info, "taken").unwrap_or(""));
        show(name, taken, size, text(info, "problem"));
    }
    Ok(())
}

fn show(name: &str, taken: &str, size_bytes: i64, problem: Option<&str>) {
    match problem {
        None => println!("{name}  {taken}  {size_bytes} bytes"),
        Some(problem) => println!("{name}  damaged: {problem}; `cumulet snapshot remove {name}`"),
    }
}

/// A second cloud that begins as this one is now. Both go their own ways.
fn fork(config: &Config, to: &Path) -> Result<(), Failure> {
    let name = format!("fork-{}", std::process::id());
    change(config, "POST", &name, |store| store.snapshot_save(&name).map(|_| ()))?;
    let restored = restore(config, &name, to);
    change(config, "DELETE", &name, |store| store.snapshot_remove(&name))?;
    restored
}

/// Makes a new data folder. The running cloud is not touched.
fn restore(config: &Config, name: &str, to: &Path) -> Result<(), Failure> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Failure::new(exit::USAGE, "that is no name of a snapshot"));
    }
    let from = config.data.join("snapshots").join(name);
    if !from.join("manifest").exists() {
        let text = format!("there is no snapshot {name} in {}", config.data.display());
        return Err(Failure::new(exit::FAILED, text));
    }
    let failed_to = |path: &Path, error: std::io::Error| {
        let code = if error.kind() == ErrorKind::WouldBlock { exit::HELD } else { exit::FAILED };
        Failure::new(code, format!("{}: {error}", path.display()))
    };
    let source: Arc<dyn Disk> =
        Arc::new(FsDisk::open_to_read(&from).map_err(|error| failed_to(&from, error))?);
    let holder = format!("process {}", std::process::id());
    let target = Arc::new(FsDisk::open(to, &holder).map_err(|error| failed_to(to, error))?);
    let info = Store::snapshot_restore(
        &source,
        target,
        &up::store_options(config, Arc::new(SystemClock::new())),
    )
    .map_err(failed)?;
    println!("restored {name} ({} bytes) into {}", info.size_bytes, to.display());
    println!("start it with: cumulet up --data {}", to.display());
    Ok(())
}
