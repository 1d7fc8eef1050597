//! `.dockerignore`: which paths of a context do not count.

use crate::pattern::Pattern;

/// Patterns of one file, at most.
const PATTERNS_MAX: usize = 10_000;

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ignore {
    /// Whether it takes paths back in, and the pattern. The last one that matches decides.
    rules: Vec<(bool, Pattern)>,
}

/// The lines of a `.dockerignore`: whether each takes back in, and its pattern as it is written.
pub fn lines(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    })
}

impl Ignore {
    pub fn parse(text: &str) -> Result<Ignore, String> {
        let mut rules = Vec::new();
        for (back, pattern) in lines(text) {
            if back && pattern.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".to_owned());
            }
            let pattern = clean(pattern);
            if pattern.is_empty() || pattern == "." {
                continue;
            }
            if rules.len() == PATTERNS_MAX {
                return Err("too many patterns in .dockerignore".to_owned());
            }
            // `**/` stands for no folder, too.
            let parsed = Pattern::parse(&pattern, false).ok_or("syntax error in pattern")?;
            if let Some(rest) = pattern.strip_prefix("**/") {
                rules.push((back, Pattern::parse(rest, false).ok_or("syntax error in pattern")?));
            }
            rules.push((back, parsed));
        }
        Ok(Ignore { rules })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether something may come back in beneath a path that is out.
    pub fn takes_back(&self) -> bool {
        self.rules.iter().any(|(back, _)| *back)
    }

    /// `path` is relative, with slashes. What is beneath a path that is out is out as well.
    pub fn is_out(&self, path: &str) -> bool {
        let mut out = false;
        for (back, pattern) in &self.rules {
            if *back == out && above(path).any(|part| pattern.matches(part)) {
                out = !back;
            }
        }
        out
    }
}

/// The path and all folders that it is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end])
}

/// Without `.`, `..` and empty parts; relative.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, out: &[&str], inside: &[&str]) {
        let ignore = Ignore::parse(text).unwrap();
        for path in out {
            assert!(ignore.is_out(path), "{path} should be out of {text:?}");
        }
        for path in inside {
            assert!(!ignore.is_out(path), "{path} should be in of {text:?}");
        }
    }

    #[test]
    fn rules() {
        check("# c\n*/temp*\n", &["a/temporary", "a/temp/x"], &["temp", "a/b/temp"]);
        check("*.md\n!README.md\n", &["x.md"], &["README.md", "a/x.md"]);
        check("*.md\n!README*.md\nREADME-secret.md", &["README-secret.md"], &["README-a.md"]);
        check("/node_modules/\n", &["node_modules", "node_modules/a/b"], &["a/node_modules"]);
        check("**/*.log", &["a.log", "a/b/c.log"], &["a.logs"]);
        check("*\n!src\n", &["other", "other/x"], &["src", "src/a"]);
        check("temp?", &["tempa"], &["temp", "tempab"]);
        assert!(Ignore::parse("!").is_err() && Ignore::parse("[a").is_err());
        assert!(Ignore::parse("\n#x\n.\n").unwrap().is_empty());
    }
}
