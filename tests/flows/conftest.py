# SPDX-License-Identifier: BSD-2-Clause
"""A portoland with the simulated device for each flow, in the network namespace that CTest made for this
run: the addresses of the draft's clients are on its loopback interface. Modules that need packets between
hosts have a `network` of their own."""

import os
import pathlib
import signal
import subprocess
import time

import dissect
import page
import pytest
from pcp import Client
from rows import row_of

C1, C2 = "198.51.100.1", "198.51.100.2"
E1 = "192.0.2.1"
ADDRESSES = [C1, C2, "198.51.100.3", "2001:db8::1:0:0:1"]


def pytest_configure(config):
    config.addinivalue_line("markers", "figures(first, ...): the row of rows.py that the test proves")


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    outcome = yield
    outcome.get_result()
    if mark := pyfuncitem.get_closest_marker("figures"):
        page.settle(pyfuncitem.funcargs["flow"].section(row_of(mark.args), pyfuncitem.function.__doc__ or ""))


@pytest.fixture(scope="session", autouse=True)
def own_namespace():
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(links) == 1, "this test needs a network namespace of its own: run it by ctest -L flows"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@pytest.fixture(scope="session")
def second_opinion(own_namespace, tmp_path_factory):  # pylint: disable=redefined-outer-name,unused-argument
    """At the end tshark reads what portoland sent."""
    capture = dissect.Capture(tmp_path_factory.mktemp("capture"))
    yield
    capture.stop()
    answers = list(capture.answers())
    assert answers, "tcpdump saw nothing of what portoland sent"
    for answer in answers:
        dissect.check(answer)


@pytest.fixture(scope="module", autouse=True)
def network(own_namespace):  # pylint: disable=redefined-outer-name,unused-argument
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


def simulated_config(pcp="", simulated="", pool=(E1, "192.0.2.2"), inside="lo"):
    addresses = ", ".join(f'"{address}"' for address in pool)
    return (f'device = "simulated"\n[pcp]\n{pcp}\n'
            f'[[inside]]\ninterface = "{inside}"\n'
            f"[simulated]\npool = [{addresses}]\n{simulated}\n")


class Server:
    def __init__(self, directory, config, store='store = "memory"', waits=True):
        self.store = store
        build = pathlib.Path(os.environ["PORTOLAN_BUILD"])
        self.directory = directory
        self.config = directory / "portoland.toml"
        self.write(config)
        self.log = directory / "portoland.log"
        with self.log.open("w", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([build / "apps" / "portoland", "--config", self.config], stderr=log)
        if waits:
            self.wait_for_log(" ready")

    def wait_for_log(self, text, already=0):
        """Waits until the log has this text after `already` characters, which it returns."""
        deadline = time.monotonic() + 30
        while text not in (said := self.log.read_text()[already:]):
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def write(self, config):
        """Writes the configuration file; `config` is all but store and runtime directory."""
        self.config.write_text(f'{self.store}\nruntime_directory = "{self.directory}"\n{config}')

    def configure(self, *lines, **options):
        """Writes the configuration file for the simulated device: see simulated_config()."""
        self.write(simulated_config(*lines, **options))

    def reload(self):
        """Has the configuration read again; returns what the log says of it."""
        already = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        return self.wait_for_log("reloaded", already)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()


@pytest.fixture
def start(tmp_path, second_opinion):  # pylint: disable=redefined-outer-name,unused-argument
    """start(config) starts portoland with this configuration, but for store and runtime directory."""
    servers = []

    def start_one(config):
        servers.append(Server(tmp_path, config))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
def serve(start):  # pylint: disable=redefined-outer-name
    """serve(pcp, simulated) starts portoland with the simulated device and these lines of configuration."""

    def serve_one(pcp="", simulated="", **options):
        return start(simulated_config(f"maximum_lifetime = 20000\n{pcp}", simulated, **options))

    return serve_one


@pytest.fixture(autouse=True)
def flow():
    """What goes over the wire, for docs/flows.md."""
    return page.Flow()


@pytest.fixture
def client(flow):  # pylint: disable=redefined-outer-name
    """client(address) makes a PCP client; `shown` is whether the page shows what it says and hears."""
    clients = []

    def make(address=C1, shown=True, **options):
        clients.append(Client(address, flow=flow if shown else None, **options))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
