# SPDX-License-Identifier: BSD-2-Clause
"""Flows of draft-boucadair-pcp-flow-examples-04 that need MAP, ANNOUNCE and PREFER_FAILURE only, through
real UDP. Tests are named by the figures. Where the draft contradicts RFC 6887, the test follows the RFC
and says so. Ports and addresses are asserted by value, epochs by relation."""

import pcp
import pytest
from conftest import C1, C2, E1
from pcp import assert_error, assert_success


@pytest.mark.figures(2, 3)
def test_figures_2_and_3_a_suggested_external_port_is_honoured(serve, client):
    serve()
    assert_success(client().map(pcp.UDP, 3938, 3938)[1], 3938)


@pytest.mark.figures(6, 7)
def test_figures_6_and_7_a_deletion_copies_the_suggested_fields(serve, client):
    """The draft's client suggests its port; a correct one sends zeros (RFC 6887 s15.1, erratum 3621). The
    server ignores and copies either."""
    serve()
    asking = client()
    asking.map(pcp.UDP, 3938, 3938)
    assert_success(asking.map(pcp.UDP, 3938, 3938, E1, lifetime=0)[1], 3938, lifetime=0)
    asking.map(pcp.UDP, 3938, 3938)
    assert_success(asking.map(pcp.UDP, 3938, 0, lifetime=0)[1], 0, "0.0.0.0", lifetime=0)


@pytest.mark.figures(8, 9)
def test_figures_8_and_9_a_port_that_is_not_available_is_replaced(serve, client):
    serve(device="explicit_ports = [15200, 15200]")
    assert_success(client().map(pcp.UDP, 11000, 11000)[1], 15200, internal=11000)


@pytest.mark.figures(10, 11)
def test_figures_10_and_11_a_suggested_address_is_honoured_with_another_port(serve, client):
    serve(device="explicit_ports = [15200, 15200]")
    assert_success(client().map(pcp.UDP, 3938, 3938, E1)[1], 15200)


@pytest.mark.figures(12)
def test_figure_12_two_subscribers_share_a_pool(serve, client):
    """Each host has one address of the pool, always the same one (RFC 4787 REQ-2)."""
    serve(device="explicit_ports = [8080, 8080]", pool=["192.0.2.0/24"])
    first = client().map(pcp.TCP, 8080)[1]
    assert_success(first, 8080, "192.0.2.143", protocol=pcp.TCP, internal=8080)
    second = client(C2).map(pcp.TCP, 8080, number=59869)[1]
    assert_success(second, 8080, "192.0.2.59", protocol=pcp.TCP, internal=8080, number=59869)


@pytest.mark.figures(13, 14)
def test_figures_13_and_14_the_first_of_two_clients(serve, client):
    serve(device="explicit_ports = [12000, 12000]")
    assert_success(client().map(pcp.TCP, 15333, 15333)[1], 12000, protocol=pcp.TCP, internal=15333)


@pytest.mark.figures(15, 16)
def test_figures_15_and_16_the_second_of_two_clients(serve, client):
    serve(device="explicit_ports = [6000, 6000]")
    client(shown=False).map(pcp.UDP, 1)
    assert_success(client(C2).map(pcp.UDP, 12000, 12000, number=59869)[1], 6000, "192.0.2.2", internal=12000,
                   number=59869)


@pytest.mark.figures(17, 18)
def test_figures_17_and_18_another_nonce_is_not_authorized(serve, client, flow):
    """The lifetime is what is left of the mapping (RFC 6887 s11.3); the draft prints an unrelated 35550."""
    serve()
    asking = client()
    asking.map(pcp.UDP, 3938, 3938)
    request, answer = asking.map(pcp.UDP, 3938, 3938, E1, number=45687)
    flow.lifetime_varies()
    assert answer.lifetime in (19999, 20000)
    assert_error(answer, request, pcp.NOT_AUTHORIZED, answer.lifetime)
    assert_success(asking.map(pcp.UDP, 3938, 3938)[1], 3938)


@pytest.mark.figures(19, 20)
def test_figures_19_and_20_the_expired_draft_tells_what_is_there(serve, client, flow):
    """draft-cheshire-pcp-unsupp-family relaxes the check of the nonce; RFC 6887 s11.3 forbids it: a switch."""
    serve("relaxed_nonce_answer = true")
    asking = client()
    asking.map(pcp.UDP, 3938, 3938)
    answer = asking.map(pcp.UDP, 3938, 3938, E1, number=45687)[1]
    flow.lifetime_varies()
    assert answer.lifetime in (19999, 20000)
    assert_success(answer, 3938, number=45687, lifetime=answer.lifetime)
    assert_success(asking.map(pcp.UDP, 3938, 3938)[1], 3938)


@pytest.mark.figures(21, 22)
def test_figures_21_and_22_prefer_failure_is_honoured(serve, client):
    """A success answer holds the processed option (RFC 6887 s7.3); the draft leaves it out."""
    serve()
    answer = client().map(pcp.UDP, 1234, 12536, options=pcp.PREFER_FAILURE)[1]
    assert_success(answer, 12536, internal=1234, options=pcp.PREFER_FAILURE)


@pytest.mark.figures(23, 24)
def test_figures_23_and_24_prefer_failure_is_refused(serve, client):
    """CANNOT_PROVIDE_EXTERNAL is 11; the draft prints 0x11."""
    serve()
    for address in (E1, "192.0.2.2"):
        client(C2, shown=False).map(pcp.UDP, 1 if address == E1 else 2, 1234, address)
    request, answer = client().map(pcp.UDP, 1234, 1234, options=pcp.PREFER_FAILURE)
    assert answer.result == 11
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, pcp.SHORT_ERROR_LIFETIME)


@pytest.mark.figures(25)
def test_figure_25_three_refusals_and_then_whatever_is_free(serve, client):
    """Refused each time, the client that insists has to guess; the one that does not has a mapping at once."""
    serve(device="explicit_ports = [6598, 6598]")
    asking = client()
    for port in (8080, 5485, 6591):
        request, answer = asking.map(pcp.TCP, 8080, port, options=pcp.PREFER_FAILURE)
        assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, pcp.SHORT_ERROR_LIFETIME)
    assert_success(asking.map(pcp.TCP, 8080, 8080)[1], 6598, protocol=pcp.TCP, internal=8080)


@pytest.mark.figures(30)
def test_figure_30_all_ports_of_a_protocol_cannot_be_had_of_a_shared_address(serve, client):
    """Honoured in its entirety or refused with UNSUPP_PROTOCOL (RFC 6887 s11.3). A device that shares its
    addresses refuses."""
    serve()
    request, answer = client().map(pcp.UDP, 0)
    assert_error(answer, request, pcp.UNSUPP_PROTOCOL, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(31)
def test_figure_31_all_protocols_cannot_be_had_of_a_shared_address(serve, client):
    """As in figure 30."""
    serve()
    request, answer = client().map(0, 0)
    assert_error(answer, request, pcp.UNSUPP_PROTOCOL, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(32, 33)
def test_figures_32_and_33_protocol_0_with_a_port_is_a_malformed_request(serve, client):
    """MALFORMED_REQUEST is 3; the draft prints 0x02."""
    serve()
    request, answer = client().map(0, 5698, 3938, number=45698, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, 3, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(34, 35)
def test_figures_34_and_35_a_quota_is_exceeded(serve, client):
    """USER_EX_QUOTA is 10, as the draft has it; its lifetime of 300 is not the recommended one (RFC 6887 s7.4)."""
    serve("mappings_per_user_max = 1")
    client(shown=False).map(pcp.UDP, 1)
    request, answer = client().map(pcp.UDP, 8695, 3938, number=45698, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, pcp.USER_EX_QUOTA, pcp.SHORT_ERROR_LIFETIME)


@pytest.mark.figures(36, 37)
def test_figures_36_and_37_a_family_that_the_device_does_not_have(serve, client):
    """UNSUPP_FAMILY (14) is of an expired draft, and INITIATION in today's registry: NO_RESOURCES unless
    switched on."""
    serve()
    request, answer = client().map(pcp.UDP, 8695, 3938, "::", number=45698)
    assert_error(answer, request, pcp.NO_RESOURCES, pcp.SHORT_ERROR_LIFETIME)


def test_unsupp_family_as_the_expired_draft_has_it(serve, client):
    serve("unsupp_family = true")
    request, answer = client().map(pcp.UDP, 8695, 3938, "::", number=45698)
    assert_error(answer, request, 14, answer.lifetime)


@pytest.mark.figures(38, 39)
def test_figures_38_and_39_an_unsupported_protocol(serve, client):
    serve()
    request, answer = client().map(pcp.SCTP, 8695, 3938, number=45698)
    assert_error(answer, request, pcp.UNSUPP_PROTOCOL, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(45, 46)
def test_figures_45_and_46_a_nat_on_the_path_is_an_address_mismatch(serve, client):
    serve()
    request, answer = client(C2).map(pcp.UDP, 11000, 15200, client=C1)
    assert_error(answer, request, pcp.ADDRESS_MISMATCH, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(47, 48)
def test_figures_47_and_48_the_external_address_is_learned_by_a_short_mapping(serve, client):
    """The server raises the lifetime to its minimum; RFC 6887 s15 recommends 120 for it, the draft has 60."""
    serve("minimum_lifetime = 60", "explicit_ports = [1, 32767]")
    assert_success(client().map(pcp.UDP, 9, 9, lifetime=5)[1], 9, internal=9, lifetime=60)


@pytest.mark.figures(60, 61, 62)
def test_figures_60_to_62_announce_tells_the_epoch(serve, client):
    serve()
    answer = client().announce()
    assert (answer.version, answer.response, answer.opcode, answer.result) == (2, 1, pcp.ANNOUNCE, pcp.SUCCESS)
    assert (answer.lifetime, answer.rest_of_header, answer.body) == (0, bytes(12), b"")
    assert answer.epoch < 60


@pytest.mark.figures(75, 76)
def test_figures_75_and_76_version_1_is_told_version_2(serve, client):
    """Octets 12-23 keep what the request has there (RFC 6887 s7.2)."""
    serve()
    asking = client()
    request = (pcp.header(C1, 36000, version=1) + bytes([pcp.UDP, 0, 0, 0]) + (3938).to_bytes(2, "big") * 2
               + pcp.octets("0.0.0.0"))
    assert len(request) == 48
    answer = asking.send(request)
    assert (answer.version, answer.response, answer.opcode, answer.result) == (2, 1, pcp.MAP, pcp.UNSUPP_VERSION)
    assert answer.rest_of_header == request[12:24]
    assert answer.body == request[24:]


def test_external_ports_of_a_user_are_the_only_ones_it_gets(serve, client):
    serve(f'''[[user]]
prefix = "{C1}/32"
external_ports = [6000, 6001]''')
    asking = client()
    request, answer = asking.map(pcp.UDP, 1, 3938, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, answer.lifetime)
    assert_success(asking.map(pcp.UDP, 1, 3938)[1], 6000, internal=1)
    assert_success(asking.map(pcp.UDP, 2, 6001, options=pcp.PREFER_FAILURE)[1], 6001, internal=2,
                   options=pcp.PREFER_FAILURE)
    # The other pool address has the same two ports.
    for internal, external in ((3, 6000), (4, 6001)):
        assert_success(asking.map(pcp.UDP, internal)[1], external, address="192.0.2.2", internal=internal)
    request, answer = asking.map(pcp.UDP, 5)
    assert_error(answer, request, pcp.NO_RESOURCES, pcp.SHORT_ERROR_LIFETIME)
    assert_success(client("198.51.100.3").map(pcp.UDP, 1, 3938)[1], 3938, internal=1)
