//! Reading a tar as a stream.

use super::{BLOCK, EXTENDED_BYTES_MAX, Entry, Kind, PATH_BYTES_MAX, TarError, Time};
use std::collections::BTreeMap;
use std::io::{self, Read};

#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    /// Of the entry's content, not read yet.
    left: u64,
    /// After the content, up to a whole block.
    padding: u64,
    global: Extended,
}

/// What an extended header says in place of the plain one.
#[derive(Clone, Default, Debug)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Time>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<R: Read> Reader<R> {
    pub fn new(from: R) -> Reader<R> {
        Reader { from, left: 0, padding: 0, global: Extended::default() }
    }

    pub fn into_inner(self) -> R {
        self.from
    }

    /// After an entry was given, this stands at its content.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.from
    }

    /// The content of the entry that was given last.
    pub fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// The next entry, or `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = self.global.clone();
        loop {
            let rest = self.left + self.padding;
            (self.left, self.padding) = (0, 0);
            skip(&mut self.from, rest)?;
            let mut header = [0; BLOCK];
            if !read_block(&mut self.from, &mut header)? || header == [0; BLOCK] {
                return Ok(None);
            }
            check_sum(&header)?;
            let size = number(&header[124..136])?;
            match header[156] {
                b'x' => {
                    let text = self.extended_header(size)?;
                    parse_pax(&text, &mut extended)?;
                }
                b'g' => {
                    let text = self.extended_header(size)?;
                    parse_pax(&text, &mut self.global)?;
                    parse_pax(&text, &mut extended)?;
                }
                b'L' => extended.path = Some(until_zero(&self.extended_header(size)?).to_vec()),
                b'K' => extended.link = Some(until_zero(&self.extended_header(size)?).to_vec()),
                flag => return self.entry(&header, flag, size, extended).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        flag: u8,
        size: u64,
        extended: Extended,
    ) -> Result<Entry, TarError> {
        let path = extended.path.unwrap_or_else(|| plain_path(header));
        if path.is_empty() || path.len() > PATH_BYTES_MAX || path.contains(&0) {
            return Err(TarError::Malformed("path"));
        }
        let kind = match flag {
            // Ancient archives mark folders by a slash at the end.
            0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            b'S' => return Err(TarError::Unsupported("a sparse file")),
            _ => return Err(TarError::Unsupported("an unknown kind of entry")),
        };
        let link = extended.link.unwrap_or_else(|| until_zero(&header[157..257]).to_vec());
        if link.len() > PATH_BYTES_MAX || link.contains(&0) {
            return Err(TarError::Malformed("link"));
        }
        // Only files have a content; some writers give links the size of what they lead to.
        let size = match kind {
            Kind::File => extended.size.unwrap_or(size),
            _ => 0,
        };
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let id = |field: &[u8]| number(field).map(|n| u32::try_from(n).unwrap_or(0));
        let mtime = number(&header[136..148]).unwrap_or(0);
        Ok(Entry {
            path,
            kind,
            mode: number(&header[100..108])? as u32 & 0o7777,
            uid: extended.uid.map_or_else(|| id(&header[108..116]), Ok)?,
            gid: extended.gid.map_or_else(|| id(&header[116..124]), Ok)?,
            size,
            mtime: extended.mtime.unwrap_or(Time { seconds: mtime as i64, nanoseconds: 0 }),
            link,
            device: (
                number(&header[329..337]).unwrap_or(0) as u32,
                number(&header[337..345]).unwrap_or(0) as u32,
            ),
            xattrs: extended.xattrs,
        })
    }

    fn extended_header(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENDED_BYTES_MAX {
            return Err(TarError::Malformed("an extended header is too long"));
        }
        let mut text = vec![0; size as usize];
        self.from.read_exact(&mut text)?;
        skip(&mut self.from, size.next_multiple_of(BLOCK as u64) - size)?;
        Ok(text)
    }
}

struct Content<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.0.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.0.from.read(&mut out[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= read as u64;
        Ok(read)
    }
}

fn skip(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut from.take(bytes), &mut io::sink())? {
        skipped if skipped == bytes => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// `false` at the end of the stream.
fn read_block(from: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK {
        match from.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn check_sum(header: &[u8; BLOCK]) -> Result<(), TarError> {
    let sum = header.iter().enumerate().map(|(at, byte)| match at {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    match number(&header[148..156])? == sum.sum::<u64>() {
        true => Ok(()),
        false => Err(TarError::Malformed("checksum")),
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or with the highest bit set a number of 256 as base.
fn number(field: &[u8]) -> Result<u64, TarError> {
    if field[0] & 0x80 != 0 {
        // Negative ones, as times before 1970, are taken as 0.
        if field[0] & 0x40 != 0 {
            return Ok(0);
        }
        let mut value = u64::from(field[0] & 0x3f);
        for byte in &field[1..] {
            value = value
                .checked_mul(256)
                .map(|value| value | u64::from(*byte))
                .ok_or(TarError::Malformed("number"))?;
        }
        return Ok(value);
    }
    let text = until_zero(field);
    let text = text.trim_ascii();
    let mut value = 0u64;
    for digit in text {
        if !(b'0'..=b'7').contains(digit) {
            return Err(TarError::Malformed("number"));
        }
        value = value
            .checked_mul(8)
            .map(|value| value + u64::from(digit - b'0'))
            .ok_or(TarError::Malformed("number"))?;
    }
    Ok(value)
}

fn plain_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_zero(&header[..100]);
    let prefix = until_zero(&header[345..500]);
    // GNU archives keep other things where ustar has the prefix.
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Records of `length key=value\n`.
fn parse_pax(mut text: &[u8], to: &mut Extended) -> Result<(), TarError> {
    let malformed = || TarError::Malformed("pax record");
    while !until_zero(text).is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let digits = std::str::from_utf8(&text[..space]).map_err(|_| malformed())?;
        let length: usize = digits.parse().map_err(|_| malformed())?;
        if length <= space + 1 || length > text.len() || text[length - 1] != b'\n' {
            return Err(malformed());
        }
        let record = &text[space + 1..length - 1];
        text = &text[length..];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let text = || std::str::from_utf8(value).map_err(|_| malformed());
        match key {
            b"path" => to.path = Some(value.to_vec()),
            b"linkpath" => to.link = Some(value.to_vec()),
            b"size" => to.size = Some(text()?.parse().map_err(|_| malformed())?),
            b"uid" => to.uid = text()?.parse().ok(),
            b"gid" => to.gid = text()?.parse().ok(),
            b"mtime" => to.mtime = Some(pax_time(text()?).ok_or_else(malformed)?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(TarError::Unsupported("a sparse file"));
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    to.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
    }
    Ok(())
}

fn pax_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let fraction = &fraction[..fraction.len().min(9)];
    let nanoseconds: u32 = match fraction {
        "" => 0,
        fraction if fraction.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{fraction:0<9}").parse().ok()?
        }
        _ => return None,
    };
    match (whole.starts_with('-'), nanoseconds) {
        (true, 1..) => Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        }),
        _ => Some(Time { seconds, nanoseconds }),
    }
}
