# SPDX-License-Identifier: BSD-2-Clause
"""What the client asks the DNS, and that nothing waits for the answer. resolv.conf is this run's own, in the mount
namespace that CTest made for it; so is the network."""

import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import time

import pytest
from binding import OK, Client
from hosts import Host, ip
from server import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTOLAN = os.environ["PORTOLAN_PROGRAM"]
NAT64_PREFIX = 8
A, AAAA = 1, 28
RECORDS = ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]
PREFIX = (OK, "2001:db8:64::", 96)


@pytest.fixture(scope="module", autouse=True)
def loopback():
    ip("link", "set", "lo", "up")


@pytest.fixture
def resolv_conf(tmp_path):
    """A function that sets what resolv.conf says."""
    place = os.path.realpath("/etc/resolv.conf")
    mine = tmp_path / "resolv.conf"
    mine.write_text("", encoding="utf-8")
    subprocess.run(["mount", "--bind", mine, place], check=True)
    yield lambda text: mine.write_text(text, encoding="utf-8")
    subprocess.run(["umount", place], check=True)


class Resolver:
    """A DNS server without a thread: it gets and answers what the test tells it to."""

    def __init__(self, address="127.0.0.1", host=None):
        with host.entered() if host else contextlib.nullcontext():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((address, 53))
        self.socket.settimeout(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def question(self):
        """The next one, as (name, type)."""
        self.message, self.sender = self.socket.recvfrom(512)
        labels, place = [], 12
        while length := self.message[place]:
            labels.append(self.message[place + 1:place + 1 + length].decode())
            place += 1 + length
        self.end = place + 5
        return ".".join(labels), struct.unpack_from("!H", self.message, place + 1)[0]

    def answer(self, addresses=(), result=0, identifier=None):
        """To the last question, with the records that its type is of."""
        (kind,) = struct.unpack_from("!H", self.message, self.end - 4)
        family, size = (socket.AF_INET6, 16) if kind == AAAA else (socket.AF_INET, 4)
        addresses = [address for address in addresses if (":" in address) == (kind == AAAA)]
        identifier = self.message[:2] if identifier is None else identifier
        message = identifier + struct.pack("!HHHHH", 0x8180 | result, 1, len(addresses), 0, 0)
        message += self.message[12:self.end]
        for address in addresses:
            message += struct.pack("!HHHIH", 0xc00c, kind, 1, 300, size) + socket.inet_pton(family, address)
        self.socket.sendto(message, self.sender)


@contextlib.contextmanager
def library(prefix):
    client = Client(prefix / "lib/libportolan.so")
    try:
        yield client
    finally:
        client.close()


def run_until(client, is_so, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        client.run(100)


def test_the_library_asks_for_the_prefix_and_waits_for_nothing(prefix, resolv_conf):
    resolv_conf("nameserver 127.0.0.1\n")
    with Resolver() as resolver, library(prefix) as client:
        assert client.nat64_prefix()[0] != OK
        # All of this is one thread: had the call waited for an answer, it would have given up by now.
        assert resolver.question() == ("ipv4only.arpa", AAAA)
        resolver.answer(RECORDS, identifier=b"no")
        resolver.answer(RECORDS)
        run_until(client, lambda: client.nat64_prefix() == PREFIX)
        events = [event for event in iter(client.next_event, None) if event.kind == NAT64_PREFIX]
        assert [event.text for event in events] == [
            b"the network has a NAT64 with prefix 2001:db8:64::/96, by ipv4only.arpa"]


def test_the_next_server_is_asked_when_one_is_silent_closed_or_refuses(prefix, resolv_conf):
    resolv_conf("nameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.1\noptions timeout:1\n")
    with Resolver("127.0.0.2") as silent, Resolver() as resolver, library(prefix) as client:
        client.nat64_prefix()
        resolver.socket.setblocking(False)

        def is_asked():
            with contextlib.suppress(BlockingIOError):
                return resolver.question()
            return None
        run_until(client, is_asked)
        assert silent.question() == ("ipv4only.arpa", AAAA)
        resolver.answer(result=2)
        silent.socket.setblocking(False)
        # Each has another try.
        run_until(client, is_asked)
        resolver.answer(RECORDS)
        run_until(client, lambda: client.nat64_prefix() == PREFIX)


def test_without_a_dns64_there_is_no_prefix(prefix, resolv_conf):
    resolv_conf("nameserver 127.0.0.1\n")
    with Resolver() as resolver, library(prefix) as client:
        client.nat64_prefix()
        resolver.question()
        resolver.answer()
        client.run(500)
        assert client.nat64_prefix()[0] != OK
        assert client.next_event() is None
        resolver.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            resolver.question()


def test_another_network_is_asked_anew(prefix, resolv_conf):
    resolv_conf("nameserver 127.0.0.1\n")
    with Resolver() as resolver, library(prefix) as client:
        client.nat64_prefix()
        resolver.question()
        resolver.answer(RECORDS)
        run_until(client, lambda: client.nat64_prefix() == PREFIX)
        ip("address", "add", "192.0.2.77/32", "dev", "lo")
        resolver.socket.setblocking(False)

        def is_asked():
            with contextlib.suppress(BlockingIOError):
                return resolver.question()
            return None
        run_until(client, is_asked)
        resolver.answer(["2001:db8:65::c000:aa"])
        run_until(client, lambda: client.nat64_prefix() == (OK, "2001:db8:65::", 96))
    ip("address", "del", "192.0.2.77/32", "dev", "lo")


UNBOUND = """server:
  interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "dns64 iterator"
  dns64-prefix: 2001:db8:64::/96
  trust-anchor-signaling: no
  root-key-sentinel: no
  local-zone: "ipv4only.arpa." nodefault
remote-control:
  control-enable: no
auth-zone:
  name: "ipv4only.arpa."
  zonefile: "{zone}"
  for-upstream: yes
  for-downstream: no
"""


@pytest.fixture
def unbound(tmp_path):
    config = tmp_path / "unbound.conf"
    config.write_text(UNBOUND.format(folder=tmp_path, zone=ROOT / "lab/ipv4only.arpa.zone"), encoding="utf-8")
    with subprocess.Popen(["unbound", "-d", "-p", "-c", config], stdin=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", 53)) == 0:
                    break
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.02)
        yield
        running.terminate()


def test_unbounds_dns64_tells_the_prefix(prefix, resolv_conf, unbound):  # pylint: disable=unused-argument
    resolv_conf("nameserver 127.0.0.1\n")
    with library(prefix) as client:
        run_until(client, lambda: client.nat64_prefix() == PREFIX)


@contextlib.contextmanager
def agent(host, folder, config):
    (folder / "agent.toml").write_text(config, encoding="utf-8")
    command = [PORTOLAN, "agent", "--config", folder / "agent.toml", "--state", folder / "agent.json", "--socket",
               folder / "agent.sock"]
    with host.entered():
        # pylint: disable=consider-using-with
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.terminate()
        assert running.wait(timeout=20) == 0
        running.stdout.close()


def test_the_agent_looks_up_names_and_does_all_else_meanwhile(tmp_path, resolv_conf):
    resolv_conf("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    host = Host()
    host.connect("lan0", ["192.0.2.1/24"], ["192.0.2.2/24"])
    host.route("192.0.2.1")
    config = 'servers = ["pcp.example"]\n[[mapping]]\nprotocol = "tcp"\nport = 8080\n'
    with Server(address="192.0.2.1", port=5351), Resolver(host=host) as resolver, agent(host, tmp_path, config) as kept:
        assert resolver.question()[0] == "pcp.example"
        # The agent gets no answer before this is over.
        listed = subprocess.run([PORTOLAN, "list", "--socket", tmp_path / "agent.sock"], check=False, text=True,
                                timeout=60, stdout=subprocess.PIPE)
        assert (listed.returncode, listed.stdout) == (1, "tcp 8080 ipv4: not reachable now\n")
        resolver.answer(["192.0.2.1"])
        assert resolver.question()[0] == "pcp.example"
        resolver.answer(["192.0.2.1"])
        lines = []
        for line in kept.stdout:
            lines.append(line)
            if "is reachable at" in line:
                break
        assert lines[0] == "asking the PCP server 192.0.2.1 from 192.0.2.2\n"
        assert "tcp 8080 ipv4: 192.0.2.2:8080 is reachable at 192.0.2.14:40000" in lines[-1]
    ip("link", "del", "lan0")
    host.close()


def test_the_agent_ends_while_a_name_is_looked_up(tmp_path, resolv_conf):
    resolv_conf("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    host = Host()
    with Resolver(host=host) as resolver, agent(host, tmp_path, 'servers = ["pcp.example"]\n'):
        resolver.question()
    host.close()
