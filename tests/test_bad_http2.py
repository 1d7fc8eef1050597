"""Hostile and half-dead clients of HTTP/2: nothing grows, nobody else waits, and they are given up."""

import contextlib
import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
import requests
import wire
from accounts import Account
from cloud import memory_kb
from deadline import wait_until

pytestmark = pytest.mark.unkilled

MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def block(stream, fields, flags=END_STREAM):
    """A head in as many frames as it takes."""
    pieces = [fields[at:at + 16_384] for at in range(0, len(fields), 16_384)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if n else HEADERS, (0 if n else flags) | (END_HEADERS if n == last else 0), stream, piece)
        for n, piece in enumerate(pieces))


def head(path="/", more=()):
    return [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more]


def said(line, data, seconds=10):
    """What comes back, up to a head, a reset or a farewell, or the end of the connection."""
    line.settimeout(seconds)
    out, at = b"", 0
    with contextlib.suppress(OSError):
        line.sendall(data)
    with contextlib.suppress(OSError):
        while piece := line.recv(65_536):
            out += piece
            while len(out) >= at + 9:
                if out[at + 3] in (HEADERS, RST_STREAM, GOAWAY):
                    return out
                at += 9 + int.from_bytes(out[at:at + 3], "big")
    return out


@pytest.fixture(autouse=True)
def alive(request, account):
    """After whatever a test did, the cloud answers, and has not grown: what others do to it meanwhile is less."""
    before = memory_kb(account.cloud.pid, "VmRSS")
    yield
    assert wire.call(account, "GET", "/").status == 200
    if "large" not in request.fixturenames:
        assert memory_kb(account.cloud.pid, "VmRSS") - before < 150 * 1024


def dial(address):
    line = socket.create_connection(address, timeout=10)
    line.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return line


def test_a_hundred_thousand_fields(account):
    encoder = hpack.Encoder()
    fields = encoder.encode(head(more=[(f"x{n}", "y") for n in range(100_000)]), huffman=False)
    with dial(account.cloud.address) as line:
        answer = said(line, block(1, fields))
    assert b"<ListAllMyBucketsResult" not in answer


def test_a_small_head_that_becomes_a_huge_one(account):
    """One field of 4,000 bytes, named 100,000 times by its number: 400 MB, if anybody wrote it down."""
    encoder = hpack.Encoder()
    fields = encoder.encode(head(more=[("x", "y" * 4_000)]), huffman=False)
    fields += b"\xbe" * 100_000
    with dial(account.cloud.address) as line:
        said(line, block(1, fields))


@pytest.mark.parametrize("what", ["nothing in them", "a field in each"])
def test_a_head_that_goes_on_for_ever(account, what):
    piece = b"" if what == "nothing in them" else b"\x00\x01x\x01y"
    with dial(account.cloud.address) as line:
        line.sendall(frame(HEADERS, END_STREAM, 1, hpack.Encoder().encode(head())))
        answer = said(line, frame(CONTINUATION, 0, 1, piece) * 100_000)
    assert b"<ListAllMyBucketsResult" not in answer


def test_requests_that_are_taken_back_at_once(account):
    """Rapid reset: 20,000 of them on one connection, while somebody else is served."""
    encoder = hpack.Encoder()
    with dial(account.cloud.address) as line:
        line.settimeout(10)
        with contextlib.suppress(OSError):
            for first in range(1, 40_000, 200):
                line.sendall(b"".join(
                    frame(HEADERS, END_STREAM | END_HEADERS, stream, encoder.encode(head()))
                    + frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
                    for stream in range(first, first + 200, 2)))
        began = time.monotonic()
        assert wire.call(account, "GET", "/").status == 200
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("bytes_", [
    frame(7, 0, 0, b"x"), frame(SETTINGS, 0, 0, b"12345"), frame(HEADERS, END_HEADERS, 0, b""),
    frame(HEADERS, END_HEADERS, 2, b"\x82"), frame(0, 0, 1, b"data before a head"),
    frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
    frame(8, 0, 0, (0).to_bytes(4, "big")), frame(255, 255, 1, b"x"), b"\xff" * 100,
    frame(0, 0, 1, bytes(16_385)),
], ids=range(10))
def test_frames_that_are_none(account, bytes_):
    with dial(account.cloud.address) as line:
        said(line, bytes_ + bytes(100))


class Client:
    """One that answers pings and opens no window by itself."""

    def __init__(self, address, window):
        self.line = socket.create_connection(address, timeout=10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(
            initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.line.sendall(self.h2.data_to_send())

    def events(self, seconds):
        """What came; `None` once the connection has ended."""
        self.line.settimeout(seconds)
        try:
            data = self.line.recv(65_536)
        except TimeoutError:
            return []
        except OSError:
            return None
        if not data:
            return None
        events = self.h2.receive_data(data)
        with contextlib.suppress(OSError):
            self.flush()
        return events

    def get(self, account, target):
        request = wire.Request(account, "GET", target).sign()
        fields = [(n.lower(), v) for n, v in request.headers if n != "Host"]
        authority = "%s:%d" % account.cloud.address
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [
            (":method", "GET"), (":scheme", "http"), (":path", target), (":authority", authority), *fields],
            end_stream=True)
        self.flush()
        return stream


@pytest.fixture
def large(own_cloud):
    """A cloud without much patience, and an object in it."""
    cloud = own_cloud("--stall-timeout-s", "1", "--head-timeout-s", "1")
    account = Account("700000000041", cloud)
    assert wire.call(account, "PUT", "/stalling").status == 200
    assert wire.call(account, "PUT", "/stalling/k", bytes(8 * MIB)).status == 200
    return account


def test_a_reader_who_takes_nothing_is_given_up(large):
    """It answers pings, so that only what it does not take shows that it has stalled."""
    client = Client(large.cloud.address, 0)
    client.get(large, "/stalling/k")
    end = time.monotonic() + 20
    while (events := client.events(1)) is not None and time.monotonic() < end:
        assert not any(isinstance(e, h2.events.DataReceived) for e in events)
    assert events is None, "still there"

    def given_up():
        return "cumulet_connections 1\n" in requests.get(f"{large.cloud.endpoint}/metrics").text

    wait_until(given_up, "only the connection that asks is left", 20)


def frames(line):
    """What comes, as kind, flags and payload, until the connection has ended."""
    line.settimeout(20)
    come = b""
    while True:
        while len(come) >= 9 and len(come) >= (end := 9 + int.from_bytes(come[:3], "big")):
            yield come[3], come[4], come[9:end]
            come = come[end:]
        try:
            piece = line.recv(65_536)
        except ConnectionError:
            return
        if not piece:
            return
        come += piece


def test_a_connection_without_requests_is_given_up(large):
    """It answers pings, and would keep its place among the connections for ever."""
    farewells = 0
    with dial(large.cloud.address) as line:
        line.sendall(block(1, hpack.Encoder().encode(head("/health"))))
        for kind, flags, payload in frames(line):
            farewells += kind == GOAWAY
            if kind == PING and not flags & ACK:
                with contextlib.suppress(ConnectionError):
                    line.sendall(frame(PING, ACK, 0, payload))
    assert farewells, "it was cut off without a word"


def test_a_reader_who_is_slow_gets_all(large):
    """A little at a time, for longer than the patience lasts."""
    client = Client(large.cloud.address, 65_535)
    stream = client.get(large, "/stalling/k")
    taken, began, ended = 0, time.monotonic(), False
    while not ended:
        events = client.events(10)
        assert events, "it was given up"
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                taken += event.flow_controlled_length
                wanted = (time.monotonic() - began) / 3 * 8 * MIB
                if taken > wanted:
                    client.line.settimeout(0.3)
                    with contextlib.suppress(TimeoutError):
                        client.line.recv(1, socket.MSG_PEEK)
                client.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                client.flush()
            ended = ended or isinstance(event, h2.events.StreamEnded)
    assert taken == 8 * MIB


def test_a_body_that_stalls_is_given_up(large):
    client = Client(large.cloud.address, 65_535)
    request = wire.Request(large, "PUT", "/stalling/new").sign(payload_hash=wire.UNSIGNED)
    fields = [(n.lower(), v) for n, v in request.headers if n != "Host"]
    authority = "%s:%d" % large.cloud.address
    client.h2.send_headers(1, [
        (":method", "PUT"), (":scheme", "http"), (":path", "/stalling/new"), (":authority", authority),
        *fields, ("content-length", "1000")])
    client.h2.send_data(1, b"x" * 10)
    client.flush()
    end, status = time.monotonic() + 20, None
    while status is None and time.monotonic() < end:
        events = client.events(1)
        if events is None:
            break
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[":status"]
    assert events is None or status == "400", status
    assert wire.call(large, "HEAD", "/stalling/new").status == 404
