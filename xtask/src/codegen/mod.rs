//! `cargo xtask gen`: service models and overlays in, `gen/<svc>/` out.
//!
//! The output is tables, types and a trait; see house rules in ARCHITECTURE.md. It is committed, and
//! a test regenerates it and compares.

mod model;
mod names;
mod overlay;
mod service;
mod tables;
mod types;

use model::Model;
pub use overlay::Overlay;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The model of one service with what the overlay adds, and what of it is generated.
pub struct Source {
    pub name: String,
    pub model: Model,
    pub overlay: Overlay,
    /// Structures that served operations reach, by shape name.
    pub structs: BTreeSet<String>,
    /// Those of them that stand within inputs, below members that are acted on.
    pub inner: BTreeSet<String>,
    /// Shape name to Rust type name, where it differs.
    pub renames: BTreeMap<String, String>,
}

impl Source {
    pub fn new(name: &str, model: Model, overlay: Overlay) -> Result<Source, String> {
        let mut source = Source {
            name: name.to_owned(),
            model,
            overlay,
            structs: BTreeSet::new(),
            inner: BTreeSet::new(),
            renames: BTreeMap::new(),
        };
        source.check()?;
        source.flatten()?;
        source.rename_ends();
        source.reach();
        source.check_within()?;
        Ok(source)
    }

    /// Gives lists and maps the names that the overlay says the query protocol has.
    fn flatten(&mut self) -> Result<(), String> {
        for (name, row) in &self.overlay.flat {
            let Some(shape) = self.model.shapes.get_mut(name) else {
                return Err(format!("flat: {name} is no shape of the model"));
            };
            let kind = shape["type"].as_str().unwrap_or("").to_owned();
            shape["flattened"] = true.into();
            match (kind.as_str(), &row.key, &row.value) {
                ("list", None, None) => {
                    shape["member"]["locationName"] = row.name.as_str().into();
                }
                ("map", Some(key), Some(value)) => {
                    shape["entryName"] = row.name.as_str().into();
                    shape["key"]["locationName"] = key.as_str().into();
                    shape["value"]["locationName"] = value.as_str().into();
                }
                _ => return Err(format!("flat: {name} is a {kind}; only maps have key and value")),
            }
        }
        Ok(())
    }

    /// Served operations exist, and each of their input members is in exactly one list.
    fn check(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for (name, row) in &self.overlay.operations {
            let Some(operation) = self.model.operations.get(name) else {
                problems.push(format!("{name} is no operation of the model"));
                continue;
            };
            let mut missing: BTreeSet<&str> = BTreeSet::new();
            if let Some(input) = operation["input"]["shape"].as_str()
                && let Some(members) = self.model.shape(input)["members"].as_object()
            {
                missing.extend(members.keys().map(String::as_str));
            }
            for member in row.acted.iter().chain(&row.stored).chain(&row.refused) {
                if !missing.remove(member.as_str()) {
                    problems.push(format!("{name}: {member} is no input member, or listed twice"));
                }
            }
            if !missing.is_empty() {
                let list = missing.into_iter().collect::<Vec<_>>().join("\", \"");
                problems.push(format!("{name}: not acted on, stored or refused: \"{list}\""));
            }
            if !["read", "write", "async"].contains(&row.kind.as_str()) {
                problems.push(format!("{name}: kind is read, write or async, not {}", row.kind));
            }
            if matches!(&row.auth, overlay::Auth::Rules(rules) if rules.is_empty()) {
                problems.push(format!("{name}: no auth; say \"open\" if everybody may call it"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// Inputs and outputs that serve one operation alone are named after it.
    fn rename_ends(&mut self) {
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        for operation in self.model.operations.values() {
            for side in ["input", "output"] {
                if let Some(shape) = operation[side]["shape"].as_str() {
                    *uses.entry(shape.to_owned()).or_default() += 1;
                }
            }
        }
        for shape in self.model.shapes.values() {
            for target in targets(shape) {
                *uses.entry(target).or_default() += 1;
            }
        }
        for (name, operation) in &self.model.operations {
            for (side, suffix) in [("input", "Input"), ("output", "Output")] {
                let Some(shape) = operation[side]["shape"].as_str() else { continue };
                let wanted = format!("{name}{suffix}");
                let free = shape == wanted || !self.model.shapes.contains_key(&wanted);
                if uses[shape] == 1 && free {
                    self.renames.insert(shape.to_owned(), wanted);
                }
            }
        }
    }

    fn reach(&mut self) {
        let mut queue = Vec::new();
        for name in self.overlay.operations.keys() {
            let operation = &self.model.operations[name];
            for side in ["input", "output"] {
                queue.extend(operation[side]["shape"].as_str().map(str::to_owned));
            }
            for error in operation["errors"].as_array().into_iter().flatten() {
                queue.extend(error["shape"].as_str().map(str::to_owned));
            }
        }
        self.structs = self.structs_from(queue, false);
        let mut within = Vec::new();
        for (name, row) in &self.overlay.operations {
            let Some(input) = self.model.operations[name]["input"]["shape"].as_str() else {
                continue;
            };
            let members = &self.model.shape(input)["members"];
            within.extend(row.acted.iter().filter_map(|m| members[m]["shape"].as_str()));
        }
        self.inner = self.structs_from(within.into_iter().map(str::to_owned).collect(), true);
    }

    /// The structures that are among these shapes and below them; with `taken`, not below what is refused.
    fn structs_from(&self, mut queue: Vec<String>, taken: bool) -> BTreeSet<String> {
        let (mut seen, mut structs) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = queue.pop() {
            if !seen.insert(name.clone()) || self.overlay.custom.contains_key(&name) {
                continue;
            }
            let shape = self.model.shape(&name);
            let refused = |member: &str| {
                taken && self.overlay.refused_within.contains(&format!("{name}.{member}"))
            };
            queue.extend(targets_but(shape, refused));
            if shape["type"] == "structure" && shape["document"] != true {
                structs.insert(name);
            }
        }
        structs
    }

    /// The members of structures within inputs.
    fn watched(&self) -> Vec<Watched> {
        let mut all = Vec::new();
        for shape in &self.inner {
            let type_name = self.type_of(shape);
            for (member, _) in types::members(self.model.shape(shape)) {
                let name = format!("{shape}.{member}");
                let field = match self.is_union(shape) {
                    true => types::variant(member),
                    false => names::field(member).trim_start_matches("r#").to_owned(),
                };
                let excused = self.overlay.unread.contains_key(&name);
                all.push(Watched { name, type_name: type_name.clone(), field, excused });
            }
        }
        all
    }

    fn check_within(&self) -> Result<(), String> {
        let watched = self.watched();
        let known = |name: &&String| watched.iter().any(|one| one.name == **name);
        let mut named = self.overlay.refused_within.iter().chain(self.overlay.unread.keys());
        match named.find(|name| !known(name)) {
            Some(name) => {
                Err(format!("refused_within, unread: {name} is no member within an input"))
            }
            None => Ok(()),
        }
    }

    /// The Rust type of a structure.
    pub fn type_of(&self, shape: &str) -> String {
        self.renames.get(shape).cloned().unwrap_or_else(|| names::type_name(shape))
    }

    pub fn is_union(&self, shape: &str) -> bool {
        self.model.shape(shape)["union"] == true
            || self.overlay.unions.iter().any(|u| u == shape)
            || self.model.shape(shape)["eventstream"] == true
    }
}

/// A member of a structure that stands within an input.
pub struct Watched {
    /// As the model has it: `Structure.Member`.
    pub name: String,
    pub type_name: String,
    pub field: String,
    /// Whether the overlay says why no code reads it.
    pub excused: bool,
}

/// All of a service.
pub fn watched(root: &Path, service: &str) -> Result<Vec<Watched>, String> {
    Ok(load(root, service)?.watched())
}

/// Names of the shapes that a shape refers to.
fn targets(shape: &serde_json::Value) -> Vec<String> {
    targets_but(shape, |_| false)
}

/// The same, but for those of members that are left out.
fn targets_but(shape: &serde_json::Value, left_out: impl Fn(&str) -> bool) -> Vec<String> {
    let members = types::members(shape).filter(|(name, _)| !left_out(name)).map(|(_, row)| row);
    let ends = ["member", "key", "value"].into_iter().map(|k| &shape[k]);
    members.chain(ends).filter_map(|m| m["shape"].as_str().map(str::to_owned)).collect()
}

/// Files of one generated crate, by path below `gen/<svc>/`.
pub fn generate(source: &Source) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("Cargo.toml", service::manifest(source)),
        ("src/lib.rs", service::library(source)),
        ("src/types.rs", types::types(source)),
        ("src/tables.rs", tables::tables(source)),
        ("src/errors.rs", tables::errors(source)),
    ])
}

/// Services that have an overlay.
fn services(root: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(root.join("models")).map_err(|e| format!("models: {e}"))?;
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Each service with the number of operations in its model, and its overlay.
pub fn overlays(root: &Path) -> Result<Vec<(String, usize, Overlay)>, String> {
    let read = |name: String| {
        let source = load(root, &name)?;
        Ok((name, source.model.operations.len(), source.overlay))
    };
    services(root)?.into_iter().map(read).collect()
}

fn load(root: &Path, name: &str) -> Result<Source, String> {
    let mut model = Model::read(&root.join(format!("models/{name}.json")))?;
    let overlay = Overlay::read(&root.join(format!("models/{name}.toml")))?;
    for (shape, pattern) in &overlay.patterns {
        let own = model.shapes.get_mut(shape).ok_or(format!("models/{name}.toml: no {shape}"))?;
        own["pattern"] = pattern.as_str().into();
    }
    Source::new(name, model, overlay).map_err(|e| format!("models/{name}.toml:\n{e}"))
}

/// Writes `gen/`, or with `check` reports what differs from it.
pub fn run(root: &Path, check: bool) -> Result<(), String> {
    let mut stale = Vec::new();
    for name in services(root)? {
        let source = load(root, &name)?;
        for (path, text) in generate(&source) {
            let path = root.join("gen").join(&name).join(path);
            let text = if path.extension().is_some_and(|e| e == "rs") {
                format_rust(&text)?
            } else {
                text
            };
            if fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            if check {
                stale.push(path.display().to_string());
                continue;
            }
            fs::create_dir_all(path.parent().expect("below gen")).map_err(|e| e.to_string())?;
            fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("not up to date, run `cargo xtask gen`:\n{}", stale.join("\n")))
    }
}

fn format_rust(text: &str) -> Result<String, String> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustfmt: {e}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|e| format!("rustfmt: {e}"))?;
    writer.join().expect("no panic").map_err(|e| format!("rustfmt: {e}"))?;
    if !output.status.success() {
        return Err("rustfmt refused generated code".into());
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

/// Makes `models/<svc>.json` from an unpacked botocore (its `data` folder), for the named services.
pub fn import(root: &Path, data: &Path, services: &[String]) -> Result<(), String> {
    for name in services {
        let model = botocore_model(data, name)?;
        let path = root.join(format!("models/{name}.json"));
        model::write(&model::strip(&model), &path)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The newest `service-2.json` of a service in a botocore data folder, unpacked by Python, which the
/// tests need anyway.
fn botocore_model(data: &Path, name: &str) -> Result<serde_json::Value, String> {
    let folder = data.join(name);
    let mut versions: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    versions.sort();
    let newest = versions.last().ok_or(format!("{}: empty", folder.display()))?;
    let script = "import gzip,sys;sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let packed = newest.join("service-2.json.gz");
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&packed)
        .output()
        .map_err(|e| format!("python3: {e}"))?;
    if !output.status.success() {
        return Err(format!("cannot unpack {}", packed.display()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{}: {e}", packed.display()))
}

/// Digests every service of a botocore data folder with all its operations served, and gives the
/// number of types. Proves that the generator knows all that models contain.
pub fn digest(data: &Path, services: &[String]) -> Result<usize, String> {
    let mut types = 0;
    for name in services {
        let stripped = model::strip(&botocore_model(data, name)?);
        let model = Model::parse(&stripped.to_string())?;
        let overlay = everything(&model);
        let source = Source::new(name, model, overlay).map_err(|e| format!("{name}: {e}"))?;
        types += source.structs.len();
        for (path, text) in generate(&source) {
            if path.ends_with(".rs") {
                format_rust(&text).map_err(|e| format!("{name}/{path}: {e}"))?;
            }
        }
    }
    Ok(types)
}

fn everything(model: &Model) -> Overlay {
    let mut overlay = Overlay::default();
    for (name, operation) in &model.operations {
        let input = operation["input"]["shape"].as_str();
        let members = input.and_then(|shape| model.shape(shape)["members"].as_object());
        let row = overlay::OperationRow {
            kind: "write".into(),
            auth: overlay::Auth::Word("open".into()),
            acted: members.map(|m| m.keys().cloned().collect()).unwrap_or_default(),
            stored: Vec::new(),
            refused: Vec::new(),
            status: None,
        };
        overlay.operations.insert(name.clone(), row);
    }
    overlay
}

/// Prints overlay rows for operations that shall be served, every member acted on, to be corrected.
pub fn propose(root: &Path, service: &str, operations: &[String]) -> Result<(), String> {
    let model = Model::read(&root.join(format!("models/{service}.json")))?;
    let all = everything(&model);
    for name in operations {
        let row = all.operations.get(name).ok_or(format!("{name} is no operation of {service}"))?;
        println!("[operations.{name}]\nkind = \"write\"\nauth = [\"{service}:{name} on *\"]");
        println!("acted = {:?}\n", row.acted);
    }
    Ok(())
}
