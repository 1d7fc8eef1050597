//! A short history of what `/metrics` counts: one sample every ten seconds, half an hour of them.

use base::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Between two samples.
pub const STEP_SECONDS: u64 = 10;
const KEPT: usize = 181;
/// Services that get a line of their own.
const SERVICES_MAX: usize = 16;

/// Counters at one moment.
#[derive(Clone, Default, Debug)]
struct Sample {
    at: Timestamp,
    monotonic_ns: u64,
    /// Requests by service, errors among them by class.
    requests: BTreeMap<String, u64>,
    refused: u64,
    failed: u64,
    /// Requests that took at most so long, by bound in microseconds; the last has no bound.
    seconds: BTreeMap<u64, u64>,
    syncs: u64,
    commits: u64,
    log_bytes: u64,
    connections: u64,
    in_flight: u64,
}

#[derive(Default, Debug)]
pub struct Samples(VecDeque<Sample>);

/// A line of a plot: its name, and a value for each point in time; nothing where nothing is known.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

/// Several lines over the same times.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Plots {
    pub times: Vec<Timestamp>,
    pub requests: Vec<Series>,
    pub errors: Vec<Series>,
    /// In milliseconds.
    pub latency: Vec<Series>,
    pub store: Vec<Series>,
    /// In bytes a second.
    pub written: Vec<Series>,
    pub open: Vec<Series>,
}

fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let at = labels.find(&format!("{name}=\""))? + name.len() + 2;
    labels[at..].split('"').next()
}

impl Sample {
    /// Reads what is of use out of Prometheus' text form.
    fn read(at: Timestamp, monotonic_ns: u64, text: &str) -> Sample {
        let mut sample = Sample { at, monotonic_ns, ..Sample::default() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let count = value as u64;
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "cumulet_requests_total" => sample.request(labels, count),
                "cumulet_request_seconds_bucket" => {
                    let bound = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok());
                    let bound = bound.filter(|bound| bound.is_finite());
                    let bound_us = bound.map_or(u64::MAX, |bound| (bound * 1e6).round() as u64);
                    let seconds = sample.seconds.entry(bound_us).or_default();
                    *seconds = seconds.saturating_add(count);
                }
                "cumulet_store_log_syncs_total" => sample.syncs = count,
                "cumulet_store_commits_total" => sample.commits = count,
                "cumulet_store_log_bytes_total" => sample.log_bytes = count,
                "cumulet_connections" => sample.connections = count,
                "cumulet_requests_in_flight" => sample.in_flight = count,
                _ => {}
            }
        }
        sample
    }

    fn request(&mut self, labels: &str, count: u64) {
        let service = label(labels, "service").unwrap_or_default();
        if self.requests.len() < SERVICES_MAX || self.requests.contains_key(service) {
            let requests = self.requests.entry(service.to_owned()).or_default();
            *requests = requests.saturating_add(count);
        }
        match label(labels, "status") {
            Some("4xx") => self.refused = self.refused.saturating_add(count),
            Some("5xx") => self.failed = self.failed.saturating_add(count),
            _ => {}
        }
    }

    /// The bound under which that part of the requests since `before` lies, in milliseconds.
    fn quantile(&self, before: &Sample, part: f64) -> Option<f64> {
        let since = |bound: &u64| {
            let now = self.seconds.get(bound).copied().unwrap_or(0);
            now.saturating_sub(before.seconds.get(bound).copied().unwrap_or(0))
        };
        let all = since(&u64::MAX);
        if all == 0 {
            return None;
        }
        let wanted = (all as f64 * part).ceil() as u64;
        let (mut below, mut low) = (0, 0);
        for bound in self.seconds.keys() {
            let count = since(bound);
            if count >= wanted {
                if *bound == u64::MAX {
                    return Some(low as f64 / 1e3);
                }
                // Between the bounds as if all were spread evenly.
                let within =
                    wanted.saturating_sub(below) as f64 / count.saturating_sub(below).max(1) as f64;
                return Some((low as f64 + (bound - low) as f64 * within) / 1e3);
            }
            (below, low) = (count, *bound);
        }
        None
    }
}

impl Samples {
    pub fn add(&mut self, at: Timestamp, monotonic_ns: u64, text: &str) {
        self.0.push_back(Sample::read(at, monotonic_ns, text));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    fn series(&self, name: &str, of: impl Fn(&Sample, &Sample) -> Option<f64>) -> Series {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        Series { name: name.to_owned(), values: pairs.map(|(a, b)| of(a, b)).collect() }
    }

    fn rate(&self, name: &str, of: impl Fn(&Sample) -> u64) -> Series {
        self.series(name, |before, now| {
            let seconds = now.monotonic_ns.checked_sub(before.monotonic_ns)? as f64 / 1e9;
            (seconds > 0.0).then(|| of(now).saturating_sub(of(before)) as f64 / seconds)
        })
    }

    pub fn plots(&self) -> Plots {
        let services: Vec<String> =
            self.0.back().map(|last| last.requests.keys().cloned().collect()).unwrap_or_default();
        let by_service = services.iter().map(|service| {
            self.rate(service, |sample| sample.requests.get(service).copied().unwrap_or(0))
        });
        let quantile = |name, part| self.series(name, move |a, b| b.quantile(a, part));
        let gauge =
            |name, of: fn(&Sample) -> u64| self.series(name, move |_, b| Some(of(b) as f64));
        Plots {
            times: self.0.iter().skip(1).map(|sample| sample.at).collect(),
            requests: by_service.collect(),
            errors: vec![self.rate("refused", |s| s.refused), self.rate("failed", |s| s.failed)],
            latency: vec![quantile("half below", 0.5), quantile("99 of 100 below", 0.99)],
            store: vec![self.rate("commits", |s| s.commits), self.rate("syncs", |s| s.syncs)],
            written: vec![self.rate("log", |s| s.log_bytes)],
            open: vec![
                gauge("connections", |s| s.connections),
                gauge("being answered", |s| s.in_flight),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(requests: u64, fast: u64) -> String {
        format!(
            "# HELP x\ncumulet_requests_total{{service=\"s3\",operation=\"GetObject\",status=\"2xx\"}} {requests}\n\
             cumulet_requests_total{{service=\"s3\",operation=\"GetObject\",status=\"4xx\"}} 1\n\
             cumulet_request_seconds_bucket{{service=\"s3\",operation=\"GetObject\",le=\"0.001\"}} {fast}\n\
             cumulet_request_seconds_bucket{{service=\"s3\",operation=\"GetObject\",le=\"0.01\"}} {requests}\n\
             cumulet_request_seconds_bucket{{service=\"s3\",operation=\"GetObject\",le=\"+Inf\"}} {requests}\n\
             cumulet_connections 3\nnonsense\n"
        )
    }

    #[test]
    fn rates_and_quantiles() {
        let mut samples = Samples::default();
        assert_eq!(samples.plots(), Plots { times: vec![], ..samples.plots() });
        let at = Timestamp::from_secs(1_800_000_000);
        samples.add(at, 0, &metrics(0, 0));
        samples.add(at.plus_secs(10), 10_000_000_000, &metrics(100, 50));
        let plots = samples.plots();
        assert_eq!((plots.times.len(), plots.requests[0].name.as_str()), (1, "s3"));
        assert_eq!(plots.requests[0].values, [Some(10.0)]);
        assert_eq!(plots.latency[0].values, [Some(1.0)]);
        assert!(plots.latency[1].values[0].is_some_and(|ms| (9.0..10.0).contains(&ms)));
        assert_eq!(plots.open[0].values, [Some(3.0)]);
    }

    #[test]
    fn old_ones_go() {
        let mut samples = Samples::default();
        for n in 0..500 {
            samples.add(Timestamp::from_secs(n), n as u64 * 10_000_000_000, "");
        }
        assert_eq!(samples.plots().times.len(), KEPT - 1);
        assert_eq!(samples.plots().latency[0].values[0], None);
    }

    #[test]
    fn noise() {
        base::noise::run(
            17,
            3_000,
            &[metrics(1, 1).as_bytes()],
            &[b"{", b"\"", b" 1e400\n"],
            |data| {
                let mut samples = Samples::default();
                for _ in 0..2 {
                    samples.add(Timestamp::EPOCH, 0, &String::from_utf8_lossy(data));
                }
                samples.plots();
            },
        );
    }
}
