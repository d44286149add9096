# SPDX-License-Identifier: BSD-2-Clause
"""Small datagrams that wait together in front of the NAT64 leave it as superpackets, which the kernel cuts up."""
import os
import signal
import socket

import pytest

from labkit import POOL, VIEWER_INSIDE

PORT = 7979
COUNT = 200  # three superpackets of 64 and one of 8
SO_RCVBUFFORCE = 33


@pytest.fixture(scope="module")
def ends(lab):
    """How to send from either side, and where it arrives."""
    external = lab.portolan("handset-3g", "map", "udp", PORT)["external-port"]
    with lab.udp("handset-3g", PORT) as handset, lab.udp("viewer", PORT) as viewer:
        for end in handset, viewer:
            end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)  # all of them may come at once
        handset.sendto(b"so that there is a session", (VIEWER_INSIDE, PORT))
        viewer.recv(100)
        yield {"outward": (handset, (VIEWER_INSIDE, PORT), viewer), "inward": (viewer, (POOL, external), handset)}


class StandingStill:
    """Packets queue in front of the translator while the block runs."""

    def __init__(self, lab):
        self.pid = lab.server_pid()

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def packets_out_of_translator(lab):
    return int(lab.output("gateway", "cat", "/sys/class/net/nat64/statistics/rx_packets"))


@pytest.mark.parametrize("direction", ["outward", "inward"])
@pytest.mark.parametrize("sizes", [[100], [100, 100, 99], [1200]], ids=["alike", "every third shorter", "large"])
def test_datagrams_arrive_as_they_were_sent(lab, ends, direction, sizes):
    sender, to, receiver = ends[direction]
    datagrams = [b"%04d" % i + bytes(sizes[i % len(sizes)] - 4) for i in range(COUNT)]
    before = packets_out_of_translator(lab)
    with StandingStill(lab):
        for datagram in datagrams:
            sender.sendto(datagram, to)
    assert [receiver.recv(2000) for _ in datagrams] == datagrams
    if "tx-udp-segmentation: on" in lab.output("gateway", "ethtool", "-k", "nat64"):
        written = packets_out_of_translator(lab) - before
        assert written <= COUNT // 3 + 10, "nothing was gathered"
