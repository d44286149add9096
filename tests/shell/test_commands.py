# SPDX-License-Identifier: BSD-2-Clause
"""Commands one by one, and scripts of them."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess

import pytest
from conftest import HOSTS, PROGRAM, SOURCE


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_users_and_mappings_are_listed_with_what_the_slides_show(server, ctl):
    port = server.map(8080)
    (user,) = rows(ctl("list", "user", "--json"))
    assert user["subscriber"] == "2001:db8:112::/64" and user["external-src-address"] == "192.0.2.1"
    assert "epoch" in user and "-" in user["port-range"]
    (mapping,) = rows(ctl("list", "map", "--json", "--user", "2001:db8:112::/64"))
    assert mapping["internal-src-address"] == HOSTS[0] and mapping["internal-src-port"] == 8080
    assert mapping["external-src-port"] == port and 0 < mapping["lifetime"] <= 3600
    text = ctl("list", "map")
    assert HOSTS[0] in text and str(port) in text and "Description" in text
    assert "\x1b" not in text
    assert ctl("list", "map", "--user", "2001:db8:ffff::/64") == ""


def test_a_static_mapping_is_added_shown_and_deleted(server, ctl):
    ctl("add", "map", "tcp", HOSTS[1], "80", "8000", "192.0.2.1", "--description", "web server")
    text = ctl("show", "map", "tcp", HOSTS[1], "80")
    assert "web server" in text and "8000" in text and "Subscriber" not in text
    ctl("delete", "map", "tcp", HOSTS[1], "80")
    assert "is not mapped" in ctl("show", "map", "tcp", HOSTS[1], "80", status=1)
    assert server.process.poll() is None


def test_a_user_is_added_changed_and_deleted(ctl):
    ctl("add", "user", "2001:db8:112::/64", "--mappings-per-user-max", "1")
    assert "by-hand" in ctl("list", "user")
    assert "2001:db8:112::/64" in ctl("add", "user", "2001:db8:112::/64", status=1)
    ctl("set", "user", "2001:db8:112::/64", "--mappings-per-user-max", "5")
    (user,) = rows(ctl("show", "user", "2001:db8:112::/64", "--json"))
    assert user["mappings-per-user-max"] == 5
    ctl("delete", "user", "2001:db8:112::/64")
    assert ctl("list", "user") == ""


def test_bulk_needs_yes_where_nobody_can_be_asked(server, ctl):
    for port in (80, 81, 82):
        server.map(port)
    assert "add --yes" in ctl("delete", "map", "--all", status=2)
    assert len(rows(ctl("list", "map", "--json"))) == 3
    assert "add --yes" in ctl("delete", "user", "2001:db8:112::/64", status=2)
    ctl("--yes", "delete", "map", "--all")
    assert ctl("list", "map", "--json") == ""
    assert "add --yes" in ctl("announce", status=2)
    ctl("announce", "--yes")


def test_settings_statistics_reload_and_export(server, ctl):
    server.map(80)
    assert "Longest lifetime      10m\n" in ctl("set", "--maximum-lifetime", "600")
    assert rows(ctl("stats", "--json"))
    assert "yes" in ctl("reload")
    kinds = [row["kind"] for row in rows(ctl("export"))]
    assert "mapping" in kinds and "user" in kinds
    assert "Version" in ctl("show")


def test_mistakes_have_status_2_and_point_to_the_word(ctl):
    said = ctl("list", "map", "--protocol", "tpc", status=2)
    line, pointer, text = said.splitlines()[-3:]
    assert pointer.index("^^^") == line.index("tpc") and "must be a protocol" in text
    assert json.loads(ctl("--json", "show", "user", "2001:db8::/64", status=1))["error"]


def test_help_is_there_without_a_server(tmp_path):
    for arguments in (["--help"], ["help"], ["help", "list", "map"], ["list", "?"], ["list", "map", "--help"]):
        done = subprocess.run([PROGRAM, "--server", f"unix:{tmp_path}/none", *arguments], capture_output=True, text=True)
        assert done.returncode == 0 and "list map" in done.stdout, arguments
    assert subprocess.run([PROGRAM, "help", "lsit"], capture_output=True).returncode == 2


def test_who_is_out_of_reach_has_status_3(tmp_path):
    done = subprocess.run([PROGRAM, "--server", f"unix:{tmp_path}/none.sock", "list", "map"], capture_output=True,
                          text=True)
    assert done.returncode == 3 and "No such file" in done.stderr and "Does it run" in done.stderr


def test_a_script_comes_from_standard_input(server, ctl):
    server.map(80)
    out = ctl(stdin="# users, then mappings\nlist user --json\nlist map --json\n")
    assert [*rows(out)[0]][0] == "subscriber" and len(rows(out)) == 2
    said = ctl(stdin="list user\nlist mpa\nlist map\n", status=2)
    assert "line 2: " in said and "192.0.2.1" in said
    assert "add --yes" in ctl(stdin="announce\n", status=2)


def test_who_reads_no_more_stops_the_listing(server, ctl):
    server.map_all(range(1000, 1300))
    command = f"{PROGRAM} --server unix:{server.socket} list map --json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True,
                          env=ctl.environment)
    assert done.returncode == 0 and len(rows(done.stdout)) == 1 and not done.stderr
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PROGRAM, "--server", f"unix:{server.socket}", "list", "map"], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3 and "No space left" in done.stderr


def memory_kb(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def held_up_listing(server, ctl):
    """Lists the mappings, but reads one before looking; returns the memory of the shell, how much more the server
    has, and how many rows came."""
    memory = memory_kb(server.process)
    with subprocess.Popen([PROGRAM, "--server", f"unix:{server.socket}", "list", "map", "--json"],
                          stdout=subprocess.PIPE, env=ctl.environment) as listing:
        json.loads(listing.stdout.readline())
        # It is held up now; hosts are not.
        assert server.map(80, HOSTS[2])
        memories = memory_kb(listing), memory_kb(server.process) - memory
        rest = listing.stdout.readlines()
        assert listing.wait(30) == 0
        return *memories, 1 + len(rest)


def test_a_long_listing_waits_for_its_reader_in_neither_memory(server, ctl):
    server.map_all(range(2000, 4000))
    few = held_up_listing(server, ctl)
    server.map_all(range(4000, 42_000))
    octets = sum(len(line) for line in ctl("list", "map", "--json").splitlines())
    assert octets > 13_000_000
    many = held_up_listing(server, ctl)
    assert few[2] >= 2000 and many[2] >= 40_000
    assert many[0] < few[0] + 4000 and many[1] < few[1] + 4000, (few, many)


def test_watch_ends_well_by_a_signal(server, ctl):
    with subprocess.Popen([PROGRAM, "--server", f"unix:{server.socket}", "watch", "--json"], stdout=subprocess.PIPE,
                          text=True, env=ctl.environment) as watching:
        os.set_blocking(watching.stdout.fileno(), False)
        port, line = 2000, ""
        while not line:
            server.map(port)
            port += 1
            line = watching.stdout.readline()
        os.set_blocking(watching.stdout.fileno(), True)
        assert json.loads(line)["internal-src-address"] == HOSTS[0]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0


def certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    for authority in ("ca", "other"):
        openssl(*new, "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    openssl(*new, "-subj", "/CN=gateway", "-addext", "subjectAltName=IP:::1,DNS:localhost", "-addext",
            "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "gateway.key",
            "-out", "gateway.pem")


@pytest.fixture
def remote(serve, tmp_path):
    """remote(arguments...) asks the server over TLS."""
    certificates(tmp_path)
    lines = [f"{name} {rights} {hashlib.sha256(name.encode()).hexdigest()}\n"
             for name, rights in (("looker", "read"), ("changer", "write"))]
    for name, text in (("tokens", "".join(lines)), ("looker", "looker\n"), ("changer", "changer\n"), ("nobody", "x\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    serve(f'[management]\nlisten = ["tls:[::1]:5380", "tls:127.0.0.1:5380"]\ncertificate = "{tmp_path}/gateway.pem"\n'
          f'key = "{tmp_path}/gateway.key"\ntokens = "{tmp_path}/tokens"\n')

    def ask(*arguments, token="changer", authority="ca", url="https://[::1]:5380", status=0):
        done = subprocess.run([PROGRAM, "--server", url, "--ca", tmp_path / f"{authority}.pem", "--token-file",
                               tmp_path / token, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    return ask


def test_another_host_asks_over_tls_with_a_token(remote, tmp_path):
    remote("add", "user", "2001:db8:112::/64")
    assert "2001:db8:112::/64" in remote("list", "user", token="looker")
    assert "2001:db8:112::/64" in remote("list", "user", url="https://localhost:5380")
    assert "token" in remote("delete", "user", "2001:db8:112::/64", token="looker", status=1)
    assert "--token-file" in remote("list", "user", token="nobody", status=1)
    assert "certificate verify failed" in remote("list", "user", authority="other", status=3)
    (tmp_path / "looker").chmod(0o644)
    assert "chmod 0640" in remote("list", "user", token="looker", status=2)


def test_bash_completes_words_and_values(server, ctl):
    server.map(8080)

    def tab(line):
        script = (f'PATH={PROGRAM.parent}:$PATH; source "{SOURCE}/apps/portolanctl/portolanctl.bash"; '
                  'COMP_LINE=$1 COMP_POINT=${#1}; _portolanctl portolanctl; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, check=True,
                              env={**ctl.environment, "PORTOLANCTL_SERVER": f"unix:{server.socket}"})
        return done.stdout.split()

    assert tab("portolanctl li") == ["list"]
    assert tab("portolanctl list ") == ["map", "pool", "user"]
    assert tab("portolanctl list map --us") == ["--user"]
    assert tab("portolanctl list map --user 2001:db8:1") == ["112::/64"]
