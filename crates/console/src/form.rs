//! Forms as browsers send them: fields, and fields followed by files of any size.

use crate::call::Refusal;
use api::{ByteStream, RequestBody};
use base::percent;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Of a form without a file: an item of 400 KB, encoded.
const FORM_BYTES_MAX: usize = 2 << 20;
/// Of what stands before a file.
const BEFORE_FILE_BYTES_MAX: usize = 20_000;
const FIELDS_MAX: usize = 64;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn parse(bytes: &[u8]) -> Form {
        let text = String::from_utf8_lossy(bytes);
        let decoded =
            |text: &str| String::from_utf8_lossy(&percent::decode_form(text)).into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX);
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Form(pairs.collect())
    }

    pub async fn read(mut body: RequestBody) -> Result<Form, Refusal> {
        let mut all = BytesMut::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece.map_err(broken)?);
            if all.len() > FORM_BYTES_MAX {
                return Err(Refusal::new(413, "TooLong", "The form is too long."));
            }
        }
        Ok(Form::parse(&all))
    }

    /// The field's value; empty if there is none. Lines end as they do elsewhere.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

fn broken(error: api::Error) -> Refusal {
    Refusal::new(error.status(), error.code(), error.message().to_owned())
}

fn malformed() -> Refusal {
    Refusal::new(400, "MalformedForm", "The form could not be read.")
}

/// A form with files, as far as the first byte of one of them.
#[derive(Debug)]
pub struct Upload {
    pub fields: Form,
    pub boundary: String,
    pub file_name: String,
    pub content_type: String,
    rest: Arc<Mutex<Reader>>,
}

/// The bytes of the file that an upload has come to, and the end of a form after them.
pub struct File {
    delimiter: Vec<u8>,
    rest: Arc<Mutex<Reader>>,
}

fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = rest.trim().strip_prefix("boundary=")?.trim_matches('"');
    let ok = (1..=70).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_'()+,./:=?".contains(&b));
    ok.then(|| value.to_owned())
}

fn find(held: &[u8], wanted: &[u8]) -> Option<usize> {
    held.windows(wanted.len()).position(|window| window == wanted)
}

/// `name="value"` in a part's header.
fn parameter(head: &str, name: &str) -> Option<String> {
    let start = format!("; {name}=\"");
    let at = head.find(&start)? + start.len();
    let value = &head[at..at + head[at..].find('"')?];
    // Browsers write what would end the text or the line like this.
    Some(value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

/// A form while it is read.
#[derive(Debug)]
struct Reader {
    held: BytesMut,
    body: RequestBody,
    /// Whether what comes is after a file: its delimiter was passed over.
    after_file: bool,
}

impl Reader {
    async fn more(&mut self) -> Result<(), Refusal> {
        let piece = self.body.next().await.ok_or_else(malformed)?.map_err(broken)?;
        self.held.extend_from_slice(&piece);
        Ok(())
    }

    /// Takes all up to these bytes, reading on until they have come, and passes over them.
    async fn until(&mut self, wanted: &[u8]) -> Result<BytesMut, Refusal> {
        loop {
            // What one piece brought may hold much of the file, so it is searched only so far.
            let searched = self.held.len().min(BEFORE_FILE_BYTES_MAX + wanted.len());
            if let Some(at) = find(&self.held[..searched], wanted) {
                let found = self.held.split_to(at);
                let _ = self.held.split_to(wanted.len());
                return Ok(found);
            }
            if self.held.len() > BEFORE_FILE_BYTES_MAX {
                return Err(malformed());
            }
            self.more().await?;
        }
    }
}

impl Reader {
    /// More of the file; `None` at its end.
    fn poll_file(
        &mut self,
        delimiter: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, api::Error>>> {
        loop {
            if let Some(at) = find_quickly(&self.held, delimiter) {
                if at > 0 {
                    return Poll::Ready(Some(Ok(self.held.split_to(at).freeze())));
                }
                let _ = self.held.split_to(delimiter.len());
                self.after_file = true;
                return Poll::Ready(None);
            }
            // The rest may be the beginning of the delimiter.
            let sure = (self.held.len() + 1).saturating_sub(delimiter.len());
            if sure > 0 {
                return Poll::Ready(Some(Ok(self.held.split_to(sure).freeze())));
            }
            match std::task::ready!(self.body.poll_next(cx)) {
                Some(Ok(piece)) => self.held.extend_from_slice(&piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let text = "The form ends in the middle of a file.";
                    let error = api::Error::with_code("MalformedForm", 400, text);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// The delimiter begins with a byte that is rare in files.
fn find_quickly(held: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = held[from..].iter().position(|byte| *byte == delimiter[0]) {
        if held[from + at..].starts_with(delimiter) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

impl ByteStream for File {
    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, api::Error>>> {
        let mut reader = self.rest.lock();
        if reader.after_file {
            return Poll::Ready(None);
        }
        match std::task::ready!(reader.poll_file(&self.delimiter, cx)) {
            None => {
                let end = [&self.delimiter[..], b"--\r\n"].concat();
                Poll::Ready(Some(Ok(end.into())))
            }
            more => Poll::Ready(more),
        }
    }
}

fn text(bytes: BytesMut) -> Result<String, Refusal> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed())
}

impl Upload {
    pub async fn read(content_type: &str, body: RequestBody) -> Result<Upload, Refusal> {
        let boundary = boundary(content_type).ok_or_else(malformed)?;
        let delimiter = format!("\r\n--{boundary}\r\n").into_bytes();
        let held = BytesMut::from(&b"\r\n"[..]);
        let mut reader = Reader { held, body, after_file: false };
        let mut fields = Form::default();
        let mut before = 0;
        if !reader.until(&delimiter).await?.is_empty() {
            return Err(malformed());
        }
        loop {
            let head = text(reader.until(b"\r\n\r\n").await?)?;
            let name = parameter(&head, "name").ok_or_else(malformed)?;
            if let Some((file_name, content_type)) = file_of(&head) {
                let rest = Arc::new(Mutex::new(reader));
                return Ok(Upload { fields, boundary, file_name, content_type, rest });
            }
            let value = text(reader.until(&delimiter).await?)?;
            before += head.len() + value.len();
            if before > BEFORE_FILE_BYTES_MAX || fields.0.len() >= FIELDS_MAX {
                return Err(malformed());
            }
            fields.0.push((name, value));
        }
    }

    /// The file, to be read to its end before `next` is asked.
    pub fn file(&self) -> File {
        let delimiter = format!("\r\n--{}", self.boundary).into_bytes();
        File { delimiter, rest: self.rest.clone() }
    }

    /// Goes on to the next file, if there is one.
    pub async fn next(self) -> Result<Option<Upload>, Refusal> {
        let Upload { fields, boundary, rest, .. } = self;
        // Whoever read the file may still hold it.
        let mut reader = {
            let mut shared = rest.lock();
            if !shared.after_file {
                return Err(malformed());
            }
            let nothing = RequestBody::from_bytes(Bytes::new());
            let body = std::mem::replace(&mut shared.body, nothing);
            Reader { held: std::mem::take(&mut shared.held), body, after_file: false }
        };
        while reader.held.len() < 2 {
            reader.more().await?;
        }
        match &reader.held[..2] {
            b"--" => return Ok(None),
            b"\r\n" => {}
            _ => return Err(malformed()),
        }
        let head = text(reader.until(b"\r\n\r\n").await?)?;
        // Fields that come after a file are none of ours.
        let (file_name, content_type) = file_of(&head).ok_or_else(malformed)?;
        let rest = Arc::new(Mutex::new(reader));
        Ok(Some(Upload { fields, boundary, file_name, content_type, rest }))
    }
}

/// The name and the type of the file that a part's header tells of.
fn file_of(head: &str) -> Option<(String, String)> {
    let file_name = parameter(head, "filename")?;
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
    });
    let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    Some((file_name, content_type.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn upload(content_type: &str, body: &[u8]) -> Result<Upload, Refusal> {
        now(Upload::read(content_type, RequestBody::from_bytes(body.to_vec().into())))
    }

    const BODY: &[u8] = b"--X\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n1\r\n--X\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"C:\\a%22b.png\"\r\n\
        Content-Type: image/png\r\n\r\nDATA\r\n--X--\r\n";

    #[test]
    fn fields() {
        let form = Form::parse(b"a=1+2&b=%3Cx%3E&c&a=3");
        assert_eq!(
            (form.get("a"), form.get("b"), form.get("c"), form.get("d")),
            ("1 2", "<x>", "", "")
        );
    }

    #[test]
    fn a_file() {
        let found = upload("multipart/form-data; boundary=X", BODY).unwrap();
        assert_eq!(found.fields.get("csrf"), "1");
        assert_eq!((&*found.file_name, &*found.content_type), ("a\"b.png", "image/png"));
        assert_eq!(read(&found).unwrap(), b"DATA\r\n--X--\r\n");
        assert!(now(found.next()).unwrap().is_none());
    }

    fn read(upload: &Upload) -> Result<Vec<u8>, api::Error> {
        let (mut file, mut all) = (upload.file(), Vec::new());
        while let Some(piece) = now(std::future::poll_fn(|cx| Pin::new(&mut file).poll_next(cx))) {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// A body in pieces of so many bytes.
    struct Pieces(Bytes, usize);

    impl ByteStream for Pieces {
        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, api::Error>>> {
            let size = self.1.min(self.0.len());
            Poll::Ready((size > 0).then(|| Ok(self.0.split_to(size))))
        }
    }

    #[test]
    fn files() {
        let part = |name: &str, content: &str| {
            format!(
                "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
            )
        };
        let contents = ["one", "", "\r\n--", "\r\r\n--\r\n--x", "last"];
        let mut body: String = contents.iter().map(|content| part("f", content)).collect();
        body.push_str("--X--\r\n");
        for size in 1..body.len() {
            let pieces = Box::pin(Pieces(body.clone().into(), size));
            let body = RequestBody::new(None, pieces);
            let mut at = Some(now(Upload::read("multipart/form-data; boundary=X", body)).unwrap());
            let mut seen = Vec::new();
            while let Some(upload) = at {
                let whole = String::from_utf8(read(&upload).unwrap()).unwrap();
                seen.push(whole.strip_suffix("\r\n--X--\r\n").unwrap().to_owned());
                at = now(upload.next()).unwrap();
            }
            assert_eq!(seen, contents, "in pieces of {size}");
        }
        // One that was not read to its end, and one that has none.
        let open = upload("multipart/form-data; boundary=X", part("f", "x").as_bytes()).unwrap();
        assert!(read(&open).is_err());
        assert!(now(open.next()).is_err());
    }

    #[test]
    fn forms_that_are_none() {
        for content_type in
            ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=\r\n"]
        {
            assert!(upload(content_type, BODY).is_err(), "{content_type}");
        }
        for end in 0..BODY.len() - 14 {
            assert!(upload("multipart/form-data; boundary=X", &BODY[..end]).is_err(), "{end}");
        }
        let long = [&BODY[..56], &[b'x'; 30_000]].concat();
        assert!(upload("multipart/form-data; boundary=X", &long).is_err());
    }

    #[test]
    fn noise() {
        let words: [&[u8]; 4] = [b"--X", b"\r\n\r\n", b"filename=\"", b"name=\""];
        base::noise::run(5, 5_000, &[BODY], &words, |data| {
            let mut at = upload("multipart/form-data; boundary=X", data).ok();
            while let Some(upload) = at {
                let _ = read(&upload);
                at = now(upload.next()).ok().flatten();
            }
            let _ = Form::parse(data);
        });
    }
}
