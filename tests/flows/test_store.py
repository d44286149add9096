# SPDX-License-Identifier: BSD-2-Clause
"""portoland --check-store, --export, --import and --backup, with a store that is in use and with one that is not."""

import contextlib
import json
import os
import pathlib
import resource
import sqlite3
import stat
import subprocess
import threading

import pcp
import pytest
from conftest import C1, Server, simulated_config
from pcp import Client

# A slow machine makes copies for long, while more and more is mapped.
LIMITS = "maximum_lifetime = 20000\nmappings_per_user_max = 65536"
PORTOLAND = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portoland"


def run(*arguments):
    done = subprocess.run([PORTOLAND, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def does(*arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, ""), err
    return out


def exported(store):
    """The head, and what follows by kind."""
    head, *lines = map(json.loads, does("--store", store, "--export").splitlines())
    rows = {}
    for line in lines:
        (kind, value), = line.items()
        rows.setdefault(kind, []).append(value)
    return head, rows


def places(rows):
    """Mappings, without what time changes."""
    return [{name: value for name, value in row.items() if name not in ("lifetime", "epoch")} for row in rows["mapping"]]


@pytest.fixture
def store(tmp_path):
    return tmp_path / "made" / "state.db"


@pytest.fixture
def serve_store(tmp_path, network):  # pylint: disable=unused-argument
    """serve_store(store) starts portoland with it."""
    servers = []

    def start(store):  # pylint: disable=redefined-outer-name
        servers.append(Server(tmp_path, simulated_config(LIMITS), store=f'store_path = "{store}"'))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def served(serve_store, store, client):  # pylint: disable=redefined-outer-name
    """A server, with two mappings, and their external ports."""
    server = serve_store(store)
    asking = client(shown=False)
    filters = pcp.description("café") + pcp.filter_option(128, 0, "::ffff:198.51.100.2")
    return server, [asking.map(pcp.UDP, 3938, 15000, options=filters)[1].external,
                    asking.map(pcp.TCP, 80, lifetime=3600, number=7)[1].external]


def test_a_store_in_use_is_checked_exported_and_copied(served, store, tmp_path, client):
    _, ports = served
    assert "whole" in does("--check-store", store)
    assert "2 mappings, 0 of them expired; 0 users and 0 static mappings by hand; 1 paths; an epoch" in does("--check-store", store)
    head, rows = exported(store)
    assert head["portolan-store"] == 1
    first, second = sorted(rows["mapping"], key=lambda row: -row["internal-src-port"])
    assert (first["internal-src-address"], first["transport-protocol"]) == (C1, "udp")
    assert (first["description"], len(first["filters"])) == ("café", 1)
    assert [first["external-src-port"], second["external-src-port"]] == ports
    assert 3590 < second["lifetime"] <= 3600

    copy = tmp_path / "copy.db"
    does("--store", store, "--backup", copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"], "one file, to carry away"
    assert "2 mappings, 0 of them expired; 0 users and 0 static mappings by hand; 1 paths; no epoch" in does("--check-store", copy)
    # It overwrites nothing, and the server went on.
    for command in (["--backup", copy], ["--export", copy]):
        code, _, err = run("--store", store, *command)
        assert code == 1 and "File exists" in err
    assert client(shown=False).map(pcp.UDP, 3938)[1].external == ports[0]


def test_a_copy_that_is_brought_back_goes_on_with_a_new_epoch(served, serve_store, store, tmp_path, client):
    server, ports = served
    copy = tmp_path / "copy.db"
    does("--store", store, "--backup", copy)
    server.stop()
    back = serve_store(copy)
    assert "2 mappings restored, 0 had expired; the epoch begins anew, and is announced" in back.log.read_text()
    assert client(shown=False).map(pcp.TCP, 80, number=7)[1].external == ports[1]


def test_copies_under_load_are_whole(served, store, tmp_path):
    """Each has all that was answered before it was begun."""
    server, _ = served
    answered, stopped = {}, threading.Event()

    def load():
        asking = Client("198.51.100.2")
        for internal in range(1, 65536):
            if stopped.is_set():
                break
            answered[internal] = asking.map(pcp.UDP, internal, number=internal)[1].external
        asking.close()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for number in range(8):
            before = dict(answered)
            copy = tmp_path / f"{number}.db"
            does("--store", store, "--backup", copy)
            assert "whole" in does("--check-store", store)
            rows = {row["internal-src-port"]: row["external-src-port"] for row in exported(copy)[1]["mapping"]
                    if row["internal-src-address"] == "198.51.100.2"}
            assert before.items() <= rows.items()
    finally:
        stopped.set()
        thread.join()
    assert server.process.poll() is None and len(answered) > 8


def test_an_exported_store_is_imported_elsewhere(served, serve_store, store, tmp_path, client):
    server, ports = served
    file = tmp_path / "state.json"
    does("--store", store, "--export", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, _, err = run("--store", store, "--import", file)
    assert code == 1 and "another process has it open" in err
    server.stop()
    elsewhere = tmp_path / "elsewhere" / "state.db"
    assert "2 mappings imported, 0 had expired" in does("--store", elsewhere, "--import", file)
    back = serve_store(elsewhere)
    assert "2 mappings restored, 0 had expired; the epoch begins anew, and is announced" in back.log.read_text()
    asking = client(shown=False)
    assert asking.map(pcp.TCP, 80, number=8)[1].result == pcp.NOT_AUTHORIZED
    assert asking.map(pcp.TCP, 80, number=7)[1].external == ports[1]
    back.stop()
    before = exported(elsewhere)[1]
    code, _, err = run("--store", elsewhere, "--import", file)
    assert code == 1 and "has 2 rows that an import would overwrite" in err
    assert places(exported(elsewhere)[1]) == places(before)
    # What has ended since is left out.
    lines = file.read_text().splitlines()
    old = tmp_path / "old.json"
    old.write_text("\n".join(['{"portolan-store":1,"time":"2001-01-01T00:00:00Z"}', *lines[1:]]))
    assert "0 mappings imported, 2 had expired" in does("--store", elsewhere, "--import", old, "--replace")
    assert "mapping" not in exported(elsewhere)[1]


def test_each_mistake_in_a_file_is_told_and_nothing_is_imported(served, store, tmp_path):
    server, _ = served
    server.stop()
    before = exported(store)[1]
    file = tmp_path / "state.json"
    does("--store", store, "--export", file)
    head, *rest = file.read_text().splitlines()
    mapping = next(json.loads(line)["mapping"] for line in rest if "mapping" in line)
    other = {**mapping, "internal-src-port": 1}
    file.write_text("\n".join([head, json.dumps({"mapping": mapping}), json.dumps({"mapping": mapping}),
                               json.dumps({"mapping": other}), json.dumps({"mapping": {**mapping, "lifetime": "x"}}),
                               '{"mapping"', "", '{"mapping":"' + "x" * (1 << 20) + '"}']))
    code, out, err = run("--store", store, "--import", file, "--replace")
    assert (code, out) == (1, "")
    told = err.splitlines()
    assert told[0].startswith(f"{file}:3: the internal address, port, protocol and peer is that of line 2")
    assert told[1].startswith(f"{file}:4: the external address, port and protocol is that of line 2")
    assert told[2] == f'{file}:5: lifetime = "x": must be a number from 0 to 4294967295'
    assert told[3].startswith(f"{file}:6: is not JSON")
    assert told[4].startswith(f"{file}:8: is longer than 1048576 octets")
    assert told[5].endswith("5 mistakes, nothing is imported")
    assert places(exported(store)[1]) == places(before)
    for text, said in (("", "is empty"), ("{}\n", ":1: is not the beginning of a file"), (None, "can't be read")):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        code, _, err = run("--store", store, "--import", file, "--replace")
        assert code == 1 and said in err


def test_what_the_server_would_not_take_is_not_imported(tmp_path, store):
    user = {"subscriber": "2001:db8:1::/48", "map": True, "peer": True, "third-party": False, "nonce": "strict",
            "protocols": [], "internal-ports": "0-65535", "port-range": "0-65535", "mappings-per-user-max": 1,
            "filters-max": 1, "port-set-max": 1, "external-src-address": "::", "given-ports": "0-65535",
            "port-block-size": 64, "ports-per-subscriber-max": 0, "sessions-per-subscriber-max": 0,
            "new-sessions-per-second-max": 0}
    fixed = {"internal-src-address": "2001:db8:1::1", "internal-src-port": 80, "transport-protocol": "tcp",
             "external-family": "ipv4", "external-src-address": "192.0.2.1", "external-src-port": 80}
    file = tmp_path / "state.json"
    wrong = (("user", user, {"port-block-size": 65}, "port_block_size must be a multiple of 64"),
             ("user", user, {"subscriber-prefix-length": 0}, "subscriber_prefix_length must be 1 to 128"),
             ("user", user, {"mappings-per-user-max": 0}, "mappings_per_user_max must be at least 1"),
             ("static-mapping", fixed, {"transport-protocol": "icmp"}, "protocol must be tcp or udp"),
             ("static-mapping", fixed, {"internal-src-port": 0}, "ports must be 1 to 65535"),
             ("static-mapping", fixed, {"external-src-port": 0}, "ports must be 1 to 65535"),
             ("static-mapping", fixed, {"external-family": "ipv6"}, "external address must be one of the device's"),
             ("static-mapping", fixed, {"description": "d" * 60_000}, "description must be at most 256 octets"))
    file.write_text("\n".join(['{"portolan-store":1,"time":"2199-01-01T00:00:00Z"}',
                               *(json.dumps({kind: {**right, **change}}) for kind, right, change, _ in wrong)]))
    code, _, err = run("--store", store, "--import", file)
    assert code == 1
    assert err.splitlines()[:-1] == [f"{file}:{line}: {said}" for line, (*_, said) in enumerate(wrong, 2)]
    file.write_text("\n".join(['{"portolan-store":1,"time":"2199-01-01T00:00:00Z"}', json.dumps({"user": user}),
                               json.dumps({"static-mapping": fixed})]))
    does("--store", store, "--import", file)
    assert "1 users and 1 static mappings by hand" in does("--check-store", store)


def test_a_file_of_many_lines_needs_little_memory(tmp_path, store):
    file = tmp_path / "many.json"
    # ThreadSanitizer takes ten times as long for each.
    count = 10_000 if PORTOLAND.parents[1].name == "tsan" else 100_000
    with file.open("w", encoding="utf-8") as lines:
        lines.write('{"portolan-store":1,"time":"2199-01-01T00:00:00Z"}\n')
        for number in range(count):
            lines.write(json.dumps({"mapping": {
                "internal-src-address": f"2001:db8:112::{number >> 16:x}", "internal-src-port": number & 0xFFFF,
                "transport-protocol": "udp", "external-family": "ipv4", "external-src-address": f"192.0.2.{number >> 16}",
                "external-src-port": number & 0xFFFF, "lifetime": 3600, "nonce": "00" * 12, "format": "pcp-2",
                "subscriber": "2001:db8:112::/64", "epoch": 0, "client-port": 1, "path": 0,
                "description": "d" * 500}}) + "\n")
    assert file.stat().st_size > 700 * count
    assert f"{count} mappings imported" in does("--store", store, "--import", file)
    assert f"{count} mappings" in does("--check-store", store)
    does("--store", store, "--export", tmp_path / "again.json")
    with (tmp_path / "again.json").open(encoding="utf-8") as lines:
        assert sum(1 for _ in lines) == count + 1
    # The largest of all that ran. Sanitizers have memory of their own.
    limit = 600 << 10 if "san" in PORTOLAND.parents[1].name else 60 << 10
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < limit


def test_what_is_no_store_is_told(tmp_path, store):
    code, out, err = run("--check-store", store)
    assert (code, out) == (1, "") and "is not there" in err
    assert not store.exists(), "nothing is made"
    store.parent.mkdir()
    store.write_bytes(b"x" * 8192)
    code, _, err = run("--check-store", store)
    assert code == 1 and "not a database" in err
    store.unlink()
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE precious(x)")
    code, _, err = run("--check-store", store)
    assert code == 1 and "another program" in err
    code, _, err = run("--store", store, "--export", "--backup", tmp_path / "copy.db")
    assert code == 2
    code, _, err = run("--config", tmp_path / "none.toml", "--export")
    assert code == 2 and "none.toml" in err
    memory = tmp_path / "memory.toml"
    memory.write_text('store = "memory"\n' + simulated_config())
    code, _, err = run("--config", memory, "--export")
    assert code == 2 and 'store = "memory"' in err


def test_damage_is_told(served, store):
    server, _ = served
    server.stop()
    octets = bytearray(store.read_bytes())
    # A description: no page of SQLite's own is touched.
    at = octets.index("café".encode())
    octets[at] ^= 1
    store.write_bytes(octets)
    for command in (["--check-store", store], ["--store", store, "--export"],
                    ["--store", store, "--backup", store.parent / "copy.db"]):
        code, _, err = run(*command)
        assert code == 1 and "is damaged" in err, command
