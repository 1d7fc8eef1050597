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

/// Plugins of the docker CLI, and a CLI of old, from releases of Debian that may be others than this
/// machine's: Debian's own keys vouch for them.
const DOCKER: &str = ".venv/docker";
const DOCKER_PACKAGES: &[(&str, &str, &str, &str)] = &[
    ("docker-buildx", "trixie", "usr/libexec/docker/cli-plugins/docker-buildx", "cli-plugins"),
    ("docker-compose", "trixie", "usr/libexec/docker/cli-plugins/docker-compose", "cli-plugins"),
    ("docker.io", "bookworm", "usr/bin/docker", "old"),
];
const DEBIAN_MIRROR: &str = "http://deb.debian.org/debian";
const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The interpreter of the virtual environment.
pub fn python(root: &Path) -> PathBuf {
    root.join(".venv/bin/python")
}

/// Installs all that is missing.
pub fn everything(root: &Path) -> Result<(), String> {
    let debian = missing_debian();
    let python_due = due(&root.join(".venv"), &python_source(root)?) || !python_works(root);
    let node_due = due(&node_modules(root), &node_source(root)?);
    let docker_due = python_due || due(&root.join(DOCKER), &docker_source());
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
    if docker_due {
        println!("    will unpack into {DOCKER} Debian's packages {}", docker_source());
    }
    if debian.is_empty() && !python_due && !node_due && !docker_due {
        println!("    all there");
        return Ok(());
    }
    if !debian.is_empty() {
        timed("Debian packages", || install_debian(&debian))?;
    }
    if python_due {
        timed("Python packages", || install_python(root))?;
    }
    if docker_due {
        timed("docker's plugins", || install_docker(root))?;
    }
    if node_due {
        timed("Node packages", || install_node(root))?;
    }
    Ok(())
}

/// Programs and Debian packages that only a part of the long tests needs.
pub fn packages(wanted: &[(&str, &'static str)]) -> Result<(), String> {
    let missing = lacking(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    println!("    will install Debian packages: {}", missing.join(" "));
    timed("Debian packages", || install_debian(&missing))
}

fn lacking(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    let missing = wanted.iter().filter(|(program, _)| !run::exists(program));
    missing.map(|(_, package)| *package).collect()
}

fn timed(what: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    work()?;
    println!("    {what}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn missing_debian() -> Vec<&'static str> {
    let mut missing = lacking(DEBIAN);
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

fn docker_source() -> String {
    let packages = DOCKER_PACKAGES.iter().map(|(name, release, ..)| format!("{name}/{release}"));
    packages.collect::<Vec<_>>().join(" ")
}

/// By an apt of our own, which changes nothing of the machine.
fn install_docker(root: &Path) -> Result<(), String> {
    let folder = root.join(DOCKER);
    let apt = folder.join("apt");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("cannot clear {DOCKER}: {e}"))?;
    }
    for inner in ["state/lists/partial", "cache/archives/partial", "debs"] {
        fs::create_dir_all(apt.join(inner)).map_err(|e| format!("cannot make {DOCKER}: {e}"))?;
    }
    let mut releases: Vec<&str> = DOCKER_PACKAGES.iter().map(|(_, release, ..)| *release).collect();
    releases.dedup();
    let line =
        |release: &&str| format!("deb [signed-by={DEBIAN_KEYS}] {DEBIAN_MIRROR} {release} main");
    let sources: Vec<String> = releases.iter().map(line).collect();
    let write = |name: &str, text: &str| {
        fs::write(apt.join(name), text).map_err(|e| format!("cannot write {name}: {e}"))
    };
    write("sources.list", &format!("{}\n", sources.join("\n")))?;
    write("status", "")?;
    let at = |name: &str| apt.join(name).display().to_string();
    let options = [
        format!("Dir::State={}", at("state")),
        format!("Dir::State::status={}", at("status")),
        format!("Dir::Cache={}", at("cache")),
        format!("Dir::Etc::SourceList={}", at("sources.list")),
        "Dir::Etc::SourceParts=-".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        "Acquire::Retries=3".to_owned(),
        "APT::Sandbox::User=".to_owned(),
    ];
    let mut base = vec!["-q"];
    options.iter().for_each(|option| base.extend(["-o", option]));
    run::must(root, "apt-get", &[&base[..], &["update"]].concat())?;
    let debs = apt.join("debs");
    let wanted = docker_source();
    let wanted: Vec<&str> = wanted.split(' ').collect();
    run::must(&debs, "apt-get", &[&base[..], &["download"], &wanted[..]].concat())?;
    for (name, _, program, to) in DOCKER_PACKAGES {
        let deb = fs::read_dir(&debs)
            .map_err(|e| format!("cannot list {}: {e}", debs.display()))?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}_")))
            .ok_or_else(|| format!("apt-get downloaded no {name}"))?;
        let unpacked = apt.join(name);
        let (deb, into) = (deb.path().display().to_string(), unpacked.display().to_string());
        run::must(root, "dpkg-deb", &["-x", &deb, &into])?;
        let to = folder.join(to);
        fs::create_dir_all(&to).map_err(|e| format!("cannot make {}: {e}", to.display()))?;
        let file = Path::new(program).file_name().unwrap_or_default();
        fs::rename(unpacked.join(program), to.join(file))
            .map_err(|e| format!("{name} has no {program}: {e}"))?;
    }
    fs::remove_dir_all(&apt).map_err(|e| format!("cannot remove {}: {e}", apt.display()))?;
    stamp(&folder, &docker_source())
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
