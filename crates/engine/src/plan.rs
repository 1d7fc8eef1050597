//! What the first process of a container does between its birth and its program, as plain steps.
//!
//! [`crate::launch`] makes them out of a specification, [`crate::sys::child`] does them in order. The plan goes to the
//! helper as JSON, so it is versioned with the helper's protocol.
//!
//! Invariants: a plan names no descriptor but by its place in the list that travels with it; a step
//! knows nothing of steps after it; whatever a container could have prepared (links in its root
//! above all) is resolved beneath that root.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Namespaces that the process gets for itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct NewNamespaces {
    pub pid: bool,
    pub net: bool,
    pub ipc: bool,
    pub uts: bool,
    /// Made after the process has joined its control groups.
    pub cgroup: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub new: NewNamespaces,
    /// Which of the descriptors is a PID namespace to be born in.
    pub join_pid: Option<usize>,
    pub steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Into the control groups of the container, made here, and their limits.
    Cgroup(Cgroup),
    /// Into a namespace: of which kind the descriptor tells.
    Join(usize),
    /// Into all namespaces of the process that a descriptor stands for, user namespaces aside.
    JoinAll(usize),
    UnshareCgroup,
    /// What is mounted here from now on is seen nowhere else.
    PrivateMounts,
    /// What this process makes from here on belongs to these numbers of the machine: a container's root.
    Owner {
        uid: u32,
        gid: u32,
    },
    /// This folder of the engine's is seen with the owners that a user namespace gives.
    Remap {
        folder: String,
        namespace: usize,
    },
    /// Into a user namespace, as its root; with mounts that are its own to change, or those that are joined.
    Become {
        namespace: usize,
        new_mounts: bool,
    },
    Root(Root),
    Mount(Mount),
    /// A device node beneath the root.
    Device(Device),
    /// Path in the root, and where it leads.
    Symlink(String, String),
    /// A terminal of the container's own, told to the helper; its standard streams from here on.
    Terminal {
        /// Also under `/dev/console`, as the first process has it.
        console: bool,
        /// Rows and columns; 0 if not known yet.
        size: (u16, u16),
    },
    Hostname(String),
    Domainname(String),
    Sysctls(BTreeMap<String, String>),
    /// Nothing but the container's root from here on.
    Pivot,
    ReadonlyPaths(Vec<String>),
    MaskedPaths(Vec<String>),
    ReadonlyRoot,
    /// -1000 to 1000.
    OomScore(i32),
    Rlimits(Vec<Rlimit>),
    Umask(u32),
    /// A new session, so that the program leads its terminal.
    Session,
    Process(Process),
}

/// Which control groups, and what is allowed in them.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Cgroup {
    /// Folders to join. With version 1 one for each controller.
    pub folders: Vec<String>,
    /// Whether to make them first.
    pub make: bool,
    /// In this order, before the process joins.
    pub limits: Vec<Limit>,
    /// Device rules for version 2, where a program decides.
    pub device_program: Option<DeviceProgram>,
    /// Of the engine, by which they are known when it is no more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limit {
    pub file: String,
    pub value: String,
    /// Where it cannot be set, it is no error.
    pub optional: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceProgram {
    pub folder: String,
    pub rules: Vec<DeviceRule>,
}

/// Who may use which device: the last rule that matches decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceRule {
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Some of `rwm`.
    pub access: String,
}

/// The root: layers below, one to write above.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Root {
    /// An empty folder to hang it up on.
    pub at: String,
    /// The topmost first.
    pub lower: Vec<String>,
    pub upper: String,
    pub work: String,
    /// In place of layers: a folder that has all files, copied.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tree: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// In the container.
    pub target: String,
    pub source: Source,
    pub flags: MountFlags,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A file system of this type, with options.
    Fs(String, Vec<(String, Option<String>)>),
    /// A file or folder of this machine.
    Bind { path: String, recursive: bool, propagation: Propagation },
    /// A file or folder in layers, the topmost first, looked up as if they were the root.
    Layers { lower: Vec<String>, upper: Option<(String, String)>, path: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Propagation {
    Private,
    Slave,
    Shared,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct MountFlags {
    pub readonly: bool,
    /// For a bind: all that is mounted below, too.
    pub readonly_recursive: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    pub strictatime: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    pub path: String,
    /// On this machine, where it is called otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// `b` or `c`.
    pub kind: char,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rlimit {
    /// As in `setrlimit`, lower case without the prefix: `nofile`.
    pub name: String,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// The program and what it may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    /// `user`, `uid`, `user:group` and so on, looked up in the container's own files.
    pub user: String,
    pub additional_groups: Vec<String>,
    /// Numbers of capabilities.
    pub capabilities: Vec<u8>,
    pub no_new_privileges: bool,
    /// Instructions of a filter, four numbers each; none means unconfined.
    pub seccomp: Vec<(u16, u8, u8, u32)>,
    /// Name of a profile that this kernel's AppArmor holds.
    pub apparmor: Option<String>,
    /// A small process of ours stays the first one and reaps.
    pub init: bool,
}
