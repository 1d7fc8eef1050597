//! What the gateway answers by itself: `/health` and `/metrics`. The administrators' pages are below
//! `/_cumulet/`, where no bucket can be.

use crate::encode::{Ids, Response, ResponseStream};
use crate::gateway::{Gateway, Seen};
use crate::head::Head;
use crate::host::HostStyle;
use crate::metrics::Exposition;
use api::{DoorRules, Error};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use std::sync::atomic::Ordering::Relaxed;
use store::{BOUNDS_NS, JobCount};

/// Where the administrators' pages are.
pub(crate) const PREFIX: &str = "/_cumulet/";

impl Gateway {
    /// The page that is asked for, if it is one of ours. A bucket may be called `health`: requests
    /// that are signed or have parameters are for it.
    pub(crate) fn own_page<'g>(&'g self, head: &Head<'_>, seen: &mut Seen<'g>) -> Option<Response> {
        let style = crate::host::parse(&head.host, &self.local.host_names);
        let plain = style == HostStyle::Plain;
        // Containers call it by whatever their network calls it; these pages tell only that it is there.
        let named = plain || style == HostStyle::Foreign;
        let bare = head.raw_query.is_empty() && head.header("authorization").is_none();
        let reads = matches!(head.method, "GET" | "HEAD");
        let page = match head.path {
            "/health" if named && bare && reads => self.health(),
            "/metrics" if plain && bare && reads => {
                page("text/plain; version=0.0.4", self.metrics())
            }
            path if named && bare && reads => {
                let (status, text) = self.further_pages.as_ref()?.page(path)?;
                let mut response = page("application/json", text);
                *response.status_mut() = http::StatusCode::from_u16(status).ok()?;
                response
            }
            _ => return None,
        };
        seen.recorded = true;
        seen.ids = Some(Ids::new(&*self.entropy, false));
        Some(page)
    }

    fn health(&self) -> Response {
        let mut out = smithy::json::Writer::with_capacity(64);
        out.open('{');
        out.key("status");
        let stopped = self.store.stopped();
        out.string(if stopped.is_none() { "ok" } else { "stopped" });
        if let Some(why) = &stopped {
            out.key("reason");
            out.string(why);
        }
        if let Ok(counts) = self.store.read(|tx| self.jobs.counts(tx)) {
            out.key("jobs");
            out.open('{');
            out.key("waiting");
            out.integer(counts.iter().map(|kind| kind.waiting as i64).sum());
            out.key("parked");
            out.integer(counts.iter().map(|kind| kind.parked as i64).sum());
            out.close('}');
        }
        out.close('}');
        let mut response = page("application/json", out.finish());
        if stopped.is_some() {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    /// Everything that is counted, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        let mut out = Exposition::default();
        for entry in self.guard.directory.entries() {
            for (operation, prepared) in entry.served() {
                let (service, name) = (entry.model.name, operation.name);
                prepared
                    .metrics
                    .write(&format!("service=\"{service}\",operation=\"{name}\""), &mut out);
            }
        }
        let totals = &self.totals;
        let own: [(&str, &str, &str, u64); 7] = [
            (
                "cumulet_requests_unrouted_total",
                "counter",
                "Requests of which no operation became known.",
                totals.unrouted.load(Relaxed),
            ),
            (
                "cumulet_panics_total",
                "counter",
                "Requests that a bug of ours ended.",
                totals.panics.load(Relaxed),
            ),
            (
                "cumulet_requests_in_flight",
                "gauge",
                "Requests being answered.",
                totals.in_flight.load(Relaxed),
            ),
            (
                "cumulet_arriving_body_bytes",
                "gauge",
                "Bodies that are decoded as a whole and have not come whole, in memory.",
                self.room.used_bytes(),
            ),
            ("cumulet_connections", "gauge", "Open connections.", totals.connections.load(Relaxed)),
            (
                "cumulet_audit_dropped_total",
                "counter",
                "Reads and failures that came faster than they were logged.",
                self.guard.audit.dropped(),
            ),
            (
                "cumulet_access_records_dropped_total",
                "counter",
                "Requests that came faster than the logs of their buckets were written.",
                self.accesses.dropped(),
            ),
        ];
        for (name, kind, help, value) in own {
            out.single(name, kind, help, value);
        }
        self.store_metrics(&mut out);
        self.job_metrics(&mut out);
        out.finish()
    }

    fn job_metrics(&self, out: &mut Exposition) {
        let Ok(counts) = self.store.read(|tx| self.jobs.counts(tx)) else { return };
        type Value = fn(&JobCount) -> u64;
        let families: [(&str, &str, &str, Value); 4] = [
            (
                "cumulet_jobs_waiting",
                "gauge",
                "Jobs that are to run, counted up to 10,000 of a kind.",
                |kind| kind.waiting as u64,
            ),
            (
                "cumulet_jobs_parked",
                "gauge",
                "Jobs that failed too often: `cumulet status` shows why.",
                |kind| kind.parked as u64,
            ),
            ("cumulet_jobs_done_total", "counter", "Attempts that went well.", |kind| kind.done),
            ("cumulet_jobs_failed_total", "counter", "Attempts that failed.", |kind| kind.failed),
        ];
        for (name, kind, help, value) in families {
            let values = counts.iter().map(|count| (count.kind, value(count)));
            out.labelled(name, kind, help, "kind", values);
        }
    }

    fn store_metrics(&self, out: &mut Exposition) {
        let store = self.store.metrics();
        let counters = [
            ("cumulet_store_reads_total", "Read transactions.", &store.reads),
            ("cumulet_store_commits_total", "Commits.", &store.commits),
            (
                "cumulet_store_writes_without_commit_total",
                "Write transactions that changed nothing or were refused.",
                &store.writes_without_commit,
            ),
            ("cumulet_store_groups_total", "Groups of commits synced together.", &store.groups),
            ("cumulet_store_log_syncs_total", "Syncs of the log.", &store.log_syncs),
            ("cumulet_store_log_bytes_total", "Bytes written to the log.", &store.log_bytes),
            ("cumulet_store_waited_total", "Writes that waited for room.", &store.waited),
            ("cumulet_store_busy_total", "Writes refused because too much waited.", &store.busy),
            ("cumulet_store_full_total", "Writes refused because the disk was full.", &store.full),
        ];
        for (name, help, value) in counters {
            out.single(name, "counter", help, value.load(Relaxed));
        }
        let (hits, misses) = self.store.cache_counts();
        let help = "Reads that the cache answered.";
        out.single("cumulet_store_cache_hits_total", "counter", help, hits);
        let help = "Reads that the cache did not answer.";
        out.single("cumulet_store_cache_misses_total", "counter", help, misses);
        let blobs = self.store.blobs().counters();
        let gauges = [
            (
                "cumulet_store_pending_bytes",
                "Bytes that wait to be durable.",
                self.store.pending_bytes(),
            ),
            (
                "cumulet_store_unflushed_bytes",
                "Bytes that the index has in memory and not in its files.",
                self.store.unflushed_bytes(),
            ),
            (
                "cumulet_store_is_full",
                "1 while only what frees space is accepted.",
                u64::from(self.store.is_full()),
            ),
            (
                "cumulet_store_outbox_jobs",
                "Jobs that wait or are parked, when last counted.",
                self.store.outbox_jobs(),
            ),
            (
                "cumulet_blob_buffered_bytes",
                "Bytes of blobs that writers hold in memory.",
                blobs.bytes_buffered,
            ),
        ];
        for (name, help, value) in gauges {
            out.single(name, "gauge", help, value);
        }
        let counted = [
            ("cumulet_blob_written_bytes_total", "Bytes of blobs written.", blobs.bytes_written),
            ("cumulet_blob_read_bytes_total", "Bytes of blobs read.", blobs.bytes_read),
            ("cumulet_blob_syncs_total", "Syncs of blobs.", blobs.syncs),
        ];
        for (name, help, value) in counted {
            out.single(name, "counter", help, value);
        }
        let errors = [
            ("maintenance", store.maintenance_errors.load(Relaxed)),
            ("blobs", store.keeper_errors.load(Relaxed)),
            ("jobs", self.jobs.errors()),
        ];
        out.labelled(
            "cumulet_background_errors_total",
            "counter",
            "What threads in the background could not do and try again.",
            "work",
            errors.into_iter(),
        );
        let histograms = [
            (
                "cumulet_store_write_hold_seconds",
                "How long a write held the lock.",
                &store.write_hold,
            ),
            ("cumulet_store_group_seconds", "How long a group took to sync.", &store.group_time),
        ];
        for (name, help, histogram) in histograms {
            let counts: Vec<u64> = histogram.buckets.iter().map(|b| b.load(Relaxed)).collect();
            out.histogram_ns(name, help, &BOUNDS_NS, &counts, histogram.sum_ns.load(Relaxed));
        }
    }
}

/// What some endpoints answer to whoever only wants to know whether they are there.
pub(crate) fn greeting(head: &Head<'_>) -> Option<Response> {
    let bare = head.raw_query.is_empty() && head.header("authorization").is_none();
    let asks = bare && head.path == "/" && matches!(head.method, "GET" | "HEAD");
    let host = head.text("host").unwrap_or(&head.host);
    asks.then(|| page("text/plain", format!("healthy: {host} ")))
}

/// Refuses a head that the endpoint would not read.
pub(crate) fn check_size(head: &Head<'_>, rules: DoorRules) -> Result<(), Error> {
    let Some(most) = rules.head_bytes_max else { return Ok(()) };
    let line = head.path.len() + head.raw_query.len();
    let headers: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    match line.max(headers) > most {
        true => Err(Error::with_code(
            "RequestHeaderSectionTooLarge",
            400,
            format!("The request line or the headers are larger than {most} bytes."),
        )),
        false => Ok(()),
    }
}

pub(crate) fn page(content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(ResponseStream::Whole(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
