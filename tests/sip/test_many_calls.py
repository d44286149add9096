# SPDX-License-Identifier: BSD-2-Clause
"""Fifty calls at once on one core, and many in a row: no packet is lost by us, and no mapping, descriptor or memory.

PORTOLAN_CALLS has the number of calls in a row, each way.
"""
import contextlib
import math
import os
import pathlib
import subprocess

from labkit import build_directory, until
from sipkit import PACKETS_A_SECOND, PACKETS_SHARE, PEER, Phone
from test_odd_peers import ANSWER, BYE_COMES, HEAD, SCENARIO, SIPP_PORT

AT_ONCE = 50
SECONDS = 5
IN_A_ROW = int(os.environ.get("PORTOLAN_CALLS", "50"))
# Calls a second: transactions of SIP are remembered for 32 s (RFC 3261 s17), so that with a thousand calls the memory
# grows no more when the last third begins; a leak of 2 KB a call is more than it may. Of fewer calls each is remembered.
RATE = 20
SETTLED = IN_A_ROW * 7 // 10
GROWTH_KB_MAX = 512 if SETTLED >= 32 * RATE else 512 + 128 * (IN_A_ROW - SETTLED)
# Of those sent; by sequence numbers. What the peer's kernel dropped comes on top: sipp was late, and not us.
LOST_SHARE = 0.02
if os.environ.get("PORTOLAN_SANITIZERS") == "thread":
    GROWTH_KB_MAX = math.inf  # it notes what threads did, in memory of its own
    LOST_SHARE = 0.1  # and gateway and phone take ten times as long
# A sanitizer that kept what was freed would look like a leak.
REUSING = ("env", "ASAN_OPTIONS=quarantine_size_mb=1:thread_local_quarantine_size_kb=64")
MEDIA_PORT = 6600

GOOD_BYE = """  <send retrans="500"><![CDATA[
BYE sip:client4@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:client4@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
"""
# Answers a call after some time, and is told of its end.
CALLEE = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="answers">
  <recv request="INVITE"/>
  <pause milliseconds="{{pause_ms}}"/>
  <send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:sipp@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

{HEAD}m=audio {MEDIA_PORT} RTP/AVP 0
]]></send>
  <recv request="ACK" rtd="true"/>
  <recv request="BYE"/>
{ANSWER}
</scenario>
"""


@contextlib.contextmanager
def sipp(lab, scenario, *options):
    process = lab.start("peer", "sipp", "-sf", scenario, "-i", PEER, "-mi", PEER, "-mp", MEDIA_PORT, "-p", SIPP_PORT,
                        "-nostdin", "-timeout", 600, "-timeout_error", *options, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def caller(tmp_path, rest):
    scenario = tmp_path / "caller.xml"
    scenario.write_text(SCENARIO.format(body=HEAD + f"m=audio {MEDIA_PORT} RTP/AVP 0", status=200, ack_branch="",
                                        rest=rest))
    return scenario


def callee(tmp_path, pause_ms):
    scenario = tmp_path / "callee.xml"
    scenario.write_text(CALLEE.format(pause_ms=pause_ms))
    return scenario


def udp_counters(lab, host):
    """Of its kernel: datagrams sent, and those that sockets had no room for."""
    counters = dict(line.split() for line in lab.output(host, "cat", "/proc/net/snmp6").splitlines())
    return int(counters["Udp6OutDatagrams"]), (int(counters["Udp6RcvbufErrors"]), int(counters["Udp6SndbufErrors"]))


def dropped_at_peer(lab):
    """Datagrams that its sockets had no room for."""
    names, values = (line.split() for line in lab.output("peer", "cat", "/proc/net/snmp").splitlines()
                     if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))["RcvbufErrors"])


def mappings_of(lab, host):
    """How many the server has for it."""
    listing = lab.output("gateway", pathlib.Path(build_directory()) / "apps" / "portolanctl", "--server",
                         f"unix:{lab.state}/management.sock", "list", "map", lab.address(host), "--json")
    return len([line for line in listing.splitlines() if line.strip()])


def held(phone):
    """Descriptors and kilobytes of memory of a phone."""
    process = pathlib.Path("/proc") / str(phone.process.pid)
    resident = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return len(list((process / "fd").iterdir())), int(resident.split()[1])


def test_fifty_calls_at_once_on_one_core(lab, tmp_path):
    _, errors = udp_counters(lab, "handset-3g")
    dropped = dropped_at_peer(lab)
    with Phone(lab, "handset-3g", "--answer", "--no-register", "--tone", 440,
               first=("taskset", "--cpu-list", "0")) as phone:
        place = phone.wait_for("mapped")
        # Its media come back from where they went to.
        with sipp(lab, caller(tmp_path, BYE_COMES), "-m", AT_ONCE, "-l", AT_ONCE, "-r", 50, "-rtp_echo",
                  f"{place['address']}:{place['port']}") as peer:
            phone.wait_for("active", AT_ONCE)
            assert mappings_of(lab, "handset-3g") == AT_ONCE + 1, "a pair for each call, and the one of SIP"
            enough = udp_counters(lab, "handset-3g")[0] + AT_ONCE * PACKETS_A_SECOND * SECONDS
            until(lambda: udp_counters(lab, "handset-3g")[0] >= enough, 60, "five seconds of audio in each call")
            phone.stop()
            assert peer.wait(20) == 0
    assert len(phone.all_of("ended")) == AT_ONCE
    for ended in phone.all_of("ended"):
        assert ended["packets-sent"] >= PACKETS_SHARE * PACKETS_A_SECOND * SECONDS, ended
        # The last packets are still on their way back, which are not lost.
        assert ended["packets-received"] >= PACKETS_SHARE * ended["packets-sent"], ended
    sent, lost = (sum(ended[name] for ended in phone.all_of("ended")) for name in ("packets-sent", "packets-lost"))
    dropped = dropped_at_peer(lab) - dropped
    assert lost <= LOST_SHARE * sent + dropped, f"{lost} of {sent} lost, of which the peer dropped {dropped} or less"
    assert udp_counters(lab, "handset-3g")[1] == errors


def test_calls_in_a_row_leave_nothing_behind(lab, tmp_path):
    with Phone(lab, "handset-3g", "--answer", "--no-register", first=REUSING) as phone:
        place = phone.wait_for("mapped")
        scenario = caller(tmp_path, GOOD_BYE)

        def calls(count):
            with sipp(lab, scenario, "-m", count, "-l", 1, "-r", RATE, f"{place['address']}:{place['port']}") as peer:
                assert peer.wait(500) == 0
            until(lambda: mappings_of(lab, "handset-3g") == 1, 20, "only the mapping of SIP is left")
        calls(SETTLED)
        descriptors, memory = held(phone)
        calls(IN_A_ROW - SETTLED)
        assert len(phone.all_of("ended")) == IN_A_ROW
        assert held(phone)[0] == descriptors
        assert held(phone)[1] <= memory + GROWTH_KB_MAX
        phone.stop()
    assert mappings_of(lab, "handset-3g") == 0


def test_calls_out_in_a_row_leave_nothing_behind(lab, tmp_path):
    with sipp(lab, callee(tmp_path, 1000 // RATE)):
        until(lambda: f":{SIPP_PORT} " in lab.output("peer", "ss", "-Hlun"), 10, "sipp listens")
        # More than are waited for, so that it is there to be looked at.
        with Phone(lab, "handset-3g", "--no-server", "--no-register", "--call", f"sip:x@{PEER}:{SIPP_PORT}", "--calls",
                   1000000, "--duration", 0, first=REUSING) as phone:
            phone.wait_for("ended", SETTLED, seconds=400)
            descriptors, memory = held(phone)
            phone.wait_for("ended", IN_A_ROW, seconds=400)
            # A call more or less may be under way: two sockets, and a watch of each.
            assert held(phone)[0] <= descriptors + 4
            assert held(phone)[1] <= memory + GROWTH_KB_MAX
            phone.stop()
    assert mappings_of(lab, "handset-3g") == 0
