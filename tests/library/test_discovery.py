# SPDX-License-Identifier: BSD-2-Clause
"""Which servers libportolan finds on a host with real routes, leases and advertisements, and from which address it
asks. The router is the network namespace that CTest made for this run; so is the view of /var/lib/dhcp."""

import contextlib
import os
import pathlib
import resource
import socket
import struct
import subprocess
import time

import pytest
from binding import CHANGED, GRANTED, LOST, NO_ANYCAST, OK, Client
from hosts import Host, ip
from server import Server

ROUTER, HOST = "192.0.2.1", "192.0.2.2"
PCP_PORT = 5351


@pytest.fixture(scope="module")
def leases():
    """Where dhclient keeps its leases, for this run alone."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/var/lib/dhcp"], check=True)
    return pathlib.Path("/var/lib/dhcp/dhclient.eth0.leases")


@pytest.fixture
def host():
    ip("link", "set", "lo", "up")
    made = Host()
    made.connect("lan0", [f"{ROUTER}/24", "2001:db8:77::1/64"], [f"{HOST}/24"])
    yield made
    ip("link", "del", "lan0")
    made.close()


@contextlib.contextmanager
def client_on(host, prefix, flags=0, servers=()):
    with host.entered():
        client = Client(prefix / "lib/libportolan.so", flags, servers)
        try:
            yield client
        finally:
            client.close()


def run_until(client, is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        client.run(100)


def lease_of(server):
    octets = ":".join(f"{octet:x}" for octet in [4, *socket.inet_aton(server)])
    return f"""lease {{
  interface "eth0";
  fixed-address {HOST};
  option unknown-158 {octets};
}}
"""


def test_the_server_that_dhcp_names_is_asked_and_the_router_is_not(host, prefix, leases):
    ip("address", "add", "192.0.2.53/24", "dev", "lan0")
    host.route(ROUTER)
    leases.write_text(lease_of("192.0.2.53"), encoding="utf-8")
    try:
        with Server(address="192.0.2.53", port=PCP_PORT) as named, Server(address=ROUTER, port=PCP_PORT) as router, \
                client_on(host, prefix) as client:
            info = client.wait(client.map(socket.IPPROTO_TCP, 8080))
            assert info.server == b"192.0.2.53"
            assert named.senders == [HOST] and not router.senders
    finally:
        leases.unlink()


def test_where_the_router_is_silent_the_anycast_address_is_asked(host, prefix):
    ip("address", "add", "192.0.0.9/32", "dev", "lo")
    host.route(ROUTER)
    try:
        with Server(address="192.0.0.9", port=PCP_PORT) as anycast:
            with client_on(host, prefix) as client:
                info = client.wait(client.map(socket.IPPROTO_TCP, 8080))
                assert info.server == ROUTER.encode(), "one server, by its first address"
            assert anycast.senders == [HOST]
            with client_on(host, prefix, NO_ANYCAST) as client:
                client.map(socket.IPPROTO_TCP, 8081)
                client.run(1000)
            assert anycast.senders == [HOST]
    finally:
        ip("address", "del", "192.0.0.9/32", "dev", "lo")


@pytest.mark.parametrize("servers", [(), (ROUTER,)])
def test_a_mapping_is_asked_for_no_longer_than_the_address_lives(host, prefix, servers):
    with host.entered():
        ip("address", "change", f"{HOST}/24", "dev", "eth0", "valid_lft", "300", "preferred_lft", "300")
    host.route(ROUTER)
    with Server(address=ROUTER, port=PCP_PORT) as server, client_on(host, prefix, 0, servers) as client:
        client.wait(client.map(socket.IPPROTO_TCP, 8080))
        assert 290 <= server.lifetimes[0] <= 300


def test_a_deprecated_address_is_left_for_the_one_that_traffic_leaves_from(host, prefix):
    old, new = "2001:db8:77::2", "2001:db8:77::3"
    with host.entered():
        ip("address", "add", f"{old}/64", "dev", "eth0", "nodad")
        ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    with Server(address="fe80::1%lan0", port=PCP_PORT) as server, client_on(host, prefix) as client:
        mapping = client.map(socket.IPPROTO_TCP, 8080)
        assert str(client.wait(mapping).internal.address) == old
        ip("address", "add", f"{new}/64", "dev", "eth0", "nodad")
        ip("address", "change", f"{old}/64", "dev", "eth0", "preferred_lft", "0", "valid_lft", "3000")
        run_until(client, lambda: str(client.wait(mapping).internal.address) == new)
        # The mapping of the old address is deleted from that address.
        run_until(client, lambda: (old, 0) in zip(server.senders, server.lifetimes))
        kinds = []
        while event := client.next_event():
            kinds.append(event.kind)
        assert LOST in kinds or CHANGED in kinds, kinds
        assert kinds[-1] == GRANTED, kinds


@contextlib.contextmanager
def no_descriptors():
    """Leaves this process none to open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    following = os.dup(0)
    os.close(following)
    resource.setrlimit(resource.RLIMIT_NOFILE, (following, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_who_cannot_look_at_the_host_keeps_its_mappings_and_looks_again(host, prefix):
    old, new = "2001:db8:77::2", "2001:db8:77::3"
    with host.entered():
        ip("address", "add", f"{old}/64", "dev", "eth0", "nodad")
        ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    with Server(address="fe80::1%lan0", port=PCP_PORT) as server, client_on(host, prefix) as client:
        mapping = client.map(socket.IPPROTO_TCP, 8080)
        client.wait(mapping)
        ip("address", "add", f"{new}/64", "dev", "eth0", "nodad")
        ip("address", "change", f"{old}/64", "dev", "eth0", "preferred_lft", "0", "valid_lft", "3000")
        with no_descriptors():
            client.run(200)
            assert str(client.wait(mapping, 0).internal.address) == old
            assert 0 not in server.lifetimes
        run_until(client, lambda: str(client.wait(mapping).internal.address) == new)


@contextlib.contextmanager
def advertiser():
    """A function that sends a router advertisement on lan0, which says nothing but that 2001:db8:64::/96 is for half an
    hour; on lan0 even where it is called in another network namespace."""
    option = struct.pack("!BBH", 38, 2, 1800) + socket.inet_pton(socket.AF_INET6, "2001:db8:64::")[:12]
    message = struct.pack("!BBHBBHII", 134, 0, 0, 0, 0, 0, 0, 0) + option
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        index = socket.if_nametoindex("lan0")
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        yield lambda: raw.sendto(message, ("ff02::1", 0, 0, index))


def test_a_nat64_prefix_that_a_router_advertises_is_known(host, prefix):
    with host.entered():
        pathlib.Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").write_text("2", encoding="utf-8")
    with advertiser() as advertise, client_on(host, prefix) as client:
        assert client.nat64_prefix()[0] != OK
        advertise()
        run_until(client, lambda: client.nat64_prefix()[0] == OK)
        assert client.nat64_prefix() == (OK, "2001:db8:64::", 96)

        def is_known_again():
            # Before both ends are up again, it is not sent or not heard.
            with contextlib.suppress(OSError):
                advertise()
            return client.nat64_prefix()[0] == OK
        # Another network may be behind the interface when it is up again, and behind another router.
        with host.entered():
            ip("link", "set", "eth0", "down")
        run_until(client, lambda: client.nat64_prefix()[0] != OK)
        with host.entered():
            ip("link", "set", "eth0", "up")
            ip("address", "replace", "fe80::2/64", "dev", "eth0", "nodad")
            ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
        run_until(client, is_known_again)
        with host.entered():
            ip("-6", "route", "del", "default", "via", "fe80::1", "dev", "eth0")
        run_until(client, lambda: client.nat64_prefix()[0] != OK)


def test_a_mapping_is_asked_for_from_the_address_that_the_request_names(host, prefix):
    stable, private = "2001:db8:77::2", "2001:db8:77::3"
    with host.entered():
        ip("address", "add", f"{stable}/64", "dev", "eth0", "nodad", "preferred_lft", "0", "valid_lft", "3000")
        ip("address", "add", f"{private}/64", "dev", "eth0", "nodad")
        ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    with Server(address="fe80::1%lan0", port=PCP_PORT) as server, client_on(host, prefix) as client:
        assert str(client.wait(client.map(socket.IPPROTO_TCP, 8080, address=stable)).internal.address) == stable
        assert str(client.wait(client.map(socket.IPPROTO_TCP, 8081)).internal.address) == private
        assert server.senders == [stable, private]
