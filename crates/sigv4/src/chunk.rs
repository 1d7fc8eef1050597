//! Decodes an `aws-chunked` body as it arrives.
//!
//! The framing: `SIZE[;chunk-signature=HEX]\r\n`, the data, `\r\n`, and so on; a chunk of size 0 ends
//! the data; after it come the trailers, `name:value` lines, if the payload has any, with
//! `x-amz-trailer-signature` last if chunks are signed; then an empty line.
//! Sources: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
//!
//! Nothing is copied or held back but one line. So a chunk's data is handed out before its signature
//! could be checked: **commit nothing before [`ChunkDecoder::finish`] has succeeded.**
//!
//! The lines before data are taken exactly. Trailers are taken more freely, because clients differ
//! (minio-go ends a trailer with `\n\r\n`): lines end at `\n`, and empty ones are skipped.

use crate::Payload;
use crate::chunk_sign::ChunkSigner;
use crate::error::{AuthError, Cause, Mismatch, Place};
use crate::head::{RequestHead, trim};
use crate::key::{Hex, SigningKey, same_signature};
use crate::presented::Presented;

/// The smallest chunk that may be followed by another one with data, in bytes.
const CHUNK_BYTES_MIN: u64 = 8 * 1024;
/// The longest line around chunks, in bytes.
const LINE_BYTES_MAX: usize = 1024;
/// Trailers in one body, and empty lines after them.
const TRAILERS_MAX: usize = 8;

/// Trailers in the order in which they came, names in lower case.
pub type Trailers = Vec<(String, String)>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the line before a chunk.
    Line,
    /// This much data is left of the chunk.
    Data(u64),
    /// In the `\r\n` after the data: what is left of it.
    DataEnd(&'static [u8]),
    /// After the last chunk, before the final `\r\n`: what is left of it.
    End(&'static [u8]),
    /// After the last chunk, where trailers may come.
    Trailers,
    /// An error was reported.
    Failed,
}

/// Takes the body in pieces of any size and gives the data back as slices of them.
#[derive(Debug)]
pub struct ChunkDecoder {
    state: State,
    signer: Option<Box<(ChunkSigner, String)>>,
    has_trailers: bool,
    announced: Vec<String>,
    trailers: Trailers,
    trailer_signature: Option<String>,
    empty_lines: usize,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// The signature that the current chunk's line gave.
    given: Option<Hex>,
    decoded_bytes: u64,
    decoded_bytes_expected: u64,
    chunks: u64,
    last_chunk_bytes: u64,
}

fn error(cause: Cause) -> AuthError {
    AuthError::new(Place::Header, cause)
}

impl ChunkDecoder {
    /// For a request with that payload. `signed`: its verified credentials and the key that verified
    /// them; needed where chunks are signed.
    pub fn new(
        head: &RequestHead<'_>,
        payload: Payload,
        signed: Option<(&Presented<'_>, &SigningKey)>,
    ) -> Result<ChunkDecoder, AuthError> {
        let chunks_signed = matches!(payload, Payload::Streaming | Payload::StreamingTrailer);
        if !payload.is_chunked() {
            return Err(error(Cause::PayloadUnsupported(payload.text().into_owned())));
        }
        let signer = match signed.filter(|_| chunks_signed) {
            Some((presented, key)) => {
                let signer = ChunkSigner::new(key.clone(), presented.time(), presented.signature());
                let signer = signer.ok_or_else(|| error(Cause::PayloadAnonymous))?;
                Some(Box::new((signer, presented.access_key().to_owned())))
            }
            None if chunks_signed => return Err(error(Cause::PayloadAnonymous)),
            None => None,
        };
        let has_trailers = payload != Payload::Streaming;
        Ok(ChunkDecoder {
            state: State::Line,
            signer,
            has_trailers,
            announced: if has_trailers { announced(head).map_err(error)? } else { Vec::new() },
            trailers: Vec::new(),
            trailer_signature: None,
            empty_lines: 0,
            partial: Vec::new(),
            given: None,
            decoded_bytes: 0,
            decoded_bytes_expected: decoded_length(head).map_err(error)?,
            chunks: 0,
            last_chunk_bytes: u64::MAX,
        })
    }

    /// The trailers that `x-amz-trailer` names, in lower case.
    pub fn announced(&self) -> &[String] {
        &self.announced
    }

    /// The length of the data, as `x-amz-decoded-content-length` has it.
    pub fn decoded_bytes_expected(&self) -> u64 {
        self.decoded_bytes_expected
    }

    /// Takes from the front of `input` until there is data; `None` when the input is used up. After
    /// an error the decoder stays failed.
    pub fn next_data<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, AuthError> {
        while !input.is_empty() {
            match self.step(input) {
                Ok(None) => {}
                Ok(data) => return Ok(data),
                Err(cause) => {
                    self.state = State::Failed;
                    return Err(error(cause));
                }
            }
        }
        Ok(None)
    }

    /// To be called at the end of the body: whether it was complete and all of it as signed.
    pub fn finish(self) -> Result<Trailers, AuthError> {
        self.checked_trailers().map_err(error)
    }

    fn checked_trailers(mut self) -> Result<Trailers, Cause> {
        match self.state {
            State::End([]) => return Ok(self.trailers),
            State::Trailers if self.partial.is_empty() => {}
            _ => return Err(Cause::IncompleteBody),
        }
        let found = |name: &String| self.trailers.iter().any(|(n, _)| n == name);
        if !self.announced.iter().all(found) {
            return Err(Cause::Trailer);
        }
        let Some(signer) = self.signer.take() else {
            let ended = self.empty_lines > 0;
            return if ended { Ok(self.trailers) } else { Err(Cause::IncompleteBody) };
        };
        let (mut signer, access_key) = *signer;
        let given = self.trailer_signature.ok_or(Cause::Trailer)?;
        let canonical: String = self.trailers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let (computed, text) = signer.sign_trailers(canonical.as_bytes());
        if same_signature(&computed, &given) {
            Ok(self.trailers)
        } else {
            Err(mismatch(access_key, given, text()))
        }
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Cause> {
        match self.state {
            State::Line => {
                self.take_line(input, ChunkDecoder::chunk_line)?;
            }
            State::Trailers => {
                self.take_line(input, ChunkDecoder::trailer_line)?;
            }
            State::Data(left) => {
                let length = usize::try_from(left).map_or(input.len(), |l| l.min(input.len()));
                let (data, rest) = input.split_at(length);
                *input = rest;
                if let Some(signer) = &mut self.signer {
                    signer.0.update(data);
                }
                let left = left - length as u64;
                self.state = State::Data(left);
                if left == 0 {
                    self.check_chunk_signature()?;
                    self.state = State::DataEnd(b"\r\n");
                }
                return Ok(Some(data));
            }
            State::DataEnd(expected) => {
                self.state = match skip(input, expected)? {
                    [] => State::Line,
                    rest => State::DataEnd(rest),
                };
            }
            State::End(expected) => self.state = State::End(skip(input, expected)?),
            State::Failed => return Err(Cause::IncompleteBody),
        }
        Ok(None)
    }

    /// Hands the next line, without its `\n`, to `read` once it is whole.
    fn take_line(
        &mut self,
        input: &mut &[u8],
        read: fn(&mut ChunkDecoder, &[u8]) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let end = input.iter().take(LINE_BYTES_MAX + 1).position(|b| *b == b'\n');
        let piece = &input[..end.unwrap_or(input.len())];
        if self.partial.len() + piece.len() > LINE_BYTES_MAX {
            return Err(Cause::IncompleteBody);
        }
        match end {
            None => {
                self.partial.extend_from_slice(piece);
                *input = &[];
                Ok(())
            }
            Some(end) => {
                *input = &input[end + 1..];
                if self.partial.is_empty() {
                    return read(self, piece);
                }
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(piece);
                read(self, &line)
            }
        }
    }

    fn chunk_line(&mut self, line: &[u8]) -> Result<(), Cause> {
        let line = line.strip_suffix(b"\r").ok_or(Cause::IncompleteBody)?;
        let line = std::str::from_utf8(line).map_err(|_| Cause::IncompleteBody)?;
        let (size, extension) = match line.split_once(';') {
            Some((size, extension)) => (size, Some(extension)),
            None => (line, None),
        };
        if size.len() > 16 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Cause::IncompleteBody);
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| Cause::IncompleteBody)?;
        let signature = extension.and_then(|e| e.trim_ascii().strip_prefix("chunk-signature="));
        self.given = match (&self.signer, extension, signature) {
            (None, None, _) => None,
            (Some(_), _, Some(hex)) => {
                Some(hex.as_bytes().try_into().map_err(|_| Cause::IncompleteBody)?)
            }
            _ => return Err(Cause::IncompleteBody),
        };
        self.begin_chunk(size)
    }

    fn begin_chunk(&mut self, size: u64) -> Result<(), Cause> {
        self.chunks += 1;
        if size > 0 && self.last_chunk_bytes < CHUNK_BYTES_MIN {
            let (chunk, size) = (self.chunks - 1, self.last_chunk_bytes);
            return Err(Cause::ChunkSize { chunk, size });
        }
        self.last_chunk_bytes = size;
        let (expected, provided) =
            (self.decoded_bytes_expected, self.decoded_bytes.saturating_add(size));
        if provided > expected || (size == 0 && provided < expected) {
            return Err(Cause::DecodedLength { expected, provided });
        }
        self.decoded_bytes = provided;
        self.state = State::Data(size);
        if size == 0 {
            self.check_chunk_signature()?;
            self.state = if self.has_trailers { State::Trailers } else { State::End(b"\r\n") };
        }
        Ok(())
    }

    fn check_chunk_signature(&mut self) -> Result<(), Cause> {
        let (Some(signer), Some(given)) = (&mut self.signer, self.given.take()) else {
            return Ok(());
        };
        let given = String::from_utf8_lossy(&given);
        let (computed, text) = signer.0.finish_chunk();
        if same_signature(&computed, &given) {
            Ok(())
        } else {
            Err(mismatch(signer.1.clone(), given.into_owned(), text()))
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Cause> {
        let line = trim(line);
        if line.is_empty() {
            self.empty_lines += 1;
            return if self.empty_lines > TRAILERS_MAX { Err(Cause::Trailer) } else { Ok(()) };
        }
        let line = std::str::from_utf8(line).map_err(|_| Cause::Trailer)?;
        let (name, value) = line.split_once(':').ok_or(Cause::Trailer)?;
        let (name, value) = (name.trim_ascii().to_ascii_lowercase(), value.trim_ascii());
        if self.trailer_signature.is_some() || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(Cause::Trailer);
        }
        if self.signer.is_some() && name == "x-amz-trailer-signature" {
            self.trailer_signature = Some(value.to_owned());
            return Ok(());
        }
        let repeated = self.trailers.iter().any(|(n, _)| *n == name);
        if repeated || !self.announced.contains(&name) {
            return Err(Cause::Trailer);
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }
}

fn mismatch(access_key: String, signature: String, string_to_sign: String) -> Cause {
    let canonical_request = Vec::new();
    Cause::Mismatch(Box::new(Mismatch { access_key, signature, string_to_sign, canonical_request }))
}

/// Takes what `expected` says from the front of `input`; returns what is still to come.
fn skip(input: &mut &[u8], expected: &'static [u8]) -> Result<&'static [u8], Cause> {
    let length = input.len().min(expected.len());
    if length == 0 || input[..length] != expected[..length] {
        return Err(Cause::IncompleteBody);
    }
    *input = &input[length..];
    Ok(&expected[length..])
}

/// The trailers that `x-amz-trailer` names: S3 knows only checksums.
fn announced(head: &RequestHead<'_>) -> Result<Vec<String>, Cause> {
    let mut names = Vec::new();
    for (_, value) in head.headers.iter().filter(|(n, _)| *n == "x-amz-trailer") {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        for name in value.split(',').map(str::trim_ascii).filter(|n| !n.is_empty()) {
            if !name.starts_with("x-amz-checksum-") || names.len() == TRAILERS_MAX {
                return Err(Cause::TrailerName(value));
            }
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}

fn decoded_length(head: &RequestHead<'_>) -> Result<u64, Cause> {
    let value = head.single("x-amz-decoded-content-length").ok().flatten().map(trim);
    let text = value.and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default();
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Cause::DecodedLengthMissing);
    }
    text.parse().map_err(|_| Cause::DecodedLengthMissing)
}
