//! Counters per operation: plain atomics, spread over a few shards so that threads do not share a
//! cache line.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const SHARDS: usize = 4;
/// Upper bounds of the buckets in microseconds; one more has no bound.
const BOUNDS_US: [u64; 9] = [10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

#[derive(Default)]
#[repr(align(64))]
struct Shard {
    /// By the first digit of the status: 2xx to 5xx, and what is none of them.
    classes: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// One operation's.
#[derive(Default)]
pub(crate) struct OperationMetrics([Shard; SHARDS]);

/// Those of the whole gateway.
#[derive(Default, Debug)]
pub(crate) struct Totals {
    /// Requests of which no operation became known.
    pub unrouted: AtomicU64,
    pub panics: AtomicU64,
    pub in_flight: AtomicU64,
    pub connections: AtomicU64,
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<usize> = const { Cell::new(usize::MAX) });
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        own.get()
    })
}

impl OperationMetrics {
    pub fn record(&self, status: u16, took_ns: u64) {
        let shard = &self.0[shard()];
        let class = usize::from((status / 100).clamp(1, 5) - 1);
        shard.classes[class].fetch_add(1, Relaxed);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < took_ns);
        shard.buckets[bucket].fetch_add(1, Relaxed);
        shard.sum_ns.fetch_add(took_ns, Relaxed);
    }

    fn total(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.0.iter().map(|shard| of(shard).load(Relaxed)).sum()
    }

    /// Appends the lines of this operation in Prometheus' text form; nothing if it was never asked.
    pub fn write(&self, labels: &str, out: &mut Exposition) {
        for (class, name) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().enumerate() {
            let count = self.total(|shard| &shard.classes[class]);
            if count > 0 {
                let _ = writeln!(
                    out.requests,
                    "cumulet_requests_total{{{labels},status=\"{name}\"}} {count}"
                );
            }
        }
        let counts: Vec<u64> = (0..=BOUNDS_US.len())
            .map(|bucket| self.total(|shard| &shard.buckets[bucket]))
            .collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return;
        }
        let name = "cumulet_request_seconds";
        let mut below = 0;
        for (bound, count) in BOUNDS_US.iter().zip(&counts) {
            below += count;
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(out.seconds, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out.seconds, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}");
        let sum = self.total(|shard| &shard.sum_ns) as f64 / 1e9;
        let _ = writeln!(out.seconds, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out.seconds, "{name}_count{{{labels}}} {all}");
    }
}

/// Text in the form that Prometheus reads, one family after the other.
#[derive(Default)]
pub(crate) struct Exposition {
    requests: String,
    seconds: String,
    others: String,
}

impl Exposition {
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        let _ = writeln!(self.others, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }

    /// A family with a series for each value of one label.
    pub fn labelled(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) {
        let out = &mut self.others;
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (of, value) in values {
            let _ = writeln!(out, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    /// A histogram of one series, with bounds in nanoseconds and one count more than bounds.
    pub fn histogram_ns(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        counts: &[u64],
        sum: u64,
    ) {
        let out = &mut self.others;
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e9);
        }
        let all: u64 = counts.iter().sum();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {all}", sum as f64 / 1e9);
    }

    pub fn finish(self) -> String {
        let mut out = String::new();
        if !self.requests.is_empty() {
            out.push_str("# HELP cumulet_requests_total Requests answered.\n");
            out.push_str("# TYPE cumulet_requests_total counter\n");
            out.push_str(&self.requests);
            out.push_str(
                "# HELP cumulet_request_seconds From the head to the head of the answer.\n",
            );
            out.push_str("# TYPE cumulet_request_seconds histogram\n");
            out.push_str(&self.seconds);
        }
        out.push_str(&self.others);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let metrics = OperationMetrics::default();
        metrics.record(200, 20_000);
        metrics.record(404, 2_000_000_000);
        let mut out = Exposition::default();
        metrics.write("operation=\"X\"", &mut out);
        OperationMetrics::default().write("operation=\"Y\"", &mut out);
        let text = out.finish();
        for line in [
            "cumulet_requests_total{operation=\"X\",status=\"2xx\"} 1",
            "cumulet_requests_total{operation=\"X\",status=\"4xx\"} 1",
            "cumulet_request_seconds_bucket{operation=\"X\",le=\"0.00003\"} 1",
            "cumulet_request_seconds_bucket{operation=\"X\",le=\"+Inf\"} 2",
            "cumulet_request_seconds_count{operation=\"X\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("\"Y\""));
    }
}
