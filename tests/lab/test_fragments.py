# SPDX-License-Identifier: BSD-2-Clause
"""Packets larger than the links, which travel in fragments, through the NAT64 both ways (RFC 6146 s3.4)."""
import socket
import struct

import pytest

from labkit import PATIENCE, POOL, VIEWER, VIEWER_INSIDE

PORT = 7777
ETH_P_ALL = 3  # linux/if_ether.h
SO_NO_CHECK = 11  # Linux: UDP over IPv4 without checksum


@pytest.fixture(scope="module")
def handset(lab):
    with lab.udp("handset-3g", PORT) as made:
        yield made


@pytest.fixture(scope="module")
def external_port(lab):
    return lab.portolan("handset-3g", "map", "udp", PORT)["external-port"]


@pytest.fixture(scope="module")
def viewer(lab):
    with lab.udp("viewer", PORT) as made:
        yield made


def payload_of(size):
    return bytes(i * 7 % 251 for i in range(size))


@pytest.mark.parametrize("size", [1473, 3000, 9000, 60_000])
def test_datagrams_go_there_and_back(handset, viewer, external_port, size):
    payload = payload_of(size)
    handset.sendto(payload, (VIEWER_INSIDE, PORT))
    received, source = viewer.recvfrom(65_535)
    assert received == payload and source == (POOL, external_port)
    viewer.sendto(payload[::-1], source)
    assert handset.recv(65_535) == payload[::-1]


def packets(lab, host):
    """A socket that sees the IP packets that come in on the host's link."""
    with lab.inside(host):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    made.bind(("eth0", ETH_P_ALL))
    made.settimeout(PATIENCE)
    return made


def fragments_of_one_packet(capture, read):
    """What read() says of its fragments, as they came in, up to the last."""
    found = []
    while not found or found[-1][2]:
        packet, about = capture.recvfrom(65_535)
        if about[2] != socket.PACKET_OUTGOING and (fragment := read(packet)):
            found.append(fragment)
    return found


def ipv4_fragment(packet):
    """(identification, offset, whether more follow) of a UDP datagram's fragment; None of other packets."""
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP:
        return None
    identification, flags = struct.unpack("!HH", packet[4:8])
    assert not flags & 0x4000, "a fragment must not forbid that it is fragmented"
    return identification, (flags & 0x1FFF) * 8, bool(flags & 0x2000)


def ipv6_fragment(packet):
    if packet[0] >> 4 != 6 or packet[6] != socket.IPPROTO_FRAGMENT or packet[40] != socket.IPPROTO_UDP:
        return None
    offset, identification = struct.unpack("!HI", packet[42:48])
    return identification, offset & 0xFFF8, bool(offset & 1)


@pytest.mark.parametrize("receiver", ["viewer", "handset-3g"])
def test_fragments_leave_in_order_with_one_identification(lab, handset, viewer, external_port, receiver):
    with packets(lab, receiver) as capture:
        if receiver == "viewer":
            handset.sendto(payload_of(9000), (VIEWER_INSIDE, PORT))
            assert viewer.recv(65_535) == payload_of(9000)
            fragments = fragments_of_one_packet(capture, ipv4_fragment)
        else:
            viewer.sendto(payload_of(9000), (POOL, external_port))
            assert handset.recv(65_535) == payload_of(9000)
            fragments = fragments_of_one_packet(capture, ipv6_fragment)
    identifications, offsets, more = zip(*fragments)
    assert len(fragments) >= 7 and len(set(identifications)) == 1
    assert offsets[0] == 0 and list(offsets) == sorted(set(offsets))
    assert more == (True,) * (len(fragments) - 1) + (False,)


def test_datagrams_without_checksum_get_one(lab, handset, external_port):
    with lab.udp("viewer") as sender:
        sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sender.sendto(payload_of(9000), (POOL, external_port))
        assert handset.recv(65_535) == payload_of(9000)


def test_fragments_out_of_order_and_twice(lab, handset, external_port):
    payload = payload_of(3000)
    # Linux fills in length, checksum and identification where it is 0; UDP has none here.
    datagram = struct.pack("!HHHH", PORT, external_port, 8 + len(payload), 0) + payload
    with lab.inside("viewer"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        pieces = [(at, datagram[at:at + 1000]) for at in range(0, len(datagram), 1000)]
        for at, piece in [pieces[3], pieces[1], pieces[1], pieces[2], pieces[0]]:
            more = 0x2000 if at + len(piece) < len(datagram) else 0
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 4711, more | at // 8, 64, socket.IPPROTO_UDP, 0,
                                 socket.inet_aton(VIEWER), socket.inet_aton(POOL))
            raw.sendto(header + piece, (POOL, 0))
    assert handset.recv(65_535) == payload


def test_a_long_ping(lab):
    assert "1 received" in lab.output("handset-3g", "ping", "-c", 1, "-W", 5, "-s", 5000, VIEWER_INSIDE)
