# SPDX-License-Identifier: BSD-2-Clause
"""PCP version 2 messages, packed and unpacked with struct: written apart from src/wire, so that a
mistake there does not hide here (RFC 6887 s7, s11.1)."""

import ipaddress
import socket
import struct
from dataclasses import dataclass, field

ANNOUNCE, MAP, PEER = 0, 1, 2
UDP, TCP, SCTP = 17, 6, 132

SUCCESS = 0
UNSUPP_VERSION = 1
NOT_AUTHORIZED = 2
MALFORMED_REQUEST = 3
UNSUPP_OPCODE = 4
UNSUPP_OPTION = 5
MALFORMED_OPTION = 6
NO_RESOURCES = 8
UNSUPP_PROTOCOL = 9
USER_EX_QUOTA = 10
CANNOT_PROVIDE_EXTERNAL = 11
ADDRESS_MISMATCH = 12
EXCESSIVE_REMOTE_PEERS = 13

SERVER_PORT, CLIENT_PORT = 5351, 5350

SHORT_ERROR_LIFETIME, LONG_ERROR_LIFETIME = 30, 1800

PREFER_FAILURE = struct.pack("!BBH", 2, 0, 0)


def third_party(address):
    return struct.pack("!BBH", 1, 0, 16) + octets(address)


def filter_option(prefix_length, port, address):
    return struct.pack("!BBHBBH", 3, 0, 20, 0, prefix_length, port) + octets(address)


def description(text):
    data = text.encode()
    return struct.pack("!BBH", 128, 0, len(data)) + data + bytes(-len(data) % 4)


def port_set(size, first, parity=True):
    return struct.pack("!BBHHHB3x", 130, 0, 5, size, first, parity)


def octets(address):
    """128 bits of an address; IPv4 as IPv4-mapped IPv6 (RFC 6887 s5)."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def nonce(number):
    """The drafts print nonces as small numbers; on the wire they are 96 bits."""
    return number.to_bytes(12, "big")


def header(client, lifetime, opcode=MAP, version=2):
    return struct.pack("!BBHI", version, opcode, 0, lifetime) + octets(client)


def map_body(protocol, internal, external, address, number):
    return (nonce(number) + struct.pack("!B3xHH", protocol, internal, external) + octets(address))


def peer_body(protocol, internal, external, address, number, remote):
    return map_body(protocol, internal, external, address, number) + struct.pack("!H2x", remote[1]) + octets(remote[0])


@dataclass
class Answer:
    """Every field of a response; `body` is what follows the header."""

    version: int
    response: int
    opcode: int
    reserved: int
    result: int
    lifetime: int
    epoch: int
    rest_of_header: bytes
    body: bytes
    nonce: int = field(init=False, default=0)
    protocol: int = field(init=False, default=0)
    internal: int = field(init=False, default=0)
    external: int = field(init=False, default=0)
    address: str = field(init=False, default="")
    remote: tuple = field(init=False, default=())
    options: bytes = field(init=False, default=b"")

    def __post_init__(self):
        size = {MAP: 36, PEER: 56}.get(self.opcode, 0)
        if self.version == 2 and size and len(self.body) >= size:
            self.nonce = int.from_bytes(self.body[:12], "big")
            self.protocol, reserved, self.internal, self.external = struct.unpack("!B3sHH", self.body[12:20])
            assert reserved == bytes(3) or self.result, "reserved octets are zero"
            address = ipaddress.IPv6Address(self.body[20:36])
            self.address = str(address.ipv4_mapped or address)
            self.options = self.body[size:]
        if size == 56:
            port, reserved = struct.unpack("!H2s", self.body[36:40])
            assert reserved == bytes(2) or self.result, "reserved octets are zero"
            remote = ipaddress.IPv6Address(self.body[40:56])
            self.remote = (str(remote.ipv4_mapped or remote), port)


def parse(datagram):
    assert 24 <= len(datagram) <= 1100 and len(datagram) % 4 == 0, len(datagram)
    version, opcode, reserved, result, lifetime, epoch, rest = struct.unpack("!BBBBII12s", datagram[:24])
    return Answer(version, opcode >> 7, opcode & 0x7F, reserved, result, lifetime, epoch, rest, datagram[24:])


# Not in Python's socket module.
SO_TIMESTAMPNS = 35


def stamp_arrivals(receiving):
    receiving.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def receive(receiving):
    """The next datagram, its source, and when it arrived, in seconds: the kernel's time, however late we are."""
    datagram, ancillary, _, source = receiving.recvmsg(2048, 64)
    seconds, nanoseconds = struct.unpack("qq", next(data for _, kind, data in ancillary if kind == SO_TIMESTAMPNS))
    return datagram, source, seconds + nanoseconds / 1e9


class Client:
    """A PCP client of one address: sends octets, returns the answer. `host` is the hosts.Host it is on, this
    one by default; `flow` is told what goes over the wire."""

    def __init__(self, address, server=None, host=None, flow=None):
        self.address = address
        self.flow = flow
        is_ipv6 = ":" in address
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        self.socket = (host or socket).socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(10)
        stamp_arrivals(self.socket)
        self.arrival = None
        self.server = (server or ("::1" if is_ipv6 else "127.0.0.1"), SERVER_PORT)

    def _tell(self, direction, datagram):
        if self.flow:
            self.flow.message(direction, datagram)

    def receive(self):
        """Waits for an answer, or for what is sent unasked; `arrival` is when it came."""
        answer, source, self.arrival = receive(self.socket)
        assert source[:2] == self.server, "the answer comes from where the request went"
        self._tell(f"Server to {self.address}", answer)
        return parse(answer)

    def send(self, datagram):
        self._tell(f"{self.address} to server", datagram)
        self.socket.sendto(datagram, self.server)
        return self.receive()

    def announce(self):
        return self.send(header(self.address, 0, ANNOUNCE))

    def map(self, protocol, internal, external=0, address="0.0.0.0", lifetime=36000, number=15685, options=b"",
            client=None):
        """Sends a MAP request and returns it with its answer."""
        request = header(client or self.address, lifetime) + map_body(protocol, internal, external, address, number)
        return request + options, self.send(request + options)

    def peer(self, protocol, internal, external=0, address="0.0.0.0", lifetime=36000, number=15685,
             remote=("198.51.100.2", 12456), options=b""):
        """Sends a PEER request and returns it with its answer."""
        request = header(self.address, lifetime, PEER)
        request += peer_body(protocol, internal, external, address, number, remote) + options
        return request, self.send(request)

    def exchange(self, datagram):
        """Sends octets and returns those of the answer."""
        self.socket.sendto(datagram, self.server)
        return self.socket.recvfrom(2048)[0]

    def close(self):
        self.socket.close()


def assert_success(answer, external, address="192.0.2.1", lifetime=20000, protocol=UDP, internal=3938, number=15685,
                   options=b""):
    assert (answer.version, answer.response, answer.opcode) == (2, 1, MAP)
    assert (answer.result, answer.reserved, answer.rest_of_header) == (SUCCESS, 0, bytes(12))
    assert answer.lifetime == lifetime
    assert (answer.nonce, answer.protocol, answer.internal) == (number, protocol, internal)
    assert (answer.external, answer.address) == (external, address)
    assert answer.options == options


def assert_peer(answer, external, address="192.0.2.1", lifetime=20000, protocol=UDP, internal=3938, number=15685,
                remote=("198.51.100.2", 12456)):
    assert (answer.version, answer.response, answer.opcode) == (2, 1, PEER)
    assert (answer.result, answer.reserved, answer.rest_of_header) == (SUCCESS, 0, bytes(12))
    assert answer.lifetime == lifetime
    assert (answer.nonce, answer.protocol, answer.internal) == (number, protocol, internal)
    assert (answer.external, answer.address, answer.remote) == (external, address, remote)
    assert answer.options == b""


def assert_error(answer, request, result, lifetime):
    """An error answer is a copy of the request with the header's fields set (RFC 6887 s8.2)."""
    assert (answer.version, answer.response, answer.result) == (2, 1, result)
    assert answer.opcode == request[1] & 0x7F
    assert answer.lifetime == lifetime
    assert (answer.reserved, answer.rest_of_header) == (0, bytes(12))
    assert answer.body == request[24:]
