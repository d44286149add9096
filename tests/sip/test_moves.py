# SPDX-License-Identifier: BSD-2-Clause
"""Mappings that move or end while a call rings and while it goes on: what the other side is told, and the person."""
import re

import pytest

from peerkit import EXTERNAL, PHONE_PORT, PcpServer, description, handheld

import pcp

OTHER = "192.0.2.99"
OTHER_PORT = 40001


@pytest.fixture
def server():
    with PcpServer() as one:
        yield one


@pytest.fixture
def phone(server, peer):  # pylint: disable=unused-argument
    with handheld("--pcp-server", "127.0.0.1", "--no-register", "--tone", 440, "--trace") as one:
        one.until_it_says(f"reachable at {EXTERNAL}:{PHONE_PORT}")
        yield one


def move(phone, server, external):
    """Until the phone knows it of the last of its mappings."""
    server.move(external)
    phone.until_it_says(f"udp 127.0.0.1:{max(server.asked)} is reachable at {external}:")


def connection_of(message):
    return re.search(r"^c=IN IP4 (\S+)\r$", message.body, re.MULTILINE)[1]


def ringing(phone, peer):
    """A call out that rings at the other side."""
    phone.type("call 13")
    invite = peer.next("INVITE")
    peer.answer(invite, "180 Ringing")
    phone.until_it_says("call 1: 180 Ringing")
    return invite


def accept(peer, invite):
    peer.answer(invite, "200 OK", description())
    peer.next("ACK")


def hang_up(phone, peer):
    phone.type("hangup")
    peer.answer(peer.next("BYE"), "200 OK")
    phone.until_it_says("call 1 ended: hung up here")
    phone.quit()


def test_an_address_that_moves_while_it_rings_there_is_told_as_soon_as_somebody_answers(peer, server, phone):
    invite = ringing(phone, peer)
    assert connection_of(invite) == EXTERNAL
    move(phone, server, OTHER)
    assert f"mapped to {OTHER}:" in phone.status()
    accept(peer, invite)
    change = peer.next("INVITE")
    assert connection_of(change) == OTHER
    assert change.header("Contact").startswith(f"<sip:client4@{OTHER}:{PHONE_PORT}>")
    accept(peer, change)
    phone.until_it_says(f"call 1 moved: we are at {OTHER}:")
    hang_up(phone, peer)
    assert phone.said().count("call 1 moved") == 1


def test_an_address_that_moves_while_it_rings_here_is_in_the_answer(peer, server, phone):
    call = peer.call()
    phone.until_it_says("call 1 from sip:13@mysip.example: answer or refuse?")
    move(phone, server, OTHER)
    phone.type("answer")
    answer = call.final_answer()
    assert connection_of(answer) == OTHER
    assert answer.header("Contact").startswith(f"<sip:client4@{OTHER}:{PHONE_PORT}>")
    phone.until_it_says("call 1 is active")
    phone.type("hangup")
    # Nothing was left to tell: what comes next is no INVITE.
    assert peer.next("").first.startswith("BYE")


@pytest.mark.parametrize("is_active", [False, True])
def test_a_port_of_signalling_that_moves_alone_is_told_in_the_call(peer, server, phone, is_active):
    invite = ringing(phone, peer)
    if is_active:
        accept(peer, invite)
        phone.until_it_says("call 1 is active")
    server.port_of = lambda port: OTHER_PORT if port == PHONE_PORT else port
    server.move(EXTERNAL, [PHONE_PORT])
    phone.until_it_says(f"reachable at {EXTERNAL}:{OTHER_PORT}")
    if not is_active:
        accept(peer, invite)
    change = peer.next("INVITE")
    assert change.header("Contact").startswith(f"<sip:client4@{EXTERNAL}:{OTHER_PORT}>")
    assert change.header("Via").startswith(f"SIP/2.0/UDP {EXTERNAL}:{OTHER_PORT};")
    accept(peer, change)
    phone.until_it_says(f"call 1 moved: we are at {EXTERNAL}:{OTHER_PORT} now")
    hang_up(phone, peer)


def test_a_second_move_during_the_offer_of_the_first_is_told_by_another_offer(peer, server, phone):
    accept(peer, ringing(phone, peer))
    phone.until_it_says("call 1 is active")
    move(phone, server, "192.0.2.77")
    first = peer.next("INVITE")
    move(phone, server, OTHER)
    accept(peer, first)
    second = peer.next("INVITE")
    assert connection_of(first) != OTHER
    assert connection_of(second) == OTHER
    accept(peer, second)
    phone.until_it_says(f"call 1 moved: we are at {OTHER}:")
    hang_up(phone, peer)


def test_a_mapping_that_is_lost_is_told_and_so_is_the_next_one(peer):  # pylint: disable=unused-argument
    with PcpServer(lifetime_max=4) as server, handheld("--pcp-server", "127.0.0.1", "--no-register") as phone:
        phone.until_it_says(f"[{EXTERNAL}:{PHONE_PORT}] ")
        server.result_of = lambda port: pcp.NO_RESOURCES
        phone.until_it_says("not reachable from the IPv4 Internet: the mapping was lost")
        phone.until_it_says("[no mapping] ")
        server.result_of = lambda port: pcp.SUCCESS
        server.move(EXTERNAL)
        phone.until_it_says(f"reachable at {EXTERNAL}:{PHONE_PORT}", count=2)
        phone.quit()


def test_ports_one_by_one_where_no_pair_is_to_be_had(peer):
    """RTCP is anywhere then, and told by a=rtcp (RFC 3605)."""
    with PcpServer() as server:
        server.port_of = lambda port: port if port == PHONE_PORT else 50000 - port
        with handheld("--pcp-server", "127.0.0.1", "--no-register", "--tone", 440, "--trace") as phone:
            phone.until_it_says("reachable at")
            invite = ringing(phone, peer)
            rtp = next(port for port in server.asked if port != PHONE_PORT and port % 2 == 0)
            assert connection_of(invite) == EXTERNAL
            assert f"m=audio {50000 - rtp} RTP/AVP " in invite.body
            assert f"a=rtcp:{50000 - rtp - 1}\r\n" in invite.body
            phone.until_it_says(f"PCP | a=rtcp of call 1: udp 127.0.0.1:{rtp + 1} is reachable at")
            accept(peer, invite)
            phone.until_it_says("call 1 is active")
            hang_up(phone, peer)


def test_audio_goes_without_reports_where_the_server_has_no_port_for_them(peer):
    with PcpServer() as server:
        server.result_of = lambda port: pcp.USER_EX_QUOTA if port != PHONE_PORT and port % 2 else pcp.SUCCESS
        with handheld("--pcp-server", "127.0.0.1", "--no-register", "--tone", 440) as phone:
            phone.until_it_says("reachable at")
            invite = ringing(phone, peer)
            assert connection_of(invite) == EXTERNAL
            # Nobody else gets them: the port behind RTP's is not ours.
            assert "a=rtcp:9\r\n" in invite.body
            accept(peer, invite)
            phone.until_it_says("call 1 is active")
            # There is one now, which the other side hears of.
            server.result_of = lambda port: pcp.SUCCESS
            server.move(EXTERNAL)
            change = peer.next("INVITE")
            assert "a=rtcp:9\r\n" not in change.body
            accept(peer, change)
            hang_up(phone, peer)
