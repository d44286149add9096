# SPDX-License-Identifier: BSD-2-Clause
"""portoland with a simulated device, and portolanctl."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from terminal import Terminal

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])
SOURCE = pathlib.Path(__file__).parent.parent.parent
PROGRAM = BUILD / "apps" / "portolanctl"
HOSTS = ["2001:db8:112::7", "2001:db8:112::8", "2001:db8:113::7"]


@pytest.fixture(scope="session", autouse=True)
def addresses():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for host in HOSTS:
        subprocess.run(["ip", "address", "add", f"{host}/128", "dev", "lo", "nodad"], check=True)


class Server:
    """A running portoland."""

    def __init__(self, folder, management):
        self.folder = folder
        self.socket = folder / "management.sock"
        config = folder / "portoland.toml"
        config.write_text(f'store = "memory"\nruntime_directory = "{folder}"\ndevice = "simulated"\n'
                          '[[inside]]\ninterface = "lo"\n[simulated]\npool = ["192.0.2.1"]\n'
                          f"[pcp]\nmappings_per_user_max = 100000\nmappings_max = 200000\n{management}\n",
                          encoding="utf-8")
        self.log = folder / "portoland.log"
        with self.log.open("w", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([BUILD / "apps" / "portoland", "--config", config], stderr=log)
        deadline = time.monotonic() + 30
        while " ready" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        self.clients = {}

    def map(self, port, host=HOSTS[0], options=b"", lifetime=3600):
        """A host asks for a mapping; returns the external port."""
        _, answer = self.client(host).map(pcp.TCP, port, lifetime=lifetime, options=options)
        assert answer.result == 0, answer
        return answer.external

    def map_all(self, ports, host=HOSTS[0]):
        """The same for many ports, without waiting for each answer."""
        client = self.client(host)
        for begin in range(0, len(ports), 64):
            some = ports[begin:begin + 64]
            for port in some:
                request = pcp.header(host, 3600) + pcp.map_body(pcp.TCP, port, port, "192.0.2.1", 1)
                client.socket.sendto(request, client.server)
            assert {client.receive().result for _ in some} == {0}

    def client(self, host):
        if host not in self.clients:
            self.clients[host] = pcp.Client(host)
        return self.clients[host]

    def stop(self):
        for client in self.clients.values():
            client.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def serve_one(management=""):
        servers.append(Server(tmp_path, management))
        return servers[-1]

    yield serve_one
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve):  # pylint: disable=redefined-outer-name
    return serve()


class Ctl:
    """Runs portolanctl: returns its exit status, output and errors."""

    def __init__(self, socket, home):
        self.socket = socket
        self.environment = {**os.environ, "HOME": str(home), "LANG": "C.UTF-8"}

    def __call__(self, *arguments, stdin="", status=0):
        done = subprocess.run([PROGRAM, "--server", f"unix:{self.socket}", *arguments], input=stdin, text=True,
                              capture_output=True, timeout=180, env=self.environment)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stdout + done.stderr


@pytest.fixture
def ctl(server, tmp_path):  # pylint: disable=redefined-outer-name
    return Ctl(server.socket, tmp_path)


@pytest.fixture
def shell(server, tmp_path):  # pylint: disable=redefined-outer-name
    """shell() starts portolanctl in a terminal."""
    terminals = []

    def start(*arguments, **options):
        folder = tmp_path / f"terminal{len(terminals)}"
        folder.mkdir()
        environment = {"HOME": tmp_path, "LANG": "C.UTF-8", **options.pop("environment", {})}
        terminals.append(Terminal(folder, [PROGRAM, "--server", f"unix:{server.socket}", *arguments],
                                  environment=environment, **options))
        if not arguments:
            terminals[-1].prompt()
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()
