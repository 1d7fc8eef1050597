//! `cargo xtask bench`: builds what is measured, fetches what it is measured against, runs the bench.
//!
//! Peers and nginx are kept below `target/bench-peers` and fetched once; nothing is installed outside
//! the checkout. All of them are optional: one that cannot be had is named in the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

pub const HELP: &str = "\
cargo xtask bench [GROUP...] [--quick] [--items N] [--offline] [--with-fakecloud]

  s3      reads of 1 KiB and 100 MiB, beside a bare hyper server and nginx
  store   durable writes of 1 KiB and 100 MiB, beside a raw log and dd
  start   from the start of the process to its first answer
  memory  idle, and what an upload of 5 GiB adds
  everyday  start, stop, reset and fork of clouds for tests, and fifty of them side by side
  containers  beside Debian's dockerd and podman, and bare runc and crun; needs root
  many    a page of a million objects, and requests while lifecycle rules are applied to them
  snapshot  ten GiB and a million objects saved under load, and restored
  dynamodb  items of 1 KiB read, written, updated and queried, and a table of ten million

  --quick           one short round of each, to see that it works; docs/bench.md stays as it is
  --items N         so many items in the large table of DynamoDB
  --offline         only the peers that are there already
  --with-fakecloud  one more peer, whose build takes long
";

/// A peer as it is asked for on the bench's command line, and how to get it.
struct Peer {
    option: &'static str,
    /// The groups that it takes part in.
    groups: &'static [&'static str],
    /// Below the peers' folder.
    program: &'static str,
    install: fn(&Path) -> Result<(), String>,
}

const OBJECTS: &[&str] = &["s3", "store", "start", "memory"];
const EVERYTHING: &[&str] = &["s3", "store", "start", "memory", "dynamodb"];
const PEERS: &[Peer] = &[
    Peer {
        option: "moto",
        groups: EVERYTHING,
        program: "moto/bin/moto_server",
        install: install_moto,
    },
    Peer { option: "s3s-fs", groups: OBJECTS, program: "bin/s3s-fs", install: install_s3s_fs },
    Peer {
        option: "dynalite",
        groups: &["dynamodb"],
        program: "dynalite/node_modules/.bin/dynalite",
        install: install_dynalite,
    },
    Peer {
        option: "dynoxide",
        groups: &["dynamodb"],
        program: "bin/dynoxide",
        install: install_dynoxide,
    },
    Peer {
        option: "nginx",
        groups: &["s3"],
        program: "nginx/usr/sbin/nginx",
        install: install_nginx,
    },
];
const FAKECLOUD: Peer = Peer {
    option: "fakecloud",
    groups: EVERYTHING,
    program: "bin/fakecloud",
    install: install_fakecloud,
};

// Pinned: figures of another version are other figures.
const MOTO: &str = "moto[server]==5.2.5";
const DYNALITE: &str = "dynalite@4.0.0";
const DYNOXIDE_VERSION: &str = "3.2.0";
const S3S_FS_VERSION: &str = "0.14.1";
const FAKECLOUD_VERSION: &str = "0.51.0";

pub fn run(root: &Path, words: &[&str]) -> Result<bool, String> {
    let own = ["--offline", "--with-fakecloud"];
    let mut args: Vec<String> =
        words.iter().filter(|word| !own.contains(word)).map(|word| (*word).to_owned()).collect();
    let peers = root.join("target/bench-peers");
    fs::create_dir_all(&peers).map_err(|e| format!("{}: {e}", peers.display()))?;
    if words.contains(&"containers") {
        return script(root, "tests/bench_containers.py", &[text(&peers)]);
    }
    if words.contains(&"everyday") {
        let more: Vec<String> = args.into_iter().filter(|word| word != "everyday").collect();
        return script(root, "tests/bench_everyday.py", &more);
    }
    println!("building the binary and the bench");
    run::must(root, &run::cargo(), &["build", "--release", "-q", "-p", "cloud", "-p", "bench"])?;
    let wanted = words.contains(&"--with-fakecloud") || peers.join(FAKECLOUD.program).is_file();
    let asked = |peer: &&Peer| takes_part(peer, words);
    for peer in PEERS.iter().chain(wanted.then_some(&FAKECLOUD)).filter(asked) {
        let program = peers.join(peer.program);
        match fetch(peer, &program, &peers, words.contains(&"--offline")) {
            Ok(()) => args.extend([format!("--{}", peer.option), text(&program)]),
            Err(failure) => {
                let why = failure.lines().next().unwrap_or_default();
                println!("without {}: {failure}", peer.option);
                args.extend(["--missing".to_owned(), format!("{} ({why})", peer.option)]);
            }
        }
    }
    let release = release_folder(root)?;
    args.extend(["--cumulet".to_owned(), text(&release.join("cumulet"))]);
    args.extend(["--page".to_owned(), text(&root.join("docs/bench.md"))]);
    let bench = release.join("bench");
    let status = Command::new(&bench)
        .args(&args)
        .current_dir(root)
        .status()
        .map_err(|e| format!("cannot start {}: {e}", bench.display()))?;
    Ok(status.success())
}

/// By clients that are none of the bench's own, so a script drives it.
pub fn script(root: &Path, name: &str, more: &[String]) -> Result<bool, String> {
    run::must(root, &run::cargo(), &["build", "--release", "-q", "-p", "cloud"])?;
    let done = Command::new(crate::install::python(root))
        .arg(name)
        .arg(release_folder(root)?.join("cumulet"))
        .args(more)
        .current_dir(root)
        .status()
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(done.success())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Where cargo puts release builds of this checkout.
fn release_folder(root: &Path) -> Result<PathBuf, String> {
    let metadata =
        run::must(root, &run::cargo(), &["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let target = metadata["target_directory"].as_str();
    target
        .map(|target| Path::new(target).join("release"))
        .ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// Whether any of the groups asked for has it; without a group, all are.
fn takes_part(peer: &Peer, words: &[&str]) -> bool {
    let known = ["s3", "store", "start", "memory", "many", "snapshot", "dynamodb"];
    let mut groups = words.iter().filter(|word| known.contains(word)).peekable();
    groups.peek().is_none() || groups.any(|group| peer.groups.contains(group))
}

fn fetch(peer: &Peer, program: &Path, peers: &Path, offline: bool) -> Result<(), String> {
    if program.is_file() {
        return Ok(());
    }
    if offline {
        return Err("not there, and --offline was given".to_owned());
    }
    println!("fetching {} into {}", peer.option, peers.display());
    (peer.install)(peers)?;
    if program.is_file() {
        return Ok(());
    }
    Err(format!("installed, but there is no {}", program.display()))
}

fn install_moto(peers: &Path) -> Result<(), String> {
    run::must(peers, "python3", &["-m", "venv", "moto"])?;
    let pip = text(&peers.join("moto/bin/pip"));
    run::must(peers, &pip, &["install", "--quiet", "--disable-pip-version-check", MOTO])?;
    Ok(())
}

fn install_dynalite(peers: &Path) -> Result<(), String> {
    run::must(peers, "npm", &["install", "--silent", "--prefix", "dynalite", DYNALITE])?;
    Ok(())
}

/// In memory and over HTTP; what else it has takes minutes to build.
fn install_dynoxide(peers: &Path) -> Result<(), String> {
    let parts = ["--no-default-features", "--features", "native-sqlite,http-server,cli"];
    let named = ["dynoxide-rs", "--version", DYNOXIDE_VERSION];
    install_crate(peers, &[&named[..], &parts[..]].concat())
}

fn install_s3s_fs(peers: &Path) -> Result<(), String> {
    install_crate(peers, &["s3s-fs", "--version", S3S_FS_VERSION, "--features", "binary"])
}

fn install_fakecloud(peers: &Path) -> Result<(), String> {
    install_crate(peers, &["fakecloud", "--version", FAKECLOUD_VERSION])
}

fn install_crate(peers: &Path, args: &[&str]) -> Result<(), String> {
    let (root, build) = (text(peers), text(&peers.join("build")));
    let mut all = vec!["install", "--locked", "--quiet", "--root", &root, "--target-dir", &build];
    all.extend(args);
    run::must(peers, &run::cargo(), &all)?;
    Ok(())
}

/// Debian's package, unpacked: nothing is installed and no service starts.
fn install_nginx(peers: &Path) -> Result<(), String> {
    if !run::exists("apt-get") || !run::exists("dpkg") {
        return Err("only Debian's packages are known here".to_owned());
    }
    run::must(peers, "apt-get", &["-q", "download", "nginx"])
        .map_err(|e| format!("apt-get download nginx failed; try `apt-get update` first\n{e}"))?;
    let entries = fs::read_dir(peers).map_err(|e| format!("{}: {e}", peers.display()))?;
    let package = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("nginx_") && name.ends_with(".deb")
        })
        .ok_or_else(|| "apt-get left no nginx_*.deb".to_owned())?;
    run::must(peers, "dpkg", &["-x", &text(&package), "nginx"])?;
    Ok(())
}
