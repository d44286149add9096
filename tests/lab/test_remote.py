# SPDX-License-Identifier: BSD-2-Clause
"""portoland and its NAT64 as two processes, each killed again and again under traffic that asks for just the
ports that were promised: the other goes on, and every mapping leads to its host at the port it had."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from labkit import Lab, PCP_PORT, POOL, ROOT, VIEWER_INSIDE, check_no_sanitizer_report, udp_reaches, until

sys.path.insert(0, str(pathlib.Path(ROOT) / "tests" / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position

GATEWAY = "2001:db8:112::1"
HOST = "handset-3g"
MAPPINGS = 40
ROUNDS = int(os.environ.get("PORTOLAN_KILL_ROUNDS", "3"))
PROMISED = "has all that was promised"
USER = "handset-wifi"
USER_PORTS = (20000, 20007)
USER_PORTS_MAX = 4


class Daemon:
    """A program on the gateway that the test starts and kills itself."""

    def __init__(self, lab, program, config, directory):
        self.lab, self.program, self.config = lab, program, config
        self.log = directory / f"{program}.log"
        self.log.touch()
        self.process = None

    def start(self):
        with self.log.open("a") as log:
            self.process = self.lab.start("gateway", pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / self.program,
                                          "--config", self.config, stdout=subprocess.DEVNULL, stderr=log)

    def says(self, text):
        """How often it has said this so far."""
        assert self.process is None or self.process.poll() is None, self.log.read_text()[-3000:]
        return self.log.read_text().count(text)

    def end(self, how):
        self.process.send_signal(how)
        status = self.process.wait(30)
        check_no_sanitizer_report(self.log.read_text(), self.log.name)
        assert status == (0 if how == signal.SIGTERM else -how), self.log.read_text()[-3000:]
        self.process = None


@pytest.fixture
def lab(machine):  # pylint: disable=unused-argument
    one = Lab(f"t{os.getpid()}-remote")
    try:
        one.up("--without-server")
        yield one
    finally:
        one.down()


def user_table(prefix, ports_max):
    return (f'[[user]]\nprefix = "{prefix}"\nexternal_ports = [{USER_PORTS[0]}, {USER_PORTS[1]}]\n'
            f'ports_per_subscriber_max = {ports_max}\n')


@pytest.fixture
def daemons(lab, tmp_path):  # pylint: disable=redefined-outer-name
    """(portolan-nat64, portoland), running and of one mind."""
    whole = (ROOT / "lab" / "portoland.toml").read_text()
    at = whole.index("[nat64]")
    socket = tmp_path / "nat64.sock"
    nat64_config, server_config = tmp_path / "nat64.toml", tmp_path / "portoland.toml"
    nat64_config.write_text(f'runtime_directory = "{tmp_path}/nat64"\n{whole[at:]}\n'
                            f'[control]\nlisten = ["unix:{socket}"]\n')
    server_config.write_text(whole[:at].replace('device = "nat64"', 'device = "nat64-remote"').replace(
        'store = "memory"', f'store_path = "{tmp_path}/portoland.db"\nruntime_directory = "{tmp_path}/portoland"') +
                             f'[nat64_remote]\nconnect = "unix:{socket}"\n' +
                             user_table(f"{lab.address(USER)}/128", USER_PORTS_MAX))
    nat64 = Daemon(lab, "portolan-nat64", nat64_config, tmp_path)
    server = Daemon(lab, "portoland", server_config, tmp_path)
    nat64.start()
    server.start()
    try:
        until(lambda: server.says(PROMISED), 30, "portoland reaches the NAT64")
        yield nat64, server
    finally:
        for each in (server, nat64):
            if each.process is not None:
                each.end(signal.SIGTERM)


def shown(lab, tmp_path, *what):  # pylint: disable=redefined-outer-name
    """What the NAT64 itself tells."""
    done = lab.run("gateway", pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portolan-nat64", "show", *what,
                   "--json", "--connect", f"unix:{tmp_path}/nat64.sock")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def explicit_ports(lab, tmp_path):  # pylint: disable=redefined-outer-name
    """External ports of the explicit mappings."""
    return {row["external-src-port"] for row in shown(lab, tmp_path, "bib") if row["type"] == "dynamic-explicit"}


def profiles(lab, tmp_path):  # pylint: disable=redefined-outer-name
    """Limits of ports by prefix."""
    return {row["internal-prefix"]: row["port-quota"] for row in shown(lab, tmp_path, "profiles")}


def check_user(lab, tmp_path):  # pylint: disable=redefined-outer-name
    """USER begins more flows than it may have: it gets as many ports as it may, of those that it was given."""
    sockets = [lab.udp(USER) for _ in range(3 * USER_PORTS_MAX)]

    def ports():
        for each in sockets:
            each.sendto(b"mine", (VIEWER_INSIDE, 9))
        rows = shown(lab, tmp_path, "bib", "--internal", lab.address(USER), "--protocol", "udp")
        return {row["external-src-port"] for row in rows}

    try:
        until(lambda: len(ports()) == USER_PORTS_MAX, 20, f"{USER} has as many ports as it may")
        assert ports() <= set(range(USER_PORTS[0], USER_PORTS[1] + 1))
    finally:
        for each in sockets:
            each.close()


class Rivals(threading.Thread):
    """Flow after flow of another host from just the ports that others were promised outside: the NAT64 keeps the
    number of a port if it is free."""

    def __init__(self, lab, ports):  # pylint: disable=redefined-outer-name
        super().__init__(daemon=True)
        self.sockets = [lab.udp("laptop", port) for port in ports]
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            for each in self.sockets:
                try:
                    each.sendto(b"mine", (VIEWER_INSIDE, 9))
                except OSError:
                    pass  # no route while the NAT64 is down
            self.stopped.wait(0.002)

    def stop(self):
        self.stopped.set()
        self.join()
        for each in self.sockets:
            each.close()


class Mappings:
    """Of HOST, with a socket behind each."""

    def __init__(self, lab):  # pylint: disable=redefined-outer-name
        self.address = lab.address(HOST)
        self.client, self.viewer = lab.udp(HOST, timeout=20), lab.udp("viewer")
        self.inside = {}
        for port in range(9600, 9600 + MAPPINGS):
            granted = self.ask(port, 3600)
            assert granted.result == pcp.SUCCESS
            self.inside[granted.external] = lab.udp(HOST, port)

    def ask(self, port, lifetime):
        self.client.sendto(pcp.header(self.address, lifetime) + pcp.map_body(pcp.UDP, port, 0, "0.0.0.0", port),
                           (GATEWAY, PCP_PORT))
        return pcp.parse(self.client.recv(2048))

    def check(self, what):
        """The first datagrams after a restart may be lost while the neighbour is looked for."""
        for external, receiving in self.inside.items():
            assert any(udp_reaches(self.viewer, external, receiving, what.encode(), timeout=0.5) for _ in range(20)), \
                f"{what}: nothing reaches {POOL}:{external}'s host"

    def close(self):
        for each in (self.client, self.viewer, *self.inside.values()):
            each.close()


def test_either_is_killed_and_no_mapping_is_lost_or_renumbered(lab, daemons, tmp_path):
    nat64, server = daemons
    mappings = Mappings(lab)
    rivals = Rivals(lab, mappings.inside)
    mappings.check("at first")
    given = {f"{lab.address(USER)}/128": USER_PORTS_MAX}
    assert profiles(lab, tmp_path) == given
    check_user(lab, tmp_path)
    rivals.start()
    try:
        for number in range(1, ROUNDS + 1):
            before = server.says(PROMISED)
            nat64.end(signal.SIGKILL)
            nat64.start()
            until(lambda: server.says(PROMISED) > before, 30, "the NAT64 has again what was promised")
            mappings.check(f"round {number}, the NAT64 was killed")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)
            assert profiles(lab, tmp_path) == given
            check_user(lab, tmp_path)

            before = server.says(PROMISED)
            server.end(signal.SIGKILL)
            mappings.check(f"round {number}, without portoland")
            check_user(lab, tmp_path)
            server.start()
            until(lambda: server.says(PROMISED) > before, 30, "portoland and the NAT64 agree")
            mappings.check(f"round {number}, portoland was killed")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)
            assert profiles(lab, tmp_path) == given
        for port in range(9600, 9600 + MAPPINGS):
            assert mappings.ask(port, 0).result == pcp.SUCCESS
        assert explicit_ports(lab, tmp_path) == set()
    finally:
        rivals.stop()
        mappings.close()


def test_profiles_follow_the_configuration_whether_the_nat64_is_there_or_not(lab, daemons, tmp_path):
    nat64, server = daemons
    whole = server.config.read_text()
    assert profiles(lab, tmp_path) == {f"{lab.address(USER)}/128": USER_PORTS_MAX}

    def configure(*tables):
        before = server.says("configuration reloaded")
        server.config.write_text(whole[:whole.index("[[user]]")] + "".join(tables))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.says("configuration reloaded") > before, 20, "portoland has read its configuration")

    configure(user_table("2001:db8:114::/48", 7), user_table("2001:db8:115::/48", 8))
    until(lambda: profiles(lab, tmp_path) == {"2001:db8:114::/48": 7, "2001:db8:115::/48": 8}, 20,
          "what is gone was dropped, what is new was put")
    before = server.says(PROMISED)
    nat64.end(signal.SIGKILL)
    configure(user_table("2001:db8:115::/48", 9), user_table("2001:db8:116::/48", 10))
    nat64.start()
    until(lambda: server.says(PROMISED) > before, 30, "the NAT64 has again what was promised")
    until(lambda: profiles(lab, tmp_path) == {"2001:db8:115::/48": 9, "2001:db8:116::/48": 10}, 20,
          "what was configured meanwhile counts")
    server.end(signal.SIGKILL)
    server.config.write_text(whole[:whole.index("[[user]]")] + user_table("2001:db8:116::/48", 11))
    before = server.says(PROMISED)
    server.start()
    until(lambda: server.says(PROMISED) > before, 30, "portoland and the NAT64 agree")
    assert profiles(lab, tmp_path) == {"2001:db8:116::/48": 11}, "what nobody wants any more was dropped"


def test_mappings_stay_when_the_number_of_workers_changes(lab, daemons, tmp_path):
    nat64, server = daemons
    config = nat64.config.read_text()
    mappings = Mappings(lab)
    rivals = Rivals(lab, mappings.inside)
    rivals.start()
    try:
        for workers in (4, 2, 1):
            before = server.says(PROMISED)
            nat64.end(signal.SIGTERM)
            nat64.config.write_text(config.replace("[nat64]\n", f"[nat64]\nworkers = {workers}\n"))
            nat64.start()
            until(lambda: server.says(PROMISED) > before, 30, "the NAT64 has again what was promised")
            assert nat64.says(f"workers {workers}\n") > 0
            mappings.check(f"with {workers} workers")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)
    finally:
        rivals.stop()
        mappings.close()


def test_a_port_of_the_plan_tells_its_subscriber(lab, daemons, tmp_path):
    """Of traffic and of mappings, before and after the NAT64 is killed."""
    nat64, server = daemons
    before = server.says(PROMISED)
    nat64.end(signal.SIGTERM)
    # HOST is of the first of two subscribers, laptop of none.
    nat64.config.write_text(nat64.config.read_text() +
                            '[nat64.deterministic]\ninside = "2001:db8:112::/63"\ndynamic_factor = 1\n')
    nat64.start()
    until(lambda: server.says(PROMISED) > before, 30, "the NAT64 has again what was promised")
    assert "deterministic ports: inside 2001:db8:112::/63, subscribers /64" in nat64.log.read_text()

    def holder(port):
        done = lab.run("gateway", pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portolan-nat64", "ports",
                       "--json", "--config", nat64.config, f"{POOL}:{port}")
        answer = json.loads(done.stdout)
        return answer.get("subscriber", answer["holder"])

    def holders(host):
        return {holder(row["external-src-port"]) for row in shown(lab, tmp_path, "bib", "--internal", lab.address(host))}

    def send(sender):
        try:
            return sender.sendto(b"mine", (VIEWER_INSIDE, 9))
        except OSError:
            return 0  # no route while the NAT64 is down

    mappings = Mappings(lab)
    own, other = lab.udp(HOST), lab.udp("laptop")
    try:
        for what in ("at first", "after the NAT64 was killed"):
            until(lambda: send(own) and send(other) and holders("laptop"), 20, f"{what}: laptop has a port")
            assert holders(HOST) == {"2001:db8:112::/64"}, what
            assert holders("laptop") == {"dynamic"}, what
            before = server.says(PROMISED)
            nat64.end(signal.SIGKILL)
            nat64.start()
            until(lambda: server.says(PROMISED) > before, 30, "the NAT64 has again what was promised")
            mappings.check(what)
    finally:
        own.close()
        other.close()
        mappings.close()


def test_what_nobody_owns_is_removed(lab, daemons, tmp_path):
    _, server = daemons
    mappings = Mappings(lab)
    assert explicit_ports(lab, tmp_path) == set(mappings.inside)
    server.end(signal.SIGKILL)
    for file in tmp_path.glob("portoland.db*"):
        file.unlink()
    before = server.says(PROMISED)
    server.start()
    until(lambda: server.says(PROMISED) > before, 30, "portoland and the NAT64 agree")
    assert explicit_ports(lab, tmp_path) == set()
    mappings.close()
