#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# The NAT64 against plain kernel IPv6 forwarding, kernel NAT44 and tayga with masquerade: bulk TCP, 64-byte
# UDP, the gateway's CPU time per packet; the engine alone: time per packet, new sessions, memory, pauses; and
# mappings installed over the control socket of portolan-nat64.
#
# Needs: portoland portolan-nat64 udp_flood live_frames nat64_engine control_load
#
# Rounds: 9
#
# Needs root. Two namespaces are hosts, one IPv6-only, one with IPv4 too; four more are the gateways between
# them, one per way, joined by veth pairs. All have GRO on at both interfaces, as docs/operations.md wants.
# The ways take turns in each round; ratios are made round by round.
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from namespaces import Namespace

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
BUILD = os.environ.get("PORTOLAN_BENCH_BUILD", os.path.join(ROOT, "build/release"))
PORTOLAND = os.environ.get("PORTOLAN_BENCH_PORTOLAND", os.path.join(BUILD, "apps/portoland"))
# Names of parts to measure, comma-separated: tcp, udp, cpu, engine, control. All if unset.
PARTS = [part for part in os.environ.get("PORTOLAN_BENCH_PARTS", "tcp,udp,cpu,engine,control").split(",") if part]

WAYS = ("kernel6", "nat44", "portolan", "tayga")
BULK = {"1 stream": ["-P1"], "1 stream back": ["-P1", "-R"],
        "4 streams": ["-P4"], "4 streams back": ["-P4", "-R"]}
BULK_SECONDS = 1
# A transfer that has not ended so much later hangs.
BULK_PATIENCE_SECONDS = 20
UDP_MILLISECONDS = 700
UDP_OCTETS = 64
LIVE_PACKETS = 400_000
LIVE_FLOWS = {"1 flow": 1, "8192 flows": 8192}  # of one host, which may have twice as many
IPERF_PORT, UDP_PORT = 5201, 5202
ENGINE_ROUNDS = 3
CONTROL_ROUNDS = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"nat64_bench: {text}")


def show(case, value):
    print(f"round {case}\t{value:.6f}", flush=True)


class Way:
    """A gateway between the two hosts, and the addresses that lead through it."""

    def __init__(self, stack, name, index, hosts6, hosts4):
        self.name = name
        self.gateway = gateway = Namespace(stack)
        self.inside, self.outside = f"in-{name}", f"out-{name}"
        self.hosts4 = hosts4
        hosts6.link_to(gateway, self.inside, "inside0")
        gateway.link_to(hosts4, "outside0", self.outside)
        for device in ("inside0", "outside0"):
            gateway.run(f"ethtool -K {device} gro on")
        gateway.run("sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1")
        gateway.run("sysctl -q -w net.ipv4.icmp_ratelimit=0")
        inside6, outside6 = f"2001:db8:{index}:6:", f"2001:db8:{index}:4:"
        inside4, outside4 = f"192.0.2.{index * 8}", f"198.51.100.{index * 8}"
        self.source6, self.source4 = f"{inside6}:2", next_address(inside4, 2)
        self.target4 = next_address(outside4, 2)
        gateway.run(f"ip address add {inside6}:1/64 dev inside0")
        hosts6.run(f"ip address add {self.source6}/64 dev {self.inside}")
        gateway.run(f"ip address add {next_address(outside4, 1)}/29 dev outside0")
        hosts4.run(f"ip address add {self.target4}/29 dev {self.outside}")
        self.prefix = f"2001:db8:{index}:64::"
        self.target = f"{self.prefix}{self.target4}"
        self.daemon = None
        self.header_octets = 14 + 20 + 8  # of what the viewers' host gets
        if name == "kernel6":
            self.target = f"{outside6}:2"
            self.header_octets = 14 + 40 + 8
            gateway.run(f"ip address add {outside6}:1/64 dev outside0")
            hosts4.run(f"ip address add {self.target}/64 dev {self.outside}")
            hosts4.run(f"ip -6 route add {inside6}:/64 via {outside6}:1")
            hosts6.run(f"ip -6 route add {outside6}:/64 via {inside6}:1")
        elif name == "nat44":
            self.target = self.target4
            gateway.run(f"ip address add {next_address(inside4, 1)}/29 dev inside0")
            hosts6.run(f"ip address add {self.source4}/29 dev {self.inside}")
            hosts6.run(f"ip route add {outside4}/29 via {next_address(inside4, 1)}")
            masquerade(gateway)
        else:
            hosts6.run(f"ip -6 route add {self.prefix}/96 via {inside6}:1")
        # Where frames are dropped to be counted (measure_cpu), nobody would answer when the gateway asks for it again.
        ethernet = f"02:00:00:00:04:{index:02x}"
        hosts4.run(f"ip link set {self.outside} address {ethernet}")
        next_hop = self.target if name == "kernel6" else self.target4
        gateway.run(f"ip neigh replace {next_hop} lladdr {ethernet} dev outside0 nud permanent")

    @property
    def source(self):
        return self.source4 if self.name == "nat44" else self.source6

    def delivered(self):
        """Datagrams that have reached the viewers' host; superpackets count as what is in them."""
        with open(f"/proc/{self.hosts4.holder.pid}/net/dev", encoding="utf-8") as devices:
            octets, packets = re.search(rf"{self.outside}: *(\d+) +(\d+)", devices.read()).groups()
        return (int(octets) - self.header_octets * int(packets)) / UDP_OCTETS

    def settled(self):
        """The same when nothing more comes."""
        before, now = -1, self.delivered()
        for _ in range(40):
            if now - before < 10:
                break
            time.sleep(0.05)
            before, now = now, self.delivered()
        return now

    def cpu_time(self):
        """Of the translator's process, all threads, in nanoseconds."""
        return schedstat(self.daemon) if self.daemon else 0


def next_address(network, number):
    head, _, last = network.rpartition(".")
    return f"{head}.{int(last) + number}"


def schedstat(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as file:
            total += int(file.read().split()[0])
    return total


def masquerade(gateway):
    for command in ("add table ip bench",
                    "add chain ip bench out { type nat hook postrouting priority 100; }",
                    "add rule ip bench out oifname outside0 masquerade"):
        gateway.run(["nft", command])


def wait_until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            fail(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def start_portolan(way, directory, hosts4):
    pool = "203.0.113.1"
    config = os.path.join(directory, "portoland.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"""device = "nat64"
store = "memory"
runtime_directory = "{directory}/run"
[[inside]]
interface = "inside0"
subscriber_prefix_length = 64
[nat64]
prefix = "{way.prefix}/96"
pool = ["{pool}"]
outside = "outside0"
tun = "nat64"
""")
    log = open(os.path.join(directory, "portoland.log"), "w+", encoding="utf-8")
    process = way.gateway.start([PORTOLAND, "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready():
        with open(log.name, encoding="utf-8") as text:
            lines = text.read()
        if process.poll() is not None:
            fail(f"portoland: {lines}")
        return " ready" in lines
    wait_until(is_ready, "portoland")
    hosts4.run(f"ip route add {pool} dev {way.outside}")
    way.daemon = process.pid


def start_tayga(way, directory):
    pool = "203.0.113.128/25"
    config = os.path.join(directory, "tayga.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"tun-device nat64\nipv4-addr 203.0.113.129\nipv6-addr {way.source6}f\nprefix {way.prefix}/96\n"
                   f"dynamic-pool {pool}\ndata-dir {directory}\n")
    way.gateway.run(f"tayga --config {config} --mktun")
    way.gateway.run("ip link set nat64 txqueuelen 5000 up")
    way.gateway.run(f"ip route add {pool} dev nat64")
    way.gateway.run(f"ip -6 route add {way.prefix}/96 dev nat64")
    masquerade(way.gateway)
    process = way.gateway.start(["tayga", "--config", config, "--nodetach"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    way.daemon = process.pid


def in_turn(ways, round_):
    names = list(ways)
    return [ways[names[(turn + round_) % len(names)]] for turn in range(len(names))]


class Figures:
    """(way, case) -> values of the rounds."""

    def __init__(self):
        self.values = {}

    def add(self, way, case, value):
        self.values.setdefault((way, case), []).append(value)
        show(f"{case}: {way}", value)

    def ratio(self, case, way, other):
        """Median of the rounds' ratios; nothing if one of them was not measured."""
        own, others = self.values.get((way, case)), self.values.get((other, case))
        if not own or not others:
            return None
        return statistics.median(a / b for a, b in zip(own, others, strict=True))


def transfer(way, hosts6, options):
    """What iperf3 says of one transfer, with a server of its own; nothing if it failed or hung."""
    server = subprocess.Popen([*way.hosts4.inside, "iperf3", "-s", "-1", "-p", str(IPERF_PORT), "--forceflush"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if not any("listening" in line for line in server.stdout):
            return {}
        done = subprocess.run([*hosts6.inside, "iperf3", "-J", "-c", way.target, "-p", str(IPERF_PORT),
                               "-t", str(BULK_SECONDS), *options], capture_output=True, text=True,
                              timeout=BULK_SECONDS + BULK_PATIENCE_SECONDS)
        return json.loads(done.stdout or "{}").get("end") or {}
    except subprocess.TimeoutExpired:
        return {}
    finally:
        server.kill()
        server.communicate()


def bulk(way, hosts6, options):
    """Bit/s that reached the receiving end."""
    for _ in range(3):
        end = transfer(way, hosts6, options)
        if "sum_received" in end:
            seconds = max(end["sum_received"]["seconds"], end["sum_sent"]["seconds"], BULK_SECONDS)
            return end["sum_received"]["bytes"] * 8 / seconds
        say(f"iperf3 over {way.name} {' '.join(options)} failed, tried again")
    return fail(f"iperf3 over {way.name} failed three times")


def measure_tcp(ways, hosts6, figures, round_):
    for case, options in BULK.items():
        for way in in_turn(ways, round_):
            figures.add(way.name, f"TCP {case}, Mbit/s", bulk(way, hosts6, options) / 1e6)


def measure_udp(ways, hosts6, counter, figures, round_):
    def count():
        counter.stdin.write("\n")
        counter.stdin.flush()
        return int(counter.stdout.readline())
    for way in in_turn(ways, round_):
        before = count()
        done = subprocess.run([*hosts6.inside, os.path.join(BUILD, "bench/udp_flood"), "send", way.target,
                               str(UDP_PORT), str(UDP_OCTETS), str(UDP_MILLISECONDS)], capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"udp_flood over {way.name}: {done.stderr}")
        _, nanoseconds = map(int, done.stdout.split())
        time.sleep(0.05)  # what still waits in queues
        figures.add(way.name, "UDP 64, kpps", (count() - before) / nanoseconds * 1e6)


def measure_cpu(ways, hosts4, figures, round_):
    hosts4.run(["nft", "add table netdev bench"])
    for way in ways.values():
        hosts4.run(["nft", f"add chain netdev bench {way.name} {{ type filter hook ingress device {way.outside} "
                           "priority 0; policy drop; }"])
    for case, flows in LIVE_FLOWS.items():
        for way in in_turn(ways, round_):
            packets, cpu = way.delivered(), way.cpu_time()
            done = subprocess.run([*way.gateway.inside, "taskset", "-c", "0", os.path.join(BUILD, "bench/live_frames"),
                                   "inside0", way.source, way.target, str(flows), str(LIVE_PACKETS)],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                fail(f"live_frames over {way.name}: {done.stderr}")
            generated, generator = map(int, done.stdout.split())
            time.sleep(0.2)  # a machine with other work lets the translator wait
            packets, cpu = way.settled() - packets, way.cpu_time() - cpu
            if packets < 1000:
                fail(f"live_frames over {way.name}: only {packets:.0f} of {generated} arrived")
            figures.add(way.name, f"CPU {case}, ns/packet", (cpu if way.daemon else generator) / packets)
            if way.daemon:
                figures.add(way.name, f"delivered {case}, %", 100 * packets / generated)
    hosts4.run(["nft", "delete table netdev bench"])


def engine_program(what, sessions):
    done = subprocess.run([os.path.join(BUILD, "bench/nat64_engine"), what, str(sessions)], capture_output=True,
                          text=True)
    if done.returncode != 0:
        fail(f"nat64_engine {what}: {done.stderr}")
    return [float(word) for word in done.stdout.split()]


def measure_engine():
    speeds = []
    for _ in range(ENGINE_ROUNDS):
        speeds.append(engine_program("speed", 1_000_000))
        for case, value in zip(("one flow, ns/packet", "1e6 sessions, ns/packet", "new sessions/s"), speeds[-1]):
            show(f"engine {case}", value)
    hot, cold, made = (statistics.median(values) for values in zip(*speeds))
    engine = {"ns_per_packet_hot": hot, "ns_per_packet_1e6": cold, "new_sessions_per_second": made,
              "bytes_per_session": {name: engine_program("memory", sessions)[0]
                                    for name, sessions in (("1e6", 1_000_000), ("1e7", 10_000_000))},
              "longest_expiry_pause_ms": round(engine_program("expiry", 1_000_000)[0] / 1e6, 3)}
    print("note engine: " + json.dumps(engine))
    return engine


def measure_control(directory):
    """Seconds for 100,000 mappings, each time in a gateway that has just started."""
    seconds = []
    for _ in range(CONTROL_ROUNDS):
        with contextlib.ExitStack() as stack:
            gateway = Namespace(stack)
            socket, config = os.path.join(directory, "control.sock"), os.path.join(directory, "portolan-nat64.toml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"""runtime_directory = "{directory}/run-nat64"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["203.0.113.1"]
[control]
listen = ["unix:{socket}"]
""")
            log = stack.enter_context(open(os.path.join(directory, "portolan-nat64.log"), "w", encoding="utf-8"))
            gateway.start([os.path.join(BUILD, "apps/portolan-nat64"), "--config", config],
                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            wait_until(lambda: os.path.exists(socket), "portolan-nat64")
            done = subprocess.run([os.path.join(BUILD, "bench/control_load"), f"unix:{socket}", "100000"],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                fail(f"control_load: {done.stderr}")
            seconds.append(json.loads(done.stdout)["seconds"])
            show("100,000 mappings over the control socket, s", seconds[-1])
    return statistics.median(seconds)


def rounded(value, digits=3):
    return None if value is None else round(value, digits)


def lowest(values):
    values = list(values)
    return None if None in values else round(min(values), 3)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    if os.geteuid() != 0:
        fail("needs root, for network namespaces and TUN interfaces")
    load_before = os.getloadavg()[0]
    figures, engine, install = Figures(), None, None
    print("unit as each case says", flush=True)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="portolan-bench."))
        hosts6, hosts4 = Namespace(stack), Namespace(stack)
        names = [name for name in WAYS if name != "tayga" or shutil.which("tayga")]
        ways = {name: Way(stack, name, index + 1, hosts6, hosts4) for index, name in enumerate(names)}
        start_portolan(ways["portolan"], directory, hosts4)
        if "tayga" in ways:
            start_tayga(ways["tayga"], directory)
        else:
            say("tayga is not installed: nothing to compare with")
        counter = hosts4.start([os.path.join(BUILD, "bench/udp_flood"), "count", str(UDP_PORT)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if counter.stdout.readline() != "ready\n":
            fail("the server did not start")
        for way in ways.values():
            hosts6.run(f"ping -c 1 -W 5 {way.target}")
        for round_ in range(rounds):
            if "tcp" in PARTS:
                measure_tcp(ways, hosts6, figures, round_)
            if "udp" in PARTS:
                measure_udp(ways, hosts6, counter, figures, round_)
            if "cpu" in PARTS:
                measure_cpu(ways, hosts4, figures, round_)
        if "control" in PARTS:
            install = measure_control(directory)
    if "engine" in PARTS:
        engine = measure_engine()
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="utf-8") as file:
        print(f"note TCP congestion control of this machine: {file.read().strip()}")
    if os.getloadavg()[0] - load_before > 4 or load_before > 1:
        print("note the machine was busy with other things: figures are rough")
    result = {"bulk_tcp": {}, "udp_64": {}}
    for key, other in (("vs_kernel_ipv6", "kernel6"), ("vs_tayga", "tayga")):
        result["bulk_tcp"][key] = lowest(figures.ratio(f"TCP {case}, Mbit/s", "portolan", other) for case in BULK)
        result["udp_64"][key] = rounded(figures.ratio("UDP 64, kpps", "portolan", other))
    result["gateway_cpu_per_packet_vs_kernel_ipv6"] = rounded(
        figures.ratio("CPU 1 flow, ns/packet", "portolan", "kernel6"))
    result["engine"] = engine
    result["install_100k_mappings_s"] = rounded(install)
    for case in dict.fromkeys(case for _, case in figures.values):
        if case.startswith("delivered"):
            continue
        print(f"note {case}: to kernel6 " + ", ".join(
            f"{way} {rounded(figures.ratio(case, way, 'kernel6'), 2)}" for way in WAYS[1:]))
    print("json " + json.dumps(result))


if __name__ == "__main__":
    main()
