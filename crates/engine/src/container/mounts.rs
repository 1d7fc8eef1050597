//! What a container mounts: binds, volumes, temporary file systems, from every way to ask for them.

use crate::config::{CreateRequest, MountSpec, StepMount, nullable};
use crate::engine::Engine;
use crate::error::Error;
use crate::launch::{UserMount, list};
use crate::plan::{MountFlags, Propagation, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// As it is kept and as `inspect` shows it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    pub name: String,
    pub source: String,
    pub destination: String,
    pub driver: String,
    pub mode: String,
    #[serde(rename = "RW")]
    pub rw: bool,
    pub propagation: String,
    /// A new volume stays empty.
    #[serde(deserialize_with = "nullable")]
    pub no_copy: bool,
    pub non_recursive: bool,
    /// Read-only at its own place alone.
    pub read_only_non_recursive: bool,
    /// Below the volume's folder.
    pub subpath: String,
    /// Of a temporary file system.
    pub options: Vec<(String, Option<String>)>,
    /// Whether a bind's source is made if it is not there.
    pub makes_source: bool,
    /// Asked for by `--tmpfs`, which `inspect` does not list.
    pub is_plain_tmpfs: bool,
    /// Of a step of a build: where the source is looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepMount>,
}

fn specification(text: &str) -> Error {
    Error::invalid(format!("invalid volume specification: '{text}'"))
}

/// An absolute path without `.`, `..` and slashes too many.
fn clean(path: &str) -> String {
    let mut out = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => out.push(part),
            Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out.display().to_string()
}

fn destination(path: &str, whole: &str) -> Result<String, Error> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid volume specification: '{whole}': invalid mount config for type \"volume\": \
             invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    match clean(path).as_str() {
        "/" => Err(Error::invalid(format!(
            "invalid volume specification: '{whole}': invalid specification: destination can't be '/'"
        ))),
        path => Ok(path.to_owned()),
    }
}

/// `source:destination:options`, as `-v` has it.
fn parse_bind(text: &str) -> Result<MountPoint, Error> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(specification(text)),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(specification(text));
    }
    let mut point = MountPoint {
        destination: destination(target, text)?,
        mode: mode.to_owned(),
        rw: true,
        makes_source: true,
        ..MountPoint::default()
    };
    if source.starts_with('/') {
        point.kind = "bind".to_owned();
        point.source = clean(source);
        point.propagation = "rprivate".to_owned();
    } else {
        point.kind = "volume".to_owned();
        point.name = source.to_owned();
        point.driver = "local".to_owned();
    }
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" | "z" | "Z" => {}
            "ro" => point.rw = false,
            "nocopy" if point.kind == "volume" => point.no_copy = true,
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared"
                if point.kind == "bind" =>
            {
                point.propagation = option.to_owned();
            }
            _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok(point)
}

fn invalid_config(kind: &str, text: &str) -> Error {
    Error::invalid(format!("invalid mount config for type \"{kind}\": {text}"))
}

/// `--mount`.
fn parse_spec(spec: &MountSpec) -> Result<MountPoint, Error> {
    let kind = spec.kind.as_str();
    if spec.target.is_empty() {
        return Err(invalid_config(kind, "field Target must not be empty"));
    }
    if !spec.target.starts_with('/') {
        let target = &spec.target;
        return Err(invalid_config(
            kind,
            &format!("invalid mount path: '{target}' mount path must be absolute"),
        ));
    }
    let mut point = MountPoint {
        kind: kind.to_owned(),
        destination: clean(&spec.target),
        rw: !spec.read_only,
        ..MountPoint::default()
    };
    if point.destination == "/" {
        return Err(invalid_config(kind, "invalid specification: destination can't be '/'"));
    }
    match kind {
        "bind" => {
            if !spec.source.starts_with('/') {
                return Err(invalid_config(
                    kind,
                    &format!("invalid mount path: '{}' mount path must be absolute", spec.source),
                ));
            }
            point.source = clean(&spec.source);
            let options = spec.bind_options.clone().unwrap_or_default();
            point.makes_source = options.create_mountpoint;
            if !point.makes_source && !Path::new(&point.source).exists() {
                let text = format!("bind source path does not exist: {}", point.source);
                return Err(invalid_config(kind, &text));
            }
            point.propagation = match options.propagation.as_str() {
                "" => "rprivate".to_owned(),
                other => other.to_owned(),
            };
            point.non_recursive = options.non_recursive;
            point.read_only_non_recursive = options.read_only_non_recursive;
        }
        "volume" => {
            let options = spec.volume_options.clone().unwrap_or_default();
            let driver = options.driver_config.unwrap_or_default();
            if !matches!(driver.name.as_str(), "" | "local") || !driver.options.is_empty() {
                let text = "volume drivers other than local without options are not done";
                return Err(Error::new(crate::error::Kind::NotDone, text));
            }
            if options.subpath.starts_with('/') || options.subpath.split('/').any(|p| p == "..") {
                return Err(invalid_config(
                    kind,
                    "subpath must be a relative path within the volume",
                ));
            }
            point.name.clone_from(&spec.source);
            point.driver = "local".to_owned();
            point.mode = "z".to_owned();
            point.no_copy = options.no_copy;
            point.subpath = options.subpath;
        }
        "tmpfs" => {
            if !spec.source.is_empty() {
                return Err(invalid_config(kind, "field Source must not be specified"));
            }
            let options = spec.tmpfs_options.clone().unwrap_or_default();
            if options.size_bytes > 0 {
                point.options.push(("size".to_owned(), Some(options.size_bytes.to_string())));
            }
            let mode = if options.mode == 0 { 0o1777 } else { options.mode };
            point.options.push(("mode".to_owned(), Some(format!("{mode:o}"))));
        }
        other => return Err(Error::invalid(format!("mount type unknown: \"{other}\""))),
    }
    Ok(point)
}

/// `--tmpfs /x:size=64m,noexec`.
fn parse_tmpfs(target: &str, text: &str) -> Result<MountPoint, Error> {
    let mut point = MountPoint {
        kind: "tmpfs".to_owned(),
        destination: destination(target, target)?,
        rw: true,
        is_plain_tmpfs: true,
        mode: text.to_owned(),
        ..MountPoint::default()
    };
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (option, None),
        };
        match key {
            "ro" => point.rw = false,
            "rw" | "exec" | "suid" | "dev" | "noexec" | "nosuid" | "nodev" => {}
            "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" => {
                point.options.push((key.to_owned(), value));
            }
            _ => return Err(Error::invalid(format!("invalid tmpfs option {option:?}"))),
        }
    }
    Ok(point)
}

impl MountPoint {
    /// What the first process mounts.
    pub fn to_user_mount(&self) -> UserMount {
        let propagation = match self.propagation.trim_start_matches('r') {
            "slave" => Propagation::Slave,
            "shared" => Propagation::Shared,
            _ => Propagation::Private,
        };
        let plain = MountFlags {
            readonly: !self.rw,
            readonly_recursive: !self.rw && !self.read_only_non_recursive,
            ..MountFlags::default()
        };
        if let Some(step) = &self.step {
            let source = Source::Layers {
                lower: step.layers.clone(),
                upper: step.upper.clone(),
                path: step.path.clone(),
            };
            return UserMount { target: self.destination.clone(), source, flags: plain };
        }
        if self.kind != "tmpfs" {
            let path = match self.subpath.as_str() {
                "" => self.source.clone(),
                inner => format!("{}/{inner}", self.source),
            };
            let recursive = !self.non_recursive;
            let source = Source::Bind { path, recursive, propagation };
            return UserMount { target: self.destination.clone(), source, flags: plain };
        }
        let off = |name: &str| self.mode.split(',').any(|option| option == name);
        let flags = MountFlags {
            nosuid: !off("suid"),
            nodev: !off("dev"),
            noexec: !off("exec"),
            readonly: !self.rw,
            ..MountFlags::default()
        };
        let source = Source::Fs("tmpfs".to_owned(), self.options.clone());
        UserMount { target: self.destination.clone(), source, flags }
    }
}

/// For the fuzzer: what is read of a request says where it goes, from the root on.
pub fn fuzz(request: &CreateRequest) {
    let host = &request.host_config;
    let binds = list(&host.binds).iter().map(|bind| parse_bind(bind));
    let specs = host.mounts.iter().map(parse_spec);
    let tmpfs = host.tmpfs.iter().map(|(target, options)| parse_tmpfs(target, options));
    for point in binds.chain(specs).chain(tmpfs).flatten() {
        assert!(point.destination.starts_with('/'), "{point:?}");
        let _ = point.to_user_mount();
    }
}

impl Engine {
    /// All that it mounts; volumes are made.
    pub(super) async fn resolve_mounts(
        &self,
        request: &CreateRequest,
    ) -> Result<Vec<MountPoint>, Error> {
        let host = &request.host_config;
        let mut points: BTreeMap<String, MountPoint> = BTreeMap::new();
        for from in list(&host.volumes_from) {
            for point in self.mounts_of(from)? {
                points.insert(point.destination.clone(), point);
            }
        }
        let mut asked: Vec<MountPoint> = Vec::new();
        for bind in list(&host.binds) {
            asked.push(parse_bind(bind)?);
        }
        for spec in &host.mounts {
            asked.push(parse_spec(spec)?);
        }
        for (target, options) in &host.tmpfs {
            asked.push(parse_tmpfs(target, options)?);
        }
        for mount in request.step.iter().flat_map(|step| &step.mounts) {
            asked.push(MountPoint {
                kind: "bind".to_owned(),
                source: mount.path.clone(),
                destination: destination(&mount.target, &mount.target)?,
                rw: !mount.readonly,
                propagation: "rprivate".to_owned(),
                step: Some(mount.clone()),
                ..MountPoint::default()
            });
        }
        let mut seen = std::collections::BTreeSet::new();
        for point in asked {
            if !seen.insert(point.destination.clone()) {
                return Err(Error::invalid(format!(
                    "Duplicate mount point: {}",
                    point.destination
                )));
            }
            points.insert(point.destination.clone(), point);
        }
        let volumes = request.config.volumes.iter().filter(|_| request.step.is_none());
        for target in volumes.flat_map(|set| set.keys()) {
            let target = destination(target, target)?;
            points.entry(target.clone()).or_insert_with(|| MountPoint {
                kind: "volume".to_owned(),
                destination: target,
                driver: "local".to_owned(),
                rw: true,
                ..MountPoint::default()
            });
        }
        let mut resolved = Vec::new();
        for mut point in points.into_values() {
            if point.kind == "volume" && point.source.is_empty() {
                let labels = self.labels_of(&host.mounts, &point);
                let volume = self.create_volume(&point.name, "", &labels, &BTreeMap::new()).await?;
                point.name = volume.name;
                point.source = volume.mountpoint.display().to_string();
            }
            resolved.push(point);
        }
        Ok(resolved)
    }

    fn labels_of(&self, specs: &[MountSpec], point: &MountPoint) -> BTreeMap<String, String> {
        let spec = specs.iter().find(|spec| clean(&spec.target) == point.destination);
        let options = spec.and_then(|spec| spec.volume_options.clone());
        options.map(|options| options.labels).unwrap_or_default()
    }

    /// `--volumes-from name:ro`.
    fn mounts_of(&self, text: &str) -> Result<Vec<MountPoint>, Error> {
        let (name, mode) = text.split_once(':').unwrap_or((text, ""));
        let container = self.find(name)?;
        let points = container.mounts.iter().filter(|point| point.kind != "tmpfs").cloned();
        Ok(points
            .map(|mut point| {
                point.rw &= mode != "ro";
                point
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let check = |text: &str, kind: &str, source: &str, target: &str, rw: bool| {
            let point = parse_bind(text).unwrap();
            let from = if kind == "bind" { &point.source } else { &point.name };
            let found = (point.kind.as_str(), from.as_str(), point.destination.as_str(), point.rw);
            assert_eq!(found, (kind, source, target, rw), "{text}");
        };
        check("/a:/b", "bind", "/a", "/b", true);
        check("/a/../c:/b//d/:ro", "bind", "/c", "/b/d", false);
        check("vol:/b:nocopy", "volume", "vol", "/b", true);
        for bad in ["", ":/b", "/a:", "/a:b", "/a:/", "/a:/b:what", "a:b:c:d", "/a:/b:nocopy"] {
            assert!(parse_bind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mount_specifications() {
        let check = |json: &str, part: &str| {
            let spec: MountSpec = serde_json::from_str(json).unwrap();
            match parse_spec(&spec) {
                Ok(_) => assert_eq!(part, "", "{json} was taken"),
                Err(error) => assert!(!part.is_empty() && error.text.contains(part), "{error}"),
            }
        };
        check(r#"{"Type":"bind","Source":"/tmp","Target":"/x"}"#, "");
        check(
            r#"{"Type":"bind","Source":"/no/such","Target":"/x"}"#,
            "bind source path does not exist",
        );
        check(r#"{"Type":"bind","Source":"x","Target":"/x"}"#, "must be absolute");
        check(r#"{"Type":"tmpfs","Target":"/"}"#, "destination can't be '/'");
        check(r#"{"Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"../a"}}"#, "subpath");
        check(r#"{"Type":"nope","Target":"/x"}"#, "mount type unknown");
    }

    #[test]
    fn temporary_file_systems() {
        let point = parse_tmpfs("/x", "size=64m,noexec,ro").unwrap();
        let mount = point.to_user_mount();
        assert!(mount.flags.readonly && mount.flags.noexec && mount.flags.nosuid);
        let options = vec![("size".to_owned(), Some("64m".to_owned()))];
        assert_eq!(mount.source, Source::Fs("tmpfs".to_owned(), options));
        assert!(parse_tmpfs("/x", "nonsense=1").is_err());
    }
}
