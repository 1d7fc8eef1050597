//! The listener: sockets, TLS, HTTP/1.1 and HTTP/2, time-outs, and an end in good order.

use crate::encode::Response;
use crate::gateway::{Gateway, Peer};
use crate::idle::Streams;
use crate::payload::RequestStream;
use crate::stream::{IncomingStream, Paces, Rest, Socket, Unread, linger};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Method, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The bytes with which a TLS connection begins.
const TLS_HANDSHAKE: u8 = 0x16;
const HEAD_BYTES_MAX: usize = base::limits::REQUEST_HEAD_BYTES_MAX;

const CONNECTIONS_MAX: usize = 4096;

/// At the end, for requests that were sent before it and are not read yet.
pub const LINGER: Duration = Duration::from_millis(100);

/// How patient the listener is.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// For connections at a time, of all listeners that have the same; more wait to be accepted.
    pub room: Arc<Semaphore>,
    /// For a whole head, and between two requests of one connection.
    pub head_timeout: Duration,
    /// For the next 4 KiB of a body, or its end; in the other direction for the next bytes.
    pub stall_timeout: Duration,
    /// At the end, for requests that are on their way. Nothing where whoever asks for the end is who sends.
    pub linger: Duration,
    /// For requests under way when the end has come.
    pub drain_timeout: Duration,
    pub tls: Option<Tls>,
    pub workers: Workers,
}

/// Runtimes of one thread each, to which connections are shared out: what belongs to a connection stays
/// on its thread, and no thread wakes another to share its work. None: the caller's runtime has them all.
#[derive(Clone, Debug, Default)]
pub struct Workers(Arc<[Worker]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: AtomicU64,
}

impl FromIterator<Handle> for Workers {
    fn from_iter<T: IntoIterator<Item = Handle>>(runtimes: T) -> Workers {
        let worker = |runtime| Worker { runtime, connections: AtomicU64::new(0) };
        Workers(runtimes.into_iter().map(worker).collect())
    }
}

impl Workers {
    /// The one that has least to do, until the connection that it is taken for ends.
    fn take(&self) -> Option<Taken> {
        let load = |at: &usize| self.0[*at].connections.load(Relaxed);
        let at = (0..self.0.len()).min_by_key(load)?;
        self.0[at].connections.fetch_add(1, Relaxed);
        Some(Taken { workers: self.clone(), at })
    }
}

/// Counts a connection as long as it lasts.
struct Taken {
    workers: Workers,
    at: usize,
}

impl Taken {
    fn runtime(&self) -> &Handle {
        &self.workers.0[self.at].runtime
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.workers.0[self.at].connections.fetch_sub(1, Relaxed);
    }
}

/// Whether connections are encrypted.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Those that begin with a TLS handshake; the others are taken as they are.
    Possible(Arc<rustls::ServerConfig>),
    /// All of them.
    Always(Arc<rustls::ServerConfig>),
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    /// In a folder that only the owner may enter: whoever connects counts as this machine.
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

type Moved = Box<dyn FnOnce() -> std::io::Result<Stream> + Send>;

impl Stream {
    /// Leaves the runtime that accepted it, and gives what has it join that in which it is called.
    fn moved(self) -> std::io::Result<Moved> {
        Ok(match self {
            Stream::Tcp(stream) => {
                let stream = stream.into_std()?;
                Box::new(move || TcpStream::from_std(stream).map(Stream::Tcp))
            }
            Stream::Unix(stream) => {
                let stream = stream.into_std()?;
                Box::new(move || UnixStream::from_std(stream).map(Stream::Unix))
            }
        })
    }
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Stream, IpAddr)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), address.ip().to_canonical()))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            head_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            linger: LINGER,
            drain_timeout: Duration::from_secs(10),
            tls: None,
            workers: Workers::default(),
        }
    }
}

/// Becomes true when connections shall finish what is under way; each holds one until it has ended.
type Ending = watch::Receiver<bool>;

/// What one accepting loop has in common with its connections.
struct Shared {
    gateway: Arc<Gateway>,
    options: ListenOptions,
    http: auto::Builder<TokioExecutor>,
}

fn builder(options: &ListenOptions) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        // One more than the gateway takes, and it refuses them in the words of the service.
        .max_headers(base::limits::REQUEST_HEADERS_MAX + 1)
        .auto_date_header(false)
        // Not `pipeline_flush`: with it hyper buffers a body without bound for a slow reader.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_concurrent_streams(256)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(options.head_timeout)
        .keep_alive_timeout(options.head_timeout);
    http
}

/// Takes connections until `stop` becomes true, then lets requests under way finish.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: Listener,
    options: ListenOptions,
    mut stop: watch::Receiver<bool>,
) {
    let room = options.room.clone();
    let (linger, drain) = (options.linger, options.drain_timeout);
    let shared = Arc::new(Shared { http: builder(&options), gateway, options });
    let (end, ending) = watch::channel(false);
    loop {
        let Some(accepted) = unless(&mut stop, listener.accept()).await else { break };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the peer is gone already: the next one may be better.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        // One waits here for its place: a door where nobody comes holds none.
        let permit = unless(&mut stop, room.clone().acquire_owned()).await;
        let stops = permit.is_none();
        shared.start(stream, address, ending.clone(), permit.and_then(Result::ok));
        if stops {
            break;
        }
    }
    // Who has connected already was promised an answer: those in the queue, and those whose first
    // request is on its way from the socket.
    while let Some(Ok((stream, address))) = at_once(listener.accept()).await {
        shared.start(stream, address, ending.clone(), None);
    }
    drop(listener);
    shared.gateway.closing.store(true, Relaxed);
    if shared.gateway.totals.connections.load(Relaxed) > 0 && !linger.is_zero() {
        tokio::time::sleep(linger).await;
    }
    drop(ending);
    let _ = end.send(true);
    let _ = tokio::time::timeout(drain, end.closed()).await;
}

/// What the future gives if it has it already.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What the future gives, unless `stop` becomes true before.
pub async fn unless<T>(
    stop: &mut watch::Receiver<bool>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let mut future = pin!(future);
    poll_fn(|cx| match stopped.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}

impl Shared {
    fn start(
        self: &Arc<Self>,
        stream: Stream,
        address: IpAddr,
        ending: Ending,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let shared = self.clone();
        shared.gateway.totals.connections.fetch_add(1, Relaxed);
        let taken = self.options.workers.take();
        let runtime = taken.as_ref().map_or_else(Handle::current, |taken| taken.runtime().clone());
        let stream = match &taken {
            Some(_) => stream.moved(),
            None => Ok(Box::new(|| Ok(stream)) as Moved),
        };
        runtime.spawn(async move {
            match stream.and_then(|stream| stream()) {
                Ok(stream) => shared.connection(stream, address, ending).await,
                Err(error) => tracing::warn!(%error, "a connection could not be taken on"),
            }
            shared.gateway.totals.connections.fetch_sub(1, Relaxed);
            drop((permit, taken));
        });
    }

    async fn connection(&self, stream: Stream, address: IpAddr, ending: Ending) {
        let stream = match stream {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => {
                return match &self.options.tls {
                    Some(Tls::Always(tls)) => self.https(stream, tls, address, ending).await,
                    _ => self.http(self.socket(stream), address, None, ending).await,
                };
            }
        };
        let _ = stream.set_nodelay(true);
        let tls = match &self.options.tls {
            None => return self.http(self.socket(stream), address, None, ending).await,
            Some(Tls::Always(tls)) => return self.https(stream, tls, address, ending).await,
            Some(Tls::Possible(tls)) => tls,
        };
        let mut first = [0];
        let peeked = tokio::time::timeout(self.options.head_timeout, stream.peek(&mut first)).await;
        match peeked {
            Ok(Ok(1)) if first[0] == TLS_HANDSHAKE => {
                self.https(stream, tls, address, ending).await;
            }
            Ok(Ok(1)) => self.http(self.socket(stream), address, None, ending).await,
            _ => {}
        }
    }

    /// A handshake that stalls is given up like a head that does.
    async fn https<S>(
        &self,
        stream: S,
        tls: &Arc<rustls::ServerConfig>,
        address: IpAddr,
        ending: Ending,
    ) where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.clone());
        let accepted = tokio::time::timeout(self.options.head_timeout, acceptor.accept(stream));
        match accepted.await {
            Ok(Ok(stream)) => {
                let tls = Some(crate::tls::of(stream.get_ref().1));
                self.http(self.socket(stream), address, tls, ending).await;
            }
            Ok(Err(error)) => tracing::debug!(peer = %address, %error, "no TLS came about"),
            Err(_) => tracing::debug!(peer = %address, "a TLS handshake stalled"),
        }
    }

    fn socket<S>(&self, stream: S) -> Socket<S>
    where
        S: tokio::io::AsyncWrite + Unpin,
    {
        let ListenOptions { stall_timeout, head_timeout, .. } = self.options;
        Socket::new(stream, stall_timeout, head_timeout, self.gateway.clone())
    }

    async fn http<S>(
        &self,
        socket: Socket<S>,
        address: IpAddr,
        tls: Option<api::Tls>,
        mut ending: Ending,
    ) where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let requests = Arc::new(Requests {
            peer: Peer { address, tls },
            stall: self.options.stall_timeout,
            gateway: self.gateway.clone(),
            unseen: socket.unseen(),
            paces: socket.paces(),
            streams: Streams::new(),
        });
        let answering = requests.clone();
        let service = service_fn(move |request| answering.clone().answer(request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), service));
        let idle_limit = self.options.head_timeout;
        let mut idle = pin!(Streams::timer(idle_limit));
        let mut ending = pin!(ending.wait_for(|ends| *ends));
        let mut is_last = false;
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
                let ends = !is_last
                    && (ending.as_mut().poll(cx).is_ready()
                        || requests.streams.are_over(cx, idle.as_mut(), idle_limit));
                if !ends {
                    return Poll::Pending;
                }
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(peer = %requests.peer.address, error, "the connection broke");
        }
    }
}

/// What the requests of one connection have in common.
struct Requests {
    peer: Peer,
    stall: Duration,
    gateway: Arc<Gateway>,
    unseen: Arc<AtomicBool>,
    paces: Arc<Paces>,
    streams: Arc<Streams>,
}

impl Requests {
    async fn answer(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<Response, Infallible> {
        self.unseen.store(false, Relaxed);
        let waits = request.headers().contains_key(EXPECT);
        let closes = request.version() < Version::HTTP_2;
        let open = (!closes).then(|| self.streams.open());
        if closes {
            self.streams.speaks_http1();
        }
        // A PUT that says nothing of a body is no empty object: S3 wants to be told so.
        let untold = closes
            && request.method() == Method::PUT
            && !request.headers().contains_key(CONTENT_LENGTH);
        let is_empty = request.body().is_end_stream() && !untold;
        let unread = (!is_empty).then(Unread::default);
        let request = request.map(|incoming| match &unread {
            None => RequestStream::Empty,
            Some(unread) => RequestStream::Flowing(Box::pin(IncomingStream::new(
                incoming,
                self.stall,
                unread.clone(),
            ))),
        });
        let mut response = self.gateway.handle(self.peer, request).await;
        // hyper sends no 100 where no body follows. botocore keeps the status line that it got
        // in place of one, and puts it before the next answer of the connection as well.
        if waits && is_empty && closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(open) = open {
            self.paces.watch(&mut response, open);
        }
        // A client that waits for 100-continue will not send the body now, and what comes
        // next is another request: nothing of it may be taken for that body.
        if let Some(unread) = unread.filter(|_| closes) {
            let rest = unread.rest(waits, self.stall).await;
            if !matches!(rest, Rest::Over) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if let Rest::Coming(rest) = rest {
                #[allow(clippy::disallowed_methods, reason = "ends with its connection")]
                tokio::spawn(linger(rest, self.stall));
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_evenly() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let workers: Workers = (0..3).map(|_| runtime.handle().clone()).collect();
        let mut taken: Vec<_> = (0..6).map(|_| workers.take().expect("a worker")).collect();
        let places = |taken: &[Taken]| taken.iter().map(|one| one.at).collect::<Vec<_>>();
        assert_eq!(places(&taken), [0, 1, 2, 0, 1, 2]);
        // Two of the second worker's have ended.
        taken.retain(|one| one.at != 1);
        taken.extend((0..3).filter_map(|_| workers.take()));
        assert_eq!(places(&taken[4..]), [1, 1, 0]);
        assert!(Workers::default().take().is_none());
    }
}
