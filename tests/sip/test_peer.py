# SPDX-License-Identifier: BSD-2-Clause
"""Calls with a peer that answers when and what the test tells it to."""
from peerkit import EXTERNAL, PHONE_PORT, PcpServer, description, handheld


def accept(peer, body=None):
    """Takes the phone's next call."""
    invite = peer.next("INVITE")
    peer.answer(invite, "200 OK", description() if body is None else body)
    peer.next("ACK")
    return invite


def test_a_server_is_named_by_its_ipv4_address(peer):
    with PcpServer(), handheld("--pcp-server", "127.0.0.1") as phone:
        place = peer.register().header("Contact")
        assert place.startswith(f"<sip:client4@{EXTERNAL}:{PHONE_PORT}>"), place
        phone.until_it_says("registered at")
        phone.type("call 13")
        invite = accept(peer)
        assert invite.first == "INVITE sip:13@mysip.example SIP/2.0"
        assert peer.phone[1] == PHONE_PORT
        assert f"c=IN IP4 {EXTERNAL}" in invite.body
        phone.until_it_says("call 1 is active")
        phone.type("hangup")
        peer.answer(peer.next("BYE"), "200 OK")
        phone.until_it_says("call 1 ended: hung up here")
        phone.type("quit")
        peer.register(expires=0)
        phone.until_it_ends()


def test_the_peer_calls_and_hangs_up(peer):
    with handheld("--no-pcp", "--no-register") as phone:
        phone.until_it_says("not reachable")
        call = peer.call()
        phone.until_it_says("call 1 from sip:13@mysip.example: answer or refuse?")
        phone.type("answer")
        assert call.final_answer().first == "SIP/2.0 200 OK"
        phone.until_it_says("call 1 is active")
        call.request("BYE")
        assert call.final_answer().first == "SIP/2.0 200 OK"
        phone.until_it_says("call 1 ended: hung up by the other side")
        phone.quit()


def test_a_call_given_up_that_is_accepted_meanwhile_is_ended(peer):
    """The 200 is on its way when the CANCEL goes (RFC 3261 s9.1): it is acknowledged, and the call ended."""
    with handheld("--no-pcp", "--no-register", "--tone", 440) as phone:
        phone.type("call 13")
        invite = peer.next("INVITE")
        peer.answer(invite, "180 Ringing")
        phone.until_it_says("Ringing")
        phone.type("hangup")
        cancel = peer.next("CANCEL")
        peer.answer(invite, "200 OK", description())
        peer.answer(cancel, "200 OK")
        peer.next("ACK")
        peer.answer(peer.next("BYE"), "200 OK")
        phone.until_it_says("call 1 ended: hung up here")
        assert "active" not in phone.said()
        phone.quit()


def test_a_call_ended_here_before_it_is_acknowledged_is_ended_then(peer):
    """No BYE goes before the ACK of our 200 (RFC 3261 s15)."""
    with handheld("--no-pcp", "--no-register") as phone:
        phone.until_it_says("not reachable")
        call = peer.call()
        phone.until_it_says("answer or refuse?")
        phone.type("answer")
        accepted = peer.next("SIP/2.0 200")
        phone.until_it_says("call 1 is active")
        phone.type("hangup")
        call.other = accepted.header("To")
        call.acknowledge()
        peer.answer(peer.next("BYE"), "200 OK")
        phone.until_it_says("call 1 ended: hung up here")
        phone.quit()
