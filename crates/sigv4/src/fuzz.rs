//! What the fuzz targets in `fuzz/` run, and the unit tests from fixed seeds: outside bytes go
//! through every parser, and where two ways must agree, they are compared.

use crate::{
    ChunkDecoder, Dialect, Expect, Form, FormCredentials, Payload, PostPolicy, RequestHead, Rules,
    SigningKey, Trailers, presented, v2,
};
use base::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_369_353_600);
const DIALECTS: [Dialect; 5] =
    [Dialect::S3, Dialect::Json, Dialect::RestJson, Dialect::Query, Dialect::Ec2];

fn key() -> SigningKey {
    SigningKey::derive("secret", "20130524", "us-east-1", "s3")
}

/// A request head as text: `METHOD TARGET`, then `name:value` lines.
pub fn fuzz_head(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (method, target) = first.split_once(' ').unwrap_or(("GET", &first));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut owned: Vec<(String, &[u8])> = Vec::new();
    for line in lines.take(base::limits::REQUEST_HEADERS_MAX) {
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        owned.push((name, line.get(colon + 1..).unwrap_or_default()));
    }
    let headers: Vec<(&str, &[u8])> = owned.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let head = RequestHead { method, path, query, headers: &headers };
    let found = match presented(&head) {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => {
            let texts = DIALECTS.map(|dialect| error.render(dialect));
            assert!(texts.iter().all(|t| !t.message.is_empty() && t.status >= 400));
            fuzz_v2(&head);
            return;
        }
    };
    let general = Rules::General { body_sha256: crate::EMPTY_SHA256 };
    for rules in [Rules::S3, general] {
        let service = found.service();
        let expect = Expect { rules, service, region: None, skew_s: u32::MAX, now: NOW };
        if let Err(error) = found.verify(&head, &key(), &expect) {
            let texts = DIALECTS.map(|dialect| error.render(dialect));
            assert!(texts.iter().all(|t| !t.message.is_empty() && t.status >= 400));
        }
    }
}

/// The same head read as Signature Version 2.
fn fuzz_v2(head: &RequestHead<'_>) {
    let result = v2::presented(head).and_then(|found| match found {
        Some(found) => found.verify(head, "secret", Some("bucket"), NOW),
        None => Ok(()),
    });
    if let Err(error) = result {
        let texts = DIALECTS.map(|dialect| error.render(dialect));
        assert!(texts.iter().all(|t| !t.message.is_empty() && t.status >= 400));
    }
}

/// What became of a body that was fed in pieces of one size.
fn decode(head: &RequestHead<'_>, payload: Payload, body: &[u8], piece: usize) -> Decoded {
    let signed = presented(head).expect("a fixed head").expect("signed");
    let mut decoder = match ChunkDecoder::new(head, payload, Some((&signed, &key()))) {
        Ok(decoder) => decoder,
        Err(error) => return Err(error.to_string()),
    };
    let mut data = Vec::new();
    for mut input in body.chunks(piece.max(1)) {
        loop {
            match decoder.next_data(&mut input) {
                Ok(Some(slice)) => data.extend_from_slice(slice),
                Ok(None) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    decoder.finish().map(|trailers| (data, trailers)).map_err(|error| error.to_string())
}

type Decoded = Result<(Vec<u8>, Trailers), String>;

/// A chunked body: the first byte picks the kind, the second the size of the pieces. Pieces must not
/// change the outcome.
pub fn fuzz_chunks(data: &[u8]) {
    let [kind, piece, body @ ..] = data else { return };
    let payload = [
        Payload::Streaming,
        Payload::StreamingTrailer,
        Payload::StreamingUnsignedTrailer,
        Payload::Unsigned,
    ][usize::from(kind % 4)];
    let length = (kind / 4).to_string();
    let signature = "0".repeat(64);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature={signature}"
    );
    let headers: [(&str, &[u8]); 4] = [
        ("authorization", authorization.as_bytes()),
        ("x-amz-date", b"20130524T000000Z"),
        ("x-amz-decoded-content-length", length.as_bytes()),
        ("x-amz-trailer", b"x-amz-checksum-crc32"),
    ];
    let head = RequestHead { method: "PUT", path: "/", query: "", headers: &headers };
    let whole = decode(&head, payload, body, body.len());
    for size in [1, usize::from(*piece)] {
        assert_eq!(decode(&head, payload, body, size), whole);
    }
}

/// A form policy: JSON, put into Base64 here so that the bytes reach the reader of the JSON.
pub fn fuzz_post(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = PostPolicy::parse(&text);
    let encoded = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(data)
    };
    let fields: Vec<(&str, &str)> = text
        .lines()
        .take(64)
        .filter_map(|line| line.split_once(':'))
        .chain([("key", "user/a"), ("policy", encoded.as_str())])
        .collect();
    let form = Form { bucket: "bucket", fields: &fields };
    if let Ok(Some(credentials)) = FormCredentials::parse(&form) {
        let _ = credentials.verify(&key(), Some("us-east-1"));
    }
    if let Ok(Some(credentials)) = v2::FormCredentials::parse(&form) {
        let _ = credentials.verify("secret");
    }
    if let Ok(policy) = PostPolicy::parse(&encoded) {
        let _ = policy.check(&form, NOW);
        let _ = policy.check_length(0, true);
        let _ = policy.check_length(u64::MAX, false);
    }
}
