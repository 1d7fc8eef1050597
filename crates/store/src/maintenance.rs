//! Work that nobody waits for: the index's files, the log's, and watching the space on the disk.

use crate::engine::Step;
use crate::log::SlotMaker;
use crate::signal::Wake;
use crate::space::Reserve;
use crate::store::Shared;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Runs in the background, one of them, driven by one thread or task.
#[derive(Debug)]
pub struct MaintenanceDriver {
    shared: Arc<Shared>,
    slots: SlotMaker,
    reserve: Reserve,
}

impl MaintenanceDriver {
    pub(crate) fn new(shared: Arc<Shared>, slots: SlotMaker, reserve: Reserve) -> Self {
        MaintenanceDriver { shared, slots, reserve }
    }

    /// One bounded piece of work.
    pub fn step(&mut self) -> Step {
        if self.shared.queue.stopped().is_some() {
            return Step::Idle;
        }
        match self.work() {
            Ok(step) => step,
            // Tried again at the next ring; until then only what frees space is accepted.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                self.shared.space.set_full();
                self.shared.room.make();
                Step::Idle
            }
            Err(error) => {
                self.shared.queue.stop(&format!("the index cannot be written: {error}"));
                self.shared.room.make();
                Step::Idle
            }
        }
    }

    fn work(&mut self) -> io::Result<Step> {
        let shared = &self.shared;
        let engine = &shared.reader.engine;
        self.reserve.watch(&*shared.disk, &shared.space)?;
        engine.set_horizon(shared.horizon());
        let hurry = shared.queue.is_short_of_room(shared.options.log_segment_bytes / 8);
        let log = self.slots.step(engine.flushed(), hurry, shared.space.is_ample())?;
        let room = self.slots.room();
        if shared.queue.found_room(room) {
            shared.room.make();
        }
        if room == 0 && log == Step::Worked {
            // The log goes first: without room in it nothing is accepted.
            return Ok(log);
        }
        let flushed = engine.flushed();
        let index = engine.maintain(shared.queue.durable())?;
        if engine.flushed() != flushed {
            shared.room.make();
        }
        Ok(if index == Step::Idle { log } else { index })
    }

    /// Blocks the thread until there may be work.
    pub fn wait(&self) -> Wake {
        self.shared.upkeep.wait()
    }

    /// The same for a task.
    pub async fn ready(&self) -> Wake {
        self.shared.upkeep.ready().await
    }
}
