//! The end of a helper whose engine is not to be outlived by its containers: that of a cloud for a test.

use super::server::Server;
use crate::sys::raw;

impl Server {
    /// The engine is gone. What ran for it is killed, and buried as anything else.
    pub(super) fn end_all(&mut self, mark: String) {
        self.takes_down = Some(mark);
        self.leaving.clear();
        for program in self.programs.values().filter(|program| program.end.is_none()) {
            let _ = raw::signal_process(&program.pidfd, libc::SIGKILL);
        }
    }
}
