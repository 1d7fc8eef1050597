//! How far the last run of a lab came, kept beside the data of the cloud that it ran against: for the
//! console's page of it.

use base::Timestamp;
use smithy::json::Writer;
use std::io;
use std::path::{Path, PathBuf};

const FOLDER: &str = "labs";
/// Of the reason why a step failed.
const REASON_BYTES_MAX: usize = 4096;

fn file(data: &Path, name: &str) -> PathBuf {
    data.join(FOLDER).join(format!("{name}.json"))
}

/// Notes that so many steps were as they should be, and why the next was not.
#[allow(clippy::disallowed_methods, reason = "a note of the lab's own, which may be lost")]
pub fn write(
    data: &Path,
    name: &str,
    done: usize,
    failed: Option<&str>,
    at: Timestamp,
) -> io::Result<()> {
    let mut out = Writer::with_capacity(128);
    out.open('{');
    out.key("done");
    out.integer(done as i64);
    if let Some(why) = failed {
        out.key("failed");
        out.string(&why[..why.floor_char_boundary(REASON_BYTES_MAX)]);
    }
    out.key("at");
    out.string(&at.iso8601_secs());
    out.close('}');
    let path = file(data, name);
    std::fs::create_dir_all(data.join(FOLDER))?;
    let new = path.with_extension("new");
    std::fs::write(&new, out.finish())?;
    std::fs::rename(&new, &path)
}

#[allow(clippy::disallowed_methods, reason = "as above")]
pub fn read(data: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(file(data, name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let folder = std::env::temp_dir().join(format!("cumulet-lab-state-{}", std::process::id()));
        let at = Timestamp::from_secs(1_800_000_000);
        assert_eq!(read(&folder, "one"), None);
        write(&folder, "one", 1, Some("a \"reason\""), at).unwrap();
        let expected = r#"{"done":1,"failed":"a \"reason\"","at":"2027-01-15T08:00:00Z"}"#;
        assert_eq!(read(&folder, "one").as_deref(), Some(expected));
        write(&folder, "one", 2, None, at).unwrap();
        assert_eq!(read(&folder, "one").unwrap(), r#"{"done":2,"at":"2027-01-15T08:00:00Z"}"#);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
