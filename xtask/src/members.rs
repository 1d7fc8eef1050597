//! The step `members`: what a client can say within an input of a served operation, some code reads.
//!
//! Overlays list the members of each input; those of the structures below would be a table of hundreds of
//! rows that nobody checks. So the compiler is asked (decision 007): with their feature `members`, generated
//! crates mark these fields as deprecated, and each use of one in a service is a warning. A field that is
//! only filled, in a structure that goes out, is not read.

use crate::codegen::{self, Watched};
use crate::report::Tally;
use crate::run;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Crate, type and field.
type Field = (String, String, String);

pub fn check(root: &Path) -> Result<Tally, String> {
    let (services, generated) = crates(root)?;
    let mut args = vec!["check", "--quiet", "--message-format", "json"];
    let features: Vec<String> = generated.iter().map(|name| format!("{name}/members")).collect();
    let features = features.join(",");
    args.extend(services.iter().chain(&generated).flat_map(|name| ["-p", name.as_str()]));
    args.extend(["--features", &features]);
    let finished = run::capture(root, &run::cargo(), &args)?;
    if !finished.ok {
        return Err(run::tail(&finished.text(), 60));
    }
    let read = fields_read(root, &finished.stdout)?;
    let (mut findings, mut checked) = (Vec::new(), 0);
    for name in &generated {
        let service = name.trim_start_matches("gen-");
        let watched = codegen::watched(root, service)?;
        checked += watched.len() as u64;
        let of_crate = name.replace('-', "_");
        findings.extend(watched.iter().filter_map(|one| finding(service, &of_crate, one, &read)));
    }
    if read.is_empty() {
        findings.push("no member at all is read: has the compiler's warning another form?".into());
    }
    Ok(Tally::of_findings(checked, &findings))
}

fn finding(service: &str, of_crate: &str, one: &Watched, read: &BTreeSet<Field>) -> Option<String> {
    let is_read = read.contains(&(of_crate.to_owned(), one.type_name.clone(), one.field.clone()));
    let (name, file) = (&one.name, format!("models/{service}.toml"));
    match (is_read, one.excused) {
        (false, false) => Some(format!(
            "{file}: no code reads {name}: act on it, refuse it by name, or say under `unread` why not"
        )),
        (true, true) => Some(format!("{file}: {name} is read, and stands under `unread`")),
        _ => None,
    }
}

/// The packages below `services/`, and the generated ones that they serve.
fn crates(root: &Path) -> Result<(Vec<String>, Vec<String>), String> {
    let folder = root.join("services");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mut services, mut generated) = (Vec::new(), BTreeSet::new());
    for entry in entries.filter_map(Result::ok) {
        let Ok(text) = fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
        let manifest: toml::Table = toml::from_str(&text).map_err(|e| e.to_string())?;
        services.extend(manifest["package"]["name"].as_str().map(str::to_owned));
        let needed = manifest["dependencies"].as_table().into_iter().flat_map(|t| t.keys());
        generated.extend(needed.filter(|name| name.starts_with("gen-")).cloned());
    }
    services.sort();
    Ok((services, generated.into_iter().collect()))
}

/// What the compiler saw used, where the use is a read.
fn fields_read(root: &Path, messages: &str) -> Result<BTreeSet<Field>, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut read = BTreeSet::new();
    for line in messages.lines() {
        let value: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let message = &value["message"];
        if message["code"]["code"] != "deprecated" {
            continue;
        }
        let Some(used) = used(message["message"].as_str().unwrap_or_default()) else { continue };
        let span = &message["spans"][0];
        let (Some(path), Some(start), Some(end)) =
            (span["file_name"].as_str(), span["byte_start"].as_u64(), span["byte_end"].as_u64())
        else {
            continue;
        };
        if !files.contains_key(path) {
            let text = fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}"))?;
            files.insert(path.to_owned(), text);
        }
        if reads(&files[path], start as usize, end as usize, &used.2) {
            read.insert(used);
        }
    }
    Ok(read)
}

/// Of "use of deprecated field `gen_s3::types::Tag::key`".
fn used(message: &str) -> Option<Field> {
    let path: Vec<&str> = message.split('`').nth(1)?.split("::").collect();
    let [first, .., of, field] = path[..] else { return None };
    Some((first.to_owned(), of.to_owned(), field.trim_start_matches("r#").to_owned()))
}

/// Whether the use of a field between two places of a file reads it: as `x.field`, or in a pattern. In an
/// expression that makes a structure it does not.
fn reads(text: &str, start: usize, end: usize, field: &str) -> bool {
    let (Some(own), Some(before)) = (text.get(start..end), text.get(..start)) else { return false };
    // A variant of a union: what it is used for cannot be told.
    if field.starts_with(|c: char| c.is_ascii_uppercase()) {
        return true;
    }
    let named = own.trim_start_matches("r#").strip_prefix(field);
    let named = named.is_some_and(|rest| rest.trim_start().starts_with(':'));
    let own = own.strip_suffix(field).unwrap_or(own).trim_end_matches("r#");
    let access = if own.is_empty() { before } else { own }.trim_end().ends_with('.');
    (access && !named) || in_pattern(text.get(end..).unwrap_or_default())
}

/// Whether braces that are open where a text begins are those of a pattern: it is taken apart after them.
fn in_pattern(rest: &str) -> bool {
    let mut depth = 0;
    let closed = rest.char_indices().find(|(_, c)| {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    let Some((at, _)) = closed else { return false };
    let after = rest[at + 1..].trim_start_matches([')', ']', ' ', '\n']);
    let assigned = after.starts_with('=') && !after.starts_with("==");
    assigned
        || after.starts_with(['|', ':']) && !after.starts_with("||")
        || after.starts_with("if ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the use of `key` in a line is a read; it is marked as the compiler marks it.
    #[track_caller]
    fn check(line: &str, expected: bool) {
        let start = line.find('«').expect("a mark");
        let end = line.find('»').expect("a mark") - '«'.len_utf8();
        let text = line.replace(['«', '»'], "");
        assert_eq!(reads(&text, start, end, "key"), expected, "{line}");
    }

    #[test]
    fn access_and_patterns_read() {
        check("let one = «tag.key».clone();", true);
        check("let one = tag.«key».clone();", true);
        check("let one = «tag\n    .key»;", true);
        check("let Tag { «key», value } = tag;", true);
        check("let Some(Tag { «key: Some(key)», .. }) = tag else { return };", true);
        check("let [Tag { «key», .. }] = &tags[..] else { return };", true);
        check("match tag { Tag { «key», .. } => key.len() }", true);
        check("match tag { Tag { «key», .. } if key.len() > 1 => 1 }", true);
        check("tags.map(|Tag { «key», .. }| key)", true);
        check("fn one(Tag { «key», .. }: &Tag) {}", true);
    }

    #[test]
    fn what_is_made_is_not_read() {
        check("Some(Tag { «key: key.clone()», value })", false);
        check("let tag = Tag { «key», value };", false);
        check("let tag = Tag { «key: other.key», value };", false);
        check("found(Tag { «key» }, |found| found)", false);
        check("tags.map(|key| Tag { «key», value: String::new() }).collect()", false);
        check("assert!(Tag { «key» } == tag)", false);
        check("Ok(Out { tags: vec![Tag { «key: inner(|k| k)» }] })\n}\n", false);
    }

    #[test]
    fn what_is_read_needs_no_excuse_and_what_is_not_does() {
        let read = BTreeSet::from([("gen_s3".into(), "Tag".into(), "key".into())]);
        let told = |field: &str, excused: bool| {
            let one = Watched {
                name: format!("Tag.{field}"),
                type_name: "Tag".into(),
                field: field.into(),
                excused,
            };
            finding("s3", "gen_s3", &one, &read)
        };
        assert_eq!([told("key", false), told("value", true)], [None, None]);
        assert!(told("value", false).is_some_and(|text| text.contains("no code reads Tag.value")));
        assert!(told("key", true).is_some_and(|text| text.contains("Tag.key is read")));
    }

    #[test]
    fn warnings_name_the_field() {
        let field = used("use of deprecated field `gen_s3::types::Grantee::r#type`");
        assert_eq!(field, Some(("gen_s3".into(), "Grantee".into(), "type".into())));
        assert_eq!(used("something else"), None);
    }
}
