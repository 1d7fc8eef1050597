//! Reads overlays (`models/<svc>.toml`): what a model does not say and we decide.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// The package and version that the model was taken from.
    pub source: String,
    /// The prefix of its IAM actions; by default the signing name.
    pub action_prefix: Option<String>,
    /// The namespace of its XML documents where the model has none.
    pub xml_namespace: Option<String>,
    /// Wire protocols that are served beside the model's own (`query` for old clients of SQS).
    pub extra_protocols: Vec<String>,
    /// Whether the gateway checks the model's constraints.
    pub validate: bool,
    /// Required members in the query string or headers pick the operation (S3).
    pub route_by_required: bool,
    /// Lists and maps whose items stand directly in their parent in query strings and XML, under names
    /// that the model has lost: by shape name.
    pub flat: BTreeMap<String, FlatRow>,
    /// Patterns of strings in place of the model's, where the service itself takes more: by shape name.
    pub patterns: BTreeMap<String, String>,
    /// Structures that are unions though the model does not say so.
    pub unions: Vec<String>,
    /// Shapes that a type of ours stands for, which reads and writes its own JSON: by shape name.
    pub custom: BTreeMap<String, String>,
    /// Our crate that has those types.
    pub custom_crate: Option<String>,
    /// Responses carry `x-amz-crc32`.
    pub crc32: bool,
    /// Times in responses have no fraction of a second.
    pub whole_seconds: bool,
    /// Errors that the model omits, or whose code or status it has wrong: by shape name.
    pub errors: BTreeMap<String, ErrorRow>,
    /// Root element of an output, by operation.
    pub xml_roots: BTreeMap<String, String>,
    pub operations: BTreeMap<String, OperationRow>,
    /// Members of structures within inputs, as `Structure.Member`, that are refused, so that nobody reads
    /// what is below them. See `cargo xtask test members`.
    pub refused_within: Vec<String>,
    /// Those that no code reads, each with the reason.
    pub unread: BTreeMap<String, String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct FlatRow {
    /// Of an item, or of an entry.
    pub name: String,
    /// Of what an entry consists of.
    pub key: Option<String>,
    pub value: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct ErrorRow {
    pub code: Option<String>,
    pub status: Option<u16>,
    /// `sender` or `receiver`.
    pub fault: Option<String>,
}

/// A served operation.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct OperationRow {
    /// `read`, `write` or `async`.
    pub kind: String,
    /// `open`, `code`, or rules: `s3:GetObject on arn:{partition}:s3:::{Bucket}/{Key}`.
    #[serde(default)]
    pub auth: Auth,
    /// Input members that do what they say.
    #[serde(default)]
    pub acted: Vec<String>,
    /// Input members that are kept and given back, and change nothing.
    #[serde(default)]
    pub stored: Vec<String>,
    /// Input members that are answered 501.
    #[serde(default)]
    pub refused: Vec<String>,
    /// HTTP status of a success where the model has it wrong.
    pub status: Option<u16>,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub enum Auth {
    Word(String),
    Rules(Vec<String>),
}

impl Default for Auth {
    fn default() -> Auth {
        Auth::Rules(Vec::new())
    }
}

impl Overlay {
    pub fn read(path: &Path) -> Result<Overlay, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}
