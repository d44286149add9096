# SPDX-License-Identifier: BSD-2-Clause
"""Mappings that the operator makes, through real UDP (RFC 6887 s11.3, s15.1)."""

import struct
import time

import pcp
from conftest import C1, E1
from pcp import assert_error, assert_success

ENDLESS = 0xFFFFFFFF


def mapping(external, internal=8080):
    return f'''
[[mapping]]
protocol = "tcp"
internal_address = "{C1}"
internal_port = {internal}
external_address = "{E1}"
external_port = {external}
'''


def test_a_host_is_told_the_operators_mapping_and_cannot_change_it(serve, client):
    serve(mapping(8000))
    asking = client()
    assert_success(asking.map(pcp.TCP, 8080, 4000)[1], 8000, lifetime=ENDLESS, protocol=pcp.TCP, internal=8080)
    for number in (1, 2):
        answer = asking.map(pcp.TCP, 8080, number=number)[1]
        assert_success(answer, 8000, lifetime=ENDLESS, protocol=pcp.TCP, internal=8080, number=number)
    request, answer = asking.map(pcp.TCP, 8080, lifetime=0)
    assert_error(answer, request, pcp.NOT_AUTHORIZED, pcp.LONG_ERROR_LIFETIME)
    request, answer = asking.map(pcp.TCP, 8080, 8001, E1, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, answer.lifetime)
    # Nobody else has its port.
    request, answer = client("198.51.100.3").map(pcp.TCP, 1, 8000, E1, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, answer.lifetime)
    # NAT-PMP: code 2, Not Authorized (RFC 6886 s3.4).
    answer = asking.exchange(struct.pack("!BBHHHI", 0, 2, 0, 8080, 0, 0))
    assert struct.unpack("!BBH", answer[:4]) == (0, 130, 2)


def test_mappings_come_and_go_with_the_configuration(serve, client):
    server = serve()
    asking = client()
    assert_success(asking.map(pcp.TCP, 8080, 4000)[1], 4000, protocol=pcp.TCP, internal=8080)
    server.configure("maximum_lifetime = 20000\n" + mapping(8000))
    server.reload()
    lost = pcp.parse(asking.socket.recv(2048))
    assert (lost.result, lost.internal) == (7, 8080), "NETWORK_FAILURE: its own mapping is gone"
    while (answer := asking.map(pcp.TCP, 8080)[1]).lifetime != ENDLESS:
        assert answer.result == 7, "until the operator's is in force"
        time.sleep(0.05)
    assert_success(answer, 8000, lifetime=ENDLESS, protocol=pcp.TCP, internal=8080)


def test_a_conflict_names_both_lines(serve):
    server = serve()
    server.configure(mapping(8000) + mapping(8000, 8081))
    said = server.reload()
    assert "portoland.toml:18: mapping.external_address" in said and "in line 7 already" in said, said
