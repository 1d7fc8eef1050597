//! Work that nobody waits for: the index's files, the log's, and watching the space on the disk.

use crate::disk;
use crate::engine::Step;
use crate::log::SlotMaker;
use crate::metrics;
use crate::signal::Wake;
use crate::space::Reserve;
use crate::store::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread rests when a file could not be opened.
const REST: Duration = Duration::from_millis(100);

/// Runs in the background, one of them, driven by one thread or task.
#[derive(Debug)]
pub struct MaintenanceDriver {
    shared: Arc<Shared>,
    slots: SlotMaker,
    reserve: Reserve,
    /// Why the last step could do nothing, if that passes.
    trouble: Option<io::Error>,
}

impl MaintenanceDriver {
    pub(crate) fn new(shared: Arc<Shared>, slots: SlotMaker, reserve: Reserve) -> Self {
        MaintenanceDriver { shared, slots, reserve, trouble: None }
    }

    /// One bounded piece of work.
    pub fn step(&mut self) -> Step {
        if self.shared.queue.stopped().is_some() {
            return Step::Idle;
        }
        let worked = self.work();
        self.trouble = None;
        let error = match worked {
            Ok(step) => return step,
            Err(error) => error,
        };
        // Tried again at the next ring; until then only what frees space is accepted.
        if disk::is_full(&error) {
            self.shared.space.set_full();
        } else if disk::is_passing(&error) {
            metrics::add(&self.shared.metrics.maintenance_errors, 1);
            self.trouble = Some(error);
        } else {
            self.shared.queue.stop(&format!("the index cannot be written: {error}"));
        }
        self.shared.room.make();
        Step::Idle
    }

    /// Why the last step could do nothing: it is tried again.
    pub fn trouble(&self) -> Option<&io::Error> {
        self.trouble.as_ref()
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
        match self.trouble {
            // Who is refused rings each time.
            Some(_) => self.shared.upkeep.rest(REST),
            None => self.shared.upkeep.wait(),
        }
    }

    /// The same for a task.
    pub async fn ready(&self) -> Wake {
        self.shared.upkeep.ready().await
    }
}
