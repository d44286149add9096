# SPDX-License-Identifier: BSD-2-Clause
"""Mappings end, move and are lost during calls, and nobody has to do anything about it."""
from labkit import POOL, until
from sipkit import DOMAIN, PACKETS_A_SECOND, Capture, Phone, port_of

OTHER_POOL = "192.0.2.12"
TONE = 440


def test_mappings_are_renewed_during_a_call(lab):
    seconds = 14
    with Capture(lab, "gateway", "phone0") as pcp, \
            Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--tone", TONE, "--duration", seconds,
                  "--mapping-lifetime", 10, "--mute") as phone:
        ended = phone.end()
        # Mute: nothing but the mapping keeps the path open.
        assert ended["packets-received"] >= 0.9 * PACKETS_A_SECOND * seconds
    asked = [int(port) for (port,), in pcp.fields("portcontrol.opcode == 1 && portcontrol.lifetime_req > 0",
                                                  "portcontrol.map.internal_port")]
    # Of SIP and of the media, at first and again.
    assert set(asked) == {5060, port_of(ended["internal"])}
    assert min(asked.count(port) for port in asked) >= 2, asked


def test_a_new_external_address_becomes_a_new_registration_and_offer(lab):
    configuration = lab.running_configuration()
    with Capture(lab, "peer") as peer, \
            Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--tone", TONE, "--trace") as phone:
        phone.wait_for("active")

        def audio(direction, address):
            return len(peer.fields(f"ip.{direction} == {address} && udp.length == 180", "frame.number"))
        until(lambda: audio("src", POOL) and audio("dst", POOL), 10, "audio both ways")
        try:
            lab.reload(configuration.replace(f'"{POOL}"', f'"{OTHER_POOL}"'))
            assert phone.wait_for("moved", seconds=60)["address"] == OTHER_POOL
            until(lambda: any(event["address"] == OTHER_POOL for event in phone.all_of("registered")), 20,
                  "a registration at the new address")
            for direction in ("src", "dst"):
                until(lambda direction=direction: audio(direction, OTHER_POOL) > 100, 20,
                      f"audio, {direction} {OTHER_POOL}")
            ended = phone.stop()
        finally:
            lab.reload(configuration)
        assert ended["external"].startswith(OTHER_POOL)


def test_a_server_that_forgot_everything_is_asked_again(lab):
    # Old enough for its new life to be told from this one (RFC 6887 s8.5).
    until(lambda: lab.portolan("handset-3g", "announce")["epoch"] >= 4, 20, "an epoch of 4 s")
    with Phone(lab, "handset-3g", "--call", f"sip:13@{DOMAIN}", "--mute") as phone:
        phone.wait_for("active")
        lab.server("kill")
        lab.server("start")
        # Mute: only a mapping that was asked for again lets audio in.
        with Capture(lab, "handset-3g") as inside:
            until(lambda: len(inside.fields("udp.length == 180", "frame.number")) > 100, 60, "audio again")
        phone.stop()
