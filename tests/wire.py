"""Requests below the SDKs: signed by hand, so that each piece of a signature or a frame can be wrong.

`Request` builds a signed request; change it before or after signing, then `send` it as it is. `talk`
is a bare socket.
"""

import base64
import binascii
import datetime
import hashlib
import hmac
import socket
import time
import urllib.parse

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def crc32_base64(data):
    return base64.b64encode(binascii.crc32(data).to_bytes(4, "big")).decode()


class Signer:
    """The parts of Signature Version 4 for one moment."""

    def __init__(self, key, secret, service="s3", region="us-east-1", at=None):
        self.key, self.secret = key, secret
        self.service, self.region = service, region
        self.at = at or datetime.datetime.now(datetime.timezone.utc)

    @property
    def stamp(self):
        return self.at.strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self):
        return f"{self.stamp[:8]}/{self.region}/{self.service}/aws4_request"

    @property
    def signing_key(self):
        key = _hmac(f"AWS4{self.secret}".encode(), self.stamp[:8])
        for part in (self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        return key

    def sign(self, text):
        return _hmac(self.signing_key, text).hex()

    def sign_canonical(self, canonical):
        digest = sha256(canonical.encode())
        return self.sign(f"AWS4-HMAC-SHA256\n{self.stamp}\n{self.scope}\n{digest}")

    def sign_chunk(self, previous, data):
        return self.sign(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self.stamp}\n{self.scope}\n{previous}\n{EMPTY}\n{sha256(data)}"
        )

    def sign_trailer(self, previous, trailer):
        return self.sign(
            f"AWS4-HMAC-SHA256-TRAILER\n{self.stamp}\n{self.scope}\n{previous}\n"
            f"{sha256(trailer.encode())}"
        )


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def code(self):
        return self._element("Code")

    @property
    def message(self):
        return self._element("Message")

    def _element(self, name):
        before, found, rest = self.text.partition(f"<{name}>")
        return rest.partition(f"</{name}>")[0] if found else None

    def __repr__(self):
        return f"{self.status} {self.headers}\n{self.text[:2000]}"


class Request:
    """A request in parts. `target` is the path and query as sent; `headers` a list of pairs."""

    def __init__(self, account, method, target, body=b"", headers=(), **signer):
        signer.setdefault("key", account.id)
        signer.setdefault("secret", "test")
        self.address = account.cloud.address
        self.signer = Signer(**signer)
        self.method, self.target, self.body = method, target, body
        self.headers = [("Host", "%s:%d" % self.address), *headers]
        self.payload_hash = sha256(body)
        self.signature = None

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def without(self, *names):
        names = [name.lower() for name in names]
        self.headers = [(n, v) for n, v in self.headers if n.lower() not in names]
        return self

    def set(self, name, value):
        self.without(name)
        self.headers.append((name, value))
        return self

    def canonical(self, signed):
        path, _, query = self.target.partition("?")
        pairs = sorted(
            tuple(piece.partition("=")[::2]) for piece in query.split("&") if piece
        )
        query = "&".join(f"{n}={v}" for n, v in pairs)
        values = {n.lower(): " ".join(v.split()) for n, v in self.headers}
        lines = "".join(f"{name}:{values[name]}\n" for name in signed)
        return f"{self.method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{self.payload_hash}"

    def sign(self, payload_hash=None, also=()):
        """Adds the date, the hash and the Authorization header."""
        if payload_hash:
            self.payload_hash = payload_hash
        self.set("X-Amz-Date", self.signer.stamp)
        if self.signer.service == "s3":
            self.set("X-Amz-Content-Sha256", self.payload_hash)
        signed = sorted(
            n.lower() for n, _ in self.headers
            if n.lower() == "host" or n.lower().startswith("x-amz-") or n.lower() in also
        )
        self.signature = self.signer.sign_canonical(self.canonical(signed))
        credential = f"{self.signer.key}/{self.signer.scope}"
        return self.set(
            "Authorization",
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(signed)}, "
            f"Signature={self.signature}",
        )

    def presign(self, seconds=300):
        """Puts the signature into the query."""
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.signer.key}/{self.signer.scope}",
            "X-Amz-Date": self.signer.stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        text = "&".join(f"{n}={urllib.parse.quote(v, safe='')}" for n, v in query.items())
        self.target += ("&" if "?" in self.target else "?") + text
        # Only S3 leaves the body out of a presigned URL.
        self.payload_hash = UNSIGNED if self.signer.service == "s3" else sha256(self.body)
        self.signature = self.signer.sign_canonical(self.canonical(["host"]))
        self.target += f"&X-Amz-Signature={self.signature}"
        return self

    def head(self, length=True):
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{n}: {v}" for n, v in self.headers]
        if length and self.header("content-length") is None and not self.header("transfer-encoding"):
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def send(self):
        with talk(self.address) as line:
            line.send(self.head() + self.body)
            return line.answer(self.method)


def call(account, method, target, body=b"", headers=(), **signer):
    """A correctly signed request."""
    return Request(account, method, target, body, headers, **signer).sign().send()


def aws_chunks(request, pieces, trailer=None, signed=True):
    """The `aws-chunked` body of a signed request, chunk by chunk, each (extension, data)."""
    previous = request.signature
    body = b""
    for data in [*pieces, b""]:
        extension = ""
        if signed:
            previous = request.signer.sign_chunk(previous, data)
            extension = f";chunk-signature={previous}"
        body += f"{len(data):x}{extension}\r\n".encode()
        if data:
            body += data + b"\r\n"
    if trailer:
        name, value = trailer
        body += f"{name}:{value}\r\n".encode()
        if signed:
            signature = request.signer.sign_trailer(previous, f"{name}:{value}\n")
            body += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return body + b"\r\n"


class talk:
    """A bare connection. What is sent is sent as it is; answers are read as HTTP/1.1."""

    def __init__(self, address, seconds=30):
        self.socket = socket.create_connection(address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends what the other side still takes: it may answer and close before the end."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.rest += data
        return bool(data)

    def closed(self, seconds=30):
        """True when the other side closes (or resets) within the time."""
        end = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                if not self._more():
                    return True
            except TimeoutError:
                return False

    def answer(self, method="GET"):
        """The next answer; None when the connection ended without one. Skips 100-continue."""
        while True:
            head = self._head()
            if head is None:
                return None
            status, headers = head
            if status != 100:
                break
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if "chunked" in headers.get("transfer-encoding", ""):
            return Answer(status, headers, self._chunked())
        if "content-length" in headers:
            return Answer(status, headers, self._take(int(headers["content-length"])))
        while self._more():
            pass
        body, self.rest = self.rest, b""
        return Answer(status, headers, body)

    def _head(self):
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                return None
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(first.split()[1]), headers

    def interim(self):
        """The status of the next head, whatever it is."""
        head = self._head()
        return head and head[0]

    def _take(self, count):
        while len(self.rest) < count and self._more():
            pass
        body, self.rest = self.rest[:count], self.rest[count:]
        return body

    def _chunked(self):
        body = b""
        while True:
            while b"\r\n" not in self.rest and self._more():
                pass
            size, _, self.rest = self.rest.partition(b"\r\n")
            size = int(size.split(b";")[0] or b"0", 16)
            data = self._take(size + 2)
            if not size:
                return body
            body += data[:size]
