//! The answer as it flows: frames of events, made while the object is read.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>

use super::refused;
use crate::content::{Content, ContentStream};
use api::{ByteStream, Error};
use bytes::Bytes;
use gen_s3::*;
use select::{Run, Step};
use smithy::events;
use smithy::model::{Protocol, ServiceModel};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Records of one event. Java's client takes no more than 128 KiB.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// So much of the object, expanded, is gone through before the answer begins, unless there are records earlier:
/// what is wrong up to there is told by the status.
const BEGINNING_BYTES: u64 = 256 * 1024;
/// A client that waits hears after so much of the object that there is more to come.
const SIGN_BYTES: u64 = 8 << 20;

pub struct Answering {
    run: Run,
    /// `None` where there is nothing more to read.
    source: Option<ContentStream>,
    /// Pins the bytes while they flow.
    _content: Option<Content>,
    service: &'static ServiceModel,
    progress: bool,
    frames: VecDeque<Bytes>,
    /// How much of the object had been gone through when the client last heard of it.
    told: u64,
    /// How the query ended.
    over: bool,
}

impl Answering {
    pub fn new(
        run: Run,
        content: Option<Content>,
        size: u64,
        service: &'static ServiceModel,
        progress: bool,
    ) -> Answering {
        let begin = run.begins_at().min(size);
        let source = content.as_ref().map(|content| content.stream(begin..size));
        let frames = VecDeque::new();
        Answering {
            run,
            source,
            _content: content,
            service,
            progress,
            frames,
            told: 0,
            over: false,
        }
    }

    /// Works until there is something to send, or for a while.
    pub async fn begin(&mut self) -> Result<(), Error> {
        loop {
            let step = self.run.step().map_err(refused)?;
            match step {
                Step::Done => return Ok(()),
                _ if self.run.ready() >= EVENT_BYTES_MAX => return Ok(()),
                _ if self.run.stats().processed >= BEGINNING_BYTES => return Ok(()),
                // What expands to nothing goes on for as long as it likes.
                Step::Hungry if self.run.stats().scanned >= SIGN_BYTES => return Ok(()),
                Step::Hungry => poll_fn(|cx| self.poll_source(cx)).await?,
                // So that others have their turn.
                Step::More => {
                    let mut yielded = false;
                    poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
                        true => Poll::Ready(()),
                        false => {
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                    })
                    .await;
                }
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let piece = match &mut self.source {
            Some(source) => ready!(Pin::new(source).poll_next(cx)).transpose()?,
            None => None,
        };
        match piece {
            Some(piece) => self.run.push(&piece),
            None => {
                self.source = None;
                self.run.finish();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn event(&mut self, event: &SelectObjectContentEventStream) -> Result<(), Error> {
        let frame = events::encode_event(Protocol::RestXml, self.service, event);
        let frame = frame.ok_or_else(|| Error::internal("an event without a kind"))?;
        self.frames.push_back(frame.encode().map_err(Error::internal)?.into());
        Ok(())
    }

    /// What was found so far, in events of a bounded size.
    fn records(&mut self) -> Result<(), Error> {
        let mut records = Bytes::from(self.run.take());
        while !records.is_empty() {
            let payload = Some(records.split_to(records.len().min(EVENT_BYTES_MAX)));
            self.event(&SelectObjectContentEventStream::Records(RecordsEvent { payload }))?;
        }
        Ok(())
    }

    fn counted(&self) -> Progress {
        let stats = self.run.stats();
        Progress {
            bytes_scanned: i64::try_from(stats.scanned).ok(),
            bytes_processed: i64::try_from(stats.processed).ok(),
            bytes_returned: i64::try_from(stats.returned).ok(),
        }
    }

    fn tell_progress(&mut self) -> Result<(), Error> {
        let details = Some(self.counted());
        self.event(&SelectObjectContentEventStream::Progress(ProgressEvent { details }))
    }

    /// A step of the query, and the events that follow from it; whether the object is wanted.
    fn step(&mut self) -> Result<bool, Error> {
        let step = match self.run.step() {
            Ok(step) => step,
            Err(error) => {
                self.records()?;
                let frame = events::error_frame(error.code, &error.message);
                self.frames.push_back(frame.encode().map_err(Error::internal)?.into());
                self.over = true;
                return Ok(false);
            }
        };
        if step == Step::Done || self.run.ready() >= EVENT_BYTES_MAX {
            self.records()?;
        }
        let stats = self.run.stats();
        // What is compressed is larger expanded, unless it is nothing then.
        let gone = stats.processed.max(stats.scanned);
        if step == Step::Done {
            if self.progress {
                self.tell_progress()?;
            }
            let Progress { bytes_scanned, bytes_processed, bytes_returned } = self.counted();
            let details = Some(Stats { bytes_scanned, bytes_processed, bytes_returned });
            self.event(&SelectObjectContentEventStream::Stats(StatsEvent { details }))?;
            self.event(&SelectObjectContentEventStream::End(EndEvent::default()))?;
            self.over = true;
        } else if gone - self.told >= SIGN_BYTES {
            self.told = gone;
            match self.progress {
                true => self.tell_progress()?,
                false if self.frames.is_empty() => {
                    let cont = ContinuationEvent::default();
                    self.event(&SelectObjectContentEventStream::Cont(cont))?;
                }
                false => {}
            }
        }
        Ok(step == Step::Hungry)
    }
}

impl ByteStream for Answering {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if self.frames.is_empty() && !self.over {
            match self.step() {
                Ok(true) if self.frames.is_empty() => {
                    if let Err(error) = ready!(self.poll_source(cx)) {
                        self.over = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        // After each step others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
