//! Versions of an object: found, put in place, taken away.
//!
//! The latest is in [`OBJECTS`], all others in [`VERSIONS`]. At most one version of a key is the
//! null version, whose id is written `null`.

use crate::bucket::scope;
use crate::replication;
use crate::rows::*;
use api::{Cx, Error, Tx};
use base::Entropy;
use gen_s3::errors as e;
use std::sync::Arc;
use store::Desc;

/// How the null version is written.
pub const NULL: &str = "null";

pub fn no_such_key(key: &str) -> Error {
    Error::new(&e::NO_SUCH_KEY, "The specified key does not exist.").detail("Key", key)
}

pub fn no_such_version(key: &str, version: &str) -> Error {
    Error::new(&e::NO_SUCH_VERSION, "The specified version does not exist.")
        .detail("Key", key)
        .detail("VersionId", version)
}

/// Refuses what can be no id of a version, before anybody looks for it.
pub fn check_id(version: Option<&str>, argument: &'static str) -> Result<(), Error> {
    let text = match version {
        Some("") => "Version id cannot be the empty string",
        Some(id) if id != NULL && sequence_of(id).is_none() => "Invalid version id specified",
        _ => return Ok(()),
    };
    Err(Error::new(&e::INVALID_ARGUMENT, text)
        .detail("ArgumentName", argument)
        .detail("ArgumentValue", version.unwrap_or_default()))
}

/// The id as clients see it; `None` in a bucket that never had versions.
pub fn shown_id(bucket: &BucketRow, row: &ObjectRow) -> Option<String> {
    match (bucket.versioning, row.version_id.is_empty()) {
        (Versioning::Unversioned, _) => None,
        (_, true) => Some(NULL.into()),
        (_, false) => Some(row.version_id.clone()),
    }
}

/// [`find`] for reads, which often want the same object: it is decoded once for all of them.
pub fn find_shared(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    version: Option<&str>,
) -> Result<Option<Arc<ObjectRow>>, Error> {
    match version {
        None => Ok(tx.get_shared(&OBJECTS, &scope(bucket), &(bucket.number, key))?),
        Some(_) => Ok(find(tx, bucket, key, version)?.map(Arc::new)),
    }
}

/// The id as the answer to a write shows it: the null version of a suspended bucket is not named.
pub fn written_id(bucket: &BucketRow, row: &ObjectRow) -> Option<String> {
    shown_id(bucket, row).filter(|_| bucket.versioning == Versioning::Enabled)
}

/// The latest version, a delete marker included, or the version of that id.
pub fn find(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    version: Option<&str>,
) -> Result<Option<ObjectRow>, Error> {
    let latest = tx.get(&OBJECTS, &scope(bucket), &(bucket.number, key))?;
    let Some(version) = version else { return Ok(latest) };
    let wanted = if version == NULL { "" } else { version };
    match latest {
        Some(row) if row.version_id == wanted => Ok(Some(row)),
        _ => find_older(tx, bucket, key, wanted),
    }
}

/// The version of that number, if it is still there.
pub fn of_sequence(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    sequence: u64,
) -> Result<Option<ObjectRow>, Error> {
    match tx.get(&OBJECTS, &scope(bucket), &(bucket.number, key))? {
        Some(row) if row.sequence == sequence => Ok(Some(row)),
        _ => Ok(tx.get(&VERSIONS, &scope(bucket), &(bucket.number, key, Desc(sequence)))?),
    }
}

fn find_older(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    wanted: &str,
) -> Result<Option<ObjectRow>, Error> {
    let scope = scope(bucket);
    if let Some(sequence) = sequence_of(wanted) {
        let row = tx.get(&VERSIONS, &scope, &(bucket.number, key, Desc(sequence)))?;
        return Ok(row.filter(|row| row.version_id == wanted));
    }
    if !wanted.is_empty() {
        return Ok(None);
    }
    for row in tx.scan(&VERSIONS, &scope).prefix(&(bucket.number, key)) {
        let (_, row) = row?;
        if row.version_id.is_empty() {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

const ID_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Digits of the sequence number at the head of a version id.
const SEQUENCE_DIGITS: usize = 13;

/// A version id: its sequence number, so that it can be found, and chance, so that it cannot be
/// guessed. 32 characters, as S3's are.
fn new_id(entropy: &dyn Entropy, sequence: u64) -> String {
    let digit =
        |i: usize| ID_ALPHABET[(sequence >> (5 * (SEQUENCE_DIGITS - 1 - i)) & 31) as usize] as char;
    let mut id: String = (0..SEQUENCE_DIGITS).map(digit).collect();
    id.push_str(&entropy.text(ID_ALPHABET, 32 - SEQUENCE_DIGITS));
    id
}

/// The sequence that a version id begins with.
pub fn sequence_of(id: &str) -> Option<u64> {
    if id.len() != 32 {
        return None;
    }
    id.bytes().take(SEQUENCE_DIGITS).try_fold(0u64, |n, b| {
        let digit = ID_ALPHABET.iter().position(|a| *a == b)? as u64;
        n.checked_mul(32)?.checked_add(digit)
    })
}

/// Puts a new version (object or delete marker) in place as the latest, with its number and id, and
/// moves or removes what it displaces. `nth` tells apart versions of one key in one transaction.
pub fn install(
    tx: &mut Tx,
    cx: &Cx,
    bucket: &BucketRow,
    key: &str,
    mut row: ObjectRow,
    nth: u64,
) -> Result<ObjectRow, Error> {
    number(tx, &*cx.entropy, bucket, &mut row, nth);
    replication::made(tx, bucket, key, &mut row)?;
    displace(tx, bucket, key, row)
}

/// The same where nobody asked: for jobs. The delete markers that they make are not replicated.
pub fn install_new(
    tx: &mut Tx,
    entropy: &dyn Entropy,
    bucket: &BucketRow,
    key: &str,
    mut row: ObjectRow,
    nth: u64,
) -> Result<ObjectRow, Error> {
    number(tx, entropy, bucket, &mut row, nth);
    if !row.delete_marker {
        replication::made(tx, bucket, key, &mut row)?;
    }
    displace(tx, bucket, key, row)
}

/// Puts a copy of another bucket's version in place, with the number, the id and the time that it has
/// there, among the versions made here: the one that was made last is the latest. Nothing changes where
/// it is already.
pub fn install_replica(
    tx: &mut Tx,
    bucket: &BucketRow,
    key: &str,
    row: &ObjectRow,
) -> Result<(), Error> {
    if find(tx, bucket, key, Some(&row.version_id))?.is_some() {
        return Ok(());
    }
    row.blobs.iter().try_for_each(|blob| tx.retain_blob(blob))?;
    let scope = scope(bucket);
    let latest = tx.get(&OBJECTS, &scope, &(bucket.number, key))?;
    match latest {
        Some(latest) if latest.sequence > row.sequence => {
            tx.put(&VERSIONS, &scope, &(bucket.number, key, Desc(row.sequence)), row)?;
        }
        Some(older) => {
            tx.put(&VERSIONS, &scope, &(bucket.number, key, Desc(older.sequence)), &older)?;
            tx.put(&OBJECTS, &scope, &(bucket.number, key), row)?;
        }
        None => tx.put(&OBJECTS, &scope, &(bucket.number, key), row)?,
    }
    Ok(())
}

/// Gives a new version its number, its time and its id.
fn number(tx: &Tx, entropy: &dyn Entropy, bucket: &BucketRow, row: &mut ObjectRow, nth: u64) {
    row.sequence = (tx.version() + 1) << 16 | nth;
    row.modified = base::Timestamp::from_secs(tx.now().to_secs());
    if bucket.versioning == Versioning::Enabled {
        row.version_id = new_id(entropy, row.sequence);
    }
}

/// Writes a new version as the latest, and moves or removes what it displaces.
fn displace(
    tx: &mut Tx,
    bucket: &BucketRow,
    key: &str,
    row: ObjectRow,
) -> Result<ObjectRow, Error> {
    let scope = scope(bucket);
    if let Some(old) = tx.get(&OBJECTS, &scope, &(bucket.number, key))? {
        if row.version_id.is_empty() && old.version_id.is_empty() {
            release(tx, &old)?;
        } else {
            tx.put(&VERSIONS, &scope, &(bucket.number, key, Desc(old.sequence)), &old)?;
        }
        if bucket.versioning == Versioning::Suspended && !old.version_id.is_empty() {
            remove_older_null(tx, bucket, key)?;
        }
    }
    tx.put(&OBJECTS, &scope, &(bucket.number, key), &row)?;
    Ok(row)
}

/// Writes a version again where it stands, with other metadata or another access control list.
pub fn rewrite(tx: &mut Tx, bucket: &BucketRow, key: &str, row: &ObjectRow) -> Result<(), Error> {
    let scope = scope(bucket);
    let latest = tx.get(&OBJECTS, &scope, &(bucket.number, key))?;
    if latest.is_some_and(|latest| latest.sequence == row.sequence) {
        tx.put(&OBJECTS, &scope, &(bucket.number, key), row)?;
    } else {
        tx.put(&VERSIONS, &scope, &(bucket.number, key, Desc(row.sequence)), row)?;
    }
    Ok(())
}

fn remove_older_null(tx: &mut Tx, bucket: &BucketRow, key: &str) -> Result<(), Error> {
    if let Some(old) = find_older(tx, bucket, key, "")? {
        release(tx, &old)?;
        tx.delete(&VERSIONS, &scope(bucket), &(bucket.number, key, Desc(old.sequence)))?;
    }
    Ok(())
}

/// Takes one version away for good. If it was the latest, the newest of the others takes its place.
pub fn remove(tx: &mut Tx, bucket: &BucketRow, key: &str, row: &ObjectRow) -> Result<(), Error> {
    let scope = scope(bucket);
    release(tx, row)?;
    let latest = tx.get(&OBJECTS, &scope, &(bucket.number, key))?;
    if latest.is_none_or(|latest| latest.sequence != row.sequence) {
        tx.delete(&VERSIONS, &scope, &(bucket.number, key, Desc(row.sequence)))?;
        return Ok(());
    }
    match tx.first(&VERSIONS, &scope, &(bucket.number, key))? {
        Some(((_, _, sequence), next)) => {
            tx.delete(&VERSIONS, &scope, &(bucket.number, key, sequence))?;
            tx.put(&OBJECTS, &scope, &(bucket.number, key), &next)?;
        }
        None => tx.delete(&OBJECTS, &scope, &(bucket.number, key))?,
    }
    Ok(())
}

/// Gives up the bytes of a version that goes.
pub(crate) fn release(tx: &mut Tx, row: &ObjectRow) -> Result<(), Error> {
    for blob in &row.blobs {
        tx.release_blob(blob)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    #[test]
    fn an_id_names_its_sequence() {
        let entropy = SeededEntropy::new(1);
        for sequence in [0, 1, 1 << 16, u64::MAX >> 1, u64::MAX] {
            let id = new_id(&entropy, sequence);
            assert_eq!((id.len(), sequence_of(&id)), (32, Some(sequence)));
        }
        for bad in ["", "null", "0", &"9".repeat(32), &"7".repeat(32)] {
            assert_eq!(sequence_of(bad), None, "{bad}");
        }
    }
}
