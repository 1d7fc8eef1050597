//! `cargo xtask soak --qemu`: a machine under qemu with a kernel of Debian, all of whose control groups are of
//! version 2, in which the cloud runs containers and `soak guest` looks at them with the stock docker CLI.
//!
//! Without KVM the machine is translated, and everything in it takes some ten times as long.

mod cpio;
pub mod foreign;
mod kernel;

use crate::dist::libraries;
use crate::report::Tally;
use crate::{black_box, install, run, soak};
use cpio::Archive;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-x86_64";
const PACKAGES: [(&str, &str); 4] = [
    (QEMU, "qemu-system-x86"),
    ("mkfs.ext4", "e2fsprogs"),
    ("docker", "docker.io"),
    ("busybox", "busybox-static"),
];
const DISK_BYTES: u64 = 2 << 30;
/// Of all of it, with KVM some two minutes.
const TIME_MAX: Duration = Duration::from_secs(3600);
/// Of the longest check.
const SILENCE_MAX: Duration = Duration::from_secs(900);
/// A machine that KVM runs has come up by then.
const KVM_TIME_MAX: Duration = Duration::from_secs(60);

/// Needs Debian's packages and its package manager, root for them, and this processor.
pub fn control_groups(root: &Path) -> Result<Tally, String> {
    let is_root = run::must(root, "id", &["-u"])?.trim() == "0";
    if !run::exists("apt-get") || !is_root || !cfg!(target_arch = "x86_64") {
        println!("    skipped: it needs a Debian of x86-64, and root");
        return Ok(Tally::default());
    }
    install::packages(&PACKAGES)?;
    let folder = root.join("target/qemu");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let kernel = kernel::unpacked(&folder)?;
    println!("    {}", kernel.package);
    let memory = folder.join("initramfs");
    write(&memory, &machine(root, &kernel)?)?;
    let disk = folder.join("disk");
    make_disk(&disk)?;
    let console = folder.join("console.log");
    let machine = Machine { kernel: &kernel, memory: &memory, disk: &disk, console: &console };
    let lines = machine.run();
    let _ = std::fs::remove_file(&disk);
    let lines = lines.map_err(|why| {
        let text = std::fs::read_to_string(&console).unwrap_or_default();
        format!("{why}; the end of {}:\n{}", console.display(), run::tail(&text, 40))
    })?;
    tally(&lines).ok_or_else(|| format!("no closing line:\n{}", lines.join("\n")))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// All files of the machine, its disk aside.
fn machine(root: &Path, kernel: &kernel::Kernel) -> Result<Vec<u8>, String> {
    let cumulet = black_box::build(root)?;
    let soak = black_box::build_program(root, "soak", "soak")?;
    let docker = run::find("docker").ok_or("there is no docker")?;
    let busybox = run::find("busybox").ok_or("there is no busybox")?;
    let mut all = Archive::default();
    let programs = [
        ("init", soak.as_path()),
        ("usr/bin/cumulet", &cumulet),
        ("usr/bin/docker", &docker),
        ("bin/busybox", &busybox),
    ];
    let mut needed = std::collections::BTreeMap::new();
    for (at, program) in programs {
        all.file(at, 0o755, &stripped(program)?);
        needed.extend(libraries(program)?);
    }
    for (path, content) in &needed {
        all.file(path, 0o755, content);
    }
    for name in ["bin/sh", "sbin/modprobe"] {
        all.link(name, "/bin/busybox");
    }
    for (path, content) in kernel.modules()? {
        all.file(&path, 0o644, &content);
    }
    for folder in ["data", "mnt", "proc", "run", "sys", "tmp", "root", "home/someone"] {
        all.folder(folder);
    }
    // The kernel wants it before anything is mounted.
    all.character_device("dev/console", 5, 1);
    for (name, text) in [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/sh\nsomeone:x:1000:1000::/home/someone:/bin/sh\n\
             dockremap:x:900:900::/:/bin/false\n",
        ),
        ("group", "root:x:0:\ntty:x:5:\nsomeone:x:1000:\ndockremap:x:900:\n"),
        ("subuid", "someone:100000:65536\ndockremap:200000:65536\n"),
        ("subgid", "someone:100000:65536\ndockremap:200000:65536\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("resolv.conf", ""),
    ] {
        all.file(&format!("etc/{name}"), 0o644, text.as_bytes());
    }
    Ok(all.finish())
}

/// Without what only debuggers read, which is most of it, where there is a program that takes it off.
fn stripped(program: &Path) -> Result<Vec<u8>, String> {
    let to = std::env::temp_dir().join(format!("cumulet-stripped-{}", std::process::id()));
    let (from, into) = (program.to_string_lossy(), to.to_string_lossy());
    let done = run::capture(Path::new("/"), "strip", &["-o", &into, &from]);
    let from = if done.is_ok_and(|finished| finished.ok) { to.as_path() } else { program };
    let bytes = std::fs::read(from).map_err(|error| format!("{}: {error}", from.display()));
    let _ = std::fs::remove_file(&to);
    bytes
}

fn make_disk(path: &Path) -> Result<(), String> {
    let made = std::fs::File::create(path).and_then(|file| file.set_len(DISK_BYTES));
    made.map_err(|error| format!("{}: {error}", path.display()))?;
    let path = path.to_string_lossy();
    run::must(Path::new("/"), "mkfs.ext4", &["-q", "-F", &path]).map(drop)
}

struct Machine<'a> {
    kernel: &'a kernel::Kernel,
    memory: &'a Path,
    disk: &'a Path,
    console: &'a Path,
}

impl Machine<'_> {
    /// Runs it until it goes off; gives what it said on its second serial port.
    fn run(&self) -> Result<Vec<String>, String> {
        // There are machines whose KVM is there and never comes to the first line.
        if std::fs::File::options().write(true).open("/dev/kvm").is_ok() {
            match self.boot("kvm", KVM_TIME_MAX) {
                Err(Failed::Silent) => println!("    KVM is there and does not work"),
                Err(Failed::For(why)) => return Err(why),
                Ok(lines) => return Ok(lines),
            }
        }
        println!("    translated, since there is no KVM: everything takes long");
        self.boot("tcg", SILENCE_MAX).map_err(|failed| match failed {
            Failed::Silent => format!("it said nothing for {SILENCE_MAX:?}"),
            Failed::For(why) => why,
        })
    }

    /// `first_max` is how long the first line may take.
    fn boot(&self, accelerator: &str, first_max: Duration) -> Result<Vec<String>, Failed> {
        let mut child = self.command(accelerator).spawn().map_err(|e| format!("{QEMU}: {e}"))?;
        let output = child.stdout.take().ok_or("no stdout".to_owned())?;
        let (send, receive) = channel();
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .all(|line| send.send(line).is_ok());
        });
        let (started, mut lines) = (Instant::now(), Vec::new());
        let told = loop {
            let silence_max = if lines.is_empty() { first_max } else { SILENCE_MAX };
            let left = TIME_MAX.saturating_sub(started.elapsed()).min(silence_max);
            match receive.recv_timeout(left) {
                Ok(line) => {
                    let line = line.trim_end().to_owned();
                    println!("    {line}");
                    lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) if lines.is_empty() => break Err(Failed::Silent),
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("nothing came for {left:?}, after {}", lines.join("; "));
                    break Err(Failed::For(text));
                }
            }
        };
        let _ = child.kill();
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        told?;
        match tally(&lines) {
            Some(_) => Ok(lines),
            None => Err(Failed::For(format!(
                "the machine went off before the end ({}): {}{}",
                output.status,
                lines.join("; "),
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }

    fn command(&self, accelerator: &str) -> Command {
        // It ends with whoever started it.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "--", QEMU, "-accel", accelerator])
            .args(["-cpu", "max", "-smp", "2", "-m", "2048", "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", self.console.display()))
            .args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet", "-kernel"])
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.memory)
            .arg("-drive")
            .arg(format!("file={},format=raw,if=virtio,cache=unsafe", self.disk.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        qemu
    }
}

enum Failed {
    /// Not even that it is there.
    Silent,
    For(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed::For(why)
    }
}

fn tally(lines: &[String]) -> Option<Tally> {
    let (passed, failed) = soak::closing_line(&lines.join("\n"))?;
    let findings = lines.iter().filter(|line| line.starts_with("FAILED"));
    let detail = findings.cloned().collect::<Vec<_>>().join("\n");
    Some(Tally { passed, failed, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_said() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let found =
            tally(&lines("kernel 6\nok a\nFAILED b: why\ncontrol groups: 1 passed, 1 failed"));
        let wanted = Tally { passed: 1, failed: 1, detail: "FAILED b: why".to_owned() };
        assert_eq!(found, Some(wanted));
        assert_eq!(tally(&lines("kernel 6\nok a")), None, "it went off in the middle");
    }
}
