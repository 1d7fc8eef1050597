//! What a fresh network namespace lacks: a loopback device that is up, and every other address on it.
//!
//! Three messages of rtnetlink; `ip` need not be installed.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::io;

const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400 | 0x200;
const HEAD_BYTES: usize = 16;
/// Loopback is the first device of every namespace.
const LOOPBACK: u32 = 1;
const UP: u32 = 1;
const IPV4: u8 = 2;
const TABLE_LOCAL: u8 = 255;
const BY_ADMINISTRATOR: u8 = 4;
const SCOPE_HOST: u8 = 254;
const TYPE_LOCAL: u8 = 2;
const DEVICE: u16 = 4;

/// Brings loopback up, and makes all of IPv4 an address of this namespace, so that a connection to
/// anywhere arrives at whoever listens on its port here.
pub fn everything_is_local() -> io::Result<()> {
    let mut link = vec![0; 16];
    link[4..8].copy_from_slice(&LOOPBACK.to_ne_bytes());
    link[8..12].copy_from_slice(&UP.to_ne_bytes());
    link[12..16].copy_from_slice(&UP.to_ne_bytes());
    ask(NEW_LINK, 0, &link)?;
    let mut route = vec![IPV4, 0, 0, 0, TABLE_LOCAL, BY_ADMINISTRATOR, SCOPE_HOST, TYPE_LOCAL];
    route.extend_from_slice(&[0; 4]);
    route.extend_from_slice(&8u16.to_ne_bytes());
    route.extend_from_slice(&DEVICE.to_ne_bytes());
    route.extend_from_slice(&LOOPBACK.to_ne_bytes());
    ask(NEW_ROUTE, CREATE, &route)
}

fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut message = ((HEAD_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(REQUEST_AND_ACK | flags).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0u8; 512];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let code = answer[..length].get(HEAD_BYTES..HEAD_BYTES + 4).and_then(|b| b.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
