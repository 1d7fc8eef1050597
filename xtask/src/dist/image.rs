//! The image: one layer with the program and little else, as an OCI layout in a tar that `docker load` takes
//! as well as any tool that knows layouts.

use oci::Digest;
use oci::image::{ImageConfig, RootFs};
use oci::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform,
    SavedImage,
};
use oci::tar::{Entry, Kind, Writer};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

const SECOND_NS: u64 = 1_000_000_000;
const PROGRAM: &str = "usr/local/bin/cumulet";
/// Where its state is, which is a volume.
const DATA: &str = "var/lib/cumulet";
/// Where LocalStack's users put scripts.
const INIT: &str = "etc/localstack/init/ready.d";
/// What it is started with. A file, so that it counts less than each variable that a container is given, of
/// ours or of LocalStack's.
const SETTINGS: &str = "etc/cumulet.toml";
/// One line each: nothing of a distribution is there.
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n";

/// What stands in the image beside the program: files that a program that is not static needs.
pub type Libraries = Vec<(String, Vec<u8>)>;

/// In the place of LocalStack, open to whoever reaches the port that is published, since that is what it is
/// published for.
fn settings() -> String {
    format!(
        "data = \"/{DATA}\"\nlisten = \"0.0.0.0:4566\"\nauth = \"open\"\ndrop_in = \"localstack\"\n\
         docker_socket = \"none\"\n\
         # What the module of testcontainers for Python signs with.\n\
         root_key = \"testcontainers-localstack:testcontainers-localstack\"\n"
    )
}

fn told(error: std::io::Error) -> String {
    format!("the image: {error}")
}

/// The layer. Folders before what is in them, all of root, with no time of their own, so that equal programs
/// make equal images.
fn layer(program: &[u8], libraries: &Libraries) -> std::io::Result<Vec<u8>> {
    let mut out = Writer::new(Vec::new());
    let mut folders = vec!["tmp", "root", "etc", "usr"];
    let mut all: Vec<String> = vec![PROGRAM.to_owned(), format!("{DATA}/x"), format!("{INIT}/x")];
    all.extend(libraries.iter().map(|(path, _)| path.clone()));
    let above: Vec<&str> =
        all.iter().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect();
    folders.extend(above);
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        let mode = if folder == "tmp" { 0o1777 } else { 0o755 };
        out.entry(&Entry::new(format!("{folder}/"), Kind::Folder, mode))?;
    }
    out.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
    out.file(SETTINGS, 0o644, settings().as_bytes())?;
    for (path, content) in libraries {
        out.file(path, 0o755, content)?;
    }
    out.file(PROGRAM, 0o755, program)?;
    out.finish()
}

fn json_of(value: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| format!("the image: {error}"))
}

fn descriptor(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(content),
        size: content.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

/// How a container of it runs. It is healthy when it answers and what fills it has ended.
fn config(architecture: &str, layer: &[u8]) -> ImageConfig {
    ImageConfig {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        config: Some(json!({
            "Entrypoint": [format!("/{PROGRAM}")],
            "Cmd": ["up"],
            "Env": [
                "PATH=/usr/local/bin",
                format!("CUMULET_CONFIG=/{SETTINGS}"),
            ],
            "Healthcheck": {
                "Test": ["CMD", format!("/{PROGRAM}"), "status"],
                "Interval": 2 * SECOND_NS,
                "Timeout": 10 * SECOND_NS,
                // While its scripts run nobody minds.
                "StartPeriod": 150 * SECOND_NS,
                "Retries": 3,
            },
            "ExposedPorts": {"4566/tcp": {}},
            "Volumes": {format!("/{DATA}"): {}},
            "WorkingDir": "/root",
            "Labels": {
                "org.opencontainers.image.title": "Cumulet",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        })),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![Digest::of(layer)] },
        ..ImageConfig::default()
    }
}

/// The archive, as bytes.
pub fn archive(
    program: &[u8],
    libraries: &Libraries,
    architecture: &str,
    tag: &str,
) -> Result<Vec<u8>, String> {
    let layer = layer(program, libraries).map_err(told)?;
    let config = json_of(&config(architecture, &layer))?;
    let layer_of = descriptor(OCI_LAYER, &layer);
    let config_of = descriptor(OCI_CONFIG, &config);
    let manifest = json_of(&Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: config_of.clone(),
        layers: vec![layer_of.clone()],
    })?;
    let mut manifest_of = descriptor(OCI_MANIFEST, &manifest);
    manifest_of.platform = Some(Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        variant: None,
    });
    let (_, short) = tag.rsplit_once(':').unwrap_or(("", tag));
    manifest_of.annotations = BTreeMap::from([
        ("io.containerd.image.name".to_owned(), format!("docker.io/library/{tag}")),
        ("org.opencontainers.image.ref.name".to_owned(), short.to_owned()),
    ]);
    let index = json_of(&Index {
        schema_version: 2,
        media_type: Some(OCI_INDEX.to_owned()),
        manifests: vec![manifest_of.clone()],
    })?;
    let place = |of: &Descriptor| format!("blobs/sha256/{}", of.digest.hex());
    let saved = json_of(&[SavedImage {
        config: place(&config_of),
        repo_tags: Some(vec![tag.to_owned()]),
        layers: vec![place(&layer_of)],
    }])?;
    let written = || -> std::io::Result<Vec<u8>> {
        let mut out = Writer::new(Vec::new());
        out.entry(&Entry::new("blobs/", Kind::Folder, 0o755))?;
        out.entry(&Entry::new("blobs/sha256/", Kind::Folder, 0o755))?;
        out.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        out.file("index.json", 0o644, &index)?;
        out.file("manifest.json", 0o644, &saved)?;
        for (of, content) in [(&config_of, &config), (&manifest_of, &manifest), (&layer_of, &layer)]
        {
            out.file(&place(of), 0o644, content)?;
        }
        out.finish()
    };
    written().map_err(told)
}

/// What a program that is not static is linked with, as `ldd` says.
pub fn libraries(program: &Path) -> Result<Libraries, String> {
    let finished = crate::run::capture(Path::new("/"), "ldd", &[&program.to_string_lossy()])?;
    let mut found = Libraries::new();
    for line in finished.stdout.lines() {
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        let Some(path) = path else { continue };
        let content = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        found.push((path.trim_start_matches('/').to_owned(), content));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::tar::Reader;

    #[test]
    fn an_archive_is_whole_and_the_same_each_time() {
        let libraries = vec![("lib64/ld.so".to_owned(), b"ld".to_vec())];
        let bytes = archive(b"program", &libraries, "amd64", "cumulet:test").expect("written");
        assert_eq!(archive(b"program", &libraries, "amd64", "cumulet:test").as_ref(), Ok(&bytes));
        let mut reader = Reader::new(&bytes[..]);
        let mut files = BTreeMap::new();
        while let Some(entry) = reader.next_entry().expect("a tar") {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut reader.content(), &mut content).expect("content");
            files.insert(String::from_utf8(entry.path).expect("text"), content);
        }
        let index: Index = serde_json::from_slice(&files["index.json"]).expect("an index");
        let blob = |of: &Descriptor| {
            let content = &files[&format!("blobs/sha256/{}", of.digest.hex())];
            assert_eq!((Digest::of(content), content.len() as u64), (of.digest, of.size));
            content.clone()
        };
        let manifest: Manifest =
            serde_json::from_slice(&blob(&index.manifests[0])).expect("a manifest");
        let config = ImageConfig::parse(&blob(&manifest.config)).expect("a configuration");
        assert_eq!(config.rootfs.diff_ids, [manifest.layers[0].digest]);
        let layer = blob(&manifest.layers[0]);
        let mut layer = Reader::new(&layer[..]);
        let mut paths = Vec::new();
        while let Some(entry) = layer.next_entry().expect("a tar") {
            paths.push(String::from_utf8(entry.path).expect("text"));
        }
        assert!(
            paths.iter().any(|path| path == PROGRAM) && paths.iter().any(|p| p == "lib64/ld.so")
        );
    }
}
