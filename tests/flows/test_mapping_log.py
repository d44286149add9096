# SPDX-License-Identifier: BSD-2-Clause
"""The log of mappings, read as an operator would who is asked whose a port was."""

import json
import time

import pcp
import pytest
from conftest import C1, C2, Server
from pcp import assert_success
from rows import NAT44

SETTING = NAT44
C3 = "198.51.100.3"


class Log:
    """What the log's files say, read in their order."""

    def __init__(self, *paths):
        self.paths = list(paths)

    def lines(self):
        lines = [line for path in self.paths if path.exists() for line in path.read_text().split("\n")[:-1]]
        return [json.loads(line) for line in lines]

    def events(self):
        return [line["event"] for line in self.lines()]

    def await_events(self, count):
        deadline = time.monotonic() + 20
        while len(self.events()) < count:
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.01)
        return self.lines()

    def owner(self, address, port):
        """Whose the port is after the last line: its host, or none."""
        mappings, blocks = {}, {}
        for line in self.lines():
            event = line["event"]
            if event == "log-begins":
                mappings, blocks = {}, {}
                continue
            assert event != "events-lost"
            where = line["postNATSourceIPv4Address"]
            who = line["sourceIPv4Address"]
            if event.startswith("block-"):
                block = where, line["portRangeStart"], line["portRangeEnd"]
                if event == "block-allocated":
                    assert block not in blocks, line
                    blocks[block] = who
                else:
                    assert blocks.pop(block) == who, line
            elif event == "binding-deleted":
                assert mappings.pop((line["protocolIdentifier"], who, line["sourceTransportPort"])) == (
                    where, line["postNAPTSourceTransportPort"]), line
            else:
                key = line["protocolIdentifier"], who, line["sourceTransportPort"]
                assert event != "binding-created" or key not in mappings, line
                mappings[key] = where, line["postNAPTSourceTransportPort"]
        owners = {key[1] for key, place in mappings.items() if place == (address, port)}
        if owners:
            return owners.pop()
        owners = {who for (where, first, last), who in blocks.items() if where == address and first <= port <= last}
        assert len(owners) <= 1, owners
        return owners.pop() if owners else None


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mappings"


def config(network, path, more="", pcp_lines=""):
    text = network.config(f"maximum_lifetime = 20000\n{pcp_lines}")
    return f'{text}\n[mapping_log]\nfile = "{path}"\n{more}'


def test_the_log_says_whose_each_port_is(start, network, client, path):
    start(config(network, path))
    log = Log(path)
    first, second = client(C1, shown=False), client(C2, shown=False)
    answers = {}
    for asking in (first, second):
        for protocol, internal in ((pcp.UDP, 5000), (pcp.TCP, 5001), (pcp.UDP, 5002)):
            answers[asking.address, protocol, internal] = asking.map(protocol, internal)[1]
    first.map(pcp.UDP, 5000)
    lines = log.await_events(7)
    assert log.events() == ["log-begins"] + 6 * ["binding-created"], "a renewal changes nothing"
    for (host, _, _), answer in answers.items():
        assert log.owner(answer.address, answer.external) == host
    assert {line["natEvent"] for line in lines[1:]} == {8}
    gone = answers[C2, pcp.TCP, 5001]
    assert second.map(pcp.TCP, 5001, lifetime=0)[1].result == pcp.SUCCESS
    assert log.await_events(8)[-1]["reason"] == "deleted"
    assert log.owner(gone.address, gone.external) is None
    assert log.owner(answers[C1, pcp.TCP, 5001].address, answers[C1, pcp.TCP, 5001].external) == C1


def test_a_file_that_is_moved_away_is_begun_anew_on_sighup(start, network, client, path):
    server = start(config(network, path))
    asking = client(C1, shown=False)
    before = asking.map(pcp.UDP, 5000)[1]
    Log(path).await_events(2)
    old = path.with_suffix(".1")
    path.rename(old)
    meanwhile = asking.map(pcp.UDP, 5001)[1]
    assert "configuration reloaded" in server.reload()
    after = asking.map(pcp.UDP, 5002)[1]
    log = Log(old, path)
    log.await_events(4)
    assert Log(old).events() == ["log-begins", "binding-created", "binding-created"]
    assert Log(path).events() == ["binding-created"], "it goes on, and nothing is told twice"
    for answer in (before, meanwhile, after):
        assert log.owner(answer.address, answer.external) == C1


def test_a_file_that_is_moved_away_is_begun_anew_though_the_configuration_has_a_mistake(start, network, client, path):
    server = start(config(network, path))
    asking = client(C1, shown=False)
    asking.map(pcp.UDP, 5000)
    Log(path).await_events(2)
    old = path.with_suffix(".1")
    path.rename(old)
    server.write(config(network, path, pcp_lines="map = 3"))
    assert "nothing has changed" in server.reload()
    asking.map(pcp.UDP, 5001)
    log = Log(old, path)
    log.await_events(3)
    assert Log(path).events() == ["binding-created"]


@pytest.fixture
def durable(tmp_path, network, path):
    """durable() starts portoland on one store; what ran before is killed."""
    servers = []

    def start_one():
        if servers:
            servers[-1].process.kill()
            servers[-1].process.wait(30)
        servers.append(Server(tmp_path, config(network, path), store=f'store_path = "{tmp_path}/state.db"'))

    yield start_one
    servers[-1].stop()


def test_after_a_restart_what_is_there_is_told_again(durable, client, path):
    durable()
    asking = client(C1, shown=False)
    kept = [asking.map(pcp.UDP, 5000 + i)[1] for i in range(3)]
    Log(path).await_events(4)
    durable()
    log = Log(path)
    log.await_events(8)
    assert log.events()[4:] == ["log-begins"] + 3 * ["binding-present"]
    for answer in kept:
        assert log.owner(answer.address, answer.external) == C1


def user(address, first, last):
    return f'[[user]]\nprefix = "{address}/32"\nexternal_ports = [{first}, {last}]\n'


def test_a_users_own_ports_are_one_line(start, network, client, path):
    users = user(C1, 30000, 30099) + user(C2, 30100, 30199)
    start(config(network, path, f"blocks = true\n{users}"))
    answers = {}
    clients = [client(each, shown=False) for each in (C1, C2, C3)]
    for asking in clients:
        answers[asking.address] = [asking.map(pcp.UDP, 5000 + i)[1] for i in range(5)]
    log = Log(path)
    log.await_events(8)
    assert sorted(log.events()) == 5 * ["binding-created"] + 2 * ["block-allocated"] + ["log-begins"]
    for host, mapped in answers.items():
        for answer in mapped:
            assert log.owner(answer.address, answer.external) == host
    for i in range(5):
        clients[0].map(pcp.UDP, 5000 + i, lifetime=0)
    log.await_events(9)
    assert log.events()[8:] == ["block-released"]
    assert log.owner(answers[C1][0].address, 30000) is None
    assert log.owner(answers[C2][0].address, answers[C2][0].external) == C2


def test_a_full_disk_costs_lines_that_are_counted_and_no_mapping(start, network, client, path):
    server = start(config(network, "/dev/full"))
    asking = client(C1, shown=False)
    for i in range(3):
        answer = asking.map(pcp.UDP, 5000 + i)[1]
        assert_success(answer, answer.external, answer.address, internal=5000 + i)
    server.wait_for_log("event-log-not-written: the mapping log is not written")
    assert server.log.read_text().count("event-log-not-written") == 1, "once"
    server.write(config(network, path))
    assert "configuration reloaded" in server.reload()
    asking.map(pcp.UDP, 5100)
    lines = Log(path).await_events(3)
    assert [line["event"] for line in lines] == ["log-begins", "events-lost", "binding-created"]
    assert lines[1]["count"] == 3


def test_a_log_that_cannot_be_opened_changes_nothing(start, network, client, path):
    server = start(config(network, path))
    server.write(config(network, path / "none" / "file"))
    said = server.reload()
    assert "mapping_log.file: open" in said and "configuration not reloaded" in said
    client(C1, shown=False).map(pcp.UDP, 5000)
    Log(path).await_events(2)
