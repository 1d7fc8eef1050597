//! `cumulet images bootstrap`: small base images out of this machine's packages, given to the running
//! cloud as any client would.

mod debian;

use crate::cli;
use crate::docker_socket::Docker;
use crate::exit::{self, Failure};
use crate::settings::Config;
use clap::ArgMatches;
use oci::image::{History, ImageConfig, RootFs};
use oci::manifest::SavedImage;
use oci::tar::{Entry, Kind, Writer};
use oci::{Digest, Reference};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

const PLACES: [&str; 3] = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"];

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(()) };
    let name = cli::value(matches, "name").unwrap_or_default();
    let tag = cli::value(matches, "tag").unwrap_or_else(|| name.clone());
    let reference = Reference::parse(&tag)
        .map_err(|error| Failure::new(exit::USAGE, format!("{tag}: {error}")))?
        .with_default_tag();
    let socket = Docker::first_path(config)
        .ok_or_else(|| Failure::new(exit::USAGE, "there is no Docker socket (none)"))?;
    if name == "debian" {
        println!("{}", debian::bootstrap(&socket, &reference)?);
        return Ok(());
    }
    let archive = busybox(&name, &reference)?;
    print!("{}", load(&socket, &archive)?);
    Ok(())
}

fn failed(text: impl Into<String>) -> Failure {
    Failure::new(exit::FAILED, text)
}

/// What an image says that greets whoever runs it.
const HELLO: &[u8] = b"#!/bin/sh
echo
echo 'Hello from Docker!'
echo 'This container was made, started and heard by Cumulet.'
echo
";

/// The program and the names that it goes by, as one layer. Each tag is an image of its own.
fn busybox(name: &str, reference: &Reference) -> Result<Vec<u8>, Failure> {
    let program = find_busybox()?;
    let listed = Command::new(&program)
        .arg("--list")
        .output()
        .map_err(|error| failed(format!("{program}: {error}")))?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    #[allow(clippy::disallowed_methods, reason = "a program of this machine")]
    let bytes = std::fs::read(&program).map_err(|error| failed(format!("{program}: {error}")))?;
    if !is_static(&bytes) {
        return Err(failed(format!(
            "{program} needs libraries; as root: apt-get install busybox-static"
        )));
    }
    let greets = name == "hello-world";
    let users = if name == "alpine" { ALPINE } else { BUSYBOX };
    let layer = layer(&bytes, &names, greets, &users).map_err(|error| failed(error.to_string()))?;
    let created = "1970-01-01T00:00:00Z".to_owned();
    let config = ImageConfig {
        created: Some(created.clone()),
        architecture: engine::image::architecture().to_owned(),
        os: "linux".to_owned(),
        config: Some(serde_json::json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": [if greets { "/hello" } else { "sh" }],
        })),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![Digest::of(&layer)] },
        history: vec![History {
            created: Some(created),
            created_by: Some(format!(
                "cumulet images bootstrap {name} --tag {}",
                reference.familiar()
            )),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    archive(reference, &config, &layer).map_err(|error| failed(error.to_string()))
}

fn find_busybox() -> Result<String, Failure> {
    let found = PLACES.iter().find(|path| Path::new(path).exists());
    found.map(|path| (*path).to_owned()).ok_or_else(|| {
        failed("there is no busybox on this machine; as root: apt-get install busybox-static")
    })
}

/// Without the name of a loader in it.
fn is_static(program: &[u8]) -> bool {
    let head = &program[..program.len().min(4096)];
    program.starts_with(b"\x7fELF") && !head.windows(7).any(|window| window == b"/lib64/")
}

/// Who is known in an image, and folders beside those that every one has.
struct Users {
    passwd: &'static [u8],
    group: &'static [u8],
    folders: &'static [&'static str],
}

const BUSYBOX: Users = Users {
    passwd: b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
              www-data:x:33:33:www-data:/var/www:/bin/false\n\
              nobody:x:65534:65534:nobody:/home:/bin/false\n",
    group: b"root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n",
    folders: &[],
};

/// What programs for Alpine count on: its users, by its numbers, and its folders. The programs are busybox's,
/// as there, but of this machine; there is no `apk`.
const ALPINE: Users = Users {
    passwd: include_bytes!("images/alpine.passwd"),
    group: include_bytes!("images/alpine.group"),
    folders: &[
        "lib/",
        "media/",
        "mnt/",
        "opt/",
        "run/",
        "sbin/",
        "srv/",
        "usr/lib/",
        "usr/local/",
        "usr/local/bin/",
        "usr/share/",
        "var/cache/",
        "var/empty/",
        "var/lib/",
        "var/local/",
        "var/log/",
        "var/mail/",
        "var/opt/",
        "var/spool/",
    ],
};

fn layer(program: &[u8], names: &str, greets: bool, users: &Users) -> std::io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    for (path, mode) in [
        ("bin/", 0o755),
        ("dev/", 0o755),
        ("etc/", 0o755),
        ("home/", 0o755),
        ("proc/", 0o755),
        ("root/", 0o700),
        ("sys/", 0o755),
        ("tmp/", 0o1777),
        ("usr/", 0o755),
        ("usr/bin/", 0o755),
        ("usr/sbin/", 0o755),
        ("var/", 0o755),
        ("var/www/", 0o755),
    ] {
        writer.entry(&Entry::new(path, Kind::Folder, mode))?;
    }
    for path in users.folders {
        writer.entry(&Entry::new(*path, Kind::Folder, 0o755))?;
    }
    writer.file("bin/busybox", 0o755, program)?;
    if greets {
        writer.file("hello", 0o755, HELLO)?;
    }
    let mut seen = std::collections::BTreeSet::new();
    for name in names.lines().map(str::trim) {
        let plain = !name.is_empty() && !name.contains('/') && name != "busybox";
        if plain && seen.insert(name) {
            let mut link = Entry::new(format!("bin/{name}"), Kind::HardLink, 0o755);
            link.link = b"bin/busybox".to_vec();
            writer.entry(&link)?;
        }
    }
    let mut env = Entry::new("usr/bin/env", Kind::Symlink, 0o777);
    env.link = b"../../bin/env".to_vec();
    writer.entry(&env)?;
    writer.file("etc/passwd", 0o644, users.passwd)?;
    writer.file("etc/group", 0o644, users.group)?;
    writer.finish()
}

fn archive(reference: &Reference, config: &ImageConfig, layer: &[u8]) -> std::io::Result<Vec<u8>> {
    let config = serde_json::to_vec(config)?;
    let config_path = format!("{}.json", Digest::of(&config).hex());
    let saved = [SavedImage {
        config: config_path.clone(),
        repo_tags: Some(vec![reference.familiar()]),
        layers: vec!["layer.tar".to_owned()],
    }];
    let mut writer = Writer::new(Vec::new());
    writer.file(&config_path, 0o644, &config)?;
    writer.file("layer.tar", 0o644, layer)?;
    writer.file("manifest.json", 0o644, &serde_json::to_vec(&saved)?)?;
    writer.finish()
}

/// Gives it to the engine; what that says is shown.
fn load(socket: &Path, archive: &[u8]) -> Result<String, Failure> {
    let at = socket.display();
    let mut stream = UnixStream::connect(socket)
        .map_err(|error| failed(format!("{at}: {error}; is the cloud up?")))?;
    let head = format!(
        "POST /images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        archive.len()
    );
    let mut answer = Vec::new();
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(archive))
        .and_then(|()| stream.read_to_end(&mut answer))
        .map_err(|error| failed(format!("{at}: {error}")))?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if !head.contains(" 200 ") {
        return Err(failed(format!("the engine refused the image: {}", body.trim())));
    }
    let line: Option<serde_json::Value> = serde_json::from_str(body.trim()).ok();
    let said = line.and_then(|line| line["stream"].as_str().map(str::to_owned));
    Ok(said.unwrap_or_else(|| format!("{}\n", body.trim())))
}
