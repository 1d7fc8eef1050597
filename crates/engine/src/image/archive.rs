//! Images in files: what `docker load`, `save`, `import` read and write.

use super::pour::pour;
use super::{Hashing, Images, Layers, Source, plain};
use crate::config::Config;
use crate::error::Error;
use oci::digest::Hasher;
use oci::image::{CONFIG_BYTES_MAX, History, ImageConfig, RootFs};
use oci::manifest::{
    Descriptor, Index, MANIFEST_BYTES_MAX, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER,
    OCI_MANIFEST, SavedImage,
};
use oci::tar::{Entry, Kind, Reader, Writer};
use oci::{Digest, Reference};
use rustix::fs::FallocateFlags;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Files of one archive, at most.
const FILES_MAX: usize = 100_000;

/// What a load brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    Tag(String),
    Id(String),
}

/// An archive on disk, with where its files are.
struct Archive {
    file: File,
    places: BTreeMap<String, (u64, u64)>,
    /// How many layers are still to come from a place.
    wanted: RefCell<BTreeMap<(u64, u64), usize>>,
}

impl Archive {
    fn open(file: File) -> Result<Archive, Error> {
        let mut places = BTreeMap::new();
        let mut links: BTreeMap<String, String> = BTreeMap::new();
        let mut from = file.try_clone()?;
        from.seek(SeekFrom::Start(0))?;
        let mut reader = Reader::new(from);
        let wrong = |error: oci::tar::TarError| Error::invalid(error.to_string());
        while let Some(entry) = reader.next_entry().map_err(wrong)? {
            let path = String::from_utf8_lossy(&entry.path).trim_start_matches("./").to_owned();
            let to = String::from_utf8_lossy(&entry.link).into_owned();
            match entry.kind {
                Kind::File => {
                    let at = reader.get_mut().stream_position()?;
                    places.insert(path, (at, entry.size));
                }
                Kind::HardLink => drop(links.insert(path, to)),
                // Older versions of Docker saved a layer once and linked to it.
                Kind::Symlink => drop(links.insert(path.clone(), beside(&path, &to))),
                _ => {}
            }
            if places.len() + links.len() > FILES_MAX {
                return Err(Error::invalid("the archive has too many files"));
            }
        }
        for (path, to) in links {
            if let Some(place) = places.get(&to).copied() {
                places.insert(path, place);
            }
        }
        Ok(Archive { file, places, wanted: RefCell::default() })
    }

    fn source(&self, path: &str) -> Result<Source<'static>, Error> {
        let (at, size) = self.place(path)?;
        let mut file = reopened(&self.file)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Box::new(file.take(size)))
    }

    fn place(&self, path: &str) -> Result<(u64, u64), Error> {
        let place = self.places.get(path).copied();
        place.ok_or_else(|| Error::invalid(format!("the archive has no {path}")))
    }

    fn text(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let (_, size) = self.place(path)?;
        if size > bytes_max as u64 {
            return Err(Error::invalid(format!("{path} is too long")));
        }
        let mut text = Vec::new();
        self.source(path)?.read_to_end(&mut text)?;
        Ok(text)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let text = self.text(path, MANIFEST_BYTES_MAX)?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::invalid(format!("{path} is not understood: {error}")))
    }

    /// A sync takes all that the file system has in memory: what was unpacked need not be in it twice.
    fn forget(&self, path: &str) {
        let Ok(place) = self.place(path) else { return };
        let mut wanted = self.wanted.borrow_mut();
        let Some(left) = wanted.get_mut(&place) else { return };
        *left -= 1;
        if *left == 0 && place.1 > 0 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // It goes with the file anyway.
            let _ = rustix::fs::fallocate(&self.file, flags, place.0, place.1);
        }
    }

    fn blob(digest: &Digest) -> String {
        format!("blobs/sha256/{}", digest.hex())
    }
}

/// Layers by the paths that a manifest of Docker's names.
struct Saved<'a> {
    archive: &'a Archive,
    paths: &'a [String],
}

impl Layers<'static> for Saved<'_> {
    fn source(&mut self, n: usize) -> Result<Source<'static>, Error> {
        self.archive.source(&self.paths[n])
    }

    fn taken(&mut self, n: usize) {
        self.archive.forget(&self.paths[n]);
    }
}

/// With a position of its own.
fn reopened(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    #[allow(clippy::disallowed_methods, reason = "a file of our own, opened once more")]
    File::open(path)
}

fn beside(path: &str, to: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Images {
    /// All images of an archive, as `docker save` or an OCI layout has them. The file is used up.
    pub fn load(&self, file: File) -> Result<Vec<Loaded>, Error> {
        let archive = Archive::open(self.uncompressed(file)?)?;
        if archive.places.contains_key("manifest.json") {
            let saved: Vec<SavedImage> = archive.json("manifest.json")?;
            for layer in saved.iter().flat_map(|image| &image.layers) {
                if let Ok(place) = archive.place(layer) {
                    *archive.wanted.borrow_mut().entry(place).or_default() += 1;
                }
            }
            let each = saved.iter().map(|image| self.load_saved(&archive, image));
            return Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect());
        }
        if archive.places.contains_key("index.json") {
            let index: Index = archive.json("index.json")?;
            let mut loaded = Vec::new();
            for descriptor in &index.manifests {
                loaded.extend(self.load_descriptor(&archive, descriptor, 0)?);
            }
            return Ok(loaded);
        }
        Err(Error::invalid("unrecognized image format"))
    }

    /// Where a file has to be looked into at several places, it is decompressed first.
    fn uncompressed(&self, mut file: File) -> Result<File, Error> {
        let mut head = [0; 2];
        file.seek(SeekFrom::Start(0))?;
        let read = file.read(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        if head[..read] != [0x1f, 0x8b] {
            return Ok(file);
        }
        Ok(self.kept_aside(plain(Box::new(file))?)?)
    }

    /// What comes, in a file without a name.
    pub fn kept_aside(&self, from: impl Read) -> io::Result<File> {
        let mut out = self.scratch_file()?;
        pour(&mut self.roomy(from)?, &mut out, u64::MAX)?;
        Ok(out)
    }

    /// A file without a name, gone when it is closed.
    pub fn scratch_file(&self) -> io::Result<File> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let path = self.scratch("file");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(CWD, &path, flags, Mode::from_raw_mode(0o600))?;
        std::fs::remove_file(&path)?;
        Ok(File::from(file))
    }

    fn load_saved(&self, archive: &Archive, saved: &SavedImage) -> Result<Vec<Loaded>, Error> {
        let config = archive.text(&saved.config, CONFIG_BYTES_MAX)?;
        let parsed = ImageConfig::parse(&config).map_err(Error::invalid)?;
        if parsed.rootfs.diff_ids.len() != saved.layers.len() {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                parsed.rootfs.diff_ids.len(),
                saved.layers.len()
            )));
        }
        let tags = saved.repo_tags.as_deref().unwrap_or_default();
        let tags: Vec<Reference> = tags
            .iter()
            .map(|tag| Reference::parse(tag).map(Reference::with_default_tag))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::invalid(error.to_string()))?;
        let layers = Saved { archive, paths: &saved.layers };
        let id = self.add(&config, layers, &tags, "")?;
        Ok(loaded(id, &tags))
    }

    fn load_descriptor(
        &self,
        archive: &Archive,
        descriptor: &Descriptor,
        depth: u32,
    ) -> Result<Vec<Loaded>, Error> {
        if depth > 3 {
            return Err(Error::invalid("the archive's indexes lead nowhere"));
        }
        if descriptor.media_type.ends_with("index.v1+json")
            || descriptor.media_type.ends_with("manifest.list.v2+json")
        {
            let index: Index = archive.json(&Archive::blob(&descriptor.digest))?;
            let ours = index.manifests.iter().filter(|one| {
                one.platform.as_ref().is_none_or(|platform| platform.architecture == architecture())
            });
            let mut all = Vec::new();
            for inner in ours {
                // The name stands beside the outer one.
                let mut inner = inner.clone();
                inner.annotations.extend(descriptor.annotations.clone());
                all.extend(self.load_descriptor(archive, &inner, depth + 1)?);
            }
            return Ok(all);
        }
        let manifest: Manifest = archive.json(&Archive::blob(&descriptor.digest))?;
        let config = archive.text(&Archive::blob(&manifest.config.digest), CONFIG_BYTES_MAX)?;
        let names = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let name = names.iter().find_map(|name| descriptor.annotations.get(*name));
        let tags: Vec<Reference> = name
            .and_then(|name| Reference::parse(name).ok())
            .map(Reference::with_default_tag)
            .into_iter()
            .collect();
        let layer = |n: usize| match manifest.layers.get(n) {
            Some(layer) => archive.source(&Archive::blob(&layer.digest)),
            None => Err(Error::invalid("invalid manifest, layers length mismatch")),
        };
        let id = self.add(&config, layer, &tags, "")?;
        Ok(loaded(id, &tags))
    }

    /// An image of one layer, out of a plain archive of files.
    pub fn import(
        &self,
        file: File,
        reference: Option<&Reference>,
        run: &Config,
        message: &str,
    ) -> Result<String, Error> {
        let source = || -> Result<Source<'static>, Error> {
            let mut again = reopened(&file)?;
            again.seek(SeekFrom::Start(0))?;
            Ok(plain(Box::new(again))?)
        };
        let mut hashing = Hashing { from: source()?, hasher: Hasher::default() };
        io::copy(&mut hashing, &mut io::sink())?;
        let created = crate::time::rfc3339_nano(crate::time::now_ns());
        let config = ImageConfig {
            created: Some(created.clone()),
            architecture: architecture().to_owned(),
            os: "linux".to_owned(),
            config: serde_json::to_value(run).ok(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![hashing.hasher.finish()] },
            history: vec![History {
                created: Some(created),
                comment: Some(message.to_owned()),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let text = serde_json::to_vec(&config).map_err(io::Error::from)?;
        let tags: Vec<Reference> = reference.cloned().into_iter().collect();
        self.add(&text, |_| source(), &tags, "")
    }

    /// Writes images as one archive, in Docker's form and as an OCI layout at once.
    pub fn save(&self, names: &[String], to: &mut impl Write) -> Result<(), Error> {
        let mut writer = Writer::new(to);
        let mut saved: BTreeMap<String, SavedImage> = BTreeMap::new();
        let mut manifests = Vec::new();
        let mut written = std::collections::BTreeSet::new();
        for name in names {
            let image = self.find(name)?;
            // By its id an image has no name.
            let by_name = Reference::parse(name).ok().map(Reference::with_default_tag);
            let tag = by_name.map(|name| name.familiar()).filter(|tag| image.tags.contains(tag));
            if let Some(known) = saved.get_mut(&image.id) {
                if let Some(tag) = tag {
                    known.repo_tags.get_or_insert_default().push(tag);
                }
                continue;
            }
            let mut layers = Vec::new();
            for (layer, diff_id) in image.config.chain().iter().zip(&image.config.rootfs.diff_ids) {
                let path = Archive::blob(diff_id);
                let size = self.write_once(&mut writer, &path, &mut written, |to| {
                    self.write_layer(&layer.hex(), to)
                })?;
                layers.push((path, *diff_id, size));
            }
            let config_digest = Digest::of(&image.row.config);
            let config_path = Archive::blob(&config_digest);
            if written.insert(config_path.clone()) {
                writer.file(&config_path, 0o444, &image.row.config)?;
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(OCI_MANIFEST.to_owned()),
                config: descriptor(OCI_CONFIG, config_digest, image.row.config.len() as u64),
                layers: layers
                    .iter()
                    .map(|(_, d, size)| descriptor(OCI_LAYER, *d, *size))
                    .collect(),
            };
            let text = serde_json::to_vec(&manifest).map_err(io::Error::from)?;
            let digest = Digest::of(&text);
            if written.insert(Archive::blob(&digest)) {
                writer.file(&Archive::blob(&digest), 0o444, &text)?;
            }
            let mut outer = descriptor(OCI_MANIFEST, digest, text.len() as u64);
            if let Some(tag) = &tag {
                let whole = Reference::parse(tag).map(|tag| tag.to_string()).unwrap_or_default();
                outer.annotations.insert("io.containerd.image.name".to_owned(), whole);
            }
            manifests.push(outer);
            let layers = layers.into_iter().map(|(path, ..)| path).collect();
            let repo_tags = tag.map(|tag| vec![tag]);
            saved.insert(image.id, SavedImage { config: config_path, repo_tags, layers });
        }
        let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests };
        let json = |value: serde_json::Result<Vec<u8>>| value.map_err(io::Error::from);
        writer.file("index.json", 0o644, &json(serde_json::to_vec(&index))?)?;
        let saved: Vec<&SavedImage> = saved.values().collect();
        writer.file("manifest.json", 0o644, &json(serde_json::to_vec(&saved))?)?;
        writer.file("oci-layout", 0o444, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        writer.finish()?;
        Ok(())
    }

    /// A layer's length is known only once it has been put together.
    fn write_once(
        &self,
        writer: &mut Writer<impl Write>,
        path: &str,
        written: &mut std::collections::BTreeSet<String>,
        make: impl Fn(&mut File) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut file = self.scratch_file()?;
        make(&mut file)?;
        let size = file.stream_position()?;
        if !written.insert(path.to_owned()) {
            return Ok(size);
        }
        let mut entry = Entry::new(path, Kind::File, 0o444);
        entry.size = size;
        writer.entry(&entry)?;
        file.seek(SeekFrom::Start(0))?;
        let mut piece = vec![0; 256 * 1024];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(size),
                n => writer.write_content(&piece[..n])?,
            }
        }
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    let media_type = media_type.to_owned();
    Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
}

fn loaded(id: String, tags: &[Reference]) -> Vec<Loaded> {
    match tags {
        [] => vec![Loaded::Id(id)],
        tags => tags.iter().map(|tag| Loaded::Tag(tag.familiar())).collect(),
    }
}

/// This machine's, as images name it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
