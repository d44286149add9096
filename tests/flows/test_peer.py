# SPDX-License-Identifier: BSD-2-Clause
"""Flows of draft-boucadair-pcp-flow-examples-04 with PEER, through real UDP. Where the draft contradicts
RFC 6887, the test follows the RFC and says so."""

import pcp
import pytest
from conftest import E1
from pcp import assert_error, assert_peer

# The remote peer of the figures.
OUTSIDE = ["198.51.100.2"]


@pytest.mark.figures(64, 65)
def test_figures_64_and_65_an_outbound_mapping_is_made(serve, client):
    serve()
    assert_peer(client().peer(pcp.UDP, 3938, 3938)[1], 3938)


@pytest.mark.figures(66, 67)
def test_figures_66_and_67_the_suggested_port_is_taken(serve, client):
    """CANNOT_PROVIDE_EXTERNAL is 11, which the draft does not print."""
    serve()
    for address in (E1, "192.0.2.2"):
        client("198.51.100.3", shown=False).map(pcp.UDP, 1 if address == E1 else 2, 3938, address)
    request, answer = client().peer(pcp.UDP, 3938, 3938)
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, pcp.SHORT_ERROR_LIFETIME)


@pytest.mark.figures(68, 69)
def test_figures_68_and_69_an_address_that_is_not_the_device_s(serve, client):
    serve()
    request, answer = client().peer(pcp.UDP, 3938, 3938, "192.0.2.5")
    assert_error(answer, request, pcp.CANNOT_PROVIDE_EXTERNAL, pcp.SHORT_ERROR_LIFETIME)


def test_an_existing_mapping_is_found_whatever_is_suggested(serve, client):
    """An earlier PEER for another peer made the mapping of the endpoint."""
    serve("minimum_lifetime = 120", "first_port = 11000")
    asking = client()
    first = asking.peer(pcp.TCP, 3938, remote=("198.51.100.3", 80))[1]
    assert_peer(asking.peer(pcp.TCP, 3938)[1], first.external, protocol=pcp.TCP)


def test_peer_with_prefer_failure_is_a_malformed_request(serve, client):
    """RFC 6887 s12.1."""
    serve()
    request, answer = client().peer(pcp.UDP, 3938, options=pcp.PREFER_FAILURE)
    assert_error(answer, request, pcp.MALFORMED_REQUEST, pcp.LONG_ERROR_LIFETIME)


def test_peer_can_be_turned_off(serve, client):
    serve("peer = false")
    request, answer = client().peer(pcp.UDP, 3938)
    assert_error(answer, request, pcp.NOT_AUTHORIZED, pcp.LONG_ERROR_LIFETIME)
