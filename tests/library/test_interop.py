# SPDX-License-Identifier: BSD-2-Clause
"""libportolan against Debian's miniupnpd, a PCP and NAT-PMP server that is not ours, with real packets through the
mappings it makes. The router is the network namespace that CTest made for this run."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from binding import EXTERNAL_IPV6, GRANTED, INFO_NAT_PMP, LOST, ONLY_NAT_PMP, ONLY_PCP, Client
from hosts import Host, ip

# miniupnpd refuses documentation addresses outside. Nothing is ever sent beyond the viewer's namespace.
OUTSIDE, VIEWER = "11.0.0.1", "11.0.0.2"
EPOCH_SEEN = 8
RULES = """add table inet filter
add chain inet filter miniupnpd
add chain inet filter prerouting_miniupnpd
add chain inet filter postrouting_miniupnpd
add chain inet filter forward { type filter hook forward priority 0; policy drop; }
add chain inet filter prerouting { type nat hook prerouting priority -100; }
add chain inet filter postrouting { type nat hook postrouting priority 100; }
add rule inet filter forward ct state established,related accept
add rule inet filter forward iifname lan0 accept
add rule inet filter forward jump miniupnpd
add rule inet filter prerouting jump prerouting_miniupnpd
add rule inet filter postrouting jump postrouting_miniupnpd
add rule inet filter postrouting ip saddr 192.168.77.0/24 oifname wan0 masquerade
"""


class Router:
    """miniupnpd between a host and a viewer."""

    def __init__(self, folder):
        self.folder = folder
        ip("link", "set", "lo", "up")
        self.host, self.viewer = Host(), Host()
        self.host.connect("lan0", ["192.168.77.1/24", "2001:db8:77::1/64"], ["192.168.77.2/24", "2001:db8:77::2/64"])
        self.viewer.connect("wan0", [f"{OUTSIDE}/24", "2001:db8:99::1/64"], [f"{VIEWER}/24", "2001:db8:99::2/64"])
        self.host.route("192.168.77.1")
        self.host.route("2001:db8:77::1")
        self.viewer.route("2001:db8:99::1")
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            pathlib.Path("/proc/sys/net", name).write_text("1", encoding="utf-8")
        subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
        self.daemon, self.started = None, 0.0
        self.start()

    def start(self):
        config = self.folder / "miniupnpd.conf"
        config.write_text(f"""ext_ifname=wan0
listening_ip=lan0
enable_natpmp=yes
enable_upnp=no
min_lifetime=120
max_lifetime=86400
lease_file={self.folder}/leases
system_uptime=no
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.77.0/24 0-65535
deny 0-65535 0.0.0.0/0 0-65535
""", encoding="utf-8")
        self.started = time.monotonic()
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(  # pylint: disable=consider-using-with
                ["miniupnpd", "-d", "-f", config, "-P", self.folder / "pid"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def stop(self, how=signal.SIGTERM):
        self.daemon.send_signal(how)
        self.daemon.wait(10)

    def close(self):
        self.stop()
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        self.host.close()
        self.viewer.close()


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    made = Router(tmp_path_factory.mktemp("miniupnpd"))
    yield made
    made.close()


@contextlib.contextmanager
def client_of(router, prefix, flags=0, servers=()):
    with router.host.entered():
        client = Client(prefix / "lib/libportolan.so", flags, servers)
    try:
        yield client
    finally:
        with router.host.entered():
            client.close()


@contextlib.contextmanager
def web_server(router, family, port):
    with router.host.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen()
        yield listener


def reaches(router, listener, address, port):
    """Whether a connection from the viewer to there arrives at the listener."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with router.viewer.socket(family, socket.SOCK_STREAM) as viewer:
        viewer.settimeout(2)
        try:
            viewer.connect((address, port))
        except OSError:
            return False
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"here")
            return viewer.recv(4) == b"here"


def test_a_default_router_is_asked_unless_a_server_is_named(router, prefix):
    """There are two, one of each family, and either may answer first."""
    with client_of(router, prefix) as client, router.host.entered():
        info = client.wait(client.map(socket.IPPROTO_TCP, 8079))
    assert (str(info.internal.address), str(info.external.address)) in (
        ("192.168.77.2", OUTSIDE), ("2001:db8:77::2", "2001:db8:77::2"))


@pytest.mark.parametrize("flags", [0, ONLY_PCP, ONLY_NAT_PMP])
def test_a_connection_arrives_by_a_mapping_and_not_without(router, prefix, flags):
    """In PCP, and where only NAT-PMP may be spoken, by that."""
    with client_of(router, prefix, flags, ("192.168.77.1",)) as client, web_server(router, socket.AF_INET, 8080) as listener:
        with router.host.entered():
            mapping = client.map(socket.IPPROTO_TCP, 8080)
            info = client.wait(mapping)
        assert str(info.internal.address) == "192.168.77.2"
        assert str(info.external.address) == OUTSIDE
        assert bool(info.flags & INFO_NAT_PMP) == (flags == ONLY_NAT_PMP)
        port = info.external.port
        assert reaches(router, listener, OUTSIDE, port)
        with router.host.entered():
            client.drop(mapping)
        assert not reaches(router, listener, OUTSIDE, port)


def test_an_ipv6_host_is_let_in_through_the_firewall(router, prefix):
    with client_of(router, prefix, 0, ("2001:db8:77::1",)) as client, \
            web_server(router, socket.AF_INET6, 8081) as listener:
        assert not reaches(router, listener, "2001:db8:77::2", 8081)
        with router.host.entered():
            mapping = client.map(socket.IPPROTO_TCP, 8081, EXTERNAL_IPV6)
            info = client.wait(mapping)
        assert str(info.external.address) == "2001:db8:77::2"
        assert reaches(router, listener, str(info.external.address), info.external.port)
        with router.host.entered():
            client.drop(mapping)


@pytest.mark.parametrize("flags", [ONLY_PCP, ONLY_NAT_PMP])
def test_a_restart_of_the_server_is_noticed_and_mended(router, prefix, flags):
    with client_of(router, prefix, flags, ("192.168.77.1",)) as client, \
            web_server(router, socket.AF_INET, 8082) as listener:
        with router.host.entered():
            # Clients don't notice that a server lost the state of its first seconds (RFC 6886 s3.6).
            while time.monotonic() < router.started + EPOCH_SEEN:
                client.run(500)
            info = client.wait(client.map(socket.IPPROTO_TCP, 8082))
        router.stop(signal.SIGKILL)
        subprocess.run(["nft", "flush", "chain", "inet", "filter", "miniupnpd"], check=True)
        subprocess.run(["nft", "flush", "chain", "inet", "filter", "prerouting_miniupnpd"], check=True)
        (router.folder / "leases").unlink(missing_ok=True)
        assert not reaches(router, listener, OUTSIDE, info.external.port)
        router.start()
        if flags == ONLY_NAT_PMP:
            # miniupnpd announces its start in PCP only: any other answer tells by its epoch.
            with router.host.entered():
                client.map(socket.IPPROTO_UDP, 9999)
        deadline = time.monotonic() + 60
        while not reaches(router, listener, OUTSIDE, info.external.port):
            assert time.monotonic() < deadline, (router.folder / "log").read_text(encoding="utf-8", errors="replace")
            with router.host.entered():
                client.run(500)


def test_a_changed_address_moves_the_mapping_without_a_hand(router, prefix):
    def become(old, new):
        with router.host.entered():
            ip("address", "del", f"{old}/24", "dev", "eth0")
            ip("address", "add", f"{new}/24", "dev", "eth0")
        router.host.route("192.168.77.1")

    with client_of(router, prefix, ONLY_PCP) as client, web_server(router, socket.AF_INET, 8083) as listener:
        with router.host.entered():
            mapping = client.map(socket.IPPROTO_TCP, 8083)
            client.wait(mapping)
        become("192.168.77.2", "192.168.77.3")
        try:
            deadline = time.monotonic() + 60
            internal = ""
            while internal != "192.168.77.3":
                assert time.monotonic() < deadline
                with router.host.entered():
                    client.run(500)
                    info = client.wait(mapping)
                internal = str(info.internal.address)
            assert reaches(router, listener, OUTSIDE, info.external.port)
            kinds = []
            while event := client.next_event():
                kinds.append(event.kind)
            # Between the two addresses the host had no router either.
            assert LOST in kinds and kinds[-1] == GRANTED, kinds
        finally:
            become("192.168.77.3", "192.168.77.2")
