//! Runs the blocks of a lab, one after the other, in one shell, and looks at what they print.
//!
//! The shell is one of `cumulet shell`, so the commands stand in the lab as they would for AWS.

use super::descendants;
use super::heard::{Heard, Silence, Source, interrupted};
use super::state;
use super::text::{self, Block, Lab};
use crate::chance::{OsEntropy, SystemClock};
use crate::client;
use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::shell::{Network, Running, Wanted};
use base::{Clock, Entropy};
use rustix::process::Pid;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// For all that one block does.
const BLOCK_PATIENCE: Duration = Duration::from_secs(120);
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Runs a lab in a folder of its own, against the running cloud or one that is started for it.
pub fn run(
    config: &Config,
    name: &str,
    lab: &Lab,
    files: &[(&str, &[u8])],
    keep: bool,
) -> Result<(), Failure> {
    let missing: Vec<&str> =
        lab.needs.iter().map(String::as_str).filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        let text = format!(
            "this lab needs {} (aws: pip install awscli; others: your system's packages)",
            missing.join(", ")
        );
        return Err(Failure::new(exit::FAILED, text));
    }
    let mark = base::hex::encode(&OsEntropy.next_u64().to_be_bytes()[..4]);
    let scratch = Scratch::new(name, &mark, files)?;
    let heard = Heard::new()?;
    let own = match client::holder(config) {
        Some(_) => None,
        None => Some(OwnCloud::start(&scratch.0, &heard)?),
    };
    let mut config = config.clone();
    if let Some(own) = &own {
        config.data = own.data.clone();
    }
    println!("{}\n", bold(&lab.title));
    descendants::inherit();
    let result = Shell::start(&config, &scratch.0.join("work"), &mark, &heard);
    let result = result.and_then(|mut shell| {
        blocks(&mut shell, lab, &mut |done, failed| {
            // A cloud of its own is gone afterwards, and what it would show with it. A file of one's
            // own has no page.
            if own.is_none() && !name.contains(['/', '.']) {
                let at = SystemClock::new().now();
                let _ = state::write(&config.data, name, done, failed, at);
            }
        })
    });
    descendants::end_all_but(own.as_ref().map(|own| Pid::from_child(&own.child)));
    drop(own);
    match (&result, keep) {
        (Ok(()), false) => scratch.remove(),
        _ => println!("its folder: {}", scratch.0.display()),
    }
    result?;
    println!("{}: all {} steps are as they should be", lab.title, lab.blocks.len());
    Ok(())
}

/// `note` is told after each step how many were as they should be, and why one was not.
fn blocks(
    shell: &mut Shell<'_>,
    lab: &Lab,
    note: &mut dyn FnMut(usize, Option<&str>),
) -> Result<(), Failure> {
    let mut heading = "";
    for (index, block) in lab.blocks.iter().enumerate() {
        if block.heading != heading {
            heading = &block.heading;
            println!("{}", bold(heading));
        }
        for line in block.code.lines() {
            println!("  $ {line}");
        }
        let step = format!("step {} of {}, line {}", index + 1, lab.blocks.len(), block.line);
        let (seen, code) = shell.run(block).map_err(|failure| {
            Failure::new(exit::FAILED, format!("{step}: {}\n{}", failure.text, block.code))
        })?;
        for line in seen.trim_matches('\n').lines() {
            println!("  {line}");
        }
        let checked = check(block, &seen, code);
        note(index + usize::from(checked.is_ok()), checked.as_ref().err().map(String::as_str));
        checked.map_err(|why| Failure::new(exit::FAILED, explained(&step, block, &seen, &why)))?;
        println!();
    }
    Ok(())
}

fn check(block: &Block, seen: &str, code: i32) -> Result<(), String> {
    match (block.fails, code) {
        (false, 1..) => return Err(format!("it ended with {code}")),
        (true, 0) => return Err("it should have failed, but did not".to_owned()),
        _ => {}
    }
    match &block.expected {
        Some(expected) => {
            text::matches(expected, seen).map_err(|line| format!("nothing fits: {line}"))
        }
        None => Ok(()),
    }
}

fn explained(step: &str, block: &Block, seen: &str, why: &str) -> String {
    let indented = |text: &str| {
        text.trim_matches('\n').lines().fold(String::new(), |out, line| out + "    " + line + "\n")
    };
    let mut out = format!("{step}: {why}\n  the commands:\n{}", indented(&block.code));
    if let Some(expected) = &block.expected {
        out += &format!("  what one should see:\n{}", indented(expected));
    }
    out + &format!("  what was seen:\n{}", indented(seen))
}

fn bold(text: &str) -> String {
    match std::io::stdout().is_terminal() {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

fn is_there(program: &str) -> bool {
    // We ourselves are.
    if program == "cumulet" {
        return true;
    }
    let path = crate::cli::variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(exit::FAILED, format!("{what}: {error}"))
}

/// `work` is the lab's folder; beside it stand the blocks, and the data of a cloud started for it.
struct Scratch(PathBuf);

impl Scratch {
    #[allow(clippy::disallowed_methods, reason = "a folder of the lab's own")]
    fn new(name: &str, mark: &str, files: &[(&str, &[u8])]) -> Result<Scratch, Failure> {
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or("lab");
        let folder = std::env::temp_dir().join(format!("cumulet-lab-{stem}-{mark}"));
        let made = || -> std::io::Result<()> {
            std::fs::create_dir(&folder)?;
            std::fs::create_dir(folder.join("work"))?;
            for (path, bytes) in files {
                let path = folder.join("work").join(path);
                std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                std::fs::write(&path, bytes)?;
            }
            Ok(())
        };
        made().map_err(|error| failed(&folder.display().to_string(), error))?;
        Ok(Scratch(folder))
    }

    fn remove(self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A cloud for this lab alone.
struct OwnCloud {
    child: Child,
    data: PathBuf,
}

impl OwnCloud {
    fn start(scratch: &Path, heard: &Heard) -> Result<OwnCloud, Failure> {
        let data = scratch.join("cloud");
        let child = Command::new("/proc/self/exe")
            .args(["up", "--end-containers", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            // The person's doors are not for a second cloud.
            .env("CUMULET_CONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("no cloud", error))?;
        let mut own = OwnCloud { child, data };
        if let Some(stdout) = own.child.stdout.take() {
            heard.listen(Source::Cloud, stdout);
        }
        loop {
            match heard.line(Source::Cloud, START_PATIENCE) {
                Ok(line) if line.starts_with("listening on") => return Ok(own),
                Ok(_) => {}
                Err(Silence::Interrupted) => return Err(interrupted()),
                Err(_) => return Err(failed("a cloud for this lab", "it does not start")),
            }
        }
    }
}

impl Drop for OwnCloud {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// One `sh` in which all blocks run, so that they share variables and the folder.
struct Shell<'h> {
    running: Running,
    heard: &'h Heard,
    folder: PathBuf,
    mark: String,
    count: usize,
}

impl<'h> Shell<'h> {
    fn start(
        config: &Config,
        work: &Path,
        mark: &str,
        heard: &'h Heard,
    ) -> Result<Shell<'h>, Failure> {
        // `cumulet` in a lab is this program.
        let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let path = crate::cli::variable("PATH").unwrap_or_default();
        let path = own.map_or(path.clone(), |own| format!("{}:{path}", own.display()));
        let set = [
            ("LAB", mark.to_owned()),
            ("PATH", path),
            ("CUMULET_DATA", config.data.display().to_string()),
            ("AWS_PAGER", String::new()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
        ];
        let wanted = Wanted {
            command: vec!["sh".into()],
            account: None,
            network: Network::Any,
            ports: Vec::new(),
            set: set.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            folder: Some(work.to_owned()),
            piped: true,
        };
        let mut running = Running::start(config, wanted)?;
        let stdout = running.child.stdout.take().ok_or_else(|| failed("no shell", "no output"))?;
        let folder = work.parent().unwrap_or(work).to_owned();
        heard.listen(Source::Shell, stdout);
        Ok(Shell { running, heard, folder, mark: mark.to_owned(), count: 0 })
    }

    /// What the block printed, on both outputs, and its exit code.
    #[allow(clippy::disallowed_methods, reason = "a folder of the lab's own")]
    fn run(&mut self, block: &Block) -> Result<(String, i32), Failure> {
        self.count += 1;
        let file = self.folder.join(format!("block-{}.sh", self.count));
        std::fs::write(&file, &block.code)
            .map_err(|error| failed(&file.display().to_string(), error))?;
        let stdin = self.running.child.stdin.as_mut();
        let stdin = stdin.ok_or_else(|| failed("the shell", "no input"))?;
        let end = format!("end-of-block-{}", self.mark);
        let line = format!(". '{}' < /dev/null 2>&1; printf '\\n{end} %s\\n' $?\n", file.display());
        stdin.write_all(line.as_bytes()).map_err(|error| failed("the shell has ended", error))?;
        let mut seen = String::new();
        loop {
            match self.heard.line(Source::Shell, BLOCK_PATIENCE) {
                Ok(line) => match line.strip_prefix(&*end) {
                    Some(code) => {
                        return Ok((seen, code.trim().parse().unwrap_or(1)));
                    }
                    None => seen.push_str(&line),
                },
                Err(Silence::Interrupted) => return Err(interrupted()),
                Err(Silence::Ended) => {
                    return Err(failed("the shell has ended; it printed", seen));
                }
                Err(Silence::Patience) => {
                    let text = format!("nothing for {} s; before that", BLOCK_PATIENCE.as_secs());
                    return Err(failed(&text, seen));
                }
            }
        }
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        // Without input the shell ends; what it left running does not hold us up.
        drop(self.running.child.stdin.take());
        let _ = self.running.child.kill();
        let _ = self.running.child.wait();
    }
}
