# SPDX-License-Identifier: BSD-2-Clause
"""A portoland that is killed and started again with `store = "sqlite"`: what was answered is there afterwards."""

import contextlib
import random
import sqlite3
import threading

import pcp
import pytest
from conftest import ADDRESSES, C1, E1, Server, simulated_config
from pcp import Client, assert_error, assert_success

ROUNDS = 4


@pytest.fixture
def durable(tmp_path):
    """durable() starts portoland on one store; what ran before is killed."""
    servers = []

    def start():
        if servers and servers[-1].process.poll() is None:
            servers[-1].process.kill()
            servers[-1].process.wait(30)
        servers.append(Server(tmp_path, simulated_config("maximum_lifetime = 20000\nmappings_per_user_max = 60000"),
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


def ask_until_killed(address, first, granted):
    """Maps port after port, deletes every third again; notes what was answered. Ends when no answer comes."""
    asking = Client(address)
    asking.socket.settimeout(1)
    try:
        for internal in range(first, 65536):
            granted[address, internal] = None
            answer = asking.map(pcp.UDP, internal, number=internal)[1]
            assert answer.result == pcp.SUCCESS
            granted[address, internal] = answer.external
            if internal % 3 == 0:
                granted[address, internal] = None
                assert asking.map(pcp.UDP, internal, lifetime=0, number=internal)[1].result == pcp.SUCCESS
                granted[address, internal] = 0
    except OSError:
        pass
    finally:
        asking.close()


def test_killed_under_load_it_loses_nothing_that_was_answered(durable):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    moment = random.Random(seed)
    server = durable()
    granted = {}
    for round_number in range(ROUNDS):
        load = [threading.Thread(target=ask_until_killed, args=(address, 1 + 5000 * round_number, granted))
                for address in ADDRESSES[:2]]
        for thread in load:
            thread.start()
        enough = len(granted) + moment.randrange(20, 400)
        while len(granted) < enough:
            assert server.process.poll() is None, server.log.read_text()
        server.process.kill()
        for thread in load:
            thread.join()
        server = durable()
    # None: killed before the answer. 0: the deletion was answered.
    kept = {key: external for key, external in granted.items() if external}
    assert len(kept) > 20 * ROUNDS / 3
    asking = {address: Client(address) for address in ADDRESSES[:2]}
    for (address, internal), external in kept.items():
        # Renewed with the nonce that made it, and suggesting nothing.
        assert asking[address].map(pcp.UDP, internal, number=internal)[1].external == external
    for (address, internal), external in granted.items():
        if external == 0:
            # What is deleted has no nonce any more.
            assert asking[address].map(pcp.UDP, internal, number=1)[1].result == pcp.SUCCESS
    for each in asking.values():
        each.close()
