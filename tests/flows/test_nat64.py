# SPDX-License-Identifier: BSD-2-Clause
"""The flow of draft-boucadair-pcp-flow-examples-04 whose setting is NAT64: portoland with its NAT64 between an
IPv6-only host and an IPv4 one. And those of test_traffic.py with it: an IPv6 client, and nothing else differs; external
ports are by value, because other mappings take all others."""

import json
import socket
import time
from typing import NamedTuple

import pcp
import pytest
from conftest import E1
from hosts import Host, ip
from pcp import assert_peer, assert_success

GATEWAY = "2001:db8::fe"
CLIENT, OTHER = "2001:db8::1:0:0:1", "2001:db8::1:0:0:2"
REMOTE, REMOTE_PORT = "198.51.100.2", 12456
# What the client sends to, to reach the remote peer.
REMOTE_INSIDE = "2001:db8:64:ff9b::c633:6402"
CONFIG = """device = "nat64"
[pcp]
maximum_lifetime = 20000
mappings_per_user_max = 100000
port_set_max = 4096
[[inside]]
interface = "inside0"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.1"]
manage_forwarding = true
"""
# The most ports the NAT64 puts into one set (RFC 7753).
PORTS_PER_SET = 256
# How long the NAT64 keeps an idle session (RFC 4787 s4.3, RFC 5382 s5); of TCP it asks then whether it is alive.
UDP_IDLE_S, TCP_IDLE_S = 300, 2 * 3600


class Hosts(NamedTuple):
    inside: Host
    outside: Host

    def client(self, address, **options):
        return pcp.Client(address, server=GATEWAY, host=self.inside, **options)


@pytest.fixture(autouse=True)
def network(own_namespace):  # pylint: disable=unused-argument
    """The host inside and the one outside, new for each test: ports stay busy for a while after a connection.
    portoland runs between them."""
    inside, outside = Host(), Host()
    inside.connect("inside0", [f"{GATEWAY}/64"], [f"{CLIENT}/64", f"{OTHER}/64"])
    outside.connect("outside0", ["198.51.100.254/24"], [f"{REMOTE}/24"])
    inside.route(GATEWAY)
    outside.route("198.51.100.254")
    yield Hosts(inside, outside)
    for interface in ("inside0", "outside0"):
        ip("link", "delete", interface)
    inside.close()
    outside.close()


@pytest.fixture
def ask(client):
    """The PCP client, on the host inside."""
    return client(CLIENT)


@pytest.fixture
def leave_one_tcp_port(client):
    """leave_one_tcp_port(port) has another client take all the others that packets could get."""

    def take_all_but(port):
        other = client(OTHER, shown=False)
        for low, high in ((1024, port - 1), (port + 1, 65535)):
            for first in range(low, high + 1, PORTS_PER_SET):
                size = min(PORTS_PER_SET, high + 1 - first)
                options = pcp.port_set(size, first) if size > 1 else b""
                answer = other.map(pcp.TCP, first, first, options=options)[1]
                assert (answer.result, answer.external, answer.options) == (pcp.SUCCESS, first, options)

    return take_all_but


def inside_socket(network, kind, port):
    made = network.inside.socket(socket.AF_INET6, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((CLIENT, port))
    return made


def remote_socket(network, kind, port):
    made = network.outside.socket(socket.AF_INET, kind)
    made.bind((REMOTE, port))
    return made


def connect_out(network, port):
    """A TCP connection of the client's `port` to the remote peer; both ends, and where it seems to come from."""
    listener = remote_socket(network, socket.SOCK_STREAM, REMOTE_PORT)
    listener.listen()
    here = inside_socket(network, socket.SOCK_STREAM, port)
    here.connect((REMOTE_INSIDE, REMOTE_PORT))
    there, seen = listener.accept()
    listener.close()
    return here, there, seen


@pytest.mark.figures(4, 5)
def test_figures_4_and_5_an_ipv6_client_gets_an_ipv4_mapping(start, ask, network):
    """The draft calls the device a NAT44; an IPv6 client with an IPv4 mapping is a NAT64 (RFC 6887 s10)."""
    start(CONFIG)
    assert_success(ask.map(pcp.UDP, 3938, 3938)[1], 3938)
    with inside_socket(network, socket.SOCK_DGRAM, 3938) as here, network.outside.socket(
            socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"in", (E1, 3938))
        data, source = here.recvfrom(64)
        assert data == b"in"
        here.sendto(b"back", source)
        assert stranger.recvfrom(64) == (b"back", (E1, 3938))


def test_map_finds_an_implicit_mapping(start, ask, leave_one_tcp_port, network):
    """The suggestion yields to the mapping there is (RFC 6887 s11.3)."""
    start(CONFIG)
    leave_one_tcp_port(10000)
    here, there, seen = connect_out(network, 1234)
    assert seen == (E1, 10000)
    assert_success(ask.map(pcp.TCP, 1234, 3938)[1], 10000, protocol=pcp.TCP, internal=1234)
    listener = inside_socket(network, socket.SOCK_STREAM, 1234)
    listener.listen()
    with network.outside.socket(socket.AF_INET, socket.SOCK_STREAM) as stranger:
        stranger.connect(seen)
        listener.accept()[0].close()
    for each in (listener, here, there):
        each.close()


def test_traffic_of_the_client_outlives_the_deletion(start, ask, network):
    """The answer's lifetime is the remaining idle time (RFC 6887 s15): 300 s at most, of UDP. The client
    suggests nothing (RFC 6887 s15.1, erratum 3621)."""
    start(CONFIG)
    assert_success(ask.map(pcp.UDP, 3938, 3938)[1], 3938)
    here = inside_socket(network, socket.SOCK_DGRAM, 3938)
    there = remote_socket(network, socket.SOCK_DGRAM, REMOTE_PORT)
    here.sendto(b"out", (REMOTE_INSIDE, REMOTE_PORT))
    assert there.recvfrom(64) == (b"out", (E1, 3938))

    first = ask.map(pcp.UDP, 3938, 0, lifetime=0)[1]
    assert UDP_IDLE_S - 10 <= first.lifetime <= UDP_IDLE_S
    assert_success(first, 0, "0.0.0.0", lifetime=first.lifetime)
    there.sendto(b"in", (E1, 3938))
    assert here.recvfrom(64)[0] == b"in"

    # What came in does not count: asked again, it is less, until the client sends.
    deadline = time.monotonic() + 10
    while (later := ask.map(pcp.UDP, 3938, 0, lifetime=0)[1]).lifetime >= first.lifetime:
        assert time.monotonic() < deadline, "the idle time passes"
        time.sleep(0.1)
    here.sendto(b"again", (REMOTE_INSIDE, REMOTE_PORT))
    assert there.recvfrom(64) == (b"again", (E1, 3938))
    assert ask.map(pcp.UDP, 3938, 0, lifetime=0)[1].lifetime > later.lifetime
    here.close()
    there.close()


def test_peer_tells_where_packets_will_come_from(start, ask, network):
    """A NAT64's client names its peer as it sees it, by an IPv6 address (RFC 6887 s12.1)."""
    start(CONFIG)
    assert_peer(ask.peer(pcp.UDP, 3938, 3938, remote=(REMOTE_INSIDE, REMOTE_PORT))[1], 3938,
                remote=(REMOTE_INSIDE, REMOTE_PORT))
    here = inside_socket(network, socket.SOCK_DGRAM, 3938)
    there = remote_socket(network, socket.SOCK_DGRAM, REMOTE_PORT)
    here.sendto(b"out", (REMOTE_INSIDE, REMOTE_PORT))
    assert there.recvfrom(64) == (b"out", (E1, 3938))
    here.close()
    there.close()


def test_peer_extends_an_implicit_mapping(start, ask, leave_one_tcp_port, network):
    """The client names its peer as it sees it."""
    start(CONFIG)
    leave_one_tcp_port(11000)
    here, there, seen = connect_out(network, 3938)
    assert seen == (E1, 11000)
    assert_peer(ask.peer(pcp.TCP, 3938, remote=(REMOTE_INSIDE, REMOTE_PORT))[1], 11000, protocol=pcp.TCP,
                remote=(REMOTE_INSIDE, REMOTE_PORT))
    here.close()
    there.close()


def test_peer_learns_the_lifetime(start, ask, leave_one_tcp_port, network):
    """What traffic gives the mapping, and then what PEER gave it: a shorter one is never granted (RFC 6887
    s12.1)."""
    start(CONFIG)
    leave_one_tcp_port(11000)
    here, there, seen = connect_out(network, 3938)
    assert seen == (E1, 11000)

    def learn(lifetime):
        answer = ask.peer(pcp.TCP, 3938, remote=(REMOTE_INSIDE, REMOTE_PORT), lifetime=lifetime)[1]
        assert_peer(answer, 11000, protocol=pcp.TCP, remote=(REMOTE_INSIDE, REMOTE_PORT), lifetime=answer.lifetime)
        return answer.lifetime

    by_traffic = learn(5)
    assert TCP_IDLE_S - 10 <= by_traffic <= TCP_IDLE_S
    assert learn(36000) == 20000
    assert 20000 - 10 <= learn(5) <= 20000
    here.close()
    there.close()


@pytest.mark.parametrize("events, told_by", (("bindings", "events"), ("none", "mappings")))
def test_of_a_mapping_one_log_tells(start, ask, tmp_path, events, told_by):
    """The NAT64's own if it is on, else that of mappings."""
    start(CONFIG + f'events = "{events}"\nevent_log = "{tmp_path}/events"\n'
          f'[mapping_log]\nfile = "{tmp_path}/mappings"\n')
    assert_success(ask.map(pcp.UDP, 3938, 15000)[1], 15000)
    assert_success(ask.map(pcp.UDP, 3938, lifetime=0)[1], 0, address="0.0.0.0", lifetime=0)
    def lines(name):
        path = tmp_path / name
        return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []
    deadline = time.monotonic() + 20
    while "binding-deleted" not in lines(told_by):
        assert time.monotonic() < deadline, (lines("events"), lines("mappings"))
        time.sleep(0.01)
    assert lines(told_by) == ["log-begins", "binding-created", "binding-deleted"]
    other = "mappings" if told_by == "events" else "events"
    assert lines(other) in ([], ["log-begins"])
