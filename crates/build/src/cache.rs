//! Finding the image that a step would make.

use crate::state::State;
use engine::Error;
use engine::image::{Image, Images};
use oci::image::ImageConfig;

/// The newest image that was made of the same parent by the same words. With `from`, only what those
/// images are made of counts, wherever they were made. Blocks.
pub fn find(
    images: &Images,
    state: &State,
    created_by: &str,
    from: &[String],
) -> Result<Option<Image>, Error> {
    if !from.is_empty() {
        return find_in(images, state, created_by, from);
    }
    let steps = state.config.history.len() + 1;
    let fits = |image: &Image| {
        let history = &image.config.history;
        history.len() == steps
            && history.last().and_then(|last| last.created_by.as_deref()) == Some(created_by)
            && image.config.rootfs.diff_ids.starts_with(&state.config.rootfs.diff_ids)
    };
    let found = images.children(&state.image)?.into_iter().filter(fits);
    Ok(found.max_by(|a, b| a.config.created.cmp(&b.config.created)))
}

fn find_in(
    images: &Images,
    state: &State,
    created_by: &str,
    from: &[String],
) -> Result<Option<Image>, Error> {
    for name in from {
        let Ok(source) = images.find(name) else { continue };
        let Some(config) = beginning(&source.config, state, created_by) else { continue };
        let id = images.add_built(&config, None, &[], &state.image)?;
        return images.find(&id).map(Some);
    }
    Ok(None)
}

/// The image one step further, as `source` has it, if it began as this one.
fn beginning(source: &ImageConfig, state: &State, created_by: &str) -> Option<ImageConfig> {
    let own = &state.config;
    let at = own.history.len();
    let step = source.history.get(at)?;
    let same = own.history.iter().zip(&source.history).all(|(a, b)| {
        a.created_by == b.created_by && a.empty_layer == b.empty_layer && a.created == b.created
    });
    let below = own.rootfs.diff_ids.len();
    if !same
        || step.created_by.as_deref() != Some(created_by)
        || !source.rootfs.diff_ids.starts_with(&own.rootfs.diff_ids)
    {
        return None;
    }
    let layers = below + usize::from(!step.empty_layer);
    let mut config = own.clone();
    config.created = step.created.clone();
    config.rootfs.diff_ids = source.rootfs.diff_ids.get(..layers)?.to_vec();
    config.history.push(step.clone());
    config.config = serde_json::to_value(&state.run).ok();
    if at + 1 == source.history.len() {
        // The whole of it: the same image, under the same id.
        return Some(source.clone());
    }
    Some(config)
}
