//! The engine's end of the conversation with the helper.

use super::protocol::{
    Answer, Ask, Ended, Outlet, Request, Running, Say, Start, VERSION, WITH_CLAIM, WITH_MORE,
};
use super::server::SOCKET;
use crate::error::Error;
use crate::plan::Plan;
use crate::sys::{mounts, pass, raw};
use parking_lot::Mutex;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, fstat, memfd_create, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Descriptors to hold that go with one message.
const HELD_MAX: usize = 100;

type Waiting = BTreeMap<u64, mpsc::UnboundedSender<Answer>>;

/// A conversation. It is over when [`Client::is_over`]; then another has to be begun.
pub struct Client {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Mutex<Option<Waiting>>>,
    next: AtomicU64,
    version: u32,
}

/// Finds the helper that runs, whose folder this is; `None` if there is none. One that does not answer is there.
pub fn find(folder: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // The path of a socket may have 107 bytes, that of a data folder more.
    let dir = openat(CWD, folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Starts a helper, of the same program as this process. It holds the claim, which it gets as what it
/// writes to, and writes nothing there.
pub fn spawn(folder: &Path, claim: Option<OwnedFd>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let program = own_program()?;
    let log = {
        let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(CWD, folder.join("helper.log"), flags, Mode::from_raw_mode(0o600))?
    };
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg(super::COMMAND)
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::from(theirs))
        .stdout(claim.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::from(log));
    // Where the networks are, so that they last as long as it does.
    let child = net_sys::at_home(|| command.spawn())?;
    // It outlives us as a rule; if not, it is buried with us.
    drop(child);
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok(ours)
}

/// Our own program, by a mount of it that cannot be written: a container that gets hold of the file
/// through `/proc` cannot put another program in its place (CVE-2019-5736).
fn own_program() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut program = openat(CWD, "/proc/self/exe", flags, Mode::empty())?;
    if crate::rootless::is_entered() {
        // What was opened before is a mount of another namespace, so it is looked up in this one.
        let path = std::fs::read_link("/proc/self/exe")?;
        let again = openat(CWD, path, flags, Mode::empty())?;
        let file = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        if file(&program)? != file(&again)? {
            return Err(io::Error::other("the program was replaced while it runs"));
        }
        program = again;
    }
    let copy = mounts::copy_of(&program, false)?;
    raw::mount_setattr(&copy, false, libc::MOUNT_ATTR_RDONLY, 0)?;
    Ok(copy)
}

impl Client {
    /// Begins a conversation. The ends of programs come through the second part; it is over when
    /// the helper is gone.
    pub async fn begin(
        socket: OwnedFd,
        ends_with: Option<String>,
    ) -> Result<(Client, mpsc::UnboundedReceiver<Ended>), Error> {
        let socket = Arc::new(raw::watched(socket)?);
        let waiting = Arc::new(Mutex::new(Some(Waiting::new())));
        let (told, ends) = mpsc::unbounded_channel();
        let mut client = Client {
            socket: socket.clone(),
            waiting: waiting.clone(),
            next: AtomicU64::new(1),
            version: 0,
        };
        #[allow(clippy::disallowed_methods, reason = "ends with the conversation")]
        tokio::spawn(async move {
            let _ = hear(&socket, &waiting, &told).await;
            // Whoever waits is told by this that nothing will come.
            *waiting.lock() = None;
        });
        match client.ask(Ask::Hello { version: VERSION, ends_with }, &[]).await? {
            // One that is newer knows by our version what we understand.
            Answer::Hello { version, .. } => {
                client.version = version;
                Ok((client, ends))
            }
            other => Err(Error::failed(format!("the containers helper said {other:?}"))),
        }
    }

    /// Whether it holds a claim for its containers when we are gone.
    pub fn holds_claim(&self) -> bool {
        self.version >= WITH_CLAIM
    }

    pub fn is_over(&self) -> bool {
        self.waiting.lock().is_none()
    }

    async fn begin_ask(
        &self,
        ask: Ask,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(u64, mpsc::UnboundedReceiver<Answer>), Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = serde_json::to_vec(&Request { id, ask }).map_err(io::Error::from)?;
        let (answered, answers) = mpsc::unbounded_channel();
        match &mut *self.waiting.lock() {
            Some(waiting) => drop(waiting.insert(id, answered)),
            None => return Err(gone()),
        }
        loop {
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| pass::send(socket, &bytes, fds)) {
                Ok(Ok(())) => return Ok((id, answers)),
                Ok(Err(error)) => {
                    self.forget(id);
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
    }

    fn forget(&self, id: u64) {
        if let Some(waiting) = &mut *self.waiting.lock() {
            waiting.remove(&id);
        }
    }

    async fn ask(&self, ask: Ask, fds: &[BorrowedFd<'_>]) -> Result<Answer, Error> {
        let (id, mut answers) = self.begin_ask(ask, fds).await?;
        let answer = answers.recv().await.ok_or_else(gone);
        self.forget(id);
        match answer? {
            Answer::Failed { text } => Err(Error::failed(text)),
            answer => Ok(answer),
        }
    }

    /// Starts a program; gives its process number once it runs.
    pub async fn start(
        &self,
        plan: &Plan,
        mut start: Start,
        plan_fds: &[OwnedFd],
        held: &[OwnedFd],
        outlets: &[(Outlet, OwnedFd)],
    ) -> Result<i32, Error> {
        let (held, more) = held.split_at(held.len().min(HELD_MAX));
        let key = start.key.clone();
        let file = memfd_create("plan", MemfdFlags::CLOEXEC)?;
        let text = serde_json::to_vec(plan).map_err(io::Error::from)?;
        io::Write::write_all(&mut std::fs::File::from(file.try_clone()?), &text)?;
        start.plan_fds = plan_fds.len();
        start.held_fds = held.len();
        start.outlets = outlets.iter().map(|(outlet, _)| *outlet).collect();
        let fds: Vec<BorrowedFd<'_>> = std::iter::once(file.as_fd())
            .chain(plan_fds.iter().map(AsFd::as_fd))
            .chain(held.iter().map(AsFd::as_fd))
            .chain(outlets.iter().map(|(_, fd)| fd.as_fd()))
            .collect();
        match self.ask(Ask::Start(Box::new(start)), &fds).await? {
            Answer::Started { pid } => {
                self.hold(&key, more).await;
                Ok(pid)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What did not fit. The program runs already, and may have ended.
    async fn hold(&self, key: &str, more: &[OwnedFd]) {
        let parts = more.chunks(HELD_MAX).filter(|_| self.version >= WITH_MORE);
        for part in parts {
            let fds: Vec<BorrowedFd<'_>> = part.iter().map(AsFd::as_fd).collect();
            if let Err(error) = self.ask(Ask::Hold { key: key.to_owned() }, &fds).await {
                tracing::debug!(%error, key, "the helper does not hold all ports");
                return;
            }
        }
    }

    pub async fn attach(&self, key: &str, outlet: Outlet, socket: OwnedFd) -> Result<(), Error> {
        let ask = Ask::Attach { key: key.to_owned(), outlet };
        self.ask(ask, &[socket.as_fd()]).await.map(drop)
    }

    pub async fn resize(&self, key: &str, rows: u16, columns: u16) -> Result<(), Error> {
        self.ask(Ask::Resize { key: key.to_owned(), rows, columns }, &[]).await.map(drop)
    }

    pub async fn signal(&self, key: &str, signal: i32) -> Result<(), Error> {
        self.ask(Ask::Signal { key: key.to_owned(), signal }, &[]).await.map(drop)
    }

    /// All programs that run.
    pub async fn list(&self) -> Result<Vec<Running>, Error> {
        let (id, mut answers) = self.begin_ask(Ask::List, &[]).await?;
        let mut all = Vec::new();
        while let Some(Answer::List { running }) = answers.recv().await {
            if running.is_empty() {
                self.forget(id);
                return Ok(all);
            }
            all.extend(running);
        }
        Err(gone())
    }
}

fn gone() -> Error {
    Error::failed("the containers helper is gone; its containers ended with it")
}

fn unexpected(answer: &Answer) -> Error {
    Error::failed(format!("the containers helper said {answer:?}"))
}

async fn hear(
    socket: &AsyncFd<OwnedFd>,
    waiting: &Mutex<Option<Waiting>>,
    told: &mpsc::UnboundedSender<Ended>,
) -> io::Result<()> {
    let mut buffer = vec![0; pass::BYTES_MAX];
    loop {
        let mut ready = socket.readable().await?;
        let received = match ready.try_io(|socket| pass::receive(socket, &mut buffer)) {
            Ok(received) => received?,
            Err(_) => continue,
        };
        let Some((length, _)) = received else { return Ok(()) };
        let say = match serde_json::from_slice::<Say>(&buffer[..length]) {
            Ok(say) => say,
            Err(error) => {
                // From a helper that is newer than we are.
                tracing::warn!(%error, "a word of the containers helper is not understood");
                continue;
            }
        };
        match say {
            Say::Answer { id, answer } => {
                if let Some(waiting) = &*waiting.lock()
                    && let Some(asked) = waiting.get(&id)
                {
                    let _ = asked.send(answer);
                }
            }
            Say::Ended(ended) => drop(told.send(ended)),
        }
    }
}

/// A pair of connected sockets: ours for the runtime, theirs for the helper.
pub fn outlet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}
