# SPDX-License-Identifier: BSD-2-Clause
"""A portoland for each flow, in the network namespace that CTest made for this run, with the device that the flow's
row says, or a module's SETTING: NAT44 between hosts; or the simulated device, and the addresses of the draft's clients
on the loopback interface. Modules that need another one have a `network` of their own."""

import os
import pathlib
import signal
import subprocess
import time

import dissect
import page
import pytest
from pcp import Client
from router import Router
from rows import NAT44, SIMULATED, row_of

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


@pytest.fixture
def setting(request):
    """What the test needs: a setting of rows.py."""
    if mark := request.node.get_closest_marker("figures"):
        return row_of(mark.args).setting
    return getattr(request.module, "SETTING", SIMULATED)


class Loopback:
    """All clients are where portoland is."""

    def __init__(self):
        for address in ADDRESSES:
            subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)

    client = staticmethod(Client)

    @staticmethod
    def config(*lines, **options):
        return simulated_config(*lines, **options)

    @staticmethod
    def close():
        for address in ADDRESSES:
            subprocess.run(["ip", "address", "delete", address, "dev", "lo"], check=True)


@pytest.fixture(autouse=True)
def network(own_namespace, setting, request):  # pylint: disable=redefined-outer-name,unused-argument
    """A network of the setting; new for each test, because ports stay busy for a while after a flow. A module's
    OUTSIDE names clients of the draft that are hosts outside."""
    made = Router(getattr(request.module, "OUTSIDE", ())) if setting == NAT44 else Loopback()
    yield made
    made.close()


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
        deadline = time.monotonic() + 60
        while text not in (said := self.log.read_text()[already:]):
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def write(self, config):
        """Writes the configuration file; `config` is all but store and runtime directory."""
        self.config.write_text(f'unexpected_calls = "kill"\n{self.store}\n'
                               f'runtime_directory = "{self.directory}"\n{config}')

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
        assert self.process.wait(60) == 0, self.log.read_text()


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
def serve(start, network):  # pylint: disable=redefined-outer-name
    """serve(pcp, device) starts portoland with the setting's device and these lines of configuration."""

    def serve_one(pcp="", device="", **options):
        return start(network.config(f"maximum_lifetime = 20000\n{pcp}", device, **options))

    return serve_one


@pytest.fixture(autouse=True)
def flow():
    """What goes over the wire, for docs/flows.md."""
    return page.Flow()


@pytest.fixture
def client(flow, network):  # pylint: disable=redefined-outer-name
    """client(address) makes a PCP client; `shown` is whether the page shows what it says and hears."""
    clients = []

    def make(address=C1, shown=True, **options):
        clients.append(network.client(address, flow=flow if shown else None, **options))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
