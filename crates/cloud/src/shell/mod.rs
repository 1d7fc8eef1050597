//! `cumulet shell`: a command for which the names of AWS lead to the running cloud, with nothing on the
//! host changed.
//!
//! The command gets a view of the mounts in which resolv.conf and the trusted certificates are ours.
//! Where ports 53, 80 and 443 of some loopback address can be had, this process listens there;
//! elsewhere the command gets a view of the network too, whose loopback device has every address, and
//! this process listens there while its own connections go out by the host's network. Either way
//! what is for the cloud goes through the sockets in its data folder.

mod carry;
pub mod inside;
mod netlink;
mod view;

use crate::doors::{AUTHORITY, SOCKETS, within};
use crate::env;
use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::{cli, client};
use authority::Authority;
use carry::{Doors, Home};
use clap::ArgMatches;
use gateway::names::CLOSED;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{IoSliceMut, IsTerminal, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
pub use view::BUNDLES;
use view::View;

/// What leads out of a network of its own without being asked for: ssh, HTTP, HTTPS.
const PORTS: [u16; 3] = [22, 80, 443];
/// Loopback addresses that are tried before a network of its own.
const ADDRESSES_TRIED: u8 = 8;

/// What is run, and how it sees the world.
pub struct Wanted {
    pub command: Vec<OsString>,
    pub account: Option<String>,
    pub network: Network,
    /// Further ports that lead out of a network of its own.
    pub ports: Vec<u16>,
    /// Further variables.
    pub set: Vec<(String, String)>,
    /// Where the command works, if not here.
    pub folder: Option<PathBuf>,
    /// For a command that is driven: its input and output are pipes.
    pub piped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// The host's if its ports can be had, else an own one.
    Any,
    Host,
    Own,
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let words: Vec<OsString> =
        matches.get_many::<OsString>("command").into_iter().flatten().cloned().collect();
    let interactive = words.is_empty();
    let shell = || cli::variable("SHELL").unwrap_or_else(|| "/bin/sh".to_owned()).into();
    let wanted = Wanted {
        command: if interactive { vec![shell()] } else { words },
        account: cli::value(matches, "account"),
        network: match cli::value(matches, "network").as_deref() {
            Some("host") => Network::Host,
            Some("own") => Network::Own,
            _ => Network::Any,
        },
        ports: matches.get_many::<u16>("port").into_iter().flatten().copied().collect(),
        set: Vec::new(),
        folder: None,
        piped: false,
    };
    let running = Running::start(config, wanted)?;
    if !interactive && let Some(endpoint) = cli::variable("AWS_ENDPOINT_URL") {
        eprintln!(
            "cumulet: AWS_ENDPOINT_URL={endpoint} counts for nothing in here: the names of AWS lead to {}",
            config.data.display()
        );
    }
    if interactive && std::io::stdin().is_terminal() {
        eprintln!("{}", running.greeting);
    }
    let code = running.wait()?;
    std::process::exit(code);
}

/// A command in its view.
pub struct Running {
    pub child: Child,
    greeting: String,
    runtime: tokio::runtime::Runtime,
    /// Removed when all is over.
    _folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(exit::FAILED, format!("{what}: {error}"))
}

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let base = std::env::temp_dir();
        for round in 0..100 {
            let path = base.join(format!("cumulet-shell-{}-{round}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path.display().to_string(), error)),
            }
        }
        Err(failed(&base.display().to_string(), "no folder can be made"))
    }
}

impl Running {
    pub fn start(config: &Config, wanted: Wanted) -> Result<Running, Failure> {
        let main = cloud(config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| failed("no threads", error))?;
        let _entered = runtime.enter();
        let here = match wanted.network {
            Network::Own => None,
            _ => host_doors(),
        };
        if here.is_none() && wanted.network == Network::Host {
            let text = "ports 53, 80 and 443 cannot be had on any loopback address; \
                        --network own does without them";
            return Err(Failure::new(exit::ADDRESS, text));
        }
        let address = here.as_ref().map_or(Ipv4Addr::LOCALHOST, |(address, _)| *address);
        let folder = Folder::new()?;
        let authority = Authority::certificate_path(&config.data.join(AUTHORITY));
        let mut view = View::new(&folder.0, &authority, here.is_none(), address)?;
        variables(config, &wanted, &mut view);
        let ports = ports(&wanted, main, here.is_none());
        let join = within(&folder.0, |short| UnixListener::bind(short.join("join")))
            .map_err(|error| failed("no socket", error))?;
        let mut child = spawn(&folder.0, &wanted, &view, &ports)?;
        let inside = match joined(&join, &mut child) {
            Some(stream) => received(&stream).map(|sockets| (stream, sockets)),
            None => None,
        };
        let Some((mut inside, sockets)) = inside else {
            // It has said why.
            let status = child.wait().map_err(|error| failed("no view", error))?;
            drop(folder);
            std::process::exit(code_of(status));
        };
        let greeting = greeting(config, here.is_none(), &ports);
        let doors = match here {
            Some((_, doors)) => doors,
            None => own_doors(sockets).map_err(|error| failed("the network view", error))?,
        };
        let home = Home { sockets: config.data.join(SOCKETS), main, address };
        runtime.spawn(carry::carry(doors, Arc::new(home)));
        inside.write_all(&[1]).map_err(|error| failed("the view is gone", error))?;
        Ok(Running { child, greeting, runtime, _folder: folder })
    }

    /// Waits for the command; gives its exit code. What ends us ends it.
    pub fn wait(mut self) -> Result<i32, Failure> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let watch = |kind| signal(kind).map_err(|error| failed("no signals", error));
        self.runtime.block_on(async {
            // The terminal sends these to the command itself.
            let _ignored = [watch(SignalKind::interrupt())?, watch(SignalKind::quit())?];
            let (mut terminate, mut hang_up) =
                (watch(SignalKind::terminate())?, watch(SignalKind::hangup())?);
            #[allow(clippy::disallowed_methods, reason = "the process owns its signals")]
            tokio::spawn(async move {
                loop {
                    std::future::poll_fn(|cx| {
                        let come =
                            terminate.poll_recv(cx).is_ready() | hang_up.poll_recv(cx).is_ready();
                        if come { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                    })
                    .await;
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            });
            let waiting = tokio::task::spawn_blocking(move || self.child.wait());
            let status = waiting.await.map_err(|error| failed("the command", error))?;
            Ok(code_of(status.map_err(|error| failed("the command", error))?))
        })
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Where the cloud of the data folder listens.
fn cloud(config: &Config) -> Result<SocketAddr, Failure> {
    let data = config.data.display();
    let holder = client::holder(config).ok_or_else(|| {
        let text = format!("no cloud runs with its data in {data}; start one with `cumulet up`");
        Failure::new(exit::FAILED, text)
    })?;
    let address = holder.split_once("http://").and_then(|(_, address)| address.parse().ok());
    address.ok_or_else(|| failed(&format!("{data} is held, but by no cloud"), holder))
}

/// Doors on a loopback address of the host whose ports can all be had.
fn host_doors() -> Option<(Ipv4Addr, Doors)> {
    let own = std::process::id().to_be_bytes();
    (0..ADDRESSES_TRIED).find_map(|round| {
        let address = Ipv4Addr::new(127, 54, own[2], own[3].wrapping_add(round).max(1));
        let tcp = |port: u16| {
            let listener = std::net::TcpListener::bind((address, port)).ok()?;
            listener.set_nonblocking(true).ok()?;
            TcpListener::from_std(listener).ok()
        };
        let udp = std::net::UdpSocket::bind((address, inside::DNS_PORT)).ok()?;
        udp.set_nonblocking(true).ok()?;
        let doors = Doors {
            dns_udp: UdpSocket::from_std(udp).ok()?,
            dns_tcp: tcp(inside::DNS_PORT)?,
            ports: vec![tcp(80)?, tcp(443)?],
        };
        Some((address, doors))
    })
}

/// The sockets that came out of a network of its own.
fn own_doors(sockets: Vec<OwnedFd>) -> std::io::Result<Doors> {
    let mut sockets = sockets.into_iter();
    let missing = || std::io::Error::other("it handed out no sockets");
    let udp = std::net::UdpSocket::from(sockets.next().ok_or_else(missing)?);
    udp.set_nonblocking(true)?;
    let mut listeners = sockets.map(|socket| {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    Ok(Doors {
        dns_udp: UdpSocket::from_std(udp)?,
        dns_tcp: listeners.next().ok_or_else(missing)??,
        ports: listeners.collect::<std::io::Result<_>>()?,
    })
}

fn variables(config: &Config, wanted: &Wanted, view: &mut View) {
    // With `--auth strict` and no key given, the person has keys, and they are in the environment.
    for (name, value) in env::identity(config, wanted.account.clone()).unwrap_or_default() {
        view.set(name, value);
    }
    let domains: Vec<&str> = CLOSED.into_iter().chain(["localhost.localstack.cloud"]).collect();
    for name in ["NO_PROXY", "no_proxy"] {
        view.set(name, view::no_proxy(cli::variable(name), &domains));
    }
    #[allow(clippy::disallowed_methods, reason = "names alone, to take them away")]
    let named = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    view.removed.extend(named.filter(|name| name.starts_with("AWS_ENDPOINT_URL")));
    for (name, value) in &wanted.set {
        view.set(name, value.clone());
    }
}

/// The ports that lead out of a network of its own; none for the host's.
fn ports(wanted: &Wanted, main: SocketAddr, own: bool) -> Vec<u16> {
    if !own {
        return Vec::new();
    }
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"];
    let proxies = proxies.into_iter().filter_map(|name| view::proxy_port(&cli::variable(name)?));
    let all = PORTS.into_iter().chain([main.port()]).chain(wanted.ports.iter().copied());
    let all: BTreeSet<u16> = all.chain(proxies).filter(|port| *port != inside::DNS_PORT).collect();
    all.into_iter().take(inside::SOCKETS_MAX - 2).collect()
}

fn greeting(config: &Config, own: bool, ports: &[u16]) -> String {
    let mut text =
        format!("The names of AWS lead to the cloud with its data in {}.", config.data.display());
    if own {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        text.push_str(&format!(
            "\nThe network is a view of its own: TCP leads out of it at ports {} (--port N adds one).",
            ports.join(", ")
        ));
    }
    text.push_str("\nEndpoints from the environment and from files count for nothing in here.");
    text + "\n`exit` leaves."
}

fn spawn(folder: &Path, wanted: &Wanted, view: &View, ports: &[u16]) -> Result<Child, Failure> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("inside").arg("--folder").arg(folder);
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    command.arg("--ports").arg(ports.join(","));
    for (source, target) in &view.mounts {
        let mut pair = source.as_os_str().to_owned();
        pair.push(":");
        pair.push(target);
        command.arg("--mount").arg(pair);
    }
    command.arg("--").args(&wanted.command);
    for name in &view.removed {
        command.env_remove(name);
    }
    command.envs(&view.set);
    if let Some(folder) = &wanted.folder {
        command.current_dir(folder);
    }
    if wanted.piped {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    }
    command.spawn().map_err(|error| failed("no process", error))
}

/// The child's call, unless it ends first.
fn joined(listener: &UnixListener, child: &mut Child) -> Option<UnixStream> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    listener.set_nonblocking(true).ok()?;
    let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).ok()?;
            return Some(stream);
        }
        if child.try_wait().ok()?.is_some() {
            return None;
        }
        let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&pause));
    }
}

/// The sockets that the child hands out; `None` if it ended instead.
fn received(stream: &UnixStream) -> Option<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(inside::SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).ok()?;
    if message.bytes == 0 {
        return None;
    }
    let mut all = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            all.extend(sockets);
        }
    }
    Some(all)
}
