//! From a text to logical lines: parser directives, comments, continued lines, here-documents.

use crate::error::ParseError;

/// Of a whole Dockerfile.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
const HEREDOCS_MAX: usize = 64;

/// A document that follows its instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heredoc {
    pub name: String,
    pub content: String,
    /// Whether variables in it are expanded: its name was not quoted.
    pub expands: bool,
}

/// An instruction with all that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Of its first physical line, counted from 1.
    pub number: usize,
    pub text: String,
    pub heredocs: Vec<Heredoc>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    /// `\`, or a backtick.
    pub escape: char,
    pub lines: Vec<Line>,
}

pub fn split(text: &str) -> Result<Lines, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ParseError::new(0, "the Dockerfile is too long"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let physical: Vec<&str> =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let (escape, first) = directives(&physical)?;
    let mut lines = Vec::new();
    let mut at = first;
    while at < physical.len() {
        let trimmed = physical[at].trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            at += 1;
            continue;
        }
        let number = at + 1;
        let mut whole = String::new();
        loop {
            let line = if whole.is_empty() { physical[at].trim_start() } else { physical[at] };
            at += 1;
            let (part, goes_on) = continued(line, escape);
            whole.push_str(part);
            if !goes_on {
                break;
            }
            // Comments and empty lines in between do not end it.
            while physical.get(at).is_some_and(|l| is_comment(l) || l.trim().is_empty()) {
                at += 1;
            }
            if at >= physical.len() {
                break;
            }
        }
        let text = whole.trim().to_owned();
        let heredocs = heredocs_of(&text, escape, &physical, &mut at, number)?;
        if !text.is_empty() {
            lines.push(Line { number, text, heredocs });
        }
    }
    Ok(Lines { escape, lines })
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// `# escape=…` and the like, which come before all else.
fn directives(physical: &[&str]) -> Result<(char, usize), ParseError> {
    let mut escape = None;
    let mut seen: Vec<String> = Vec::new();
    for (at, line) in physical.iter().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            return Ok((escape.unwrap_or('\\'), at));
        };
        let Some((key, value)) = comment.split_once('=') else {
            return Ok((escape.unwrap_or('\\'), at));
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if !["escape", "syntax", "check"].contains(&key.as_str()) {
            return Ok((escape.unwrap_or('\\'), at));
        }
        if seen.contains(&key) {
            let text = format!("only one {key} parser directive can be used");
            return Err(ParseError::new(at + 1, text));
        }
        if key == "escape" {
            escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                _ => {
                    let text = format!("invalid escape token '{value}' does not match ` or \\");
                    return Err(ParseError::new(at + 1, text));
                }
            };
        }
        seen.push(key);
    }
    Ok((escape.unwrap_or('\\'), physical.len()))
}

/// The line without its mark, and whether the next one belongs to it.
fn continued(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(part) => (part, true),
        None => (line, false),
    }
}

/// Those that an instruction's words announce, read from the lines after it.
fn heredocs_of(
    text: &str,
    escape: char,
    physical: &[&str],
    at: &mut usize,
    number: usize,
) -> Result<Vec<Heredoc>, ParseError> {
    let mut heredocs = Vec::new();
    let mut words = text.split_whitespace();
    let mut keyword = words.next().unwrap_or_default().to_ascii_lowercase();
    if keyword == "onbuild" {
        keyword = words.next().unwrap_or_default().to_ascii_lowercase();
    }
    if !["add", "copy", "run"].contains(&keyword.as_str()) {
        return Ok(heredocs);
    }
    for word in crate::words::split_words(text, escape) {
        let Some((name, expands, chomps)) = announcement(&word) else { continue };
        if heredocs.len() == HEREDOCS_MAX {
            return Err(ParseError::new(number, "too many here-documents"));
        }
        let mut content = String::new();
        loop {
            let Some(line) = physical.get(*at) else {
                return Err(ParseError::new(number, "unterminated heredoc"));
            };
            *at += 1;
            let line = if chomps { line.trim_start_matches('\t') } else { line };
            if line == name {
                break;
            }
            content.push_str(line);
            content.push('\n');
        }
        heredocs.push(Heredoc { name, content, expands });
    }
    Ok(heredocs)
}

/// `<<EOF`, `<<-"EOF"`: the name, whether variables count, whether tabs in front are taken off.
pub fn announcement(word: &str) -> Option<(String, bool, bool)> {
    // A file descriptor may stand before it.
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomps, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| rest.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)));
    let name = quoted.unwrap_or(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(plain))
        .then(|| (name.to_owned(), quoted.is_none(), chomps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn logical_lines() {
        assert_eq!(
            texts("\u{feff}# comment\n\nFROM a\r\n  RUN x \\\n# inner\n\n   y \\ \n z\n"),
            ["FROM a", "RUN x    y  z"]
        );
        assert_eq!(texts("# escape=`\nRUN a `\n b\nRUN c\\"), ["RUN a  b", "RUN c\\"]);
        assert_eq!(split("# syntax=x\n# Escape = `\nRUN a").unwrap().escape, '`');
        assert_eq!(split("FROM a\n# escape=`\n").unwrap().escape, '\\');
        let error = |text: &str| split(text).unwrap_err().to_string();
        assert!(error("# escape=x\n").contains("invalid escape token 'x'"));
        assert!(error("# escape=`\n# escape=`\n").contains("only one escape"));
    }

    #[test]
    fn here_documents() {
        let lines =
            split("FROM a\nRUN <<EOF cat\nx $y\nEOF\nCOPY <<-'A' <<B /d/\n\tin a\nA\nB\nCMD x");
        let lines = lines.unwrap().lines;
        assert_eq!(lines.len(), 4);
        let doc = |name: &str, content: &str, expands: bool| Heredoc {
            name: name.to_owned(),
            content: content.to_owned(),
            expands,
        };
        assert_eq!(lines[1].heredocs, [doc("EOF", "x $y\n", true)]);
        assert_eq!(lines[2].heredocs, [doc("A", "in a\n", false), doc("B", "", true)]);
        assert!(split("RUN <<E\nx").unwrap_err().text.contains("unterminated heredoc"));
        assert!(split("ENV a=<<E\n").unwrap().lines[0].heredocs.is_empty());
    }
}
