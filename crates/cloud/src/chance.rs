//! The production clock and the production source of chance: the kernel's.

use base::{Clock, Entropy, Timestamp};
use std::cell::RefCell;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> Timestamp {
        let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        };
        Timestamp::from_millis(ms)
    }

    fn monotonic_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// Random bytes of the kernel, fetched a block at a time by each thread.
#[derive(Debug)]
pub struct OsEntropy;

const BLOCK_BYTES: usize = 1024;

struct Block {
    bytes: [u8; BLOCK_BYTES],
    used: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> =
        const { RefCell::new(Block { bytes: [0; BLOCK_BYTES], used: BLOCK_BYTES }) };
}

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > BLOCK_BYTES / 4 {
            return from_kernel(out);
        }
        BLOCK.with_borrow_mut(|block| {
            if block.used + out.len() > BLOCK_BYTES {
                from_kernel(&mut block.bytes);
                block.used = 0;
            }
            let fresh = &mut block.bytes[block.used..block.used + out.len()];
            out.copy_from_slice(fresh);
            // What was given out is nowhere else.
            fresh.fill(0);
            block.used += out.len();
        });
    }
}

/// Lets time pass for faults that make requests slow.
pub struct Sleep;

impl gateway::Timer for Sleep {
    fn wait(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(Duration::from_millis(ms)))
    }
}

fn from_kernel(out: &mut [u8]) {
    getrandom::fill(out).expect("the kernel gives random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_never_given_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let mut bytes = [0; 24];
            OsEntropy.fill(&mut bytes);
            assert!(seen.insert(bytes));
        }
        let mut large = [0; 5000];
        OsEntropy.fill(&mut large);
        assert!(large.iter().any(|b| *b != 0));
    }

    #[test]
    fn the_clock_goes_on() {
        let clock = SystemClock::new();
        let first = clock.monotonic_ns();
        assert!(clock.monotonic_ns() >= first);
        assert!(clock.now().to_secs() > 1_700_000_000);
    }
}
