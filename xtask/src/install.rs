//! What the tests need beside Rust: real clients in a virtual environment, the Node SDKs, a browser.
//!
//! Everything is named before it is installed and kept inside the checkout, Debian packages aside,
//! which are installed only when missing and only by root. A stamp holds the text that an install
//! was made from, so that a second run installs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::run;

/// A program the tests call, and the Debian package that has it.
const DEBIAN: &[(&str, &str)] = &[
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("busybox", "busybox-static"),
    ("newuidmap", "uidmap"),
    ("rclone", "rclone"),
    ("s3cmd", "s3cmd"),
    ("s3fs", "s3fs"),
    ("restic", "restic"),
    // Version 2; what `aws` is on the path may be another one.
    ("/usr/bin/aws", "awscli"),
];

/// Where the SDK of 2018 is, apart from today's.
const OLD_BOTO3: &str = ".venv/boto3-2018";
/// A foreign S3, with what it needs.
const MOTO: &str = ".venv/moto";
/// Clients that the suite runs and does not see itself.
const CLIENTS: &str = ".venv/clients";

/// The interpreter of the virtual environment.
pub fn python(root: &Path) -> PathBuf {
    root.join(".venv/bin/python")
}

/// Installs all that is missing.
pub fn everything(root: &Path) -> Result<(), String> {
    let debian = missing_debian();
    let python_due = due(&root.join(".venv"), &python_source(root)?) || !python_works(root);
    let node_due = due(&node_modules(root), &node_source(root)?);
    if !debian.is_empty() {
        println!("    will install Debian packages: {}", debian.join(" "));
    }
    if python_due {
        println!("    will make .venv with the packages of tests/requirements.txt");
    }
    if node_due {
        println!(
            "    will install into tests/node/node_modules the packages of tests/node/package.json"
        );
    }
    if debian.is_empty() && !python_due && !node_due {
        println!("    all there");
        return Ok(());
    }
    if !debian.is_empty() {
        timed("Debian packages", || install_debian(&debian))?;
    }
    if python_due {
        timed("Python packages", || install_python(root))?;
    }
    if node_due {
        timed("Node packages", || install_node(root))?;
    }
    Ok(())
}

fn timed(what: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    work()?;
    println!("    {what}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn missing_debian() -> Vec<&'static str> {
    let mut missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(program, _)| !run::exists(program))
        .map(|(_, package)| *package)
        .collect();
    // Debian's python3 comes without the module that fills a virtual environment.
    let ensurepip = run::capture(Path::new("/"), "python3", &["-c", "import venv, ensurepip"]);
    if !ensurepip.is_ok_and(|finished| finished.ok) {
        missing.push("python3-venv");
    }
    missing
}

fn install_debian(packages: &[&str]) -> Result<(), String> {
    let by_hand =
        format!("as root: apt-get install --no-install-recommends {}", packages.join(" "));
    let root = Path::new("/");
    let user = run::must(root, "id", &["-u"])?;
    if user.trim() != "0" {
        return Err(format!("packages are missing and you are not root; run, {by_hand}"));
    }
    if !run::exists("apt-get") {
        return Err(format!(
            "this system has no apt-get; install the equivalents of: {}",
            packages.join(" ")
        ));
    }
    run::must(root, "apt-get", &["-q", "update"])?;
    let mut args = vec!["-q", "-y", "install", "--no-install-recommends"];
    args.extend(packages);
    let env = [("DEBIAN_FRONTEND", "noninteractive")];
    let finished = run::capture_env(root, "apt-get", &args, &env)?;
    if finished.ok {
        return Ok(());
    }
    Err(format!("apt-get failed; try it {by_hand}\n{}", run::tail(&finished.text(), 30)))
}

fn python_source(root: &Path) -> Result<String, String> {
    let names = ["requirements.txt", "requirements-2018.txt"];
    let apart = ["requirements-moto.txt", "requirements-clients.txt"];
    names.iter().chain(&apart).map(|name| read(&root.join("tests").join(name))).collect()
}

fn python_works(root: &Path) -> bool {
    let python = python(root);
    run::capture(root, &python.to_string_lossy(), &["-c", "import boto3, pytest"])
        .is_ok_and(|finished| finished.ok)
}

fn install_python(root: &Path) -> Result<(), String> {
    let venv = root.join(".venv");
    if venv.exists() {
        fs::remove_dir_all(&venv).map_err(|e| format!("cannot remove {}: {e}", venv.display()))?;
    }
    run::must(root, "python3", &["-m", "venv", ".venv"])?;
    let python = python(root);
    // Compiling what is hardly ever imported takes longer than all the rest.
    let args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"];
    let today = ["--requirement", "tests/requirements.txt"];
    let old = ["--requirement", "tests/requirements-2018.txt", "--no-deps", "--target", OLD_BOTO3];
    let moto = ["--requirement", "tests/requirements-moto.txt", "--no-deps", "--target", MOTO];
    let clients =
        ["--requirement", "tests/requirements-clients.txt", "--no-deps", "--target", CLIENTS];
    for more in [&today[..], &old, &moto, &clients] {
        let args = [&args[..], more].concat();
        run::must(root, &python.to_string_lossy(), &args).map_err(|e| {
            format!("{e}\nthe Python packages come from PyPI: is it reachable (pip config list)?")
        })?;
    }
    stamp(&venv, &python_source(root)?)
}

fn node_modules(root: &Path) -> PathBuf {
    root.join("tests/node/node_modules")
}

fn node_source(root: &Path) -> Result<String, String> {
    read(&root.join("tests/node/package-lock.json"))
}

fn install_node(root: &Path) -> Result<(), String> {
    let dir = root.join("tests/node");
    let args = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    run::must(&dir, "npm", &args).map_err(|e| {
        format!("{e}\nthe Node packages come from the npm registry: is it reachable (npm ping)?")
    })?;
    stamp(&node_modules(root), &node_source(root)?)
}

fn stamp_path(dir: &Path) -> PathBuf {
    dir.join(".installed-from")
}

fn due(dir: &Path, source: &str) -> bool {
    fs::read_to_string(stamp_path(dir)).map_or(true, |made_from| made_from != source)
}

fn stamp(dir: &Path, source: &str) -> Result<(), String> {
    let path = stamp_path(dir);
    fs::write(&path, source).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}
