"""Runs in a network namespace that test_shell.py makes: a host whose ports are taken, with a server and
a resolver of its own, and `cumulet shell` on it. Prints what the command in the shell saw."""

import http.server
import os
import socket
import subprocess
import sys
import threading

from cloud import Cloud, binary

OUTSIDE = "192.0.2.7"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"page of %s:%d\n" % (self.server.server_name.encode(), self.server.server_port))

    def log_message(self, *_):
        pass


def serve(address, port):
    server = http.server.HTTPServer((address, port), Page)
    server.server_name = address
    threading.Thread(target=server.serve_forever, daemon=True).start()


def resolve(own):
    while True:
        data, client = own.recvfrom(4096)
        answer = bytearray(data[:12] + data[12:data.index(b"\0", 12) + 5])
        kind = answer[-3]
        answer[2:4], answer[6:12] = b"\x85\x80", b"\0\1\0\0\0\0" if kind == 1 else bytes(6)
        if kind == 1:
            answer += b"\xc0\x0c\0\1\0\1\0\0\0\x09\0\4" + socket.inet_aton(OUTSIDE)
        own.sendto(bytes(answer), client)


def main(folder, script):
    for address, port in [(OUTSIDE, 80), ("0.0.0.0", 443), ("127.0.0.1", 5999), ("127.0.0.1", 5998)]:
        serve(address, port)
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((OUTSIDE, 53))
    threading.Thread(target=resolve, args=(own,), daemon=True).start()
    cloud = Cloud(os.path.join(folder, "data"), ["--dns-forward", OUTSIDE]).start()
    try:
        words = [binary(), "shell", "--data", cloud.data, "--port", "5999", "--", "sh", "-c", script]
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MAIN": cloud.endpoint}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env, check=False)
        print(done.stdout, done.stderr, done.returncode, sep="\n")
    finally:
        cloud.discard()


main(*sys.argv[1:])
