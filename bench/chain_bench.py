#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# The whole chain in the lab (host, PCP server, NAT64, IPv4 side): milliseconds from nothing to being reachable, what PCP
# adds to the set-up of a SIP call, how long a host is out of reach when a part restarts, and what being reachable costs
# a host that does nothing.
#
# Needs: portoland portolan-nat64 portolan portolan-phone
#
# Rounds: 9
#
# Costs of doing nothing are those of an hour, from five minutes, with and without PCP side by side.
#
# Needs root. "Reachable" is seen from outside: the viewer sends a datagram to the external port each 2 ms, and the first
# one that comes in on the host counts. docs/impact.md says what the numbers mean.
import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("PORTOLAN_BUILD", os.environ.get("PORTOLAN_BENCH_BUILD", str(ROOT / "build/release")))
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "tests/sip")]
from labkit import POOL, Daemon, Lab, divided_configuration, until  # noqa: E402  pylint: disable=wrong-import-position
from sipkit import PEER, Capture, Phone  # noqa: E402  pylint: disable=wrong-import-position
from test_many_calls import callee, sipp  # noqa: E402  pylint: disable=wrong-import-position

PORT = 9000
PROBE_S = 0.002
CALLS = 20
# Idle hosts are watched for so long.
IDLE_S = 300
HOUR_S = 3600
# A phone registers for so long at a time, where it is measured when a SIP server that begins anew knows it again.
REGISTRATION_S = 20
NAME_SERVER = ("2001:db8:53::53", 53)
# The AAAA records of viewer.example, which has an IPv4 address alone (RFC 1035 s4.1).
QUERY = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x06viewer\x07example\x00\x00\x1c\x00\x01"
# Without what a server sends to everybody after its start.
PCP = "udp.port == 5351 && !(ipv6.dst == ff00::/8)"
# The SIP server as IPv6-only hosts reach it.
SIP_SERVER = "2001:db8:64:ff9b::c000:20d"
KEEP_ALIVE_PORT = 5070


SHOWN = {}


def show(case, value):
    SHOWN.setdefault(case, []).append(value)
    print(f"round {case}\t{value:.3f}", flush=True)


def now_ms():
    return time.monotonic() * 1000


class Probe:
    """Sends to an external port from the viewer until told to end; when the host heard what."""

    def __init__(self, lab, port=PORT):
        self.host = lab.udp("handset-3g", port)
        self.host.settimeout(30)
        self.viewer = lab.udp("viewer")
        self.sending = threading.Event()
        self.sending.set()
        self.thread = threading.Thread(target=self.send, args=((POOL, port),), daemon=True)
        self.thread.start()

    def send(self, to):
        while self.sending.is_set():
            with contextlib.suppress(OSError):  # what an ICMP error said of the last one
                self.viewer.sendto(repr(time.monotonic()).encode(), to)
            time.sleep(PROBE_S)

    def first_after(self, moment_ms):
        """Waits for a datagram that was sent after this moment; when it came."""
        while True:
            sent = float(self.host.recv(64)) * 1000
            if sent >= moment_ms:
                return now_ms()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sending.clear()
        self.thread.join()
        self.host.close()
        self.viewer.close()


@contextlib.contextmanager
def keeping(lab, host="handset-3g"):
    """A client that keeps PORT mapped."""
    client = lab.start(host, pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps/portolan", "map", "udp", PORT,
                       "--keep", "--external-port", PORT, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    try:
        yield client
    finally:
        client.send_signal(signal.SIGTERM)
        client.wait(20)


def old_enough(lab):
    """The server's new life is to be told from this one by its epoch (RFC 6887 s8.5)."""
    until(lambda: lab.portolan("handset-3g", "announce")["epoch"] >= 4, 20, "an epoch of 4 s")


def measure_reachable(lab, case):
    """A client begins while the server is up."""
    with Probe(lab) as probe:
        began = now_ms()
        with keeping(lab):
            show(case, probe.first_after(began) - began)


def measure_cold(lab, case):
    """The client asks already when the server begins."""
    lab.server("kill")
    with Probe(lab) as probe, keeping(lab):
        began = now_ms()
        lab.server("start")
        show(case, probe.first_after(began) - began)


def measure_restart(lab, case):
    """The server is killed and begins anew; what came in before counts no more."""
    old_enough(lab)
    with Probe(lab) as probe, keeping(lab):
        probe.first_after(now_ms())
        lab.server("kill")
        began = now_ms()
        lab.server("start")
        show(case, probe.first_after(began) - began)


def measure_nat64_restart(lab, nat64, case):
    """The NAT64, a process of its own, is killed and begins anew; the server gives it back what it promised."""
    with Probe(lab) as probe, keeping(lab):
        probe.first_after(now_ms())
        nat64.end(signal.SIGKILL)
        began = now_ms()
        nat64.start()
        show(case, probe.first_after(began) - began)


class Part:
    """One of the lab's daemons, which is ended and begins anew."""

    def __init__(self, lab, host, daemon, *command):
        self.lab, self.host, self.command = lab, host, command
        os.kill(int((lab.state / f"{daemon}.pid").read_text()), signal.SIGTERM)
        until(lambda: (lab.state / f"{daemon}.exit").exists(), 20, f"the end of {daemon}")
        self.start()

    def start(self):
        self.process = self.lab.start(self.host, *self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.process.terminate()
        self.process.wait(20)


def measure_resolver_restart(lab, resolver, case):
    """Until a name of the IPv4 side has an IPv6 address again; whoever knows the address notices nothing."""
    with contextlib.closing(lab.udp("handset-3g", timeout=PROBE_S)) as asking:
        def resolves():
            asking.sendto(QUERY, NAME_SERVER)
            with contextlib.suppress(TimeoutError):
                answer = asking.recv(512)
                return answer[3] & 15 == 0 and answer[6:8] != b"\0\0"
            return False
        resolver.end()
        began = now_ms()
        resolver.start()
        until(resolves, 20, "an answer")
        show(case, now_ms() - began)


def measure_sip_server_restart(lab, sip_server, case):
    """Until the phone has registered again, which it does in its own time; only then calls come in."""
    with Phone(lab, "handset-3g", "--answer", "--expires", REGISTRATION_S) as phone:
        phone.wait_for("registered")
        sip_server.end()
        before = len(phone.all_of("registered"))
        began = now_ms()
        sip_server.start()
        show(case, phone.wait_for("registered", before + 1, 2 * REGISTRATION_S)["seen"] * 1000 - began)
        phone.stop()


def measure_client_restart(lab, case):
    """The client is killed, and another one that knows nothing of it asks for the same port."""
    client = lab.start("handset-3g", pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps/portolan-phone", "--user", "a",
                       "--domain", "mysip.example", "--no-register", "--no-server", "--answer", "--json",
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    client.stdout.readline()
    client.kill()
    client.wait(10)
    began = now_ms()
    with Phone(lab, "handset-3g", "--no-register", "--no-server", "--answer", "--mapping-lifetime", 10) as phone:
        phone.wait_for("mapped")
        show(case, now_ms() - began)
        phone.stop()


def call_times(lab, *options):
    """Of calls one after the other: from the end of one to the answer of the next."""
    with Phone(lab, "handset-3g", "--no-server", "--no-register", "--call", f"sip:x@{PEER}:5070", "--calls", CALLS,
               "--duration", 0, *options) as phone:
        phone.end()
    pairs = zip(phone.all_of("ended"), phone.all_of("active")[1:])
    return statistics.median(answered["seen"] - before["seen"] for before, answered in pairs) * 1000


def wakeups(process):
    """How often it slept so far; `ip netns exec` became the program itself."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)[1])


@contextlib.contextmanager
def keep_alive(lab, host):
    """What a phone without PCP has to do beside."""
    process = lab.start(host, ROOT / "lab/keep-alive", KEEP_ALIVE_PORT, SIP_SERVER, stdout=subprocess.DEVNULL)
    try:
        yield process
        if process.poll() is not None:
            sys.exit("chain_bench: the keep-alives ended")
    finally:
        process.terminate()
        process.wait(10)


def idle_costs(lab):
    """What being reachable costs who does nothing else, with lifetimes of an hour: datagrams of PCP and of SIP, in both
    directions, and how often programs wake, an hour. A phone with PCP, one without that keeps its path open by traffic,
    and what keeps a port open alone: a client of PCP, and keep-alives."""
    with contextlib.ExitStack() as running:
        hosts = {name: running.enter_context(Capture(lab, host)) for name, host in
                 (("phone with PCP", "handset-3g"), ("phone without PCP", "handset-wifi"), ("PCP client", "laptop"))}
        client = running.enter_context(keeping(lab, "laptop"))
        keeper = running.enter_context(keep_alive(lab, "handset-wifi"))
        phones = [running.enter_context(Phone(lab, "handset-3g", "--answer")),
                  running.enter_context(Phone(lab, "handset-wifi", "--answer", "--no-pcp", user="client5"))]
        for phone in phones:
            phone.wait_for("registered")
        programs = {"phone with PCP": [phones[0].process], "phone without PCP": [phones[1].process, keeper],
                    "PCP client": [client], "keep-alives": [keeper]}

        def so_far():
            for capture in hosts.values():
                capture.flush()
            counted = {name: {"wakeups": sum(map(wakeups, processes))} for name, processes in programs.items()}
            for name, capture in hosts.items():
                counted[name]["pcp_datagrams"] = len(capture.fields(PCP, "frame.number"))
                counted[name]["sip_datagrams"] = len(capture.fields("udp.port == 5060", "frame.number"))
            return counted
        before = so_far()
        time.sleep(IDLE_S)
        after = so_far()
        for phone in phones:
            phone.stop()
    return {name: {what: (value - before[name][what]) * HOUR_S / IDLE_S for what, value in counted.items()}
            for name, counted in after.items()}


def measure_all(lab, durable, divided, rounds):
    resolver = Part(lab, "dns", "unbound", "unbound", "-d", "-c", lab.state / "unbound.conf")
    sip_server = Part(lab, "sip", "kamailio", "kamailio", "-DD", "-E", "-f", lab.state / "kamailio.cfg", "-Y",
                      lab.state / "kamailio", "-P", lab.state / "kamailio.daemon.pid")
    with tempfile.TemporaryDirectory() as folder, sipp(lab, callee(pathlib.Path(folder), 0)):
        for _ in range(rounds):
            measure_reachable(lab, "asks, and is reachable")
            measure_cold(lab, "server starts, host is reachable")
            measure_restart(lab, "server restarts without its store")
            measure_restart(durable, "server restarts with its store")
            measure_nat64_restart(*divided, "NAT64 restarts beside its server")
            measure_client_restart(lab, "phone restarts after a kill")
            measure_resolver_restart(lab, resolver, "DNS64 restarts, a name resolves")
            measure_sip_server_restart(lab, sip_server, f"SIP server restarts, phones register for {REGISTRATION_S} s")
            show("call set up without PCP", call_times(lab, "--no-pcp"))
            show("call set up with PCP", call_times(lab))


@contextlib.contextmanager
def divided_lab(name):
    """A lab and its NAT64, a process of its own beside the server's."""
    lab = Lab(name)
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        try:
            lab.up("--without-server")
            address = f"unix:{directory}/nat64.sock"
            configs = divided_configuration(lab, directory, listen=address, connect=address)
            nat64, server = (Daemon(lab, *each, directory) for each in zip(("portolan-nat64", "portoland"), configs))
            nat64.start()
            server.start()
            server.until_it_says("has all that was promised")
            yield lab, nat64
            server.end()
            nat64.end()
        finally:
            lab.down()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    lab, durable = Lab(f"bench{os.getpid()}"), Lab(f"bench{os.getpid()}d")
    print("unit ms", flush=True)
    try:
        lab.up("--scenario", "sip")
        durable.up()
        with_store = durable.running_configuration().replace('store = "memory"\n', "")
        durable.server("stop")
        (durable.state / "portoland.toml").write_text(with_store)
        durable.server("start")
        with divided_lab(f"bench{os.getpid()}n") as divided:
            measure_all(lab, durable, divided, rounds)
        idle = idle_costs(lab)
        for name, counted in idle.items():
            print(f"note idle, an hour of it, {name}: " +
                  ", ".join(f"{what.replace('_', ' ')} {value:.0f}" for what, value in counted.items()))
        times = {case: {"min": min(values), "median": statistics.median(values), "max": max(values)}
                 for case, values in SHOWN.items()}
        print("json " + json.dumps({"bench": "chain", "ms": times, "idle_an_hour": idle}))
    finally:
        lab.down()
        durable.down()


if __name__ == "__main__":
    main()
