# SPDX-License-Identifier: BSD-2-Clause
"""Flows of draft-boucadair-pcp-flow-examples-04 that begin with packets of the client, or end with them. External
ports are by value: the router has no other for hosts' own traffic."""

import time

import pcp
import pytest
from conftest import C1, E1
from pcp import assert_peer, assert_success

REMOTE, REMOTE_PORT = "198.51.100.2", 12456
OUTSIDE = [REMOTE]
# How long the router keeps an idle flow (RFC 4787 s4.3, RFC 5382 s5).
UDP_IDLE_S, TCP_IDLE_S = 300, 7440


def only_implicit(port):
    """The one external port for hosts' own traffic."""
    return f"explicit_ports = [1024, 9999]\nimplicit_ports = [{port}, {port}]"


def connect_out(network, flow, port):
    """A TCP connection of the client's `port` to the remote peer; both ends, and where it seems to come from."""
    listener = network.far_socket(pcp.TCP, REMOTE, REMOTE_PORT)
    listener.listen()
    here = network.inside_socket(pcp.TCP, C1, port)
    here.connect((REMOTE, REMOTE_PORT))
    there, seen = listener.accept()
    there.settimeout(10)
    listener.close()
    flow.note(f"a TCP connection of port {port} to {REMOTE} port {REMOTE_PORT} goes out as {seen[0]} port {seen[1]}")
    return here, there, seen


def assert_goes_on(here, there):
    for sender, receiver in ((here, there), (there, here)):
        sender.send(b"more")
        assert receiver.recv(64) == b"more"


@pytest.mark.figures(26, 27, 28)
def test_figures_26_to_28_map_finds_an_implicit_mapping(serve, client, network, flow):
    """The suggestion yields to the mapping there is (RFC 6887 s11.3)."""
    serve(device=only_implicit(10000))
    here, there, seen = connect_out(network, flow, 1234)
    assert seen == (E1, 10000)
    # The client connects from outside to it, too.
    assert_success(client().map(pcp.TCP, 1234, 3938)[1], 10000, protocol=pcp.TCP, internal=1234)
    assert_goes_on(here, there)
    for each in (here, there):
        each.close()


@pytest.mark.figures(29)
def test_figure_29_traffic_of_the_client_outlives_the_deletion(serve, client, network, flow):
    """The answer's lifetime is the remaining idle time (RFC 6887 s15): 300 s at most, of UDP. The client
    suggests nothing (RFC 6887 s15.1, erratum 3621)."""
    serve()
    ask = client()
    assert_success(ask.map(pcp.UDP, 3938, 3938)[1], 3938)
    here = network.inside_socket(pcp.UDP, C1, 3938)
    there = network.far_socket(pcp.UDP, REMOTE, REMOTE_PORT)
    here.sendto(b"out", (REMOTE, REMOTE_PORT))
    assert there.recvfrom(64) == (b"out", (E1, 3938))
    flow.note(f"UDP traffic of port 3938 goes out to {REMOTE} as {E1} port 3938")

    # Nobody else gets in any more: the client looks.
    first = ask.map(pcp.UDP, 3938, 0, lifetime=0)[1]
    flow.lifetime_varies()
    assert UDP_IDLE_S - 10 <= first.lifetime <= UDP_IDLE_S
    assert_success(first, 0, "0.0.0.0", lifetime=first.lifetime)
    there.sendto(b"in", (E1, 3938))
    assert here.recvfrom(64)[0] == b"in"
    flow.note("traffic from there still comes in")

    # Asked again, it is less, until the client sends. The kernel tells whole seconds.
    ask.flow = None
    deadline = time.monotonic() + 20
    while (later := ask.map(pcp.UDP, 3938, 0, lifetime=0)[1]).lifetime > first.lifetime - 3:
        assert time.monotonic() < deadline, "the idle time passes"
        time.sleep(0.1)
    here.sendto(b"again", (REMOTE, REMOTE_PORT))
    assert there.recvfrom(64) == (b"again", (E1, 3938))
    assert ask.map(pcp.UDP, 3938, 0, lifetime=0)[1].lifetime > later.lifetime
    here.close()
    there.close()


@pytest.mark.figures(63)
def test_figure_63_peer_tells_where_packets_will_come_from(serve, client, network, flow):
    serve()
    assert_peer(client().peer(pcp.UDP, 3938, 3938)[1], 3938)
    network.check_outbound((C1, 3938), (E1, 3938), (REMOTE, REMOTE_PORT))
    flow.note(f"UDP traffic of port 3938 goes out to {REMOTE} as {E1} port 3938")


@pytest.mark.figures(70, 71, 72)
def test_figures_70_to_72_peer_extends_an_implicit_mapping(serve, client, network, flow):
    serve(device=only_implicit(11000))
    here, there, seen = connect_out(network, flow, 3938)
    assert seen == (E1, 11000)
    assert_peer(client().peer(pcp.TCP, 3938)[1], 11000, protocol=pcp.TCP)
    assert_goes_on(here, there)
    here.close()
    there.close()


@pytest.mark.figures(73, 74)
def test_figures_73_and_74_peer_learns_the_lifetime(serve, client, network, flow):
    """What traffic gives the mapping, and then what PEER gave it: a shorter one is never granted (RFC 6887
    s12.1)."""
    serve(device=only_implicit(11000))
    ask = client()
    here, there, seen = connect_out(network, flow, 3938)
    assert seen == (E1, 11000)

    def learn(lifetime):
        answer = ask.peer(pcp.TCP, 3938, lifetime=lifetime)[1]
        assert_peer(answer, 11000, protocol=pcp.TCP, lifetime=answer.lifetime)
        assert_goes_on(here, there)
        return answer.lifetime

    by_traffic = learn(5)
    flow.lifetime_varies()
    assert TCP_IDLE_S - 10 <= by_traffic <= TCP_IDLE_S
    assert learn(36000) == 20000
    assert 20000 - 10 <= learn(5) <= 20000
    flow.lifetime_varies()
    here.close()
    there.close()
