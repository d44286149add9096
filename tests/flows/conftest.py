# SPDX-License-Identifier: BSD-2-Clause
"""A portoland with the simulated device for each flow, in the network namespace that CTest made for this
run: the addresses of the draft's clients are on its loopback interface."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from pcp import Client

C1, C2 = "198.51.100.1", "198.51.100.2"
E1 = "192.0.2.1"
ADDRESSES = [C1, C2, "198.51.100.3", "2001:db8::1:0:0:1"]


@pytest.fixture(scope="session", autouse=True)
def network():
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(links) == 1, "this test needs a network namespace of its own: run it by ctest -L flows"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


class Server:
    def __init__(self, directory, pcp, simulated):
        build = pathlib.Path(os.environ["PORTOLAN_BUILD"])
        self.directory = directory
        config = self.configure(pcp, simulated)
        self.log = directory / "portoland.log"
        with self.log.open("w", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([build / "apps" / "portoland", "--config", config], stderr=log)
        deadline = time.monotonic() + 30
        while " ready" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def configure(self, pcp="", simulated="", pool=(E1, "192.0.2.2")):
        """Writes the configuration file."""
        config = self.directory / "portoland.toml"
        addresses = ", ".join(f'"{address}"' for address in pool)
        config.write_text(
            'device = "simulated"\nstore = "memory"\n'
            f'runtime_directory = "{self.directory}"\n'
            f"[pcp]\n{pcp}\n"
            '[[inside]]\ninterface = "lo"\n'
            f"[simulated]\npool = [{addresses}]\n{simulated}\n")
        return config

    def reload(self):
        """Has the configuration read again; returns what the log says of it."""
        already = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while "reloaded" not in (said := self.log.read_text()[already:]):
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()


@pytest.fixture
def serve(tmp_path):
    """serve(pcp, simulated) starts portoland with these lines of configuration."""
    servers = []

    def start(pcp="", simulated=""):
        servers.append(Server(tmp_path, "maximum_lifetime = 20000\n" + pcp, simulated))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def client():
    """client(address) makes a PCP client."""
    clients = []

    def make(address=C1):
        clients.append(Client(address))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
