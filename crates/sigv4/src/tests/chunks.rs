//! Chunked bodies: AWS's examples, and all that can be wrong with one.

use super::*;

const CHUNKS: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];
const TRAILER_CHUNKS: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const TRAILER_SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

fn upload(payload: Payload, seed: &str, length: &str) -> Request {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={EXAMPLE_KEY}/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature={seed}"
    );
    Request::new("PUT", "/", &[("x-amz-date", "20130524T000000Z")])
        .with("authorization", &authorization)
        .with("x-amz-content-sha256", &payload.text())
        .with("x-amz-decoded-content-length", length)
        .with("x-amz-trailer", "x-amz-checksum-crc32c")
}

fn key() -> SigningKey {
    SigningKey::derive(EXAMPLE_SECRET, "20130524", "us-east-1", "s3")
}

type Decoded = Result<(Vec<u8>, Trailers), Cause>;

fn decode(request: &Request, body: &[u8], piece: usize) -> Decoded {
    request.head(|head| {
        let signed = presented(head).unwrap().unwrap();
        let payload = signed.payload(Rules::S3);
        let decoder = ChunkDecoder::new(head, payload, Some((&signed, &key())));
        let mut decoder = decoder.map_err(|e| e.cause)?;
        let mut data = Vec::new();
        for mut input in body.chunks(piece) {
            while let Some(slice) = decoder.next_data(&mut input).map_err(|e| e.cause)? {
                data.extend_from_slice(slice);
            }
        }
        decoder.finish().map(|trailers| (data, trailers)).map_err(|e| e.cause)
    })
}

/// Feeding byte by byte, in odd pieces, or whole gives the same.
fn decode_all_ways(request: &Request, body: &[u8]) -> Decoded {
    let whole = decode(request, body, body.len().max(1));
    for piece in [1, 7, 87, 88, 8192] {
        assert_eq!(decode(request, body, piece), whole, "in pieces of {piece}");
    }
    whole
}

/// 66,560 bytes of `a`, as in both of AWS's examples.
fn example(chunks: [&str; 3], end: &str) -> Vec<u8> {
    let mut body = format!("10000;chunk-signature={}\r\n", chunks[0]).into_bytes();
    body.extend([b'a'; 65_536]);
    body.extend(format!("\r\n400;chunk-signature={}\r\n", chunks[1]).bytes());
    body.extend([b'a'; 1024]);
    body.extend(format!("\r\n0;chunk-signature={}\r\n{end}", chunks[2]).bytes());
    body
}

/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
#[test]
fn signed_example() {
    let request = upload(Payload::Streaming, SEED, "66560");
    let body = example(CHUNKS, "\r\n");
    assert_eq!(body.len(), 66_824);
    assert_eq!(decode_all_ways(&request, &body), Ok((vec![b'a'; 66_560], vec![])));
    for at in [100, 65_536, 65_700, 66_700] {
        let mut changed = body.clone();
        changed[at] ^= 1;
        assert!(matches!(decode(&request, &changed, 1000), Err(Cause::Mismatch(_))), "{at}");
    }
    for length in 0..body.len() {
        if length % 500 == 0 || length > 66_500 {
            assert_eq!(decode(&request, &body[..length], 4096), Err(Cause::IncompleteBody));
        }
    }
    let wrong_seed = upload(Payload::Streaming, TRAILER_SEED, "66560");
    let error = decode(&wrong_seed, &body, 4096).unwrap_err();
    let Cause::Mismatch(mismatch) = &error else { panic!("{error:?}") };
    assert!(mismatch.string_to_sign.starts_with("AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n"));
    assert_eq!(mismatch.signature, CHUNKS[0]);
    assert_eq!(mismatch.access_key, EXAMPLE_KEY);
}

/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
#[test]
fn signed_example_with_trailer() {
    let request = upload(Payload::StreamingTrailer, TRAILER_SEED, "66560");
    let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    let trailers = vec![("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())];
    let signed = format!("x-amz-trailer-signature:{signature}");
    for end in [
        format!("x-amz-checksum-crc32c:sOO8/Q==\r\n{signed}\r\n\r\n"),
        // As clients out there write it.
        format!("x-amz-checksum-crc32c:sOO8/Q==\n\r\n{signed}\r\n\r\n"),
        format!("\r\nx-amz-checksum-crc32c: sOO8/Q==\r\n{signed}\r\n"),
    ] {
        let body = example(TRAILER_CHUNKS, &end);
        let expected = Ok((vec![b'a'; 66_560], trailers.clone()));
        assert_eq!(decode_all_ways(&request, &body), expected, "{end:?}");
    }
    let cases = [
        ("x-amz-checksum-crc32c:sOO8/A==\r\n", "sOO8/A=="),
        ("x-amz-checksum-crc32c:sOO8/Q=\r\n", "sOO8/Q="),
    ];
    for (line, value) in cases {
        let body = example(TRAILER_CHUNKS, &format!("{line}{signed}\r\n\r\n"));
        let error = decode_all_ways(&request, &body).unwrap_err();
        assert!(matches!(error, Cause::Mismatch(_)), "{value}");
    }
    let crc = "x-amz-checksum-crc32c:sOO8/Q==\r\n";
    for (end, expected) in [
        (format!("{crc}\r\n"), Cause::Trailer),
        (format!("{signed}\r\n\r\n"), Cause::Trailer),
        (format!("{signed}\r\n{crc}\r\n"), Cause::Trailer),
        (format!("{crc}{crc}{signed}\r\n\r\n"), Cause::Trailer),
        (format!("{crc}x-other:1\r\n{signed}\r\n\r\n"), Cause::Trailer),
        (format!("{crc}{signed}"), Cause::IncompleteBody),
        (String::new(), Cause::Trailer),
    ] {
        let body = example(TRAILER_CHUNKS, &end);
        assert_eq!(decode_all_ways(&request, &body), Err(expected), "{end:?}");
    }
}

#[test]
fn unsigned_bodies() {
    let request = upload(Payload::StreamingUnsignedTrailer, SEED, "5");
    let crc = "x-amz-checksum-crc32c:sOO8/Q==\r\n";
    let trailers = vec![("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())];
    let good = [
        format!("5\r\nhello\r\n0\r\n{crc}\r\n"),
        format!("0005\r\nhello\r\n0\r\n{crc}\r\n"),
        "5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32C:sOO8/Q==\n\r\n\r\n".to_owned(),
    ];
    for body in good {
        let expected = Ok((b"hello".to_vec(), trailers.clone()));
        assert_eq!(decode_all_ways(&request, body.as_bytes()), expected, "{body:?}");
    }
    let short = Cause::DecodedLength { expected: 5, provided: 0 };
    let long = |provided| Cause::DecodedLength { expected: 5, provided };
    for (body, expected) in [
        (String::new(), Cause::IncompleteBody),
        ("5".to_owned(), Cause::IncompleteBody),
        ("5\r\nhel".to_owned(), Cause::IncompleteBody),
        ("5\r\nhello".to_owned(), Cause::IncompleteBody),
        ("5\r\nhello\r\n".to_owned(), Cause::IncompleteBody),
        (format!("5\nhello\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("5\r\nhelloX\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("5\r\nhello\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("5;x=1\r\nhello\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("+5\r\nhello\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("0x5\r\nhello\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("\r\nhello\r\n0\r\n{crc}\r\n"), Cause::IncompleteBody),
        (format!("{}5\r\nhello", "0".repeat(16)), Cause::IncompleteBody),
        ("5".repeat(5000), Cause::IncompleteBody),
        (format!("0\r\n{crc}\r\n"), short),
        ("6\r\nhello!".to_owned(), long(6)),
        ("ffffffffffffffff\r\nhello".to_owned(), long(u64::MAX)),
        ("5\r\nhello\r\n1\r\n!".to_owned(), Cause::ChunkSize { chunk: 1, size: 5 }),
        ("5\r\nhello\r\n0\r\n\r\n".to_owned(), Cause::Trailer),
        ("5\r\nhello\r\n0\r\nnonsense\r\n\r\n".to_owned(), Cause::Trailer),
        ("5\r\nhello\r\n0\r\nx-amz-checksum-sha1:a\r\n\r\n".to_owned(), Cause::Trailer),
        (format!("5\r\nhello\r\n0\r\n{crc}"), Cause::IncompleteBody),
        (format!("5\r\nhello\r\n0\r\n{crc}\r\n5\r\nhello"), Cause::Trailer),
        ("5\r\nhello\r\n0\r\n".to_owned() + &"\r\n".repeat(20), Cause::Trailer),
        ("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:\x01\r\n\r\n".to_owned(), Cause::Trailer),
        ("5\r\nhello\r\n0\r\n".to_owned() + &"a".repeat(5000), Cause::IncompleteBody),
    ] {
        assert_eq!(decode_all_ways(&request, body.as_bytes()), Err(expected), "{body:?}");
    }
}

#[test]
fn only_the_last_chunk_may_be_small() {
    let request = upload(Payload::StreamingUnsignedTrailer, SEED, "16385").without("x-amz-trailer");
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "a".repeat(size));
    let good = chunk(8192) + &chunk(8192) + &chunk(1) + "0\r\n\r\n";
    assert!(decode_all_ways(&request, good.as_bytes()).is_ok());
    let bad = chunk(8192) + &chunk(8191) + &chunk(2) + "0\r\n\r\n";
    let expected = Err(Cause::ChunkSize { chunk: 2, size: 8191 });
    assert_eq!(decode_all_ways(&request, bad.as_bytes()), expected);
}

#[test]
fn a_head_must_announce_a_chunked_body() {
    let body = b"0\r\n\r\n";
    let request = upload(Payload::StreamingUnsignedTrailer, SEED, "0").without("x-amz-trailer");
    assert_eq!(decode(&request, body, 100), Ok((vec![], vec![])));
    for length in ["", "-1", "+1", "a", "99999999999999999999"] {
        let bad = request.clone().set("x-amz-decoded-content-length", length);
        assert_eq!(decode(&bad, body, 100), Err(Cause::DecodedLengthMissing), "{length}");
    }
    let missing = request.clone().without("x-amz-decoded-content-length");
    assert_eq!(decode(&missing, body, 100), Err(Cause::DecodedLengthMissing));
    let twice = request.clone().with("x-amz-decoded-content-length", "0");
    assert_eq!(decode(&twice, body, 100), Err(Cause::DecodedLengthMissing));
    let other = request.clone().with("x-amz-trailer", "x-amz-meta-a");
    let name = Cause::TrailerName("x-amz-meta-a".to_owned());
    assert_eq!(decode(&other, body, 100), Err(name));
    let plain = request.clone().set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(matches!(decode(&plain, body, 100), Err(Cause::PayloadUnsupported(_))));
    for payload in [Payload::Streaming, Payload::StreamingTrailer] {
        let unsigned = request.head(|head| ChunkDecoder::new(head, payload, None));
        assert_eq!(unsigned.unwrap_err().cause, Cause::PayloadAnonymous);
    }
}

#[test]
fn our_own_chunks_are_understood() {
    let data: Vec<u8> = (0..30_000u32).map(|i| (i * 7) as u8).collect();
    for payload in [Payload::Streaming, Payload::StreamingTrailer] {
        let request = upload(payload, SEED, "30000");
        let mut signer = ChunkSigner::new(key(), at("2013-05-24T00:00:00Z"), SEED).unwrap();
        let mut body = Vec::new();
        for chunk in data.chunks(8192) {
            body.extend(signer.chunk_line(chunk).bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(signer.chunk_line(b"").bytes());
        let crc = [("x-amz-checksum-crc32c", "AAAAAA==")];
        if payload == Payload::StreamingTrailer {
            body.extend(signer.trailer_lines(&crc).bytes());
        } else {
            body.extend(b"\r\n");
        }
        let (decoded, trailers) = decode_all_ways(&request, &body).unwrap();
        assert_eq!(decoded, data);
        assert_eq!(trailers.len(), usize::from(payload == Payload::StreamingTrailer));
        // Chunks in another order are not what was signed.
        let line = body.iter().position(|b| *b == b'\n').unwrap() + 1;
        let swapped = [&body[line + 8194..2 * (line + 8194)], &body[..line + 8194], b""].concat();
        assert!(matches!(decode(&request, &swapped, 1000), Err(Cause::Mismatch(_))));
    }
    assert!(ChunkSigner::new(key(), at("2013-05-24"), "short").is_none());
}
