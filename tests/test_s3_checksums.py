"""The checksums: in headers, in trailers, wrong, over parts, and given back when asked."""

import base64
import hashlib
import os

import pytest
import wire
from accounts import refused

MIB = 1 << 20


def _reflected(polynomial, width, data):
    """A CRC with reflected input and output, all ones at the start and the end."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    ones = (1 << width) - 1
    crc = ones
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return (crc ^ ones).to_bytes(width // 8, "big")


DIGESTS = {
    "CRC32": lambda data: _reflected(0xEDB88320, 32, data),
    "CRC32C": lambda data: _reflected(0x82F63B78, 32, data),
    "CRC64NVME": lambda data: _reflected(0x9A6C9329AC4BC9B5, 64, data),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
ALGORITHMS = list(DIGESTS)
WIRE = {name: f"x-amz-checksum-{name.lower()}" for name in ALGORITHMS}


def text(algorithm, data):
    return base64.b64encode(DIGESTS[algorithm](data)).decode()


def test_the_check_values_of_the_catalogue():
    assert DIGESTS["CRC32"](b"123456789").hex() == "cbf43926"
    assert DIGESTS["CRC32C"](b"123456789").hex() == "e3069283"
    assert DIGESTS["CRC64NVME"](b"123456789").hex() == "ae8b14860a799888"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_a_header(account, bucket, algorithm):
    data = os.urandom(10_000)
    field = f"Checksum{algorithm}"
    put = account.s3.put_object(
        Bucket=bucket, Key="k", Body=data, **{field: text(algorithm, data)}
    )
    assert put[field] == text(algorithm, data)
    head = account.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == text(algorithm, data)
    assert head["ChecksumType"] == "FULL_OBJECT"
    got = account.s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[field] == text(algorithm, data) and got["Body"].read() == data
    # Only those who ask are told, and a range has no checksum of the whole.
    plain = wire.call(account, "GET", f"/{bucket}/k")
    assert WIRE[algorithm] not in plain.headers
    part = wire.call(
        account, "GET", f"/{bucket}/k",
        headers=[("Range", "bytes=0-9"), ("x-amz-checksum-mode", "ENABLED")],
    )
    assert part.status == 206 and WIRE[algorithm] not in part.headers
    listed = account.s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_in_a_header(account, bucket, algorithm):
    wrong = text(algorithm, b"something else")
    answer = wire.call(
        account, "PUT", f"/{bucket}/k", b"data", headers=[(WIRE[algorithm], wrong)]
    )
    assert (answer.status, answer.code) == (400, "BadDigest"), answer
    assert answer.message == (
        f"The {algorithm} you specified did not match the calculated checksum."
    )
    with refused("NoSuchKey"):
        account.s3.get_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", "A" * 200])
def test_no_checksum_at_all(account, bucket, algorithm, value):
    answer = wire.call(
        account, "PUT", f"/{bucket}/k", b"data", headers=[(WIRE[algorithm], value)]
    )
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    assert answer.message == f"Value for {WIRE[algorithm]} header is invalid."


def test_two_at_once(account, bucket):
    both = [(WIRE[name], text(name, b"data")) for name in ("CRC32", "SHA1")]
    answer = wire.call(account, "PUT", f"/{bucket}/k", b"data", headers=both)
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    assert answer.message.startswith("Expecting a single x-amz-checksum- header")


def trailing(account, bucket, algorithm, data, value=None, signed=False, size=None):
    """A put as the SDKs do it over TLS: aws-chunked with the checksum after the body."""
    request = wire.Request(
        account, "PUT", f"/{bucket}/k",
        headers=[
            ("Content-Encoding", "aws-chunked"),
            ("X-Amz-Decoded-Content-Length", str(len(data) if size is None else size)),
            ("X-Amz-Trailer", WIRE[algorithm]),
        ],
    )
    mode = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" if signed else (
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    )
    request.sign(payload_hash=mode)
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    trailer = WIRE[algorithm], value or text(algorithm, data)
    request.body = wire.aws_chunks(request, pieces, trailer, signed)
    return request.send()


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_in_a_trailer(account, bucket, algorithm, signed):
    data = os.urandom(200_000)
    answer = trailing(account, bucket, algorithm, data, signed=signed)
    assert answer.status == 200, answer
    assert answer.headers[WIRE[algorithm]] == text(algorithm, data)
    got = account.s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    assert got[f"Checksum{algorithm}"] == text(algorithm, data)
    # The framing is not part of the object.
    assert got.get("ContentEncoding", "") == ""
    assert got["ContentLength"] == len(data)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_in_a_trailer(account, bucket, algorithm, signed):
    answer = trailing(
        account, bucket, algorithm, b"data", text(algorithm, b"atad"), signed=signed
    )
    assert (answer.status, answer.code) == (400, "BadDigest"), answer
    with refused("NoSuchKey"):
        account.s3.get_object(Bucket=bucket, Key="k")


def test_of_an_empty_body_in_a_trailer(account, bucket):
    answer = trailing(account, bucket, "CRC32", b"")
    assert answer.status == 200, answer
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""


def test_an_encoding_beside_the_framing_is_kept(account, bucket):
    request = wire.Request(
        account, "PUT", f"/{bucket}/k",
        headers=[
            ("Content-Encoding", "gzip,aws-chunked"),
            ("X-Amz-Decoded-Content-Length", "4"),
            ("X-Amz-Trailer", "x-amz-checksum-crc32"),
        ],
    ).sign(payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    trailer = "x-amz-checksum-crc32", text("CRC32", b"data")
    request.body = wire.aws_chunks(request, [b"data"], trailer, signed=False)
    assert request.send().status == 200
    assert account.s3.head_object(Bucket=bucket, Key="k")["ContentEncoding"] == "gzip"


def test_crc64_is_the_default(account, bucket):
    """A put without any checksum gets one all the same."""
    assert wire.call(account, "PUT", f"/{bucket}/k", b"data").status == 200
    head = account.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == text("CRC64NVME", b"data")


def upload(account, bucket, algorithm, bodies, kind=None):
    where = {"Bucket": bucket, "Key": "k"}
    more = {"ChecksumType": kind} if kind else {}
    where["UploadId"] = account.s3.create_multipart_upload(
        **where, ChecksumAlgorithm=algorithm, **more
    )["UploadId"]
    field = f"Checksum{algorithm}"
    parts = []
    for number, body in enumerate(bodies, 1):
        part = account.s3.upload_part(
            **where, PartNumber=number, Body=body, **{field: text(algorithm, body)}
        )
        assert part[field] == text(algorithm, body)
        parts.append({"PartNumber": number, "ETag": part["ETag"], field: part[field]})
    done = account.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    return done


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_of_checksums_of_parts(account, bucket, algorithm):
    bodies = [os.urandom(5 * MIB), b"the end"]
    done = upload(account, bucket, algorithm, bodies)
    whole = b"".join(DIGESTS[algorithm](body) for body in bodies)
    expected = text(algorithm, whole) + "-2"
    assert done[f"Checksum{algorithm}"] == expected
    assert done["ChecksumType"] == "COMPOSITE"
    head = account.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == expected
    assert head["ChecksumType"] == "COMPOSITE"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_of_the_whole_from_parts(account, bucket, algorithm):
    bodies = [os.urandom(1000) * 5243, b"the end"]
    done = upload(account, bucket, algorithm, bodies, "FULL_OBJECT")
    assert done[f"Checksum{algorithm}"] == text(algorithm, b"".join(bodies))
    assert done["ChecksumType"] == "FULL_OBJECT"


def test_a_copy_keeps_or_changes_it(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="a", Body=b"data", ChecksumAlgorithm="SHA256")
    source = {"Bucket": bucket, "Key": "a"}
    account.s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    head = account.s3.head_object(Bucket=bucket, Key="b", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == text("SHA256", b"data")
    account.s3.copy_object(Bucket=bucket, Key="c", CopySource=source, ChecksumAlgorithm="SHA1")
    head = account.s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert head["ChecksumSHA1"] == text("SHA1", b"data")


def test_delete_many_needs_a_digest(account, bucket):
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    answer = wire.call(account, "POST", f"/{bucket}?delete=", body)
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    wrong = [("x-amz-checksum-crc32", text("CRC32", b"other"))]
    answer = wire.call(account, "POST", f"/{bucket}?delete=", body, headers=wrong)
    assert (answer.status, answer.code) == (400, "BadDigest"), answer
    right = [("x-amz-checksum-crc32", text("CRC32", body))]
    answer = wire.call(account, "POST", f"/{bucket}?delete=", body, headers=right)
    assert answer.status == 200 and "<Key>k</Key>" in answer.text


POLICY = b'{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*",\
"Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*"}]}'


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_bodies_that_are_read_whole(account, bucket):
    """Nothing of a body counts that is not the one declared."""
    body = POLICY % bucket.encode()
    cases = [
        (("Content-MD5", md5(b"other")), "BadDigest"),
        (("Content-MD5", "x"), "InvalidDigest"),
        (("x-amz-checksum-sha256", text("SHA256", b"other")), "BadDigest"),
        (("x-amz-checksum-sha256", "x"), "InvalidRequest"),
    ]
    for header, expected in cases:
        answer = wire.call(account, "PUT", f"/{bucket}?policy=", body, headers=[header])
        assert (answer.status, answer.code) == (400, expected), (header, answer)
    with refused("NoSuchBucketPolicy"):
        account.s3.get_bucket_policy(Bucket=bucket)
    right = [("Content-MD5", md5(body)), ("x-amz-checksum-sha256", text("SHA256", body))]
    answer = wire.call(account, "PUT", f"/{bucket}?policy=", body, headers=right)
    assert answer.status in (200, 204), answer
    account.s3.get_bucket_policy(Bucket=bucket)


def test_the_list_of_parts(account, bucket):
    """A checksum in its headers is the object's, but Content-MD5 is the list's."""
    where = {"Bucket": bucket, "Key": "k"}
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    part = account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"data")
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>"
    ).encode()
    target = f"/{bucket}/k?uploadId={upload}"
    for declared, expected in ((b"other", 400), (body, 200)):
        headers = [("Content-MD5", md5(declared))]
        answer = wire.call(account, "POST", target, body, headers=headers)
        assert answer.status == expected, answer


@pytest.mark.parametrize("algorithm, value", [
    ("SHA512", "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw=="),
    ("MD5", "XUFAKrxLKna5cZ2REBfFkg=="),
    ("XXHASH64", "JseCfYifbaM="),
    ("XXHASH3", "lVXoVVxi3P0="),
    ("XXHASH128", "tenBrQcbPn/Hec+qXlI4GA=="),
])
def test_the_algorithms_of_2026(account, bucket, algorithm, value):
    """With values worked out elsewhere, since not every client can."""
    member = f"Checksum{algorithm}"
    body = b"hello"
    put = account.s3.put_object(Bucket=bucket, Key="k", Body=body, **{member: value})
    assert put[member] == value and put["ChecksumType"] == "FULL_OBJECT"
    got = account.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[member] == value
    with refused("BadDigest", 400):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"other", **{member: value})
    begun = account.s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm)
    assert begun["ChecksumType"] == "COMPOSITE"
    part = account.s3.upload_part(Bucket=bucket, Key="m", UploadId=begun["UploadId"], PartNumber=1,
                                  Body=body, **{member: value})
    done = account.s3.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=begun["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"], member: part[member]}]})
    assert done[member].endswith("-1")
