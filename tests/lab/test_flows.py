# SPDX-License-Identifier: BSD-2-Clause
"""Flows of applications through the NAT64: streams of segmented datagrams as HTTP/3 sends them, many flows at
once, handsets that meet at their external addresses, a long download; and what the NAT64 must leave alone.
"""
import contextlib
import hashlib
import itertools
import json
import socket
import struct
import sys
import threading

import pytest

from labkit import POOL, ROOT, VIEWER_INSIDE

sys.path.insert(0, str(ROOT / "lab"))
import bulk  # noqa: E402

POOL_INSIDE = "2001:db8:64:ff9b::c000:20e"
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h
SO_RCVBUFFORCE = 33
IPV6_RECVERR = 25
SEGMENT = 1200


@pytest.fixture(scope="module", autouse=True)
def real_checksums(lab):
    """The gateway's links get packets cut and summed, so that the receiving kernels check what the NAT64 made of
    the sums. Links between namespaces otherwise skip both."""
    for interface in ("phone0", "outside0"):
        lab.output("gateway", "ethtool", "-K", interface, "tx", "off")


def udp_errors(lab, host):
    """Datagrams that the host's kernel refused, for their checksums or for want of space."""
    shown = lab.output(host, "sh", "-c", "cat /proc/net/snmp /proc/net/snmp6 2>/dev/null || cat /proc/net/snmp")
    lines = [line.split() for line in shown.splitlines()]
    names, values = [line for line in lines if line[0] == "Udp:"]
    ipv4 = dict(zip(names, values))
    ipv6 = dict(line for line in lines if len(line) == 2)
    return {name: int(ipv4[name]) + int(ipv6.get("Udp6" + name, 0)) for name in ("InErrors", "InCsumErrors")}


def connected_pair(lab, port, stack):
    """A handset's and the viewer's socket, connected to each other through the NAT64."""
    inside = stack.enter_context(lab.udp("handset-3g"))
    outside = stack.enter_context(lab.udp("viewer", port))
    for sock in (inside, outside):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    inside.connect((VIEWER_INSIDE, port))
    inside.send(b"hello")
    received, source = outside.recvfrom(100)
    assert received == b"hello" and source[0] == POOL
    outside.connect(source)
    return inside, outside


def segment(number, size=SEGMENT):
    """A datagram whose content follows from its number."""
    return struct.pack("!I", number) + hashlib.shake_128(b"%d" % number).digest(size - 4)


class Stream(threading.Thread):
    """Sends batches of segments, each in one call that the kernel cuts; a few may be unanswered, as with QUIC."""

    SEGMENTS_PER_BATCH = 20
    BATCHES_IN_FLIGHT = 4
    LAST_SIZE = 700

    def __init__(self, sender, batches):
        super().__init__()
        self.sender, self.batches = sender, batches
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, SEGMENT)

    def sizes(self):
        for number in range(self.batches * self.SEGMENTS_PER_BATCH):
            is_last = number % self.SEGMENTS_PER_BATCH == self.SEGMENTS_PER_BATCH - 1
            yield number, self.LAST_SIZE if is_last else SEGMENT

    def run(self):
        segments = (segment(number, size) for number, size in self.sizes())
        acknowledged = 0
        for batch in range(self.batches):
            self.sender.send(b"".join(itertools.islice(segments, self.SEGMENTS_PER_BATCH)))
            while batch - acknowledged >= self.BATCHES_IN_FLIGHT:
                acknowledged = struct.unpack("!I", self.sender.recv(100))[0]


def receive(stream, receiver):
    """Takes the stream's segments and acknowledges each batch; they must come whole and in their order."""
    for number, size in stream.sizes():
        received = receiver.recv(65_535)
        assert received == segment(number, size), (
            f"segment {number}: {len(received)} octets, number {struct.unpack('!I', received[:4])[0]}")
        if (number + 1) % stream.SEGMENTS_PER_BATCH == 0:
            receiver.send(struct.pack("!I", (number + 1) // stream.SEGMENTS_PER_BATCH))


def run_stream(sender, receiver, batches):
    stream = Stream(sender, batches)
    stream.start()
    try:
        receive(stream, receiver)
    finally:
        stream.join()


def packets_into_translator(lab):
    shown = lab.output("gateway", "sh", "-c", "cd /sys/class/net/nat64/statistics && cat tx_bytes tx_packets")
    return [int(word) for word in shown.split()]


@pytest.mark.parametrize("direction", ["handset to viewer", "viewer to handset"])
def test_a_stream_of_segmented_datagrams_loses_nothing(lab, direction):
    with contextlib.ExitStack() as stack:
        inside, outside = connected_pair(lab, 4433, stack)
        sender, receiver, host = ((inside, outside, "viewer") if direction.startswith("handset") else
                                  (outside, inside, "handset-3g"))
        errors = udp_errors(lab, host)
        octets, packets = packets_into_translator(lab)
        run_stream(sender, receiver, batches=100)
        octets, packets = (after - before for after, before in zip(packets_into_translator(lab), (octets, packets)))
        assert udp_errors(lab, host) == errors
    assert octets > 100 * 20 * SEGMENT * 0.9
    # With acknowledgements counted in: the datagrams went through the NAT64 by the dozen.
    assert octets / packets > 4 * SEGMENT


def test_flows_side_by_side_keep_their_order(lab):
    failures = []

    def check(stream, receiver):
        try:
            receive(stream, receiver)
        except Exception as failure:  # told by the test's thread
            failures.append(failure)

    with contextlib.ExitStack() as stack:
        pairs = [connected_pair(lab, 5000 + number, stack) for number in range(8)]
        # Every second one goes in the other direction.
        pairs = [pair[::-1] if number % 2 else pair for number, pair in enumerate(pairs)]
        streams = [Stream(sender, batches=20) for sender, _ in pairs]
        receivers = [threading.Thread(target=check, args=(stream, receiver))
                     for stream, (_, receiver) in zip(streams, pairs)]
        for thread in receivers + streams:
            thread.start()
        for thread in receivers + streams:
            thread.join()
    assert failures == []


def test_64_tcp_connections_at_once_carry_what_they_should(lab):
    granted = lab.portolan("handset-3g", "map", "tcp", 8080)
    octets = 200_000
    expected = b"".join(bulk.blocks(octets))
    connections = [lab.connect_from_viewer(granted["external-port"], timeout=20) for _ in range(64)]
    received = {}

    def fetch(number):
        with connections[number] as connection:
            connection.sendall(f"GET /big?bytes={octets} HTTP/1.1\r\nHost: camera\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while block := connection.recv(1 << 16):
                answer += block
            received[number] = answer.partition(b"\r\n\r\n")[2] == expected

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == dict.fromkeys(range(64), True)


# ---- hairpinning

def test_handsets_meet_at_their_external_addresses_by_udp(lab):
    with lab.udp("handset-3g", 6001) as one, lab.udp("handset-wifi", 6002) as two:
        at_one = lab.portolan("handset-3g", "map", "udp", 6001)["external-port"]
        at_two = lab.portolan("handset-wifi", "map", "udp", 6002)["external-port"]
        for size in (10, 1400, 9000):
            payload = bytes(range(256)) * 40
            one.sendto(payload[:size], (POOL_INSIDE, at_two))
            received, source = two.recvfrom(65_535)
            assert received == payload[:size] and source[:2] == (POOL_INSIDE, at_one)
            two.sendto(received[::-1], source)
            received, source = one.recvfrom(65_535)
            assert received == payload[:size][::-1] and source[:2] == (POOL_INSIDE, at_two)


def send_and_end(sock, octets):
    for block in bulk.blocks(octets):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)


def test_handsets_meet_at_their_external_addresses_by_tcp(lab):
    octets = 3_000_000
    external = lab.portolan("handset-wifi", "map", "tcp", 6003)["external-port"]
    with lab.listener("handset-wifi", 6003) as listener:
        with lab.inside("handset-3g"):
            client = socket.create_connection((POOL_INSIDE, external), timeout=10)
        server, source = listener.accept()
        with client, server:
            server.settimeout(10)
            assert source[0] == POOL_INSIDE
            sender = threading.Thread(target=send_and_end, args=(client, octets))
            sender.start()
            received = hashlib.sha256()
            while block := server.recv(1 << 20):
                received.update(block)
            sender.join()
    assert received.hexdigest() == bulk.digest(octets)


def test_a_handset_hears_that_the_other_does_not_listen(lab):
    closed = lab.portolan("handset-wifi", "map", "udp", 6004)["external-port"]
    with lab.udp("handset-3g") as client:
        client.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        client.connect((POOL_INSIDE, closed))
        client.send(b"anybody there")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        _, ancillary, _, _ = client.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        offenders = [socket.inet_ntop(socket.AF_INET6, data[24:40]) for level, kind, data in ancillary
                     if (level, kind) == (socket.IPPROTO_IPV6, IPV6_RECVERR)]
        # Nobody learns by an error where the other really is.
        assert offenders == [POOL_INSIDE]


# ---- a browser's way

def test_a_long_download_by_name(lab, tmp_path):
    octets = 50_000_000
    page = tmp_path / "big"
    shown = lab.output("handset-3g", "curl", "-sS", "--max-time", 60, "-o", page, "-w", "%{json}",
                       f"http://viewer.example/big?bytes={octets}", timeout=90)
    told = json.loads(shown)
    assert told["http_code"] == 200 and told["remote_ip"] == VIEWER_INSIDE
    assert hashlib.sha256(page.read_bytes()).hexdigest() == bulk.digest(octets)


# ---- more specific routes

def test_what_a_more_specific_route_leads_elsewhere_is_not_translated(lab):
    # RFC 7915 s5.6. 198.51.100.77 has an address in the prefix, but lives inside.
    elsewhere = "2001:db8:64:ff9b::c633:644d"
    lab.output("handset-wifi", "ip", "address", "add", elsewhere, "dev", "lo", "nodad")
    lab.output("gateway", "ip", "route", "add", elsewhere, "via", lab.address("handset-wifi"))
    try:
        with lab.udp("handset-wifi", 6005) as server, lab.udp("handset-3g") as client:
            client.sendto(b"as it is", (elsewhere, 6005))
            received, source = server.recvfrom(100)
            assert received == b"as it is" and source[0] == lab.address("handset-3g")
    finally:
        lab.output("gateway", "ip", "route", "del", elsewhere)
        lab.output("handset-wifi", "ip", "address", "del", elsewhere, "dev", "lo")
