//! Forms as browsers send them: fields, and fields followed by a file of any size.

use crate::call::Refusal;
use api::RequestBody;
use base::percent;
use bytes::BytesMut;

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

/// A form with a file, as far as the first byte of the file.
#[derive(Debug)]
pub struct Upload {
    pub fields: Form,
    pub boundary: String,
    pub file_name: String,
    pub content_type: String,
    /// From the first byte of the file on, the delimiter after it included.
    pub held: BytesMut,
    pub rest: RequestBody,
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
struct Reader {
    held: BytesMut,
    body: RequestBody,
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

fn text(bytes: BytesMut) -> Result<String, Refusal> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed())
}

impl Upload {
    pub async fn read(content_type: &str, body: RequestBody) -> Result<Upload, Refusal> {
        let boundary = boundary(content_type).ok_or_else(malformed)?;
        let delimiter = format!("\r\n--{boundary}\r\n").into_bytes();
        let mut reader = Reader { held: BytesMut::from(&b"\r\n"[..]), body };
        let mut fields = Form::default();
        let mut before = 0;
        if !reader.until(&delimiter).await?.is_empty() {
            return Err(malformed());
        }
        loop {
            let head = text(reader.until(b"\r\n\r\n").await?)?;
            let name = parameter(&head, "name").ok_or_else(malformed)?;
            if let Some(file_name) = parameter(&head, "filename") {
                let content_type = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
                });
                let content_type = content_type.unwrap_or_default();
                let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                let Reader { held, body: rest } = reader;
                return Ok(Upload { fields, boundary, file_name, content_type, held, rest });
            }
            let value = text(reader.until(&delimiter).await?)?;
            before += head.len() + value.len();
            if before > BEFORE_FILE_BYTES_MAX || fields.0.len() >= FIELDS_MAX {
                return Err(malformed());
            }
            fields.0.push((name, value));
        }
    }
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
        assert_eq!(&found.held[..], b"DATA\r\n--X--\r\n");
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
            let _ = upload("multipart/form-data; boundary=X", data);
            let _ = Form::parse(data);
        });
    }
}
