# SPDX-License-Identifier: BSD-2-Clause
"""Small datagrams that wait together in front of the NAT64 leave it as superpackets, which the kernel cuts up."""
import os
import pathlib
import re
import signal
import socket

import pytest

from labkit import POOL, VIEWER_INSIDE, until

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
    """Packets queue in front of the translator while the block runs: `count` of the family `version`, all of which are
    there at its end. The kernel takes packets across links when it finds the time, so a sent one may be on its way."""

    def __init__(self, lab, version, count):
        self.lab, self.version, self.count = lab, version, count
        self.pid = lab.server_pid()

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        try:
            until(self.stands_still, 10, "all threads of portoland stopped")
            self.before = self.forwarded()
        except BaseException:
            os.kill(self.pid, signal.SIGCONT)
            raise

    def __exit__(self, failure, *_):
        try:
            if failure is None:
                until(lambda: self.forwarded() - self.before >= self.count, 20,
                      f"the gateway's kernel forwarded {self.count} packets to the translator")
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stands_still(self):
        states = [(task / "stat").read_text().rpartition(") ")[2][0]
                  for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()]
        return set(states) == {"T"}

    def forwarded(self):
        """Packets that the gateway's kernel forwarded so far; all that come from inside or outside go to the TUN."""
        if self.version == 6:
            return int(re.search(r"^Ip6OutForwDatagrams\s+(\d+)$", self.lab.output("gateway", "cat", "/proc/net/snmp6"),
                                 re.MULTILINE).group(1))
        names, values = (line.split() for line in self.lab.output("gateway", "cat", "/proc/net/snmp").splitlines()[:2])
        return int(values[names.index("ForwDatagrams")])


def packets_out_of_translator(lab):
    return int(lab.output("gateway", "cat", "/sys/class/net/nat64/statistics/rx_packets"))


@pytest.mark.parametrize("direction", ["outward", "inward"])
@pytest.mark.parametrize("sizes", [[100], [100, 100, 99], [1200]], ids=["alike", "every third shorter", "large"])
def test_datagrams_arrive_as_they_were_sent(lab, ends, direction, sizes):
    sender, to, receiver = ends[direction]
    datagrams = [b"%04d" % i + bytes(sizes[i % len(sizes)] - 4) for i in range(COUNT)]
    before = packets_out_of_translator(lab)
    with StandingStill(lab, 6 if direction == "outward" else 4, COUNT):
        for datagram in datagrams:
            sender.sendto(datagram, to)
    assert [receiver.recv(2000) for _ in datagrams] == datagrams
    if "tx-udp-segmentation: on" in lab.output("gateway", "ethtool", "-k", "nat64"):
        written = packets_out_of_translator(lab) - before
        assert written <= COUNT // 3 + 10, "nothing was gathered"
