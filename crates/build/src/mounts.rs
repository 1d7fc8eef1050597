//! What a step of BuildKit sees beside its image: caches, secrets, and files of the context and of
//! other images.

use crate::caches::{Held, Look};
use crate::context::Context;
use engine::config::{MountSpec, StepMount, TmpfsOptions};
use engine::image::{Driver, Images};
use engine::{Error, blocking};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// All mounts of one step. What lies on the disk for it goes when this goes.
#[derive(Default, Debug)]
pub struct Mounted {
    pub plain: Vec<MountSpec>,
    pub layers: Vec<StepMount>,
    pub env: Vec<String>,
    held: Vec<Held>,
    scratch: Vec<Scratch>,
    contexts: Vec<Arc<Context>>,
}

/// A folder of ours that is removed with all that is in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the files of a bind come from.
#[derive(Clone, Debug)]
pub enum Files {
    Context(Arc<Context>),
    /// Folders of an image, the topmost first.
    Layers(Vec<String>),
}

impl Mounted {
    pub fn cache(&mut self, held: Held, mount: &dockerfile::Mount, target: String) {
        let source = held.content.display().to_string();
        self.held.push(held);
        self.layers.push(StepMount {
            target,
            layers: vec![source],
            upper: None,
            path: "/".to_owned(),
            readonly: mount.readonly,
        });
    }

    pub fn tmpfs(&mut self, size: u64, target: String) {
        let options = TmpfsOptions {
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
            ..TmpfsOptions::default()
        };
        self.plain.push(MountSpec {
            kind: "tmpfs".to_owned(),
            target,
            tmpfs_options: Some(options),
            ..MountSpec::default()
        });
    }

    /// A secret as a file that only its owner reads.
    pub async fn secret(
        &mut self,
        images: &Images,
        mount: &dockerfile::Mount,
        target: String,
        content: Vec<u8>,
    ) -> Result<(), Error> {
        let place = images.scratch("secret");
        let scratch = Scratch(place.clone());
        let (mode, uid, gid) = (mount.mode.unwrap_or(0o400), mount.uid, mount.gid);
        blocking(move || {
            std::fs::DirBuilder::new().mode(0o700).create(&place)?;
            let path = place.join("secret");
            let file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            std::io::Write::write_all(&mut &file, &content)?;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode))?;
            Ok(())
        })
        .await?;
        self.layers.push(StepMount {
            target,
            layers: vec![scratch.0.display().to_string()],
            upper: None,
            path: "/secret".to_owned(),
            readonly: true,
        });
        self.scratch.push(scratch);
        Ok(())
    }

    /// What a step writes to it is seen by that step alone.
    pub async fn bind(
        &mut self,
        images: &Images,
        mount: &dockerfile::Mount,
        target: String,
        files: Files,
    ) -> Result<(), Error> {
        let mut layers = match files {
            Files::Context(context) => {
                let place = context.place_path().display().to_string();
                self.contexts.push(context);
                vec![place]
            }
            Files::Layers(layers) => layers,
        };
        if !mount.readonly && images.driver() == Driver::Copy {
            let text =
                "binds that a step may write to take an overlay, which there is none of here";
            return Err(Error::new(engine::Kind::NotDone, text));
        }
        let mut upper = None;
        if layers.is_empty() || !mount.readonly {
            let place = images.scratch("mount");
            let scratch = Scratch(place.clone());
            let path = |name: &str| scratch.0.join(name).display().to_string();
            let (up, work, empty) = (path("upper"), path("work"), path("empty"));
            blocking(move || {
                for name in ["upper", "work", "empty"] {
                    std::fs::create_dir_all(place.join(name))?;
                }
                Ok(())
            })
            .await?;
            if layers.is_empty() {
                layers.push(empty);
            }
            upper = (!mount.readonly).then_some((up, work));
            self.scratch.push(scratch);
        }
        let path = format!("/{}", mount.source.trim_start_matches('/'));
        self.layers.push(StepMount { target, layers, upper, path, readonly: mount.readonly });
        Ok(())
    }
}

/// How a cache looks that is made for a mount.
pub fn look(mount: &dockerfile::Mount) -> Look {
    Look { mode: mount.mode.unwrap_or(0o755), uid: mount.uid, gid: mount.gid }
}
