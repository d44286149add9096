# SPDX-License-Identifier: BSD-2-Clause
"""What a person reads when a call does not come about, or ends by a refusal: the reason, and no advice that misleads."""
from peerkit import PcpServer, description, handheld, scripted

GSM = "3"


def test_a_call_that_can_not_be_is_refused_before_it_rings(peer):
    with handheld("--no-pcp", "--no-register") as phone:
        phone.until_it_says("not reachable from the IPv4 Internet: PCP is switched off\n")
        call = peer.call(description(formats=GSM))
        assert call.final_answer().first == "SIP/2.0 488 Not Acceptable Here"
        assert not [message for message in peer.received if message.first.startswith("SIP/2.0 180")]
        phone.until_it_says("call 1 from sip:13@mysip.example was refused here: 488 no codec that is offered is one of "
                            "this phone's\n")
        phone.quit()
        assert "answer or refuse?" not in phone.said()


def test_a_call_whose_description_can_not_be_read_is_told_of(peer):
    with handheld("--no-pcp", "--no-register") as phone:
        phone.until_it_says("not reachable from the IPv4 Internet: PCP is switched off\n")
        assert peer.call(description(port=99999)).final_answer().first == "SIP/2.0 488 Not Acceptable Here"
        phone.until_it_says("call 1 from sip:13@mysip.example was refused here: 488 its SDP can't be read: line ")
        phone.quit()


def test_a_call_that_a_person_refuses_is_busy_without_advice(peer):
    with handheld("--no-pcp", "--no-register") as phone:
        phone.until_it_says("not reachable")
        call = peer.call()
        phone.until_it_says("answer or refuse?")
        phone.type("refuse")
        assert call.final_answer().first == "SIP/2.0 486 Busy Here"
        phone.until_it_says("call 1 from sip:13@mysip.example was refused here: 486 Busy Here\n")
        phone.quit()


def test_a_call_that_a_refused_change_ends_says_so(peer):
    with PcpServer() as server, handheld("--pcp-server", "127.0.0.1", "--no-register", "--tone", 440) as phone:
        phone.until_it_says("reachable at")
        phone.type("call 13")
        peer.answer(peer.next("INVITE"), "200 OK", description())
        peer.next("ACK")
        phone.until_it_says("call 1 is active")
        server.move("192.0.2.99")
        peer.answer(peer.next("INVITE"), "500 Server Internal Error")
        peer.answer(peer.next("BYE"), "200 OK")
        phone.until_it_says("call 1 ended: the other side answered 500 Server Internal Error to a change of ours")
        phone.quit()


def test_who_calls_meanwhile_does_not_end_a_scripted_call(peer):
    with scripted("--no-pcp", "--no-register", "--call", peer.uri, "--tone", 440, "--duration", 1) as phone:
        invite = peer.next("INVITE")
        peer.answer(invite, "180 Ringing")
        assert peer.call().final_answer().first == "SIP/2.0 486 Busy Here"
        assert phone.wait_for("ended")["status"] == 486
        peer.answer(invite, "200 OK", description())
        peer.next("ACK")
        peer.answer(peer.next("BYE"), "200 OK")
        assert phone.end()["text"] == "hung up here"
