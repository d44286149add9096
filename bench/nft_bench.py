#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# The NAT44 by nftables: CPU time and time to the answer per MAP request (create, renew, delete) at 100, 600, 2000
# and 20000 mappings against Debian's miniupnpd; packets per second through the router with 0 and 20000 mappings.
#
# Needs: portoland pcp_load udp_flood
#
# Rounds: 9
#
# Needs root. Every router is a namespace between a namespace of hosts and one of a viewer, which vanish with
# the script, and has one daemon and one table size. Requests go one at a time, each after the answer to the one
# before. portoland keeps its mappings as by default: on the disk before it answers, and its answers wait for that
# disk, which is why --json has the CPU time of the daemons, with what the kernel does in their system calls.
#
# The packets are 64 octets of UDP from many sockets of a host to the viewer, and one in FLOW_PACKETS of them begins
# a flow: only the first packet of a flow is looked up in the maps, so packets of old flows alone would not see them,
# and first packets alone would measure how fast the kernel makes flows. Many flows of a real line are as short.
# Nothing is answered: until then each packet passes all rules about new flows. Those delivered count.
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from namespaces import Namespace

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
BUILD = os.environ.get("PORTOLAN_BENCH_BUILD", os.path.join(ROOT, "build/release"))
PORTOLAND = os.environ.get("PORTOLAN_BENCH_PORTOLAND", os.path.join(BUILD, "apps/portoland"))
# Tries the script where there is no nftables: "simulated".
DEVICE = os.environ.get("PORTOLAN_BENCH_DEVICE", "nat44")

SIZES = (100, 600, 2000, 20_000)
MINIUPNPD_SIZES = (100, 600, 2000)  # filling it up to 20,000 takes over an hour
FULL = max(SIZES)
REQUESTS = {"miniupnpd": 20, "portoland": 100}  # of each operation, size and round
CHUNK = {"miniupnpd": 20, "portoland": 50}     # waiting at the daemon while its table is filled
FLOW_PACKETS = 16
FORWARD_MILLISECONDS, FORWARD_TURNS = 200, 6
UDP_OCTETS = 64

LAN = "192.168.77.1"
USERS, FIRST_USER, USERS_MAX = "192.168.77.128/25", "192.168.77.129", 120
SENDER = "192.168.77.2"  # a host without mappings
# miniupnpd refuses documentation addresses and all others of special purpose outside. Nothing is ever sent
# beyond the viewer's namespace, which has no way out.
OUTSIDE, VIEWER = "11.0.0.1", "11.0.0.2"


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"nft_bench: {text}")


def show(case, value):
    print(f"round {case}\t{value:.3f}", flush=True)


class Router:
    """A daemon on a router with hosts inside and a viewer outside."""

    def __init__(self, stack, directory, kind, size):
        self.name, self.kind, self.size = f"{kind} {size}", kind, size
        self.directory = os.path.join(directory, self.name.replace(" ", "-"))
        os.mkdir(self.directory)
        self.gateway, self.hosts, self.viewer = Namespace(stack), Namespace(stack), Namespace(stack)
        self.gateway.link_to(self.hosts, "lan0", "hosts0")
        self.gateway.link_to(self.viewer, "wan0", "viewer0")
        self.gateway.run(f"ip address add {LAN}/24 dev lan0")
        self.gateway.run(f"ip address add {OUTSIDE}/30 dev wan0")
        self.gateway.run("sysctl -q -w net.ipv4.ip_forward=1")
        self.hosts.run(f"ip address add {SENDER}/24 dev hosts0")
        self.hosts.run(f"ip route add local {USERS} dev lo")
        self.hosts.run(f"ip route add default via {LAN}")
        self.viewer.run(f"ip address add {VIEWER}/30 dev viewer0")
        # It counts what arrives and says nothing of closed ports.
        self.viewer.run("nft add table ip bench")
        self.viewer.run(["nft", "add chain ip bench silent { type filter hook prerouting priority raw; }"])
        self.viewer.run("nft add rule ip bench silent meta l4proto udp drop")
        self.pid = (self.start_miniupnpd if kind == "miniupnpd" else self.start_portoland)()
        self.load = self.hosts.start([os.path.join(BUILD, "bench/pcp_load")], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)
        self.ask("server", "it", LAN, 5351, self.pid, FIRST_USER, USERS_MAX)

    def start_portoland(self):
        config = os.path.join(self.directory, "portoland.toml")
        log = os.path.join(self.directory, "log")
        device = ('[nat44]\noutside = "wan0"\ninside = ["192.168.77.0/24"]\n' if DEVICE == "nat44" else
                  f'[simulated]\npool = ["{OUTSIDE}"]\n')
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'device = "{DEVICE}"\nstore_path = "{self.directory}/state.db"\n'
                       f'runtime_directory = "{self.directory}/run"\n'
                       f'[pcp]\nmappings_per_user_max = {FULL}\n[[inside]]\ninterface = "lan0"\n{device}')
        with open(log, "w", encoding="utf-8") as file:
            process = self.gateway.start([PORTOLAND, "--config", config], stdin=subprocess.DEVNULL, stdout=file,
                                         stderr=file)

        def said():
            with open(log, encoding="utf-8") as file:
                return file.read()

        deadline = time.monotonic() + 30
        while " ready" not in said():
            if process.poll() is not None or time.monotonic() > deadline:
                fail(f"portoland: {said()}")
            time.sleep(0.05)
        return process.pid

    def start_miniupnpd(self):
        for command in ("add table inet filter",
                        "add chain inet filter miniupnpd",
                        "add chain inet filter prerouting_miniupnpd",
                        "add chain inet filter postrouting_miniupnpd",
                        "add chain inet filter forward { type filter hook forward priority 0; policy drop; }",
                        "add chain inet filter prerouting { type nat hook prerouting priority -100; }",
                        "add chain inet filter postrouting { type nat hook postrouting priority 100; }",
                        "add rule inet filter forward ct state established,related accept",
                        "add rule inet filter forward iifname lan0 accept",
                        "add rule inet filter forward jump miniupnpd",
                        "add rule inet filter prerouting jump prerouting_miniupnpd",
                        "add rule inet filter postrouting jump postrouting_miniupnpd",
                        "add rule inet filter postrouting oifname wan0 masquerade"):
            self.gateway.run(["nft", command])
        config = os.path.join(self.directory, "miniupnpd.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""ext_ifname=wan0
listening_ip=lan0
enable_natpmp=yes
enable_upnp=no
min_lifetime=120
max_lifetime=86400
lease_file={self.directory}/leases
system_uptime=no
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.77.0/24 0-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        pid_file = os.path.join(self.directory, "pid")
        self.gateway.run(["miniupnpd", "-f", config, "-P", pid_file])
        deadline = time.monotonic() + 10
        pid = ""
        while not pid:
            if time.monotonic() > deadline:
                fail("miniupnpd did not start")
            time.sleep(0.05)
            with contextlib.suppress(FileNotFoundError), open(pid_file, encoding="utf-8") as file:
                pid = file.read().strip()
        self.gateway.stack.callback(os.kill, int(pid), signal.SIGTERM)
        return int(pid)

    def ask(self, *words):
        self.load.stdin.write(" ".join(map(str, words)) + "\n")
        self.load.stdin.flush()
        answer = self.load.stdout.readline().split()
        if not answer:
            fail(f"{self.name}: the load generator died of: {' '.join(map(str, words))}")
        return answer

    def fill(self):
        if self.size == 0:
            return
        say(f"  {self.name}: making the mappings")
        answered, wrong, _ = map(int, self.ask("run", "it", "create", self.size, CHUNK[self.kind]))
        self.check("create", self.size, answered, wrong)

    def check(self, operation, count, answered, wrong):
        if answered != count or wrong:
            fail(f"{self.name}: {operation}: {count} requests, {answered} right answers, {wrong} wrong ones")

    def request(self, operation, count):
        """Microseconds from request to answer, median, and of the daemon's CPU time, mean."""
        answered, wrong, cpu, wall = map(int, self.ask("paced", "it", operation, count))
        self.check(operation, count, answered, wrong)
        return wall / 1e3, cpu / count / 1e3

    def delivered(self):
        with open(f"/proc/{self.viewer.holder.pid}/net/dev", encoding="utf-8") as devices:
            return int(re.search(r"viewer0: *\d+ +(\d+)", devices.read())[1])

    def settled(self):
        """The same when nothing more comes."""
        before, now = -1, self.delivered()
        while now - before >= 10:
            time.sleep(0.05)
            before, now = now, self.delivered()
        return now

    def forward(self, packets):
        """Packets per second that reach the viewer; each flow has so many."""
        self.gateway.run("conntrack -F")
        before = self.settled()
        done = subprocess.run([*self.hosts.inside, os.path.join(BUILD, "bench/udp_flood"), "mix", VIEWER,
                               str(packets), str(UDP_OCTETS), str(FORWARD_MILLISECONDS)],
                              capture_output=True, text=True, check=True)
        sent, nanoseconds = map(int, done.stdout.split())
        arrived = self.settled() - before
        if arrived < sent / 10:
            fail(f"{self.name}: of {sent} packets {arrived} arrived")
        return arrived / nanoseconds * 1e9


def turn(items, number):
    """Each is the first as often as the others."""
    at = number % len(items)
    return items[at:] + items[:at]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    if os.geteuid() != 0:
        fail("needs root, for network namespaces and nftables")
    load_before = os.getloadavg()[0]
    print("unit microseconds per request; packets per second", flush=True)
    cases = {}

    def note(case, value):
        cases.setdefault(case, []).append(value)
        show(case, value)

    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="portolan-bench."))
        routers = [Router(stack, directory, kind, size)
                   for size in SIZES for kind in ("portoland", "miniupnpd")
                   if kind == "portoland" or size in MINIUPNPD_SIZES]
        empty = Router(stack, directory, "portoland", 0)
        for router in routers:
            router.fill()
        full = next(router for router in routers if router.size == FULL)
        for number in range(rounds):
            for router in turn(routers, number):
                count = REQUESTS[router.kind]
                for operation in ("renew", "delete", "create"):
                    wall, cpu = router.request(operation, count)
                    note(f"{operation} at {router.size}: {router.kind}", wall)
                    note(f"{operation} at {router.size}: {router.kind}, CPU", cpu)
            for packets, suffix in ((FLOW_PACKETS, ""), (1, ", all begin flows")):
                rates = {empty: [], full: []}
                for step in range(FORWARD_TURNS):
                    for router in turn([empty, full], number + step):
                        rates[router].append(router.forward(packets))
                for router, values in rates.items():
                    note(f"packets/s at {router.size}{suffix}", statistics.mean(values))

    def ratio(above, below):
        """Of the rounds, the median."""
        return round(statistics.median(a / b for a, b in zip(cases[above], cases[below], strict=True)), 3)

    def versus(operation, size, suffix):
        case = f"{operation} at {size}: "
        return ratio(f"{case}miniupnpd{suffix}", f"{case}portoland{suffix}")

    if os.getloadavg()[0] - load_before > 4 or load_before > 1:
        print("note the machine was busy with other things: figures are rough")
    for size in MINIUPNPD_SIZES:
        print(f"note miniupnpd / portoland at {size}: " + ", ".join(
            f"{operation} {versus(operation, size, ''):.1f} (CPU {versus(operation, size, ', CPU'):.1f})"
            for operation in ("create", "renew", "delete")))
    for kind, high in (("portoland", FULL), ("miniupnpd", max(MINIUPNPD_SIZES))):
        print(f"note {kind}, from 100 to {high} mappings: " + ", ".join(
            f"{operation} {ratio(f'{operation} at {high}: {kind}', f'{operation} at 100: {kind}'):.2f} "
            f"(CPU {ratio(f'{operation} at {high}: {kind}, CPU', f'{operation} at 100: {kind}, CPU'):.2f})"
            for operation in ("create", "renew", "delete")))
    begin = ratio(f"packets/s at {FULL}, all begin flows", "packets/s at 0, all begin flows")
    print(f"note packets that all begin flows, {FULL} / 0: {begin}")
    print("json " + json.dumps({
        "create_growth_100_to_20000": ratio(f"create at {FULL}: portoland, CPU", "create at 100: portoland, CPU"),
        "vs_miniupnpd": {"2000": versus("create", 2000, ", CPU")},
        "forwarding_at_20000_vs_0": ratio(f"packets/s at {FULL}", "packets/s at 0")}))


if __name__ == "__main__":
    main()
