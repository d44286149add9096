# SPDX-License-Identifier: BSD-2-Clause
"""A call comes in when the NAT64 has long forgotten that the phone ever sent something: the mapping alone lets it in."""
import json
import os
import pathlib
import time

import pytest

import labkit
from labkit import Daemon, divided_configuration, until
from sipkit import DOMAIN, PACKETS_SHARE, SERVER, Baresip, Capture, Phone, check_heard, check_mapped

SECONDS = 3
TONE = 440
# The shortest that there may be (RFC 6146 s4).
UDP_TIMEOUT = 120


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Its NAT64 is a process of its own, which can be asked for its sessions."""
    one = labkit.Lab(f"t{os.getpid()}-idle")
    directory = tmp_path_factory.mktemp("idle")
    try:
        one.up("--scenario", "sip", "--without-server")
        address = f"unix:{directory}/nat64.sock"
        nat64_config, server_config = divided_configuration(one, directory, listen=address, connect=address)
        nat64_config.write_text(nat64_config.read_text().replace("[nat64]\n", f"[nat64]\nudp_timeout = {UDP_TIMEOUT}\n"))
        nat64 = Daemon(one, "portolan-nat64", nat64_config, directory)
        server = Daemon(one, "portoland", server_config, directory)
        nat64.start()
        server.start()
        server.until_it_says("has all that was promised")
        one.control = address
        yield one
        server.end()
        nat64.end()
    finally:
        one.down()


def remaining(lab, address):
    """Seconds that are left to the session of a host with the SIP server; nothing: there is none."""
    done = lab.run("gateway", pathlib.Path(labkit.build_directory()) / "apps" / "portolan-nat64", "show", "sessions",
                   "--json", "--connect", lab.control, "--remote", SERVER, "--internal", f"{address}/128")
    assert done.returncode == 0, done.stderr
    return max((row["lifetime"] for row in json.loads(done.stdout)), default=None)


def test_a_call_comes_in_after_idle(lab):
    baresip = Baresip(lab)
    before = baresip.recorded()
    address = lab.address("handset-3g")
    with Capture(lab, "handset-3g") as capture, \
            Phone(lab, "handset-3g", "--answer", "--calls", 1, "--tone", TONE, "--duration", SECONDS) as phone:
        phone.wait_for("registered")
        assert remaining(lab, address) is not None, "the registration's"

        def sent():
            capture.flush()
            return len(capture.fields("udp.srcport == 5060", "frame.number"))

        def is_forgotten():
            left = remaining(lab, address)
            # There is no need to ask all the time.
            time.sleep((left or 0) / 2)
            return left is None
        sent_for_the_registration = sent()
        until(is_forgotten, UDP_TIMEOUT + 60, "the end of the session")
        assert sent() == sent_for_the_registration
        baresip.dial(f"sip:client4@{DOMAIN}")
        ended = phone.end()
        check_mapped(ended)
        check_heard(phone, ended, SECONDS)
        baresip.heard(TONE, PACKETS_SHARE * SECONDS - 0.5, before)
