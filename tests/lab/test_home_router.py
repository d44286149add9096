# SPDX-License-Identifier: BSD-2-Clause
"""A home router: one portoland with NAT44, IPv6 firewall and NAT64, on real packets between hosts inside and one
outside. Its tables are flushed, it is killed, and flows go on.

The router is the network namespace that CTest made for this run."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position
from hosts import Host, ip  # noqa: E402  pylint: disable=wrong-import-position

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])
EXTERNAL, OTHER_EXTERNAL = "192.0.2.1", "192.0.2.77"
PREFIX64 = "2001:db8:64:ff9b::"
FAR = {socket.AF_INET: "203.0.113.9", socket.AF_INET6: "2001:db8:9::9"}
LAPTOP = {socket.AF_INET: "192.168.77.2", socket.AF_INET6: "2001:db8:1::2"}
PHONE = "2001:db8:2::2"
CONFIG = """unexpected_calls = "kill"
device = ["nat44", "firewall6", "nat64"]
{store}
runtime_directory = "{directory}"
[pcp]
maximum_lifetime = 7200
mappings_per_user_max = 30000
[[inside]]
interface = "lan0"
subscriber_prefix_length = 128
[[inside]]
interface = "phone0"
[nat44]
outside = "wan0"
inside = ["192.168.77.0/24"]
{nat44}
[firewall6]
outside = "wan0"
inside = ["2001:db8:1::/64", "2001:db8:2::/64"]
{firewall6}
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
outside = "wan0"
manage_forwarding = true
"""


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


class Router:
    """portoland between the hosts."""

    def __init__(self, directory):
        self.directory = directory
        self.process = None
        self.log = directory / "portoland.log"
        self.log.touch()
        self.laptop, self.phone, self.far = Host(), Host(), Host()
        self.laptop.connect("lan0", ["192.168.77.1/24", "2001:db8:1::1/64"],
                            [f"{LAPTOP[socket.AF_INET]}/24", f"{LAPTOP[socket.AF_INET6]}/64"])
        self.phone.connect("phone0", ["2001:db8:2::1/64"], [f"{PHONE}/64"])
        self.far.connect("wan0", [f"{EXTERNAL}/24", "2001:db8:9::1/64"],
                         ["192.0.2.10/24", f"{FAR[socket.AF_INET]}/24", f"{FAR[socket.AF_INET6]}/64"])
        self.laptop.route("192.168.77.1")
        self.laptop.route("2001:db8:1::1")
        self.phone.route("2001:db8:2::1")
        self.far.route("2001:db8:9::1")
        ip("route", "add", "203.0.113.0/24", "dev", "wan0")
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            pathlib.Path("/proc/sys/net", name).write_text("1", encoding="ascii")

    def start(self, store='store = "memory"', nat44="", firewall6=""):
        self.start_with(CONFIG.format(store=store, directory=self.directory, nat44=nat44, firewall6=firewall6))

    def start_with(self, text):
        config = self.directory / "portoland.toml"
        config.write_text(text)
        already = len(self.log.read_text())
        with self.log.open("a", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([BUILD / "apps" / "portoland", "--config", config], stderr=log)
        self.wait_for_log(" ready", already)

    def wait_for_log(self, text, already=0):
        def said():
            assert self.process.poll() is None, self.log.read_text()
            return text in self.log.read_text()[already:]
        until(said, f"{text} in {self.log.read_text()}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()

    def close(self):
        self.stop()
        for interface in ("lan0", "phone0", "wan0"):
            ip("link", "delete", interface)
        for host in (self.laptop, self.phone, self.far):
            host.close()
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert not re.search(r"Sanitizer|runtime error:", self.log.read_text()), self.log.read_text()


@pytest.fixture
def router(tmp_path):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    made = Router(tmp_path)
    yield made
    made.close()


def portolan(host, *arguments):
    """What `portolan` on a host prints as JSON."""
    with host.entered():
        done = subprocess.run([BUILD / "apps" / "portolan", *arguments, "--json"], capture_output=True, text=True,
                              timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[0])


def nft(*arguments):
    done = subprocess.run(["nft", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"nft {arguments}: {done.stderr}"
    return done.stdout


def addresses_of(interface):
    return subprocess.run(["ip", "-4", "address", "show", "dev", interface], capture_output=True, text=True,
                          check=True).stdout


@contextlib.contextmanager
def listening(host, address, port):
    server = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(64)
    with server:
        yield server


def reaches(far, external, server, patience=10):
    """Whether a connection from outside gets to the server inside; they say a word to each other."""
    with far.socket(socket.AF_INET6 if ":" in external[0] else socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(patience)
        try:
            caller.connect(external)
        except OSError:
            return False
        inside, _ = server.accept()
        with inside:
            caller.sendall(b"hello")
            assert inside.recv(5) == b"hello"
            inside.sendall(b"world")
            assert caller.recv(5) == b"world"
    return True


class Conversation:
    """A connection over which both ends say something all the time; `pause` is the longest silence."""

    def __init__(self, far, external, server):
        family = socket.AF_INET6 if ":" in external[0] else socket.AF_INET
        self.caller = far.socket(family, socket.SOCK_STREAM)
        self.caller.connect(external)
        self.inside, _ = server.accept()
        self.said = 0
        self.error = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._talk)
        self.thread.start()

    def _talk(self):
        try:
            for number in itertools.count():
                if self.ended.is_set():
                    return
                word = number.to_bytes(4, "big")
                self.caller.sendall(word)
                assert self.inside.recv(4, socket.MSG_WAITALL) == word
                self.inside.sendall(word)
                assert self.caller.recv(4, socket.MSG_WAITALL) == word
                self.said = number
        except (OSError, AssertionError) as error:
            self.error = error

    def goes_on(self):
        before = self.said
        until(lambda: self.said > before + 20 or self.error, "the conversation goes on")
        assert self.error is None, self.error

    def close(self):
        self.ended.set()
        self.thread.join()
        self.caller.close()
        self.inside.close()


def test_each_host_gets_what_its_family_and_its_wish_are(router):  # pylint: disable=redefined-outer-name
    router.start()
    laptop4, laptop6 = LAPTOP[socket.AF_INET], LAPTOP[socket.AF_INET6]
    with listening(router.laptop, laptop4, 8080) as server:
        made = portolan(router.laptop, "map", "tcp", "8080", "--server", "192.168.77.1")
        assert made["external-address"] == EXTERNAL
        assert reaches(router.far, (EXTERNAL, made["external-port"]), server)
    with listening(router.laptop, laptop6, 8080) as server:
        assert not reaches(router.far, (laptop6, 8080), server, patience=1), "the firewall"
        made = portolan(router.laptop, "map", "tcp", "8080", "--external-address", "::", "--server", "2001:db8:1::1")
        assert (made["external-address"], made["external-port"]) == (laptop6, 8080)
        assert reaches(router.far, (laptop6, 8080), server)
    with listening(router.phone, PHONE, 8080) as server:
        made = portolan(router.phone, "map", "tcp", "8080", "--server", "2001:db8:2::1")
        assert made["external-address"] == "192.0.2.14"
        assert reaches(router.far, ("192.0.2.14", made["external-port"]), server)


def test_the_example_of_a_home_router_works(router):  # pylint: disable=redefined-outer-name
    """lab/home-router.toml as it is: one IPv4 address for the router, its NAT44 and its NAT64."""
    for address in ("198.51.100.1/24", "2001:db8:112::1/64"):
        ip("address", "add", address, "dev", "lan0", *(["nodad"] if ":" in address else []))
    with router.laptop.entered():
        for address in ("198.51.100.2/24", "2001:db8:112::2/64"):
            ip("address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    pathlib.Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0", encoding="ascii")
    example = pathlib.Path(__file__).resolve().parents[2] / "lab" / "home-router.toml"
    router.start_with(f'store = "memory"\nruntime_directory = "{router.directory}"\n{example.read_text()}')
    with listening(router.laptop, "198.51.100.2", 8080) as server:
        made = portolan(router.laptop, "map", "tcp", "8080", "--internal-address", "198.51.100.2", "--server",
                        "198.51.100.1")
        assert made["external-address"] == EXTERNAL and 1024 <= made["external-port"] <= 32767
        assert reaches(router.far, (EXTERNAL, made["external-port"]), server)
    for suggested, low in (("::", 8080), ("0.0.0.0", 53248)):
        with listening(router.laptop, "2001:db8:112::2", 8080) as server:
            made = portolan(router.laptop, "map", "tcp", "8080", "--external-address", suggested, "--internal-address",
                            "2001:db8:112::2", "--server", "2001:db8:112::1")
            assert made["external-port"] >= low
            assert made["external-address"] == ("2001:db8:112::2" if suggested == "::" else EXTERNAL)
            assert reaches(router.far, (made["external-address"], made["external-port"]), server)


def test_natpmpc_gets_a_port_that_works(router):  # pylint: disable=redefined-outer-name
    router.start()
    laptop4 = LAPTOP[socket.AF_INET]
    with router.laptop.entered():
        done = subprocess.run(["natpmpc", "-g", "192.168.77.1", "-a", "0", "2222", "tcp", "600"], capture_output=True,
                              text=True, timeout=60)
    assert f"Public IP address : {EXTERNAL}" in done.stdout, done.stdout
    port = int(re.search(r"Mapped public port (\d+) protocol TCP to local port 2222", done.stdout)[1])
    with listening(router.laptop, laptop4, 2222) as server:
        assert reaches(router.far, (EXTERNAL, port), server)


def test_hosts_reach_the_internet_and_each_other_by_their_mappings(router):  # pylint: disable=redefined-outer-name
    router.start()
    laptop4 = LAPTOP[socket.AF_INET]
    with listening(router.far, FAR[socket.AF_INET], 80) as web:
        with router.laptop.socket(socket.AF_INET, socket.SOCK_STREAM) as browser:
            browser.connect((FAR[socket.AF_INET], 80))
            seen, source = web.accept()
            seen.close()
            assert source[0] == EXTERNAL and source[1] >= 32768
    client = pcp.Client(laptop4, server="192.168.77.1", host=router.laptop)
    port = client.map(pcp.TCP, 8080)[1].external
    with listening(router.laptop, laptop4, 8080) as server:
        assert reaches(router.laptop, (EXTERNAL, port), server), "hairpin"
    client.close()


def test_a_flush_drops_no_flow_and_is_repaired(router):  # pylint: disable=redefined-outer-name
    router.start()
    laptop4 = LAPTOP[socket.AF_INET]
    client = pcp.Client(laptop4, server="192.168.77.1", host=router.laptop)
    port = client.map(pcp.TCP, 8080)[1].external
    client6 = pcp.Client(LAPTOP[socket.AF_INET6], server="2001:db8:1::1", host=router.laptop)
    assert client6.map(pcp.TCP, 8081, address="::")[1].result == 0
    with listening(router.laptop, laptop4, 8080) as server, \
            listening(router.laptop, LAPTOP[socket.AF_INET6], 8081) as server6:
        conversation = Conversation(router.far, (EXTERNAL, port), server)
        conversation.goes_on()
        for harm in (["flush", "ruleset"], ["delete", "table", "ip", "portolan_nat44"],
                     ["flush", "chain", "ip6", "portolan_firewall6", "inward"],
                     ["flush", "map", "ip", "portolan_nat44", "inbound"]):
            nft(*harm)
            until(lambda: reaches(router.far, (EXTERNAL, port), server, patience=1), f"repair after {harm}")
            until(lambda: reaches(router.far, (LAPTOP[socket.AF_INET6], 8081), server6, patience=1), f"{harm}")
            until(lambda: not reaches(router.far, (LAPTOP[socket.AF_INET6], 22), server6, patience=0.2), "the firewall")
            conversation.goes_on()
        conversation.close()
    client.close()
    client6.close()


def test_kills_lose_no_mapping_and_no_flow(router):  # pylint: disable=redefined-outer-name
    store = f'store_path = "{router.directory}/state.db"'
    router.start(store)
    laptop4 = LAPTOP[socket.AF_INET]
    client = pcp.Client(laptop4, server="192.168.77.1", host=router.laptop)
    ports = {internal: client.map(pcp.TCP, internal)[1].external for internal in range(8000, 8050)}
    with listening(router.laptop, laptop4, 8000) as server:
        conversation = Conversation(router.far, (EXTERNAL, ports[8000]), server)
        for _ in range(int(os.environ.get("PORTOLAN_KILL_ROUNDS", "3"))):
            conversation.goes_on()
            router.kill()
            assert reaches(router.far, (EXTERNAL, ports[8000]), server), "while nobody is there"
            router.start(store)
            conversation.goes_on()
            assert reaches(router.far, (EXTERNAL, ports[8000]), server)
            for internal, port in ports.items():
                assert client.map(pcp.TCP, internal)[1].external == port
            elements = nft("list", "map", "ip", "portolan_nat44", "inbound").count("tcp .")
            assert elements == len(ports), "what nobody owns is gone"
        conversation.close()
    client.close()


def test_reloads_drop_no_flow(router):  # pylint: disable=redefined-outer-name
    """Of portoland's configuration, and of another firewall whose script begins by flushing all there is."""
    router.start(nat44=f'pool = ["{EXTERNAL}"]')
    client = pcp.Client(LAPTOP[socket.AF_INET], server="192.168.77.1", host=router.laptop)
    port = client.map(pcp.TCP, 8080)[1].external
    script = router.directory / "firewall.nft"
    script.write_text("flush ruleset\ntable inet theirs {\n  chain input { type filter hook input priority 0; }\n}\n")
    config = router.directory / "portoland.toml"
    with listening(router.laptop, LAPTOP[socket.AF_INET], 8080) as server:
        conversation = Conversation(router.far, (EXTERNAL, port), server)
        for pool in (f'["{EXTERNAL}", "{OTHER_EXTERNAL}"]', f'["{EXTERNAL}"]'):
            already = len(router.log.read_text())
            config.write_text(re.sub(r"(?m)^pool = .*(?=\n\[firewall6\])", f"pool = {pool}", config.read_text()))
            router.process.send_signal(signal.SIGHUP)
            router.wait_for_log("reloaded", already)
            conversation.goes_on()
            nft("-f", str(script))
            until(lambda: reaches(router.far, (EXTERNAL, port), server, patience=1), "repair")
            conversation.goes_on()
        conversation.close()
    client.close()


def test_another_firewall_lets_mapped_packets_pass(router):  # pylint: disable=redefined-outer-name
    """The rules of docs/operations.md."""
    (router.directory / "theirs.nft").write_text("""table inet theirs {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname { "lan0", "phone0" } accept
  }
}""")
    nft("-f", str(router.directory / "theirs.nft"))
    router.start(firewall6="drops_unasked = false\nmark = 0x50")
    laptop4, laptop6 = LAPTOP[socket.AF_INET], LAPTOP[socket.AF_INET6]
    client = pcp.Client(laptop4, server="192.168.77.1", host=router.laptop)
    client6 = pcp.Client(laptop6, server="2001:db8:1::1", host=router.laptop)
    port = client.map(pcp.TCP, 8080)[1].external
    assert client6.map(pcp.TCP, 8080, address="::")[1].result == 0
    with listening(router.laptop, laptop4, 8080) as server, listening(router.laptop, laptop6, 8080) as server6:
        assert not reaches(router.far, (EXTERNAL, port), server, patience=1)
        assert not reaches(router.far, (laptop6, 8080), server6, patience=1)
        nft("add", "rule", "inet", "theirs", "forward", "ct", "status", "dnat", "accept")
        nft("add", "rule", "inet", "theirs", "forward", "meta", "mark", "0x50", "accept")
        assert reaches(router.far, (EXTERNAL, port), server)
        assert reaches(router.far, (laptop6, 8080), server6)
        assert not reaches(router.far, (laptop6, 22), server6, patience=1)
    client.close()
    client6.close()
    router.stop()
    assert "chain forward" in nft("list", "table", "inet", "theirs"), "not touched"


def test_another_address_takes_the_mappings_along(router):  # pylint: disable=redefined-outer-name
    router.start()
    laptop4 = LAPTOP[socket.AF_INET]
    client = pcp.Client(laptop4, server="192.168.77.1", host=router.laptop)
    port = client.map(pcp.TCP, 8080)[1].external
    # As DHCP does it: the old one goes first.
    ip("address", "delete", f"{EXTERNAL}/24", "dev", "wan0")
    ip("address", "add", f"{OTHER_EXTERNAL}/24", "dev", "wan0")
    update = client.receive()
    while update.opcode != pcp.MAP:
        update = client.receive()
    assert (update.address, update.external) == (OTHER_EXTERNAL, port), "told unasked"
    with listening(router.laptop, laptop4, 8080) as server:
        assert reaches(router.far, (OTHER_EXTERNAL, port), server)
    client.close()


def test_a_pool_address_of_the_outside_link_is_answered_for(router):  # pylint: disable=redefined-outer-name
    router.start(nat44=f'pool = ["{OTHER_EXTERNAL}"]')
    client = pcp.Client(LAPTOP[socket.AF_INET], server="192.168.77.1", host=router.laptop)
    answer = client.map(pcp.TCP, 8080)[1]
    assert answer.address == OTHER_EXTERNAL
    with listening(router.laptop, LAPTOP[socket.AF_INET], 8080) as server:
        assert reaches(router.far, (OTHER_EXTERNAL, answer.external), server)
    with listening(router.far, FAR[socket.AF_INET], 80) as web, \
            router.laptop.socket(socket.AF_INET, socket.SOCK_STREAM) as browser:
        browser.connect((FAR[socket.AF_INET], 80))
        seen, source = web.accept()
        seen.close()
        assert source[0] == OTHER_EXTERNAL
    ip("address", "delete", f"{OTHER_EXTERNAL}/32", "dev", "wan0")
    until(lambda: OTHER_EXTERNAL in addresses_of("wan0"), "somebody took it away, and it is back")
    router.kill()
    router.start(nat44=f'pool = ["{OTHER_EXTERNAL}"]')
    assert OTHER_EXTERNAL in addresses_of("wan0"), "taken over from the run that was killed"
    client.close()
    router.stop()
    assert OTHER_EXTERNAL not in addresses_of("wan0") and EXTERNAL in addresses_of("wan0")


def test_at_exit_the_tables_go_or_stay(router):  # pylint: disable=redefined-outer-name
    router.start()
    assert "portolan_nat44" in nft("list", "tables")
    router.stop()
    assert "portolan" not in nft("list", "tables")
    router.start(nat44='at_exit = "keep"')
    router.stop()
    assert nft("list", "tables").split() == ["table", "ip", "portolan_nat44"]
