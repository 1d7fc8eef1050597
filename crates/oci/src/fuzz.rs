//! What the fuzz targets call, and the unit suite from fixed seeds.

use crate::image::ImageConfig;
use crate::reference::Reference;
use crate::tar::Reader;

/// A tar of any kind: every entry is read to its end.
pub fn tar(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(!entry.path.is_empty());
        if std::io::copy(&mut reader.content(), &mut std::io::sink()).is_err() {
            return;
        }
    }
}

/// What parses comes out as it went in.
pub fn reference(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(reference) = Reference::parse(text)
    {
        assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
        assert_eq!(Reference::parse(&reference.familiar()).as_ref(), Ok(&reference));
    }
}

pub fn config(bytes: &[u8]) {
    if let Ok(config) = ImageConfig::parse(bytes) {
        assert_eq!(config.chain().len(), config.rootfs.diff_ids.len());
    }
}
