# SPDX-License-Identifier: BSD-2-Clause
"""Flows of draft-boucadair-pcp-flow-examples-04 with THIRD_PARTY and FILTER, and the options of RFC 7220 and
RFC 7753, through real UDP. Where the draft contradicts RFC 6887, the test follows the RFC and says so."""

import pcp
import pytest
from conftest import C1, C2, E1
from pcp import assert_error, assert_success

FIRST = pcp.filter_option(128, 5968, "192.0.2.200")
SECOND = pcp.filter_option(128, 5968, "192.0.2.201")
NO_FILTER = pcp.filter_option(0, 0, "0.0.0.0")


@pytest.mark.figures(49, 50)
def test_figures_49_and_50_third_party_of_who_may(serve, client):
    """The draft's external address is the testbed's own; here it is the pool's."""
    serve(f'''[[user]]
prefix = "{C1}/32"
third_party = true''', "explicit_ports = [15000, 15000]", pool=[E1])
    third_party = pcp.third_party(C2)
    answer = client().map(pcp.UDP, 8080, 8080, number=16584, options=third_party)[1]
    assert_success(answer, 15000, internal=8080, number=16584, options=third_party)
    request, answer = client("198.51.100.3").map(pcp.UDP, 8080, 8080, options=third_party)
    assert_error(answer, request, pcp.UNSUPP_OPTION, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(51, 52)
def test_figures_51_and_52_third_party_that_is_not_enabled_is_unsupported(serve, client):
    serve()
    request, answer = client().map(pcp.UDP, 8080, 8080, number=16584, options=pcp.third_party(C2))
    assert_error(answer, request, pcp.UNSUPP_OPTION, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(53, 54)
def test_figures_53_and_54_third_party_with_ones_own_address_is_malformed(serve, client):
    """MALFORMED_REQUEST, not MALFORMED_OPTION (RFC 6887 s13.1)."""
    serve("third_party = true")
    request, answer = client().map(pcp.UDP, 8080, 8080, number=16584, options=pcp.third_party(C1))
    assert_error(answer, request, pcp.MALFORMED_REQUEST, pcp.LONG_ERROR_LIFETIME)


@pytest.mark.figures(55, 56)
def test_figures_55_and_56_a_filter_is_set(serve, client):
    serve()
    assert_success(client().map(pcp.UDP, 3938, 3938, options=FIRST)[1], 3938, options=FIRST)


@pytest.mark.figures(57, 58)
def test_figures_57_and_58_all_filters_are_removed(serve, client):
    """Prefix length 0 removes the filters there are; of IPv4 prefixes it is the only length below 96 that
    has a meaning (RFC 6887 s13.3)."""
    serve("filters_max = 1")
    asking = client()
    asking.map(pcp.UDP, 3938, 3938, options=FIRST)
    assert_success(asking.map(pcp.UDP, 3938, 3938, options=NO_FILTER)[1], 3938, options=NO_FILTER)
    # With room for one only, the next shows that the first is gone.
    assert_success(client(shown=False).map(pcp.UDP, 3938, 3938, options=SECOND)[1], 3938, options=SECOND)


@pytest.mark.figures(59)
def test_figure_59_a_filter_is_replaced(serve, client):
    """The draft prints no answer: both options come back in their order (RFC 6887 s7.3)."""
    serve("filters_max = 1")
    asking = client()
    asking.map(pcp.UDP, 3938, 3938, options=FIRST)
    assert_success(asking.map(pcp.UDP, 3938, 3938, options=NO_FILTER + SECOND)[1], 3938, options=NO_FILTER + SECOND)


def test_filters_beyond_the_limit_are_too_many(serve, client):
    serve("filters_max = 1")
    asking = client()
    assert_success(asking.map(pcp.UDP, 3938, 3938, options=FIRST)[1], 3938, options=FIRST)
    request, answer = asking.map(pcp.UDP, 3938, 3938, options=SECOND)
    assert_error(answer, request, pcp.EXCESSIVE_REMOTE_PEERS, pcp.LONG_ERROR_LIFETIME)


def test_a_filter_of_the_wrong_family_or_length_is_malformed(serve, client):
    serve()
    for option in (pcp.filter_option(64, 0, "2001:db8::"), pcp.filter_option(95, 0, "192.0.2.0"),
                   pcp.filter_option(129, 0, "192.0.2.0")):
        request, answer = client().map(pcp.UDP, 3938, options=option)
        assert_error(answer, request, pcp.MALFORMED_OPTION, pcp.LONG_ERROR_LIFETIME)


def test_a_description_is_answered_as_it_is_kept(serve, client):
    """RFC 7220 s3."""
    serve()
    assert_success(client().map(pcp.UDP, 3938, 3938, options=pcp.description("web camera"))[1], 3938,
                   options=pcp.description("web camera"))


def test_a_pair_of_ports_for_rtp_and_rtcp(serve, client):
    """The slides' pair is PORT_SET of size 2 with parity today (RFC 7753)."""
    serve()
    asking = client()
    pair = pcp.port_set(2, 5004)
    answer = asking.map(pcp.UDP, 5004, options=pair)[1]
    assert (answer.result, answer.options) == (pcp.SUCCESS, pair)
    assert answer.external % 2 == 0
    again = asking.map(pcp.UDP, 5005)[1]
    assert (again.internal, again.external) == (5004, answer.external), "one of the set is asked for: RFC 7753 s4.4.1"
    assert asking.map(pcp.UDP, 5004, lifetime=0, options=pair)[1].result == pcp.SUCCESS
