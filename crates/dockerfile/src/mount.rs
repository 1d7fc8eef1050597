//! `RUN --mount=…`: what a step sees beside its image.

/// Of which kind it is, with what only that kind has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MountKind {
    Bind,
    Cache {
        id: String,
        sharing: Sharing,
    },
    /// Of so many bytes at most; 0 is any number.
    Tmpfs {
        size: u64,
    },
    Secret {
        id: String,
        is_required: bool,
        env: Option<String>,
    },
    Ssh,
}

/// Who may be in a cache at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    pub kind: MountKind,
    /// A stage, an image or a context by its name; without one it is the context.
    pub from: Option<String>,
    pub source: String,
    pub target: String,
    pub readonly: bool,
    pub mode: Option<u32>,
    pub uid: u32,
    pub gid: u32,
}

const KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

#[derive(Default)]
struct Given {
    from: Option<String>,
    source: String,
    target: String,
    readonly: Option<bool>,
    id: String,
    sharing: Option<Sharing>,
    is_required: bool,
    size: u64,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    env: Option<String>,
}

impl Mount {
    /// Variables in values are what `expand` makes of them.
    pub fn parse(
        text: &str,
        expand: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Mount, String> {
        let (mut kind, mut given) = ("bind".to_owned(), Given::default());
        // The kind may stand anywhere and decides what else may.
        let mut pairs = Vec::new();
        for field in split(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            if !KEYS.contains(&key.as_str()) {
                return Err(format!("unexpected key '{key}' in '{field}'"));
            }
            match value {
                Some(value) if key == "type" => kind = value.to_ascii_lowercase(),
                value => pairs.push((key, value, field)),
            }
        }
        if !["bind", "cache", "tmpfs", "secret", "ssh"].contains(&kind.as_str()) {
            return Err(format!("unsupported mount type \"{kind}\""));
        }
        for (key, value, field) in pairs {
            given.set(&kind, &key, value, &field)?;
        }
        given.finish(&kind)
    }
}

/// By commas, but for those in quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        return Err("failed to parse csv mounts: a quote is not closed".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

fn flag(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(format!("invalid value for {key}: {value}")),
    }
}

impl Given {
    fn set(
        &mut self,
        kind: &str,
        key: &str,
        value: Option<String>,
        field: &str,
    ) -> Result<(), String> {
        let out_of_place = || format!("unexpected key '{key}' for mount type '{kind}'");
        match key {
            "readonly" | "ro" => {
                self.readonly = Some(flag(key, value.as_deref())?);
                return Ok(());
            }
            "readwrite" | "rw" => {
                self.readonly = Some(!flag(key, value.as_deref())?);
                return Ok(());
            }
            "required" if matches!(kind, "secret" | "ssh") => {
                self.is_required = flag(key, value.as_deref())?;
                return Ok(());
            }
            "required" => return Err(out_of_place()),
            _ => {}
        }
        let Some(value) = value else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        let wrong = || format!("invalid value for {key}: {value}");
        let number =
            || value.parse::<u32>().map_err(|_| format!("invalid value {value} for {key}"));
        match key {
            "from" => self.from = Some(value),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "id" => self.id = value,
            "env" => self.env = Some(value),
            "size" if kind == "tmpfs" => self.size = bytes(&value).ok_or_else(wrong)?,
            "size" => return Err(out_of_place()),
            "sharing" => {
                self.sharing = Some(match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(format!("unsupported sharing value \"{value}\"")),
                });
            }
            "mode" => {
                let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| format!("invalid value {value} for mode"))?);
            }
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            _ => return Err(out_of_place()),
        }
        Ok(())
    }

    fn finish(self, kind: &str) -> Result<Mount, String> {
        let owned = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
        if matches!(kind, "bind" | "tmpfs")
            && let Some((name, _)) = owned.iter().find(|(_, value)| value.is_some())
        {
            return Err(format!("{name} not allowed for \"{kind}\" type mounts"));
        }
        if self.sharing.is_some() && kind != "cache" {
            return Err(format!("invalid cache sharing set for {kind} mount"));
        }
        let mut target = self.target;
        let kind = match kind {
            "cache" => {
                let id = if self.id.is_empty() { target.clone() } else { self.id };
                MountKind::Cache { id, sharing: self.sharing.unwrap_or_default() }
            }
            "tmpfs" => MountKind::Tmpfs { size: self.size },
            "ssh" => MountKind::Ssh,
            "secret" => {
                if self.from.is_some() {
                    return Err("secret mount should not have a from".to_owned());
                }
                if !self.source.is_empty() && !self.id.is_empty() {
                    return Err("both source and id can't be set".to_owned());
                }
                let last = target.rsplit('/').next().unwrap_or_default().to_owned();
                let named = [self.id, self.source.clone(), last];
                let Some(id) = named.into_iter().find(|name| !name.is_empty()) else {
                    let text = "invalid secret mount. one of source, target required";
                    return Err(text.to_owned());
                };
                if target.is_empty() && self.env.is_none() {
                    let name = id.rsplit('/').next().unwrap_or_default();
                    target = format!("/run/secrets/{name}");
                }
                let env = self.env.map(|name| if name.is_empty() { id.clone() } else { name });
                MountKind::Secret { id, is_required: self.is_required, env }
            }
            _ => MountKind::Bind,
        };
        let is_own = matches!(kind, MountKind::Secret { .. } | MountKind::Ssh);
        if target.is_empty() && !is_own {
            return Err("mount target is required".to_owned());
        }
        let writes = matches!(kind, MountKind::Cache { .. } | MountKind::Tmpfs { .. });
        Ok(Mount {
            kind,
            from: self.from.filter(|from| !from.is_empty()),
            source: self.source,
            target,
            readonly: self.readonly.unwrap_or(!writes),
            mode: self.mode,
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        })
    }
}

/// `64m`, `1g`, `100`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Mount, String> {
        Mount::parse(text, &|value| Ok(value.replace("$X", "x")))
    }

    #[test]
    fn kinds() {
        let cache = parse("type=cache,target=/root/.cache,sharing=locked,uid=5").unwrap();
        let kind = MountKind::Cache { id: "/root/.cache".to_owned(), sharing: Sharing::Locked };
        assert_eq!((cache.kind, cache.readonly, cache.uid), (kind, false, 5));
        let secret = parse("type=secret,id=a$X").unwrap();
        assert_eq!((secret.target.as_str(), secret.readonly), ("/run/secrets/ax", true));
        let secret = parse("type=secret,id=t,env=TOKEN,required").unwrap();
        let env = Some("TOKEN".to_owned());
        let kind = MountKind::Secret { id: "t".to_owned(), is_required: true, env };
        assert_eq!((secret.kind, secret.target.as_str()), (kind, ""));
        let bind = parse("target=/src,from=one,\"source=/a,b\",rw").unwrap();
        assert_eq!((bind.from.as_deref(), bind.source.as_str()), (Some("one"), "/a,b"));
        assert!(bind.kind == MountKind::Bind && !bind.readonly);
        let tmpfs = parse("size=2m,type=tmpfs,dst=/t").unwrap();
        assert_eq!(tmpfs.kind, MountKind::Tmpfs { size: 2 << 20 });
        assert_eq!(parse("type=ssh").unwrap().kind, MountKind::Ssh);
    }

    #[test]
    fn mistakes() {
        for (text, part) in [
            ("type=nope", "unsupported mount type \"nope\""),
            ("type=cache", "target is required"),
            ("what=1", "unexpected key 'what'"),
            ("type=bind,target=/a,size=1", "unexpected key 'size'"),
            ("type=bind,target=/a,mode=1", "mode not allowed"),
            ("type=bind,target=/a,sharing=locked", "invalid cache sharing"),
            ("type=cache,target=/a,sharing=no", "unsupported sharing"),
            ("type=secret", "one of source, target required"),
            ("type=secret,id=a,source=b", "both source and id"),
            ("target", "must be a key=value pair"),
            ("type=cache,target=/a,ro=perhaps", "invalid value for ro"),
            ("type=tmpfs,target=/a,size=1x", "invalid value for size"),
            ("type=cache,target=/a,mode=99", "for mode"),
            ("\"target=/a", "a quote is not closed"),
            ("type=cache,target=/a,required", "unexpected key 'required'"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
