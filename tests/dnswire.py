"""A little DNS, to ask the responder what no library would ask."""

import socket
import struct

A, AAAA, TXT, ANY = 1, 28, 16, 255
NXDOMAIN, REFUSED, SERVFAIL, FORMERR, NOTIMP = 3, 5, 2, 1, 4


def query(name, kind=A, number=7, edns=None):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    extra = b"" if edns is None else b"\0" + struct.pack(">HHIH", 41, edns, 0, 0)
    head = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 1 if extra else 0)
    return head + labels + b"\0" + struct.pack(">HH", kind, 1) + extra


class Answer:
    def __init__(self, data):
        self.data = data
        self.number, flags, _, self.count, _, _ = struct.unpack(">HHHHHH", data[:12])
        self.code, self.truncated = flags & 15, bool(flags & 0x200)

    @property
    def address(self):
        """That of the only answer, which stands at the end where no EDNS was asked for."""
        assert self.count == 1, self.data
        return socket.inet_ntoa(self.data[-4:])


def ask(address, data, seconds=5):
    """Over UDP; None where nothing is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.settimeout(seconds)
        own.sendto(data, address)
        try:
            return Answer(own.recv(65535))
        except TimeoutError:
            return None


def ask_tcp(address, *queries):
    with socket.create_connection(address, timeout=5) as own:
        file = own.makefile("rb")
        for data in queries:
            own.sendall(struct.pack(">H", len(data)) + data)
        return [Answer(file.read(struct.unpack(">H", file.read(2))[0])) for _ in queries]
