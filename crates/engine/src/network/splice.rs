//! Connections over IPv6 that the kernel cannot translate: from loopback, and to containers without IPv6.
//!
//! The port is held by the helper like every other; the engine takes its connections beside it and joins each
//! with one to the container. They end with the engine; new ones are taken when it is back.

use super::ports::{Spliced, listen};
use crate::container::Container;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// At a port, at a time; more wait.
const CONNECTIONS: usize = 512;
/// A container that does not answer by then will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for as long as it is held; those that were taken go on.
#[derive(Debug)]
pub(crate) struct Splices(Vec<JoinHandle<()>>);

impl Drop for Splices {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn begin(container: &Arc<Container>, all: Vec<Spliced>) {
    let mut tasks = Vec::new();
    for (at, to) in all {
        let listening = listen(at).and_then(TcpListener::from_std);
        match listening {
            Ok(listener) => {
                #[allow(clippy::disallowed_methods, reason = "ends with what it is held by")]
                tasks.push(tokio::spawn(accept(listener, to)));
            }
            Err(error) => {
                tracing::warn!(%error, %at, container = container.short_id(), "a port is not served");
            }
        }
    }
    container.state().splices = Some(Splices(tasks));
}

async fn accept(listener: TcpListener, to: SocketAddr) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => crate::engine::task(async move {
                join(client, to).await;
                drop(place);
            }),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn join(mut client: TcpStream, to: SocketAddr) {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
    let Ok(Ok(mut inner)) = connected else { return };
    let _ = (client.set_nodelay(true), inner.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut client, &mut inner).await;
}
