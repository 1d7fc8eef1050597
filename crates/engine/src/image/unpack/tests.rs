//! These make devices and marks of the overlay, so they need root; CI runs as root.

use super::*;
use oci::tar::Writer;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

/// A folder beside a secret that no layer may reach.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir =
            std::env::temp_dir().join(format!("cumulet-unpack-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("layer")).unwrap();
        std::fs::write(dir.join("secret"), "s").unwrap();
        Place(dir)
    }

    fn layer(&self) -> PathBuf {
        self.0.join("layer")
    }

    fn unpack(&self, entries: &[(Entry, &[u8])]) -> Result<Unpacked> {
        self.unpack_onto(entries, &[])
    }

    fn unpack_onto(&self, entries: &[(Entry, &[u8])], below: &[OwnedFd]) -> Result<Unpacked> {
        let mut writer = Writer::new(Vec::new());
        for (entry, content) in entries {
            writer.entry(entry).unwrap();
            writer.write_content(content).unwrap();
        }
        let bytes = writer.finish().unwrap();
        unpack(
            &bytes[..],
            &open(&self.layer()),
            &Below { folders: below },
            1 << 20,
            &Recorder::default(),
        )
    }

    /// It failed or not, nothing outside was touched.
    fn check_outside(&self) {
        assert_eq!(std::fs::read_to_string(self.0.join("secret")).unwrap(), "s");
        let names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "layer" && name != "secret" && name != "below")
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, path, flags, Mode::empty()).unwrap()
}

fn file<'a>(path: &str, content: &'a [u8]) -> (Entry, &'a [u8]) {
    let mut entry = Entry::new(path, Kind::File, 0o644);
    entry.size = content.len() as u64;
    (entry, content)
}

fn link(path: &str, kind: Kind, to: &str) -> (Entry, &'static [u8]) {
    let mut entry = Entry::new(path, kind, 0o777);
    entry.link = to.as_bytes().to_vec();
    (entry, b"")
}

fn folder(path: &str) -> (Entry, &'static [u8]) {
    (Entry::new(path, Kind::Folder, 0o755), b"")
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: unpacking a layer needs root");
    }
    root
}

#[test]
fn a_plain_layer() {
    if !is_root() {
        return;
    }
    let place = Place::new("plain");
    let mut tool = file("bin/tool", b"x");
    tool.0.mode = 0o4755;
    tool.0.uid = 12;
    tool.0.mtime.seconds = 1000;
    let mut bin = folder("bin/");
    bin.0.mtime.seconds = 2000;
    let unpacked = place
        .unpack(&[
            bin,
            tool,
            link("bin/same", Kind::HardLink, "bin/tool"),
            link("bin/soft", Kind::Symlink, "/etc/passwd"),
            file("implicit/a", b"abc"),
        ])
        .unwrap();
    assert_eq!(unpacked.bytes, 4);
    let meta = std::fs::metadata(place.layer().join("bin/tool")).unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.uid(), meta.nlink(), meta.mtime()),
        (0o4755, 12, 2, 1000)
    );
    assert_eq!(std::fs::metadata(place.layer().join("bin")).unwrap().mtime(), 2000);
    assert_eq!(
        std::fs::read_link(place.layer().join("bin/soft")).unwrap(),
        Path::new("/etc/passwd")
    );
}

#[test]
fn what_is_removed_is_marked() {
    if !is_root() {
        return;
    }
    let place = Place::new("whiteout");
    place.unpack(&[file("a/.wh.gone", b""), file("b/.wh..wh..opq", b"")]).unwrap();
    let meta = std::fs::symlink_metadata(place.layer().join("a/gone")).unwrap();
    assert!(meta.file_type().is_char_device() && meta.rdev() == 0);
    let mut value = [0; 8];
    let b = open(&place.layer().join("b"));
    let length = rustix::fs::fgetxattr(&b, crate::sys::mounts::opaque_mark(), &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
}

#[test]
fn nothing_leads_out() {
    if !is_root() {
        return;
    }
    let outside: &[&[(Entry, &[u8])]] = &[
        &[file("../secret", b"x")],
        &[file("a/../../secret", b"x")],
        &[link("out", Kind::Symlink, ".."), file("out/secret", b"x")],
        &[link("out", Kind::Symlink, "/"), file("out/tmp/cumulet-escaped", b"x")],
        &[link("hard", Kind::HardLink, "../secret"), file("hard", b"x")],
        &[link("out", Kind::Symlink, ".."), link("hard", Kind::HardLink, "out/secret")],
        &[link("out", Kind::Symlink, ".."), file("out/.wh.secret", b"")],
        &[file(".wh...", b"")],
        &[file(".wh..", b"")],
    ];
    for (n, entries) in outside.iter().enumerate() {
        let place = Place::new(&format!("outside-{n}"));
        assert!(place.unpack(entries).is_err(), "{n}");
        place.check_outside();
    }
    // An absolute path is beneath the root; a link in a file's place is replaced, not followed.
    let place = Place::new("absolute");
    let secret = place.0.join("secret").display().to_string();
    place
        .unpack(&[
            file("/etc/x", b"x"),
            link("etc/link", Kind::Symlink, &secret),
            file("etc/link", b"new"),
        ])
        .unwrap();
    assert_eq!(std::fs::read(place.layer().join("etc/link")).unwrap(), b"new");
    place.check_outside();
}

#[test]
fn marks_cannot_be_forged() {
    if !is_root() {
        return;
    }
    let place = Place::new("forged");
    let mut device = Entry::new("x", Kind::Character, 0o666);
    device.device = (0, 0);
    assert!(place.unpack(&[(device, b"")]).is_err());
    let mut forged = folder("d/");
    forged.0.xattrs.insert(b"trusted.overlay.redirect".to_vec(), b"/".to_vec());
    place.unpack(&[forged]).unwrap();
    let mut value = [0; 8];
    let d = open(&place.layer().join("d"));
    assert!(rustix::fs::fgetxattr(&d, "trusted.overlay.redirect", &mut value).is_err());
}

#[test]
fn a_bomb_is_stopped() {
    if !is_root() {
        return;
    }
    let place = Place::new("bomb");
    let mut entry = Entry::new("big", Kind::File, 0o644);
    entry.size = 2 << 20;
    let content = vec![0; 2 << 20];
    assert!(place.unpack(&[(entry, &content)]).is_err());
}

#[test]
fn layers_below_are_looked_at() {
    if !is_root() {
        return;
    }
    let place = Place::new("below");
    let below = place.0.join("below");
    std::fs::create_dir_all(below.join("var/app")).unwrap();
    std::fs::write(below.join("var/app/data"), "d").unwrap();
    std::os::unix::fs::chown(below.join("var/app"), Some(7), Some(8)).unwrap();
    let layers = [open(&below)];
    place
        .unpack_onto(
            &[file("var/app/new", b"n"), link("var/app/again", Kind::HardLink, "var/app/data")],
            &layers,
        )
        .unwrap();
    let meta = std::fs::metadata(place.layer().join("var/app")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (7, 8));
    assert_eq!(std::fs::read(place.layer().join("var/app/again")).unwrap(), b"d");
    place.check_outside();
}
