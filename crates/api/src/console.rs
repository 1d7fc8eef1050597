//! What the gateway and the web console say to each other.
//!
//! The console has no way to anything but [`Inside`]: requests that it signs with a person's own key and
//! that come in by the front door like everybody's. What the person may not do, it cannot do either.

use crate::{Body, RequestBody};
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A request of a browser.
pub struct ConsoleCall<'a> {
    pub method: &'a str,
    /// As on the wire, without the query.
    pub path: &'a str,
    pub query: &'a [(String, String)],
    /// By lower-case name.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// `host[:port]`, as the browser has it.
    pub host: &'a str,
    pub secure: bool,
    /// Whether a browser counts the address as one where nobody listens in: TLS, or this machine.
    pub is_private: bool,
    pub inside: Arc<dyn Inside>,
}

#[derive(Debug)]
pub struct ConsoleAnswer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

pub type ConsoleReply<'a> = Pin<Box<dyn Future<Output = ConsoleAnswer> + Send + 'a>>;

pub trait ConsoleDoor: Send + Sync + 'static {
    fn answer<'a>(&'a self, call: ConsoleCall<'a>, body: RequestBody) -> ConsoleReply<'a>;
}

/// A whole request, signed or not, on its way to the front door.
#[derive(Debug)]
pub struct InsideRequest {
    pub method: &'static str,
    /// Path and query, as on the wire.
    pub target: String,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: RequestBody,
}

#[derive(Debug)]
pub struct InsideAnswer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub type InsideReply<'a> = Pin<Box<dyn Future<Output = InsideAnswer> + Send + 'a>>;

/// The front door, for a request that comes from where the browser is.
pub trait Inside: Send + Sync + 'static {
    fn send(&self, request: InsideRequest) -> InsideReply<'_>;
}

/// The engine of containers, behind the pages that relay to it.
pub trait EngineDoor: Send + Sync + 'static {
    /// Asks the Docker API. `target` is path and query.
    fn ask<'a>(&'a self, method: &'a str, target: &'a str) -> InsideReply<'a>;
}
