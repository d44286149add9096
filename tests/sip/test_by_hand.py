# SPDX-License-Identifier: BSD-2-Clause
"""A person at the phone: calls, holds, gives up, refuses, and two calls at a time; and the other side does so too."""
import pytest

from labkit import POOL, until
from sipkit import DOMAIN, Baresip, Capture, HandheldPhone


@pytest.fixture
def phone(lab):
    with HandheldPhone(lab, "handset-3g", "--tone", 440) as one:
        one.until_it_says("registered")
        yield one
        one.quit()


@pytest.fixture
def other(lab):
    with HandheldPhone(lab, "handset-wifi", "--tone", 600, user="client5") as one:
        one.until_it_says("registered")
        yield one
        one.quit()


def test_a_call_is_held_and_resumed(lab, phone):
    with Capture(lab, "sip") as server, Capture(lab, "peer") as peer:
        phone.type("call 13")
        phone.until_it_says("call 1 is active")

        def sent():
            return len(peer.fields(f"ip.dst == {POOL} && udp.length == 180", "frame.number"))
        until(lambda: sent() > 20, 10, "audio from the peer")
        status = phone.status()
        assert f"reachable at {POOL}:5060" in status
        assert "PCMU over IPv4, sendrecv, loss 0.0 %" in status and f"mapped to {POOL}:" in status
        phone.type("hold")
        until(lambda: "sendonly" in phone.status(), 10, "what the status line says of a held call")
        phone.type("resume")
        until(lambda: "sendrecv" in phone.status(), 10, "what the status line says of a resumed call")
        before = sent()
        until(lambda: sent() > before + 20, 10, "audio from the peer again")
        phone.type("hangup")
        phone.until_it_says("call 1 ended: hung up here")
    offers = server.fields(f'sip.Method == "INVITE" && ip.src == {POOL} && sip.to.tag', "sdp.media_attr", "sdp.owner",
                           "sip.Via")
    assert ["sendonly" in attributes for attributes, *_ in offers] == [True, False]
    versions = [owner[0].split()[2] for _, owner, _ in offers]
    assert versions[0] < versions[1], "each offer has a version of its own (RFC 3264 s8)"
    assert all(via[0].startswith(f"SIP/2.0/UDP {POOL}:5060;") for *_, via in offers)


def test_the_other_side_holds_and_resumes(lab, phone):
    baresip = Baresip(lab)
    phone.type("call 13")
    phone.until_it_says("call 1 is active")
    baresip.command("hold")
    phone.until_it_says("the other side changed call 1: we are")
    assert "sendrecv" not in phone.status()
    baresip.command("resume")
    phone.until_it_says("the other side changed call 1: we are sendrecv")
    baresip.hang_up()
    phone.until_it_says("call 1 ended: hung up by the other side")


def test_who_gives_up_before_an_answer_sends_a_cancel(lab, phone, other):
    with Capture(lab, "sip") as server:
        phone.type("call client5")
        other.until_it_says(f"call 1 from sip:client4@{DOMAIN}: answer or refuse?")
        phone.until_it_says("Ringing")
        phone.type("hangup")
        other.until_it_says("call 1 ended: the caller gave up")
        phone.until_it_says("call 1 ended")
    cancels = server.fields(f'sip.Method == "CANCEL" && ip.src == {POOL}', "sip.Via")
    assert cancels and all(via[0].startswith(f"SIP/2.0/UDP {POOL}:5060;") for via, in cancels)
    assert "there is no call" not in phone.said()
    phone.type("hangup")
    phone.until_it_says("there is no call")


def test_a_refused_call_is_busy_and_words_that_mean_nothing_are_told(phone, other):
    phone.type("call client5")
    other.until_it_says("answer or refuse?")
    other.type("refuse")
    phone.until_it_says("486 Busy Here (busy)")
    for line, answer in (("sing", "'sing' is no command"), ("call", "call whom?"), ("call sip:", "is no SIP URI"),
                         ("help", "hangup [CALL]")):
        phone.type(line)
        phone.until_it_says(answer)


def test_two_calls_at_a_time_are_told_apart(lab, phone, other):
    phone.type("call 13")
    phone.until_it_says("call 1 is active")
    phone.type("hold 1")
    until(lambda: "sendonly" in phone.status(), 10, "the first call is held")
    phone.type("call client5")
    other.until_it_says("answer or refuse?")
    other.type("answer")
    phone.until_it_says("call 2 is active; altc is used")
    other.until_it_says("call 1 is active; altc is used")
    phone.type("dtmf 7 2")
    other.until_it_says("call 1: digits 7")
    phone.type("hangup 1")
    phone.until_it_says("call 1 ended: hung up here")
    assert "\n2 to" in phone.status()
    phone.type("hangup 9")
    phone.until_it_says("'9' is no call")
    phone.type("hangup")
    other.until_it_says("call 1 ended: hung up by the other side")
