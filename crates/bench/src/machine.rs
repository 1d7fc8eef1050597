//! The machine that the figures are from.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base::Timestamp;

/// One line: processors, their model, the kernel, memory, and how busy it was.
pub fn line() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let cpu = read("/proc/cpuinfo");
    let model = field(&cpu, "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib: u64 = memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let gib = kib as f64 / 1_048_576.0;
    format!("{cores} cores, {model}, {gib:.0} GiB, Linux {}, load {}", kernel.trim(), load())
}

/// The load average of the last minute: others at work make every figure worse.
pub fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned()
}

/// Ticks that all processors have spent since the machine started: at work, and in all.
pub fn ticks() -> (u64, u64) {
    sums(&read("/proc/stat"))
}

fn sums(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal; guests are counted in user already.
    let all: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}

pub fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_secs(i64::try_from(now.as_secs()).unwrap_or_default());
    now.iso8601_secs().get(..10).unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_no_work() {
        assert_eq!(sums("cpu  10 1 5 70 4 1 2 7 3 0\ncpu0 1 1 1 1\n"), (26, 100));
        assert_eq!(sums(""), (0, 0));
    }
}
