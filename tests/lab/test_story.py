# SPDX-License-Identifier: BSD-2-Clause
"""The first path, end to end: an IPv6-only host serves the IPv4 Internet, and reaches it."""
import json
import re
import socket

import pytest

from labkit import POOL, ROOT, VIEWER, VIEWER_INSIDE, udp_reaches, until

WANTED_PORT = 34567


@pytest.fixture(scope="module")
def camera(lab):
    """The camera's mapping, made once."""
    return lab.portolan("handset-3g", "map", "tcp", 8080, "--external-port", WANTED_PORT)


def fetch(lab, port, path):
    """One HTTP exchange from viewer; returns (address and port it came from, status, body)."""
    with lab.connect_from_viewer(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: camera\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return connection.getpeername(), int(head.split()[1]), body.decode()


def test_a_mapping_is_granted_for_the_phone_on_the_suggested_port(lab, camera):
    assert camera["result"] == "SUCCESS"
    assert camera["protocol"] == "tcp"
    assert camera["internal-address"] == lab.address("handset-3g")
    assert camera["internal-port"] == 8080
    assert camera["external-address"] == POOL
    assert camera["external-port"] == WANTED_PORT
    assert camera["lifetime"] == 7200
    assert re.fullmatch("[0-9a-f]{24}", camera["nonce"])


def test_the_page_arrives_on_viewer_from_the_pool_address_and_the_external_port(lab, camera):
    peer, status, page = fetch(lab, camera["external-port"], "/")
    assert peer == (POOL, WANTED_PORT)
    assert status == 200
    assert "Camera of handset-3g" in page
    assert f"You are {VIEWER_INSIDE} port" in page
    assert f"{camera['internal-address']} port 8080" in page


def test_the_frame_counter_advances_on_viewer(lab, camera):
    url = f"http://{POOL}:{camera['external-port']}"
    shown = lab.output("viewer", ROOT / "lab" / "watch", f"{url}/video", "--frames", 5)
    numbers = [int(line.split()[1].rstrip(":")) for line in shown.splitlines()]
    assert len(numbers) == 5
    assert numbers == sorted(set(numbers))
    until(lambda: int(fetch(lab, camera["external-port"], "/counter")[2]) > numbers[-1], 5, "a later frame")


def test_the_handset_pings_viewer(lab):
    shown = lab.output("handset-3g", "ping", "-n", "-c", 3, "-i", 0.2, "-W", 5, VIEWER_INSIDE)
    assert "3 packets transmitted, 3 received" in shown


def test_every_ipv6_host_pings_viewer(lab):
    for host in ("handset-wifi", "laptop"):
        assert " 0% packet loss" in lab.output(host, "ping", "-n", "-c", 2, "-i", 0.2, "-W", 5, VIEWER_INSIDE)


def test_viewer_opens_by_name_from_the_handset(lab):
    peer = json.loads(lab.output("handset-3g", "curl", "-sS", "--max-time", 10, "http://viewer.example/peer"))
    assert peer["address"] == POOL


def test_dns64_makes_addresses_of_ipv4only_arpa(lab):
    shown = lab.output("handset-3g", "/usr/bin/python3", "-c", """
import json, socket
found = socket.getaddrinfo("ipv4only.arpa", 80, socket.AF_INET6, socket.SOCK_STREAM)
print(json.dumps(sorted(entry[4][0] for entry in found)))""")
    assert json.loads(shown) == ["2001:db8:64:ff9b::c000:aa", "2001:db8:64:ff9b::c000:ab"]


def test_udp_is_echoed_from_handset_to_viewer(lab):
    with lab.udp("viewer", 7777) as server, lab.udp("handset-3g") as client:
        for size in (1, 37, 1400):
            payload = bytes(range(256)) * 6
            client.sendto(payload[:size], (VIEWER_INSIDE, 7777))
            received, source = server.recvfrom(2048)
            assert received == payload[:size]
            assert source[0] == POOL
            server.sendto(received[::-1], source)
            echoed, back = client.recvfrom(2048)
            assert echoed == payload[:size][::-1]
            assert back[:2] == (VIEWER_INSIDE, 7777)


def test_udp_is_echoed_from_viewer_to_the_mapped_port(lab):
    granted = lab.portolan("handset-3g", "map", "udp", 9000)
    assert granted["protocol"] == "udp"
    outside = (POOL, granted["external-port"])
    with lab.udp("handset-3g", 9000) as server, lab.udp("viewer") as client:
        for size in (1, 37, 1400):
            payload = bytes(range(256)) * 6
            client.sendto(payload[:size], outside)
            received, source = server.recvfrom(2048)
            assert received == payload[:size]
            assert source[:2] == (VIEWER_INSIDE, client.getsockname()[1])
            server.sendto(received[::-1], source)
            echoed, back = client.recvfrom(2048)
            assert echoed == payload[:size][::-1]
            assert back == outside


def test_outbound_traffic_of_a_mapped_port_leaves_from_its_external_port(lab):
    granted = lab.portolan("handset-3g", "map", "udp", 9001)
    with lab.udp("handset-3g", 9001) as client, lab.udp("viewer", 7778) as server:
        client.sendto(b"who am I", (VIEWER_INSIDE, 7778))
        assert server.recvfrom(64)[1] == (POOL, granted["external-port"])


def test_an_unmapped_port_is_not_reachable(lab):
    with lab.udp("handset-3g", 9002) as server, lab.udp("viewer") as client:
        assert not udp_reaches(client, 9002, server, b"anybody there", timeout=0.5)
    with pytest.raises(OSError):
        lab.connect_from_viewer(9002, timeout=1).close()


def test_addresses_of_the_lab_are_as_documented(lab):
    with lab.inside("viewer"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((VIEWER, 0))
    assert lab.address("handset-3g").startswith("2001:db8:112:")
    assert lab.output("handset-3g", "ip", "-4", "-o", "address").strip() == ""
    assert lab.output("viewer", "ip", "-6", "-o", "address").strip() == ""
