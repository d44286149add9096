# SPDX-License-Identifier: BSD-2-Clause
"""Hosts beside the one that runs portoland: network namespaces joined to it by veth pairs."""

import contextlib
import ctypes
import os
import socket
import subprocess

# Of both ends of a link. Without them a router can't ask for its neighbours.
LINK_LOCAL = ("fe80::1", "fe80::2")
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _check(status, what):
    if status != 0:
        raise OSError(ctypes.get_errno(), what)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Host:
    """A network namespace that lives as long as this object is open. A socket stays in the namespace
    that it was made in."""

    def __init__(self):
        with open("/proc/thread-self/ns/net", "rb") as home:
            _check(libc.unshare(CLONE_NEWNET), "unshare")
            # pylint: disable=consider-using-with
            self._namespace = open("/proc/thread-self/ns/net", "rb")
            _check(libc.setns(home.fileno(), CLONE_NEWNET), "setns")
        with self.entered():
            ip("link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        with open("/proc/thread-self/ns/net", "rb") as home:
            _check(libc.setns(self._namespace.fileno(), CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(libc.setns(home.fileno(), CLONE_NEWNET), "setns")

    def connect(self, interface, here, there):
        """A veth pair from `interface` here to eth0 there, with these addresses and LINK_LOCAL. None of them waits
        for duplicate address detection."""
        ip("link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns",
           f"/proc/{os.getpid()}/fd/{self._namespace.fileno()}")
        _set_up(interface, [LINK_LOCAL[0] + "/64", *here])
        with self.entered():
            _set_up("eth0", [LINK_LOCAL[1] + "/64", *there])

    def route(self, gateway, destination="default"):
        with self.entered():
            ip("-6" if ":" in gateway else "-4", "route", "add", destination, "via", gateway)

    def socket(self, family, kind):
        with self.entered():
            made = socket.socket(family, kind)
        made.settimeout(10)
        return made

    def interface_index(self):
        with self.entered():
            return socket.if_nametoindex("eth0")

    def close(self):
        self._namespace.close()


def _set_up(interface, addresses):
    ip("link", "set", interface, "addrgenmode", "none", "up")
    for address in addresses:
        ip("address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
