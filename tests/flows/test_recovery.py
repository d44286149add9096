# SPDX-License-Identifier: BSD-2-Clause
"""Flows of draft-boucadair-pcp-flow-examples-04 that the server begins: it announces that it lost its state
(RFC 6887 s14.1.3), tells of mappings that moved (RFC 6887 s14.2), and clients get their mappings back. The client is
on a host of its own."""

import socket
import time

import pcp
import pytest
from conftest import C1, E1
from hosts import LINK_LOCAL, ip
from pcp import assert_success
from router import GATEWAY
from rows import NAT44

SETTING = NAT44
E2 = "192.0.2.2"
# How much later than its time the server may be with one message than with the next.
TOLERANCE_S = 0.1
ALL_HOSTS, ALL_NODES = "224.0.0.1", "ff02::1"


class Listener:
    """Hears what goes to one group at port 5350, and nothing else: it is bound to the group."""

    def __init__(self, host, group, flow):
        self.group, self.flow = group, flow
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        self.socket = host.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((group, pcp.CLIENT_PORT, 0, host.interface_index()) if ":" in group
                         else (group, pcp.CLIENT_PORT))
        pcp.stamp_arrivals(self.socket)

    def hear(self):
        """Waits for an announcement of PCP from the address that a client knows, as there is one from each; returns
        its epoch and when it came."""
        # Link-local, as the group is (RFC 6724 s5).
        known = LINK_LOCAL[0] if ":" in self.group else GATEWAY
        while True:
            datagram, source, arrival = pcp.receive(self.socket)
            if datagram[0] == 2 and source[0].split("%")[0] == known:
                break
        if self.flow:
            self.flow.message(f"Server to {self.group} port {pcp.CLIENT_PORT}", datagram)
        assert source[1] == pcp.SERVER_PORT
        answer = pcp.parse(datagram)
        assert (answer.version, answer.response, answer.opcode) == (2, 1, pcp.ANNOUNCE)
        assert (answer.result, answer.reserved, answer.lifetime) == (pcp.SUCCESS, 0, 0)
        assert (answer.rest_of_header, answer.body) == (bytes(12), b"")
        return answer.epoch, arrival


@pytest.fixture
def listen(network, flow):  # pylint: disable=redefined-outer-name
    made = []

    def make(group, shown=True):
        made.append(Listener(network.hosts[C1], group, flow if shown else None))
        return made[-1]

    yield make
    for each in made:
        each.socket.close()


@pytest.fixture
def one_address(network):
    """The router has one external address, as of a provider."""
    ip("address", "delete", f"{E2}/32", "dev", "wan0")
    return network


def granted_and_moved(asking):
    """A mapping of UDP port 3938 to port 15000 of E1, and then another external address."""
    assert_success(asking.map(pcp.UDP, 3938, 15000)[1], 15000)
    # The other way round the kernel would forget the routes of an interface that has no address.
    ip("address", "add", f"{E2}/32", "dev", "wan0")
    ip("address", "delete", f"{E1}/32", "dev", "wan0")


def assert_update(answer):
    assert 20000 - 30 <= answer.lifetime <= 20000
    assert_success(answer, 15000, E2, lifetime=answer.lifetime)


@pytest.mark.figures(40)
def test_figure_40_the_client_is_told_of_a_new_external_address(serve, client, one_address, flow):
    """The draft's figure shows another mapping than its text; this is the text's. With the address the epoch begins
    anew (RFC 6887 s8.5), where the draft has 1250. The update is sent three times, 250 ms and 500 ms apart at
    least (RFC 6887 s14.2)."""
    serve(pool=())
    idle = client(shown=False)
    deadline = time.monotonic() + 30
    while idle.announce().epoch < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asking = client()
    granted_and_moved(asking)
    arrivals = []
    for _ in range(3):
        answer = asking.receive()
        if asking.flow:
            flow.lifetime_varies()
        asking.flow = None
        assert_update(answer)
        assert answer.epoch < 3
        arrivals.append(asking.arrival)
    assert arrivals[1] - arrivals[0] >= 0.25 - TOLERANCE_S
    assert arrivals[2] - arrivals[1] >= 0.5 - TOLERANCE_S
    asking.socket.settimeout(1.5)
    with pytest.raises(TimeoutError):
        asking.receive()


def test_a_client_that_renews_is_told_no_more(serve, client, one_address):
    serve(pool=())
    asking = client()
    granted_and_moved(asking)
    assert_update(asking.receive())
    # The renewal's own answer has another lifetime than the updates that may come before it.
    answer = asking.map(pcp.UDP, 3938, 15000, lifetime=10000)[1]
    while answer.lifetime > 10000:
        answer = asking.receive()
    assert_success(answer, 15000, E2, lifetime=10000)
    asking.socket.settimeout(1.5)
    with pytest.raises(TimeoutError):
        asking.receive()


@pytest.mark.figures(41)
def test_figure_41_a_client_repairs_its_mapping(serve, client, listen, flow):
    """The draft's caption is that of figure 60. A client waits up to 5 s before it asks, so that not all ask at
    once (RFC 6887 s14.1.3)."""
    first = serve("announcements = 1")
    asking = client()
    assert_success(asking.map(pcp.UDP, 3938, 15000)[1], 15000)
    listener = listen(ALL_HOSTS)
    first.stop()
    flow.note("the server restarts")
    serve()
    assert listener.hear()[0] == 0
    after = asking.map(pcp.UDP, 3938, 15000, E1)[1]
    assert_success(after, 15000)
    assert after.epoch < 30


@pytest.mark.figures(42)
def test_figure_42_a_restart_is_announced_to_all(serve, listen):
    """More than once, because multicast is not acknowledged: the second at least 250 ms after the first (RFC 6887
    s14.1.3). To IPv6 hosts, too, because a firewall of theirs is beside the NAT44."""
    groups = [listen(ALL_HOSTS), listen(ALL_NODES)]
    serve(has_firewall6=True)
    heard = [group.hear() for group in groups]
    assert [epoch for epoch, _ in heard] == [0, 0]
    for group, (_, first) in zip(groups, heard):
        group.flow = None
        epoch, second = group.hear()
        assert epoch in (0, 1)
        assert second - first >= 0.25 - TOLERANCE_S


@pytest.mark.figures(43, 44)
def test_figures_43_and_44_a_mapping_is_restored_where_it_was(serve, client, flow):
    """The client suggests what it had (RFC 6887 s16.3.1)."""
    first = serve()
    asking = client()
    assert_success(asking.map(pcp.UDP, 11000, 15200, E1)[1], 15200, internal=11000)
    first.stop()
    flow.note("the server restarts")
    serve()
    after = asking.map(pcp.UDP, 11000, 15200, E1)[1]
    assert_success(after, 15200, internal=11000)
    assert after.epoch < 30, "the epoch says that the state was lost (RFC 6887 s8.5)"
