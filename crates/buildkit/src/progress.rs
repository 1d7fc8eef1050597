//! What clients hear of a build: steps that begin and end, what their programs say, and how far
//! transfers are.

use crate::jobs::Job;
use crate::messages::timestamp;
use crate::wire::Message;
use build::Event;
use engine::time::now_ns;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a step may say, as BuildKit has it.
const SAID_BYTES_MAX: usize = 2 << 20;

struct Step {
    digest: String,
    name: String,
    started_ns: i64,
    is_cached: bool,
    said_bytes: usize,
    /// Transfers under way, and since when.
    moved: BTreeMap<String, i64>,
}

/// Tells of one step at a time.
pub struct Telling {
    job: Arc<Job>,
    count: u64,
    step: Option<Step>,
}

/// A line about a transfer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Moved {
    id: String,
    status: String,
    #[serde(rename = "progressDetail")]
    detail: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: u64,
    total: u64,
}

impl Telling {
    /// `group` makes its steps others than those of another teller of the same job.
    pub fn new(job: Arc<Job>, group: u64) -> Telling {
        Telling { job, count: group << 32, step: None }
    }

    pub fn begin(&mut self, name: &str) {
        self.end(None);
        self.count += 1;
        let digest = oci::Digest::of(format!("{} {}", self.job.name, self.count).as_bytes());
        self.step = Some(Step {
            digest: digest.to_string(),
            name: name.to_owned(),
            started_ns: now_ns(),
            is_cached: false,
            said_bytes: 0,
            moved: BTreeMap::new(),
        });
        self.vertex(None, "");
    }

    fn vertex(&self, completed_ns: Option<i64>, error: &str) {
        let Some(step) = &self.step else { return };
        let mut vertex = Message::default()
            .text(1, &step.digest)
            .text(3, &step.name)
            .flag(4, step.is_cached)
            .message(5, &timestamp(step.started_ns));
        if let Some(completed_ns) = completed_ns {
            vertex = vertex.message(6, &timestamp(completed_ns));
        }
        let vertex = vertex.text(7, error);
        self.job.tell(Message::default().message(1, &vertex).end());
    }

    /// The step under way is over, and went well if there is no error.
    pub fn end(&mut self, error: Option<&str>) {
        let Some(step) = &self.step else { return };
        let moved: Vec<String> = step.moved.keys().cloned().collect();
        for id in moved {
            self.status(&id, 0, 0, true);
        }
        self.vertex(Some(now_ns()), error.unwrap_or_default());
        self.step = None;
    }

    /// A part of the step, by its name.
    pub fn status(&mut self, id: &str, current: u64, total: u64, is_over: bool) {
        let Some(step) = &mut self.step else { return };
        let now = now_ns();
        let started = *step.moved.entry(id.to_owned()).or_insert(now);
        let mut status = Message::default()
            .text(1, id)
            .text(2, &step.digest)
            .number(4, current)
            .number(5, total)
            .message(6, &timestamp(now))
            .message(7, &timestamp(started));
        if is_over {
            status = status.message(8, &timestamp(now));
            step.moved.remove(id);
        }
        self.job.tell(Message::default().message(2, &status).end());
    }

    pub fn said(&mut self, is_error: bool, text: &str) {
        let Some(step) = &mut self.step else { return };
        let before = step.said_bytes;
        step.said_bytes += text.len();
        let text = match before {
            _ if step.said_bytes <= SAID_BYTES_MAX => text,
            before if before <= SAID_BYTES_MAX => "\n[output clipped, log limit 2MiB reached]\n",
            _ => return,
        };
        let log = Message::default()
            .text(1, &step.digest)
            .message(2, &timestamp(now_ns()))
            .number(3, if is_error { 2 } else { 1 })
            .bytes(4, text.as_bytes());
        self.job.tell(Message::default().message(3, &log).end());
    }

    pub fn event(&mut self, event: Event) {
        match event {
            Event::Begun(name) => self.begin(&name),
            Event::Cached => {
                if let Some(step) = &mut self.step {
                    step.is_cached = true;
                }
            }
            Event::Said { is_error, text } => self.said(is_error, &text),
            Event::Moved(line) => {
                let moved: Moved = serde_json::from_slice(&line).unwrap_or_default();
                if !moved.id.is_empty() {
                    let is_over = moved.status.ends_with("complete");
                    self.status(&moved.id, moved.detail.current, moved.detail.total, is_over);
                }
            }
            Event::Ended => self.end(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fields;

    /// How many vertices, statuses and logs were told of.
    fn counts(job: &Job) -> [usize; 3] {
        job.end();
        let mut counts = [0; 3];
        for message in store::blobs::block_on(job.after(0)).unwrap_or_default() {
            for field in fields(&message) {
                counts[field.unwrap().0 as usize - 1] += 1;
            }
        }
        counts
    }

    #[test]
    fn a_step() {
        let job = Arc::new(Job::new("j", "s", false));
        let mut telling = Telling::new(job.clone(), 1);
        telling.said(false, "to nobody");
        for event in [
            Event::Begun("[1/2] FROM x".to_owned()),
            Event::Moved(
                r#"{"id":"l","status":"Downloading","progressDetail":{"current":1}}"#.into(),
            ),
            Event::Moved(r#"{"status":"Pulling"}"#.into()),
            Event::Begun("[2/2] RUN x".to_owned()),
            Event::Cached,
            Event::Said { is_error: true, text: "out".to_owned() },
            Event::Ended,
            Event::Ended,
        ] {
            telling.event(event);
        }
        // Each step when it begins and when it ends; a transfer that was under way ends with its step.
        assert_eq!(counts(&job), [4, 2, 1]);
    }

    #[test]
    fn steps_that_say_too_much() {
        let job = Arc::new(Job::new("j", "s", false));
        let mut telling = Telling::new(job.clone(), 1);
        telling.begin("loud");
        for _ in 0..5 {
            telling.said(false, &"x".repeat(SAID_BYTES_MAX / 2));
        }
        assert_eq!(counts(&job), [1, 0, 3]);
    }
}
