# SPDX-License-Identifier: BSD-2-Clause
"""A router with NAT44 between the draft's clients and hosts outside, and packets through what its answers promise."""

import ipaddress
import socket
import struct
import subprocess

import pcp
from hosts import Host, ip

GATEWAY = "198.51.100.254"
CLIENTS = ["198.51.100.1", "198.51.100.3"]
# A client, but as a remote peer it is outside: the draft uses the address for both.
TWOFOLD = "198.51.100.2"
POOL = ["192.0.2.1", "192.0.2.2"]
ANYONE = "192.0.2.100"
# Those that filters name are outside too.
OUTSIDE = [ANYONE, "192.0.2.200", "192.0.2.201"]
IMPLICIT_PORTS = (32768, 65535)
# Where the kernel's hash of their addresses puts the first two clients in a pool of so many: each has one of its own.
PLACES = {1: (0,), 2: (1, 0), 254: (142, 58)}
# How long nat44.nft has the kernel keep an idle TCP connection (RFC 5382 s5).
TCP_IDLE_S = 2 * 3600 + 4 * 60
KINDS = {pcp.UDP: socket.SOCK_DGRAM, pcp.TCP: socket.SOCK_STREAM}


class Network:
    """The router is this namespace. With `peer_is_outside` TWOFOLD is a remote peer, else a client."""

    def __init__(self, peer_is_outside=False):
        self.inside, self.outside = Host(), Host()
        clients = CLIENTS if peer_is_outside else [*CLIENTS, TWOFOLD]
        self.prefixes = [f"{address}/32" for address in clients]
        self.inside.connect("inside0", [f"{GATEWAY}/24"], [f"{address}/24" for address in clients])
        self.outside.connect("outside0", ["192.0.2.254/24", *(f"{address}/32" for address in POOL)],
                             [f"{address}/24" for address in OUTSIDE])
        if peer_is_outside:
            with self.outside.entered():
                ip("address", "add", f"{TWOFOLD}/32", "dev", "eth0")
            ip("route", "add", f"{TWOFOLD}/32", "dev", "outside0")
            self.inside.route(GATEWAY, f"{TWOFOLD}/32")
        self.inside.route(GATEWAY)
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as setting:
            setting.write("1")
        self.filters = {}

    def socket(self, family, kind):
        """Of the clients' host."""
        return self.inside.socket(family, kind)

    def interface_index(self):
        return self.inside.interface_index()

    def config(self, lines="", first_port=1024, last_port=IMPLICIT_PORTS[0] - 1, pool=tuple(POOL),
               implicit_ports=IMPLICIT_PORTS, inside="inside0"):
        """portoland's configuration, but for store and runtime directory; `lines` are those of table pcp, and what
        follows it. The first client has the first address of the pool, the second the second."""
        self.filters = {}
        # Flows of the test before would be found by PEER.
        subprocess.run(["conntrack", "-F"], check=True, capture_output=True)
        addresses = list(pool)
        for place, address in zip(PLACES[len(pool)], pool):
            other = addresses.index(address)
            addresses[place], addresses[other] = address, addresses[place]
        return (f'device = "nat44"\n[pcp]\n{lines}\n[[inside]]\ninterface = "{inside}"\n'
                f'[nat44]\noutside = "outside0"\ninside = {_strings(self.prefixes)}\npool = {_strings(addresses)}\n'
                f"explicit_ports = [{first_port}, {last_port}]\nimplicit_ports = {list(implicit_ports)}\n")

    def close(self):
        for interface in ("inside0", "outside0"):
            ip("link", "delete", interface)
        self.inside.close()
        self.outside.close()

    def prove(self, client, request, answer):
        """Sends packets through what a success answer promises, in both directions of what it says."""
        if answer.version != 2 or answer.result != pcp.SUCCESS or answer.opcode not in (pcp.MAP, pcp.PEER):
            return
        options = list(options_of(answer.options))
        internal = next((address_of(data) for code, data in options if code == 1), client)
        mapping = (internal, answer.protocol, answer.internal)
        if not struct.unpack("!I", request[4:8])[0]:
            self.filters.pop(mapping, None)
            return
        if answer.opcode == pcp.PEER:
            self.leaves(mapping, answer)
            return
        filters = self.filters.setdefault(mapping, [])
        for code, data in options:
            if code == 3:
                length, port = struct.unpack("!xBH", data[:4])
                if length == 0:
                    filters.clear()
                elif (new := (address_of(data[4:]), port)) not in filters:
                    filters.append(new)
        self.arrives(mapping, (answer.address, answer.external), filters)

    def arrives(self, mapping, external, filters):
        """What may come in does, by order of sending; what may not, sent before it, does not. Names of filters are whole
        addresses, as in the draft."""
        internal, protocol, port = mapping
        with self.inside.socket(socket.AF_INET, KINDS[protocol]) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((internal, port))
            if protocol == pcp.TCP:
                assert not filters, "no figure has a filter of TCP"
                listener.listen()
                with self.remote(protocol, ANYONE, 0) as sender:
                    sender.connect(external)
                    accepted, seen = listener.accept()
                    accepted.close()
                    assert seen == sender.getsockname()
                return
            if filters:
                for address, remote_port in forbidden(filters):
                    with self.remote(protocol, address, remote_port) as sender:
                        sender.sendto(b"forbidden", external)
            for address, remote_port in filters or [(ANYONE, 0)]:
                with self.remote(protocol, address, remote_port) as sender:
                    sender.sendto(b"allowed", external)
                    assert listener.recvfrom(64) == (b"allowed", sender.getsockname()), f"{external} from {address}"

    def leaves(self, mapping, answer):
        """The host's packets to the remote peer come from the external endpoint."""
        internal, protocol, port = mapping
        if protocol != pcp.UDP:
            return
        with self.remote(protocol, *answer.remote) as receiver, \
                self.inside.socket(socket.AF_INET, KINDS[protocol]) as sender:
            sender.bind((internal, port))
            sender.sendto(b"out", answer.remote)
            assert receiver.recvfrom(64) == (b"out", (answer.address, answer.external))

    def remote(self, protocol, address, port):
        made = self.outside.socket(socket.AF_INET, KINDS[protocol])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        return made


def _strings(values):
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def forbidden(filters):
    """Endpoints outside that no filter names: other addresses, and other ports of theirs."""
    names = {address for address, _ in filters}
    yield from ((address, 0) for address in OUTSIDE if address not in names)
    yield from ((address, port + 1) for address, port in filters if port and (address, port + 1) not in filters)


def address_of(octets):
    address = ipaddress.IPv6Address(octets)
    return str(address.ipv4_mapped or address)


def options_of(octets):
    """(code, data) of each option (RFC 6887 s7.3)."""
    while octets:
        code, length = struct.unpack("!BxH", octets[:4])
        yield code, octets[4:4 + length]
        octets = octets[4 + (length + 3) // 4 * 4:]
