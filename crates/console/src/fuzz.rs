//! For the fuzzer: forms as any client may send them, and records and logs as anybody may have written
//! them.

use crate::form::{Form, Upload};
use crate::live::Lines;
use crate::{markdown, pages};
use api::RequestBody;
use std::task::{Context, Waker};

pub fn fuzz_console(data: &[u8]) {
    Form::parse(data);
    let body = RequestBody::from_bytes(data.to_vec().into());
    let mut upload = Box::pin(Upload::read("multipart/form-data; boundary=X", body));
    let _ = upload.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let _ = crate::call::Node::parse(data);
    let mut lines = Lines::default();
    lines.take(data, |line| {
        let _ = pages::requests::parsed(line).map(|event| pages::requests::row(&event, true));
    });
    pages::container::Log::new(true).take(data, |_, _| {});
    let text = String::from_utf8_lossy(data);
    markdown::blocks(&text).iter().for_each(|block| drop(markdown::prose(block)));
    let _ = pages::labs::State::parse(&text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn noise() {
        let seeds: [&[u8]; 4] = [
            b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nDATA\r\n--X--\r\n",
            b"{\"eventName\":\"x\",\"errorCode\":\"AccessDenied\"}\n",
            b"<A><B>x</B></A>",
            b"# a\n\n`b` [c](d)\n",
        ];
        base::noise::run(
            29,
            5_000,
            &seeds,
            &[b"--X", b"\r\n\r\n", b"\0\0\0\x05"],
            super::fuzz_console,
        );
    }
}
