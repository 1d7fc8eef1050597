"""Writes botocore.txt: requests as botocore (1.43) signs them, to be verified by the tests.

Run with botocore installed: python3 goldens.py > botocore.txt
Each block: name, rules, key line, method and target, headers, empty line.
"""

import datetime

import botocore.auth
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 20, 17, 30, 0)
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: NOW

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjE//8Example+Token=="
S3_HOST = "http://bucket.s3.localhost:4566"
DYNAMO = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.GetItem",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

# name, signer, service, region, method, url, headers, body, token
CASES = [
    ("get", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "/key", {}, b"", None),
    ("get range", S3SigV4Auth, "s3", "eu-central-1", "GET", S3_HOST + "/a/b", {"Range": "bytes=0-9"}, b"", None),
    ("get token", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "/key", {}, b"", TOKEN),
    ("get odd path", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "/%C3%A9//a%20b/../%2B%28x%29~%27%21%2A./", {}, b"", None),
    ("get dots", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "//./../..", {}, b"", None),
    ("list", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "/?list-type=2&prefix=a%20b%2F%2B&delimiter=%2F&encoding-type=url", {}, b"", None),
    ("subresource", S3SigV4Auth, "s3", "us-east-1", "GET", S3_HOST + "/?versioning", {}, b"", None),
    ("default port", S3SigV4Auth, "s3", "us-east-1", "GET", "http://localhost:80/bucket/key", {}, b"", None),
    ("put", S3SigV4Auth, "s3", "us-east-1", "PUT", S3_HOST + "/key", {"Content-Type": "text/plain", "x-amz-meta-a": "  two   spaces ", "x-amz-sdk-checksum-algorithm": "CRC32"}, b"hello", None),
    ("path style put", S3SigV4Auth, "s3", "us-west-2", "PUT", "http://127.0.0.1:4566/bucket/k%20e%25y", {}, b"\x00\xff", None),
    ("delete version", S3SigV4Auth, "s3", "us-east-1", "DELETE", S3_HOST + "/k?versionId=null&x-id=DeleteObject", {}, b"", None),
    ("url get", S3SigV4QueryAuth, "s3", "us-east-1", "GET", S3_HOST + "/key", {}, b"", None),
    ("url get token", S3SigV4QueryAuth, "s3", "us-east-1", "GET", S3_HOST + "/a%20b%2Bc", {}, b"", TOKEN),
    ("url put", S3SigV4QueryAuth, "s3", "us-east-1", "PUT", S3_HOST + "/key?versionId=a%20b", {"Content-Type": "image/png"}, b"", None),
    ("dynamodb", SigV4Auth, "dynamodb", "us-east-1", "POST", "http://localhost:4566/", DYNAMO, b'{"TableName":"t"}', None),
    ("dynamodb token", SigV4Auth, "dynamodb", "us-east-1", "POST", "http://localhost:4566/", DYNAMO, b"{}", TOKEN),
    ("sqs query", SigV4Auth, "sqs", "eu-west-1", "POST", "http://localhost:4566/000000000000/q", FORM, b"Action=SendMessage&MessageBody=a+b", None),
    ("iam", SigV4Auth, "iam", "us-east-1", "POST", "https://iam.amazonaws.com/", FORM, b"Action=ListUsers&Version=2010-05-08", None),
    ("lambda path", SigV4Auth, "lambda", "us-east-1", "GET", "http://localhost:4566/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af/invocations?Qualifier=%24LATEST", {}, b"", None),
    ("general dots", SigV4Auth, "execute-api", "us-east-1", "GET", "http://localhost:4566/a//b/./c/../d%20e/", {}, b"", None),
    ("general root dots", SigV4Auth, "execute-api", "us-east-1", "GET", "http://localhost:4566/../.", {}, b"", None),
    ("url sts", SigV4QueryAuth, "sts", "us-east-1", "GET", "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", {}, b"", TOKEN),
]


def main():
    for name, signer, service, region, method, url, headers, body, token in CASES:
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        signer(Credentials(KEY, SECRET, token), service, region).add_auth(request)
        prepared = request.prepare()
        scheme, rest = prepared.url.split("://", 1)
        host, slash, target = rest.partition("/")
        rules = "s3" if service == "s3" else "general"
        print(f"# {name}")
        print(f"{rules} {region} {service} {body.hex() or '-'}")
        print(f"{method} /{target}")
        print(f"host: {host}")
        for header, value in prepared.headers.items():
            value = value.decode() if isinstance(value, bytes) else value
            if header.lower() not in ("content-length", "host"):
                print(f"{header.lower()}: {value}")
        print()


main()
