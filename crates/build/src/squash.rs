//! All layers that a build made, as one.

use crate::state::State;
use engine::Error;
use engine::image::Images;
use oci::image::{History, ImageConfig};

/// A new image: `base` and one layer more. Blocks.
pub fn squash(images: &Images, state: &State, base: &ImageConfig) -> Result<String, Error> {
    let below = base.rootfs.diff_ids.len();
    let sealed = images.merge(&state.config, below)?;
    let created = engine::time::rfc3339_nano(engine::time::now_ns());
    let mut config = state.config.clone();
    config.created = Some(created.clone());
    config.rootfs.diff_ids.truncate(below);
    // Steps of the build stay in the history, without layers of their own.
    for step in config.history.iter_mut().skip(base.history.len()) {
        step.empty_layer = true;
    }
    if let Some(sealed) = &sealed {
        config.rootfs.diff_ids.push(sealed.diff_id);
    }
    config.history.push(History {
        created: Some(created),
        comment: Some(format!("merge {} to {}", state.image, base_name(base))),
        empty_layer: sealed.is_none(),
        ..History::default()
    });
    images.add_built(&config, sealed, &[], "")
}

fn base_name(base: &ImageConfig) -> String {
    serde_json::to_vec(base).map(|text| oci::Digest::of(&text).to_string()).unwrap_or_default()
}
