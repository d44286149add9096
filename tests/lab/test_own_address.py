# SPDX-License-Identifier: BSD-2-Clause
"""The gateway shares its own IPv4 address with the NAT64: the host's sockets go on, hosts inside are served at some of
its ports, and all of it follows when the interface gets another address, as by DHCP."""
import http.client
import json
import os
import signal
import socket

import pytest

from labkit import Daemon, FarHost, GATEWAY, Lab, PATIENCE, pcp, PCP_PORT, ROOT, until, VIEWER, VIEWER_INSIDE

HOST = "handset-3g"
FIRST, SECOND = "192.0.2.1", "192.0.2.2"
PORTS = range(40960, 65536)
NETWORK_FAILURE = 7
LARGE = b"large" * 800  # of several fragments
CHANGES = "net.ipv4.ip_local_reserved_ports"


@pytest.fixture
def lab(machine):  # pylint: disable=unused-argument
    one = Lab(f"t{os.getpid()}-own")
    try:
        one.up("--without-server")
        yield one
    finally:
        one.down()


class Site:
    """The lab's gateway with its own address for a pool, in one process or two."""

    def __init__(self, lab, directory, processes):
        self.lab = lab
        whole = (ROOT / "lab" / "portoland.toml").read_text()
        own = f'[nat64.own_address]\ninterface = "outside0"\nports = [{PORTS[0]}, {PORTS[-1]}]\n'
        whole = whole.replace('pool = ["192.0.2.14"]\n', "").replace('outside = "outside0"\n', "")
        at = whole.index("[nat64]")
        assert "192.0.2.14" not in whole
        places = f'store_path = "{directory}/portoland.db"\nruntime_directory = "{directory}/portoland"'
        server_config = directory / "portoland.toml"
        server = whole[:at].replace('store = "memory"', places)
        if processes == 1:
            server_config.write_text(f"{server}{whole[at:]}\n{own}")
            self.nat64 = self.server = Daemon(lab, "portoland", server_config, directory)
            self.daemons = [self.server]
        else:
            nat64_config = directory / "nat64.toml"
            nat64_config.write_text(f'unexpected_calls = "kill"\nruntime_directory = "{directory}/nat64"\n'
                                    f'{whole[at:]}\n{own}'
                                    f'[control]\nlisten = ["unix:{directory}/nat64.sock"]\n')
            server_config.write_text(server.replace('device = "nat64"', 'device = "nat64-remote"') +
                                     f'[nat64_remote]\nconnect = "unix:{directory}/nat64.sock"\n')
            self.nat64 = Daemon(lab, "portolan-nat64", nat64_config, directory)
            self.server = Daemon(lab, "portoland", server_config, directory)
            self.daemons = [self.nat64, self.server]

    def start(self):
        told = "has all that was promised" if len(self.daemons) == 2 else "ready"
        before = self.server.says(told)
        for daemon in self.daemons:
            daemon.start()
        until(lambda: self.server.says(told) > before, 30, "the gateway is there")

    def end(self, how=signal.SIGTERM):
        for daemon in reversed(self.daemons):
            if daemon.process is not None:
                daemon.end(how)

    def changes(self):
        """What is the NAT64's on the host: redirects and reserved ports."""
        return (self.lab.output("gateway", "tc", "qdisc", "show", "dev", "outside0", "clsact").strip(),
                self.lab.output("gateway", "sysctl", "-n", CHANGES).strip())

    def readdress(self, old, new):
        """One address goes, and then the other comes: the interface has none in between."""
        if old:
            self.lab.output("gateway", "ip", "address", "del", f"{old}/28", "dev", "outside0")
        if new:
            self.lab.output("gateway", "ip", "address", "add", f"{new}/28", "dev", "outside0")


@pytest.fixture(params=[1, 2], ids=["one-process", "two-processes"])
def site(request, lab, tmp_path):  # pylint: disable=redefined-outer-name
    made = Site(lab, tmp_path, request.param)
    try:
        yield made
    finally:
        made.end()
    assert made.changes() == ("", ""), "something is left on the host"


class Client:
    """A host inside that asks for the port of a socket of its own, and listens for updates."""

    def __init__(self, lab, port):  # pylint: disable=redefined-outer-name
        self.address, self.port = lab.address(HOST), port
        self.socket = lab.udp(HOST, timeout=PATIENCE)
        self.listener = lab.listener(HOST, port)

    def ask(self):
        self.socket.sendto(pcp.header(self.address, 3600) + pcp.map_body(pcp.TCP, self.port, 0, "0.0.0.0", 9),
                           (GATEWAY, PCP_PORT))
        return pcp.parse(self.socket.recv(2048))

    def told(self, wanted):
        """The next message of which `wanted(answer)` is true."""
        while not wanted(answer := pcp.parse(self.socket.recv(2048))):
            pass
        return answer

    def close(self):
        self.socket.close()
        self.listener.close()


def reaches(lab, address, port, listener, patience=PATIENCE):  # pylint: disable=redefined-outer-name
    """Whether viewer's connection arrives at `listener`, and carries data both ways."""
    try:
        client = lab.connect_from_viewer(port, address=address, timeout=patience)
    except OSError:
        return False
    with client:
        server, _ = listener.accept()
        with server:
            server.settimeout(PATIENCE)
            client.sendall(b"ahoy")
            if server.recv(16) != b"ahoy":
                return False
            server.sendall(b"aye")
            return client.recv(16) == b"aye"


def peer_of(lab, host, address):  # pylint: disable=redefined-outer-name
    """Who viewer's web server says asked, from a connection of `host`."""
    with lab.inside(host):
        connection = http.client.HTTPConnection(address, 80, timeout=PATIENCE)
        connection.connect()
    connection.request("GET", "/peer")
    seen = json.loads(connection.getresponse().read())
    connection.close()
    return seen["address"], seen["port"]


def check_the_hosts_own(lab, address):  # pylint: disable=redefined-outer-name
    for _ in range(20):
        seen = peer_of(lab, "gateway", VIEWER)
        assert seen[0] == address and seen[1] not in PORTS, "a connection of the gateway's own"
    with lab.inside("gateway"):
        listener = socket.create_server((address, 2222))
        question = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.settimeout(PATIENCE)
    with listener, question:
        assert reaches(lab, address, 2222, listener), "a service of the gateway's own"
        question.settimeout(PATIENCE)
        question.bind((address, 0))
        assert question.getsockname()[1] not in PORTS
        with lab.udp("viewer") as viewer:
            for text in (b"who?", LARGE):
                question.sendto(text, viewer.getsockname())
                asked, source = viewer.recvfrom(len(LARGE))
                assert asked == text
                viewer.sendto(text, source)
                assert question.recv(len(LARGE)) == text
        # Nobody is at discard.
        question.connect((VIEWER, 9))
        question.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            question.recv(64)
    # Answers to pings say who asked by a number that nothing reserves.
    for identifier in (7, PORTS[0], 50000, PORTS[-1]):
        lab.output("gateway", "ping", "-4", "-c", "1", "-W", "5", "-e", identifier, VIEWER)
    lab.output("gateway", "ping", "-4", "-c", "1", "-W", "5", "-s", len(LARGE), "-e", 50000, VIEWER)
    lab.output("viewer", "ping", "-4", "-c", "1", "-W", "5", "-s", len(LARGE), "-e", 50000, address)


def check_inside_out(lab, address):  # pylint: disable=redefined-outer-name
    seen = peer_of(lab, HOST, VIEWER_INSIDE)
    assert seen[0] == address and seen[1] in PORTS, "a connection from inside"
    with lab.udp(HOST) as inside, lab.udp("viewer") as viewer:
        inside.connect((VIEWER_INSIDE, viewer.getsockname()[1]))
        for text in (b"who?", LARGE):
            inside.send(text)
            asked, source = viewer.recvfrom(len(LARGE))
            assert asked == text and source[0] == address and source[1] in PORTS
            viewer.sendto(text, source)
            assert inside.recv(len(LARGE)) == text
        # Nobody is at discard: the error finds the way back too.
        inside.connect((VIEWER_INSIDE, 9))
        inside.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            inside.recv(64)
    lab.output(HOST, "ping", "-6", "-c", "1", "-W", "5", VIEWER_INSIDE)


def test_the_address_is_shared_and_followed(lab, site):  # pylint: disable=redefined-outer-name
    site.start()
    client = Client(lab, 8443)
    try:
        granted = client.ask()
        assert (granted.result, granted.address) == (pcp.SUCCESS, FIRST) and granted.external in PORTS
        assert reaches(lab, FIRST, granted.external, client.listener)
        check_the_hosts_own(lab, FIRST)
        check_inside_out(lab, FIRST)

        site.readdress(FIRST, SECOND)
        update = client.told(lambda answer: answer.opcode == pcp.MAP)
        assert (update.result, update.address) == (pcp.SUCCESS, SECOND) and update.external in PORTS
        assert reaches(lab, SECOND, update.external, client.listener)
        assert not reaches(lab, FIRST, granted.external, client.listener, patience=1)
        check_the_hosts_own(lab, SECOND)
        check_inside_out(lab, SECOND)

        # Killed, it leaves packets for nobody; begun again, it takes over what it left.
        site.end(signal.SIGKILL)
        assert site.changes() != ("", "")
        site.start()
        assert reaches(lab, SECOND, update.external, client.listener)
        check_the_hosts_own(lab, SECOND)
        check_inside_out(lab, SECOND)
    finally:
        client.close()


def documented_rules():
    """The firewall that docs/operations.md recommends, with the lab's interfaces and the host's service here."""
    page = (ROOT / "docs" / "operations.md").read_text()
    rules = page.split("```nft\n")[1].split("```")[0]
    assert "udp dport 500 accept" in rules
    return rules.replace("udp dport 500 accept", "tcp dport 2222 accept").replace("wan0", "outside0")


def test_hosts_with_ipv4_share_the_address_by_nat44(lab, site, tmp_path):  # pylint: disable=redefined-outer-name
    (tmp_path / "rules.nft").write_text(documented_rules())
    lab.output("gateway", "nft", "-f", tmp_path / "rules.nft")
    site.start()
    client = Client(lab, 8443)
    lan = FarHost(lab, "gateway", "lan0", "192.168.77.1/24", "192.168.77.2/24")
    try:
        granted = client.ask()
        assert reaches(lab, FIRST, granted.external, client.listener)
        check_inside_out(lab, FIRST)
        check_the_hosts_own(lab, FIRST)
        # From a port that is the NAT64's outside.
        with lan.socket(socket.SOCK_STREAM) as tcp, lan.socket(socket.SOCK_DGRAM) as udp, lab.udp("viewer") as viewer:
            tcp.bind((lan.address, 50000))
            tcp.connect((VIEWER, 80))
            udp.bind((lan.address, 50000))
            for text in (b"who?", LARGE):
                udp.sendto(text, viewer.getsockname())
                asked, source = viewer.recvfrom(len(LARGE))
                assert asked == text and source[0] == FIRST and source[1] not in PORTS
                viewer.sendto(text, source)
                assert udp.recv(len(LARGE)) == text
        lan.output("ping", "-4", "-c", "1", "-W", "5", "-e", "50000", VIEWER)
    finally:
        lan.close()
        client.close()
        lab.output("gateway", "nft", "delete", "table", "ip", "home")


def test_what_was_promised_waits_for_the_address(lab, tmp_path):  # pylint: disable=redefined-outer-name
    site = Site(lab, tmp_path, 1)
    site.start()
    client = Client(lab, 8443)
    try:
        granted = client.ask()
        site.end()
        site.readdress(FIRST, None)
        site.start()
        assert client.ask().result == NETWORK_FAILURE
        site.readdress(None, FIRST)
        # Nobody asks again.
        until(lambda: reaches(lab, FIRST, granted.external, client.listener, patience=3), 10,
              "the mapping is there again")
        site.end()
        site.readdress(FIRST, None)
        site.start()
        site.readdress(None, SECOND)
        update = client.told(lambda answer: answer.opcode == pcp.MAP and answer.address != FIRST and
                             answer.result == pcp.SUCCESS)
        assert (update.address, update.external) == (SECOND, granted.external)
        assert reaches(lab, SECOND, update.external, client.listener)
    finally:
        client.close()
        site.end()


def test_an_address_that_comes_late_is_taken(lab, site):  # pylint: disable=redefined-outer-name
    site.readdress(FIRST, None)
    site.start()
    site.nat64.until_it_says("outside0 has no IPv4 address")
    client = Client(lab, 8443)
    try:
        assert client.ask().result == NETWORK_FAILURE
        site.readdress(None, FIRST)
        until(lambda: site.nat64.says(f"of {FIRST} on outside0 are in the pool"), 10, "the address is taken")
        granted = client.ask()
        assert (granted.result, granted.address) == (pcp.SUCCESS, FIRST)
        assert reaches(lab, FIRST, granted.external, client.listener)
    finally:
        client.close()
