# SPDX-License-Identifier: BSD-2-Clause
"""100 MB over TCP through the NAT64 in each direction, unharmed, while the TUN's offloads are at work."""
import hashlib
import http.client
import sys

import pytest

from labkit import POOL, ROOT

sys.path.insert(0, str(ROOT / "lab"))
import bulk  # noqa: E402

OCTETS = 100_000_000
# Packets that had been cut to the link's MTU would average below this.
MTU = 1500


@pytest.fixture(scope="module")
def port(lab):
    return lab.portolan("handset-3g", "map", "tcp", 8080)["external-port"]


@pytest.fixture(scope="module")
def expected_hash():
    return bulk.digest(OCTETS)


def http_from_viewer(lab, port):
    connection = http.client.HTTPConnection(POOL, port)
    connection.sock = lab.connect_from_viewer(port, timeout=60)
    return connection


def tun_counters(lab):
    shown = lab.output("gateway", "sh", "-c", "cd /sys/class/net/nat64/statistics && "
                       "cat tx_bytes tx_packets rx_bytes rx_packets")
    return [int(word) for word in shown.split()]


class PacketSizes:
    """Mean size of the packets through the TUN, each way, while the block runs."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        self.before = tun_counters(self.lab)
        return self

    def __exit__(self, *_):
        tx_bytes, tx_packets, rx_bytes, rx_packets = (
            after - before for after, before in zip(tun_counters(self.lab), self.before))
        assert tx_bytes > OCTETS and rx_bytes > OCTETS
        self.into_translator = tx_bytes / tx_packets
        self.out_of_translator = rx_bytes / rx_packets
        print(f"mean packet: {self.into_translator:.0f} octets in, {self.out_of_translator:.0f} octets out")


def check_offloads(lab, sizes):
    features = lab.output("gateway", "ethtool", "-k", "nat64")
    assert "tcp-segmentation-offload: on" in features
    # Acknowledgements count too, so superpackets of 64 KB don't show as such.
    assert sizes.into_translator > 2 * MTU
    assert sizes.out_of_translator > 2 * MTU


def test_100_mb_arrive_unharmed_from_handset_to_viewer(lab, port, expected_hash):
    connection = http_from_viewer(lab, port)
    sha = hashlib.sha256()
    with PacketSizes(lab) as sizes:
        connection.request("GET", f"/big?bytes={OCTETS}")
        answer = connection.getresponse()
        while block := answer.read(1 << 20):
            sha.update(block)
    connection.close()
    assert sha.hexdigest() == expected_hash
    check_offloads(lab, sizes)


def test_100_mb_arrive_unharmed_from_viewer_to_handset(lab, port, expected_hash):
    connection = http_from_viewer(lab, port)
    with PacketSizes(lab) as sizes:
        connection.request("PUT", "/big", body=bulk.blocks(OCTETS), headers={"Content-Length": str(OCTETS)})
        answer = connection.getresponse()
        received = answer.read().decode().strip()
    connection.close()
    assert answer.status == 200
    assert received == expected_hash
    check_offloads(lab, sizes)
