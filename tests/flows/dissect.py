# SPDX-License-Identifier: BSD-2-Clause
"""tshark, a decoder that shares no code with ours, reads every message that portoland sent while a module's
tests ran. It must find none malformed, and the fields that a struct of our own finds."""

import ipaddress
import re
import signal
import struct
import subprocess
import time

from pcp import ANNOUNCE, MALFORMED_OPTION, MALFORMED_REQUEST, MAP, PEER, SERVER_PORT, UNSUPP_VERSION

FIELDS = ["udp.srcport", "udp.payload", "frame.protocols", "_ws.malformed", "_ws.expert.message", "portcontrol.version",
          "portcontrol.response", "portcontrol.opcode", "portcontrol.result_code", "portcontrol.lifetime_rsp",
          "portcontrol.epoch_time", "portcontrol.option.code", "portcontrol.map.nonce",
          "portcontrol.map.rsp_assigned_external_port", "portcontrol.map.rsp_assigned_ext_ip",
          "portcontrol.peer.rsp_assigned_external_port", "nat-pmp.opcode", "nat-pmp.result_code", "nat-pmp.sssoe"]
BODY = {(1, MAP): 24, (1, PEER): 44, (2, MAP): 36, (2, PEER): 56}


class Capture:
    """What goes over the wire in this network namespace, on all interfaces there are and will be."""

    def __init__(self, directory):
        self.file, self.said = directory / "flows.pcap", directory / "tcpdump.log"
        with self.said.open("w", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                ["tcpdump", "-n", "-i", "any", "-U", "--immediate-mode", "-Z", "root", "-B", "8192", "-w", self.file,
                 f"udp src port {SERVER_PORT}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 60
        while "listening on" not in self.said.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.01)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def answers(self):
        command = ["tshark", "-n", "-r", str(self.file), "-T", "fields", "-E", "separator=|", "-E", "occurrence=a"]
        for field in FIELDS:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            values = line.split("|")
            assert len(values) == len(FIELDS), line
            yield dict(zip(FIELDS, values))


def options_of(octets):
    """(code, length) of each option of a PCP message."""
    at = 24 + BODY.get((octets[0], octets[1] & 0x7F), 0)
    while at + 4 <= len(octets):
        code, length = struct.unpack("!BxH", octets[at:at + 4])
        yield code, length
        at += 4 + -(-length // 4) * 4


def is_misread(octets):
    """Whether tshark 4.0 gets this one wrong: it takes an option behind a padded one to begin too early."""
    return any(length % 4 for _, length in list(options_of(octets))[:-1])


def remark_of(answer):
    """What tshark remarks; not what it takes certain ports for."""
    return re.sub(r"Possible traceroute: hop #\d+, attempt #\d+", "", answer["_ws.expert.message"]).strip(",")


def check(answer):
    """Compares what tshark says of one message of ours with the octets."""
    octets = bytes.fromhex(answer["udp.payload"])
    if octets[0] == 0:
        assert (answer["_ws.malformed"], remark_of(answer)) == ("", ""), answer
        result, epoch = struct.unpack("!HI", octets[2:8])
        assert (int(answer["nat-pmp.opcode"]), int(answer["nat-pmp.result_code"])) == (octets[1], result), answer
        assert int(answer["nat-pmp.sssoe"]) == epoch, answer
        return
    result, lifetime, epoch = struct.unpack("!xxxBII", octets[:12])
    opcode = octets[1] & 0x7F
    assert answer["frame.protocols"].endswith(":portcontrol"), answer
    assert (int(answer["portcontrol.version"]), int(answer["portcontrol.opcode"])) == (octets[0], opcode), answer
    # There at all: its value is another bit's.
    assert answer["portcontrol.response"] != "", answer
    assert int(answer["portcontrol.result_code"]) == result, answer
    assert int(answer["portcontrol.lifetime_rsp"]) == lifetime, answer
    assert int(answer["portcontrol.epoch_time"]) == epoch, answer
    # An error is a copy of the request, with what is wrong in it (RFC 6887 s8.2).
    copies_a_fault = result in (UNSUPP_VERSION, MALFORMED_REQUEST, MALFORMED_OPTION)
    if copies_a_fault or opcode not in (ANNOUNCE, MAP, PEER) or is_misread(octets):
        return
    assert answer["_ws.malformed"] == "", answer
    assert remark_of(answer) == "" or "nknown" in remark_of(answer), answer
    codes = [code for code, _ in options_of(octets)]
    assert answer["portcontrol.option.code"] == ",".join(map(str, codes)), answer
    if (octets[0], opcode) == (2, MAP):
        assert answer["portcontrol.map.nonce"] == octets[24:36].hex(), answer
        assert int(answer["portcontrol.map.rsp_assigned_external_port"]) == struct.unpack("!H", octets[42:44])[0], answer
        assert ipaddress.ip_address(answer["portcontrol.map.rsp_assigned_ext_ip"]).packed == octets[44:60], answer
    if (octets[0], opcode) == (2, PEER):
        assert int(answer["portcontrol.peer.rsp_assigned_external_port"]) == struct.unpack("!H", octets[42:44])[0], answer
