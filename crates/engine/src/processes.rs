//! Processes as `ps` shows them, read from `/proc`.

use crate::sys::cgroup::read;
use base::Timestamp;

const TICKS_PER_S: u64 = 100;

struct Process {
    pid: i32,
    ppid: i32,
    uid: u32,
    state: String,
    tty: String,
    cpu_ticks: u64,
    started_s: u64,
    vsz_kib: u64,
    rss_kib: u64,
    command: String,
}

/// Titles and rows, as `ps -ef` has them or `ps aux`.
pub fn list(pids: &[i32], aux: bool) -> (Vec<String>, Vec<Vec<String>>) {
    let boot_s = boot_time();
    let now_s = (crate::time::now_ns() / 1_000_000_000) as u64;
    let found = pids.iter().filter_map(|pid| look(*pid, boot_s));
    let titles: &[&str] = match aux {
        true => &[
            "USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND",
        ],
        false => &["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
    };
    let rows = found.map(|process| row(&process, aux, now_s)).collect();
    (titles.iter().map(|title| (*title).to_owned()).collect(), rows)
}

fn row(p: &Process, aux: bool, now_s: u64) -> Vec<String> {
    let age_s = now_s.saturating_sub(p.started_s).max(1);
    let percent = p.cpu_ticks * 100 / TICKS_PER_S / age_s;
    let user = user_name(p.uid);
    let started = clock(p.started_s);
    let seconds = p.cpu_ticks / TICKS_PER_S;
    if aux {
        let time = format!("{}:{:02}", seconds / 60, seconds % 60);
        let memory = crate::container::machine_memory().max(1);
        let share = p.rss_kib as f64 * 1024.0 * 100.0 / memory as f64;
        return vec![
            user,
            p.pid.to_string(),
            format!("{percent}.0"),
            format!("{share:.1}"),
            p.vsz_kib.to_string(),
            p.rss_kib.to_string(),
            p.tty.clone(),
            p.state.clone(),
            started,
            time,
            p.command.clone(),
        ];
    }
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    vec![
        user,
        p.pid.to_string(),
        p.ppid.to_string(),
        percent.to_string(),
        started,
        p.tty.clone(),
        time,
        p.command.clone(),
    ]
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

fn user_name(uid: u32) -> String {
    let passwd = read("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

fn look(pid: i32, boot_s: u64) -> Option<Process> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may hold anything.
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let status = read(&format!("/proc/{pid}/status"))?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid = uid.split_whitespace().nth(1)?.parse().ok()?;
    let command = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = command.trim_end_matches('\0').replace('\0', " ");
    let tty = number(4).unwrap_or(0);
    let page_kib = rustix::param::page_size() as u64 / 1024;
    Some(Process {
        pid,
        ppid: fields.get(1)?.parse().ok()?,
        uid,
        state: (*fields.first()?).to_owned(),
        tty: if tty >> 8 == 136 { format!("pts/{}", tty & 0xff) } else { "?".to_owned() },
        cpu_ticks: number(11)? + number(12)?,
        started_s: boot_s + number(19)? / TICKS_PER_S,
        vsz_kib: number(20)? / 1024,
        rss_kib: number(21)? * page_kib,
        command: if command.is_empty() { format!("[{name}]") } else { command },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process() {
        let pid = std::process::id() as i32;
        for aux in [false, true] {
            let (titles, rows) = list(&[pid, i32::MAX], aux);
            assert_eq!(rows.len(), 1);
            assert_eq!(titles.len(), rows[0].len());
            assert_eq!(rows[0][1], pid.to_string());
        }
    }
}
