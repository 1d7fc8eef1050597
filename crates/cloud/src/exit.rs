//! Exit codes, for scripts. `cumulet --help` lists them.

pub const OK: i32 = 0;
/// What was asked for could not be done.
pub const FAILED: i32 = 1;
/// The command line or a setting is wrong.
pub const USAGE: i32 = 2;
/// Another process holds the data folder.
pub const HELD: i32 = 3;
/// The address to listen on cannot be had.
pub const ADDRESS: i32 = 4;
/// The data cannot be opened: damaged, or of a newer build.
pub const DATA: i32 = 5;
/// The disk failed while running.
pub const STOPPED: i32 = 6;

pub const TEXT: &str = "Exit codes:\n  0  done\n  1  failed\n  2  wrong command line or setting\n  \
    3  the data folder is in use\n  4  the address cannot be had\n  5  the data cannot be opened\n  \
    6  the disk failed while running";

/// Why a command ends, and with which code.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub text: String,
}

impl Failure {
    pub fn new(code: i32, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}
