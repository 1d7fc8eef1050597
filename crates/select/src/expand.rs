//! Compressed objects, expanded a bounded piece at a time, so that a few bytes that stand for many cost
//! no memory.

use crate::{Result, SelectError};
use bzip2::{Decompress, Status};
use flate2::write::MultiGzDecoder;
use std::io::Write;

/// How an object is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
}

/// What is given at once; of gzip, what comes of [`GZIP_BYTES`].
const PIECE_BYTES: usize = 64 * 1024;
/// A byte of gzip stands for up to 1,032.
const GZIP_BYTES: usize = 1024;
/// Both formats begin with three bytes of their own.
const MARK_BYTES: usize = 3;

enum Expander {
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Bzip2(Option<Box<Decompress>>),
}

pub(crate) struct Expand {
    compression: Compression,
    expander: Expander,
    input: Vec<u8>,
    used: usize,
    /// The first bytes of the object.
    first: Vec<u8>,
    /// Whether more may come out of what was put in.
    full: bool,
}

impl Expand {
    pub fn new(compression: Compression) -> Expand {
        let expander = match compression {
            Compression::None => Expander::None,
            Compression::Gzip => Expander::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Compression::Bzip2 => Expander::Bzip2(None),
        };
        Expand { compression, expander, input: Vec::new(), used: 0, first: Vec::new(), full: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(bytes);
        let wanted = MARK_BYTES - self.first.len();
        self.first.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
    }

    /// Whether all that was put in has come out, as far as it can.
    pub fn is_hungry(&self) -> bool {
        self.used == self.input.len() && !self.full
    }

    /// The next piece, into an empty `out`. It may be empty although there is more.
    pub fn step(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let rest = &self.input[self.used..];
        match &mut self.expander {
            Expander::None => {
                let taken = rest.len().min(PIECE_BYTES);
                out.extend_from_slice(&rest[..taken]);
                self.used += taken;
            }
            Expander::Gzip(decoder) => {
                let piece = &rest[..rest.len().min(GZIP_BYTES)];
                let taken = decoder.write(piece);
                std::mem::swap(out, decoder.get_mut());
                match taken {
                    Ok(0) if !piece.is_empty() => return Err(self.failed()),
                    Ok(taken) => self.used += taken,
                    Err(_) => return Err(self.failed()),
                }
            }
            Expander::Bzip2(decoder) => {
                if rest.is_empty() && decoder.is_none() {
                    self.full = false;
                    return Ok(());
                }
                let own = decoder.get_or_insert_with(|| Box::new(Decompress::new(false)));
                out.resize(PIECE_BYTES, 0);
                let (read, written) = (own.total_in(), own.total_out());
                let status = own.decompress(rest, out);
                let (read, written) =
                    ((own.total_in() - read) as usize, (own.total_out() - written) as usize);
                out.truncate(written);
                self.full = written == PIECE_BYTES;
                match status {
                    Ok(Status::StreamEnd) => {
                        *decoder = None;
                        self.full = false;
                    }
                    Ok(_) if read == 0 && written == 0 && !rest.is_empty() => {
                        return Err(self.failed());
                    }
                    Ok(_) => {}
                    Err(_) => return Err(self.failed()),
                }
                self.used += read;
            }
        }
        Ok(())
    }

    /// The object is over: what is compressed must be too. Gives what came out at the very end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.expander {
            Expander::None => Ok(()),
            Expander::Gzip(decoder) => {
                let ended = decoder.try_finish();
                std::mem::swap(out, decoder.get_mut());
                match ended {
                    Ok(()) if !self.first.is_empty() => Ok(()),
                    _ => Err(self.failed()),
                }
            }
            Expander::Bzip2(Some(_)) => Err(self.failed()),
            Expander::Bzip2(None) if self.first.is_empty() => Err(self.failed()),
            Expander::Bzip2(None) => Ok(()),
        }
    }

    /// Without the mark of the format it never was compressed so.
    fn failed(&self) -> SelectError {
        let mark: &[u8; MARK_BYTES] = match self.compression {
            Compression::Bzip2 => b"BZh",
            _ => b"\x1f\x8b\x08",
        };
        if self.first == mark {
            let text = "Object decompression failed. Check that the object is properly compressed using the format specified in the request.";
            return SelectError::new("TruncatedInput", text);
        }
        let name = if self.compression == Compression::Gzip { "GZIP" } else { "BZIP2" };
        SelectError::new(
            "InvalidCompressionFormat",
            format!(
                "{name} is not applicable to the queried object. Please correct the request and try again."
            ),
        )
    }
}
