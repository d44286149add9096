# SPDX-License-Identifier: BSD-2-Clause
"""FILTER, PEER, PORT_SET and PREFIX64 on real packets: what the server grants, the NAT64 does; and portolan asks."""
import ipaddress
import socket

from labkit import GATEWAY, pcp, PCP_PORT, POOL, udp_reaches, VIEWER, VIEWER_INSIDE

HOST = "handset-3g"


def ask(lab, request):
    """Sends a PCP request from the handset and returns the parsed answer."""
    with lab.udp(HOST) as client:
        client.sendto(request, (GATEWAY, PCP_PORT))
        return pcp.parse(client.recv(2048))


def map_udp(lab, internal, options=b"", external=0, lifetime=600):
    address = lab.address(HOST)
    return ask(lab, pcp.header(address, lifetime) + pcp.map_body(pcp.UDP, internal, external, "0.0.0.0", 7) + options)


def test_a_filter_lets_only_its_peer_in(lab):
    allowed = pcp.filter_option(128, 7777, VIEWER_INSIDE)
    granted = map_udp(lab, 9400, allowed)
    assert (granted.result, granted.options) == (pcp.SUCCESS, allowed)
    with lab.udp(HOST, 9400) as server, lab.udp("viewer", 7777) as friend, lab.udp("viewer", 7778) as stranger:
        assert udp_reaches(friend, granted.external, server, b"friend")
        assert not udp_reaches(stranger, granted.external, server, b"stranger", timeout=0.5)
        # The stranger is let in; who was in stays.
        cleared = map_udp(lab, 9400, pcp.filter_option(0, 0, "::"))
        assert cleared.external == granted.external
        assert udp_reaches(stranger, granted.external, server, b"stranger again")
        # And out again, though its session is open.
        map_udp(lab, 9400, allowed)
        assert not udp_reaches(stranger, granted.external, server, b"stranger out", timeout=0.5)
        assert udp_reaches(friend, granted.external, server, b"friend again")


def test_peer_opens_the_way_before_the_first_packet_goes_out(lab):
    address = lab.address(HOST)
    request = pcp.header(address, 600, pcp.PEER)
    request += pcp.peer_body(pcp.UDP, 9500, 0, "0.0.0.0", 8, (VIEWER_INSIDE, 5060))
    granted = ask(lab, request)
    assert (granted.result, granted.remote) == (pcp.SUCCESS, (VIEWER_INSIDE, 5060))
    assert granted.address == POOL
    with lab.udp(HOST, 9500) as inside, lab.udp("viewer", 5060) as peer:
        assert udp_reaches(peer, granted.external, inside, b"called")
        inside.sendto(b"answer", (VIEWER_INSIDE, 5060))
        assert peer.recvfrom(64) == (b"answer", (POOL, granted.external))


def test_the_ports_of_a_set_follow_each_other(lab):
    granted = map_udp(lab, 5004, pcp.port_set(2, 5004))
    assert granted.options == pcp.port_set(2, 5004) and granted.external % 2 == 0
    with lab.udp(HOST, 5004) as rtp, lab.udp(HOST, 5005) as rtcp, lab.udp("viewer") as phone:
        assert udp_reaches(phone, granted.external, rtp, b"media")
        assert udp_reaches(phone, granted.external + 1, rtcp, b"report")
        rtcp.sendto(b"report", (VIEWER_INSIDE, phone.getsockname()[1]))
        assert phone.recvfrom(64) == (b"report", (POOL, granted.external + 1))


def test_prefix64_is_the_one_that_dns64_uses(lab):
    asked = b"\x81\0\0\x0e\0\x0c" + bytes(12) + bytes(2)
    answer = ask(lab, pcp.header(lab.address(HOST), 0, pcp.ANNOUNCE) + asked)
    assert answer.result == pcp.SUCCESS
    prefix = answer.body[6:18] + ipaddress.IPv4Address(VIEWER).packed
    assert socket.inet_ntop(socket.AF_INET6, prefix) == VIEWER_INSIDE


def test_portolan_map_lets_in_whom_its_filters_name(lab):
    granted = lab.portolan(HOST, "map", "udp", 9600, "--filter", f"{VIEWER_INSIDE},7777", "--description", "camera",
                           "--nat64-prefix")
    assert granted["filtered"] and granted["description"] == "camera"
    assert granted["nat64-prefixes"] == [{"prefix": "2001:db8:64:ff9b::/96", "ipv4-prefixes": []}]
    with lab.udp(HOST, 9600) as server, lab.udp("viewer", 7777) as friend, lab.udp("viewer", 7778) as stranger:
        assert udp_reaches(friend, granted["external-port"], server, b"friend")
        assert not udp_reaches(stranger, granted["external-port"], server, b"stranger", timeout=0.5)


def test_portolan_map_asks_for_ports_in_a_row(lab):
    granted = lab.portolan(HOST, "map", "udp", 5006, "--port-set", 2, "--parity")
    assert granted["port-count"] == 2 and granted["external-port"] % 2 == 0
    with lab.udp(HOST, 5006) as rtp, lab.udp(HOST, 5007) as rtcp, lab.udp("viewer") as phone:
        assert udp_reaches(phone, granted["external-port"], rtp, b"media")
        assert udp_reaches(phone, granted["external-port"] + 1, rtcp, b"report")
    lab.portolan(HOST, "map", "udp", 5006, "--port-set", 2, "--nonce", granted["nonce"], "--delete")


def test_portolan_peer_tells_where_a_connection_comes_from(lab):
    granted = lab.portolan(HOST, "peer", "udp", 9700, VIEWER_INSIDE, 5061)
    assert (granted["external-address"], granted["remote-peer-port"]) == (POOL, 5061)
    with lab.udp(HOST, 9700) as inside, lab.udp("viewer", 5061) as peer:
        inside.sendto(b"hello", (VIEWER_INSIDE, 5061))
        assert peer.recvfrom(64) == (b"hello", (POOL, granted["external-port"]))
        assert udp_reaches(peer, granted["external-port"], inside, b"answer")


def test_portolan_map_for_others_is_refused_where_it_is_not_allowed(lab):
    refused = lab.portolan(HOST, "map", "udp", 9800, "--third-party", "2001:db8:112::77", expect=1)
    assert refused["result"] == "UNSUPP_OPTION" and "--third-party" in refused["error"]
