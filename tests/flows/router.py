# SPDX-License-Identifier: BSD-2-Clause
"""A router with NAT44 between the draft's clients, each on a host of its own, and a host outside; and PCP clients that
look with real packets whether what they were answered is so.

The router is the network namespace that CTest made for this run."""

import contextlib
import ipaddress
import pathlib
import select
import socket
import struct

import pcp
import pytest
from hosts import LINK_LOCAL, Host, ip

GATEWAY = "198.51.100.254"
STRANGER = "203.0.113.9"
# Those whom the draft's filters let in.
FRIENDS = ("192.0.2.200", "192.0.2.201")
# Not in Python's socket module.
NETLINK_NETFILTER = 12
KINDS = {pcp.UDP: socket.SOCK_DGRAM, pcp.TCP: socket.SOCK_STREAM}


def nat44_config(pcp_lines="", nat44="", pool=("192.0.2.2", "192.0.2.1"), inside=("lan1", "lan2", "lan3"),
                 prefixes=("198.51.100.0/24",), has_firewall6=False):
    """`has_firewall6`: there is a firewall for IPv6 hosts beside it. Without a pool the external address is that of wan0. Which of a pool's a host has depends on its address: in
    this order 198.51.100.1 has 192.0.2.1 and the others 192.0.2.2."""
    tables = "".join(f'[[inside]]\ninterface = "{each}"\n' for each in inside)
    pools = "pool = [" + ", ".join(f'"{each}"' for each in pool) + "]\n" if pool else ""
    listed = ", ".join(f'"{each}"' for each in prefixes)
    devices, more = '"nat44"', ""
    if has_firewall6:
        devices, more = '["nat44", "firewall6"]', '[firewall6]\noutside = "wan0"\ninside = ["2001:db8::/64"]\n'
    return (f'device = {devices}\n[pcp]\n{pcp_lines}\n{tables}'
            f'[nat44]\noutside = "wan0"\ninside = [{listed}]\n{pools}{nat44}\n{more}')


def set_sysctl(name, value):
    pathlib.Path("/proc/sys/net", name).write_text(str(value), encoding="utf-8")


def forget_flows():
    """All that connection tracking has here: NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE without a flow, acknowledged."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, socket.AF_UNSPEC, 0, 0))
        _, kind, _, _, _, error = struct.unpack("=IHHIIi", kernel.recv(4096)[:20])
        assert (kind, error) == (2, 0), "NLMSG_ERROR that says 0"


class Router:
    """Hosts 198.51.100.1 to 198.51.100.3 behind lan1 to lan3, or outside if `outside` names them; STRANGER and FRIENDS
    behind wan0. The router's own addresses there are `external`."""

    def __init__(self, outside=(), external=("192.0.2.1", "192.0.2.2")):
        self.far = Host()
        distant = [STRANGER, *FRIENDS, *outside]
        self.far.connect("wan0", [f"{address}/32" for address in external], [f"{address}/32" for address in distant])
        with self.far.entered():
            ip("route", "add", "192.0.2.0/24", "via", "inet6", LINK_LOCAL[0], "dev", "eth0")
        for address in distant:
            ip("route", "add", address, "dev", "wan0")
        self.hosts = {}
        for number in (1, 2, 3):
            address = f"198.51.100.{number}"
            if address not in outside:
                self.hosts[address] = self._behind(f"lan{number}", address)
        set_sysctl("ipv4/ip_forward", 1)
        # Every refusal is told, so that nothing has to be waited for that does not come.
        set_sysctl("ipv4/icmp_ratelimit", 0)

    @staticmethod
    def _behind(interface, address):
        host = Host()
        host.connect(interface, [f"{GATEWAY}/32"], [f"{address}/32"])
        ip("route", "add", address, "dev", interface)
        with host.entered():
            ip("route", "add", GATEWAY, "dev", "eth0")
        host.route(GATEWAY)
        return host

    def interfaces(self):
        return [f"lan{address[-1]}" for address in self.hosts]

    def config(self, pcp_lines="", nat44="", **options):
        prefixes = ["198.51.100.0/24"] if len(self.hosts) == 3 else [f"{address}/32" for address in self.hosts]
        return nat44_config(pcp_lines, nat44, inside=self.interfaces(), prefixes=prefixes, **options)

    def client(self, address, **options):
        return CheckingClient(self, address, **options)

    def inside_socket(self, protocol, address, port):
        """Others may have the same port."""
        made = self.hosts[address].socket(socket.AF_INET, KINDS[protocol])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address, port))
        return made

    def far_socket(self, protocol, address=STRANGER, port=0):
        made = self.far.socket(socket.AF_INET, KINDS[protocol])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if protocol == pcp.TCP:
            # Closing leaves nothing behind that would be in the next one's way.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.bind((address, port))
        return made

    def close(self):
        for interface in (*self.interfaces(), "wan0"):
            ip("link", "delete", interface)
        for host in (self.far, *self.hosts.values()):
            host.close()
        # The next test's hosts have the same addresses.
        forget_flows()

    def check_open(self, protocol, internal, external, friends=()):
        """Whoever may sends to `external` and reaches the socket at `internal`, and is answered from `external`. If
        `friends` are named, nobody else reaches it: what others sent before has not come when theirs has."""
        with self.inside_socket(protocol, *internal) as inside:
            if protocol == pcp.TCP:
                inside.listen()
            for friend in friends or [(STRANGER, 0)]:
                with contextlib.ExitStack() as stack:
                    if friends:
                        for stranger in _strangers(friends):
                            _knock(stack.enter_context(self.far_socket(protocol, *stranger)), external)
                    outside = stack.enter_context(self.far_socket(protocol, *friend))
                    outside.connect(external)
                    if protocol == pcp.UDP:
                        outside.send(b"in")
                        data, source = inside.recvfrom(64)
                        assert (data, source) == (b"in", outside.getsockname())
                        inside.sendto(b"back", source)
                    else:
                        accepted, source = inside.accept()
                        stack.enter_context(accepted)
                        assert source == outside.getsockname()
                        accepted.send(b"back")
                    assert outside.recv(64) == b"back"
                assert not _is_readable(inside), "from somebody else"

    def check_closed(self, protocol, internal, external):
        """Nothing new gets from `external` to the socket at `internal`: the sender is told, by the router."""
        with self.inside_socket(protocol, *internal) as inside, self.far_socket(protocol) as outside:
            if protocol == pcp.TCP:
                inside.listen()
            with pytest.raises(ConnectionRefusedError):
                outside.connect(external)
                outside.send(b"in")
                outside.recv(64)
            assert not _is_readable(inside), "it has come in"

    def check_outbound(self, internal, external, remote):
        """What the UDP socket at `internal` sends to `remote` comes from `external`, and the answer gets back to it."""
        with self.far_socket(pcp.UDP, *remote) as there, self.inside_socket(pcp.UDP, *internal) as here:
            here.sendto(b"out", remote)
            assert there.recvfrom(64) == (b"out", external)
            there.sendto(b"back", external)
            assert here.recvfrom(64) == (b"back", remote)


def _strangers(friends):
    """Who is none of them, but may have been one before, or has one's address or port."""
    address, port = friends[0]
    near = [(STRANGER, 0), (STRANGER, port), (address, port - 1), *((each, port) for each in FRIENDS)]
    return [each for each in near if each not in friends]


def _knock(outside, external):
    outside.setblocking(False)
    if outside.connect_ex(external) == 0:
        outside.send(b"not for you")


def _is_readable(waiting):
    return bool(select.select([waiting], [], [], 0)[0])


class CheckingClient(pcp.Client):
    """After each answer of success it sends packets that show whether it is so."""

    def __init__(self, router, address, server=GATEWAY, **options):
        super().__init__(address, server=server, host=router.hosts[address], **options)
        self.router = router
        # Where each mapping is, by protocol and internal endpoint.
        self.mapped = {}

    def map(self, protocol, internal, external=0, address="0.0.0.0", lifetime=36000, number=15685, options=b"",
            client=None):
        request, answer = super().map(protocol, internal, external, address, lifetime, number, options, client)
        if answer.result != pcp.SUCCESS:
            return request, answer
        host = self.address
        friends = []
        for code, data in split(options):
            if code == 1:
                host = _ipv4(data)
            elif code == 3:
                _, length, port = struct.unpack("!BBH", data[:4])
                assert length in (0, 128)
                friends = [] if length == 0 else [*friends, (_ipv4(data[4:]), port)]
        key = protocol, (host, internal)
        if lifetime:
            self.mapped[key] = answer.address, answer.external
            self.router.check_open(*key, self.mapped[key], friends)
        elif key in self.mapped:
            self.router.check_closed(*key, self.mapped.pop(key))
        return request, answer

    def peer(self, protocol, internal, *arguments, remote=("198.51.100.2", 12456), **options):
        request, answer = super().peer(protocol, internal, *arguments, remote=remote, **options)
        # TCP is for tests that have a connection.
        if answer.result == pcp.SUCCESS and protocol == pcp.UDP:
            here, external = (self.address, internal), (answer.address, answer.external)
            self.router.check_outbound(here, external, remote)
            # Others than that peer are not let in by it.
            self.router.check_closed(protocol, here, external)
        return request, answer


def split(options):
    """Codes and data of options."""
    while options:
        code, _, length = struct.unpack("!BBH", options[:4])
        yield code, options[4:4 + length]
        options = options[4 + (length + 3) // 4 * 4:]


def _ipv4(octets):
    return str(ipaddress.IPv6Address(octets).ipv4_mapped)
