"""Writes botocore2.txt: requests as botocore (1.43) signs them with Signature Version 2.

Run with botocore installed: python3 goldens2.py > botocore2.txt
Each block: name, bucket of the host name or -, method and target, headers, empty line.
"""

import calendar
import email.utils
import time

import botocore.auth
from botocore.auth import HmacV1Auth, HmacV1PostAuth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = calendar.timegm((2026, 11, 20, 17, 30, 0))
time.time = lambda: NOW
botocore.auth.formatdate = lambda usegmt: email.utils.formatdate(NOW, usegmt=True)

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjE//8Example+Token=="
PATH = "http://127.0.0.1:4566/bucket"
HOST = "http://bucket.s3.localhost:4566"

# name, signer, method, url, bucket, headers, token
CASES = [
    ("url get", HmacV1QueryAuth, "GET", PATH + "/key", "", {}, None),
    ("url get host", HmacV1QueryAuth, "GET", HOST + "/a/b", "bucket", {}, None),
    ("url get token", HmacV1QueryAuth, "GET", PATH + "/a%20b%2Bc", "", {}, TOKEN),
    ("url head", HmacV1QueryAuth, "HEAD", PATH + "/key", "", {}, None),
    ("url put", HmacV1QueryAuth, "PUT", PATH + "/key", "", {"Content-Type": "image/png", "x-amz-meta-a": "b c", "x-amz-acl": "private"}, None),
    ("url odd path", HmacV1QueryAuth, "GET", HOST + "/%C3%A9//a%20b/../%2B%28x%29~%27%21%2A./", "bucket", {}, None),
    ("url overrides", HmacV1QueryAuth, "GET", PATH + "/key?versionId=a%2Fb&response-content-type=text%2Fplain%3B%20a&response-content-disposition=attachment%3B%20filename%3D%22x%20y.txt%22", "", {}, None),
    ("url other parameters", HmacV1QueryAuth, "GET", HOST + "/?list-type=2&prefix=a%20b%2F%2B&delimiter=%2F", "bucket", {}, None),
    ("header get", HmacV1Auth, "GET", PATH + "/key", "", {}, None),
    ("header token", HmacV1Auth, "GET", HOST + "/key", "bucket", {}, TOKEN),
    ("header put", HmacV1Auth, "PUT", HOST + "/key", "bucket", {"Content-Type": "text/plain", "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg==", "x-amz-meta-b": " two  spaces ", "x-amz-meta-a": "1"}, None),
    ("header list", HmacV1Auth, "GET", PATH, "", {}, None),
    ("header list slash", HmacV1Auth, "GET", PATH, "/", {}, None),
    ("header subresource", HmacV1Auth, "GET", PATH + "?acl", "", {}, None),
    ("header part", HmacV1Auth, "PUT", PATH + "/key?uploadId=u%2Bid&partNumber=3", "", {}, None),
    ("header empty value", HmacV1Auth, "GET", PATH + "/key?versionId=", "", {}, None),
]


def main():
    for name, signer, method, url, bucket, headers, token in CASES:
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        if bucket == "/":
            # What botocore does with a bucket in the path.
            request.auth_path, bucket = "/bucket/", ""
        if bucket:
            request.auth_path = "/" + bucket + url.split("?")[0].removeprefix(HOST)
        signer(Credentials(KEY, SECRET, token)).add_auth(request)
        host, slash, target = request.url.split("://", 1)[1].partition("/")
        print(f"# {name}")
        print(bucket or "-")
        print(f"{method} /{target}")
        print(f"host: {host}")
        for header, value in request.headers.items():
            # Of a URL its user sends what the signer knew of Content-Type, and no more.
            if signer is HmacV1Auth or header.lower() == "content-type":
                print(f"{header.lower()}: {value}")
        print()
    request = AWSRequest(method="POST", url=PATH)
    request.context["s3-presign-post-policy"] = {
        "expiration": "2026-11-20T18:30:00Z",
        "conditions": [{"bucket": "bucket"}, ["starts-with", "$key", "u/"]],
    }
    request.context["s3-presign-post-fields"] = {"key": "u/a"}
    HmacV1PostAuth(Credentials(KEY, SECRET, TOKEN)).add_auth(request)
    print("# form")
    for field, value in request.context["s3-presign-post-fields"].items():
        print(f"{field}: {value}")


main()
