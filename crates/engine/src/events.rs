//! What happens to containers, images, networks and volumes, told to whoever listens.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::broadcast;

/// So many are kept for those who ask for the past.
const KEPT: usize = 256;
/// A listener that is so far behind is cut off.
const BEHIND_MAX: usize = 1024;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`, `daemon`.
    pub kind: &'static str,
    pub action: String,
    /// Id of whom it is about.
    pub actor: String,
    pub attributes: BTreeMap<String, String>,
    pub at_ns: i64,
}

pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    to: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Events {
        Events { kept: Mutex::default(), to: broadcast::channel(BEHIND_MAX).0 }
    }
}

impl Events {
    pub fn tell(&self, event: Event) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Told under the lock, so that nobody who listens gets one twice or not at all.
        let _ = self.to.send(event);
    }

    /// Those of the past from `since_ns` on, and all that come.
    pub fn listen(&self, since_ns: Option<i64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock();
        let past = match since_ns {
            Some(since) => kept.iter().filter(|event| event.at_ns >= since).cloned().collect(),
            None => Vec::new(),
        };
        (past, self.to.subscribe())
    }

    pub fn listeners(&self) -> usize {
        self.to.receiver_count()
    }
}
