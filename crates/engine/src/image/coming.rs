//! Images on their way in: layers whose folders are there before their rows, and the room that they leave.

use super::{Images, LAYERS, SCOPE, open_folder};
use oci::Digest;
use oci::image::ImageConfig;
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

pub(super) type Coming = Arc<Mutex<BTreeMap<String, usize>>>;

pub(super) struct Expected {
    images: Images,
    keys: Vec<String>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let images = &self.images;
        let mut coming = images.coming.lock();
        for key in &self.keys {
            let left = coming.get(key).map_or(0, |count| count.saturating_sub(1));
            if left > 0 {
                coming.insert(key.clone(), left);
                continue;
            }
            coming.remove(key);
            let known = images.store.read(|tx| tx.exists(&LAYERS, &SCOPE, key.as_str()));
            if known.is_ok_and(|known| !known) && images.layers.join(key).exists() {
                images.remove_layer_files(key);
            }
        }
    }
}

impl Images {
    /// Until this is dropped nobody takes the image's layers away, whose folders are there before their
    /// rows; afterwards those that got no row go.
    pub(super) fn expect(&self, config: &ImageConfig) -> Expected {
        let keys: Vec<String> = config.chain().iter().map(Digest::hex).collect();
        let mut coming = self.coming.lock();
        for key in &keys {
            *coming.entry(key.clone()).or_default() += 1;
        }
        drop(coming);
        Expected { images: self.clone(), keys }
    }
}

/// So much has to stay free for the rows of all that is here.
const ROOM_BYTES: u64 = 64 << 20;
/// So often it is looked at.
const ROOM_EVERY_BYTES: u64 = 8 << 20;

fn check_room(folder: &OwnedFd) -> io::Result<()> {
    let stat = rustix::fs::fstatvfs(folder)?;
    match stat.f_bavail.saturating_mul(stat.f_frsize) < ROOM_BYTES {
        true => Err(rustix::io::Errno::NOSPC.into()),
        false => Ok(()),
    }
}

/// Gives nothing more once the disk is nearly full.
#[derive(Debug)]
pub struct Roomy<R> {
    from: R,
    folder: OwnedFd,
    since: u64,
}

impl Images {
    /// Refuses to go on when the disk is nearly full.
    pub fn check_room(&self) -> io::Result<()> {
        check_room(&open_folder(&self.scratch)?)
    }

    /// What is read through it is on its way to the disk.
    pub fn roomy<R: Read>(&self, from: R) -> io::Result<Roomy<R>> {
        let folder = open_folder(&self.scratch)?;
        check_room(&folder)?;
        Ok(Roomy { from, folder, since: 0 })
    }
}

impl<R: Read> Read for Roomy<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.since += read as u64;
        if self.since >= ROOM_EVERY_BYTES {
            self.since = 0;
            check_room(&self.folder)?;
        }
        Ok(read)
    }
}
