//! Licences: every crate that ends up in a build may be passed on without conditions on our source.

use serde_json::Value;

use super::Checkout;

const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    // In the words of a BSD licence of two clauses, and two more against false claims of authorship.
    "bzip2-1.0.6",
];

/// Every package of the lock file has a licence expression that a permissive choice satisfies.
pub fn permissive(checkout: &Checkout) -> Vec<String> {
    let packages = checkout.metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().filter_map(finding).collect()
}

fn finding(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let version = package["version"].as_str().unwrap_or_default();
    let Some(expression) = package["license"].as_str() else {
        return Some(format!("{name} {version} states no licence: choose another crate"));
    };
    match satisfied(expression) {
        Ok(true) => None,
        Ok(false) => Some(format!("{name} {version} is {expression}: choose another crate")),
        Err(e) => Some(format!("{name} {version}: cannot read the licence {expression:?}: {e}")),
    }
}

/// Evaluates an SPDX expression: `OR` needs one permissive side, `AND` both. An old slash is an `OR`.
fn satisfied(expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let value = any(&mut words)?;
    match words.pop() {
        None => Ok(value),
        Some(word) => Err(format!("unexpected {word}")),
    }
}

fn any(words: &mut Vec<&str>) -> Result<bool, String> {
    let mut value = all(words)?;
    while words.last() == Some(&"OR") {
        words.pop();
        value |= all(words)?;
    }
    Ok(value)
}

fn all(words: &mut Vec<&str>) -> Result<bool, String> {
    let mut value = one(words)?;
    while words.last() == Some(&"AND") {
        words.pop();
        value &= one(words)?;
    }
    Ok(value)
}

fn one(words: &mut Vec<&str>) -> Result<bool, String> {
    let word = words.pop().ok_or("it ends early")?;
    if word == "(" {
        let value = any(words)?;
        return match words.pop() {
            Some(")") => Ok(value),
            _ => Err("a parenthesis is not closed".to_owned()),
        };
    }
    let mut name = word.to_owned();
    if words.last() == Some(&"WITH") {
        words.pop();
        name = format!("{name} WITH {}", words.pop().ok_or("it ends after WITH")?);
    }
    Ok(PERMISSIVE.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let check = |expression: &str, expected: Result<bool, ()>| {
            assert_eq!(satisfied(expression).map_err(drop), expected, "{expression}");
        };
        check("MIT", Ok(true));
        check("MIT/Apache-2.0", Ok(true));
        check("MPL-2.0", Ok(false));
        check("MPL-2.0 OR MIT", Ok(true));
        check("MPL-2.0 AND MIT", Ok(false));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Ok(true));
        check("MIT AND (GPL-3.0 OR LGPL-3.0)", Ok(false));
        check("Apache-2.0 WITH LLVM-exception OR GPL-2.0", Ok(true));
        check("GPL-2.0 WITH Classpath-exception-2.0", Ok(false));
        check("(MIT", Err(()));
        check("MIT MIT", Err(()));
        check("", Err(()));
    }
}
