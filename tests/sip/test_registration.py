# SPDX-License-Identifier: BSD-2-Clause
"""Registrations that fail, and what comes after."""
import pytest

from peerkit import PEER_PORT, SipPeer, handheld, loopback_up

RETRY_SECONDS = 60


def test_a_registration_that_fails_later_is_tried_again(peer):
    with handheld("--no-pcp") as phone:
        peer.register(expires=10)
        phone.until_it_says("registered at")
        # After a 503 Sofia-SIP does the same by itself, and says nothing.
        peer.answer(peer.next("REGISTER"), "480 Temporarily Unavailable", headers=[("Retry-After", "1")])
        phone.until_it_says("the registration failed: 480")
        phone.until_it_says("it is tried again in 1 s")
        assert peer.register().header("Expires") == "3600", peer.received
        phone.until_it_says("registered at", 2)
        phone.type("quit")
        assert peer.register(expires=0).header("Expires") == "0"
        phone.until_it_ends()


def test_a_server_that_is_not_there_at_first_is_found_later():
    loopback_up()
    with handheld("--no-pcp") as phone:
        phone.until_it_says("the registration failed: 503", seconds=60)
        phone.until_it_says("it is tried again in")
        with SipPeer(PEER_PORT) as peer:
            peer.register(seconds=RETRY_SECONDS + 30)
            phone.until_it_says("registered at")
            phone.type("quit")
            peer.register(expires=0)
            phone.until_it_ends()


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized"])
def test_what_only_a_person_can_change_is_not_tried_again_and_nothing_is_withdrawn(peer, status):
    with handheld("--no-pcp") as phone:
        peer.answer(peer.next("REGISTER"), status)
        phone.until_it_says("the registration failed")
        phone.quit()
        assert "tried again" not in phone.said()
        assert "not registered any more" not in phone.said()
    # In the order in which they were sent: what the phone sent at its end comes before this.
    peer.phone = peer.socket.getsockname()
    peer.send("MARK sip:nobody@mysip.example SIP/2.0\r\n\r\n")
    peer.next("MARK")
    assert len([message for message in peer.received if message.first.startswith("REGISTER")]) == 1, peer.received
