//! Entries for the fuzzer: every parser of outside bytes that this crate has.

use crate::head::Head;
use crate::{fetch, form, form_data, host, token};

/// A head as an HTTP server would hand it over: a target line, then header lines.
pub fn fuzz_head(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let target = lines.next().unwrap_or_default();
    let mut request = http::Request::builder().uri(target);
    for line in lines.take(300) {
        let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
        let name = http::HeaderName::from_bytes(name);
        let value = http::HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let parts = request.into_parts().0;
    let Ok(head) = Head::read(&parts) else { return };
    let names = ["cloud.test".to_owned()];
    let own = host::is_own(&head.host, &names);
    let style = host::parse(&head.host, &names);
    assert!(own || style == host::HostStyle::Foreign || head.host.is_empty() || is_address(&head));
    let _ = form_data::boundary(head.text("content-type").unwrap_or(""));
}

fn is_address(head: &Head<'_>) -> bool {
    head.host.parse::<std::net::IpAddr>().is_ok()
}

/// A browser form: the first byte is the size of the pieces in which it arrives.
pub fn fuzz_form(data: &[u8]) {
    form_data::fuzz(data);
}

/// What an identity provider answers.
pub fn fuzz_answer(data: &[u8]) {
    fetch::fuzz(data);
}

/// A paging token, and a form's tags in XML.
pub fn fuzz_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let key = [7; 32];
    if let Some(place) = token::open(&key, "c", &text) {
        assert_eq!(token::seal(&key, "c", &place), *text.to_ascii_lowercase());
    }
    let _ = form::tagging(&text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn noise_in_answers_and_tokens() {
        let answers: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n",
        ];
        let words: [&[u8]; 5] = [b"\r\n", b"ffffffffffffffff", b"-1", b"\xff", b"chunked"];
        base::noise::run(3, 20_000, &answers, &words, super::fuzz_answer);
        let token = crate::token::seal(&[7; 32], "c", "photos/2026");
        let tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        let words: [&[u8]; 5] = [b"<Tag>", b"</", b"00", b"&#1;", b"<Key>"];
        base::noise::run(4, 20_000, &[token.as_bytes(), tags], &words, super::fuzz_token);
    }

    use base::{Entropy, SeededEntropy};

    #[test]
    fn a_second_of_noise() {
        let seeds: [&[u8]; 3] = [
            b"/b/k%20?a=b&c\nhost: b.s3.eu-west-1.localhost:4566\ncontent-type: multipart/form-data; boundary=x",
            b"http://photos.s3.amazonaws.com./?X-Amz-Signature=1\norigin: null\nhost: [::1]:1",
            b"*\nhost: a.cloud.test\nauthorization: AWS4-HMAC-SHA256 Credential=a/b",
        ];
        let chance = SeededEntropy::new(7);
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            for _ in 0..=chance.below(5) {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] = chance.next_u64() as u8;
            }
            super::fuzz_head(&bytes);
        }
    }
}
