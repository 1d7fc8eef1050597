//! What engine and helper say to each other: one JSON document a message, descriptors beside it.
//!
//! The helper is often older than the engine that talks to it, since it lives on while the engine is
//! replaced. So fields are only ever added, with a default; what a helper does not know it answers
//! with [`Answer::Failed`]; and [`VERSION`] says what the engine may ask for. Where an older engine was put
//! back the helper is the newer one: then it says nothing that came after the engine's version.

use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 4;
/// From this version on a helper holds its engine's claim.
pub const WITH_CLAIM: u32 = 2;
/// From this one on an engine is told of programs that are being started.
pub const WITH_STARTING: u32 = 3;
/// From this one on it takes more descriptors to hold than fit one message.
pub const WITH_MORE: u32 = 4;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Comes back with the answer.
    pub id: u64,
    pub ask: Ask,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// The first thing an engine says. From then on it is told of every end.
    Hello {
        version: u32,
        /// All programs are killed when this conversation is over, and networks with this mark go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_with: Option<String>,
    },
    /// Descriptors: the plan as a file in memory, those that the plan names, those to hold, and a
    /// socket for each outlet, in this order.
    Start(Box<Start>),
    /// Descriptor: a socket.
    Attach {
        key: String,
        outlet: Outlet,
    },
    Resize {
        key: String,
        rows: u16,
        columns: u16,
    },
    Signal {
        key: String,
        signal: i32,
    },
    List,
    /// Descriptors: more to hold for a program that runs.
    Hold {
        key: String,
    },
}

/// A program to start: the first one of a container, or a further one in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// What it is called from now on.
    pub key: String,
    /// Where its end is written down, if it shall outlast the engine.
    pub record: Option<String>,
    pub log: Option<LogFile>,
    pub terminal: bool,
    pub stdin: bool,
    /// The program's standard input ends when the first outlet that feeds it does.
    pub stdin_once: bool,
    /// Control groups to remove when it has ended.
    pub cgroups: Vec<String>,
    pub plan_fds: usize,
    pub held_fds: usize,
    pub outlets: Vec<Outlet>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogFile {
    pub path: String,
    /// 0 is without end.
    pub bytes_max: u64,
    pub files_max: u32,
}

/// Which streams a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outlet {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Each piece behind a head of eight bytes that says of which stream it is.
    pub framed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Say {
    Answer { id: u64, answer: Answer },
    Ended(Ended),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    Hello {
        version: u32,
        pid: i32,
    },
    Started {
        pid: i32,
    },
    Done,
    Failed {
        text: String,
    },
    /// A part of the list; the last part is empty.
    List {
        running: Vec<Running>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Running {
    pub key: String,
    pub pid: i32,
    pub started_ns: i64,
    /// Not the program yet, and may never be. Told to who knows of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starting: bool,
}

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    pub key: String,
    pub code: i32,
    pub out_of_memory: bool,
    /// Nanoseconds since 1970.
    pub at_ns: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of version 1 as they were first written: any later build must read them.
    #[test]
    fn golden_messages() {
        let ask = r#"{"id":7,"ask":{"Start":{"key":"c","record":"/d/exit","log":{"path":"/d/l","bytes_max":0,"files_max":1},"terminal":true,"stdin":false,"stdin_once":false,"cgroups":[],"plan_fds":1,"held_fds":0,"outlets":[{"stdin":false,"stdout":true,"stderr":true,"framed":true}]}}}"#;
        let request: Request = serde_json::from_str(ask).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), ask);
        for say in [
            r#"{"Answer":{"id":1,"answer":{"Hello":{"version":1,"pid":5}}}}"#,
            r#"{"Answer":{"id":2,"answer":{"List":{"running":[{"key":"c","pid":9,"started_ns":1}]}}}}"#,
            r#"{"Ended":{"key":"c","code":137,"out_of_memory":true,"at_ns":5}}"#,
        ] {
            let parsed: Say = serde_json::from_str(say).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), say);
        }
    }
}
