# SPDX-License-Identifier: BSD-2-Clause
"""Other versions through real UDP: NAT-PMP by our own octets and by natpmpc, and version 1 behind its switch."""

import re
import struct
import subprocess

import pcp
from conftest import C1, E1


def test_nat_pmp_maps_and_deletes(serve, client):
    serve()
    asking = client()
    answer = asking.exchange(struct.pack("!BBHHHI", 0, 1, 0, 5000, 5001, 3600))
    version, opcode, result, epoch, internal, external, lifetime = struct.unpack("!BBHIHHI", answer)
    assert (version, opcode, result, internal, external, lifetime) == (0, 129, 0, 5000, 5001, 3600)
    assert epoch < 60
    answer = asking.exchange(struct.pack("!BBHHHI", 0, 1, 0, 5000, 0, 0))
    assert struct.unpack("!BBHIHHI", answer)[2:3] + struct.unpack("!BBHIHHI", answer)[4:] == (0, 5000, 0, 0)


def test_natpmpc_gets_address_and_mapping(serve):
    serve()
    done = subprocess.run(["natpmpc", "-g", "127.0.0.1", "-a", "5001", "5000", "udp", "3600"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Public IP address : {E1}" in done.stdout, done.stdout
    mapped = re.search(r"Mapped public port (\d+) protocol UDP to local port (\d+) li\w*time (\d+)", done.stdout)
    assert mapped and mapped.groups() == ("5001", "5000", "3600"), done.stdout


def test_nat_pmp_turned_off_is_refused_in_a_form_its_clients_read(serve, client):
    serve("nat_pmp = false")
    answer = client().exchange(struct.pack("!BB", 0, 0))
    assert answer[0] == 2 and struct.unpack("!H", answer[2:4]) == (1,)


def test_version_1_behind_its_switch(serve, client):
    """As the slides have it, with their experimental PREFIX64."""
    serve("version_1 = true\nexperimental_prefix64 = true\n[[prefix64]]\nprefix = \"2001:db8:64:ff9b::/96\"")
    prefix64 = struct.pack("!BBH", 0x7F, 0, 12)
    request = (pcp.header(C1, 36000, version=1) + struct.pack("!B3xHH", pcp.UDP, 3938, 3938) + pcp.octets("0.0.0.0")
               + prefix64 + bytes(12))
    answer = client().exchange(request)
    version, opcode, _, result, lifetime, _ = struct.unpack("!BBBBII", answer[:12])
    assert (version, opcode, result, lifetime) == (1, 0x81, pcp.SUCCESS, 20000)
    assert answer[24:] == (struct.pack("!B3xHH", pcp.UDP, 3938, 3938) + pcp.octets(E1) + prefix64
                           + bytes.fromhex("20010db80064ff9b00000000"))
