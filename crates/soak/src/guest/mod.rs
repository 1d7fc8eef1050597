//! A machine of its own, under qemu, whose control groups are all of version 2: this program is its first
//! process, starts the cloud, and asks the stock docker CLI for containers with limits.
//!
//! `cargo xtask soak --qemu` makes the machine (`xtask/src/qemu`): a Debian kernel, a file system in memory with
//! this program, the cloud, busybox and the docker CLI, and a disk at `/dev/vda`. What the kernel says goes to the
//! first serial port, what is found to the second: a line for each check, and a closing line.

mod engine;
mod life;
mod limits;
mod networks;
mod users;

use engine::Engine;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::WaitOptions;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

const RESULTS: &str = "/dev/ttyS1";
const BUSYBOX: &str = "/bin/busybox";
/// Where the disk is.
const DISK: &str = "/data";

/// One thing that is looked at, by its name.
type Check = (&'static str, fn(&mut Engine) -> Result<(), String>);

/// The first process: makes the machine usable, runs the checks, buries who is left alone, and ends it all.
pub fn first_process() -> ExitCode {
    if let Err(error) = prepare() {
        println!("guest: cannot make the machine ready: {error}");
        report(&format!(
            "FAILED the machine is ready: {error}\ncontrol groups: 0 passed, 1 failed\n"
        ));
        end();
    }
    match Command::new("/proc/self/exe").arg("guest").spawn() {
        Ok(child) => {
            let checks = rustix::process::Pid::from_child(&child);
            loop {
                match rustix::process::wait(WaitOptions::empty()) {
                    Ok(Some((pid, _))) if pid == checks => break,
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        }
        Err(error) => println!("guest: cannot start the checks: {error}"),
    }
    end()
}

fn end() -> ! {
    rustix::fs::sync();
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    panic!("the machine does not go off")
}

fn report(text: &str) {
    print!("{text}");
    if let Ok(mut port) = File::options().write(true).open(RESULTS) {
        let _ = port.write_all(text.as_bytes());
    }
}

fn prepare() -> Result<(), String> {
    let told = |what: &'static str| move |error: rustix::io::Errno| format!("{what}: {error}");
    // The root of a kernel that has just come up cannot be left by pivot_root, which containers do: the same
    // folder, mounted over it, can.
    mount_bind("/", "/mnt").map_err(told("binding the root"))?;
    rustix::process::chdir("/mnt").map_err(told("chdir"))?;
    mount_move(".", "/").map_err(told("moving the root"))?;
    rustix::process::chroot(".").map_err(told("chroot"))?;
    rustix::process::chdir("/").map_err(told("chdir"))?;
    for (kind, at, options) in [
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("devtmpfs", "/dev", ""),
        ("tmpfs", "/run", "mode=755"),
        ("tmpfs", "/tmp", "mode=1777"),
        ("cgroup2", "/sys/fs/cgroup", ""),
    ] {
        system(kind, at, options)?;
    }
    for at in ["/dev/pts", "/dev/shm"] {
        std::fs::create_dir_all(at).map_err(|error| format!("{at}: {error}"))?;
    }
    system("devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5")?;
    system("tmpfs", "/dev/shm", "mode=1777")?;
    // Only what is worse than an error is printed between what the checks say.
    busybox(&["dmesg", "-n", "1"])?;
    busybox(&["depmod"])?;
    for module in ["virtio_pci", "virtio_blk", "bfq"] {
        busybox(&["modprobe", module])?;
    }
    busybox(&["ip", "link", "set", "lo", "up"])?;
    // The disk is seen a moment after its driver is there.
    until("the disk is there", 30, || Ok(Path::new("/dev/vda").exists()))?;
    mount("/dev/vda", DISK, "ext4", MountFlags::empty(), None).map_err(told("mounting the disk"))
}

fn system(kind: &str, at: &str, options: &str) -> Result<(), String> {
    let options = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
    mount(kind, at, kind, MountFlags::empty(), Some(options.as_c_str()))
        .map_err(|error| format!("mounting {at}: {error}"))
}

fn busybox(words: &[&str]) -> Result<String, String> {
    ran(Command::new(BUSYBOX).args(words))
}

/// What it printed, if it went well.
fn ran(command: &mut Command) -> Result<String, String> {
    let (code, output) = ended(command)?;
    match code {
        0 => Ok(output),
        code => Err(format!("{command:?} ended with {code}: {output}")),
    }
}

/// Its exit code, and what it printed on both streams.
fn ended(command: &mut Command) -> Result<(i32, String), String> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.push_str(String::from_utf8_lossy(&output.stderr).trim());
    Ok((output.status.code().unwrap_or(-1), text))
}

/// Looks again until it is so, for so many seconds at most.
fn until(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let started = std::time::Instant::now();
    loop {
        if look()? {
            return Ok(());
        }
        if started.elapsed().as_secs() >= seconds {
            return Err(format!("after {seconds} s it is not so that {what}"));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}, not {wanted:?}")),
    }
}

fn contains(what: &str, text: &str, part: &str) -> Result<(), String> {
    match text.contains(part) {
        true => Ok(()),
        false => Err(format!("{what}: nothing of {part:?} in {text:?}")),
    }
}

fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path);
    text.map(|text| text.trim().to_owned()).map_err(|error| format!("{}: {error}", path.display()))
}

/// `soak guest`: the checks, one after the other.
pub fn checks() -> Result<bool, String> {
    // Whoever runs this by hand on a machine of theirs would lose its containers.
    if rustix::process::getppid() != Some(rustix::process::Pid::INIT)
        || rustix::fs::statat(CWD, "/init", rustix::fs::AtFlags::empty()).is_err()
    {
        return Err(
            "the machine is not one that was made for it: cargo xtask soak --qemu".to_owned()
        );
    }
    let release = read("/proc/sys/kernel/osrelease")?;
    report(&format!("kernel {release}\n"));
    let (mut passed, mut failed) = (0, 0);
    let mut engine = Engine::new(Path::new(DISK).join("cloud"));
    let all: Vec<Check> = [limits::CHECKS, life::CHECKS, networks::CHECKS, users::CHECKS].concat();
    for (name, check) in all {
        let started = std::time::Instant::now();
        let done = engine.ready().and_then(|()| check(&mut engine));
        let cleared = engine.clear();
        let line = match done.and(cleared) {
            Ok(()) => {
                passed += 1;
                format!("ok {name} ({:.1} s)\n", started.elapsed().as_secs_f64())
            }
            Err(why) => {
                failed += 1;
                format!("FAILED {name}: {}\n", why.replace('\n', " | "))
            }
        };
        report(&line);
    }
    let last = engine.end().and_then(|()| engine::nothing_left());
    match last {
        Ok(()) => passed += 1,
        Err(why) => {
            failed += 1;
            report(&format!("FAILED nothing is left: {}\n", why.replace('\n', " | ")));
        }
    }
    report(&format!("control groups: {passed} passed, {failed} failed\n"));
    Ok(failed == 0)
}
