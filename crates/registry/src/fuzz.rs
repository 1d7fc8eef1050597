//! What the fuzz target runs, and a unit test from a fixed seed: what clients and other registries say.

use crate::client::auth::Challenge;
use crate::path::{self, Place};
use crate::{manifests, uploads};

/// A path, a manifest, a challenge, and the range of a piece: the first line says of what type the
/// manifest is said to be.
pub fn fuzz_registry(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    match path::parse(text) {
        Place::Manifest(name, last) | Place::Blob(name, last) if path::is_name(name) => {
            assert!(!name.contains("..") && !name.contains("//"));
            assert!(!path::is_tag(last) || !last.contains('/'));
        }
        _ => {}
    }
    if let Some(digest) = path::digest(text) {
        assert_eq!(path::digest(&digest).as_ref(), Some(&digest));
    }
    let (given, manifest) = text.split_once('\n').unwrap_or(("", text));
    for given in [None, Some(given)] {
        if let Ok(parsed) = manifests::parse(manifest.as_bytes(), given) {
            assert!(
                parsed.blobs.iter().chain(&parsed.manifests).all(|d| path::digest(d).is_some())
            );
        }
    }
    if let Some(challenge) = Challenge::parse(text) {
        assert!(!challenge.scheme.contains(' '));
    }
    for length in [None, Some(0), Some(5)] {
        if let Some(first) = uploads::range_start(text, length) {
            assert!(first.checked_add(length.unwrap_or(0)).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_of_noise() {
        let manifest = concat!(
            "application/vnd.oci.image.manifest.v1+json\n",
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""config":{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"#,
            r#""layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}],"annotations":{"a":"b"}}"#
        );
        let seeds: [&[u8]; 7] = [
            manifest.as_bytes(),
            b"/v2/a/b/manifests/latest",
            b"/v2/a/blobs/uploads/x",
            b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            br#"Bearer realm="https://a/token",service="b",scope="repository:c:pull""#,
            b"bytes 0-4/5",
            b"0-4",
        ];
        let words: [&[u8]; 8] = [
            b"18446744073709551615",
            b"-",
            b"/blobs/",
            b"..",
            b"\"",
            b"=",
            b",",
            b"\"subject\":{\"digest\":\"x\"},",
        ];
        base::noise::run(7, 30_000, &seeds, &words, super::fuzz_registry);
    }
}
