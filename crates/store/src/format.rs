//! Which build's data a folder holds.

use crate::disk::{Disk, OpenMode};
use crate::error::OpenError;
use std::io::ErrorKind;

/// Raised whenever an older build could not read what this one writes; once between two releases
/// is enough. 2: rows of S3 and IAM have fields that 1 does not know. 3: a short blob stands in the
/// reference to it.
pub(crate) const FORMAT: u32 = 3;

const FILE: &str = "FORMAT";
const WORDS: &str = "cumulet store, format ";

/// The format of the store that the folder holds, if it holds one. What is there and no store is
/// refused.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<u32>, OpenError> {
    let file = match disk.open(FILE, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A first start that was cut short leaves nothing but a log without commits.
            let names = disk.list("")?;
            let foreign = names.iter().find(|name| !matches!(name.as_str(), "log" | "FORMAT.new"));
            return match foreign {
                Some(name) => Err(OpenError::Foreign(format!(
                    "it has no {FILE} file, but `{name}`; choose an empty folder"
                ))),
                None => Ok(None),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = vec![0; file.len()?.min(100) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = text.strip_prefix(WORDS).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    match number {
        Some(found) if found > FORMAT => Err(OpenError::Newer { found, known: FORMAT }),
        Some(found) => Ok(Some(found)),
        None => Err(OpenError::Foreign(format!("its {FILE} file is not ours"))),
    }
}

/// Says that the folder holds a store, once all the rest of it is there.
pub(crate) fn write(disk: &dyn Disk) -> Result<(), OpenError> {
    let new = format!("{FILE}.new");
    match disk.remove(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = disk.open(&new, OpenMode::CreateNew)?;
    file.write_all_at(format!("{WORDS}{FORMAT}\n").as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&new, FILE)?;
    disk.sync_dir("")?;
    Ok(())
}
