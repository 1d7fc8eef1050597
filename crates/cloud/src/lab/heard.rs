//! What a run of a lab waits for: lines of its shell and of its cloud, and whoever wants it to end.

use crate::exit::{self, Failure};
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Cloud,
    Shell,
}

enum Said {
    Line(Source, String),
    End(Source),
    /// Ctrl-C, a TERM, or a terminal that was closed.
    Interrupted,
}

/// Why no line came.
pub enum Silence {
    /// Its output has ended.
    Ended,
    Patience,
    Interrupted,
}

pub struct Heard {
    sender: Sender<Said>,
    receiver: Receiver<Said>,
}

fn failed(error: std::io::Error) -> Failure {
    Failure::new(exit::FAILED, format!("no signals: {error}"))
}

#[allow(clippy::disallowed_methods, reason = "it reads or waits, and ends with the process")]
fn aside(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

impl Heard {
    /// From now on signals do not end the process: what it has started ends first.
    pub fn new() -> Result<Heard, Failure> {
        let (sender, receiver) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let entered = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals = Vec::new();
        for kind in kinds {
            signals.push(signal(kind).map_err(failed)?);
        }
        drop(entered);
        let told = sender.clone();
        aside(move || {
            runtime.block_on(async {
                loop {
                    let come = |cx: &mut std::task::Context<'_>| {
                        let come = signals.iter_mut().any(|one| one.poll_recv(cx).is_ready());
                        if come { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                    };
                    std::future::poll_fn(come).await;
                    if told.send(Said::Interrupted).is_err() {
                        return;
                    }
                }
            });
        });
        Ok(Heard { sender, receiver })
    }

    /// Hears what comes from there, too.
    pub fn listen(&self, source: Source, from: impl std::io::Read + Send + 'static) {
        let sender = self.sender.clone();
        aside(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if sender.send(Said::Line(source, text)).is_err() {
                    return;
                }
            }
            let _ = sender.send(Said::End(source));
        });
    }

    /// The next line from there. What others say meanwhile is nobody's concern.
    pub fn line(&self, source: Source, patience: Duration) -> Result<String, Silence> {
        loop {
            match self.receiver.recv_timeout(patience) {
                Ok(Said::Line(from, line)) if from == source => return Ok(line),
                Ok(Said::End(from)) if from == source => return Err(Silence::Ended),
                Ok(Said::Interrupted) => return Err(Silence::Interrupted),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(Silence::Patience),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Ended),
            }
        }
    }
}

pub fn interrupted() -> Failure {
    Failure::new(exit::FAILED, "interrupted; what the lab had started has ended")
}
