# SPDX-License-Identifier: BSD-2-Clause
"""Kill rounds: portoland is killed at a random moment while requests come in, again and again. Each time
the next start finds its host in order, gives a client that asks for it the external port it had, and
translates. The seed is printed with a failure."""
import ipaddress
import os
import random
import secrets
import struct
import threading

import pytest

from labkit import Lab, VIEWER_INSIDE
from test_hygiene import host_changes

ROUNDS = int(os.environ.get("PORTOLAN_KILL_ROUNDS", "50"))
SEED = int(os.environ.get("PORTOLAN_SEED", secrets.randbelow(1 << 32)))
# A request every 2 ms keeps the device and the store busy at any moment.
REQUEST_INTERVAL_S = 0.002


def map_request(client, internal_port):
    return (struct.pack("!BBHI", 2, 1, 0, 600) + client + bytes(12)
            + struct.pack("!B3xHH", 17, internal_port, 0) + bytes(10) + b"\xff\xff" + bytes(4))


class Requests(threading.Thread):
    """Asks for mappings of many ports until stopped; answers are read and forgotten."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.socket = lab.udp("laptop", timeout=0)
        self.client = ipaddress.IPv6Address(lab.address("laptop")).packed
        self.stopped = threading.Event()

    def run(self):
        port = 1024
        while not self.stopped.wait(REQUEST_INTERVAL_S):
            port = 1024 + (port + 1) % 500
            try:
                self.socket.sendto(map_request(self.client, port), ("2001:db8:113::1", 5351))
                while True:
                    self.socket.recv(2048)
            except OSError:
                continue  # nothing to read yet, or nobody there while the server is down

    def stop(self):
        self.stopped.set()
        self.join()
        self.socket.close()


@pytest.fixture
def lab(machine):
    one = Lab(f"t{os.getpid()}-kill")
    try:
        one.up("--without-server")
        yield one
    finally:
        one.down()


def test_killed_at_random_moments_it_always_comes_back(lab):
    print(f"seed {SEED}, {ROUNDS} rounds")
    moments = random.Random(SEED)
    untouched = host_changes(lab)
    lab.server("start")
    fresh = host_changes(lab)
    granted = lab.portolan("handset-3g", "map", "tcp", 8080)
    for round_number in range(1, ROUNDS + 1):
        requests = Requests(lab)
        requests.start()
        requests.stopped.wait(moments.uniform(0.0, 0.3))
        lab.server("kill")
        lab.server("start")
        requests.stop()
        assert host_changes(lab) == fresh, f"round {round_number}"
        again = lab.portolan("handset-3g", "map", "tcp", 8080, "--external-port", granted["external-port"])
        assert again["external-port"] == granted["external-port"], f"round {round_number}"
        lab.connect_from_viewer(again["external-port"]).close()
        assert " 0% packet loss" in lab.output("handset-3g", "ping", "-n", "-c", 1, "-W", 5, VIEWER_INSIDE)
    lab.server("stop")
    assert host_changes(lab) == untouched
