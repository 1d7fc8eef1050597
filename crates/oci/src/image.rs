//! The configuration of an image: its digest is the image's id.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// Layers of one image, at most; overlay file systems take about as many.
pub const LAYERS_MAX: usize = 127;
pub const CONFIG_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct ImageConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default)]
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(default)]
    pub os: String,
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// How a container of it runs, as the Docker Engine API has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
    pub rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig, String> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err("the image's configuration is too long".to_owned());
        }
        let config: ImageConfig = serde_json::from_slice(bytes)
            .map_err(|error| format!("the image's configuration is not understood: {error}"))?;
        if config.rootfs.diff_ids.len() > LAYERS_MAX {
            return Err("max depth exceeded".to_owned());
        }
        Ok(config)
    }

    /// The names of the stacks of layers, the lowest first.
    pub fn chain(&self) -> Vec<Digest> {
        let mut below = None;
        self.rootfs
            .diff_ids
            .iter()
            .map(|layer| *below.insert(Digest::chain(below, *layer)))
            .collect()
    }
}
