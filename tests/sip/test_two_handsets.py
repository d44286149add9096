# SPDX-License-Identifier: BSD-2-Clause
"""Two IPv6-only phones that know each other by IPv4 addresses talk directly, by altc (RFC 6947)."""
from labkit import POOL
from sipkit import DOMAIN, PACKETS_A_SECOND, PACKETS_SHARE, Capture, Phone, samples_of, tone_seconds

SECONDS = 4


def call(lab, *arguments):
    """A call from handset-3g to handset-wifi; both ended events, and what the NAT64 translated."""
    with Capture(lab, "gateway", "nat64") as translated, \
            Phone(lab, "handset-wifi", "--answer", "--calls", 1, "--tone", 600, user="client5") as called:
        called.wait_for("registered")
        with Phone(lab, "handset-3g", "--call", f"sip:client5@{DOMAIN}", "--tone", 440, "--duration", SECONDS,
                   *arguments) as calling:
            ended = calling.end()
            assert tone_seconds(samples_of(calling.recording), 600) >= SECONDS - 0.7
        other = called.end()
        assert tone_seconds(samples_of(called.recording), 440) >= SECONDS - 0.7
    return ended, other, translated


def test_they_choose_ipv6_and_no_media_crosses_the_nat64(lab):
    ended, other, translated = call(lab)
    for each in (ended, other):
        assert each["family"] == "IPv6"
        assert each["altc"] == "altc is used"
        assert each["packets-received"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS
        assert each["reports-received"] >= 1
    assert lab.address("handset-wifi") in ended["remote-rtp"]
    assert lab.address("handset-3g") in other["remote-rtp"]
    ports = {end.rsplit(":", 1)[1] for each in (ended, other)
             for end in (each["external"], each["external-rtcp"], each["internal"])}
    ports = " ".join(sorted(ports))
    assert translated.fields(f"udp.port in {{{ports.replace(' ', ', ')}}}", "frame.number") == []
    assert translated.fields("sip", "frame.number"), "signalling does cross it"


def test_without_altc_their_media_turn_round_in_the_nat64(lab):
    ended, other, _ = call(lab, "--no-altc")
    for each in (ended, other):
        assert each["family"] == "IPv4"
        assert each["packets-received"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS
        assert each["external"].startswith(POOL)
