# SPDX-License-Identifier: BSD-2-Clause
"""tshark, a decoder that shares no code with ours, reads our PCP packets off the gateway's link.

It must find none malformed and read the same values that portolan reported.
"""
import ipaddress
import signal
import struct
import subprocess

import pytest

from labkit import PCP_PORT, until

GATEWAY = "2001:db8:112::1"
ALL_NODES = "ff02::1"
FIELDS = ["frame.number", "ipv6.src", "ipv6.dst", "frame.protocols", "_ws.malformed", "_ws.expert.message",
          "portcontrol.version", "portcontrol.request", "portcontrol.response", "portcontrol.opcode",
          "portcontrol.result_code", "portcontrol.lifetime_req", "portcontrol.lifetime_rsp", "portcontrol.epoch_time",
          "portcontrol.client_ip", "portcontrol.map.nonce", "portcontrol.map.protocol", "portcontrol.map.internal_port",
          "portcontrol.map.req_sug_external_port", "portcontrol.map.req_sug_external_ip",
          "portcontrol.map.rsp_assigned_external_port", "portcontrol.map.rsp_assigned_ext_ip",
          "portcontrol.option.code", "udp.srcport", "udp.dstport", "udp.payload"]
ANNOUNCE, MAP, PREFER_FAILURE = 0, 1, 2
PREFIX64 = 129


class Conversation:
    """What portolan reported in each step, and what tshark read from the link meanwhile."""

    def __init__(self):
        self.reported = {}
        self.packets = []
        # Sent unasked, to everybody.
        self.announcements = []

    def exchanges(self, **wanted):
        """Requests with these values, each with the answer that followed it."""
        for i, packet in enumerate(self.packets[:-1]):
            if packet["portcontrol.request"] == "1" and all(
                    packet[f"portcontrol.{name}"] == str(value) for name, value in wanted.items()):
                yield packet, self.packets[i + 1]


def decode(capture):
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "separator=|", "-E", "occurrence=a",
               "-E", "aggregator=,"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    packets = []
    for line in done.stdout.splitlines():
        values = line.split("|")
        assert len(values) == len(FIELDS), line
        packet = dict(zip(FIELDS, values))
        for flag in ("portcontrol.request", "portcontrol.response"):
            packet[flag] = {"True": "1", "False": ""}.get(packet[flag], packet[flag])
        packets.append(packet)
    return packets


def count(capture, what):
    done = subprocess.run(["tcpdump", "-n", "-r", str(capture), what], capture_output=True, text=True, timeout=30)
    return len(done.stdout.splitlines())


@pytest.fixture(scope="module")
def conversation(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    capture, messages = folder / "phone0.pcap", folder / "tcpdump.log"
    made = Conversation()
    reported = made.reported
    with open(messages, "w") as log:
        tcpdump = lab.start("gateway", "tcpdump", "-n", "-i", "phone0", "-U", "--immediate-mode", "-Z", "root",
                            "-w", capture, "udp", "port", str(PCP_PORT), stdout=subprocess.DEVNULL, stderr=log)
    try:
        until(lambda: "listening on" in messages.read_text(), 10, "tcpdump captures")
        reported["announce"] = lab.portolan("handset-3g", "announce")
        first = lab.portolan("handset-3g", "map", "tcp", 8080, "--external-port", 28080, "--lifetime", 600)
        reported["map"] = first
        reported["map udp"] = lab.portolan("handset-3g", "map", "udp", 5060)
        reported["renew"] = lab.portolan("handset-3g", "map", "tcp", 8080, "--lifetime", 900, "--nonce", first["nonce"])
        reported["prefer failure"] = lab.portolan("handset-3g", "map", "tcp", 8081, "--external-port", 28080,
                                                  "--prefer-failure", expect=1)
        reported["other nonce"] = lab.portolan("handset-3g", "map", "tcp", 8080, "--nonce", "ab" * 12, expect=1)
        reported["delete"] = lab.portolan("handset-3g", "map", "tcp", 8080, "--delete", "--nonce", first["nonce"])

        # Two errors that portolan never causes: an opcode nobody knows, another host's address.
        address = ipaddress.ip_address(lab.address("handset-3g")).packed
        with lab.udp("handset-3g") as client:
            client.sendto(struct.pack("!BBHI", 2, 99, 0, 0) + address, (GATEWAY, PCP_PORT))
            client.recv(2048)
            elsewhere = ipaddress.ip_address("2001:db8:112::bad").packed
            client.sendto(struct.pack("!BBHI", 2, ANNOUNCE, 0, 0) + elsewhere, (GATEWAY, PCP_PORT))
            client.recv(2048)
        lab.server("stop")
        earlier = count(capture, f"dst host {ALL_NODES}")
        lab.server("start")
        # At once, 250 ms and 750 ms later.
        until(lambda: count(capture, f"dst host {ALL_NODES}") >= earlier + 3, 10, "announcements in the capture")
        until(lambda: count(capture, f"not dst host {ALL_NODES}") >= 2 * 9, 10, "all packets in the capture")
    finally:
        tcpdump.send_signal(signal.SIGTERM)
        tcpdump.wait(timeout=10)
    for packet in decode(capture):
        (made.announcements if packet["ipv6.dst"] == ALL_NODES else made.packets).append(packet)
    return made


def test_every_packet_is_pcp_and_none_is_malformed(conversation):
    assert len(conversation.packets) == 2 * 9
    for packet in conversation.packets + conversation.announcements:
        assert packet["frame.protocols"].endswith(":portcontrol"), packet
        assert packet["portcontrol.version"] == "2", packet
        assert packet["_ws.malformed"] == "", packet
        # Some ports from which hosts ask are those of traceroute.
        remark = packet["_ws.expert.message"]
        assert remark == "" or "nknown" in remark or remark.startswith("Possible traceroute"), packet


def test_each_request_is_followed_by_its_answer(conversation):
    for request, answer in zip(conversation.packets[::2], conversation.packets[1::2]):
        assert request["portcontrol.request"] and not request["portcontrol.response"], request
        assert answer["portcontrol.response"], answer
        assert answer["portcontrol.opcode"] == request["portcontrol.opcode"]
        assert (answer["ipv6.src"], answer["ipv6.dst"]) == (request["ipv6.dst"], request["ipv6.src"])


@pytest.mark.parametrize("step, requested_lifetime", [("map", 600), ("renew", 900), ("map udp", 7200), ("delete", 0)])
def test_tshark_reads_the_fields_that_portolan_reported(conversation, step, requested_lifetime):
    told = conversation.reported[step]
    number = {"tcp": 6, "udp": 17}[told["protocol"]]
    request, answer = next(conversation.exchanges(**{
        "opcode": MAP, "map.nonce": told["nonce"], "lifetime_req": requested_lifetime,
        "map.internal_port": told["internal-port"], "map.protocol": number}))
    assert ipaddress.ip_address(request["portcontrol.client_ip"]) == ipaddress.ip_address(told["internal-address"])
    assert answer["portcontrol.result_code"] == "0"
    assert answer["portcontrol.map.nonce"] == told["nonce"]
    assert int(answer["portcontrol.map.protocol"]) == number
    assert int(answer["portcontrol.map.internal_port"]) == told["internal-port"]
    assert int(answer["portcontrol.lifetime_rsp"]) == told["lifetime"]
    if step != "delete":
        assert int(answer["portcontrol.epoch_time"]) == told["epoch"]
        assert int(answer["portcontrol.map.rsp_assigned_external_port"]) == told["external-port"]
        external = ipaddress.ip_address(answer["portcontrol.map.rsp_assigned_ext_ip"])
        assert str(external.ipv4_mapped) == told["external-address"]


def test_tshark_reads_the_suggested_port(conversation):
    request, _ = next(conversation.exchanges(**{"map.nonce": conversation.reported["map"]["nonce"], "lifetime_req": 600}))
    assert request["portcontrol.map.req_sug_external_port"] == "28080"


def test_tshark_reads_the_epoch_of_announce(conversation):
    _, answer = next(conversation.exchanges(opcode=ANNOUNCE))
    assert answer["portcontrol.result_code"] == "0"
    assert int(answer["portcontrol.epoch_time"]) == conversation.reported["announce"]["epoch"]


def test_a_server_that_begins_anew_announces_it_to_all_hosts(conversation):
    # RFC 6887 s14.1.3; the last ones are of the restart.
    for announcement in conversation.announcements:
        assert announcement["portcontrol.response"] and announcement["portcontrol.opcode"] == str(ANNOUNCE)
        assert announcement["portcontrol.result_code"] == "0"
        assert (announcement["udp.srcport"], announcement["udp.dstport"]) == ("5351", "5350")
        assert announcement["portcontrol.option.code"] == str(PREFIX64)
    last = max(int(packet["frame.number"]) for packet in conversation.packets)
    epochs = [packet["portcontrol.epoch_time"] for packet in conversation.announcements
              if int(packet["frame.number"]) > last]
    assert "0" in epochs, epochs
    # From each address by which clients may know the server: they take it from no other.
    sources = {announcement["ipv6.src"] for announcement in conversation.announcements}
    assert GATEWAY in sources and any(source.startswith("fe80::") for source in sources), sources


def test_tshark_reads_the_results_of_refused_requests(conversation):
    not_authorized, unsupp_opcode, cannot_provide_external, address_mismatch = 2, 4, 11, 12
    _, answer = next(conversation.exchanges(**{"map.internal_port": 8081}))
    assert answer["portcontrol.result_code"] == str(cannot_provide_external)
    assert answer["portcontrol.option.code"] == str(PREFER_FAILURE)
    _, answer = next(conversation.exchanges(**{"map.nonce": "ab" * 12}))
    assert answer["portcontrol.result_code"] == str(not_authorized)
    assert conversation.packets[-3]["portcontrol.result_code"] == str(unsupp_opcode)
    assert conversation.packets[-1]["portcontrol.result_code"] == str(address_mismatch)
