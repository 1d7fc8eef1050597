//! What verifying one signed `GetObject` costs: `cargo run --release -p sigv4 --example verify_cost`.
#![allow(clippy::disallowed_methods, reason = "an example that measures needs a clock")]

use base::Timestamp;
use sigv4::{Credentials, Expect, Payload, RequestHead, Rules, SigningKey};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 2_000;
const BATCHES: u32 = 100;

/// Prints the best of many short batches, which other work on the machine disturbs least.
fn measure(name: &str, rounds: u32, mut run: impl FnMut()) {
    let batch = |_| {
        let start = Instant::now();
        for _ in 0..rounds {
            run();
        }
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    };
    let best = (0..BATCHES).map(batch).fold(f64::INFINITY, f64::min);
    println!("{name:32} {best:8.0} ns");
}

fn main() {
    let now = Timestamp::from_secs(1_369_353_600);
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let derive = || SigningKey::derive(black_box(secret), "20130524", "us-east-1", "s3");
    let key = derive();
    let credentials = Credentials { access_key: "AKIAIOSFODNN7EXAMPLE", key: &key, token: None };
    let sent: [(&str, &[u8]); 5] = [
        ("host", b"127.0.0.1:4566"),
        ("accept-encoding", b"identity"),
        ("user-agent", b"Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1 lang/python#3.11"),
        ("amz-sdk-invocation-id", b"7b2f0c1e-8a3d-4a3b-9f4e-2d1c0b9a8f7e"),
        ("amz-sdk-request", b"attempt=1"),
    ];
    let unsigned =
        RequestHead { method: "GET", path: "/bucket/some/object-0001", query: "", headers: &sent };
    let payload = Payload::Sha256(sigv4::EMPTY_SHA256);
    let sign = || sigv4::sign_header(&unsigned, Rules::S3, payload, &credentials, now);
    let added = sign();
    let mut headers = sent.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let head = RequestHead { headers: &headers, ..unsigned };
    let expect =
        Expect { rules: Rules::S3, service: "s3", region: None, skew_s: sigv4::SKEW_S3_S, now };
    let url = sigv4::presign(
        &RequestHead { headers: &sent[..1], ..unsigned },
        Rules::S3,
        &credentials,
        now,
        3600,
    );
    let url_head = RequestHead { query: &url, ..unsigned };

    measure("derive a key", ROUNDS, || drop(black_box(derive())));
    measure("sign a header", ROUNDS, || drop(black_box(sign())));
    measure("parse a header", ROUNDS, || {
        let _ = black_box(sigv4::presented(black_box(&head)));
    });
    for (name, head) in
        [("parse and verify a header", &head), ("parse and verify a URL", &url_head)]
    {
        measure(name, ROUNDS, || {
            let found = sigv4::presented(black_box(head)).expect("well formed").expect("signed");
            found.verify(head, &key, &expect).expect("verified");
        });
    }
    let mebibyte = vec![7; 1 << 20];
    measure("SHA-256 of 1 MiB", 1, || {
        black_box(sigv4::sha256(black_box(&mebibyte)));
    });
}
