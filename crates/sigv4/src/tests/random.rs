//! Random requests: what we sign we accept, what is changed in one bit we refuse, and no bytes make
//! a parser panic.

use super::*;
use base::{Entropy, SeededEntropy};

const NOW: Timestamp = Timestamp::from_secs(1_369_353_600 + 7);

fn text(random: &SeededEntropy, alphabet: &[u8], max: u64) -> String {
    random.text(alphabet, random.below(max) as usize)
}

fn random_request(random: &SeededEntropy) -> Request {
    const PATH: &[u8] = b"abcXYZ019-._~/.%25+ ()*'!$&,;=:@\x7f";
    const QUERY: &[u8] = b"abcXYZ019-._~/%20%2B+&&&===()*'!$,;:@";
    const VALUE: &[u8] = b"abcXYZ019-._~/%20+ \t  ,;=:\"'\xc3\xa9";
    let methods = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    let mut request = Request {
        method: methods[random.below(5) as usize].to_owned(),
        path: format!("/{}", text(random, PATH, 40)),
        query: text(random, QUERY, 40),
        headers: vec![("host".to_owned(), b"bucket.localhost:4566".to_vec())],
    };
    for _ in 0..random.below(6) {
        let name = format!("x-amz-meta-{}", text(random, b"abc", 3));
        let value = text(random, VALUE, 30).into_bytes();
        request.headers.push((name, value));
    }
    request
}

fn rules(random: &SeededEntropy) -> (Rules, Expect<'static>) {
    let body_sha256 = sha256(&random.next_u64().to_le_bytes());
    let rules = if random.below(2) == 0 { Rules::S3 } else { Rules::General { body_sha256 } };
    (rules, Expect { rules, ..expect_s3(NOW) })
}

fn key() -> SigningKey {
    SigningKey::derive(EXAMPLE_SECRET, "20130524", "us-east-1", "s3")
}

/// Flips one bit somewhere that the signature covers, so that the meaning changes.
fn mutate(request: &Request, random: &SeededEntropy, in_query: bool) -> Request {
    let mut changed = request.clone();
    let part = random.below(3);
    if part == 0 {
        changed.path.push(random.text(b"abc/", 1).pop().unwrap());
        changed.path.push('z');
    } else if part == 1 && !in_query {
        let index = changed.headers.iter().position(|(n, _)| n == "authorization").unwrap();
        let value = &mut changed.headers[index].1;
        let last = value.len() - 1 - random.below(64) as usize;
        value[last] ^= 1;
    } else if part == 1 {
        let digit = changed.query.len() - 1 - random.below(64) as usize;
        let mut bytes = changed.query.clone().into_bytes();
        bytes[digit] ^= 1;
        changed.query = String::from_utf8(bytes).unwrap();
    } else {
        let host = &mut changed.headers[0].1;
        let at = random.below(host.len() as u64) as usize;
        host[at] ^= 1 << random.below(3);
    }
    changed
}

#[test]
fn what_is_signed_is_accepted_and_what_is_changed_is_not() {
    let random = SeededEntropy::new(42);
    for round in 0..400 {
        let bare = random_request(&random);
        let (rules, expect) = rules(&random);
        let signed = bare.clone().signed(rules, Payload::Unsigned, &key(), NOW);
        assert_eq!(signed.verify(EXAMPLE_SECRET, &expect), Ok(()), "{round} {signed:?}");
        let credentials = Credentials {
            access_key: EXAMPLE_KEY,
            key: &key(),
            token: (round % 2 == 0).then_some("a/token+=="),
        };
        let query = bare.head(|head| presign(head, rules, &credentials, NOW, 60));
        let url = Request { query, ..bare };
        assert_eq!(url.verify(EXAMPLE_SECRET, &expect), Ok(()), "{round} {url:?}");
        for (request, in_query) in [(&signed, false), (&url, true)] {
            let changed = mutate(request, &random, in_query);
            let refused = changed.verify(EXAMPLE_SECRET, &expect);
            assert!(refused.is_err(), "{round} {request:?} {changed:?}");
            assert!(request.verify("another secret", &expect).is_err());
        }
    }
}

#[test]
fn every_bit_of_a_signed_request_counts() {
    let request = Request::new("GET", "/key?list-type=2", &[("host", "b.localhost")])
        .with("range", "bytes=0-9")
        .signed(Rules::S3, Payload::Sha256(EMPTY_SHA256), &key(), NOW);
    // The access key says whose secret is asked for; with another one there is no key.
    let known = |changed: &Request| {
        changed.head(|head| presented(head).is_ok_and(|p| p.unwrap().access_key() == EXAMPLE_KEY))
    };
    let refused = |changed: &Request| {
        changed.verify(EXAMPLE_SECRET, &expect_s3(NOW)).is_err() || !known(changed)
    };
    assert!(!refused(&request));
    for (index, (name, value)) in request.headers.iter().enumerate() {
        for bit in 0..value.len() * 8 {
            let mut changed = request.clone();
            changed.headers[index].1[bit / 8] ^= 1 << (bit % 8);
            // A space in another form is the same space.
            let trimmed = changed.headers[index].1.split(u8::is_ascii_whitespace);
            let same = trimmed.eq(value.split(u8::is_ascii_whitespace));
            assert!(same || refused(&changed), "{name} bit {bit}");
        }
        let mut changed = request.clone();
        changed.headers.remove(index);
        assert!(refused(&changed), "without {name}");
        let mut changed = request.clone();
        changed.headers.insert(index, (name.clone(), value.clone()));
        assert!(refused(&changed), "twice {name}");
    }
    for (path, query) in [("/Key", "list-type=2"), ("/key", "list-type=3"), ("/key", "")] {
        let changed = Request { path: path.to_owned(), query: query.to_owned(), ..request.clone() };
        assert!(refused(&changed), "{path}?{query}");
    }
}

/// Runs a fuzz target on its seeds, cut and changed at random.
fn smoke(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    let random = SeededEntropy::new(7);
    for seed in seeds {
        target(seed);
    }
    for _ in 0..3000 {
        let mut data = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..=random.below(4) {
            if data.is_empty() {
                break;
            }
            let at = random.below(data.len() as u64) as usize;
            match random.below(5) {
                0 => data[at] = random.next_u64() as u8,
                1 => data.truncate(at),
                2 => data.insert(at, *b"\r\n&=%/;,:\" "[..].get(at % 11).unwrap_or(&b' ')),
                3 => drop(data.remove(at)),
                _ => {
                    let from = random.below(at as u64 + 1) as usize;
                    let copy = data[from..at].to_vec();
                    data.splice(at..at, copy);
                }
            }
            data.truncate(4096);
        }
        target(&data);
    }
}

#[test]
fn heads_from_a_fixed_seed() {
    let mut seeds = vec![b"GET /?a&b=%zz+&X-Amz-Signature=1\nhost:h\n".to_vec()];
    let goldens =
        [include_str!("../../testdata/botocore.txt"), include_str!("../../testdata/botocore2.txt")];
    for block in goldens.into_iter().flat_map(|text| text.split("\n\n")) {
        let lines: Vec<&str> = block.lines().skip(2).collect();
        seeds.push(lines.join("\n").replace(": ", ":").into_bytes());
    }
    smoke(fuzz::fuzz_head, &seeds);
}

#[test]
fn chunks_from_a_fixed_seed() {
    let signature = "0".repeat(64);
    let seeds: Vec<Vec<u8>> = [
        (22, format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{signature}\r\n\r\n")),
        (
            20,
            format!(
                "5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\n\r\n"
            ),
        ),
        (
            1,
            format!("0;chunk-signature={signature}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
        ),
        (3, String::new()),
    ]
    .into_iter()
    .map(|(kind, body)| [&[kind, 3], body.as_bytes()].concat())
    .collect();
    smoke(fuzz::fuzz_chunks, &seeds);
}

#[test]
fn forms_from_a_fixed_seed() {
    let policy = r#"{"expiration":"2030-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key","user/"],["content-length-range",1,"2"]]}"#;
    let fields = "x-amz-algorithm:AWS4-HMAC-SHA256\nx-amz-date:20130524T000000Z\nx-amz-signature:0\nx-amz-credential:AKID/20130524/us-east-1/s3/aws4_request\n";
    let two = "AWSAccessKeyId:AKID\nsignature:AAAA\nx-amz-security-token:t\n";
    smoke(fuzz::fuzz_post, &[policy, fields, two].map(|text| text.as_bytes().to_vec()));
}
