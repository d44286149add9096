# SPDX-License-Identifier: BSD-2-Clause
"""Router advertisements with PREF64, as a host's kernel and tshark see them.

The router is the network namespace that CTest made for this run; the host is another. Through all that happens to the
daemon the host keeps its default route."""

import contextlib
import ipaddress
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flows"))
from hosts import Host  # noqa: E402  pylint: disable=wrong-import-position

APPS = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps"
ROUTER = "fe80::1"
PREFIX = "2001:db8:64:ff9b::"
PATIENCE = 30
NAT64 = """
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
"""
PROGRAMS = {
    "portolan-nat64": NAT64 + '[control]\nlisten = ["unix:{folder}/nat64.sock"]\n',
    "portoland": 'device = "nat64"\nstore = "memory"\n' + NAT64 + '[[inside]]\ninterface = "lan0"\n',
}
ALONE = """[router_advertisement]
mode = "alone"
interfaces = [{interfaces}]
max_interval = {interval}
lifetime = {lifetime}
"""
WHOLE = """[router_advertisement]
mode = "whole"
interfaces = ["lan0"]
max_interval = 4
router_lifetime = 1800
lifetime = {lifetime}
dns = ["2001:db8:1::1"]
"""


class Seen:
    """An advertisement that reached the host."""

    def __init__(self, source, message):
        self.source = source
        self.router_lifetime = struct.unpack_from("!H", message, 6)[0]
        self.pref64 = {}
        rest = message[16:]
        while len(rest) >= 8:
            kind, units = rest[0], rest[1]
            if kind == 38:
                scaled = struct.unpack_from("!H", rest, 2)[0]
                self.pref64[str(ipaddress.IPv6Address(rest[4:16] + bytes(4)))] = (scaled >> 3) * 8
            rest = rest[8 * units:]


class Listener:
    """The host's ears: every advertisement, and word of every default route that goes."""

    def __init__(self, host, folder):
        self.host = host
        self.seen = []
        with host.entered():
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            self.index = socket.if_nametoindex("eth0")
            self.routes = folder / "routes"
            self.pcap = folder / "seen.pcap"
            # pylint: disable=consider-using-with
            self.monitor = subprocess.Popen(["ip", "-6", "monitor", "route"], stdout=self.routes.open("wb"))
            self.capture = subprocess.Popen(
                ["tcpdump", "-i", "eth0", "-U", "-w", self.pcap, "icmp6"], stderr=subprocess.PIPE, text=True)
        for line in self.capture.stderr:
            if "listening" in line:
                break
        self.ending = False
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self):
        while not self.ending:
            if select.select([self.socket], [], [], 0.1)[0]:
                message, address = self.socket.recvfrom(2048)
                if message[0] == 134:
                    self.seen.append(Seen(address[0].split("%")[0], message))

    def wait(self, what, accepts):
        """The first advertisement from now on that is as wanted."""
        start, deadline = len(self.seen), time.monotonic() + PATIENCE
        return self.since(start, deadline, what, accepts)

    def since(self, start, deadline, what, accepts):
        while True:
            for seen in self.seen[start:]:
                if accepts(seen):
                    return seen
            assert time.monotonic() < deadline, f"not seen: {what}; but {[vars(seen) for seen in self.seen[start:]]}"
            time.sleep(0.02)

    def solicit(self):
        self.socket.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), 0, ("ff02::2", 0, 0, self.index))

    def default_route(self):
        with self.host.entered():
            return subprocess.run(["ip", "-6", "route", "show", "default"], check=True, capture_output=True,
                                  text=True).stdout

    def wait_for_route(self):
        deadline = time.monotonic() + PATIENCE
        while ROUTER not in self.default_route():
            assert time.monotonic() < deadline, "the host has no default route"
            time.sleep(0.05)

    def check_route(self):
        assert ROUTER in self.default_route()
        assert "Deleted default" not in self.routes.read_text()

    def flush(self):
        """Waits until all that was seen is in the file: packets are written in their order, this one last."""
        mark = os.urandom(16)
        self.socket.sendto(bytes([200, 0, 0, 0]) + mark, 0, ("ff02::2", 0, 0, self.index))  # RFC 4443: experimental
        deadline = time.monotonic() + PATIENCE
        while mark not in self.pcap.read_bytes():
            assert time.monotonic() < deadline, "tcpdump does not write what it sees"
            time.sleep(0.02)

    def tshark(self, condition, *fields):
        self.flush()
        arguments = [part for field in fields for part in ("-e", field)]
        out = subprocess.run(["tshark", "-r", self.pcap, "-Y", condition, "-T", "fields", *arguments], check=True,
                             capture_output=True, text=True).stdout
        return [line.split("\t") for line in out.splitlines()]

    def close(self):
        self.ending = True
        self.thread.join()
        for process in (self.capture, self.monitor):
            process.terminate()
            process.wait()
        self.capture.stderr.close()
        self.socket.close()


class Daemon:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.config = folder / "daemon.toml"
        self.log = folder / "daemon.log"
        self.log.touch()
        self.process = None

    def write(self, section):
        self.config.write_text(f'unexpected_calls = "kill"\nruntime_directory = "{self.folder}"\n'
                               + PROGRAMS[self.program].format(folder=self.folder) + section)

    def wait_for_log(self, text, already):
        deadline = time.monotonic() + PATIENCE
        while text not in self.log.read_text()[already:]:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def start(self):
        already = len(self.log.read_text())
        with self.log.open("a", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([APPS / self.program, "--config", self.config], stderr=log)
        self.wait_for_log(" ready", already)

    def reload(self, section):
        self.write(section)
        already = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        self.wait_for_log("configuration reloaded", already)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def radvd(folder):
    config = folder / "radvd.conf"
    config.write_text("interface lan0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;"
                      " AdvDefaultLifetime 1800; prefix 2001:db8:1::/64 { }; };\n")
    config.chmod(0o644)
    command = ["radvd", "--nodaemon", "--logmethod", "stderr", "-C", config, "-p", folder / "radvd.pid"]
    with (folder / "radvd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield
        finally:
            # Not asked to end: it would take the route.
            process.kill()


@pytest.fixture(name="host")
def _host(tmp_path):
    host = Host()
    host.connect("lan0", ["2001:db8:1::1/64"], [])
    pathlib.Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1", encoding="ascii")
    listener = Listener(host, tmp_path)
    yield listener
    listener.close()
    subprocess.run(["ip", "link", "delete", "lan0"], check=True)
    host.close()


@pytest.fixture(name="daemon", params=sorted(PROGRAMS))
def _daemon(request, tmp_path):
    daemon = Daemon(request.param, tmp_path)
    yield daemon
    daemon.kill()


def is_offer(seen, lifetime=1800):
    return seen.pref64 == {PREFIX: lifetime}


def is_withdrawal(seen):
    return seen.pref64 == {PREFIX: 0}


def test_pref64_alone_leaves_the_default_route_to_the_router_beside(host, daemon, tmp_path):
    section = {"interfaces": '"lan0"', "interval": 4, "lifetime": 1800}
    with radvd(tmp_path):
        host.wait_for_route()
        daemon.write(ALONE.format(**section))
        begin = len(host.seen)
        daemon.start()
        first = host.since(begin, time.monotonic() + PATIENCE, "an advertisement with PREF64", is_offer)
        assert first.source != ROUTER and first.router_lifetime == 0
        # Unasked again and again.
        host.wait("another", is_offer)

        daemon.reload(ALONE.format(**section | {"lifetime": 900}))
        # 900 is no multiple of 8: 904 is.
        host.wait("another lifetime", lambda seen: is_offer(seen, 904))
        begin = len(host.seen)
        daemon.reload(ALONE.format(**section | {"interfaces": '"lan1"'}))
        last = host.since(begin, time.monotonic() + PATIENCE, "that it is withdrawn here", is_withdrawal)
        assert last.source == first.source
        daemon.reload(ALONE.format(**section))
        host.wait("that it is back", is_offer)

        begin = len(host.seen)
        daemon.stop()
        host.since(begin, time.monotonic() + PATIENCE, "that it is withdrawn at the end", is_withdrawal)
        daemon.start()
        again = host.wait("that it is back", is_offer)
        assert again.source == first.source
        begin = len(host.seen)
        daemon.kill()
        daemon.start()
        assert host.since(begin, time.monotonic() + PATIENCE, "it again", is_offer).source == first.source
        assert not any(is_withdrawal(seen) for seen in host.seen[begin:])
        host.check_route()
        assert {seen.source for seen in host.seen} == {ROUTER, first.source}
    daemon.stop()
    ours = f"icmpv6.type == 134 && ipv6.src == {first.source}"
    fields = ("ipv6.hlim", "icmpv6.checksum.status", "icmpv6.nd.ra.router_lifetime", "icmpv6.opt.pref64.plc",
              "icmpv6.opt.pref64.prefix")
    read = host.tshark(ours, *fields)
    assert len(read) >= 6 and {tuple(each) for each in read} == {("255", "1", "0", "0x0000", PREFIX)}
    scaled = {int(each[0], 0) for each in host.tshark(ours, "icmpv6.opt.pref64.scaled_lifetime")}
    assert scaled == {1800 // 8, 904 // 8, 0}
    assert host.tshark(ours + " && _ws.malformed", "frame.number") == []


def test_a_host_that_asks_is_answered_and_many_are_answered_together(host, daemon, tmp_path):
    with radvd(tmp_path):
        host.wait_for_route()
    daemon.write(ALONE.format(interfaces='"lan0"', interval=1800, lifetime=1800))
    begin = len(host.seen)
    daemon.start()
    source = host.since(begin, time.monotonic() + PATIENCE, "the first", is_offer).source
    for _ in range(3):
        begin = len(host.seen)
        for _ in range(100):
            host.solicit()
        host.since(begin, time.monotonic() + PATIENCE, "an answer", is_offer)
    daemon.stop()
    times = [float(each[0]) for each in host.tshark(
        f"ipv6.src == {source} && icmpv6.opt.pref64.scaled_lifetime != 0", "frame.time_epoch")]
    # The first, an answer each, and what comes in any case in the first seconds; none within 3 seconds of another.
    assert 4 <= len(times) <= 6, times
    assert all(after - before > 2.9 for before, after in zip(times, times[1:])), times
    host.check_route()


def test_the_whole_advertisement_never_takes_the_default_route_away(host, tmp_path):
    daemon = Daemon("portolan-nat64", tmp_path)
    try:
        daemon.write(WHOLE.format(lifetime=1800))
        daemon.start()
        host.wait_for_route()
        host.wait("a whole one", lambda seen: is_offer(seen) and seen.router_lifetime == 1800)
        with host.host.entered():
            assert "2001:db8:1::/64" in subprocess.run(["ip", "-6", "route"], check=True, capture_output=True,
                                                       text=True).stdout
        daemon.reload(WHOLE.format(lifetime=800))
        host.wait("another lifetime", lambda seen: is_offer(seen, 800))
        begin = len(host.seen)
        daemon.stop()
        last = host.since(begin, time.monotonic() + PATIENCE, "that the prefix is withdrawn", is_withdrawal)
        assert last.router_lifetime == 1800
        daemon.start()
        host.wait("it again", lambda seen: is_offer(seen, 800))
        daemon.kill()
        daemon.start()
        host.wait("it again", lambda seen: is_offer(seen, 800))
        daemon.stop()
        host.check_route()
        assert {(seen.source, seen.router_lifetime) for seen in host.seen} == {(ROUTER, 1800)}
        fields = ("icmpv6.nd.ra.cur_hop_limit", "icmpv6.opt.prefix", "icmpv6.opt.prefix.length",
                  "icmpv6.opt.prefix.flag.l", "icmpv6.opt.prefix.flag.a", "icmpv6.opt.rdnss", "icmpv6.opt.linkaddr")
        read = {tuple(each) for each in host.tshark("icmpv6.type == 134", *fields)}
        address = json.loads(subprocess.run(["ip", "-json", "link", "show", "lan0"], check=True, capture_output=True,
                                            text=True).stdout)[0]["address"]
        assert read == {("64", "2001:db8:1::", "64", "1", "1", "2001:db8:1::1", address)}
    finally:
        daemon.kill()


def test_another_router_that_tells_of_another_nat64_is_logged(host, tmp_path):
    daemon = Daemon("portolan-nat64", tmp_path)
    try:
        daemon.write(ALONE.format(interfaces='"lan0"', interval=4, lifetime=1800))
        daemon.start()
        for length, text in ((b"\x26\x02\x07\x08", "2001:db8:64:ff9b::/96"), (b"\x26\x02\x07\x09", "2001:db8:65::/64")):
            prefix = ipaddress.IPv6Network(text).network_address.packed[:12]
            host.socket.sendto(bytes([134]) + bytes(15) + length + prefix, 0, ("ff02::1", 0, 0, host.index))
        daemon.wait_for_log("fe80::2 on lan0 tells hosts of NAT64 prefixes 2001:db8:65::/64, not 2001:db8:64:ff9b::/96", 0)
        assert daemon.log.read_text().count("tells hosts of") == 1, "the same prefix is no difference"
        daemon.stop()
    finally:
        daemon.kill()


def test_an_interface_that_comes_later_is_advertised_on(host, daemon):
    daemon.write(ALONE.format(interfaces='"lan0", "lan1"', interval=4, lifetime=1800))
    daemon.start()
    daemon.wait_for_log("none on lan1", 0)
    host.wait("the first on lan0", is_offer)
    already = len(daemon.log.read_text())
    second = Host()
    second.connect("lan1", [], [])
    try:
        daemon.wait_for_log("sent on lan1", already)
        subprocess.run(["ip", "link", "delete", "lan1"], check=True)
        daemon.wait_for_log("none on lan1", already)
        host.wait("another on lan0", is_offer)
        daemon.stop()
    finally:
        second.close()
