# SPDX-License-Identifier: BSD-2-Clause
"""portolan doctor on hosts that are well, and on hosts that are not: each of the things that may be wrong is made so on
real hosts, and it has to find it, say it, and tell what to do."""
import contextlib
import json
import os
import pathlib
import pty
import re
import subprocess

import pytest

from labkit import FarHost, POOL, check_no_sanitizer_report, until

HOST = "handset-3g"
HELPER_PORT = 7000
VIEWER = f"192.0.2.10:{HELPER_PORT}"
DNS64_PREFIX = "2001:db8:64:ff9b::/96"


def program(lab):
    return f"{(lab.state / 'build').read_text().strip()}/apps/portolan"


def by_id(found):
    return {finding["id"]: finding for finding in found["findings"]}


def examine(lab, *arguments, host=HOST, healthy=True):
    """What the doctor finds, by what it calls it."""
    found = lab.portolan(host, "doctor", "--no-anycast", *arguments, expect=0 if healthy else 1)
    assert found["healthy"] == healthy
    findings = by_id(found)
    for finding in found["findings"]:
        assert finding["text"] and (finding["state"] != "problem" or finding["remedy"]), finding
    return findings, found["servers"]


@pytest.fixture
def helper(lab):
    """On the other side, in the IPv4 Internet."""
    running = lab.start("viewer", program(lab), "doctor", "--listen-helper", HELPER_PORT, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
    until(lambda: f":{HELPER_PORT}" in lab.output("viewer", "ss", "-Hltn"), 10, "the helper")
    yield running
    running.terminate()
    out, err = running.communicate(timeout=10)
    check_no_sanitizer_report(err, "portolan doctor --listen-helper")
    assert running.returncode == 0, out + err


def test_a_host_that_is_well(lab, helper):  # pylint: disable=unused-argument
    findings, servers = examine(lab, "--probe-from", VIEWER)
    assert {name: finding["state"] for name, finding in findings.items()} == {
        "ipv6-only": "good", "router": "good", "dns64": "good", "server": "good", "external-address": "good",
        "inbound": "good"}
    assert DNS64_PREFIX in findings["dns64"]["text"]
    assert f"arrived through {POOL}:" in findings["inbound"]["text"]
    (server,) = servers
    assert server["server"] == "fe80::1%eth0" and server["origin"] == "default router"
    assert (server["version"], server["external-address"], server["result"]) == (2, POOL, "SUCCESS")
    assert server["options"] == {"PREFER_FAILURE": True, "FILTER": True, "PORT_SET": True, "DESCRIPTION": True,
                                 "PREFIX64": True}
    assert server["nat64-prefixes"] == [DNS64_PREFIX]


def test_it_leaves_no_mapping_behind(lab):
    findings, _ = examine(lab)
    port = int(re.search(r"tcp port (\d+) of", findings["external-address"]["text"])[1])
    assert findings["inbound-not-tried"]["state"] == "note"
    # Who asks with another nonce is refused for as long as there is one.
    for protocol, first in (("tcp", port), ("udp", port), ("udp", port + 1), ("udp", port + 2)):
        granted = lab.portolan(HOST, "map", protocol, first, "--lifetime", 10)
        lab.portolan(HOST, "map", protocol, first, "--nonce", granted["nonce"], "--delete")


def test_a_name_of_the_helper_goes_by_dns64(lab, helper):  # pylint: disable=unused-argument
    findings, _ = examine(lab, "--probe-from", f"viewer.example:{HELPER_PORT}")
    assert findings["inbound"]["state"] == "good"


def test_a_firewall_on_the_host(lab, helper):  # pylint: disable=unused-argument
    rules = "table ip6 t { chain c { type filter hook input priority 0; tcp flags & (syn | ack) == syn drop; }; }"
    lab.output(HOST, "nft", rules)
    try:
        findings, _ = examine(lab, "--probe-from", VIEWER, healthy=False)
    finally:
        lab.output(HOST, "nft", "delete", "table", "ip6", "t")
    assert findings["inbound"]["state"] == "problem"
    assert "no answer within 8 s" in findings["inbound"]["text"]
    assert "firewall" in findings["inbound"]["remedy"]
    assert findings["external-address"]["state"] == "good"


def test_a_helper_that_is_not_there(lab):
    findings, _ = examine(lab, "--probe-from", "192.0.2.10:7001", healthy=False)
    assert "Connection refused" in findings["helper"]["text"]
    assert "--listen-helper" in findings["helper"]["remedy"]


def test_no_server(lab):
    lab.server("stop")
    try:
        findings, servers = examine(lab, "--timeout", 2, healthy=False)
    finally:
        lab.server("start")
    assert findings["no-server"]["state"] == "problem"
    assert "fe80::1%eth0 (default router): nothing listens there" in findings["no-server"]["text"]
    assert "start portoland on the router" in findings["no-server"]["remedy"]
    assert not servers[0]["answers"]


@contextlib.contextmanager
def other_resolver(lab, host, address):
    """The host asks that one."""
    path = pathlib.Path("/etc/netns") / lab.namespace(host) / "resolv.conf"
    before = path.read_text()
    path.write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")
    try:
        yield
    finally:
        path.write_text(before)


def test_no_dns64(lab, tmp_path):
    config = (lab.state / "unbound.conf").read_text()
    config = config.replace("2001:db8:53::53", "2001:db8:53::54").replace('"dns64 iterator"', '"iterator"')
    (tmp_path / "unbound.conf").write_text(config)
    lab.output("dns", "ip", "address", "add", "2001:db8:53::54/64", "dev", "eth0", "nodad")
    resolver = lab.start("dns", "unbound", "-d", "-c", tmp_path / "unbound.conf", stderr=subprocess.DEVNULL)
    try:
        until(lambda: "2001:db8:53::54" in lab.output("dns", "ss", "-Hlun"), 10, "the resolver without DNS64")
        with other_resolver(lab, HOST, "2001:db8:53::54"):
            findings, _ = examine(lab, healthy=False)
    finally:
        resolver.terminate()
        resolver.wait()
        lab.output("dns", "ip", "address", "del", "2001:db8:53::54/64", "dev", "eth0")
    assert findings["no-dns64"]["state"] == "problem"
    assert "DNS64" in findings["no-dns64"]["remedy"]
    # The server knows the prefix, and a helper is reached by it all the same.
    assert DNS64_PREFIX in findings["prefix-unused"]["text"]


def test_no_resolver(lab):
    with other_resolver(lab, HOST, "2001:db8:53::99"):
        findings, _ = examine(lab, healthy=False)
    assert findings["no-resolver"]["state"] == "problem"
    assert "/etc/resolv.conf" in findings["no-resolver"]["remedy"]


def test_a_nat_on_the_path(lab, tmp_path):
    """A host behind the laptop, which is a NAT that knows nothing of PCP."""
    (tmp_path / "resolv.conf").write_text("nameserver 2001:db8:53::53\n")
    rules = "table ip6 t { chain c { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }"
    lab.output("laptop", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.eth0.accept_ra=2")
    lab.output("laptop", "nft", rules)
    behind = FarHost(lab, "laptop", "behind0", "2001:db8:99::1/64", "2001:db8:99::2/64")
    try:
        def ask(*arguments):
            done = subprocess.run(
                ["nsenter", f"--net={behind.path}", "unshare", "--mount", "sh", "-c",
                 'mount --bind "$0" /etc/resolv.conf && exec "$@"', tmp_path / "resolv.conf", program(lab), "doctor",
                 "--json", "--no-anycast", "--timeout", "2", *arguments],
                capture_output=True, text=True, timeout=60, check=False)
            check_no_sanitizer_report(done.stderr, "portolan doctor")
            assert done.returncode == 1, done.stdout + done.stderr
            return by_id(json.loads(done.stdout))

        assert "2001:db8:99::1 (default router): nothing listens there" in ask()["no-server"]["text"]
        found = ask("--server", "2001:db8:113::1")["nat-on-path"]
        assert "there is a NAT between this host and the PCP server at 2001:db8:113::1" in found["text"]
        assert "2001:db8:99::2" in found["text"]
        assert "leads by 2001:db8:99::1%eth0, which does this NAT, or else a device behind it" in found["remedy"]
    finally:
        behind.close()
        lab.output("laptop", "nft", "delete", "table", "ip6", "t")
        lab.output("laptop", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")


def test_a_person_sees_step_by_step_what_is_found(lab):
    done = lab.run(HOST, "portolan", "doctor", "--no-anycast")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("good     this host has IPv6 alone: 2001:db8:112:")
    assert lines[-1] == "all is well"
    assert done.stderr.splitlines() == [
        "looking at this host's addresses and routers ...", "asking for the NAT64's prefix ...", "asking 1 PCP server ...",
        "deleting the mappings of this test ..."]


def test_on_a_terminal_something_turns_and_leaves_no_trace(lab):
    near, far = pty.openpty()
    running = lab.start(HOST, program(lab), "doctor", "--no-anycast", stdout=far, stderr=far)
    os.close(far)
    text = b""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while octets := os.read(near, 4096):
            text += octets
    os.close(near)
    assert running.wait() == 0
    assert b"\r| asking 1 PCP server ..." in text
    # What is left of each line is what comes behind the last order to clear it.
    shown = [line.rsplit(b"\x1b[K", 1)[-1].decode() for line in text.split(b"\r\n")]
    assert shown[0].startswith("good ") and shown[-2] == "all is well", shown
    assert not any("..." in line for line in shown), shown


def test_mistakes_are_usage_errors(lab):
    for arguments in (["--probe-from", "viewer.example"], ["--probe-from", "viewer.example:0"], ["--listen-helper", "x"],
                      ["--listen-helper", "7000", "--probe-from", "192.0.2.10:7000"], ["--timeout", "0"]):
        done = lab.run(HOST, "portolan", "doctor", *arguments)
        assert done.returncode == 2 and done.stderr.strip(), arguments
