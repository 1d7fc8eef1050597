//! A kernel from Debian's package, downloaded with the machine's own apt and unpacked beside everything else that
//! is built: nothing of the machine changes.

use crate::run;
use std::path::{Path, PathBuf};

/// It names the newest one.
const META: &str = "linux-image-cloud-amd64";
/// What the machine may need of it, below `kernel`.
const MODULES: [&str; 8] = [
    "block",
    "crypto",
    "drivers/block",
    "drivers/net/veth.ko",
    "drivers/virtio",
    "fs/overlayfs",
    "lib",
    "net",
];

pub struct Kernel {
    /// With its version.
    pub package: String,
    pub image: PathBuf,
    modules: PathBuf,
    release: String,
}

/// Downloads and unpacks it, unless it is there.
pub fn unpacked(folder: &Path) -> Result<Kernel, String> {
    let depends = run::must(folder, "apt-cache", &["depends", META])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let release = name.ok_or(format!("apt knows no {META}: apt-get update"))?.trim().to_owned();
    let package = format!("linux-image-{release}");
    let place = folder.join(&package);
    if !place.is_dir() {
        println!("    will unpack into {} Debian's package {package}", folder.display());
        download(folder, &package, &place)?;
    }
    let version = std::fs::read_to_string(place.join("version")).unwrap_or_default();
    Ok(Kernel {
        package: format!("{package} {}", version.trim()),
        image: place.join(format!("boot/vmlinuz-{release}")),
        modules: place.join("lib/modules").join(&release),
        release,
    })
}

/// Whole or not at all.
fn download(folder: &Path, package: &str, place: &Path) -> Result<(), String> {
    let partial = folder.join("partial");
    let _ = std::fs::remove_dir_all(&partial);
    let unpacked = partial.join("unpacked");
    std::fs::create_dir_all(&unpacked)
        .map_err(|error| format!("{}: {error}", unpacked.display()))?;
    let words = ["-q", "-o", "APT::Sandbox::User=root", "download", package];
    run::must(&partial, "apt-get", &words)?;
    let entries = std::fs::read_dir(&partial).map_err(|error| error.to_string())?;
    let mut files = entries.flatten().map(|entry| entry.path());
    let deb = files.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let deb = deb.ok_or("apt-get downloaded nothing")?.display().to_string();
    run::must(&partial, "dpkg-deb", &["-x", &deb, &unpacked.to_string_lossy()])?;
    let version = run::must(&partial, "dpkg-deb", &["-f", &deb, "Version"])?;
    std::fs::write(unpacked.join("version"), version).map_err(|error| error.to_string())?;
    std::fs::rename(&unpacked, place).map_err(|error| format!("{}: {error}", place.display()))?;
    std::fs::remove_dir_all(&partial).map_err(|error| format!("{}: {error}", partial.display()))
}

impl Kernel {
    /// Paths in the machine, and contents. Which of them needs which others, the machine finds out.
    pub fn modules(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut found = Vec::new();
        for name in MODULES {
            gather(&self.modules.join("kernel").join(name), &mut found)
                .map_err(|error| format!("{name} of {}: {error}", self.package))?;
        }
        for name in ["modules.builtin", "modules.order"] {
            let path = self.modules.join(name);
            if path.is_file() {
                gather(&path, &mut found).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        let place = format!("lib/modules/{}", self.release);
        let inside = |path: &Path| {
            let below = path.strip_prefix(&self.modules).unwrap_or(path);
            format!("{place}/{}", below.display())
        };
        Ok(found.into_iter().map(|(path, content)| (inside(&path), content)).collect())
    }
}

fn gather(path: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) -> std::io::Result<()> {
    if path.is_file() {
        found.push((path.to_owned(), std::fs::read(path)?));
        return Ok(());
    }
    let mut inner: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    inner.sort();
    inner.iter().try_for_each(|path| gather(path, found))
}
