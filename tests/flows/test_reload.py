# SPDX-License-Identifier: BSD-2-Clause
"""The configuration read again while portoland runs: SIGHUP."""

import socket
import struct
import time

import pcp
from conftest import C1, C2, E1
from pcp import assert_error, assert_success

E2 = "192.0.2.2"


def announcements():
    """A socket that hears what is announced to all IPv4 hosts (RFC 6887 s14.1.3)."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("224.0.0.1", 5350))
    lo = struct.pack("4s4si", socket.inet_aton("224.0.0.1"), bytes(4), socket.if_nametoindex("lo"))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, lo)
    made.settimeout(10)
    return made


def test_a_mapping_whose_address_leaves_moves_and_its_client_hears(serve, client):
    """RFC 6887 s8.5: the epoch begins anew, which all are told; test_recovery.py has the update, as figure 40."""
    server = serve()
    asking = client()
    assert_success(asking.map(pcp.UDP, 3938, 3938)[1], 3938)
    time.sleep(1.1)
    assert asking.announce().epoch >= 1
    with announcements() as heard:
        server.configure("maximum_lifetime = 20000", pool=[E2])
        assert "configuration reloaded" in server.reload()
        update = asking.receive()
        messages = [heard.recvfrom(2048) for _ in range(2 * 4)]
    assert_success(update, 3938, address=E2, lifetime=update.lifetime)
    assert update.epoch <= 1, "the epoch begins anew"
    assert 19990 <= update.lifetime <= 20000
    # From each address of the interface, because a host takes it only from the one that it knows (s14.1.3);
    # and as NAT-PMP has it (RFC 6886 s3.2.1).
    announced = {source for message, source in messages
                 if message[0] == 2 and (pcp.parse(message).opcode, pcp.parse(message).epoch) == (pcp.ANNOUNCE, 0)}
    nat_pmp = {source for message, source in messages
               if message == struct.pack("!BBHI", 0, 128, 0, 0) + socket.inet_aton(E2)}
    assert announced == nat_pmp == {(address, 5351) for address in ("127.0.0.1", C1, C2, "198.51.100.3")}
    # Renewed, it stays at the new place.
    answer = asking.map(pcp.UDP, 3938, 3938, E1)[1]
    assert_success(answer, 3938, address=E2, lifetime=answer.lifetime)


def test_a_mapping_that_fits_nowhere_is_lost_and_its_client_hears(serve, client):
    server = serve(device="first_port = 4000\nlast_port = 4000")
    first, second = client(), client("198.51.100.3")
    assert_success(first.map(pcp.UDP, 1, 4000, E1)[1], 4000, internal=1)
    assert_success(second.map(pcp.UDP, 1, 4000, E2)[1], 4000, address=E2, internal=1)
    server.configure("maximum_lifetime = 20000", "first_port = 4000\nlast_port = 4000", [E2])
    server.reload()
    lost = pcp.parse(first.socket.recv(2048))
    assert (lost.opcode, lost.result, lost.internal) == (pcp.MAP, 7, 1), "NETWORK_FAILURE"
    assert_success(second.map(pcp.UDP, 1, 4000)[1], 4000, address=E2, internal=1)


def test_rights_change_and_what_was_promised_stays(serve, client):
    server = serve()
    asking = client()
    assert_success(asking.map(pcp.UDP, 3938, 3938)[1], 3938)
    server.configure(f'''maximum_lifetime = 700
[[user]]
prefix = "{C1}/32"
mappings_per_user_max = 1''')
    server.reload()
    assert_success(asking.map(pcp.UDP, 3938, 3938)[1], 3938, lifetime=700)
    request, answer = asking.map(pcp.UDP, 3939)
    assert_error(answer, request, pcp.USER_EX_QUOTA, pcp.SHORT_ERROR_LIFETIME)
    assert_success(client("198.51.100.3").map(pcp.UDP, 3939, 3939)[1], 3939, internal=3939, lifetime=700)


def test_a_file_with_mistakes_changes_nothing(serve, client):
    server = serve()
    server.configure("maximum_lifetime = 700\nlisten_port = 5353", "first_port = 2000")
    said = server.reload()
    assert "pcp.listen_port = 5353: can't change while the daemon runs" in said, said
    assert "simulated.first_port = 2000: can't change" in said, said
    assert "nothing has changed" in said, said
    server.configure("maximum_lifetime = 700\nmap = 3")
    said = server.reload()
    assert "portoland.toml:7: pcp.map = 3: must be true or false" in said, said
    assert_success(client().map(pcp.UDP, 3938, 3938)[1], 3938)
