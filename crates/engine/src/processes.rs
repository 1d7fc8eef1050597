//! Processes as `ps` shows them, read from `/proc`.
//!
//! Which processes there are is the container's; options of `ps` that choose among those of the machine
//! change nothing here. What it has no columns for is refused by name.

use crate::error::{Error, Kind};
use crate::sys::cgroup::read;
use base::Timestamp;
use std::collections::BTreeSet;

const TICKS_PER_S: u64 = 100;

#[derive(Default)]
struct Process {
    pid: i32,
    ppid: i32,
    pgid: i32,
    sid: i32,
    uid: u32,
    gid: u32,
    state: String,
    tty: String,
    cpu_ticks: u64,
    started_s: u64,
    nice: i64,
    threads: u64,
    vsz_kib: u64,
    rss_kib: u64,
    name: String,
    command: String,
}

/// A column: what is in it, and what stands above it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column(Field, String);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    User,
    Uid,
    Group,
    Gid,
    Pid,
    Ppid,
    Pgid,
    Sid,
    Cpu,
    CpuShare,
    MemoryShare,
    Vsz,
    Rss,
    Tty,
    State,
    Start,
    Time,
    ShortTime,
    Elapsed,
    ElapsedSeconds,
    Nice,
    Threads,
    Name,
    Command,
}

/// Names of columns as `-o` takes them, and their titles.
const COLUMNS: &[(&str, Field, &str)] = &[
    ("user", Field::User, "USER"),
    ("uname", Field::User, "USER"),
    ("euser", Field::User, "EUSER"),
    ("ruser", Field::User, "RUSER"),
    ("uid", Field::Uid, "UID"),
    ("euid", Field::Uid, "EUID"),
    ("group", Field::Group, "GROUP"),
    ("egroup", Field::Group, "EGROUP"),
    ("gid", Field::Gid, "GID"),
    ("egid", Field::Gid, "EGID"),
    ("pid", Field::Pid, "PID"),
    ("tgid", Field::Pid, "TGID"),
    ("ppid", Field::Ppid, "PPID"),
    ("pgid", Field::Pgid, "PGID"),
    ("pgrp", Field::Pgid, "PGRP"),
    ("sid", Field::Sid, "SID"),
    ("sess", Field::Sid, "SESS"),
    ("c", Field::Cpu, "C"),
    ("pcpu", Field::CpuShare, "%CPU"),
    ("%cpu", Field::CpuShare, "%CPU"),
    ("pmem", Field::MemoryShare, "%MEM"),
    ("%mem", Field::MemoryShare, "%MEM"),
    ("vsz", Field::Vsz, "VSZ"),
    ("vsize", Field::Vsz, "VSZ"),
    ("rss", Field::Rss, "RSS"),
    ("rssize", Field::Rss, "RSS"),
    ("rsz", Field::Rss, "RSZ"),
    ("tty", Field::Tty, "TT"),
    ("tt", Field::Tty, "TT"),
    ("tname", Field::Tty, "TTY"),
    ("stat", Field::State, "STAT"),
    ("state", Field::State, "S"),
    ("s", Field::State, "S"),
    ("start", Field::Start, "STARTED"),
    ("start_time", Field::Start, "START"),
    ("stime", Field::Start, "STIME"),
    ("time", Field::Time, "TIME"),
    ("cputime", Field::Time, "TIME"),
    ("etime", Field::Elapsed, "ELAPSED"),
    ("etimes", Field::ElapsedSeconds, "ELAPSED"),
    ("ni", Field::Nice, "NI"),
    ("nice", Field::Nice, "NI"),
    ("nlwp", Field::Threads, "NLWP"),
    ("thcount", Field::Threads, "THCNT"),
    ("comm", Field::Name, "COMMAND"),
    ("ucmd", Field::Name, "CMD"),
    ("ucomm", Field::Name, "COMMAND"),
    ("args", Field::Command, "COMMAND"),
    ("cmd", Field::Command, "CMD"),
    ("command", Field::Command, "COMMAND"),
];

fn fixed(columns: &[(Field, &str)]) -> Vec<Column> {
    columns.iter().map(|(field, title)| Column(*field, (*title).to_owned())).collect()
}

fn full() -> Vec<Column> {
    fixed(&[
        (Field::User, "UID"),
        (Field::Pid, "PID"),
        (Field::Ppid, "PPID"),
        (Field::Cpu, "C"),
        (Field::Start, "STIME"),
        (Field::Tty, "TTY"),
        (Field::Time, "TIME"),
        (Field::Command, "CMD"),
    ])
}

fn for_users() -> Vec<Column> {
    fixed(&[
        (Field::User, "USER"),
        (Field::Pid, "PID"),
        (Field::CpuShare, "%CPU"),
        (Field::MemoryShare, "%MEM"),
        (Field::Vsz, "VSZ"),
        (Field::Rss, "RSS"),
        (Field::Tty, "TTY"),
        (Field::State, "STAT"),
        (Field::Start, "START"),
        (Field::ShortTime, "TIME"),
        (Field::Command, "COMMAND"),
    ])
}

/// What `ps` would show with these arguments; without any as `ps -ef`.
pub fn columns(arguments: &str) -> Result<Vec<Column>, Error> {
    let mut words = arguments.split_whitespace();
    if arguments.trim().is_empty() {
        return Ok(full());
    }
    let refuse = |word: &str| {
        let text = format!("top with ps_args {word:?} is not done");
        Err(Error::new(Kind::NotDone, text))
    };
    let (mut chosen, mut own) = (None, Vec::new());
    while let Some(word) = words.next() {
        if let Some(list) = word.strip_prefix("--format=") {
            parse_columns(list, &mut own)?;
            continue;
        }
        let is_unix = word.starts_with('-');
        if word.starts_with("--") {
            return refuse(word);
        }
        let letters = word.trim_start_matches('-');
        for (at, letter) in letters.char_indices() {
            match letter {
                // Which processes, and how wide: these are the container's, whole.
                'e' | 'A' | 'a' | 'x' | 'w' | 'd' => {}
                'f' if is_unix => chosen = Some(full()),
                // As with the original, `-aux` is taken for `aux`.
                'u' => chosen = Some(for_users()),
                'o' => {
                    let rest = &letters[at + 1..];
                    let list = if rest.is_empty() { words.next().unwrap_or("") } else { rest };
                    parse_columns(list, &mut own)?;
                    break;
                }
                _ => return refuse(word),
            }
        }
    }
    let short = || {
        fixed(&[
            (Field::Pid, "PID"),
            (Field::Tty, "TTY"),
            (Field::Time, "TIME"),
            (Field::Name, "CMD"),
        ])
    };
    let columns = if own.is_empty() { chosen.unwrap_or_else(short) } else { own };
    match columns.iter().any(|Column(_, title)| title == "PID") {
        true => Ok(columns),
        false => Err(Error::failed("Couldn't find PID field in ps output")),
    }
}

/// `pid,comm` or `pid=NUMBER`.
fn parse_columns(list: &str, own: &mut Vec<Column>) -> Result<(), Error> {
    for one in list.split(',') {
        let (name, title) = one.split_once('=').map_or((one, None), |(n, t)| (n, Some(t)));
        let known = COLUMNS.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known));
        let Some((_, field, usual)) = known else {
            return Err(Error::failed(format!(
                "error running ps: error: unknown user-defined format specifier \"{name}\""
            )));
        };
        own.push(Column(*field, title.unwrap_or(usual).to_owned()));
    }
    Ok(())
}

/// Titles and rows.
pub fn list(pids: &[i32], columns: &[Column]) -> (Vec<String>, Vec<Vec<String>>) {
    let boot_s = boot_time();
    let now_s = (crate::time::now_ns() / 1_000_000_000) as u64;
    let found = pids.iter().filter_map(|pid| look(*pid, boot_s));
    let rows = found.map(|process| {
        columns.iter().map(|Column(field, _)| cell(&process, *field, now_s)).collect()
    });
    let rows = rows.collect();
    (columns.iter().map(|Column(_, title)| title.clone()).collect(), rows)
}

fn cell(p: &Process, field: Field, now_s: u64) -> String {
    let age_s = now_s.saturating_sub(p.started_s);
    let permille = p.cpu_ticks * 1000 / TICKS_PER_S / age_s.max(1);
    let seconds = p.cpu_ticks / TICKS_PER_S;
    let long = |s: u64| format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    match field {
        Field::User => name_of("/etc/passwd", p.uid),
        Field::Uid => p.uid.to_string(),
        Field::Group => name_of("/etc/group", p.gid),
        Field::Gid => p.gid.to_string(),
        Field::Pid => p.pid.to_string(),
        Field::Ppid => p.ppid.to_string(),
        Field::Pgid => p.pgid.to_string(),
        Field::Sid => p.sid.to_string(),
        Field::Cpu => (permille / 10).to_string(),
        Field::CpuShare => format!("{}.{}", permille / 10, permille % 10),
        Field::MemoryShare => {
            let memory = crate::container::machine_memory().max(1);
            format!("{:.1}", p.rss_kib as f64 * 1024.0 * 100.0 / memory as f64)
        }
        Field::Vsz => p.vsz_kib.to_string(),
        Field::Rss => p.rss_kib.to_string(),
        Field::Tty => p.tty.clone(),
        Field::State => p.state.clone(),
        Field::Start => clock(p.started_s),
        Field::Time => long(seconds),
        Field::ShortTime => format!("{}:{:02}", seconds / 60, seconds % 60),
        Field::Elapsed => match age_s {
            s @ 0..3600 => format!("{:02}:{:02}", s / 60, s % 60),
            s @ 3600..86_400 => long(s),
            s => format!("{}-{}", s / 86_400, long(s % 86_400)),
        },
        Field::ElapsedSeconds => age_s.to_string(),
        Field::Nice => p.nice.to_string(),
        Field::Threads => p.threads.to_string(),
        Field::Name => p.name.clone(),
        Field::Command => p.command.clone(),
    }
}

/// What a container's processes use, where nothing counts it for them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Used {
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    pub memory: u64,
    pub threads: u64,
}

/// Of those that are there, and of their children that they have buried.
pub fn used(pids: &[i32]) -> Used {
    const TICK_NS: u64 = 1_000_000_000 / TICKS_PER_S;
    let mut sum = Used::default();
    for pid in pids {
        let Some(stat) = read(&format!("/proc/{pid}/stat")) else { continue };
        let Some(fields) = fields(&stat) else { continue };
        let number = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        sum.cpu_user_ns += (number(11) + number(13)) * TICK_NS;
        sum.cpu_system_ns += (number(12) + number(14)) * TICK_NS;
        sum.threads += number(17);
        sum.memory += number(21) * rustix::param::page_size() as u64;
    }
    sum
}

/// What stands after the name, which is in parentheses and may hold anything.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

/// The processes of a container by what they are in: the mounts of its first process, which every one that
/// joins it shares, and what those have started. For where no control group knows them.
pub fn of_container(first: i32) -> Vec<i32> {
    mounts(first).map(in_mounts).unwrap_or_default()
}

/// The mounts that a process sees, as the kernel numbers them.
pub fn mounts(pid: i32) -> Option<(u64, u64)> {
    let stat = rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Those that see these mounts, and what they have started. None of our own: one that is still a copy of the
/// helper is in no container yet.
pub fn in_mounts(own: (u64, u64)) -> Vec<i32> {
    if mounts(std::process::id() as i32) == Some(own) {
        return Vec::new();
    }
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parents: Vec<(i32, i32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let in_it = parents.iter().filter(|(pid, _)| mounts(*pid) == Some(own));
    let mut found: BTreeSet<i32> = in_it.map(|(pid, _)| *pid).collect();
    loop {
        let before = found.len();
        let children = parents.iter().filter(|(_, parent)| found.contains(parent));
        let children: Vec<i32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

/// Stops all processes of a container, or lets them go on, where no control group does it at once.
pub fn stop(first: i32, stopped: bool) -> rustix::io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = if stopped { Signal::STOP } else { Signal::CONT };
    let mut told = BTreeSet::new();
    // What one has started before it was told is told the next time.
    loop {
        let new: Vec<i32> =
            of_container(first).into_iter().filter(|pid| !told.contains(pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new {
            told.insert(pid);
            let Some(pid) = Pid::from_raw(pid) else { continue };
            match kill_process(pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a signal has stopped it.
pub fn is_stopped(pid: i32) -> bool {
    let stat = read(&format!("/proc/{pid}/stat"));
    stat.is_some_and(|stat| fields(&stat).and_then(|all| all.first().copied()) == Some("T"))
}

fn parent(pid: i32) -> Option<i32> {
    fields(&read(&format!("/proc/{pid}/stat"))?)?.get(1)?.parse().ok()
}

fn boot_time() -> u64 {
    let text = read("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Hours and minutes.
fn clock(seconds: u64) -> String {
    let text = Timestamp::from_millis(seconds as i64 * 1000).iso8601_secs();
    text.get(11..16).unwrap_or("00:00").to_owned()
}

/// By this machine's own files, as `ps` on it would.
fn name_of(file: &str, id: u32) -> String {
    let text = read(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(id)).then(|| fields[0].to_owned())
    });
    found.unwrap_or_else(|| id.to_string())
}

fn look(pid: i32, boot_s: u64) -> Option<Process> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let name = stat.rsplit_once(')')?.0.split_once('(')?.1;
    let fields = fields(&stat)?;
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let signed = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok());
    let status = read(&format!("/proc/{pid}/status"))?;
    let effective = |what: &str| -> Option<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(what))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let command = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = command.trim_end_matches('\0').replace('\0', " ");
    let tty = number(4).unwrap_or(0);
    let page_kib = rustix::param::page_size() as u64 / 1024;
    Some(Process {
        pid,
        ppid: fields.get(1)?.parse().ok()?,
        pgid: fields.get(2)?.parse().ok()?,
        sid: fields.get(3)?.parse().ok()?,
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        state: (*fields.first()?).to_owned(),
        tty: if tty >> 8 == 136 { format!("pts/{}", tty & 0xff) } else { "?".to_owned() },
        cpu_ticks: number(11)? + number(12)?,
        nice: signed(16)?,
        threads: number(17)?,
        started_s: boot_s + number(19)? / TICKS_PER_S,
        vsz_kib: number(20)? / 1024,
        rss_kib: number(21)? * page_kib,
        name: name.to_owned(),
        command: if command.is_empty() { format!("[{name}]") } else { command },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &str, titles: &str) {
        let pid = std::process::id() as i32;
        let (shown, rows) = list(&[pid, i32::MAX], &columns(arguments).unwrap());
        assert_eq!(shown.join(" "), titles, "{arguments}");
        assert_eq!(rows.len(), 1);
        let at = shown.iter().position(|title| title == "PID").unwrap();
        assert_eq!(rows[0][at], pid.to_string());
    }

    #[test]
    fn this_very_process() {
        check("", "UID PID PPID C STIME TTY TIME CMD");
        check("-ef", "UID PID PPID C STIME TTY TIME CMD");
        let users = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND";
        for arguments in ["aux", "-aux", "waux", "u"] {
            check(arguments, users);
        }
        check("-e", "PID TTY TIME CMD");
        check("-o pid,comm", "PID COMMAND");
        check("-eo user,pid,etime,args", "USER PID ELAPSED COMMAND");
        check("axopid,ppid,ni", "PID PPID NI");
        check("--format=pid,rss,nlwp", "PID RSS NLWP");
        check("-o pid -o cmd=PROGRAM", "PID PROGRAM");
    }

    #[test]
    fn what_this_process_uses() {
        let pid = std::process::id() as i32;
        let used = used(&[pid, i32::MAX]);
        assert!(used.memory > 0 && used.threads > 0, "{used:?}");
        // It is in no container.
        assert!(of_container(pid).is_empty());
        assert!(of_container(i32::MAX).is_empty());
    }

    #[test]
    fn what_is_no_option() {
        for (arguments, part) in [
            ("-o comm", "Couldn't find PID field"),
            ("-o pid=NUMBER", "Couldn't find PID field"),
            ("-o pid,nonsense", "unknown user-defined format specifier \"nonsense\""),
            ("-o", "unknown user-defined"),
            ("--forest", "is not done"),
            ("-C sh", "is not done"),
        ] {
            let error = columns(arguments).unwrap_err();
            assert!(error.text.contains(part), "{arguments}: {error}");
        }
    }
}
