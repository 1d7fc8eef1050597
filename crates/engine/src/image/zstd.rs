//! Archives compressed with zstd: frames one after the other, with some in between to be passed over.

use ruzstd::decoding::StreamingDecoder;
use std::io::{self, BufRead, Read};

/// The first bytes of frames that carry nothing for us: `50` to `5f`, then these.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

pub(super) struct Frames<R: BufRead> {
    /// Between two frames.
    from: Option<R>,
    frame: Option<Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>>,
}

impl<R: BufRead> Frames<R> {
    pub fn new(from: R) -> Frames<R> {
        Frames { from: Some(from), frame: None }
    }

    /// Begins with the next frame; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        let Some(mut from) = self.from.take() else { return Ok(false) };
        loop {
            let head = from.fill_buf()?;
            match head {
                [] => return Ok(false),
                [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE) => {
                    let mut head = [0; 8];
                    from.read_exact(&mut head)?;
                    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
                    let skipped = io::copy(&mut (&mut from).take(length.into()), &mut io::sink())?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                _ => break,
            }
        }
        let decoder = StreamingDecoder::new(from).map_err(io::Error::other)?;
        self.frame = Some(Box::new(decoder));
        Ok(true)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(out)? {
                    0 if !out.is_empty() => {}
                    n => return Ok(n),
                }
            }
            if let Some(frame) = self.frame.take() {
                self.from = Some(frame.into_inner());
            }
            if !self.begin()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of raw blocks, written by hand.
    fn frame(content: &[u8]) -> Vec<u8> {
        let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, content.len() as u8];
        let head = (content.len() as u32) << 3 | 1;
        out.extend_from_slice(&head.to_le_bytes()[..3]);
        out.extend_from_slice(content);
        out
    }

    #[test]
    fn several_frames() {
        let skippable = [0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
        let bytes = [&frame(b"one")[..], &skippable, &frame(b"two")].concat();
        let mut text = String::new();
        Frames::new(io::BufReader::new(&bytes[..])).read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
        for cut in 1..bytes.len() - 1 {
            let mut out = Vec::new();
            let _ = Frames::new(io::BufReader::new(&bytes[..cut])).read_to_end(&mut out);
        }
    }
}
