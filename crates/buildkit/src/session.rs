//! Sessions: a client's connection on which it is the server, of its files, secrets and credentials.

use crate::grpc::{Code, Frames, Receiving, Sending, Status};
use crate::messages;
use crate::wire::Message;
use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// At once.
const SESSIONS_MAX: usize = 256;
const ID_BYTES_MAX: usize = 256;
/// How long a build waits for its session, which comes over a connection of its own.
const WAIT: Duration = Duration::from_secs(10);
/// A client that is silent is asked whether it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(20);
const ALIVE_WITHIN: Duration = Duration::from_secs(40);
const SECRET_BYTES_MAX: usize = 500 * 1024;

/// What the head of the request for a session said.
#[derive(Clone, Default, Debug)]
pub struct Asked {
    pub id: String,
    /// Methods that it serves, as `/service/method`.
    pub methods: Vec<String>,
}

#[derive(Clone)]
pub struct Session {
    sender: http2::SendRequest<Frames>,
    methods: BTreeSet<String>,
    /// Said nothing ever: closed when the connection has ended.
    lives: watch::Receiver<()>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// Headers of a call: names with all their values.
pub type Metadata<'a> = &'a [(&'a str, Vec<String>)];

impl Session {
    pub fn serves(&self, method: &str) -> bool {
        self.methods.contains(&method.to_ascii_lowercase())
    }

    /// Until the client's connection ends.
    pub async fn ended(&self) {
        let mut lives = self.lives.clone();
        while lives.changed().await.is_ok() {}
    }

    /// Begins a call; what is sent goes into the one end, what it says comes out of the other.
    pub async fn call(
        &self,
        method: &str,
        metadata: Metadata<'_>,
    ) -> Result<(Sending, Receiving), Status> {
        let (sending, frames) = Frames::new();
        let gone = |error: hyper::Error| {
            Status::new(Code::Unavailable, format!("the session has ended: {error}"))
        };
        let mut request = Request::new(frames);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://localhost{method}")
            .parse()
            .map_err(|_| Status::invalid("the method has no name"))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        for (name, values) in metadata {
            for value in values {
                let name = HeaderName::from_bytes(name.as_bytes());
                let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
                    return Err(Status::invalid("a pattern cannot be sent"));
                };
                headers.append(name, value);
            }
        }
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(gone)?;
        // The answer's head may come after the first message.
        let response = sender.send_request(request);
        Ok((sending, Receiving::answer(response)))
    }

    /// A call with one message each way.
    pub async fn ask(&self, method: &str, message: &[u8]) -> Result<Bytes, Status> {
        let (sending, receiving) = self.call(method, &[]).await?;
        let _ = sending.message(message).await;
        drop(sending);
        receiving.only().await
    }

    /// `None` if it has none of this name.
    pub async fn secret(&self, id: &str) -> Result<Option<Bytes>, Status> {
        const METHOD: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
        if !self.serves(METHOD) {
            return Ok(None);
        }
        let message = Message::default().text(1, id).end();
        match self.ask(METHOD, &message).await {
            Ok(answer) => {
                let secret = messages::first_bytes(&answer)?;
                if secret.len() > SECRET_BYTES_MAX {
                    return Err(Status::invalid(format!("the secret {id} is too large")));
                }
                Ok(Some(secret.into()))
            }
            Err(status) if status.code == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Name and password for a registry; both are empty if it knows none.
    pub async fn credentials(&self, host: &str) -> Result<(String, String), Status> {
        const METHOD: &str = "/moby.filesync.v1.Auth/Credentials";
        if !self.serves(METHOD) {
            return Ok(Default::default());
        }
        let message = Message::default().text(1, host).end();
        Ok(messages::credentials(&self.ask(METHOD, &message).await?)?)
    }
}

/// All that are open.
#[derive(Default, Debug)]
pub struct Sessions {
    all: Mutex<BTreeMap<String, Session>>,
    came: Notify,
}

/// Takes a session out when its connection ends.
struct Open<'a> {
    sessions: &'a Sessions,
    id: String,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.sessions.all.lock().remove(&self.id);
    }
}

impl Sessions {
    /// Whether one may be opened.
    pub fn check(&self, asked: &Asked) -> Result<(), Status> {
        if asked.id.is_empty() || asked.id.len() > ID_BYTES_MAX {
            return Err(Status::invalid("the session has no id"));
        }
        let all = self.all.lock();
        if all.contains_key(&asked.id) {
            return Err(Status::invalid(format!("session {} already exists", asked.id)));
        }
        if all.len() >= SESSIONS_MAX {
            return Err(Status::new(Code::Unavailable, "there are too many sessions"));
        }
        Ok(())
    }

    /// Until the connection ends.
    pub async fn hold(&self, asked: Asked, io: impl Read + Write + Unpin + Send + 'static) {
        let begun = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(ALIVE_EVERY)
            .keep_alive_timeout(ALIVE_WITHIN)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(io)
            .await;
        let (sender, connection) = match begun {
            Ok(begun) => begun,
            Err(error) => return tracing::debug!(%error, "a session did not begin"),
        };
        if self.check(&asked).is_err() {
            return;
        }
        let methods = asked.methods.iter().map(|method| method.to_ascii_lowercase()).collect();
        let (_living, lives) = watch::channel(());
        let session = Session { sender, methods, lives };
        let _open = Open { sessions: self, id: asked.id.clone() };
        self.all.lock().insert(asked.id, session);
        self.came.notify_waiters();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a session broke off");
        }
    }

    /// Waits a while for one that has not come yet.
    pub async fn find(&self, id: &str) -> Result<Session, Status> {
        let missing = || Status::new(Code::NotFound, format!("no active session for {id}"));
        if id.is_empty() {
            return Err(missing());
        }
        let found = async {
            loop {
                let came = self.came.notified();
                let mut came = std::pin::pin!(came);
                came.as_mut().enable();
                if let Some(session) = self.all.lock().get(id) {
                    return session.clone();
                }
                came.await;
            }
        };
        tokio::time::timeout(WAIT, found).await.map_err(|_| missing())
    }
}

/// So much may be on its way.
const WINDOW_BYTES: u32 = 1 << 20;
