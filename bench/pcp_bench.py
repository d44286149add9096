#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# CPU time of portoland per MAP request (create, renew, delete, at 1e3, 1e5 and 1e6 mappings, with the
# NAT64 in its process) against a bare UDP echo, and the same at 1e6 mappings with the durable store; memory;
# a restart; a burst; Debian's miniupnpd beside it.
#
# Needs: portoland pcp_load udp_echo
#
# Needs root: it makes two or three network namespaces, joined by veth pairs, which vanish with it. The
# CPU time is that of the whole process, all threads, as the kernel counts it; the echo's is measured in
# the same round, with the same users. Every answer is checked, nothing is sent twice.
#
# The durable server's store is on a real disk: PORTOLAN_BENCH_STORE, or build/. Before it is measured its file is
# filled with rows that no longer count, until commits fold them: as in a server that never has a pause.
import contextlib
import json
import os
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

SIZES = {"1e3": 1_000, "1e5": 100_000, "1e6": 1_000_000}
USERS_MAX = 100_000
OPERATIONS = ("create", "renew", "delete")
CHUNK = 512           # requests waiting at the server each time it goes on
REQUESTS = 4096       # of each operation, size and round
BURST = 10_000
MINIUPNPD_SIZES = (100, 600, 2000)
MINIUPNPD_CHUNK = 20  # its socket holds no more than some two hundred
MINIUPNPD_ROUNDS = 3
STORE_FOLDER = os.environ.get("PORTOLAN_BENCH_STORE", os.path.join(ROOT, "build"))
# Renewals after which the store of a million mappings folds with every commit (SqliteOptions).
RENEWALS_UNTIL_FOLDING = 2_100_000
PIPELINED, WINDOW = 200_000, 2048
AT_A_TENTH_S = 10

GATEWAY = "2001:db8:0:1::1"
HOSTS = "2001:db8:0:1::2"
USERS = "2001:db8:100::/40"
FIRST_USER = "2001:db8:100::1"
GATEWAY4 = "203.0.113.1"
USERS4 = "203.0.113.0/24"
FIRST_USER4 = "203.0.113.2"
# miniupnpd refuses documentation addresses and all others of special purpose outside. Nothing is ever sent
# there: the namespace has no way out.
OUTSIDE4 = "11.0.0.1"
ECHO_PORT, SIDE_PORT, FIRST_PORT = 7, 5360, 5361


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"pcp_bench: {text}")


class WrongAnswers(Exception):
    """Of the server `name`, which did not answer every request, or not rightly."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


class Load:
    """The load generator."""

    def __init__(self, namespace):
        self.process = namespace.start([os.path.join(BUILD, "bench/pcp_load")], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            fail(f"the load generator died of: {' '.join(map(str, words))}")
        return answer

    def run(self, name, operation, count, chunk=CHUNK):
        """CPU nanoseconds per request."""
        answered, wrong, cpu = map(int, self.ask("run", name, operation, count, chunk))
        if answered != count or wrong:
            raise WrongAnswers(name, f"{operation}: {count} requests, {answered} right answers, {wrong} wrong ones")
        return cpu / count

    def burst(self, name, count):
        answered, wrong, wall = map(int, self.ask("burst", name, count))
        say(f"  burst of {count}: {answered} answered, {wrong} wrongly, in {wall / 1e6:.0f} ms")
        return answered

    def resident(self, name):
        return int(self.ask("rss", name)[0])


def wait_for_line(process, text):
    for line in process.stdout:
        if text in line:
            return
    fail(f"{process.args[-1]} did not start")


def start_portoland(gateway, directory, index, port, store='store = "memory"', waits=True):
    """One server per table size, each with a NAT64 and addresses of its own. It may not be ready yet if the caller
    does not wait."""
    config = os.path.join(directory, f"portoland{index}.toml")
    pool = ", ".join(f'"198.51.100.{index * 32 + i}"' for i in range(32))
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"""device = "nat64"
{store}
runtime_directory = "{directory}/run{index}"
[pcp]
listen_port = {port}
mappings_max = 1100000
[[inside]]
interface = "inside0"
subscriber_prefix_length = 64
[nat64]
prefix = "2001:db8:64:{index}::/96"
pool = [{pool}]
tun = "nat64-{index}"
bindings_max = 2000000
subscribers_max = 200000
""")
    log = open(os.path.join(directory, f"portoland{index}.log"), "w+", encoding="utf-8")
    process = gateway.start([PORTOLAND, "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while waits and " ready" not in open(log.name, encoding="utf-8").read():
        if process.poll() is not None or time.monotonic() > deadline:
            fail(f"portoland: {open(log.name, encoding='utf-8').read()}")
        time.sleep(0.05)
    return process


def start_miniupnpd(gateway, directory):
    for command in ("add table inet filter",
                    "add chain inet filter miniupnpd",
                    "add chain inet filter prerouting_miniupnpd",
                    "add chain inet filter postrouting_miniupnpd",
                    "add chain inet filter forward { type filter hook forward priority 0; }",
                    "add chain inet filter prerouting { type nat hook prerouting priority -100; }",
                    "add chain inet filter postrouting { type nat hook postrouting priority 100; }",
                    "add rule inet filter forward jump miniupnpd",
                    "add rule inet filter prerouting jump prerouting_miniupnpd",
                    "add rule inet filter postrouting jump postrouting_miniupnpd"):
        gateway.run(["nft", command])
    config = os.path.join(directory, "miniupnpd.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"""ext_ifname=outside0
listening_ip=lan0
enable_natpmp=yes
enable_upnp=no
min_lifetime=120
max_lifetime=86400
lease_file={directory}/leases
system_uptime=no
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 {USERS4} 0-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
    pid_file = os.path.join(directory, "miniupnpd.pid")
    gateway.run(["miniupnpd", "-f", config, "-P", pid_file])
    deadline = time.monotonic() + 10
    while not os.path.exists(pid_file):
        if time.monotonic() > deadline:
            fail("miniupnpd did not start")
        time.sleep(0.05)
    with open(pid_file, encoding="utf-8") as file:
        pid = int(file.read())
    gateway.stack.callback(os.kill, pid, 15)
    return pid


def measure_sizes(load, rounds):
    """(case -> values of the rounds) of all operations and sizes, echo included."""
    cases = {}
    for round_ in range(rounds):
        names = list(SIZES)
        for turn in range(len(names)):
            name = names[(turn + round_) % len(names)]
            count = REQUESTS
            for operation in ("echo", "renew", "delete+create"):
                if operation == "delete+create":
                    deleted, created = [], []
                    for _ in range(count // CHUNK):
                        deleted.append(load.run(name, "delete", CHUNK))
                        created.append(load.run(name, "create", CHUNK))
                    values = {"delete": statistics.mean(deleted), "create": statistics.mean(created)}
                elif operation == "echo":
                    values = {"echo": load.run(f"echo-{name}", "echo", count)}
                else:
                    values = {"renew": load.run(name, "renew", count)}
                for case, value in values.items():
                    cases.setdefault((case, name), []).append(value)
                    print(f"round {case} {name}\t{value:.1f}", flush=True)
    return cases


def file_system(folder):
    """Type of what `folder` is on, as the kernel names it."""
    return subprocess.run(["stat", "--file-system", "--format=%T", folder], capture_output=True, text=True,
                          check=True).stdout.strip()


class Durable:
    """A server with a million mappings in a store on a disk."""

    NAME, ECHO, INDEX, PORT = "durable", "echo-durable", 6, SIDE_PORT - 1

    def __init__(self, stack, gateway, directory, load, echo_pid):
        self.gateway, self.directory, self.load = gateway, directory, load
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="portolan-bench-store.", dir=STORE_FOLDER))
        print(f"note the durable server's store is on {file_system(folder)}")
        self.store = f'store_path = "{folder}/state.db"'
        self.process = self.start()
        size = SIZES["1e6"]
        load.ask("server", self.NAME, GATEWAY, self.PORT, self.process.pid, FIRST_USER, USERS_MAX)
        load.ask("server", self.ECHO, GATEWAY, ECHO_PORT, echo_pid, FIRST_USER, USERS_MAX)
        say(f"  durable: making {size} mappings of {USERS_MAX} users")
        self.pipelined("create", size)
        self.resident = load.resident(self.NAME)
        say(f"  durable: {RENEWALS_UNTIL_FOLDING} renewals, after which every commit folds")
        for _ in range(RENEWALS_UNTIL_FOLDING // 700_000):
            self.pipelined("renew", 700_000)

    def start(self, waits=True):
        return start_portoland(self.gateway, self.directory, self.INDEX, self.PORT, self.store, waits)

    def pipelined(self, operation, count):
        """Requests answered in a second."""
        answered, wrong, wall = map(int, self.load.ask("pipelined", self.NAME, operation, count, WINDOW))
        if answered != count or wrong:
            fail(f"durable: {operation}: {count} requests, {answered} right answers, {wrong} wrong ones")
        return count / wall * 1e9

    def measure(self, rounds):
        """case -> CPU time in each round, echo included."""
        cases = {}
        for _ in range(rounds):
            values = {"echo": self.load.run(self.ECHO, "echo", REQUESTS),
                      "renew": self.load.run(self.NAME, "renew", REQUESTS)}
            deleted, created = [], []
            for _ in range(REQUESTS // CHUNK):
                deleted.append(self.load.run(self.NAME, "delete", CHUNK))
                created.append(self.load.run(self.NAME, "create", CHUNK))
            values |= {"delete": statistics.mean(deleted), "create": statistics.mean(created)}
            for case, value in values.items():
                cases.setdefault(case, []).append(value)
                print(f"round {case} 1e6 durable\t{value:.1f}", flush=True)
        return cases

    def p99_ms(self):
        """Of renewals at a tenth of the rate at which it answers them at most."""
        rate = int(self.pipelined("renew", PIPELINED) / 10)
        answered, wrong, median, p99 = map(int, self.load.ask("rate", self.NAME, "renew", rate * AT_A_TENTH_S, rate))
        if answered != rate * AT_A_TENTH_S or wrong:
            fail(f"durable: {rate} renewals a second: {answered} right answers, {wrong} wrong ones")
        print(f"note durable: {rate} renewals a second, a tenth of what it answers: {median / 1e6:.2f} ms in the median")
        return p99 / 1e6

    def restart_s(self):
        """Killed and started again: until a mapping of before is renewed, and a packet passes through it."""
        address, port = self.load.ask("target", self.NAME)
        send = ("import socket, sys, time\nhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                f"here.bind(('{GATEWAY4}', 0))\nprint('ready', flush=True)\nwhile True:\n  time.sleep(0.01)\n  try:\n"
                f"    here.sendto(b'.', ('{address}', {port}))\n  except OSError:\n    pass\n")
        self.process.kill()
        self.process.wait()
        sender = self.gateway.start([sys.executable, "-c", send], stdout=subprocess.PIPE)
        wait_for_line(sender, "ready")
        begun = time.monotonic()
        self.process = self.start(waits=False)
        self.load.ask("restarted", self.NAME, self.process.pid)
        renewed, passed = (int(each) / 1e9 for each in self.load.ask("until_served", self.NAME))
        seconds = time.monotonic() - begun
        sender.terminate()
        print(f"note durable: after a restart a mapping is renewed in {renewed:.2f} s, and a packet passes in {passed:.2f} s")
        self.resident = max(self.resident, self.load.resident(self.NAME))
        return seconds


def measure_durable(durable, rounds):
    cases = durable.measure(rounds)
    ratio = {operation: statistics.median(own / echo for own, echo in zip(cases[operation], cases["echo"], strict=True))
             for operation in OPERATIONS}
    print("note durable, at 1e6: " + ", ".join(f"{operation} / echo {ratio[operation]:.2f}" for operation in OPERATIONS))
    return {**{f"{operation}_echo_ratio": round(ratio[operation], 3) for operation in OPERATIONS},
            "p99_ms": round(durable.p99_ms(), 2),
            "restart_1e6_first_answer_s": round(durable.restart_s(), 2),
            "rss_1e6_mb": round(durable.resident / 1e6, 1)}


def ratios(cases):
    """(operation, size) -> median of the rounds' ratios to the echo of the same round and size."""
    return {(operation, size): statistics.median(
        own / echo for own, echo in zip(cases[operation, size], cases["echo", size], strict=True))
        for operation in OPERATIONS for size in SIZES}


def growth(cases):
    """CPU time at 1e6 mappings over that at 1e3 in the same round; of the worst operation, the median."""
    return max(statistics.median(a / b for a, b in zip(cases[operation, "1e6"], cases[operation, "1e3"],
                                                        strict=True)) for operation in OPERATIONS)


def compare_miniupnpd(load, hosts, directory, stack, side_pid):
    """size -> miniupnpd's CPU time per creation over ours at as many mappings; only those up to which it answers
    every request, none if it is not installed."""
    if shutil.which("miniupnpd") is None or shutil.which("nft") is None:
        say("miniupnpd-nftables is not installed: nothing to compare with")
        return {}
    gateway = Namespace(stack)
    gateway.link_to(hosts, "lan0", "lan1")
    gateway.run("ip link add outside0 type veth peer name outside1")
    gateway.run("ip link set outside1 up")
    gateway.run("ip link set outside0 up")
    gateway.run(f"ip address add {OUTSIDE4}/30 dev outside0")
    gateway.run(f"ip address add {GATEWAY4}/24 dev lan0")
    hosts.run(f"ip route add local {USERS4} dev lo")
    hosts.run(f"ip route add {GATEWAY4} dev lan1")
    pid = start_miniupnpd(gateway, directory)
    load.ask("server", "miniupnpd", GATEWAY4, 5351, pid, FIRST_USER4, 250)
    load.ask("server", "side", GATEWAY, SIDE_PORT, side_pid, FIRST_USER, 250)
    result, held = {}, 0
    for size in MINIUPNPD_SIZES:
        say(f"  miniupnpd: {size} mappings")
        values = []
        load.run("side", "create", size - held, MINIUPNPD_CHUNK)
        try:
            load.run("miniupnpd", "create", size - held, MINIUPNPD_CHUNK)
            for _ in range(MINIUPNPD_ROUNDS):
                theirs = create_again(load, "miniupnpd", size)
                values.append(theirs / create_again(load, "side", size))
        except WrongAnswers as error:
            if error.name != "miniupnpd":
                raise
            print(f"note not compared further with {error}")
            break
        held = size
        result[str(size)] = round(statistics.median(values), 1)
    return result


def create_again(load, name, size):
    """CPU time per creation where others were deleted."""
    load.run(name, "delete", MINIUPNPD_CHUNK, MINIUPNPD_CHUNK)
    created = load.run(name, "create", MINIUPNPD_CHUNK, MINIUPNPD_CHUNK)
    print(f"round create {size}: {name}\t{created:.1f}", flush=True)
    return created


def measure_all():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    if os.geteuid() != 0:
        fail("needs root, for network namespaces and a TUN interface")
    load_before = os.getloadavg()[0]
    print("unit ns of the server's CPU time per request", flush=True)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="portolan-bench."))
        gateway, hosts = Namespace(stack), Namespace(stack)
        gateway.link_to(hosts, "inside0", "hosts0")
        gateway.run(f"ip address add {GATEWAY}/64 dev inside0")
        hosts.run(f"ip address add {HOSTS}/64 dev hosts0")
        gateway.run(f"ip -6 route add {USERS} via {HOSTS}")
        gateway.run(f"ip address add {GATEWAY4}/32 dev lo")
        gateway.run("sysctl -q -w net.ipv6.conf.all.forwarding=1")
        hosts.run(f"ip -6 route add local {USERS} dev lo")
        load = Load(hosts)
        echo = gateway.start([os.path.join(BUILD, "bench/udp_echo"), str(ECHO_PORT)], stdout=subprocess.PIPE)
        wait_for_line(echo, "ready")
        for index, (name, size) in enumerate(SIZES.items()):
            users = min(size, USERS_MAX)
            server = start_portoland(gateway, directory, index, FIRST_PORT + index)
            load.ask("server", name, GATEWAY, FIRST_PORT + index, server.pid, FIRST_USER, users)
            load.ask("server", f"echo-{name}", GATEWAY, ECHO_PORT, echo.pid, FIRST_USER, users)
            before = load.resident(name)
            say(f"  {name}: making {size} mappings of {users} users")
            load.run(name, "create", size)
            octets = (load.resident(name) - before) / size
        cases = measure_sizes(load, rounds)
        durable = measure_durable(Durable(stack, gateway, directory, load, echo.pid), rounds)
        side = start_portoland(gateway, directory, len(SIZES), SIDE_PORT)
        load.ask("server", "burst", GATEWAY, SIDE_PORT, side.pid, FIRST_USER, BURST)
        answered = load.burst("burst", BURST)
        load.run("burst", "delete", answered)
        versus = compare_miniupnpd(load, hosts, directory, stack, side.pid)
    if os.sched_getscheduler(0) == os.SCHED_IDLE or os.getloadavg()[0] - load_before > 3 or load_before > 1:
        print("note the machine was busy with other things: caches were not the server's own, figures are rough")
    per_size = ratios(cases)
    for operation in OPERATIONS:
        print(f"note {operation} / echo: " +
              ", ".join(f"{per_size[operation, size]:.2f} at {size}" for size in SIZES))
    print("json " + json.dumps({
        "echo_ratio": {operation: round(max(per_size[operation, size] for size in SIZES), 3)
                       for operation in OPERATIONS},
        "growth_1e3_to_1e6": round(growth(cases), 3),
        "vs_miniupnpd": {str(size): versus.get(str(size)) for size in MINIUPNPD_SIZES},
        "burst_10000_answered": answered,
        "bytes_per_mapping_1e6": round(octets, 1),
        "durable": durable}))


def main():
    try:
        measure_all()
    except WrongAnswers as error:
        fail(error)


if __name__ == "__main__":
    main()
