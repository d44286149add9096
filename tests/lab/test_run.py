# SPDX-License-Identifier: BSD-2-Clause
"""portolan run: programs of others that know nothing of PCP, with their default arguments, are reached from the viewer at
the address and port that is printed. The handset has no IPv4 at all."""
import contextlib
import os
import re
import signal
import socket
import struct

import pytest

from labkit import check_no_sanitizer_report, until

HOST = "handset-3g"


class Run:
    def __init__(self, lab, folder, arguments, around=()):
        self.lab, self.folder = lab, folder
        portolan = lab.state.joinpath("build").read_text().strip() + "/apps/portolan"
        with open(folder / "out", "w") as out, open(folder / "err", "w") as err:
            self.process = lab.start(HOST, *around, portolan, "run", *arguments, stdout=out, stderr=err, cwd=folder,
                                     env={**os.environ, "XDG_STATE_HOME": str(folder / "state")})

    def said(self):
        return (self.folder / "err").read_text()

    def reachable(self, protocol):
        """External address and port of the first mapping of a protocol that is there."""
        def check():
            assert self.process.poll() is None, self.said()
            found = re.search(rf"{protocol} port \d+: .* is reachable at ([0-9.]+):(\d+), ", self.said())
            return found and (found[1], int(found[2]))
        return until(check, 20, f"a mapping of {protocol}; said so far: {self.said()}")


@contextlib.contextmanager
def run(lab, folder, *arguments, around=()):
    one = Run(lab, folder, arguments, around)
    try:
        yield one
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
        one.process.wait(timeout=20)
        check_no_sanitizer_report(one.said(), "portolan run")
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def fetch(lab, place, path):
    return lab.run("viewer", "curl", "-sS", "-m", "5", f"http://{place[0]}:{place[1]}{path}").stdout


def test_python_http_server(lab, tmp_path):
    (tmp_path / "page").write_text("ahoy\n")
    with run(lab, tmp_path, "--", "/usr/bin/python3", "-m", "http.server") as server:
        assert fetch(lab, server.reachable("tcp"), "/page") == "ahoy\n"
    assert "dropped at the PCP server" in server.said()


def test_python_http_server_at_the_ipv4_wildcard_sees_the_viewers_address(lab, tmp_path):
    (tmp_path / "page").write_text("ahoy\n")
    with run(lab, tmp_path, "--", "/usr/bin/python3", "-m", "http.server", "--bind", "0.0.0.0", "8001") as server:
        assert fetch(lab, server.reachable("tcp"), "/page") == "ahoy\n"
        assert until(lambda: re.search(r'^192\.0\.2\.10 - .*GET /page', server.said(), re.MULTILINE), 10, "the log's line")


# Logs and process id of the machine's own nginx are let alone.
ALONE = ("env", "-u", "XDG_RUNTIME_DIR", "unshare", "--mount", "sh", "-c",
         "mount -t tmpfs none /run && mount -t tmpfs none /var/log/nginx && exec \"$@\"", "sh")


def test_nginx_as_it_comes_goes_to_the_background_and_is_followed(lab, tmp_path):
    with run(lab, tmp_path, "--", "nginx", around=ALONE) as server:
        place = server.reachable("tcp")
        assert "nginx" in fetch(lab, place, "/")
    assert server.process.returncode == 0
    assert "dropped at the PCP server" in server.said()


def test_nginx_that_listens_at_the_ipv4_wildcard_alone(lab, tmp_path):
    (tmp_path / "nginx.conf").write_text('events {} http { server { listen 80; return 200 "ahoy $remote_addr"; } }')
    with run(lab, tmp_path, "--", "nginx", "-c", tmp_path / "nginx.conf", around=ALONE) as server:
        assert fetch(lab, server.reachable("tcp"), "/") == "ahoy 192.0.2.10"


def test_netcat(lab, tmp_path):
    with run(lab, tmp_path, "--", "nc", "-l", "9000") as server:
        with lab.connect_from_viewer(server.reachable("tcp")[1]) as client:
            client.sendall(b"ahoy\n")
            client.shutdown(socket.SHUT_WR)
        server.process.wait(timeout=20)
        assert (tmp_path / "out").read_text() == "ahoy\n"
        assert server.process.returncode == 0


def test_netcat_over_udp(lab, tmp_path):
    with run(lab, tmp_path, "--", "nc", "-u", "-l", "9001") as server:
        place = server.reachable("udp")
        with lab.udp("viewer") as viewer:
            viewer.sendto(b"ahoy\n", place)
            until(lambda: (tmp_path / "out").read_text() == "ahoy\n", 10, "the datagram")


def test_a_name_server_answers_over_udp(lab, tmp_path):
    """dnsmasq listens at the wildcards of both families, and tells where its answers come from."""
    with run(lab, tmp_path, "--", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
             "--no-resolv", "--no-hosts", "--port=5300", "--address=/ship.example/192.0.2.99") as server:
        place = server.reachable("udp")
        question = b"\x04ship\x07example\x00" + struct.pack("!HH", 1, 1)
        with lab.udp("viewer") as viewer:
            viewer.sendto(struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 0) + question, place)
            answer, source = viewer.recvfrom(512)
        assert source == place
        assert answer[:2] == b"\x12\x34" and answer.endswith(socket.inet_aton("192.0.2.99"))


def test_a_hook_is_told_what_came_and_what_went(lab, tmp_path):
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\necho $PORTOLAN_EVENT $PORTOLAN_PROTOCOL $PORTOLAN_INTERNAL_PORT"
                    f" $PORTOLAN_EXTERNAL_ADDRESS:$PORTOLAN_EXTERNAL_PORT >>{tmp_path}/told\n")
    hook.chmod(0o755)
    with run(lab, tmp_path, "--hook", hook, "--", "nc", "-l", "9002") as server:
        place = server.reachable("tcp")
        told = tmp_path / "told"
        came, went = (f"{event} tcp 9002 {place[0]}:{place[1]}\n" for event in ("granted", "lost"))
        until(lambda: told.exists() and told.read_text() == came, 10, "what came")
        lab.connect_from_viewer(place[1]).close()
        until(lambda: told.read_text() == came + went, 10, "what went")


def test_what_is_exposed_is_in_the_environment(lab, tmp_path):
    with run(lab, tmp_path, "--expose", "tcp:9003", "--", "sh", "-c", "echo $PORTOLAN_TCP_9003") as server:
        assert server.process.wait(timeout=20) == 0
        place = re.search(r"is reachable at ([0-9.:]+), ", server.said())
        assert place and (tmp_path / "out").read_text() == place[1] + "\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_a_daemon_that_was_left_behind(lab, tmp_path, number):
    with run(lab, tmp_path, "--", "sh", "-c", "setsid nc -k -l 9004 & exit 3") as server:
        server.reachable("tcp")
        server.process.send_signal(number)
        assert server.process.wait(timeout=20) == 3
