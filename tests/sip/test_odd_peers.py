# SPDX-License-Identifier: BSD-2-Clause
"""Other peers than baresip: sipp, as echo, as caller, and with descriptions that nobody should send."""
import signal
import subprocess

import pytest

from labkit import POOL, until
from sipkit import (PACKETS_A_SECOND, PACKETS_SHARE, PEER, Capture, Phone, mu_law_tone, port_of, samples_of,
                    samples_of_mu_law, tone_seconds)

SECONDS = 3
# A tone that is heard: of the packets that may get lost there is none, nor before the jitter buffer begins.
TONE_SECONDS = PACKETS_SHARE * SECONDS - 0.7
SIPP_PORT = 5070
HEAD = f"v=0\no=sipp 1 1 IN IP4 {PEER}\ns=-\nc=IN IP4 {PEER}\nt=0 0\n"
AUDIO = HEAD + "m=audio 6500 RTP/AVP 0\n"

SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="one call">
  <send retrans="500"><![CDATA[
INVITE sip:client4@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:client4@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

{body}
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="{status}" rtd="true"/>
  <send><![CDATA[
ACK sip:client4@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch{ack_branch}]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:client4@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
{rest}
</scenario>
"""
ANSWER = """  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
"""
BYE_COMES = '  <recv request="BYE"/>\n' + ANSWER


def sipp_calls(lab, directory, place, body, status):
    """One INVITE to the phone with `body`; it must be answered so."""
    scenario = directory / "scenario.xml"
    scenario.write_text(SCENARIO.format(body=body, status=status, rest=BYE_COMES if status == 200 else "",
                                        # Of the INVITE, four messages before.
                                        ack_branch="" if status == 200 else "-4"))
    return sipp(lab, scenario, place)


def sipp(lab, scenario, place, *options):
    """Calls the phone at `place` once."""
    # What it shows has timestamps with octets of any value.
    return subprocess.run(lab.command("exec", "peer", "sipp", "-sf", scenario, "-m", 1, "-i", PEER, "-p", SIPP_PORT,
                                      "-nostdin", "-timeout", 20, "-timeout_error", *options,
                                      f"{place['address']}:{place['port']}"),
                          capture_output=True, text=True, errors="replace", timeout=60, stdin=subprocess.DEVNULL)


def test_our_own_audio_comes_back_from_an_echo(lab):
    echo = lab.start("peer", "sipp", "-sn", "uas", "-i", PEER, "-mi", PEER, "-mp", 6600, "-p", SIPP_PORT, "-rtp_echo",
                     "-nostdin", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{SIPP_PORT} " in lab.output("peer", "ss", "-Hlun"), 10, "sipp listens")
        with Phone(lab, "handset-3g", "--no-server", "--no-register", "--call", f"sip:echo@{PEER}:{SIPP_PORT}",
                   "--tone", 440, "--duration", SECONDS) as phone:
            ended = phone.end()
            assert ended["packets-received"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS
            assert tone_seconds(samples_of(phone.recording), 440) >= TONE_SECONDS
    finally:
        echo.send_signal(signal.SIGKILL)
        echo.wait(10)


def test_a_caller_s_tone_is_heard_and_it_hears_ours(lab, tmp_path):
    (tmp_path / "tone.ul").write_bytes(mu_law_tone(700, SECONDS + 2))
    scenario = tmp_path / "scenario.xml"
    scenario.write_text(SCENARIO.format(
        body=HEAD + "m=audio [rtpstream_audio_port] RTP/AVP 0", status=200, ack_branch="",
        rest=f'  <nop><action><exec rtp_stream="{tmp_path}/tone.ul,1,0"/></action></nop>\n' + BYE_COMES))
    with Capture(lab, "peer") as peer, \
            Phone(lab, "handset-3g", "--answer", "--calls", 1, "--no-register", "--duration", SECONDS, "--tone",
                  440) as phone:
        place = phone.wait_for("mapped")
        sipp(lab, scenario, place, "-mi", PEER)
        ended = phone.end()
    assert ended["packets-received"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS, ended
    assert tone_seconds(samples_of(phone.recording), 700) >= TONE_SECONDS
    payloads = peer.fields(f"udp.srcport == {port_of(ended['external'])} && ip.src == {POOL}", "udp.payload")
    # Behind the headers of RTP.
    heard = b"".join(bytes.fromhex(payload[0].replace(":", ""))[12:] for payload, in payloads)
    assert tone_seconds(samples_of_mu_law(heard), 440) >= TONE_SECONDS


@pytest.fixture(scope="module")
def answering(lab):
    """A phone that nobody's server knows: callers come to its mapping."""
    with Phone(lab, "handset-3g", "--answer", "--no-register", "--duration", 1, "--tone", 440) as phone:
        yield phone, phone.wait_for("mapped")
        phone.stop()


@pytest.mark.parametrize("name, body, status", [
    ("plain", AUDIO, 200),
    ("no altc that repeats c= and m=", AUDIO + "a=altc:1 IP6 2001:db8::9 7000\na=altc:2 IP4 192.0.2.11 6600\n", 200),
    ("altc of one family", AUDIO + "a=altc:1 IP4 192.0.2.9 7000\na=altc:2 IP4 192.0.2.11 6500\n", 200),
    ("altc that can't be read", AUDIO + "a=altc:1 IP6 nowhere 7000\na=altc: what\na=altc:\n", 200),
    ("rtcp to nowhere", AUDIO + "a=rtcp:99999\n", 200),
    ("audio behind video", HEAD + "m=video 9056 RTP/AVP 99\nm=audio 6500 RTP/AVP 0\n", 200),
    ("no audio", HEAD + "m=video 9056 RTP/AVP 99\n", 488),
    ("opus with parameters of all kinds", HEAD + "m=audio 6500 RTP/AVP 111\na=rtpmap:111 opus/48000/2\n"
     "a=fmtp:111 ;;=;useinbandfec=x;maxaveragebitrate=1;unheard=of\n", 200),
    ("opus that is none", HEAD + "m=audio 6500 RTP/AVP 111\na=rtpmap:111 opus/8000/1\n", 488),
    ("no codec of ours", HEAD + "m=audio 6500 RTP/AVP 3 18\n", 488),
    ("a name for an address", AUDIO.replace(f"c=IN IP4 {PEER}", "c=IN IP4 phone.example"), 488),
    ("a port out of range", HEAD + "m=audio 99999 RTP/AVP 0\n", 488),
    ("no description", "hello\n", 488),
    ("thirty-three formats", HEAD + "m=audio 6500 RTP/AVP" + " 0" * 33 + "\n", 488),
    ("nine altc attributes", AUDIO + "a=altc:1 IP4 192.0.2.11 6500\n" * 9, 488),
])
def test_descriptions_get_the_answer_that_they_deserve(lab, answering, tmp_path, name, body, status):
    phone, place = answering
    done = sipp_calls(lab, tmp_path, place, body, status)
    assert done.returncode == 0, f"{name}: {done.stdout[-1500:]}{done.stderr}\n{phone.said()}"
    assert phone.process.poll() is None
