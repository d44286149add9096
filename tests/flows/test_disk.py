# SPDX-License-Identifier: BSD-2-Clause
"""The disk under the store is full, or may only be read: nothing is made or deleted, renewals are answered with what
is on the disk, packets go on, and all is as before when there is room again. The disk is a small file system in a
mount namespace that CTest made; the device is the kernel's NAT44, and packets go through each mapping."""

import contextlib
import subprocess
import time

import pcp
import pytest
from conftest import C1, E1, Server
from prometheus_client.parser import text_string_to_metric_families
from rows import NAT44

SETTING = NAT44
DISK_OCTETS = 2 << 20
# A renewal that were granted as asked would get this; what is on the disk is less.
FIRST_LIFETIME, LIFETIME = 1000, 20000


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, with room for a store."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_OCTETS}", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def durable(tmp_path, disk, network):  # pylint: disable=redefined-outer-name
    """durable() starts portoland with its store on the disk; what ran before is killed."""
    servers = []

    def start():
        if servers:
            servers[-1].process.kill()
            servers[-1].process.wait(30)
        management = f'[management]\nlisten = ["unix:{tmp_path}/management.sock"]\n'
        servers.append(Server(tmp_path, network.config("maximum_lifetime = 20000") + management,
                              store=f'store_path = "{disk}/state.db"'))
        return servers[-1]

    yield start
    if servers[-1].process.poll() is None:
        servers[-1].stop()


def store_metrics(tmp_path):
    """What /metrics says of the store, by name, the label left out."""
    text = subprocess.run(["curl", "-sSf", "--unix-socket", tmp_path / "management.sock", "http://localhost/metrics"],
                          capture_output=True, text=True, timeout=30, check=True).stdout
    return {"/".join([sample.name.removeprefix("portolan_store_"), *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples
            if sample.name.startswith("portolan_store_")}


def fill(disk):  # pylint: disable=redefined-outer-name
    with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))


def until_refused(asking, granted):
    """Maps port after port, as long as there is room in what the store has of the disk."""
    for internal in range(5000, 7000):
        answer = pcp.Client.map(asking, pcp.UDP, internal, number=internal, lifetime=FIRST_LIFETIME)[1]
        if answer.result != pcp.SUCCESS:
            assert answer.result == pcp.NO_RESOURCES
            return
        granted[internal] = answer.external
    raise AssertionError("the disk is not full")


def check_read_only(asking, network, granted, begun):  # pylint: disable=redefined-outer-name
    """Only what is on the disk goes on."""
    internal, external = next(iter(granted.items()))
    for new in (100, 101):
        assert asking.map(pcp.UDP, new, number=new)[1].result == pcp.NO_RESOURCES
    assert asking.map(pcp.UDP, internal, lifetime=0, number=internal)[1].result == pcp.NO_RESOURCES
    # Packets go through it, as the client sees to.
    renewed = asking.map(pcp.UDP, internal, number=internal, lifetime=LIFETIME)[1]
    assert (renewed.result, renewed.external) == (pcp.SUCCESS, external)
    left = FIRST_LIFETIME - (time.monotonic() - begun)
    assert left - 2 <= renewed.lifetime <= FIRST_LIFETIME, "what is on the disk, and not what was asked for"
    assert asking.map(pcp.UDP, internal, number=1)[1].result == pcp.NOT_AUTHORIZED
    network.check_closed(pcp.UDP, (C1, 100), (E1, 100))


def until_granted(asking, internal):
    deadline = time.monotonic() + 30
    while (answer := asking.map(pcp.UDP, internal, number=internal)[1]).result != pcp.SUCCESS:
        assert answer.result == pcp.NO_RESOURCES and time.monotonic() < deadline
        time.sleep(0.1)
    return answer


def check_all(asking, granted):
    for internal, external in granted.items():
        assert asking.map(pcp.UDP, internal, number=1)[1].result == pcp.NOT_AUTHORIZED
        renewed = asking.map(pcp.UDP, internal, number=internal)[1]
        assert (renewed.result, renewed.external) == (pcp.SUCCESS, external)


def test_a_disk_that_becomes_full_stops_nothing_but_changes(durable, disk, client, network, tmp_path):
    server = durable()
    asking = client(shown=False)
    begun = time.monotonic()
    granted = {3938: asking.map(pcp.UDP, 3938, number=3938, lifetime=FIRST_LIFETIME)[1].external}
    well = store_metrics(tmp_path)
    assert (well["failing"], well["failed_commits_total"], well["rows/live"]) == (0, 0, 3), "mapping, path and epoch"
    assert (well["file_bytes/store"], well["file_bytes/log"]) == tuple(
        (disk / name).stat().st_size for name in ("state.db", "state.db-wal"))
    assert 0 < well["disk_free_bytes"] < DISK_OCTETS
    fill(disk)
    until_refused(asking, granted)
    server.wait_for_log("does not write, no mapping is made or deleted until it does: ")
    check_read_only(asking, network, granted, begun)
    full = store_metrics(tmp_path)
    assert full["failing"] == 1 and full["failed_commits_total"] > 0
    assert full["disk_free_bytes"] == 0
    (disk / "ballast").unlink()
    granted[102] = until_granted(asking, 102).external
    server.wait_for_log("writes again")
    assert store_metrics(tmp_path)["failing"] == 0
    assert asking.map(pcp.UDP, 102, lifetime=0, number=102)[1].result == pcp.SUCCESS
    del granted[102]
    server = durable()
    assert f"{len(granted)} mappings restored, 0 had expired; the epoch goes on" in server.log.read_text()
    check_all(asking, granted)


@pytest.mark.parametrize("stops", [False, True], ids=["killed", "stopped"])
def test_a_disk_that_is_full_at_the_start_stops_nothing_but_changes(durable, disk, client, network, stops):
    server = durable()
    asking = client(shown=False)
    begun = time.monotonic()
    granted = {internal: asking.map(pcp.UDP, internal, number=internal, lifetime=FIRST_LIFETIME)[1].external
               for internal in (3938, 3939)}
    if stops:
        server.stop()
    else:
        server.process.kill()
        server.process.wait(30)
    fill(disk)
    server = durable()
    assert "2 mappings restored, 0 had expired; the epoch goes on" in server.log.read_text()
    until_refused(asking, granted)
    server.wait_for_log("does not write, no mapping is made or deleted until it does: ")
    check_read_only(asking, network, granted, begun)
    (disk / "ballast").unlink()
    granted[102] = until_granted(asking, 102).external
    durable()
    check_all(asking, granted)


def test_a_read_only_disk_stops_nothing_but_changes(durable, disk, client, network):
    server = durable()
    asking = client(shown=False)
    begun = time.monotonic()
    granted = {internal: asking.map(pcp.UDP, internal, number=internal, lifetime=FIRST_LIFETIME)[1].external
               for internal in (3938, 3939)}
    # Killed: what is in SQLite's log only counts too.
    server.process.kill()
    server.process.wait(30)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    server = durable()
    log = server.log.read_text()
    assert "2 mappings restored, 0 had expired; the epoch goes on" in log
    assert "does not write, no mapping is made or deleted until it does: may only be read" in log
    check_read_only(asking, network, granted, begun)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    granted[102] = until_granted(asking, 102).external
    server.wait_for_log("writes again")
    durable()
    check_all(asking, granted)


def test_without_a_store_a_disk_that_can_not_be_written_is_said(tmp_path, disk, network):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    refused = Server(tmp_path, network.config(), store=f'store_path = "{disk}/state.db"', waits=False)
    assert refused.process.wait(30) == 1
    assert "Read-only file system" in refused.log.read_text()
