//! Reads stripped service models (`models/<svc>.json`) and makes them from botocore's.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// A service model as read from JSON; accessors panic with the place on what a model never lacks.
pub struct Model {
    pub metadata: Value,
    pub operations: BTreeMap<String, Value>,
    pub shapes: BTreeMap<String, Value>,
}

impl Model {
    pub fn read(path: &Path) -> Result<Model, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Model::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Model, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let map = |key: &str| -> Result<BTreeMap<String, Value>, String> {
            let object = value[key].as_object().ok_or(format!("no {key}"))?;
            Ok(object.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
        };
        Ok(Model {
            metadata: value["metadata"].clone(),
            operations: map("operations")?,
            shapes: map("shapes")?,
        })
    }

    pub fn shape(&self, name: &str) -> &Value {
        self.shapes.get(name).unwrap_or_else(|| panic!("shape {name} is not in the model"))
    }

    pub fn kind(&self, name: &str) -> &str {
        self.shape(name)["type"].as_str().unwrap_or_else(|| panic!("shape {name} has no type"))
    }
}

const METADATA: [&str; 13] = [
    "apiVersion",
    "awsQueryCompatible",
    "endpointPrefix",
    "jsonVersion",
    "protocol",
    "protocols",
    "serviceAbbreviation",
    "serviceFullName",
    "serviceId",
    "signatureVersion",
    "signingName",
    "targetPrefix",
    "xmlNamespace",
];
const OPERATION: [&str; 8] =
    ["http", "input", "output", "errors", "authtype", "unsignedPayload", "readonly", "idempotent"];
const SHAPE: [&str; 23] = [
    "type",
    "required",
    "members",
    "member",
    "key",
    "value",
    "enum",
    "min",
    "max",
    "pattern",
    "sensitive",
    "flattened",
    "payload",
    "locationName",
    "xmlNamespace",
    "timestampFormat",
    "streaming",
    "eventstream",
    "event",
    "exception",
    "error",
    "fault",
    "union",
];
const EXTRA_SHAPE: [&str; 3] = ["document", "sparse", "jsonvalue"];
const MEMBER: [&str; 14] = [
    "shape",
    "location",
    "locationName",
    "queryName",
    "flattened",
    "xmlAttribute",
    "xmlNamespace",
    "idempotencyToken",
    "streaming",
    "eventpayload",
    "eventheader",
    "timestampFormat",
    "hostLabel",
    "jsonvalue",
];

fn pick(value: &Value, keys: &[&str]) -> Map<String, Value> {
    let object = value.as_object().expect("an object");
    let wanted = |k: &String| keys.contains(&k.as_str());
    object.iter().filter(|(k, _)| wanted(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Leaves the facts of a botocore model (shapes, constraints, names) and drops its prose.
pub fn strip(full: &Value) -> Value {
    let mut operations = Map::new();
    for (name, operation) in full["operations"].as_object().expect("operations") {
        let mut kept = pick(operation, &OPERATION);
        for side in ["input", "output"] {
            if let Some(side) = kept.get_mut(side) {
                *side =
                    pick(side, &["shape", "locationName", "resultWrapper", "xmlNamespace"]).into();
            }
        }
        if let Some(Value::Array(errors)) = kept.get_mut("errors") {
            *errors = errors.iter().map(|e| json!({"shape": e["shape"]})).collect();
        }
        operations.insert(name.clone(), kept.into());
    }
    let mut shapes = Map::new();
    for (name, shape) in full["shapes"].as_object().expect("shapes") {
        let mut kept = pick(shape, &SHAPE);
        kept.extend(pick(shape, &EXTRA_SHAPE));
        if let Some(Value::Object(members)) = kept.get_mut("members") {
            for member in members.values_mut() {
                *member = pick(member, &MEMBER).into();
            }
        }
        for side in ["member", "key", "value"] {
            if let Some(side) = kept.get_mut(side) {
                *side = pick(side, &["shape", "locationName"]).into();
            }
        }
        shapes.insert(name.clone(), kept.into());
    }
    json!({
        "metadata": pick(&full["metadata"], &METADATA),
        "operations": operations,
        "shapes": shapes,
    })
}

/// Writes a model with a line for each operation and shape, so that a newer one shows as a diff.
pub fn write(model: &Value, path: &Path) -> std::io::Result<()> {
    let mut out = Vec::new();
    writeln!(out, "{{\"metadata\": {},", model["metadata"])?;
    for (section, last) in [("operations", false), ("shapes", true)] {
        writeln!(out, "\"{section}\": {{")?;
        let entries = model[section].as_object().expect("an object");
        for (i, (name, value)) in entries.iter().enumerate() {
            let comma = if i + 1 == entries.len() { "" } else { "," };
            writeln!(out, "\"{name}\": {value}{comma}")?;
        }
        writeln!(out, "}}{}", if last { "}" } else { "," })?;
    }
    fs::write(path, out)
}
