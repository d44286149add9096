# SPDX-License-Identifier: BSD-2-Clause
"""portoland is killed again and again with `store = "sqlite"`, while other hosts' traffic asks for ports: every
mapping leads to its host again at the port it had, and its host need not ask for it."""
import os
import pathlib
import sys
import threading

import pytest

from labkit import Lab, PCP_PORT, ROOT, VIEWER_INSIDE, udp_reaches

sys.path.insert(0, str(pathlib.Path(ROOT) / "tests" / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position

GATEWAY = "2001:db8:112::1"
HOST = "handset-3g"
MAPPINGS = 40
ROUNDS = int(os.environ.get("PORTOLAN_KILL_ROUNDS", "3"))


class Outbound(threading.Thread):
    """Begins flow after flow from another host, each of which needs an external port."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.sockets = [lab.udp("laptop") for _ in range(200)]
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            for each in self.sockets:
                try:
                    each.sendto(b"out", (VIEWER_INSIDE, 9))
                except OSError:
                    pass  # no route while the server is down
            self.stopped.wait(0.002)

    def stop(self):
        self.stopped.set()
        self.join()
        for each in self.sockets:
            each.close()


@pytest.fixture
def lab(machine, tmp_path):  # pylint: disable=unused-argument
    config = tmp_path / "portoland.toml"
    config.write_text((ROOT / "lab" / "portoland.toml").read_text().replace('store = "memory"', 'store = "sqlite"'))
    one = Lab(f"t{os.getpid()}-durable")
    try:
        one.up("--config", config)
        yield one
    finally:
        one.down()


def arrives(viewer, external, inside, payload):
    """The first datagrams after a restart may be lost while the neighbour is looked for."""
    return any(udp_reaches(viewer, external, inside, payload, timeout=0.5) for _ in range(20))


def test_killed_under_traffic_no_mapping_is_lost_or_renumbered(lab):
    outbound = Outbound(lab)
    with lab.udp(HOST) as client, lab.udp("viewer") as viewer:
        inside = {}
        for port in range(9600, 9600 + MAPPINGS):
            client.sendto(pcp.header(lab.address(HOST), 3600) + pcp.map_body(pcp.UDP, port, 0, "0.0.0.0", port),
                          (GATEWAY, PCP_PORT))
            granted = pcp.parse(client.recv(2048))
            assert granted.result == pcp.SUCCESS
            inside[granted.external] = lab.udp(HOST, port)
        outbound.start()
        try:
            for round_number in range(1, ROUNDS + 1):
                lab.server("kill")
                lab.server("start")
                restored = [line for line in lab.server_log().splitlines() if "restored" in line]
                assert restored[-1].endswith(f"{MAPPINGS} mappings restored, 0 had expired; the epoch goes on")
                payload = f"round {round_number}".encode()
                for external, receiving in inside.items():
                    assert arrives(viewer, external, receiving, payload), f"{payload}: port {external}"
        finally:
            outbound.stop()
            for receiving in inside.values():
                receiving.close()
