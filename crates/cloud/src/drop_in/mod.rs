//! In the place of LocalStack or MinIO: their variables as settings of ours, their folders of data, and the
//! pages that their users and tools ask whether the cloud is there.
//!
//! A variable that means nothing here is named at the start, with the reason, and so is one that a setting of
//! ours keeps from counting; none is passed over.

mod pages;
mod variables;

pub use pages::DropInPages;

use crate::settings::{self, DropIn, SettingError, Settings, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use variables::{LOCALSTACK, MINIO, Made};

/// What MinIO's root is called if nobody says.
const MINIO_ROOT: &str = "minioadmin:minioadmin";
/// Where Docker puts secrets.
const SECRETS: &str = "/run/secrets";

/// What of the machine counts.
pub struct Outside<'o> {
    pub variables: BTreeMap<String, String>,
    /// Whether something is mounted at this path.
    pub is_mounted: &'o dyn Fn(&str) -> bool,
}

struct Reading<'s> {
    settings: &'s mut Settings,
    lines: Vec<String>,
}

impl Reading<'_> {
    /// Settings that our own variables and flags give stay.
    fn set(&mut self, name: &str, values: Vec<String>, source: Source) {
        let Some(key) = settings::find(name) else { return };
        let known = self.settings.all(name);
        match (self.settings.source(name), &source) {
            (Some(own @ (Source::Variable | Source::Flag)), Source::Foreign(theirs)) => {
                if known != values {
                    let own = settings::source_text(name, own);
                    self.lines.push(format!("{theirs} is not taken, since {own} is given"));
                }
            }
            _ => self.settings.set(key, values, source),
        }
    }

    /// A value as we would have it of a variable of ours.
    fn set_text(&mut self, name: &'static str, value: &str, source: Source) {
        let values = match settings::find(name).is_some_and(|key| key.many) {
            true => value.split(',').map(|part| part.trim().to_owned()).collect(),
            false => vec![value.to_owned()],
        };
        self.set(name, values, source);
    }

    fn take(&mut self, name: &'static str, shown: &str, made: Made, value: &str, usual: &str) {
        let source = Source::Foreign(name);
        match made {
            Made::Setting(ours) => self.set_text(ours, value, source),
            Made::With(ours, make) => {
                if let Some(value) = make(value) {
                    self.set_text(ours, &value, source);
                }
            }
            Made::Listen => self.set("listen", variables::addresses(value, usual), source),
            Made::Nothing(why) => self.lines.push(format!("{shown} is not needed: {why}")),
            Made::Absent(why) => self.lines.push(format!("{shown} does nothing here: {why}")),
            Made::Apart => {}
        }
    }
}

/// Takes what the environment holds, and gives a line for each variable of which nothing is made. What would
/// be dangerous to pass over is an error.
pub fn read(settings: &mut Settings, outside: &Outside<'_>) -> Result<Vec<String>, SettingError> {
    let drop_in = settings.text("drop_in").to_owned();
    let (table, prefix, port) = match drop_in.as_str() {
        "localstack" => (LOCALSTACK, "LOCALSTACK_", "127.0.0.1:4566"),
        "minio" => (MINIO, "MINIO_", "127.0.0.1:9000"),
        _ => return Ok(Vec::new()),
    };
    let mut all = outside.variables.clone();
    if drop_in == "minio" {
        read_env_file(&mut all)?;
    }
    all.retain(|_, value| !value.is_empty());
    let mut reading = Reading { settings, lines: Vec::new() };
    if drop_in == "minio" {
        read_root(&mut reading, &all)?;
        read_volumes(&mut reading, &all)?;
    }
    // A place that is said without a host is on the one where we listen anyway.
    let listen = reading.settings.text("listen").to_owned();
    let usual = match drop_in.as_str() {
        "minio" => "0.0.0.0",
        _ => listen.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host),
    };
    let mut known = BTreeSet::new();
    for &(pattern, made) in table {
        let is_it = |name: &str| {
            let short = name.strip_prefix(prefix).filter(|_| drop_in == "localstack");
            variables::is(pattern, name) || short.is_some_and(|s| variables::is(pattern, s))
        };
        let matching: Vec<_> = all.iter().filter(|(name, _)| is_it(name)).collect();
        // Said with and without the prefix, it counts without.
        let plain = matching.iter().any(|(name, _)| variables::is(pattern, name));
        for (name, value) in matching {
            let counts = !plain || variables::is(pattern, name);
            if known.insert(name.clone()) && counts {
                let shown = name.strip_prefix(prefix).filter(|_| !variables::is(pattern, name));
                reading.take(pattern, shown.unwrap_or(name), made, value, usual);
            }
        }
    }
    for name in all.keys().filter(|name| name.starts_with(prefix) && !known.contains(*name)) {
        reading.lines.push(format!("{name} is not known here, and does nothing"));
    }
    if !reading.settings.is_given("listen") {
        reading.set_text("listen", port, Source::Foreign("drop_in"));
    }
    keep_in_volume(&mut reading, &drop_in, outside.is_mounted);
    Ok(reading.lines)
}

fn refused<T>(text: String) -> Result<T, SettingError> {
    Err(SettingError(text))
}

/// What a file holds that a variable names: a path, or the name of a secret of Docker's.
fn content(variable: &str, name: &str) -> Result<String, SettingError> {
    let path = Path::new(SECRETS).join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => refused(format!("{variable}: {}: {error}", path.display())),
    }
}

/// MINIO_CONFIG_ENV_FILE: lines as of a shell, which count more than variables.
fn read_env_file(all: &mut BTreeMap<String, String>) -> Result<(), SettingError> {
    const NAME: &str = "MINIO_CONFIG_ENV_FILE";
    let Some(file) = all.get(NAME).filter(|name| !name.is_empty()) else { return Ok(()) };
    for line in content(NAME, file)?.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = value.trim();
        let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        all.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(())
}

fn read_root(
    reading: &mut Reading<'_>,
    all: &BTreeMap<String, String>,
) -> Result<(), SettingError> {
    let of_file = |name: &str| all.get(name).map(|file| content(name, file)).transpose();
    let user = of_file("MINIO_ROOT_USER_FILE")?.or_else(|| all.get("MINIO_ROOT_USER").cloned());
    let password =
        of_file("MINIO_ROOT_PASSWORD_FILE")?.or_else(|| all.get("MINIO_ROOT_PASSWORD").cloned());
    let user = user.or_else(|| all.get("MINIO_ACCESS_KEY").cloned());
    let password = password.or_else(|| all.get("MINIO_SECRET_KEY").cloned());
    match (user, password) {
        (Some(user), Some(password)) => {
            let key = vec![format!("{user}:{password}")];
            reading.set("root_key", key, Source::Foreign("MINIO_ROOT_USER"));
        }
        (Some(_), None) => {
            return refused(
                "MINIO_ROOT_USER belongs with MINIO_ROOT_PASSWORD: give both".to_owned(),
            );
        }
        (None, Some(_)) => {
            return refused(
                "MINIO_ROOT_PASSWORD belongs with MINIO_ROOT_USER: give both".to_owned(),
            );
        }
        (None, None) => {
            let is_near =
                !all.contains_key("MINIO_ADDRESS") && !reading.settings.is_given("listen");
            if is_near && !reading.settings.is_given("root_key") {
                let key = vec![MINIO_ROOT.to_owned()];
                reading.set("root_key", key, Source::Foreign("drop_in = minio"));
            }
        }
    }
    Ok(())
}

fn read_volumes(
    reading: &mut Reading<'_>,
    all: &BTreeMap<String, String>,
) -> Result<(), SettingError> {
    let Some(volumes) = all.get("MINIO_VOLUMES") else { return Ok(()) };
    let is_one = !volumes.contains("...") && volumes.split_whitespace().count() == 1;
    let is_far = volumes.starts_with("http://") || volumes.starts_with("https://");
    if !is_one || is_far {
        return refused(format!(
            "MINIO_VOLUMES is {volumes:?}, but must be one folder: there is one disk here, and one copy. \
             What several disks of MinIO hold is copied by `cumulet import s3` while it runs"
        ));
    }
    let folder = volumes.trim();
    if Path::new(folder).join(".minio.sys").exists() {
        return refused(format!(
            "MINIO_VOLUMES is {folder:?}, in which MinIO keeps its data, which is not read. Name another \
             folder, and copy with `cumulet import s3` while MinIO runs"
        ));
    }
    reading.set("data", vec![folder.to_owned()], Source::Foreign("MINIO_VOLUMES"));
    Ok(())
}

/// Compose files written for the others mount a volume where those keep their data: in our image it is kept
/// there too, in a folder of its own.
fn keep_in_volume(reading: &mut Reading<'_>, drop_in: &str, is_mounted: &dyn Fn(&str) -> bool) {
    let (volume, folder, name) = match drop_in {
        "minio" => ("/data", "/data/.cumulet", "the volume at /data"),
        _ => (
            "/var/lib/localstack",
            "/var/lib/localstack/cumulet",
            "the volume at /var/lib/localstack",
        ),
    };
    if !reading.settings.is_of_image() || !is_mounted(volume) {
        return;
    }
    let data = reading.settings.text("data").to_owned();
    let is_full = |path: &str| std::fs::read_dir(path).is_ok_and(|mut all| all.next().is_some());
    let why = match reading.settings.source("data") {
        Some(Source::File(_)) if is_full(&data) && !is_full(folder) => {
            format!("there is data in {data} already")
        }
        Some(Source::File(_)) | None => {
            let source = Source::Foreign(name);
            return reading.set("data", vec![folder.to_owned()], source);
        }
        Some(_) if Path::new(&data).starts_with(volume) => return,
        Some(own) => format!("{} says {data}", settings::source_text("data", own)),
    };
    reading.lines.push(format!("nothing is kept in {name}: {why}"));
}

/// For the greeting.
pub fn name(drop_in: DropIn) -> Option<&'static str> {
    match drop_in {
        DropIn::None => None,
        DropIn::LocalStack => Some("LocalStack"),
        DropIn::MinIo => Some("MinIO"),
    }
}

/// Whether something is mounted at a path, as the kernel's table of mounts says.
pub fn is_mounted(path: &str) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == Some(path))
}

#[cfg(test)]
mod tests;
