//! Documents as text: where their statements stand, and putting other strings into them. The document
//! stays as its author wrote it, white space and order included, since people compare what they read
//! with what they wrote.

use crate::json::{self, Json};
use std::collections::BTreeMap;

/// A place in a document, both from 1 as editors count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// The strings of a document as byte ranges, quotes included, and what stands between them.
fn strings(document: &str) -> Vec<(usize, usize)> {
    let bytes = document.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let from = at;
        at += 1;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        at = (at + 1).min(bytes.len());
        found.push((from, at));
    }
    found
}

/// The document with other words for those of its strings for which `new` has some. What `new` gives
/// must need no escapes.
fn replace_texts(document: &str, new: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(document.len());
    let mut done = 0;
    for (from, to) in strings(document) {
        let Some(raw) = document.get(from..to) else { continue };
        let Ok(Json::Text(text)) = json::read(raw) else { continue };
        if let Some(new) = new(&text) {
            out.push_str(&document[done..from]);
            out.push('"');
            out.push_str(&new);
            out.push('"');
            done = to;
        }
    }
    out.push_str(&document[done..]);
    out
}

/// The document with other words for those of its principals for which `new` has some; conditions and
/// all else stay, though they may say the same. What `new` gives must need no escapes.
pub fn replace_principals(document: &str, new: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(document.len());
    let mut done = 0;
    for (from, to) in value_places(document, &PRINCIPALS) {
        out.push_str(&document[done..from]);
        out.push_str(&replace_texts(&document[from..to], &new));
        done = to;
    }
    out.push_str(&document[done..]);
    out
}

/// Elements that say who is meant, and on what.
const PRINCIPALS: [&str; 2] = ["Principal", "NotPrincipal"];
const RESOURCES: [&str; 2] = ["Resource", "NotResource"];

/// What of a document is in another partition of AWS than its cloud.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Foreign {
    Principal(String),
    /// The partition and the whole ARN.
    Resource(String, String),
}

/// The first principal or else resource whose ARN is of another partition.
pub fn foreign_partition(document: &str, own: &str) -> Option<Foreign> {
    let first = |names: &[&str]| {
        let places = value_places(document, names);
        places.into_iter().flat_map(|(from, to)| words_of(&document[from..to])).find_map(|arn| {
            let (partition, _) = arn.strip_prefix("arn:")?.split_once(':')?;
            let open = partition.is_empty() || partition.contains(['*', '?', '$']);
            (!open && partition != own).then(|| (partition.to_owned(), arn.clone()))
        })
    };
    let resource = || first(&RESOURCES).map(|(partition, arn)| Foreign::Resource(partition, arn));
    first(&PRINCIPALS).map(|(_, arn)| Foreign::Principal(arn)).or_else(resource)
}

fn words_of(text: &str) -> Vec<String> {
    let read = |(from, to): (usize, usize)| match text.get(from..to).map(json::read) {
        Some(Ok(Json::Text(text))) => Some(text),
        _ => None,
    };
    strings(text).into_iter().filter_map(read).collect()
}

/// Where the values of those elements are: a name before a colon is never a value.
fn value_places(document: &str, names: &[&str]) -> Vec<(usize, usize)> {
    let bytes = document.as_bytes();
    let strings = strings(document);
    let blank =
        |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (index, (from, to)) in strings.iter().enumerate() {
        if found.last().is_some_and(|(_, end)| from < end) {
            continue;
        }
        let name = document.get(*from..*to).map(json::read);
        let named = matches!(&name, Some(Ok(Json::Text(name))) if names.contains(&name.as_str()));
        let colon = blank(*to);
        if !named || bytes.get(colon) != Some(&b':') {
            continue;
        }
        let begin = blank(colon + 1);
        let (mut at, mut depth) = (begin, 0usize);
        let mut inner = strings[index + 1..].iter().peekable();
        while at < bytes.len() {
            if let Some((_, end)) = inner.next_if(|(start, _)| *start == at) {
                at = *end;
            } else {
                match bytes[at] {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at += 1;
            }
            if depth == 0 {
                break;
            }
        }
        if document.is_char_boundary(at) {
            found.push((begin, at));
        }
    }
    found
}

/// The strings of a document, and the names of the variables in them, by what they are in lower case.
pub(crate) fn words(document: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (from, to) in strings(document) {
        let Some(Ok(Json::Text(text))) = document.get(from..to).map(json::read) else { continue };
        for variable in text.split("${").skip(1) {
            let name = variable.split(['}', ',']).next().unwrap_or_default().trim();
            found.entry(name.to_ascii_lowercase()).or_insert_with(|| name.to_owned());
        }
        found.entry(text.to_ascii_lowercase()).or_insert(text);
    }
    found
}

/// Where each statement begins and where it ends, in order. Empty for what is no policy.
pub fn statement_places(document: &str) -> Vec<(Place, Place)> {
    let bytes = document.as_bytes();
    let strings = strings(document);
    let mut strings = strings.iter().peekable();
    let (mut depth, mut at, mut inside) = (0usize, 0, false);
    let mut begun = None;
    let mut base = 0;
    let mut found = Vec::new();
    while at < bytes.len() {
        if let Some((from, to)) = strings.next_if(|(from, _)| *from == at) {
            if depth == 1 && !inside {
                let is_key = document.get(*from..*to) == Some("\"Statement\"");
                let colon = document[*to..].trim_start().starts_with(':');
                if is_key && colon {
                    (inside, base) = (true, depth);
                }
            }
            at = *to;
            continue;
        }
        match bytes[at] {
            b'{' => {
                if inside && begun.is_none() {
                    begun = Some((at, depth));
                }
                depth += 1;
            }
            b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if let Some((from, own)) = begun
                    && own == depth
                {
                    found.push((place(document, from), place(document, at + 1)));
                    begun = None;
                }
                inside &= depth > base;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn place(document: &str, at: usize) -> Place {
    let before = &document[..at];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line, column: before[start..].chars().count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_replaced_wherever_they_stand() {
        let new = |text: &str| (text == "arn:a/b").then(|| "AIDA1".to_owned());
        let check = |document: &str, expected: &str| {
            assert_eq!(replace_texts(document, new), expected);
        };
        check(r#"{"AWS": "arn:a/b"}"#, r#"{"AWS": "AIDA1"}"#);
        check(r#"{"AWS":["arn:a\/b" , "x"]}"#, r#"{"AWS":["AIDA1" , "x"]}"#);
        check(r#"{"AWS":"arn:\u0061/b"}"#, r#"{"AWS":"AIDA1"}"#);
        check(r#"{"a":"\"arn:a/b"}"#, r#"{"a":"\"arn:a/b"}"#);
        check(r#"{"a":"x\\","b":"arn:a/b"}"#, r#"{"a":"x\\","b":"AIDA1"}"#);
    }

    #[test]
    fn other_partitions_are_found() {
        let found = |document: &str| foreign_partition(document, "aws");
        assert_eq!(found(r#"{"Resource":["arn:aws:s3:::b","arn:*:s3:::b","*"]}"#), None);
        assert_eq!(found(r#"{"Condition":{"ArnLike":{"a":"arn:aws-cn:s3:::b"}}}"#), None);
        let resource = Foreign::Resource("aws-cn".into(), "arn:aws-cn:s3:::b".into());
        assert_eq!(found(r#"{"Resource":["*","arn:aws-cn:s3:::b"]}"#), Some(resource));
        let principal = Foreign::Principal("arn:aws-cn:iam::1:root".into());
        let document = r#"{"Principal":{"AWS":"arn:aws-cn:iam::1:root"},"Resource":"arn:x:y"}"#;
        assert_eq!(found(document), Some(principal));
    }

    #[test]
    fn principals_alone_are_replaced() {
        let new = |text: &str| (text == "a").then(|| "b".to_owned());
        let check = |document: &str, expected: &str| {
            assert_eq!(replace_principals(document, new), expected);
        };
        check(r#"{"Principal":"a","Sid":"a"}"#, r#"{"Principal":"b","Sid":"a"}"#);
        check(
            r#"[{"Principal" : {"AWS": ["x}", "a"]}, "Condition": {"s": {"k": "a"}}},{"NotPrincipal":{"AWS":"a"}}]"#,
            r#"[{"Principal" : {"AWS": ["x}", "b"]}, "Condition": {"s": {"k": "a"}}},{"NotPrincipal":{"AWS":"b"}}]"#,
        );
        check(r#"{"Sid":"Principal","Resource":"a"}"#, r#"{"Sid":"Principal","Resource":"a"}"#);
        check(r#"{"Principal":{"AWS":"a"#, r#"{"Principal":{"AWS":"a"#);
        check(r#"{"Principal":{"Principal":"a"}}"#, r#"{"Principal":{"Principal":"b"}}"#);
        check(r#"{"a":"open"#, r#"{"a":"open"#);
        check("\"ä\\", "\"ä\\");
    }

    #[test]
    fn statements_have_places() {
        let check = |document: &str, expected: &[(usize, usize, usize, usize)]| {
            let found: Vec<_> = statement_places(document)
                .iter()
                .map(|(a, b)| (a.line, a.column, b.line, b.column))
                .collect();
            assert_eq!(found, expected, "{document}");
        };
        check(r#"{"Statement":{"Effect":"Allow"}}"#, &[(1, 14, 1, 32)]);
        check(
            r#"{"Version":"x","Statement":[{"A":[{}]},{"B":{}}]}"#,
            &[(1, 29, 1, 39), (1, 40, 1, 48)],
        );
        check("{\n \"Statement\" : [\n  {\"a\":\"}\"}\n ], \"Id\":\"x\"}", &[(3, 3, 3, 12)]);
        check(r#"{"Statement":[{}],"Other":[{}]}"#, &[(1, 15, 1, 17)]);
        check(r#"{"Statement":{},"Other":{}}"#, &[(1, 14, 1, 16)]);
        check(r#"{"Id":"Statement","Statement":[]}"#, &[]);
        check("{", &[]);
        check("]}]}", &[]);
    }
}
