# SPDX-License-Identifier: BSD-2-Clause
"""A portoland that is killed and started again with `store = "sqlite"`: what was answered is there afterwards."""

import contextlib
import os
import random
import signal
import socket
import sqlite3
import threading
import time

import pcp
import pytest
from conftest import ADDRESSES, C1, E1, Server, simulated_config
from pcp import Client, assert_error, assert_success

ROUNDS = int(os.environ.get("PORTOLAN_KILL_ROUNDS", "5"))
# Whole seconds on the wire, and on the way here.
TOLERANCE_S = 4
# Not in Python's socket module.
SO_RCVBUFFORCE = 33
# A nonce that made no mapping: those are numbered by their ports.
STRANGER = 1 << 40
ENDLESS = 0xFFFFFFFF
# Requests that each host has under way at once.
LANES = 8
# The operator's, in whose place nobody may come.
STATIC = f'''
[[mapping]]
protocol = "tcp"
internal_address = "{C1}"
internal_port = 80
external_address = "{E1}"
external_port = 8080
'''


@pytest.fixture
def durable(tmp_path):
    """durable() starts portoland on one store; what ran before is killed."""
    servers = []

    def start():
        if servers and servers[-1].process.poll() is None:
            servers[-1].process.kill()
            servers[-1].process.wait(30)
        servers.append(Server(tmp_path,
                              simulated_config("maximum_lifetime = 20000\nmappings_per_user_max = 60000\n" + STATIC),
                              store=f'store_path = "{tmp_path}/made/state.db"'))
        return servers[-1]

    yield start
    servers[-1].stop()


def test_a_killed_server_goes_on_with_ports_nonces_lives_and_epoch(durable, client):
    server = durable()
    assert "begins anew, and is announced" in server.log.read_text()
    asking = client(shown=False)
    options = pcp.description("web server") + pcp.filter_option(128, 0, "::ffff:198.51.100.2")
    answer = asking.map(pcp.UDP, 3938, 15000, options=options)[1]
    assert answer.result == pcp.SUCCESS
    server = durable()
    log = server.log.read_text()
    assert "1 mappings restored, 0 had expired; the epoch goes on" in log
    request, refused = asking.map(pcp.UDP, 3938, number=7)
    assert_error(refused, request, pcp.NOT_AUTHORIZED, refused.lifetime)
    assert 19900 < refused.lifetime <= 20000, "what is left"
    assert refused.epoch >= answer.epoch
    assert_success(asking.map(pcp.UDP, 3938)[1], 15000)
    # Others don't get its port.
    request, refused = client("198.51.100.3", shown=False).map(pcp.UDP, 1, 15000, E1, options=pcp.PREFER_FAILURE)
    assert_error(refused, request, pcp.CANNOT_PROVIDE_EXTERNAL, refused.lifetime)


def test_a_second_portoland_on_the_same_store_says_so(durable, tmp_path):
    durable()
    folder = tmp_path / "second"
    folder.mkdir()
    second = Server(folder, simulated_config("listen_port = 5399"), store=f'store_path = "{tmp_path}/made/state.db"',
                    waits=False)
    assert second.process.wait(30) == 1
    assert "another process has it open" in second.log.read_text()


def test_a_store_of_a_newer_version_is_refused(durable, tmp_path):
    server = durable()
    server.stop()
    database = tmp_path / "made" / "state.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {version + 1}")
    refused = Server(tmp_path, simulated_config(), store=f'store_path = "{database}"', waits=False)
    assert refused.process.wait(30) == 1
    assert f"newer portoland (schema {version + 1}" in refused.log.read_text()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    durable()


def test_while_the_disk_takes_its_time_requests_wait_and_none_is_lost(durable, tmp_path, client):
    server = durable()
    asking = client(shown=False)
    asking.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    asking.socket.settimeout(60)
    with contextlib.closing(sqlite3.connect(tmp_path / "made" / "state.db", isolation_level=None)) as connection:
        # Nobody else writes now: a commit waits.
        connection.execute("BEGIN IMMEDIATE")
        for internal in range(1, 2001):
            request = pcp.header(C1, 3600) + pcp.map_body(pcp.UDP, internal, 0, "0.0.0.0", internal)
            asking.socket.sendto(request, asking.server)
        connection.execute("ROLLBACK")
    answered = set()
    while len(answered) < 2000:
        answer = asking.receive()
        assert answer.result == pcp.SUCCESS
        answered.add(answer.internal)
    server.process.send_signal(signal.SIGUSR1)
    assert "overload 0," in server.wait_for_log("server-dropped")


class Load(threading.Thread):
    """A host that maps every LANES-th port, and renews and deletes some, until no answer comes. `mappings` has what
    each may be when that is: None, or the external port, 0 if it is not known, and when it ends. More than one if the
    answer to what was asked last did not come."""

    def __init__(self, address, first, seed):
        super().__init__()
        self.address, self.next = address, first
        self.random = random.Random(seed)
        self.mappings = {}

    def ask(self, asking, internal, lifetime):
        before = self.mappings.get(internal, [None])
        external = before[0][0] if before[0] else 0
        self.mappings[internal] = [*before, (external, time.monotonic() + lifetime) if lifetime else None]
        # One that nobody else suggests: the simulated device looks at port after port for one that is free.
        suggested = 1024 + 3 * internal + ADDRESSES.index(self.address)
        answer = asking.map(pcp.UDP, internal, external or suggested, lifetime=lifetime, number=internal)[1]
        assert answer.result == pcp.SUCCESS and (not external or not lifetime or answer.external == external)
        self.mappings[internal] = [(answer.external, time.monotonic() + answer.lifetime) if lifetime else None]

    def run(self):
        asking = Client(self.address)
        asking.socket.settimeout(1)
        try:
            while True:
                internal = self.next
                self.next += LANES
                self.ask(asking, internal, self.random.randrange(600, 20000))
                if internal % 3 == 0:
                    self.ask(asking, internal, 0)
                elif internal % 3 == 1:
                    self.ask(asking, internal, self.random.randrange(600, 20000))
        except OSError:
            pass
        finally:
            asking.close()

    def check(self, internal):
        """What the server has is what was answered, and only who made it may change it."""
        asking = Client(self.address)
        mays = self.mappings[internal]
        # Another nonce: refused, and told how long the mapping lives; unless there is none.
        told = asking.map(pcp.UDP, internal, number=STRANGER, lifetime=700)[1]
        if told.result == pcp.SUCCESS:
            assert None in mays, (internal, mays)
            assert asking.map(pcp.UDP, internal, number=STRANGER, lifetime=0)[1].result == pcp.SUCCESS
            self.mappings[internal] = [None]
        else:
            assert told.result == pcp.NOT_AUTHORIZED
            end = time.monotonic() + told.lifetime
            ports = {may[0] for may in mays if may and abs(may[1] - end) <= TOLERANCE_S}
            assert ports, (internal, end, mays)
            kept = asking.map(pcp.UDP, internal, number=internal, lifetime=20000)[1]
            assert kept.result == pcp.SUCCESS and ports & {0, kept.external}, (internal, kept, mays)
            self.mappings[internal] = [(kept.external, time.monotonic() + kept.lifetime)]
        asking.close()


def check_static():
    """The operator's mapping is in force, whoever asks first."""
    rival = Client(ADDRESSES[2])
    rival.socket.settimeout(1)
    answer = None
    while answer is None:
        # Until it is as it was before, the server has no answer.
        with contextlib.suppress(TimeoutError):
            answer = rival.map(pcp.TCP, 81, 8080, E1, number=STRANGER, options=pcp.PREFER_FAILURE)[1]
    rival.close()
    assert answer.result == pcp.CANNOT_PROVIDE_EXTERNAL
    owner = Client(C1)
    answer = owner.map(pcp.TCP, 80, number=STRANGER)[1]
    owner.close()
    assert (answer.result, answer.external, answer.lifetime) == (pcp.SUCCESS, 8080, ENDLESS)


def test_killed_under_load_it_loses_nothing_that_was_answered(durable):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    moment = random.Random(seed)
    server = durable()
    hosts = [Load(address, 1 + lane, moment.random()) for address in ADDRESSES[:3] for lane in range(LANES)]
    for _ in range(ROUNDS):
        begun = [load.next for load in hosts]
        for load in hosts:
            load.start()
        enough = sum(begun) + LANES * moment.randrange(1, 300)
        while sum(load.next for load in hosts) < enough:
            assert server.process.poll() is None, server.log.read_text()
            # Or this thread would keep the others from asking.
            time.sleep(0.001)
        server.process.kill()
        for load in hosts:
            load.join()
        server = durable()
        check_static()
        assert "the epoch goes on" in server.log.read_text()
        # All that is new, and some of what is older.
        for load, first in zip(hosts, begun):
            older = range((first - 1) % LANES + 1, first, LANES)
            for internal in [*range(first, load.next, LANES), *moment.sample(older, min(len(older), 3))]:
                load.check(internal)
        for number, load in enumerate(hosts):
            hosts[number] = Load(load.address, load.next, moment.random())
            hosts[number].mappings = load.mappings
    for load in hosts:
        for internal in load.mappings:
            load.check(internal)
    kept = sum(may != [None] for load in hosts for may in load.mappings.values())
    assert kept >= ROUNDS, "there was something to lose"
