# SPDX-License-Identifier: BSD-2-Clause
"""Nothing is left behind: by the lab when it goes down or is interrupted, nor by portoland on its host
when it is stopped or killed.
"""
import os
import pathlib
import signal
import subprocess
import threading

import pytest

from labkit import (POOL, VIEWER_INSIDE, Lab, build_directory, check_no_sanitizer_report, default_signals, leftovers,
                    until)


@pytest.fixture
def name(request):
    """A lab's name of this test's own; whatever the test did, nothing stays."""
    made = f"t{os.getpid()}-hyg"
    yield made
    Lab(made).call("down")


def interrupted_up(name, progress, whole_group):
    """Runs scripts/lab up, sends SIGINT when it says `progress`; returns (exit status, messages)."""
    process = subprocess.Popen(Lab(name).command("up", "--build", build_directory()), stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, text=True, start_new_session=True, preexec_fn=default_signals)
    messages = []
    # A hanging lab must not hang the test: without its stderr the loop below ends.
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        for line in process.stderr:
            messages.append(line)
            if progress in line:
                # A terminal's Ctrl-C goes to all processes of the group, kill goes to one.
                (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
                progress = "\0"
        return process.wait(timeout=30), "".join(messages)
    finally:
        guard.cancel()
        process.stderr.close()


@pytest.mark.parametrize("whole_group", [True, False], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize("progress", ["making hosts", "starting router", "waiting for the hosts", "starting portoland"])
def test_up_interrupted_half_way_leaves_nothing(name, progress, whole_group):
    status, messages = interrupted_up(name, progress, whole_group)
    assert progress in messages
    assert status not in (0, None), messages
    assert leftovers(name) == []


def test_down_leaves_nothing(name):
    one = Lab(name)
    one.up()
    assert len(leftovers(name)) > 6
    assert one.call("down").returncode == 0
    assert leftovers(name) == []


def test_down_is_idempotent(name):
    done = Lab(name).call("down")
    assert done.returncode == 0
    assert f"no lab {name} is up" in done.stderr


def test_up_that_fails_says_why_and_leaves_nothing(name, tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('device = "teapot"\n')
    done = Lab(name).call("up", "--build", build_directory(), "--config", wrong)
    assert done.returncode == 1
    assert "portoland ended with status" in done.stderr
    assert "teapot" in done.stderr
    assert leftovers(name) == []


def test_two_labs_run_at_once_and_do_not_meet(name):
    one, two = Lab(f"{name}-a"), Lab(f"{name}-b")
    try:
        for each in (one, two):
            each.up()
        granted = one.portolan("handset-3g", "map", "udp", 9000)
        with one.udp("handset-3g", 9000) as here, two.udp("handset-3g", 9000, timeout=0.3) as there:
            with two.udp("viewer") as elsewhere, one.udp("viewer") as client:
                elsewhere.sendto(b"wrong lab", (POOL, granted["external-port"]))
                client.sendto(b"right lab", (POOL, granted["external-port"]))
                assert here.recv(64) == b"right lab"
                with pytest.raises(TimeoutError):
                    there.recv(64)
        shown = one.call("list").stdout
        assert one.name in shown and two.name in shown

        taken = one.call("up", "--build", build_directory())
        assert taken.returncode == 1
        assert "is up already" in taken.stderr and f"down --name {one.name}" in taken.stderr
        assert one.server_pid()
    finally:
        for each in (one, two):
            each.down()


def test_exec_passes_exit_status_and_arguments_through(name):
    one = Lab(name)
    one.up("--without-server")
    assert one.run("laptop", "sh", "-c", "exit 7").returncode == 7
    assert one.output("laptop", "printf", "%s|", "a b", "--name", "*") == "a b|--name|*|"
    assert one.run("teapot", "true").returncode == 2
    one.down()


@pytest.mark.parametrize("without, message", [
    (["setpriv", "--reuid=65534", "--clear-groups"], "need root"),
    (["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "-"], "/dev/net/tun is missing"),
    (["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], "network namespaces can't be made"),
], ids=["root", "TUN", "namespaces"])
def test_up_says_what_is_missing(name, without, message):
    done = subprocess.run([*without, *Lab(name).command("up", "--build", build_directory())], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert leftovers(name) == []


def test_up_says_which_package_has_a_missing_command(name, tmp_path):
    for folder in ("/usr/sbin", "/usr/bin"):
        for program in pathlib.Path(folder).iterdir():
            link = tmp_path / program.name
            if program.name != "radvd" and not link.exists():
                link.symlink_to(program)
    done = subprocess.run(Lab(name).command("up", "--build", build_directory()), capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, env={"PATH": str(tmp_path)})
    assert done.returncode == 1, done.stderr
    assert "missing: radvd (Debian package radvd)" in done.stderr
    assert leftovers(name) == []


# ---- portoland on its host ---------------------------------------------------------------------


def host_changes(lab):
    """What portoland changes on the gateway, as lines of ip."""
    found = []
    for command in (["ip", "neigh", "show", "proxy"], ["ip", "-6", "neigh", "show", "proxy"], ["ip", "route"],
                    ["ip", "-6", "route"], ["ip", "rule"], ["ip", "-6", "rule"], ["ip", "-o", "tuntap"]):
        found += [" ".join([*command[1:], ":", line.strip()]) for line in lab.output("gateway", *command).splitlines()]
    return sorted(found)


def about_the_nat64(changes):
    return [line for line in changes if "nat64" in line or POOL in line]


@pytest.fixture(scope="module")
def bare(machine):
    """A lab whose server is started and ended by the tests, and what its gateway looks like without."""
    one = Lab(f"t{os.getpid()}-bare")
    try:
        one.up("--without-server")
        yield one, host_changes(one)
    finally:
        one.down()


def test_on_sigterm_portoland_undoes_what_it_did_to_its_host(bare):
    lab, untouched = bare
    lab.server("start")
    changed = host_changes(lab)
    assert any("proxy" in line and POOL in line for line in changed), changed
    assert any("2001:db8:64:ff9b::/96" in line for line in changed), changed
    assert any("tuntap" in line and "nat64" in line for line in changed), changed
    lab.server("stop")
    assert host_changes(lab) == untouched


def test_killed_and_started_again_portoland_works_and_duplicates_nothing(bare):
    lab, untouched = bare
    lab.server("start")
    fresh = host_changes(lab)
    granted = lab.portolan("handset-3g", "map", "tcp", 8080)
    lab.server("kill")
    assert lab.server_pid() is None
    lab.server("start")
    assert host_changes(lab) == fresh
    again = lab.portolan("handset-3g", "map", "tcp", 8080, "--external-port", granted["external-port"])
    assert again["external-port"] == granted["external-port"]
    lab.connect_from_viewer(again["external-port"]).close()
    assert " 0% packet loss" in lab.output("handset-3g", "ping", "-n", "-c", 2, "-i", 0.2, "-W", 5, VIEWER_INSIDE)
    lab.server("stop")
    assert host_changes(lab) == untouched


def test_a_second_portoland_on_the_same_host_fails_and_harms_nothing(bare):
    lab, _ = bare
    lab.server("start")
    before = host_changes(lab)
    program = f"{build_directory()}/apps/portoland"
    second = lab.run("gateway", program, "--config", lab.state / "portoland.toml", timeout=30)
    check_no_sanitizer_report(second.stderr, "the second portoland")
    assert second.returncode not in (0, None)
    assert second.stderr.strip()
    assert host_changes(lab) == before
    granted = lab.portolan("handset-3g", "map", "tcp", 8080)
    lab.connect_from_viewer(granted["external-port"]).close()
    lab.server("stop")


def test_the_labs_configuration_passes_the_check(bare):
    lab, untouched = bare
    done = lab.run("gateway", f"{build_directory()}/apps/portoland", "--check-config", "--config",
                   lab.state / "portoland.toml")
    assert done.returncode == 0, done.stderr
    assert host_changes(lab) == untouched
