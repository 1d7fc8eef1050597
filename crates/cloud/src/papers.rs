//! What README, book, labs and notes say of the command line is what it takes. (Blocks that are run say so
//! by themselves; this is about what only stands in a sentence, or is typed elsewhere.)

use crate::cli;
use clap::Command;
use std::path::{Path, PathBuf};

/// Where people read how it is used. Decisions and the diary tell what was.
const PAPERS: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/book/src", "labs", "docs/compat.md"];

/// The files at a path.
pub fn below(path: PathBuf, out: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(&path).unwrap() {
            below(entry.unwrap().path(), out);
        }
    } else {
        out.push(path);
    }
}

/// The commands in a text: spans of code, which may go over two lines, and lines of blocks.
fn commands(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            let lines = part.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line).trim());
            out.extend(lines.flat_map(|line| line.split("$(")).map(str::to_owned));
        } else {
            let spans = part.split('`').skip(1).step_by(2);
            out.extend(spans.flat_map(|span| {
                let span = span.split_whitespace().collect::<Vec<_>>().join(" ");
                span.split("$(").map(str::to_owned).collect::<Vec<_>>()
            }));
        }
    }
    out.retain(|command| command == "cumulet" || command.starts_with("cumulet "));
    out
}

/// The first thing in a command that there is not.
fn unknown(line: &str) -> Option<String> {
    let ends = |c: char| ['|', '>', '<', '&', ';', ')', '#'].contains(&c);
    // `a|b` in a sentence (there `a\|b`, as in tables) is a choice, elsewhere it is a pipe.
    let line = line.replace("\\|", "/").replace(['[', ']', '"', '\''], "");
    let line = line.split(ends).next().unwrap_or_default();
    let mut command: Command = cli::command();
    command.build();
    for word in line.split_whitespace().skip(1) {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next().unwrap_or_default();
            // What follows a `--` alone is another program's.
            if name.is_empty() {
                return None;
            }
            let there = command.get_arguments().any(|one| one.get_long() == Some(name));
            if !there && !["help", "version"].contains(&name) {
                return Some(word.to_owned());
            }
        } else if command.has_subcommands() && word.starts_with(|c: char| c.is_ascii_lowercase()) {
            let choices: Vec<&str> = word.split('/').collect();
            if let Some(none) = choices.iter().find(|one| command.find_subcommand(one).is_none()) {
                return Some((*none).to_owned());
            }
            // Flags of a choice may be those of any.
            if choices.len() > 1 {
                return None;
            }
            command = command.find_subcommand(choices[0])?.clone();
        }
    }
    None
}

#[test]
fn what_is_written_of_the_command_line_is_so() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut papers = Vec::new();
    for paper in PAPERS {
        below(root.join(paper), &mut papers);
    }
    papers.retain(|paper| paper.extension().is_some_and(|end| end == "md"));
    let (mut seen, mut wrong) = (0, Vec::new());
    for paper in papers {
        let text = std::fs::read_to_string(&paper).unwrap();
        for command in commands(&text) {
            seen += 1;
            if let Some(what) = unknown(&command) {
                wrong.push(format!("{}: `{command}`: there is no {what}", paper.display()));
            }
        }
    }
    assert!(seen > 100, "{seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_and_held_against_what_there_is() {
    let text = "a `cumulet snapshot\nfork --to DIR` b\n```sh\nX=$(cumulet env --account 1) && y\n```\n`cumulet x`";
    let found = commands(text);
    assert_eq!(
        found,
        ["cumulet snapshot fork --to DIR", "cumulet env --account 1) && y", "cumulet x"]
    );
    let told: Vec<_> = found.iter().map(|one| unknown(one)).collect();
    assert_eq!(told, [None, None, Some("x".to_owned())]);
    assert_eq!(unknown("cumulet env --acount 1"), Some("--acount".to_owned()));
    assert_eq!(unknown("cumulet lab list\\|gone"), Some("gone".to_owned()));
}
