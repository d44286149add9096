# SPDX-License-Identifier: BSD-2-Clause
"""What a user of portolan sees: announce, refusals, and a network without a server."""
import time

import pytest

from labkit import check_no_sanitizer_report

GATEWAY = "2001:db8:112::1"


@pytest.fixture
def no_server(lab):
    lab.server("stop")
    yield
    lab.server("start")


def test_announce_answers(lab):
    for host in ("handset-3g", "handset-wifi", "laptop"):
        answer = lab.portolan(host, "announce")
        assert answer["result"] == "SUCCESS"
        assert answer["epoch"] >= 0


def test_announce_answers_at_a_named_server(lab):
    assert lab.portolan("handset-3g", "announce", "--server", GATEWAY)["server"] == GATEWAY


def test_the_epoch_goes_on_with_time(lab):
    before, started = lab.portolan("handset-3g", "announce")["epoch"], time.monotonic()
    while time.monotonic() < started + 2:
        last = lab.portolan("handset-3g", "announce")["epoch"]
        assert last >= before
    assert 1 <= last - before <= 4


def test_without_a_server_the_message_says_what_to_do(lab, no_server):
    done = lab.run("handset-3g", "portolan", "map", "tcp", 8080, "--server", GATEWAY, "--timeout", 3)
    check_no_sanitizer_report(done.stderr, "portolan map")
    assert done.returncode == 3
    assert (f"no PCP server answered at {GATEWAY} within 3 s: is portoland running there? try portolan announce"
            in done.stderr)


def test_without_a_server_the_default_wait_is_ten_seconds(lab, no_server):
    started = time.monotonic()
    done = lab.run("handset-3g", "portolan", "map", "tcp", 8080)
    assert done.returncode == 3
    assert "no PCP server answered at fe80::1%eth0 within 10 s" in done.stderr
    assert 9 < time.monotonic() - started < 15


def test_without_a_server_announce_fails_too(lab, no_server):
    done = lab.run("handset-3g", "portolan", "announce", "--timeout", 2)
    check_no_sanitizer_report(done.stderr, "portolan announce")
    assert done.returncode == 3
    assert "within 2 s" in done.stderr


def test_a_request_sent_before_the_server_starts_is_answered_by_a_later_copy(lab, no_server):
    # RFC 6887 s8.1.1: the client asks again, 3 s after its first request.
    waiting = lab.start("handset-3g", f"{lab.state.joinpath('build').read_text().strip()}/apps/portolan",
                        "map", "tcp", 8080, "--timeout", "20")
    try:
        lab.server("start")
        assert waiting.wait(timeout=25) == 0
        lab.server("stop")
    finally:
        waiting.kill()
        waiting.wait()


def test_a_command_line_that_makes_no_sense_is_a_usage_error(lab):
    for arguments in (["map", "tcp"], ["map", "tcp", "99999"], ["map", "nonsense", "80"], ["map", "tcp", "80", "--delete"],
                      ["no-such-command"], ["map", "tcp", "80", "--nonce", "12"]):
        done = lab.run("handset-3g", "portolan", *arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.strip(), arguments


def test_on_a_host_without_a_router_the_message_asks_for_a_server(lab):
    done = lab.run("viewer", "portolan", "map", "tcp", 8080, "--timeout", 2)
    check_no_sanitizer_report(done.stderr, "portolan map")
    assert done.returncode in (1, 2, 3)
    assert "--server" in done.stderr
