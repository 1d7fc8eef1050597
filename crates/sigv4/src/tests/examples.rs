//! The examples that AWS publishes for S3.
//! Sources: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>

use super::*;

const NOW: &str = "2013-05-24T00:00:00Z";

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={EXAMPLE_KEY}/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed_headers},Signature={signature}"
    )
}

fn check(method: &str, target: &str, headers: &[(&str, &str)], payload: &str, signature: &str) {
    let mut names: Vec<&str> = headers.iter().map(|(n, _)| *n).collect();
    names.extend(["host", "x-amz-content-sha256", "x-amz-date"]);
    names.sort_unstable();
    let request = Request::new(method, target, headers)
        .with("host", "examplebucket.s3.amazonaws.com")
        .with("x-amz-content-sha256", payload)
        .with("x-amz-date", "20130524T000000Z");
    let sent = request.clone().with("authorization", &authorization(&names.join(";"), signature));
    assert_eq!(sent.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()), "{method} {target}");

    let key = SigningKey::derive(EXAMPLE_SECRET, "20130524", "us-east-1", "s3");
    let unsigned = request.without("x-amz-content-sha256").without("x-amz-date");
    let signed = unsigned.signed(Rules::S3, Payload::parse(payload).unwrap(), &key, at(NOW));
    let ours = String::from_utf8(signed.headers.last().unwrap().1.clone()).unwrap();
    assert_eq!(ours.replace(", ", ","), authorization(&names.join(";"), signature));
}

#[test]
fn headers() {
    check(
        "GET",
        "/test.txt",
        &[("range", "bytes=0-9")],
        EMPTY_SHA256_HEX,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    check(
        "PUT",
        "/test%24file.text",
        &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    check(
        "GET",
        "/?lifecycle",
        &[],
        EMPTY_SHA256_HEX,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    check(
        "GET",
        "/?max-keys=2&prefix=J",
        &[],
        EMPTY_SHA256_HEX,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
}

#[test]
fn seeds_of_chunked_uploads() {
    let common =
        [("x-amz-storage-class", "REDUCED_REDUNDANCY"), ("x-amz-decoded-content-length", "66560")];
    let plain = [("content-encoding", "aws-chunked"), ("content-length", "66824")];
    for (extra, payload, signature) in [
        (
            plain,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ),
        (
            [("content-encoding", "aws-chunked"), ("x-amz-trailer", "x-amz-checksum-crc32c")],
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        ),
    ] {
        let headers: Vec<_> = common.into_iter().chain(extra).collect();
        let names =
            headers.iter().map(|(n, _)| *n).chain(["host", "x-amz-content-sha256", "x-amz-date"]);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let request = Request::new("PUT", "/examplebucket/chunkObject.txt", &headers)
            .with("host", "s3.amazonaws.com")
            .with("x-amz-content-sha256", payload)
            .with("x-amz-date", "20130524T000000Z")
            .with("authorization", &authorization(&names.join(";"), signature));
        assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()), "{payload}");
    }
}

#[test]
fn presigned() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let bare = Request::new("GET", "/test.txt", &[("host", "examplebucket.s3.amazonaws.com")]);
    let key = SigningKey::derive(EXAMPLE_SECRET, "20130524", "us-east-1", "s3");
    let credentials = Credentials { access_key: EXAMPLE_KEY, key: &key, token: None };
    let ours = bare.head(|head| presign(head, Rules::S3, &credentials, at(NOW), 86_400));
    assert_eq!(ours, query);
    let request = Request { query: query.to_owned(), ..bare };
    assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at("2013-05-24T23:59:59Z"))), Ok(()));
    assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at("2013-05-25T00:00:00Z"))), Ok(()));
    let late = request.verify(EXAMPLE_SECRET, &expect_s3(at("2013-05-25T00:00:01Z")));
    let late = late.unwrap_err().render(Dialect::S3);
    assert_eq!((late.code, late.message.as_str()), ("AccessDenied", "Request has expired"));
}
