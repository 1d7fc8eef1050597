//! Starting other programs: captured or streamed, always with the command line in the error.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a finished program left behind.
pub struct Finished {
    pub ok: bool,
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Both streams, for the person who has to read why it failed.
    pub fn text(&self) -> String {
        let mut text = self.stdout.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&self.stderr);
        text
    }
}

/// `cargo`, as the one that runs us.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs a program to its end and keeps what it printed.
pub fn capture(dir: &Path, program: &str, args: &[&str]) -> Result<Finished, String> {
    capture_env(dir, program, args, &[])
}

/// As [`capture`], with variables added to the environment.
pub fn capture_env(
    dir: &Path,
    program: &str,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<Finished, String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start `{}`: {e}", line(program, args)))?;
    Ok(Finished {
        ok: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program that must succeed; the error is what it printed.
pub fn must(dir: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let finished = capture(dir, program, args)?;
    if finished.ok {
        return Ok(finished.stdout);
    }
    Err(format!("`{}` failed:\n{}", line(program, args), tail(&finished.text(), 60)))
}

/// Is there such a program on the PATH?
pub fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// Where on the PATH it is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The last `count` lines.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(count);
    let mut kept = String::new();
    if from > 0 {
        kept.push_str(&format!("  ... {from} lines before\n"));
    }
    kept.push_str(&lines[from..].join("\n"));
    kept
}

fn line(program: &str, args: &[&str]) -> String {
    let mut line = program.to_owned();
    for arg in args {
        line.push(' ');
        line.push_str(arg);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_printed() {
        let error = must(Path::new("/"), "sh", &["-c", "echo no such luck >&2; exit 3"]);
        let error = error.expect_err("must fail");
        assert!(error.contains("sh -c") && error.contains("no such luck"), "{error}");
        let error = must(Path::new("/"), "no-such-program", &[]).expect_err("must fail");
        assert!(error.contains("no-such-program"), "{error}");
    }

    #[test]
    fn a_tail_says_what_it_leaves_out() {
        assert_eq!(tail("a\nb\nc\n", 5), "a\nb\nc");
        assert_eq!(tail("a\nb\nc\n", 1), "  ... 2 lines before\nc");
    }
}
