# SPDX-License-Identifier: BSD-2-Clause
"""Test #2 of the slides: a phone without IPv4 registers at an IPv4 server and talks with an IPv4 phone."""
import math
import struct

import pytest

from labkit import POOL
from sipkit import (DOMAIN, PACKETS_A_SECOND, PACKETS_SHARE, PEER, PEER_TONE, SERVER, Baresip, Capture, Phone,
                    check_heard, check_mapped, fields_of, port_of, tone_seconds)

SECONDS = 3
# The peer sends its first report after 5 s.
SECONDS_OF_FIRST = 6
TONE = 440
CALL_WITHOUT_END = ("--call", f"sip:13@{DOMAIN}", "--tone", TONE)
CALL = (*CALL_WITHOUT_END, "--duration", SECONDS)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return tmp_path_factory.mktemp("trace") / "call.pcap"


@pytest.fixture(scope="module")
def first_call(lab, trace):
    """A call out, with what passed the server and the peer, and the phone's own trace."""
    with Capture(lab, "sip") as server, Capture(lab, "peer") as peer, \
            Phone(lab, "handset-3g", *CALL_WITHOUT_END, "--duration", SECONDS_OF_FIRST, "--trace", trace) as phone:
        ended = phone.end()
        Baresip(lab).heard(TONE, PACKETS_SHARE * SECONDS_OF_FIRST - 0.5)
    return phone, ended, server, peer


def test_audio_passes_both_ways(first_call):
    phone, ended, *_ = first_call
    check_mapped(ended)
    check_heard(phone, ended, SECONDS_OF_FIRST)
    assert ended["family"] == "IPv4"
    assert ended["codec"] == "PCMU"
    assert ended["packets-sent"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS_OF_FIRST


def test_rtcp_passes_both_ways_by_its_mapped_port(first_call):
    _, ended, _, peer = first_call
    assert ended["reports-received"] >= 1
    port = port_of(ended["external-rtcp"])
    assert peer.fields(f"udp.dstport == {port} && ip.dst == {POOL}", "ip.src")
    assert peer.fields(f"udp.srcport == {port} && ip.src == {POOL}", "ip.dst")


def test_register_and_invite_carry_the_mapped_address_as_in_the_slides(first_call):
    phone, ended, server, _ = first_call
    place = phone.all_of("mapped")[0]
    assert place["address"] == POOL
    at = f"{POOL}:{place['port']}"
    for method in ("REGISTER", "INVITE"):
        messages = server.fields(f'sip.Method == "{method}" && ip.src == {POOL}', "sip.Via", "sip.Contact", "ip.dst",
                                 "udp.srcport")
        assert len(messages) >= 2, f"{method}: a challenge and an answer to it"
        for via, contact, destination, source_port in messages:
            assert via[0].startswith(f"SIP/2.0/UDP {at};"), via
            assert ";rport" in via[0] and len(via) == 1
            assert f"<sip:client4@{at}>" in contact[0]
            assert destination == [SERVER]
            assert source_port == [str(place["port"])]
    for method in ("ACK", "BYE"):
        messages = server.fields(f'sip.Method == "{method}" && ip.src == {POOL}', "sip.Via")
        assert messages, method
        for via, in messages:
            assert via[0].startswith(f"SIP/2.0/UDP {at};"), (method, via)
    assert port_of(ended["external"])


def test_the_offer_has_external_and_internal_address_by_altc(first_call):
    _, ended, server, _ = first_call
    rtp, rtcp = port_of(ended["external"]), port_of(ended["external-rtcp"])
    inside, inside_port = ended["internal"].strip("[").split("]:")
    owner, connection, media, attributes = server.fields(
        f'sip.Method == "INVITE" && ip.src == {POOL}', "sdp.owner", "sdp.connection_info", "sdp.media",
        "sdp.media_attr")[0]
    assert owner[0].endswith(f"IN IP4 {POOL}")
    assert connection == [f"IN IP4 {POOL}"]
    assert media == [f"audio {rtp} RTP/AVP 0 8 96 101 102"]
    assert "rtpmap:96 opus/48000/2" in attributes and "rtpmap:102 telephone-event/48000" in attributes
    assert f"rtcp:{rtcp}" in attributes
    assert f"altc:1 IP6 {inside} {inside_port}/{int(inside_port) + 1}" in attributes
    assert f"altc:2 IP4 {POOL} {rtp}" in attributes


def test_the_trace_tells_the_call_in_its_order_as_tshark_reads_it(first_call, trace):
    _, ended, server, _ = first_call
    inside = ended["internal"].strip("[").split("]:")[0]
    # Servers announce themselves to all hosts (RFC 6887 s14.1.3) whenever they like.
    packets = fields_of(trace, "portcontrol.opcode != 0 || sip", "sip.Method", "sip.CSeq.method", "sip.Status-Code",
                        "portcontrol.opcode", "portcontrol.result_code", "ipv6.src", "ipv6.dst", "_ws.malformed")
    told = []
    for method, answered, status, opcode, result, source, destination, malformed in packets:
        assert not malformed
        assert (source == [inside]) != (destination == [inside])
        if opcode:
            assert opcode == ["1"] and result == ([] if source == [inside] else ["0"])
            told.append(("MAP", "request" if source == [inside] else "answer"))
        else:
            told.append((method or answered)[0] if not status else f"{status[0]} {answered[0]}")
    # Signalling is mapped first, then registered; media is mapped before the offer that tells of it.
    story = [("MAP", "request"), ("MAP", "answer"), "REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER",
             ("MAP", "request"), ("MAP", "answer"), "INVITE", "407 INVITE", "ACK", "INVITE", "200 INVITE", "ACK", "BYE",
             "200 BYE"]
    rest = iter(told)
    assert all(each in rest for each in story), told
    # What the server received is what was sent, to the octet; its capture may begin later.
    for method in ("REGISTER", "INVITE", "BYE"):
        sent = fields_of(trace, f'sip.Method == "{method}"', "udp.payload")
        received = server.fields(f'sip.Method == "{method}" && ip.src == {POOL}', "udp.payload")
        assert received and all(each in sent for each in received)
    assert not fields_of(trace, "udp.checksum.status == 0 || ip.checksum.status == 0", "frame.number")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_from_the_ipv4_phone_comes_in(lab, transport):
    """By TCP the server may connect to the mapped port: our own connection has another one."""
    baresip = Baresip(lab)
    before = baresip.recorded()
    with Phone(lab, "handset-3g", "--answer", "--calls", 1, "--tone", TONE, "--duration", SECONDS, "--transport",
               transport) as phone:
        phone.wait_for("registered")
        baresip.dial(f"sip:client4@{DOMAIN}")
        ended = phone.end()
        check_mapped(ended)
        check_heard(phone, ended, SECONDS)
        baresip.heard(TONE, PACKETS_SHARE * SECONDS - 0.5, before)


def test_a_person_speaks_and_hears_by_the_sound_card(lab, tmp_path):
    """ALSA's own plugins stand for the card: its microphone takes a file, its speaker writes another."""
    microphone, speaker, config = (tmp_path / name for name in ("in.raw", "out.raw", "asound.conf"))
    # Whole periods are in a packet, so that what ALSA leaves out does not break the tone.
    tone = 600
    microphone.write_bytes(struct.pack("<8000h", *(round(16000 * math.sin(2 * math.pi * tone * at / 8000))
                                                   for at in range(8000))) * 60)
    config.write_text(f"""
        pcm.nothing {{ type null }}
        pcm.taking {{ type file slave.pcm nothing file /dev/null infile {microphone} format raw }}
        pcm.giving {{ type file slave.pcm nothing file {speaker} format raw }}
        pcm.card {{ type asym capture.pcm taking playback.pcm giving }}
    """)
    baresip = Baresip(lab)
    before = baresip.recorded()
    with Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--duration", SECONDS, "--sound-card", "card",
               first=("env", f"ALSA_CONFIG_PATH={config}")) as phone:
        check_heard(phone, phone.end(), SECONDS)
        baresip.heard(tone, PACKETS_SHARE * SECONDS - 0.5, before)
    played = speaker.read_bytes()
    heard = tone_seconds(struct.unpack(f"<{len(played) // 2}h", played), PEER_TONE)
    assert heard >= PACKETS_SHARE * SECONDS - 0.5, heard


def test_a_sound_card_that_is_not_there_is_named(lab):
    with Phone(lab, "handset-3g", *CALL_WITHOUT_END[:2], "--sound-card", "nowhere") as phone:
        assert phone.end(expect=2) is None
        assert "sound card 'nowhere' can't be used" in phone.said()


def test_a_phone_that_never_sent_audio_is_heard_of(lab):
    """The mapping alone lets the other side's audio in: nothing of ours opened the path."""
    with Capture(lab, "peer") as peer, Phone(lab, "handset-3g", *CALL, "--mute") as phone:
        ended = phone.end()
        check_heard(phone, ended, SECONDS)
        assert ended["packets-sent"] == 0
    port = port_of(ended["external"])
    assert peer.fields(f"udp.srcport == {port} && ip.src == {POOL}", "ip.dst") == []


def test_without_pcp_the_invite_goes_out_and_the_peer_refuses_it(lab):
    with Capture(lab, "sip") as server, Phone(lab, "handset-3g", *CALL, "--no-pcp") as phone:
        ended = phone.end(expect=1)
        assert ended["status"] == 488
        assert phone.all_of("unmapped")
        assert "external" not in ended
    connection = server.fields(f'sip.Method == "INVITE" && ip.dst == {PEER}', "sdp.connection_info")
    assert connection and all(info[0].startswith("IN IP6 ") for info, in connection)


def test_sip_over_tcp(lab, tmp_path):
    trace = tmp_path / "call.pcap"
    with Phone(lab, "handset-3g", *CALL, "--transport", "tcp", "--codecs", "pcma", "--trace", trace) as phone:
        ended = phone.end()
        check_heard(phone, ended, SECONDS)
        assert ended["codec"] == "PCMA"
    said = [method[0] for method, in fields_of(trace, "tcp && sip.Method", "sip.Method")]
    assert [said.count(each) >= 1 for each in ("REGISTER", "INVITE", "ACK", "BYE")] == [True] * 4, said
    assert fields_of(trace, "tcp && sip.Status-Code == 200", "frame.number")
    assert not fields_of(trace, "tcp.analysis.flags || tcp.checksum.status == 0", "frame.number")


def test_a_wrong_password_and_nobody_there_are_told_in_words(lab):
    with Phone(lab, "handset-3g", *CALL, "--password", "wrong") as phone:
        phone.end(expect=1)
        assert "--password" in phone.said()
    with Phone(lab, "handset-3g", "--call", f"sip:nobody@{DOMAIN}") as phone:
        assert phone.end(expect=1)["status"] == 480


def test_what_was_mapped_and_registered_is_gone_at_the_end(lab):
    with Phone(lab, "handset-3g", *CALL) as phone:
        phone.end()
        assert phone.all_of("unregistered")
    # Nobody is registered there any more.
    with Phone(lab, "handset-wifi", "--call", f"sip:client4@{DOMAIN}", user="client5") as other:
        assert other.end(expect=1)["status"] == 480


@pytest.mark.parametrize("codec", ["pcmu", "opus"])
def test_digits_are_sent(lab, codec):
    with Phone(lab, "handset-wifi", "--answer", "--calls", 1, user="client5") as other:
        other.wait_for("registered")
        with Phone(lab, "handset-3g", "--call", f"sip:client5@{DOMAIN}", "--duration", 3, "--digits", "42#", "--codecs",
                   codec) as phone:
            assert phone.end()["codec"].lower() == codec
        other.end()
        assert "".join(event["text"] for event in other.all_of("digits")) == "42#"


def check_opus(ended):
    assert ended["codec"] == "opus"
    assert ended["packets-undecodable"] == 0 and ended["packets-unknown"] == 0, ended


def test_opus_passes_both_ways_when_we_call(lab):
    baresip = Baresip(lab)
    before = baresip.recorded()
    with Capture(lab, "peer") as peer, \
            Phone(lab, "handset-3g", *CALL_WITHOUT_END, "--duration", SECONDS_OF_FIRST, "--codecs", "opus") as phone:
        ended = phone.end()
        check_opus(ended)
        check_heard(phone, ended, SECONDS_OF_FIRST)
        baresip.heard(TONE, PACKETS_SHARE * SECONDS_OF_FIRST - 0.5, before)
    # Both sides' clocks are Opus's, in RTP as in the reports (RFC 7587 s4.1).
    rtp, rtcp = port_of(ended["external"]), port_of(ended["external-rtcp"])
    ours, theirs = f"ip.src == {POOL} && udp.srcport == {rtp}", f"ip.dst == {POOL} && udp.dstport == {rtp}"
    for direction in (ours, theirs):
        packets = peer.fields(direction, "rtp.p_type", "rtp.timestamp", decode_as=(f"udp.port=={rtp},rtp",))
        assert {payload_type for (payload_type,), _ in packets} == {"96"}
        timestamps = [int(timestamp) for _, (timestamp,) in packets]
        steps = {(later - earlier) % 2 ** 32 for earlier, later in zip(timestamps, timestamps[1:])}
        # baresip, on a busy machine, gives two packets the same time now and then.
        steps -= {0} if direction == theirs else set()
        assert min(steps) == 960, steps
    assert ended["reports-received"] >= 1 and ended["jitter-ms"] < 20, ended
    jitters = [int(jitter[0]) for jitter, in peer.fields(
        f"ip.src == {POOL} && udp.srcport == {rtcp}", "rtcp.ssrc.jitter", decode_as=(f"udp.port=={rtcp},rtcp",)) if jitter]
    assert jitters and max(jitters) < 48000 * 20 // 1000, jitters


def test_opus_passes_both_ways_when_we_are_called(lab):
    """The caller offers it last, and it is the first one that this phone has."""
    baresip = Baresip(lab)
    before = baresip.recorded()
    with Phone(lab, "handset-3g", "--answer", "--calls", 1, "--tone", TONE, "--duration", SECONDS, "--codecs",
               "opus") as phone:
        phone.wait_for("registered")
        baresip.dial(f"sip:client4@{DOMAIN}")
        ended = phone.end()
        check_opus(ended)
        check_heard(phone, ended, SECONDS)
        baresip.heard(TONE, PACKETS_SHARE * SECONDS - 0.5, before)
