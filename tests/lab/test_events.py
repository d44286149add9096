# SPDX-License-Identifier: BSD-2-Clause
"""The log of bindings, sessions and blocks: real traffic makes exactly the lines it should, of whom they are wanted."""
import json
import os

import pytest

from labkit import Lab, POOL, ROOT, VIEWER, VIEWER_INSIDE, until

PORT = 7070
UDP = 17


class Log:
    """The file, from the line on that was not read yet."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def read(self):
        text = self.path.read_text() if self.path.exists() else ""
        lines = text[self.at:].splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        self.at += sum(map(len, whole))
        return [json.loads(line) for line in whole]

    def until(self, event, of):
        """Lines up to and with the first `event` of `of`, a part of such a line."""
        found = []

        def is_there():
            found.extend(self.read())
            return any(line["event"] == event and of.items() <= line.items() for line in found)

        until(is_there, 20, f"{event} of {of}")
        return found


def config(text, path, settings, rules=""):
    """`text` with other settings in [nat64] of what is logged, and rules for some."""
    kept = [line for line in text.partition("[[nat64.events_of]]")[0].splitlines() if not line.startswith("event")]
    return "\n".join(kept).replace("[nat64]", f'[nat64]\nevent_log = "{path}"\n{settings}') + f"\n{rules}\n"


def rule(prefix, level):
    return f'[[nat64.events_of]]\nprefix = "{prefix}"\nevents = "{level}"'


LAB_CONFIG = (ROOT / "lab" / "portoland.toml").read_text()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("events") / "events"


@pytest.fixture(scope="module")
def lab(machine, log, tmp_path_factory):  # pylint: disable=unused-argument
    """One whose handset on 2001:db8:112::/64 is logged in full, and nobody else."""
    file = tmp_path_factory.mktemp("config") / "portoland.toml"
    file.write_text(config(LAB_CONFIG, log, "", rule("2001:db8:112::/64", "sessions")))
    one = Lab(f"t{os.getpid()}-events")
    try:
        one.up("--config", file)
        yield one
    finally:
        one.down()


def exchange(lab, host, port, count=5):
    """Datagrams from the host's port to viewer and back."""
    with lab.udp(host, port) as inside, lab.udp("viewer", PORT) as viewer:
        for _ in range(count):
            inside.sendto(b"there", (VIEWER_INSIDE, PORT))
            _, source = viewer.recvfrom(64)
            viewer.sendto(b"back", source)
            assert inside.recv(64) == b"back"
    return source[1]


def test_a_flow_makes_two_lines_and_others_none(lab, log):
    lines = Log(log)
    exchange(lab, "laptop", 6001)
    external = exchange(lab, "handset-3g", 6000)
    flow = {"protocolIdentifier": UDP, "sourceIPv6Address": lab.address("handset-3g"), "sourceTransportPort": 6000,
            "postNATSourceIPv4Address": POOL, "postNAPTSourceTransportPort": external}
    found = lines.until("session-created", flow)
    for line in found:
        line.pop("time")
    assert found == [{"event": "log-begins"},
                     {"event": "binding-created", "natEvent": 10, **flow},
                     {"event": "session-created", "natEvent": 6, **flow, "natOriginatingAddressRealm": 1}]


def test_a_connection_is_told_to_its_end(lab, log):
    lines = Log(log)
    lines.read()
    granted = lab.portolan("handset-3g", "map", "tcp", 8200, "--lifetime", 600)
    with lab.listener("handset-3g", 8200) as server:
        assert lab.tcp_reaches(granted["external-port"], server)
    lab.portolan("handset-3g", "map", "tcp", 8200, "--delete", "--nonce", granted["nonce"])
    mapping = {"sourceTransportPort": 8200, "postNAPTSourceTransportPort": granted["external-port"]}
    found = lines.until("session-created", mapping)
    assert [line["event"] for line in found] == ["binding-created", "session-created"]
    assert found[1]["natOriginatingAddressRealm"] == 2, "viewer began it"
    # Nobody is told where the host's packets went (RFC 6888 s4).
    assert VIEWER not in log.read_text() and "Destination" not in log.read_text()


def test_what_is_told_of_whom_changes_while_it_runs(lab, log):
    lines = Log(log)
    lines.read()
    text = lab.running_configuration()
    lab.reload(config(text, log, 'events = "bindings"\nevent_destinations = true',
                            rule("2001:db8:112::/64", "none")))
    exchange(lab, "handset-3g", 6010)
    exchange(lab, "laptop", 6011)
    found = lines.until("binding-created", {"sourceTransportPort": 6011})
    assert [line["event"] for line in found] == ["binding-created"]
    lab.reload(config(text, log, 'events = "sessions"\nevent_destinations = true'))
    exchange(lab, "laptop", 6012)
    found = lines.until("session-created", {"sourceTransportPort": 6012})
    assert found[-1]["postNATDestinationIPv4Address"] == VIEWER
    assert found[-1]["postNAPTDestinationTransportPort"] == PORT


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(lab, log):
    text = lab.running_configuration()
    moved = log.with_suffix(".1")
    log.rename(moved)
    exchange(lab, "laptop", 6020)
    Log(moved).until("session-created", {"sourceTransportPort": 6020})
    lab.reload(text)
    exchange(lab, "laptop", 6021)
    assert [line["event"] for line in Log(log).until("session-created", {"sourceTransportPort": 6021})] == [
        "binding-created", "session-created"]


def test_of_blocks_one_line_is_enough_and_exhaustion_reaches_the_management(machine, tmp_path):  # pylint: disable=unused-argument
    path = tmp_path / "events"
    file = tmp_path / "portoland.toml"
    file.write_text(config(LAB_CONFIG, path,
                           'events = "blocks"\nport_block_size = 64\nports_per_subscriber_max = 64'))
    one = Lab(f"t{os.getpid()}-blocks")
    try:
        one.up("--config", file)
        sockets = [one.udp("handset-3g") for _ in range(80)]
        with one.udp("viewer", PORT) as viewer:
            viewer.settimeout(20)
            for sender in sockets:
                sender.sendto(b"out", (VIEWER_INSIDE, PORT))
            sources = {viewer.recvfrom(64)[1][1] for _ in range(64)}
        for each in sockets:
            each.close()
        found = Log(path).until("quota-exceeded", {"reason": "subscriber_ports_exhausted"})
        assert [line["event"] for line in found] == ["log-begins", "block-allocated", "quota-exceeded"]
        block = found[1]
        assert (block["sourceIPv6Address"], block["sourceIPv6PrefixLength"]) == ("2001:db8:112::", 64)
        assert sources == set(range(block["portRangeStart"], block["portRangeEnd"] + 1))
        assert found[2]["sourceIPv6Address"] == one.address("handset-3g") and found[2]["natQuotaExceededEvent"] == 3
        # Once, not for each of 16 packets.
        assert one.server_log().count("subscriber_ports_exhausted: packets dropped: 1, from") == 1
    finally:
        one.down()
