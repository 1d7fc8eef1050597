//! A lab as it is written: Markdown, of which `sh` blocks are run and the `text` block after each is what
//! one should see.

/// A lab, read.
#[derive(Debug)]
pub struct Lab {
    pub title: String,
    /// The first paragraph, on one line.
    pub summary: String,
    /// Programs without which it cannot be run.
    pub needs: Vec<String>,
    pub blocks: Vec<Block>,
}

/// Commands, and what they should print.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Where it begins in the file, counted from 1.
    pub line: usize,
    /// What it stands under.
    pub heading: String,
    pub code: String,
    /// It should end with an error.
    pub fails: bool,
    pub expected: Option<String>,
}

/// The line that names the programs.
const NEEDS: &str = "Needs: ";
const RUN: &str = "```sh";
const RUN_FAILS: &str = "```sh fails";
const SEEN: &str = "```text";
const END: &str = "```";
/// Blocks that are only read: what is typed elsewhere, and files in other languages.
const READ: [&str; 8] = ["console", "dockerfile", "ini", "json", "python", "rust", "toml", "yaml"];

/// Reads a lab. An error says which line is wrong.
pub fn parse(text: &str) -> Result<Lab, String> {
    let mut lab =
        Lab { title: String::new(), summary: String::new(), needs: Vec::new(), blocks: Vec::new() };
    let mut heading = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        match line.trim_end() {
            RUN | RUN_FAILS => lab.blocks.push(Block {
                line: index + 1,
                heading: heading.clone(),
                code: body(&mut lines, index)?,
                fails: line.trim_end() == RUN_FAILS,
                expected: None,
            }),
            SEEN => {
                let seen = body(&mut lines, index)?;
                let block = lab.blocks.last_mut().filter(|block| block.expected.is_none());
                let Some(block) = block else {
                    return Err(format!("line {}: no `sh` block prints this", index + 1));
                };
                block.expected = Some(seen);
            }
            other if other.starts_with(END) => {
                if !READ.contains(&&other[END.len()..]) {
                    return Err(format!(
                        "line {}: a block is `sh`, `sh fails` or `text`; {} are only read",
                        index + 1,
                        READ.join(", ")
                    ));
                }
                body(&mut lines, index)?;
            }
            other => prose(&mut lab, &mut heading, other),
        }
    }
    if lab.title.is_empty() || lab.summary.is_empty() || lab.blocks.is_empty() {
        return Err(
            "a lab has a title, a paragraph of what it is about, and `sh` blocks".to_owned()
        );
    }
    Ok(lab)
}

fn prose(lab: &mut Lab, heading: &mut String, line: &str) {
    if let Some(title) = line.strip_prefix("# ") {
        lab.title = title.to_owned();
    } else if let Some(next) = line.strip_prefix("## ") {
        *heading = next.to_owned();
    } else if let Some(needs) = line.strip_prefix(NEEDS) {
        let words = needs.trim_end_matches('.').split(',');
        lab.needs = words.map(|word| word.trim().trim_matches('`').to_owned()).collect();
    } else if heading.is_empty() && lab.needs.is_empty() && lab.blocks.is_empty() {
        let gap = if lab.summary.is_empty() || line.is_empty() { "" } else { " " };
        lab.summary = format!("{}{gap}{line}", lab.summary);
    }
}

fn body<'t>(
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
    begin: usize,
) -> Result<String, String> {
    let mut out = String::new();
    for (_, line) in lines {
        if line.trim_end() == END {
            return Ok(out);
        }
        out.push_str(line);
        out.push('\n');
    }
    Err(format!("line {}: the block has no end", begin + 1))
}

/// Compares what was seen with what should be. `...` in a line stands for anything, alone on a line
/// for any lines. The error is the first line that fits nothing.
pub fn matches(expected: &str, seen: &str) -> Result<(), String> {
    let trimmed = |text: &str| -> Vec<String> {
        let lines = text.trim_matches('\n').lines().map(|line| line.trim_end().to_owned());
        lines.collect()
    };
    let (expected, seen) = (trimmed(expected), trimmed(seen));
    let mut furthest = 0;
    if lines_match(&expected, &seen, &mut furthest, 0) {
        return Ok(());
    }
    Err(expected.get(furthest).cloned().unwrap_or_else(|| "the end".to_owned()))
}

fn lines_match(expected: &[String], seen: &[String], furthest: &mut usize, at: usize) -> bool {
    *furthest = (*furthest).max(at);
    let Some((first, rest)) = expected.split_first() else { return seen.is_empty() };
    if first.trim() == "..." {
        return (0..=seen.len())
            .any(|skipped| lines_match(rest, &seen[skipped..], furthest, at + 1));
    }
    match seen.split_first() {
        Some((line, others)) => {
            line_matches(first, line) && lines_match(rest, others, furthest, at + 1)
        }
        None => false,
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let parts: Vec<&str> = expected.split("...").collect();
    let [first, middle @ .., last] = &parts[..] else { return expected == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_in_a_lab_is_an_error_that_names_the_line() {
        let words: [&[u8]; 6] = [b"```sh", b"```text", b"```", b"\n", b"# ", b"Needs: "];
        base::noise::run(8, 20_000, &[LAB.as_bytes()], &words, |data| {
            if let Err(error) = parse(&String::from_utf8_lossy(data)) {
                assert!(!error.is_empty());
            }
        });
    }

    const LAB: &str = "# A title\n\nAbout\nthis.\n\nNeeds: `aws`, `curl`.\n\n## One\n\nProse.\n\n\
        ```sh\necho a\necho b\n```\n\nYou see:\n\n```text\na\nb\n```\n\n## Two\n\n```sh fails\nfalse\n```\n";

    #[test]
    fn a_lab_is_read() {
        let lab = parse(LAB).unwrap();
        assert_eq!((&*lab.title, &*lab.summary), ("A title", "About this."));
        assert_eq!(lab.needs, ["aws", "curl"]);
        let [one, two] = &lab.blocks[..] else { panic!("{lab:?}") };
        assert_eq!((one.line, &*one.heading, &*one.code), (12, "One", "echo a\necho b\n"));
        assert_eq!((one.fails, one.expected.as_deref()), (false, Some("a\nb\n")));
        assert_eq!((two.fails, two.expected.as_deref()), (true, None));
    }

    #[test]
    fn labs_that_are_none() {
        let check = |text: &str, part: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("# t\n\nx\n", "a title");
        check("# t\n\nx\n\n```text\n```\n", "line 5: no `sh` block");
        check("# t\n\nx\n\n```sh\necho\n", "line 5: the block has no end");
        check("# t\n\nx\n\n```bash\n```\n", "line 5: a block is");
        check("# t\n\nx\n```sh\n:\n```\n```text\n```\n```text\n```\n", "line 9");
    }

    #[test]
    fn what_fits() {
        let check = |expected: &str, seen: &str, result: Result<(), &str>| {
            assert_eq!(matches(expected, seen), result.map_err(str::to_owned), "{expected}");
        };
        check("a\nb\n", "a\nb", Ok(()));
        check("a", "a \n\n", Ok(()));
        check("", "", Ok(()));
        check("a\nb", "a\nc", Err("b"));
        check("a", "a\nb", Err("the end"));
        check("a\nb", "a", Err("b"));
        check("...", "", Ok(()));
        check("...\nb\n...", "a\nb\nc", Ok(()));
        check("...\nx\n...", "a\nb\nc", Err("x"));
        check("20... photos", "2026-11-26 08:00 photos", Ok(()));
        check("a...b...c", "axxbyyc", Ok(()));
        check("a...b...c", "axxcyyb", Err("a...b...c"));
        check("ab...b", "ab", Err("ab...b"));
    }
}
