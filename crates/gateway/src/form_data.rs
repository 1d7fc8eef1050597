//! `multipart/form-data` as browsers send it to a bucket: small fields first, then one file that may
//! be of any size and is never held.
//! Source: RFC 7578, RFC 2046 section 5.1.

use crate::payload::RequestStream;
use api::{ByteStream, Error};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// All that precedes the file, in bytes, as S3 has it.
pub(crate) const BEFORE_FILE_BYTES_MAX: usize = 20_480;
const FIELDS_MAX: usize = 200;
/// What may follow the file: other fields, which are not looked at.
const AFTER_FILE_BYTES_MAX: usize = 64 * 1024;

/// A form up to the first byte of its file.
pub(crate) struct FormStart {
    /// In order; names as sent.
    pub fields: Vec<(String, String)>,
    /// The last part of the name that the browser gave.
    pub file_name: String,
    pub file: FileStream,
}

/// The content of the file part.
pub(crate) struct FileStream {
    raw: RequestStream,
    /// Received and not yet given out.
    held: BytesMut,
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Content,
    /// After the delimiter: the rest is read and thrown away.
    Rest(usize),
    Done,
}

fn malformed(why: &str) -> Error {
    let text = "The body of your POST request is not well-formed multipart/form-data.";
    Error::with_code("MalformedPOSTRequest", 400, text).detail("Reason", why)
}

fn too_much() -> Error {
    let text = "Your POST request fields preceding the upload file were too large.";
    Error::with_code("MaxPostPreDataLengthExceededError", 400, text)
}

/// The boundary of a content type.
pub(crate) fn boundary(content_type: &str) -> Result<String, Error> {
    let mut found = None;
    for parameter in content_type.split(';').skip(1) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("boundary") {
            found = Some(value.trim().trim_matches('"'));
        }
    }
    let ok = |text: &&str| {
        (1..=70).contains(&text.len()) && text.bytes().all(|b| (b' '..0x7f).contains(&b))
    };
    found.filter(ok).map(str::to_owned).ok_or_else(|| malformed("the boundary is missing"))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|b| *b == first) {
        let at = from + at;
        if haystack.len() - at < needle.len() {
            return None;
        }
        if &haystack[at..at + needle.len()] == needle {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// A form while its fields are read.
struct Reader {
    raw: RequestStream,
    held: BytesMut,
    read_bytes: usize,
}

impl Reader {
    async fn more(&mut self) -> Result<(), Error> {
        match poll_fn(|cx| self.raw.poll(cx)).await.transpose()? {
            Some(bytes) => {
                self.held.extend_from_slice(&bytes);
                Ok(())
            }
            None => Err(malformed("the body ends too early")),
        }
    }

    /// All up to these bytes, which are passed over.
    async fn until(&mut self, wanted: &[u8]) -> Result<BytesMut, Error> {
        loop {
            if let Some(at) = find(&self.held, wanted) {
                let end = at + wanted.len();
                self.read_bytes += end;
                let mut piece = self.held.split_to(end);
                piece.truncate(at);
                return Ok(piece);
            }
            if self.read_bytes + self.held.len() > BEFORE_FILE_BYTES_MAX + wanted.len() {
                return Err(too_much());
            }
            self.more().await?;
        }
    }
}

/// What a part's header says of it.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: String,
    file_name: Option<String>,
}

fn part(head: &[u8]) -> Result<Part, Error> {
    let head = std::str::from_utf8(head).map_err(|_| malformed("a part's header is not UTF-8"))?;
    for line in head.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        if !name.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let name = parameter(value, "name").ok_or_else(|| malformed("a part has no name"))?;
        return Ok(Part { name, file_name: parameter(value, "filename") });
    }
    Err(malformed("a part has no Content-Disposition"))
}

/// The value of `name="..."`; browsers write a quote within it as `%22` or `\"`.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once(';')?;
        let after = after.trim_start();
        let (name, value) = after.split_once('=')?;
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

/// Up to the closing quote, and what follows it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                out.extend(chars.next().map(|(_, c)| c));
            }
            c => out.push(c),
        }
    }
    None
}

/// Reads a form up to its file.
pub(crate) async fn read(raw: RequestStream, boundary: &str) -> Result<FormStart, Error> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first one may stand at the very beginning.
    let held = BytesMut::from(&b"\r\n"[..]);
    let mut reader = Reader { raw, held, read_bytes: 0 };
    let mut fields = Vec::new();
    reader.until(&delimiter).await?;
    loop {
        while reader.held.len() < 2 {
            reader.more().await?;
        }
        if reader.held.starts_with(b"--") {
            let text = "POST requires exactly one file upload per request.";
            return Err(Error::with_code("InvalidArgument", 400, text)
                .detail("ArgumentName", "file")
                .detail("ArgumentValue", "0"));
        }
        // The rest of the delimiter's line counts as the start of the header.
        let head = reader.until(b"\r\n\r\n").await?;
        let Part { name, file_name } = part(&head)?;
        if name.eq_ignore_ascii_case("file") {
            let file_name = file_name.unwrap_or_default();
            let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or("").to_owned();
            let Reader { raw, held, .. } = reader;
            let file = FileStream { raw, held, delimiter, state: State::Content };
            return Ok(FormStart { fields, file_name, file });
        }
        let value = reader.until(&delimiter).await?;
        if fields.len() >= FIELDS_MAX {
            return Err(too_much());
        }
        let value =
            String::from_utf8(value.to_vec()).map_err(|_| malformed("a field is not UTF-8"))?;
        fields.push((name, value));
    }
}

impl FileStream {
    /// The next piece of content that is held, keeping back what could be a delimiter's beginning.
    fn take(&mut self) -> Option<Bytes> {
        if let Some(at) = find(&self.held, &self.delimiter) {
            let content = self.held.split_to(at).freeze();
            self.held.clear();
            self.state = State::Rest(0);
            return Some(content);
        }
        let keep = self.delimiter.len() - 1;
        let free = self.held.len().saturating_sub(keep);
        (free > 0).then(|| self.held.split_to(free).freeze())
    }
}

impl ByteStream for FileStream {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let own = &mut *self;
        loop {
            match own.state {
                State::Done => return Poll::Ready(None),
                State::Content => match own.take() {
                    Some(content) if content.is_empty() => continue,
                    Some(content) => return Poll::Ready(Some(Ok(content))),
                    None => {}
                },
                State::Rest(_) => {}
            }
            match std::task::ready!(own.raw.poll(cx)) {
                Some(Ok(bytes)) => match own.state {
                    State::Rest(read) if read + bytes.len() > AFTER_FILE_BYTES_MAX => {
                        own.state = State::Done;
                        return Poll::Ready(Some(Err(malformed("too much follows the file"))));
                    }
                    State::Rest(read) => own.state = State::Rest(read + bytes.len()),
                    _ => own.held.extend_from_slice(&bytes),
                },
                Some(Err(error)) => {
                    own.state = State::Done;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let ended = matches!(own.state, State::Rest(_));
                    own.state = State::Done;
                    let error = malformed("the body ends too early");
                    return Poll::Ready((!ended).then_some(Err(error)));
                }
            }
        }
    }
}

/// For the fuzzer: any body in pieces of any size.
pub fn fuzz(data: &[u8]) {
    let [size, body @ ..] = data else { return };
    let pieces: Vec<Bytes> =
        body.chunks(usize::from(*size).max(1)).map(Bytes::copy_from_slice).collect();
    let _ = read_all(pieces);
}

/// Fields, file name and content of a whole form.
type Whole = (Vec<(String, String)>, String, Vec<u8>);

fn read_all(pieces: Vec<Bytes>) -> Result<Whole, Error> {
    struct Pieces(std::vec::IntoIter<Bytes>);
    impl ByteStream for Pieces {
        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Error>>> {
            Poll::Ready(self.0.by_ref().find(|piece| !piece.is_empty()).map(Ok))
        }
    }
    let raw = RequestStream::Flowing(Box::pin(Pieces(pieces.into_iter())));
    store::blobs::block_on(async {
        let FormStart { fields, file_name, mut file } = read(raw, "xYz").await?;
        let mut content = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut file).poll_next(cx)).await {
            content.extend_from_slice(&piece?);
        }
        Ok((fields, file_name, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--xYz\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nphotos/a\r\n\
        --xYz\r\ncontent-disposition: form-data; name=acl\r\nContent-Type: text/plain\r\n\r\n\r\n\
        --xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\\\x\\\\a \\\"b.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nhello\r\n--xY\r\n--xYz--\r\n";

    fn in_pieces(text: &str, size: usize) -> Result<Whole, Error> {
        read_all(text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect())
    }

    #[test]
    fn a_form_in_pieces_of_any_size() {
        for size in 1..=FORM.len() {
            let (fields, file_name, content) = in_pieces(FORM, size).unwrap();
            let expected = [("key", "photos/a"), ("acl", "")];
            assert_eq!(fields, expected.map(|(n, v)| (n.to_owned(), v.to_owned())), "{size}");
            assert_eq!(file_name, "a \"b.txt");
            assert_eq!(content, b"hello\r\n--xY", "{size}");
        }
    }

    #[test]
    fn whatever_is_cut_off_is_refused() {
        let end = FORM.len() - "--\r\n".len();
        for cut in 0..end {
            for size in [1, 7, 4096] {
                assert!(in_pieces(&FORM[..cut], size).is_err(), "{cut} {size}");
            }
        }
    }

    #[test]
    fn broken_forms() {
        let check = |text: &str, code: &str| {
            assert_eq!(in_pieces(text, 50).expect_err(text).code(), code, "{text}");
        };
        check("", "MalformedPOSTRequest");
        check("--xYz--", "InvalidArgument");
        check("--xYz\r\n\r\n\r\n", "MalformedPOSTRequest");
        check(
            "--xYz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xYz--",
            "MalformedPOSTRequest",
        );
        let big = format!(
            "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n{}",
            "x".repeat(30_000)
        );
        check(&big, "MaxPostPreDataLengthExceededError");
        let preamble = "x".repeat(100_000);
        check(&preamble, "MaxPostPreDataLengthExceededError");
        let tail = format!("{FORM}{}", "x".repeat(100_000));
        check(&tail, "MalformedPOSTRequest");
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary("multipart/form-data; boundary=a").unwrap(), "a");
        assert_eq!(boundary("multipart/form-data; charset=x; Boundary=\"a b\"").unwrap(), "a b");
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for bad in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert!(boundary(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_second_of_noise() {
        use base::Entropy;
        let chance = base::SeededEntropy::new(11);
        for _ in 0..5_000 {
            let mut bytes = FORM.as_bytes().to_vec();
            for _ in 0..=chance.below(6) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] = b"\r\n-xYz\";=\0\xff"[chance.below(11) as usize];
            }
            bytes.insert(0, chance.below(40) as u8);
            fuzz(&bytes);
        }
    }
}
