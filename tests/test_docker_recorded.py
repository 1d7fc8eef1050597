"""What the stock CLI was recorded to send to dockerd, command by command, and the status of each answer.

`{c1}` and the like stand for ids that an answer gave. An upgraded connection is read until its end.
"""

import io
import json
import socket
import tarfile

import pytest


VERSION = "/v1.50"
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
CREATE = {"Image": "busybox", "Cmd": ["sh", "-c", "echo out; exec sleep 1000"], "StopSignal": "KILL"}
EXEC = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["echo", "in"]}

ABOUT = [
    ("HEAD", "/_ping", 200),
    ("GET", "/version", 200),
    ("GET", "/info", 200),
    ("GET", "/containers/json?all=1", 200),
    ("GET", "/images/json", 200),
    ("GET", "/images/json?manifests=1", 200),
    ("GET", "/networks", 200),
    ("GET", "/volumes", 200),
    ("GET", "/system/df", 200),
    ("GET", "/plugins", 200),
    ("GET", "/containers/busybox/json", 404),
    ("GET", "/images/busybox/json", 200),
]
LIFE = [
    ("POST", "/containers/create?name=c1", 201, CREATE, "c1"),
    ("POST", "/containers/{c1}/start", 204),
    ("GET", "/containers/c1/json?size=1", 200),
    ("POST", "/containers/c1/exec", 201, EXEC, "e1"),
    ("POST", "/exec/{e1}/start", 101, {"Detach": False, "Tty": False}, b"\x01\0\0\0\0\0\0\x03in\n"),
    ("GET", "/exec/{e1}/json", 200),
    ("POST", "/containers/c1/exec", 201, {"Cmd": ["true"], "Env": ["A=b"], "User": "0"}, "e2"),
    ("POST", "/exec/{e2}/start", 200, {"Detach": True}),
    ("GET", "/containers/{c1}/logs?stderr=1&stdout=1&tail=2", 200),
    ("GET", "/containers/{c1}/logs?since=0&stderr=1&stdout=1&tail=all&timestamps=1", 200),
    ("GET", "/containers/c1/stats?stream=0", 200),
    ("GET", "/containers/c1/top", 200),
    ("GET", "/containers/c1/changes", 200),
    ("HEAD", "/containers/c1/archive?path=/tmp/", 200),
    ("PUT", "/containers/c1/archive?noOverwriteDirNonDir=true&path=/tmp/", 200, "tar"),
    ("GET", "/containers/c1/archive?path=/tmp/sent", 200),
    ("POST", "/containers/c1/pause", 204),
    ("POST", "/containers/c1/unpause", 204),
    ("POST", "/containers/c1/rename?name=c2", 204),
    ("POST", "/containers/c2/update", 200, {"Memory": 64 << 20, "MemorySwap": 128 << 20}),
    ("POST", "/containers/c2/kill?signal=HUP", 204),
    ("POST", "/containers/c2/restart?t=0", 204),
    ("POST", "/containers/c2/stop?t=0", 204),
    ("POST", "/containers/c2/stop?t=0", 304),
    ("POST", "/containers/c2/start", 204),
    ("POST", "/containers/{c1}/start", 304),
    ("POST", "/containers/c2/stop?t=0", 204),
    ("POST", "/containers/c2/wait", 200),
    ("POST", "/commit?author=me&comment=msg&container=c2&repo=docker.io/library/img2&tag=latest", 201, {}),
    ("GET", "/images/img2/history", 200),
    ("POST", "/images/img2/tag?repo=127.0.0.1:5000/img2&tag=v1", 201),
    ("GET", "/images/get?names=img2", 200),
    ("GET", "/containers/c2/export", 200),
    ("POST", "/images/create?fromSrc=-&repo=imp:1", 200, "tar"),
    ("DELETE", "/images/127.0.0.1:5000/img2:v1", 200),
    ("DELETE", "/images/imp:1?force=1", 200),
    ("DELETE", "/images/img2?force=1", 200),
    ("DELETE", "/images/img2?force=1", 404),
    ("DELETE", "/containers/c2?force=1&v=1", 204),
    ("DELETE", "/containers/c2?v=False&link=False&force=False", 404),
]
NETWORKS_AND_VOLUMES = [
    ("POST", "/containers/create?name=c3&platform=linux/amd64", 201, CREATE),
    ("POST", "/networks/create", 201, {"Name": "n1", "CheckDuplicate": True, "Driver": "bridge"}),
    ("GET", "/networks/n1", 200),
    ("POST", "/networks/n1/connect", 200, {"Container": "c3", "EndpointConfig": {}}),
    ("POST", "/networks/n1/disconnect", 200, {"Container": "c3", "Force": False}),
    ("DELETE", "/networks/n1", 204),
    ("GET", "/networks/n1", 404),
    ("POST", "/networks/prune", 200),
    ("POST", "/volumes/create", 201, {"Name": "v2"}),
    ("GET", "/volumes/v2", 200),
    ("DELETE", "/volumes/v2", 204),
    ("POST", "/volumes/prune", 200),
    ("DELETE", "/containers/c3", 204),
    ("POST", "/containers/prune", 200),
    ("POST", "/images/prune?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D", 200),
]
# Filters as the CLI sends them, and as docker-py does.
FILTERS = [
    ("GET", "/networks?filters=%7B%22name%22%3A%7B%22pr_default%22%3Atrue%7D%7D", 200),
    ("GET", "/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D", 200),
    ("GET", "/containers/json?all=True&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D", 200),
]
# An engine outside a swarm.
SWARM = [
    ("GET", "/swarm", 503),
    ("GET", "/nodes", 503),
    ("GET", "/services?status=true", 503),
    ("GET", "/tasks", 503),
    ("GET", "/secrets", 503),
    ("GET", "/configs", 503),
    ("POST", "/swarm/leave", 503),
]


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("sent")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"sent"))
    return buffer.getvalue()


def send(engine, method, path, body):
    raw = tar() if body == "tar" else b"" if body is None else json.dumps(body).encode()
    kind = "application/x-tar" if body == "tar" else "application/json"
    upgrades = UPGRADE if path.startswith("/exec/") and path.endswith("/start") else "Connection: close\r\n"
    prefix = "" if path == "/_ping" else VERSION
    head = (
        f"{method} {prefix}{path} HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\n"
        f"Content-Type: {kind}\r\n{upgrades}"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(engine.socket)
        if body == "tar":
            # The CLI does not know how long it will be.
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)
            connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
        else:
            connection.sendall(head.encode() + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        if upgrades == UPGRADE:
            connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


@pytest.mark.parametrize("commands", [ABOUT, LIFE, NETWORKS_AND_VOLUMES, FILTERS, SWARM],
                         ids=["about", "life", "networks and volumes", "filters", "swarm"])
def test_recorded(engine, commands):
    known = {}
    for method, path, status, *more in commands:
        path = path.format(**known) if "{" in path else path
        found, head, body = send(engine, method, path, more[0] if more else None)
        assert found == status, (method, path, found, body[:300])
        for name in ("api-version: 1.51", "docker-experimental: false", "ostype: linux", "server: "):
            assert name in head, (method, path, head)
        if status >= 400:
            assert json.loads(body)["message"], path
        if len(more) > 1 and isinstance(more[1], bytes):
            assert body == more[1], path
        elif len(more) > 1:
            known[more[1]] = json.loads(body)["Id"]
        if method == "HEAD" and "archive" in path:
            assert "x-docker-container-path-stat: " in head
