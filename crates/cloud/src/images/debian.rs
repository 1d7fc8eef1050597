//! A small Debian, made by debootstrap from this machine's package archive and given to the engine as it
//! is packed.

use super::failed;
use crate::exit::Failure;
use oci::Reference;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Removed with all that is in it, whatever happens.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn bootstrap(socket: &Path, reference: &Reference) -> Result<String, Failure> {
    let folder =
        Folder(std::env::temp_dir().join(format!("cumulet-debian-{}", std::process::id())));
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", &suite()])
        .arg(&folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| {
            failed(format!("debootstrap: {error}; as root: apt-get install debootstrap"))
        })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        return Err(failed(format!("debootstrap failed: {}", said.trim())));
    }
    // Packages that were fetched, and lists of what there is, are of no use in an image.
    for extra in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        let extra = folder.0.join(extra);
        let _ = std::fs::remove_dir_all(&extra);
        let _ = std::fs::create_dir_all(extra.join("partial"));
    }
    import(socket, reference, &folder.0)
}

/// This machine's own, if it is Debian.
fn suite() -> String {
    let text = engine_text("/etc/os-release");
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    match field("ID").as_deref() {
        Some("debian") => field("VERSION_CODENAME").unwrap_or_else(|| "stable".to_owned()),
        _ => "stable".to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "a file of this machine")]
fn engine_text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// As `docker import` does, with a body whose length nobody knows yet.
fn import(socket: &Path, reference: &Reference, folder: &Path) -> Result<String, Failure> {
    let at = socket.display();
    let lost = |error: std::io::Error| failed(format!("{at}: {error}; is the cloud up?"));
    let mut stream = UnixStream::connect(socket).map_err(lost)?;
    let changes = "changes=CMD%20%5B%22bash%22%5D";
    let head = format!(
        "POST /images/create?fromSrc=-&repo={}&{changes} HTTP/1.1\r\nHost: docker\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        reference.familiar()
    );
    stream.write_all(head.as_bytes()).map_err(lost)?;
    let mut tar = Command::new("tar")
        .args(["--numeric-owner", "-cf", "-", "-C"])
        .arg(folder)
        .arg(".")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("tar: {error}")))?;
    let mut packed = tar.stdout.take().ok_or_else(|| failed("tar says nothing"))?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let n = packed.read(&mut piece).map_err(|error| failed(format!("tar: {error}")))?;
        // The last piece is an empty one.
        let framed = [format!("{n:x}\r\n").as_bytes(), &piece[..n], b"\r\n"].concat();
        stream.write_all(&framed).map_err(lost)?;
        if n == 0 {
            break;
        }
    }
    let packed = tar.wait().is_ok_and(|status| status.success());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(lost)?;
    if !packed || !answer.contains("\"status\":\"sha256:") {
        let said = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
        return Err(failed(format!("the engine refused the image: {}", said.trim())));
    }
    Ok(format!("Loaded image: {}", reference.familiar()))
}
