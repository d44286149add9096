# SPDX-License-Identifier: BSD-2-Clause
"""Mappings end, move and are lost during calls, and nobody has to do anything about it."""
from labkit import POOL, until
from sipkit import DOMAIN, PACKETS_A_SECOND, Baresip, Capture, Phone

OTHER_POOL = "192.0.2.12"
TONE = 440


def test_mappings_are_renewed_during_a_call(lab):
    seconds = 25
    with Capture(lab, "gateway", "phone0") as pcp, \
            Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--tone", TONE, "--duration", seconds,
                  "--mapping-lifetime", 10, "--mute") as phone:
        ended = phone.end()
        # Mute: nothing but the mapping keeps the path open.
        assert ended["packets-received"] >= 0.9 * PACKETS_A_SECOND * seconds
    asked = pcp.fields("udp.dstport == 5351", "frame.number")
    assert len(asked) >= 6


def test_a_new_external_address_becomes_a_new_registration_and_offer(lab):
    baresip = Baresip(lab)
    before = baresip.recorded()
    configuration = lab.running_configuration()
    with Capture(lab, "peer") as peer, \
            Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--tone", TONE) as phone:
        phone.wait_for("active")
        until(lambda: peer.fields(f"ip.src == {POOL} && udp.length == 180", "frame.number"), 10, "audio of ours")
        lab.reload(configuration.replace(f'"{POOL}"', f'"{OTHER_POOL}"'))
        moved = phone.wait_for("moved", seconds=60)
        assert moved["address"] == OTHER_POOL
        until(lambda: any(event["address"] == OTHER_POOL for event in phone.all_of("registered")), 20,
              "a registration at the new address")
        heard = len(peer.fields(f"ip.src == {OTHER_POOL} && udp.length == 180", "frame.number"))
        until(lambda: len(peer.fields(f"ip.src == {OTHER_POOL} && udp.length == 180", "frame.number")) > heard + 100, 20,
              "audio from the new address")
        until(lambda: len(peer.fields(f"ip.dst == {OTHER_POOL} && udp.length == 180", "frame.number")) > 100, 20,
              "audio to the new address")
        ended = phone.stop()
        assert ended["external"].startswith(OTHER_POOL)
    lab.reload(configuration)
    assert baresip.recorded() - before


def test_a_server_that_forgot_everything_is_asked_again(lab):
    with Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--mute") as phone:
        phone.wait_for("active")
        lab.server("kill")
        lab.server("start")
        # Mute: only a mapping that was asked for again lets audio in.
        with Capture(lab, "handset-3g") as inside:
            until(lambda: len(inside.fields("udp.length == 180", "frame.number")) > 100, 60, "audio again")
        phone.stop()
