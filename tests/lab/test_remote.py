# SPDX-License-Identifier: BSD-2-Clause
"""portoland and its NAT64 as two processes, each killed again and again under traffic that asks for just the
ports that were promised: the other goes on, and every mapping leads to its host at the port it had."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from labkit import (Daemon, KILL_ROUNDS, Lab, Mappings, POOL, Rivals, VIEWER_INSIDE, divided_configuration,
                    pcp, until)

PROMISED = "has all that was promised"
USER = "handset-wifi"
USER_PORTS = (20000, 20007)
USER_PORTS_MAX = 4


@pytest.fixture
def lab(machine):  # pylint: disable=unused-argument
    one = Lab(f"t{os.getpid()}-remote")
    try:
        one.up("--without-server")
        yield one
    finally:
        one.down()


def both(lab, directory, **configuration):  # pylint: disable=redefined-outer-name
    """(portolan-nat64, portoland), not yet running; what runs at the end is ended."""
    configs = divided_configuration(lab, directory, **configuration)
    return [Daemon(lab, *each, directory) for each in zip(("portolan-nat64", "portoland"), configs)]


def end_what_runs(daemons):  # pylint: disable=redefined-outer-name
    for each in reversed(daemons):
        if each.process is not None:
            each.end()


def user_table(prefix, ports_max):
    return (f'[[user]]\nprefix = "{prefix}"\nexternal_ports = [{USER_PORTS[0]}, {USER_PORTS[1]}]\n'
            f'ports_per_subscriber_max = {ports_max}\n')


@pytest.fixture
def daemons(lab, tmp_path):  # pylint: disable=redefined-outer-name
    """(portolan-nat64, portoland), running and of one mind."""
    address = f"unix:{tmp_path}/nat64.sock"
    made = both(lab, tmp_path, listen=address, connect=address,
                remote=user_table(f"{lab.address(USER)}/128", USER_PORTS_MAX))
    try:
        for each in made:
            each.start()
        made[1].until_it_says(PROMISED)
        yield made
    finally:
        end_what_runs(made)


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


def test_either_is_killed_and_no_mapping_is_lost_or_renumbered(lab, daemons, tmp_path):
    nat64, server = daemons
    given = {f"{lab.address(USER)}/128": USER_PORTS_MAX}
    with Mappings(lab) as mappings, Rivals(lab, mappings.inside):
        mappings.check("at first")
        assert profiles(lab, tmp_path) == given
        check_user(lab, tmp_path)
        for number in range(1, KILL_ROUNDS + 1):
            before = server.says(PROMISED)
            nat64.end(signal.SIGKILL)
            nat64.start()
            server.until_it_says(PROMISED, before)
            mappings.check(f"round {number}, the NAT64 was killed")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)
            assert profiles(lab, tmp_path) == given
            check_user(lab, tmp_path)

            before = server.says(PROMISED)
            server.end(signal.SIGKILL)
            mappings.check(f"round {number}, without portoland")
            check_user(lab, tmp_path)
            server.start()
            server.until_it_says(PROMISED, before)
            mappings.check(f"round {number}, portoland was killed")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)
            assert profiles(lab, tmp_path) == given
        for port in mappings.ports:
            assert mappings.ask(port, 0).result == pcp.SUCCESS
        assert explicit_ports(lab, tmp_path) == set()


def test_profiles_follow_the_configuration_whether_the_nat64_is_there_or_not(lab, daemons, tmp_path):
    nat64, server = daemons
    whole = server.config.read_text()
    assert profiles(lab, tmp_path) == {f"{lab.address(USER)}/128": USER_PORTS_MAX}

    def configure(*tables):
        before = server.says("configuration reloaded")
        server.config.write_text(whole[:whole.index("[[user]]")] + "".join(tables))
        server.process.send_signal(signal.SIGHUP)
        server.until_it_says("configuration reloaded", before)

    configure(user_table("2001:db8:114::/48", 7), user_table("2001:db8:115::/48", 8))
    until(lambda: profiles(lab, tmp_path) == {"2001:db8:114::/48": 7, "2001:db8:115::/48": 8}, 20,
          "what is gone was dropped, what is new was put")
    before = server.says(PROMISED)
    nat64.end(signal.SIGKILL)
    configure(user_table("2001:db8:115::/48", 9), user_table("2001:db8:116::/48", 10))
    nat64.start()
    server.until_it_says(PROMISED, before)
    until(lambda: profiles(lab, tmp_path) == {"2001:db8:115::/48": 9, "2001:db8:116::/48": 10}, 20,
          "what was configured meanwhile counts")
    server.end(signal.SIGKILL)
    server.config.write_text(whole[:whole.index("[[user]]")] + user_table("2001:db8:116::/48", 11))
    before = server.says(PROMISED)
    server.start()
    server.until_it_says(PROMISED, before)
    assert profiles(lab, tmp_path) == {"2001:db8:116::/48": 11}, "what nobody wants any more was dropped"


def test_mappings_stay_when_the_number_of_workers_changes(lab, daemons, tmp_path):
    nat64, server = daemons
    config = nat64.config.read_text()
    with Mappings(lab) as mappings, Rivals(lab, mappings.inside):
        for workers in (4, 2, 1):
            before = server.says(PROMISED)
            nat64.end()
            nat64.config.write_text(config.replace(f"workers = {lab.workers}\n", f"workers = {workers}\n"))
            nat64.start()
            server.until_it_says(PROMISED, before)
            assert nat64.says(f"workers {workers}\n") > 0
            mappings.check(f"with {workers} workers")
            assert explicit_ports(lab, tmp_path) == set(mappings.inside)


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

    with Mappings(lab) as mappings, lab.udp(mappings.HOST) as own, lab.udp("laptop") as other:
        for what in ("at first", "after the NAT64 was killed"):
            until(lambda: send(own) and send(other) and holders("laptop"), 20, f"{what}: laptop has a port")
            assert holders(mappings.HOST) == {"2001:db8:112::/64"}, what
            assert holders("laptop") == {"dynamic"}, what
            before = server.says(PROMISED)
            nat64.end(signal.SIGKILL)
            nat64.start()
            server.until_it_says(PROMISED, before)
            mappings.check(what)


def test_what_nobody_owns_is_removed(lab, daemons, tmp_path):
    _, server = daemons
    with Mappings(lab) as mappings:
        assert explicit_ports(lab, tmp_path) == set(mappings.inside)
        server.end(signal.SIGKILL)
        for file in tmp_path.glob("portoland.db*"):
            file.unlink()
        before = server.says(PROMISED)
        server.start()
        server.until_it_says(PROMISED, before)
        assert explicit_ports(lab, tmp_path) == set()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def signed(folder, authority, name):
    """Settings of a side with a certificate for `name`, which `authority` of the folder signed; it trusts ours."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")
    base = folder / authority
    if not base.with_suffix(".pem").exists():
        openssl("req", "-x509", *key, "-subj", f"/CN={authority}", "-keyout", f"{base}.key", "-out", f"{base}.pem")
    own = folder / f"{authority}-{name}"
    openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext",
            "basicConstraints=critical,CA:FALSE", "-CA", f"{base}.pem", "-CAkey", f"{base}.key", "-keyout",
            f"{own}.key", "-out", f"{own}.pem")
    return f'certificate = "{own}.pem"\nkey = "{own}.key"\nauthorities = "{folder}/ours.pem"'


@pytest.mark.parametrize("authority, name, refused", [
    ("ours", "nat64.example", None),
    ("others", "nat64.example", ("nat64", "unable to get local issuer certificate")),
    ("ours", "another.example", ("server", "hostname mismatch"))],
    ids=["right certificates", "another authority's", "another name"])
def test_over_tls_only_who_was_certified_is_talked_to(lab, tmp_path, authority, name, refused):
    gateway = signed(tmp_path, "ours", "nat64.example")
    client = signed(tmp_path, authority, "portoland.example") + f'\npeer_name = "{name}"'
    # The viewer's side of the gateway stands for the operator's network.
    nat64, server = daemons = both(lab, tmp_path, listen="tls:192.0.2.1:5352", connect="tls:192.0.2.1:5352",
                                   control=gateway, remote=client)
    try:
        nat64.start()
        server.start()
        if refused is None:
            server.until_it_says(PROMISED)
            with Mappings(lab, count=2) as mappings:
                mappings.check("over TLS")
            assert nat64.says("control: the server at 192.0.2.1:") == 1
            return
        refuser, reason = refused
        {"nat64": nat64, "server": server}[refuser].until_it_says(f"certificate verify failed (SSL routines): {reason}")
        server.until_it_says("out of reach, tried again: ")
        nat64.until_it_says("is gone without a hello: ")
        assert not server.says(PROMISED) and not nat64.says("drives this gateway")
    finally:
        end_what_runs(daemons)
