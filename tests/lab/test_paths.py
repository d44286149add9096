# SPDX-License-Identifier: BSD-2-Clause
"""Longer paths with narrow links: traceroute and path MTU discovery through the NAT64, in both senses.

  tethered ── handset-3g ── gateway with the NAT64 ── viewer ── server
  2001:db8:114::10   2001:db8:112::/64      192.0.2.0/28   198.51.100.10
"""
import contextlib
import errno
import hashlib
import socket
import struct
import sys
import threading

import pytest

from labkit import POOL, ROOT, VIEWER_INSIDE, FarHost, until

sys.path.insert(0, str(ROOT / "lab"))
import bulk  # noqa: E402

SERVER = "198.51.100.10"
SERVER_INSIDE = "2001:db8:64:ff9b::c633:640a"
TETHERED = "2001:db8:114::10"
GATEWAY_INSIDE = "2001:db8:112::1"
GATEWAY_OUTSIDE = "192.0.2.1"
GATEWAY_OUTSIDE_INSIDE = "2001:db8:64:ff9b::c000:201"
POOL_INSIDE = "2001:db8:64:ff9b::c000:20e"
NARROW = 1400
# What an IPv6 header is longer than one of IPv4.
DIFFERENCE = 20

# linux/in.h, linux/in6.h, linux/errqueue.h
IP_MTU_DISCOVER, IP_RECVERR, IP_MTU = 10, 11, 14
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR = 23, 24, 25
PMTUDISC_DO = 2


@pytest.fixture(scope="module")
def far(lab):
    """The two hosts at the ends: tethered and server."""
    for host in ("gateway", "handset-3g", "viewer"):
        # Here errors follow each other faster than a kernel's limits of them allow.
        lab.output(host, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000",
                   "net.ipv6.icmp.ratelimit=0")
    lab.output("viewer", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    # A router takes advertisements only if told so.
    lab.output("handset-3g", "sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.all.forwarding=1")
    with contextlib.ExitStack() as stack:
        server = FarHost(lab, "viewer", "server0", "198.51.100.1/24", f"{SERVER}/24")
        stack.callback(server.close)
        tethered = FarHost(lab, "handset-3g", "tether0", "2001:db8:114::1/64", f"{TETHERED}/64")
        stack.callback(tethered.close)
        lab.output("viewer", "ip", "route", "replace", "default", "via", GATEWAY_OUTSIDE)
        lab.output("gateway", "ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.10")
        lab.output("gateway", "ip", "route", "add", "2001:db8:114::/64", "via", lab.address("handset-3g"))
        until(lambda: "2001:db8:112::" in lab.output("handset-3g", "ip", "-6", "route", "get", GATEWAY_INSIDE), 20,
              "the handset has its address and route again")
        until(lambda: "eth0" in lab.output("handset-3g", "ip", "-6", "route", "show", "default"), 20,
              "the handset has a default router again")
        yield tethered, server


def outside_endpoint(tethered_socket, server_socket):
    """Has the tethered host's socket send to the server's; returns where the server sees it."""
    tethered_socket.sendto(b"hello", (SERVER_INSIDE, server_socket.getsockname()[1]))
    received, source = server_socket.recvfrom(100)
    assert received == b"hello" and source[0] == POOL
    return source


@pytest.fixture
def udp_pair(far):
    tethered, server = far
    with tethered.socket(socket.SOCK_DGRAM) as inside, server.socket(socket.SOCK_DGRAM) as outside:
        inside.bind(("::", 0))
        outside.bind((SERVER, 0))
        yield inside, outside


# ---- traceroute

def error_of(sock):
    """The next ICMP error that a socket hears of: (from whom, type, code), or None if there is none yet."""
    try:
        _, ancillary, _, _ = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IPV6, IPV6_RECVERR), (socket.IPPROTO_IP, IP_RECVERR)):
            _, _, icmp_type, code, _, _, _ = struct.unpack("=IBBBBII", data[:16])
            family = struct.unpack("=H", data[16:18])[0]
            offender = (socket.inet_ntop(socket.AF_INET6, data[24:40]) if family == socket.AF_INET6 else
                        socket.inet_ntop(socket.AF_INET, data[20:24]))
            return offender, icmp_type, code
    return None


def trace(sock, destination, hops_max=10):
    """What traceroute does: the errors for packets of hop limit 1, 2, ... until the destination answers."""
    is_ipv6 = ":" in destination[0]
    hops = []
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    for limit in range(1, hops_max + 1):
        if is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, limit)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, limit)
        sock.sendto(b"where are you", destination)
        hops.append(until(lambda: error_of(sock), 5, f"an answer at hop {limit}, behind {hops}"))
        if hops[-1][1:] in ((1, 4), (3, 3)):  # port unreachable, of ICMPv6 and of ICMP
            break
    return hops


def test_traceroute_from_inside_shows_each_hop(far):
    tethered, _ = far
    with tethered.socket(socket.SOCK_DGRAM) as sock:
        hops = trace(sock, (SERVER_INSIDE, 33434))
    # The gateway is three of them: its kernel before, the NAT64, its kernel behind.
    routers = ["2001:db8:114::1", GATEWAY_INSIDE, POOL_INSIDE, GATEWAY_OUTSIDE_INSIDE, VIEWER_INSIDE]
    assert hops == [(router, 3, 0) for router in routers] + [(SERVER_INSIDE, 1, 4)]


@pytest.mark.parametrize("limit, router", enumerate(
    ["2001:db8:114::1", GATEWAY_INSIDE, POOL_INSIDE, GATEWAY_OUTSIDE_INSIDE, VIEWER_INSIDE], start=1))
def test_traceroute_by_ping_shows_the_same(far, limit, router):
    tethered, _ = far
    shown = tethered.output("sh", "-c", f"ping -n -c 1 -W 5 -t {limit} {SERVER_INSIDE} || true")
    assert f"From {router} icmp_seq=1 Time exceeded: Hop limit" in shown


def test_traceroute_from_outside_shows_each_hop(far, udp_pair):
    _, server = far
    inside, outside = udp_pair
    there = outside_endpoint(inside, outside)
    inside.close()  # so that the last hop answers that nobody listens
    hops = trace(outside, there)
    # IPv6 addresses of routers can't be shown outside; RFC 7915 s5.2 has the translator's stand for them.
    routers = ["198.51.100.1", GATEWAY_OUTSIDE, POOL, POOL, POOL]
    assert hops == [(router, 11, 0) for router in routers] + [(POOL, 3, 3)]


# ---- path MTU discovery

# What a transfer has to get through: enough for offloads to make packets of 64 KB of it.
OCTETS = 5_000_000
# Who sends, and which router's interface towards the other end is narrow: one that the NAT64's own host has, and
# one further away.
NARROW_LINKS = [("tethered", "gateway", "outside0"), ("tethered", "viewer", "server0"),
                ("server", "gateway", "phone0"), ("server", "handset-3g", "tether0")]


@pytest.fixture(autouse=True)
def no_memory_of_mtus(far):
    for host in far:
        host.output("ip", "route", "flush", "cache")
        host.output("ip", "-6", "route", "flush", "cache")


@pytest.fixture(params=NARROW_LINKS, ids=lambda link: f"{link[0]} sends, {link[1]} {link[2]} narrow")
def narrow_link(lab, far, request):
    """Makes a link narrow for one test; returns who sends."""
    sender, router, interface = request.param
    lab.output(router, "ip", "link", "set", interface, "mtu", NARROW)
    yield sender
    lab.output(router, "ip", "link", "set", interface, "mtu", 1500)


def path_mtu(sock):
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
    return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)


def expected_mtu(sender):
    """The narrow link's, as it looks from the other side of the NAT64."""
    return NARROW + DIFFERENCE if sender == "tethered" else NARROW - DIFFERENCE


def test_bulk_tcp_passes_a_narrow_link(far, narrow_link):
    tethered, server = far
    received = hashlib.sha256()

    def receive(sock):
        while block := sock.recv(1 << 20):
            received.update(block)

    with server.socket(socket.SOCK_STREAM) as listener, tethered.socket(socket.SOCK_STREAM) as client:
        listener.bind((SERVER, 0))
        listener.listen()
        client.connect((SERVER_INSIDE, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(10)
            sending, receiving = (client, accepted) if narrow_link == "tethered" else (accepted, client)
            assert path_mtu(sending) == 1500
            receiver = threading.Thread(target=receive, args=(receiving,))
            receiver.start()
            for block in bulk.blocks(OCTETS):
                sending.sendall(block)
            learnt = path_mtu(sending)
            sending.shutdown(socket.SHUT_WR)
            receiver.join()
    assert received.hexdigest() == bulk.digest(OCTETS)
    assert learnt == expected_mtu(narrow_link)


def test_datagrams_that_may_not_be_fragmented_learn_the_path_mtu(far, udp_pair, narrow_link):
    inside, outside = udp_pair
    there = outside_endpoint(inside, outside)
    inside.connect((SERVER_INSIDE, outside.getsockname()[1]))
    outside.connect(there)
    sender, receiver = (inside, outside) if narrow_link == "tethered" else (outside, inside)
    if sender is inside:
        sender.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
        headers = 40 + 8
    else:
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
        headers = 20 + 8
    assert path_mtu(sender) == 1500
    # The largest that fits all links but the narrow one, and no header but IPv4's larger by DIFFERENCE.
    sender.send(bytes(1500 - DIFFERENCE - headers if sender is outside else 1500 - headers))
    expected = expected_mtu(narrow_link)
    until(lambda: path_mtu(sender) == expected, 5, f"the path MTU becomes {expected}, not {path_mtu(sender)}")
    assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
    largest = bytes(range(256)) * 6
    sender.send(largest[:expected - headers])
    assert receiver.recv(2000) == largest[:expected - headers]
    with pytest.raises(OSError, match="Message too long"):
        sender.send(largest[:expected - headers + 1])


def test_what_fits_outside_but_not_inside_is_answered_by_the_nat64(far, udp_pair):
    inside, outside = udp_pair
    outside.connect(outside_endpoint(inside, outside))
    outside.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
    outside.send(bytes(1500 - 28))
    until(lambda: path_mtu(outside) == 1500 - DIFFERENCE, 5, "the path MTU becomes that of the inside")
    assert outside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
    outside.send(bytes(1500 - DIFFERENCE - 28))
    assert len(inside.recv(2000)) == 1500 - DIFFERENCE - 28
