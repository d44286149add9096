# SPDX-License-Identifier: BSD-2-Clause
"""Sequences that come with `portolan send` and wait for what the server says unasked, on a host of their own."""

import contextlib
import os
import pathlib
import subprocess

import pytest
from conftest import C1, E1
from hosts import ip
from router import GATEWAY
from rows import NAT44

SETTING = NAT44
PORTOLAN = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portolan"


@contextlib.contextmanager
def running(network, name):
    """The sequence, which hears announcements already."""
    with network.hosts[C1].entered():
        # pylint: disable=consider-using-with
        process = subprocess.Popen([PORTOLAN, "send", "--timeout", "60", "--sequence", name, "--server", GATEWAY,
                                    "--internal-address", C1],
                                   stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("Figure")
        yield process.stdout
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["flow-41", "flow-42"])
def test_an_announcement_is_waited_for(network, serve, name):
    with running(network, name) as said:
        serve()
        text = said.read()
        assert "ANNOUNCE SUCCESS" in text, text


def test_an_update_is_waited_for(network, serve):
    ip("address", "delete", "192.0.2.2/32", "dev", "wan0")
    serve(pool=())
    with running(network, "flow-40") as said:
        while not (line := said.readline()).startswith("  ok "):
            assert line
        # In this order the kernel keeps the routes of the interface.
        ip("address", "add", "192.0.2.2/32", "dev", "wan0")
        ip("address", "delete", f"{E1}/32", "dev", "wan0")
        text = said.read()
        assert "ok     Figure 40: the server tells: MAP SUCCESS" in text, text
