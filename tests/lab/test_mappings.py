# SPDX-License-Identifier: BSD-2-Clause
"""The life of mappings, seen from outside: renewal, deletion, expiry, and ports that are taken."""
import json
import struct
import time

import pytest

from labkit import POOL, udp_reaches, until

# How much later than its lifetime a mapping may end.
TOLERANCE_S = 1.5


def test_renewing_keeps_the_port(lab):
    first = lab.portolan("handset-3g", "map", "tcp", 8080, "--lifetime", 60)
    again = lab.portolan("handset-3g", "map", "tcp", 8080, "--lifetime", 120, "--nonce", first["nonce"])
    assert again["external-port"] == first["external-port"]
    assert again["lifetime"] == 120
    assert lab.connect_from_viewer(again["external-port"]).close() is None
    lab.portolan("handset-3g", "map", "tcp", 8080, "--delete", "--nonce", first["nonce"])


def test_renewing_with_another_nonce_is_not_authorized_and_changes_nothing(lab):
    first = lab.portolan("handset-3g", "map", "tcp", 8080, "--lifetime", 60)
    refused = lab.portolan("handset-3g", "map", "tcp", 8080, "--nonce", "00" * 12, expect=1)
    assert refused["result"] == "NOT_AUTHORIZED"
    refused = lab.portolan("handset-3g", "map", "tcp", 8080, "--delete", "--nonce", "00" * 12, expect=1)
    assert refused["result"] == "NOT_AUTHORIZED"
    lab.connect_from_viewer(first["external-port"]).close()
    lab.portolan("handset-3g", "map", "tcp", 8080, "--delete", "--nonce", first["nonce"])


def test_deleting_ends_reachability(lab):
    tcp = lab.portolan("handset-3g", "map", "tcp", 8080)
    udp = lab.portolan("handset-3g", "map", "udp", 9100)
    with lab.udp("handset-3g", 9100) as server, lab.udp("viewer") as client:
        assert udp_reaches(client, udp["external-port"], server, b"before")
        lab.connect_from_viewer(tcp["external-port"]).close()

        deleted = lab.portolan("handset-3g", "map", "tcp", 8080, "--delete", "--nonce", tcp["nonce"])
        assert deleted["result"] == "SUCCESS"
        assert deleted["lifetime"] == 0
        lab.portolan("handset-3g", "map", "udp", 9100, "--delete", "--nonce", udp["nonce"])

        # From another port: a session that was open lives on until it is idle, like any session.
        with lab.udp("viewer") as stranger:
            assert not udp_reaches(stranger, udp["external-port"], server, b"after", timeout=0.5)
        with pytest.raises(OSError):
            lab.connect_from_viewer(tcp["external-port"], timeout=1).close()


def test_deleting_what_is_not_there_succeeds(lab):
    # RFC 6887 s15: a client that deletes twice, because an answer was lost, must not see an error.
    deleted = lab.portolan("handset-3g", "map", "tcp", 8099, "--delete", "--nonce", "01" * 12)
    assert deleted["result"] == "SUCCESS"
    assert deleted["lifetime"] == 0


def test_the_mapping_expires_on_time(lab):
    with lab.udp("handset-3g", 9200) as server:
        asked = time.monotonic()
        granted = lab.portolan("handset-3g", "map", "udp", 9200, "--lifetime", 4)
        answered = time.monotonic()
        assert granted["lifetime"] == 4
        last_seen = None
        port = 20000
        while time.monotonic() < answered + 4 + TOLERANCE_S + 1:
            # A new source each time: it is the mapping that must end, not only one session. Not so fast
            # that the loop becomes a flood.
            time.sleep(0.01)
            port += 1
            with lab.udp("viewer", port) as client:
                sent = time.monotonic()
                if udp_reaches(client, granted["external-port"], server, b"%d" % port, timeout=0.1):
                    last_seen = sent
        assert last_seen is not None
        assert last_seen >= asked + 4 - 0.3, "the mapping ended before its lifetime"
        assert last_seen <= answered + 4 + TOLERANCE_S, "the mapping outlived its lifetime"


def test_an_expired_mapping_of_tcp_takes_no_new_connection(lab):
    with lab.listener("handset-3g", 8200) as server:
        granted = lab.portolan("handset-3g", "map", "tcp", 8200, "--lifetime", 2)
        answered = time.monotonic()
        assert lab.tcp_reaches(granted["external-port"], server)
        until(lambda: not lab.tcp_reaches(granted["external-port"], server, timeout=0.3), 2 + TOLERANCE_S,
              "the mapping ends")
        assert time.monotonic() - answered > 1


def test_lifetimes_are_held_to_the_configured_bounds(lab):
    short = lab.portolan("handset-3g", "map", "udp", 9300, "--lifetime", 1)
    assert short["lifetime"] == 2
    # map asks for no longer than the host's address lives; send asks for what it is told.
    nonce = "30" * 12
    sent = lab.run("handset-3g", "portolan", "send", "map", "--protocol", "udp", "--internal-port", 9301, "--nonce", nonce,
                   "--lifetime", 4_000_000, "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    request, answer = (bytes.fromhex(json.loads(line)["octets"]) for line in sent.stdout.splitlines()[:2])
    assert struct.unpack_from("!I", request, 4) == (4_000_000,)
    assert answer[1] == 0x81 and answer[3] == 0 and struct.unpack_from("!I", answer, 4) == (86400,)
    lab.portolan("handset-3g", "map", "udp", 9301, "--delete", "--nonce", nonce)


def test_a_second_host_asking_for_the_same_external_port_gets_another(lab):
    first = lab.portolan("handset-3g", "map", "tcp", 8300, "--external-port", 18300)
    second = lab.portolan("laptop", "map", "tcp", 8300, "--external-port", 18300)
    assert first["external-port"] == 18300
    assert second["external-address"] == POOL
    assert second["external-port"] != 18300
    with lab.listener("handset-3g", 8300) as phone, lab.listener("laptop", 8300) as laptop:
        assert lab.tcp_reaches(first["external-port"], phone)
        assert lab.tcp_reaches(second["external-port"], laptop)


def test_prefer_failure_gets_cannot_provide_external(lab):
    first = lab.portolan("handset-3g", "map", "tcp", 8400, "--external-port", 18400)
    assert first["external-port"] == 18400
    for host in ("handset-3g", "laptop"):
        refused = lab.portolan(host, "map", "tcp", 8401, "--external-port", 18400, "--prefer-failure", expect=1)
        assert refused["result"] == "CANNOT_PROVIDE_EXTERNAL"
    with lab.listener("handset-3g", 8400) as phone:
        assert lab.tcp_reaches(18400, phone)


def test_prefer_failure_is_granted_where_the_port_is_free(lab):
    granted = lab.portolan("laptop", "map", "tcp", 8402, "--external-port", 18402, "--prefer-failure")
    assert granted["external-port"] == 18402


def test_two_hosts_of_the_shared_link_map_the_same_internal_port(lab):
    granted = {host: lab.portolan(host, "map", "tcp", 8500) for host in ("handset-wifi", "laptop")}
    ports = {answer["external-port"] for answer in granted.values()}
    assert len(ports) == 2
    with lab.listener("handset-wifi", 8500) as phone, lab.listener("laptop", 8500) as laptop:
        assert lab.tcp_reaches(granted["handset-wifi"]["external-port"], phone)
        assert lab.tcp_reaches(granted["laptop"]["external-port"], laptop)


def test_tcp_and_udp_of_one_port_are_two_mappings(lab):
    tcp = lab.portolan("handset-wifi", "map", "tcp", 8600)
    udp = lab.portolan("handset-wifi", "map", "udp", 8600)
    lab.portolan("handset-wifi", "map", "tcp", 8600, "--delete", "--nonce", tcp["nonce"])
    with lab.udp("handset-wifi", 8600) as server, lab.udp("viewer") as client:
        assert udp_reaches(client, udp["external-port"], server, b"still here")
