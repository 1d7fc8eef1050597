//! Names of images: `busybox`, `host:5000/a/b:tag`, `name@sha256:…`.

use crate::digest::Digest;
use std::fmt;

pub const DEFAULT_DOMAIN: &str = "docker.io";
pub const DEFAULT_TAG: &str = "latest";
const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

/// A name, whole: `domain` and `path` are always there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Reference {
    /// A host, perhaps with a port.
    pub domain: String,
    /// `library/busybox`.
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Why a text is no reference, in Docker's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReferenceError(pub String);

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong<T>(text: &str) -> Result<T, ReferenceError> {
    Err(ReferenceError(text.to_owned()))
}

impl Reference {
    /// As a person writes it.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        if Digest::parse_hex(text).is_some() {
            return Err(ReferenceError(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => match Digest::parse(digest) {
                Some(digest) => (rest, Some(digest)),
                None => return wrong("invalid reference format"),
            },
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return wrong("invalid reference format");
        }
        let (domain, path) = match name.split_once('/') {
            Some((first, rest)) if is_domain(first) => (first.to_owned(), rest.to_owned()),
            _ => (DEFAULT_DOMAIN.to_owned(), name.to_owned()),
        };
        let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN.to_owned() } else { domain };
        let path = match domain == DEFAULT_DOMAIN && !path.contains('/') {
            true => format!("library/{path}"),
            false => path,
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return wrong("invalid reference format: repository name must be lowercase");
        }
        if domain.len() + path.len() > NAME_LENGTH_MAX {
            return wrong("repository name must not be more than 255 characters");
        }
        if !is_domain_name(&domain) || !path.split('/').all(is_component) {
            return wrong("invalid reference format");
        }
        Ok(Reference { domain, path, tag: tag.map(str::to_owned), digest })
    }

    /// The same with a tag, if it says neither tag nor digest.
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// Without tag and digest, short where Docker has it short: `busybox`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix("library/") {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// As people see it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        let mut out = self.familiar_name();
        if let Some(tag) = &self.tag {
            out.push(':');
            out.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            out.push('@');
            out.push_str(&digest.to_string());
        }
        out
    }
}

/// Whole: `docker.io/library/busybox:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// What stands before the first slash is a host if it looks like one.
fn is_domain(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain_name(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let six = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
                return six && !address.is_empty() && (port.is_empty() || is_port(&port[1..]));
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Letters and digits, with single separators between: `.`, `_`, `__`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
    })
}

pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_LENGTH_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, whole: &str, familiar: &str) {
        let reference = Reference::parse(text).unwrap().with_default_tag();
        assert_eq!((reference.to_string(), reference.familiar()), (whole.into(), familiar.into()));
    }

    #[test]
    fn names() {
        check("busybox", "docker.io/library/busybox:latest", "busybox:latest");
        check("a/b:1.0", "docker.io/a/b:1.0", "a/b:1.0");
        check("localhost/x", "localhost/x:latest", "localhost/x:latest");
        check("h:5000/a/b", "h:5000/a/b:latest", "h:5000/a/b:latest");
        check("docker.io/library/x", "docker.io/library/x:latest", "x:latest");
        check("index.docker.io/x:y", "docker.io/library/x:y", "x:y");
        check("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest");
        let digest = Digest::of(b"");
        let text = format!("x@{digest}");
        check(&text, &format!("docker.io/library/{text}"), &text);
    }

    #[test]
    fn no_names() {
        for bad in [
            "",
            ":",
            "x:",
            "x:-a",
            "/x",
            "x/",
            "a//b",
            "x@sha256:00",
            "x y",
            "-x",
            "x.",
            "a___b",
            "http://x",
            "x@",
            "a:b:c",
            "Über",
            &"a".repeat(256),
            &"0".repeat(64),
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
        let error = Reference::parse("UPPER").unwrap_err();
        assert!(error.0.contains("must be lowercase"), "{error}");
        Reference::parse("x/a__b.c-d--e").unwrap();
    }
}
