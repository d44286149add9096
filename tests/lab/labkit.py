# SPDX-License-Identifier: BSD-2-Clause
"""What the lab's tests share: bring a lab up and down, run programs and open sockets on its hosts.

A socket stays in the network namespace it was made in, so most tests hold both ends of a conversation
in their own hands: see Lab.inside.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "scripts" / "lab"
RUN = pathlib.Path("/run/portolan-lab")

POOL = "192.0.2.14"
VIEWER = "192.0.2.10"
VIEWER_INSIDE = "2001:db8:64:ff9b::c000:20a"
PCP_PORT = 5351
GATEWAY = "2001:db8:112::1"  # as the handset sees it
# Seconds in which a packet that should arrive does so on a busy machine.
PATIENCE = 20
KILL_ROUNDS = int(os.environ.get("PORTOLAN_KILL_ROUNDS", "3"))

sys.path.insert(0, str(ROOT / "tests" / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position

SANITIZER_REPORT = re.compile(r"(ERROR|WARNING|SUMMARY): \w*Sanitizer|runtime error:")
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def build_directory():
    build = os.environ.get("PORTOLAN_BUILD")
    assert build, "PORTOLAN_BUILD must name the build directory; ctest sets it"
    return build


def until(condition, seconds, what):
    """Polls until `condition()` is true and returns its value; fails after `seconds`, and says `what`, a text or what
    makes it then."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.02)


def check_no_sanitizer_report(text, where):
    assert not SANITIZER_REPORT.search(text), f"a sanitizer report in {where}:\n{text[-6000:]}"


def netns_setns(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class FarHost:
    """A host beyond one of the lab's, which routes for it. Its namespace has no name, so nothing can be left of it.

    `link` is the interface of the lab's host towards it, and eth0 its own; both ends have MTU 1500 at first.
    """

    def __init__(self, lab, near, link, near_address, address):
        self.lab, self.near, self.link = lab, near, link
        self.address = address.split("/")[0]
        with open("/proc/thread-self/ns/net") as home:
            if libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            netns_setns(home.fileno())
        self.path = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        nodad = ["nodad"] if ":" in address else []
        try:
            lab.output(near, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.path)
            lab.output(near, "ip", "address", "add", near_address, "dev", link, *nodad)
            lab.output(near, "ip", "link", "set", link, "up")
            self.output("ip", "link", "set", "lo", "up")
            self.output("ip", "address", "add", address, "dev", "eth0", *nodad)
            self.output("ip", "link", "set", "eth0", "up")
            self.output("ip", "route", "add", "default", "via", near_address.split("/")[0])
        except BaseException:
            self.close()
            raise

    def close(self):
        """The link goes with the namespace, and that with its last socket."""
        self.lab.run(self.near, "ip", "link", "del", self.link)
        os.close(self.descriptor)

    def output(self, *command):
        done = subprocess.run(["nsenter", f"--net={self.path}", *map(str, command)], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def socket(self, kind):
        with in_namespace(self.path):
            made = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, kind)
        made.settimeout(10)
        return made


@contextlib.contextmanager
def in_namespace(path):
    """Sockets made in this block belong to the namespace, also after the block."""
    with open("/proc/thread-self/ns/net") as home, open(path) as there:
        netns_setns(there.fileno())
        try:
            yield
        finally:
            netns_setns(home.fileno())


def default_signals():
    """Run in a child before exec: a test runner in the background may have SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Lab:
    def __init__(self, name, workers=int(os.environ.get("PORTOLAN_LAB_WORKERS", "1"))):
        self.name = name
        self.state = RUN / name
        self.workers = workers

    # ---- the lab itself

    def configuration(self):
        """The lab's, with as many workers as asked for."""
        return (ROOT / "lab" / "portoland.toml").read_text().replace("[nat64]\n", f"[nat64]\nworkers = {self.workers}\n")

    def command(self, command, *arguments):
        return [str(LAB), command, "--name", self.name, *map(str, arguments)]

    def call(self, command, *arguments, timeout=120):
        return subprocess.run(self.command(command, *arguments), capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def up(self, *arguments):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(self.configuration())
            config.flush()
            done = self.call("up", "--build", build_directory(), "--config", config.name, *arguments)
        assert done.returncode == 0, f"scripts/lab up failed:\n{done.stderr}"

    def down(self):
        """Stops portoland, checks what the daemons left behind, and removes the lab."""
        try:
            if self.server_pid():
                self.server("stop")
            for log in self.state.glob("*.log"):
                check_no_sanitizer_report(log.read_text(errors="replace"), log.name)
        finally:
            done = self.call("down")
        assert done.returncode == 0, f"scripts/lab down failed:\n{done.stderr}"
        assert leftovers(self.name) == []

    # ---- the server

    def server(self, command):
        done = self.call("server", command)
        assert done.returncode == 0, f"scripts/lab server {command} failed:\n{done.stderr}"

    def server_pid(self):
        """portoland's process id, or None when it doesn't run."""
        pid_file = self.state / "portoland.pid"
        if not pid_file.exists() or (self.state / "portoland.exit").exists():
            return None
        return int(pid_file.read_text())

    def running_configuration(self):
        return (self.state / "portoland.toml").read_text()

    def reload(self, text):
        """Has portoland take `text` for its configuration."""
        (self.state / "portoland.toml").write_text(text)
        before = self.server_log().count("configuration reloaded")
        os.kill(self.server_pid(), signal.SIGHUP)
        until(lambda: self.server_log().count("configuration reloaded") > before, 20, "the configuration reloaded")

    def server_log(self):
        return (self.state / "portoland.log").read_text(errors="replace")

    # ---- its hosts

    def namespace(self, host):
        return f"portolan-{self.name}-{host}"

    def start(self, host, *command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(["ip", "netns", "exec", self.namespace(host), *map(str, command)],
                                text=True, preexec_fn=default_signals, **options)

    def run(self, host, *command, timeout=60):
        """Runs a command on a host; the caller looks at the exit status."""
        return subprocess.run(self.command("exec", host, *command), capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def output(self, host, *command, timeout=60):
        done = self.run(host, *command, timeout=timeout)
        assert done.returncode == 0, f"{command} on {host}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def portolan(self, host, *arguments, expect=0):
        """Runs portolan --json on a host and returns its answer; the exit status must be `expect`."""
        done = self.run(host, "portolan", *arguments, "--json")
        check_no_sanitizer_report(done.stderr, f"portolan {arguments}")
        assert done.returncode == expect, (
            f"portolan {' '.join(map(str, arguments))} on {host}: exit {done.returncode}, expected {expect}\n"
            f"{done.stdout}{done.stderr}\nportoland:\n{self.server_log()[-2000:]}")
        return json.loads(done.stdout)

    def address(self, host):
        """The host's global IPv6 address."""
        shown = json.loads(self.output(host, "ip", "-6", "-j", "address", "show", "dev", "eth0", "scope", "global"))
        return shown[0]["addr_info"][0]["local"]

    def inside(self, host):
        """Sockets made in this block belong to the host, also after the block."""
        return in_namespace(f"/run/netns/{self.namespace(host)}")

    def udp(self, host, port=0, timeout=PATIENCE):
        """A UDP socket on the host, of the host's address family."""
        with self.inside(host):
            made = socket.socket(socket.AF_INET if host == "viewer" else socket.AF_INET6, socket.SOCK_DGRAM)
        made.settimeout(timeout)
        made.bind((VIEWER if host == "viewer" else "::", port))
        return made

    def listener(self, host, port):
        """A listening TCP socket on an IPv6 host."""
        with self.inside(host):
            made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(PATIENCE)
        made.bind(("::", port))
        made.listen()
        return made

    def connect_from_viewer(self, port, address=POOL, timeout=PATIENCE):
        with self.inside("viewer"):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    def tcp_reaches(self, external_port, listener, timeout=PATIENCE):
        """True if a connection from viewer to the external port arrives at `listener`, and carries data."""
        try:
            client = self.connect_from_viewer(external_port, timeout=timeout)
        except OSError:
            return False
        with client:
            server, _ = listener.accept()
            with server:
                server.settimeout(PATIENCE)
                client.sendall(b"ahoy")
                return server.recv(16) == b"ahoy"


def udp_reaches(viewer_socket, external_port, inside_socket, payload, timeout=PATIENCE):
    """True if a datagram from viewer to the external port arrives at `inside_socket` within `timeout`; what should not
    arrive need not be waited for as long as what should."""
    viewer_socket.sendto(payload, (POOL, external_port))
    deadline = time.monotonic() + timeout
    while (remaining := deadline - time.monotonic()) > 0:
        inside_socket.settimeout(remaining)
        try:
            # Anything else is a late arrival of an earlier one.
            if inside_socket.recvfrom(2048)[0] == payload:
                return True
        except TimeoutError:
            break
    return False


class Rivals(threading.Thread):
    """Flow after flow of another host, each of which needs an external port, while the block runs: from `ports`, if
    others were promised just those outside, for the NAT64 keeps the number of a port that is free."""

    def __init__(self, lab, ports):
        super().__init__(daemon=True)
        self.sockets = [lab.udp("laptop", port) for port in ports]
        self.stopped = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def run(self):
        while not self.stopped.is_set():
            for each in self.sockets:
                try:
                    each.sendto(b"mine", (VIEWER_INSIDE, 9))
                except OSError:
                    pass  # no route while the NAT64 is down
            self.stopped.wait(0.002)

    def __exit__(self, *_):
        self.stopped.set()
        self.join()
        for each in self.sockets:
            each.close()


class Mappings:
    """UDP mappings of the handset, with a socket behind each."""

    HOST = "handset-3g"

    def __init__(self, lab, count=40, first_port=9600):
        self.address = lab.address(self.HOST)
        self.client, self.viewer = lab.udp(self.HOST, timeout=20), lab.udp("viewer")
        self.ports = range(first_port, first_port + count)
        self.inside = {}  # socket by external port
        for port in self.ports:
            granted = self.ask(port, 3600)
            assert granted.result == pcp.SUCCESS
            self.inside[granted.external] = lab.udp(self.HOST, port)

    def __enter__(self):
        return self

    def ask(self, port, lifetime):
        self.client.sendto(pcp.header(self.address, lifetime) + pcp.map_body(pcp.UDP, port, 0, "0.0.0.0", port),
                           (GATEWAY, PCP_PORT))
        return pcp.parse(self.client.recv(2048))

    def check(self, what):
        """The first datagrams after a restart may be lost while the neighbour is looked for."""
        for external, receiving in self.inside.items():
            assert any(udp_reaches(self.viewer, external, receiving, what.encode(), timeout=0.5) for _ in range(20)), \
                f"{what}: nothing reaches {POOL}:{external}'s host"

    def __exit__(self, *_):
        for each in (self.client, self.viewer, *self.inside.values()):
            each.close()


class Daemon:
    """A program on the gateway that the test starts and kills itself."""

    def __init__(self, lab, program, config, directory):
        self.lab, self.program, self.config = lab, program, config
        self.log = directory / f"{program}.log"
        self.log.touch()
        self.process = None

    def start(self):
        with self.log.open("a") as log:
            self.process = self.lab.start("gateway", pathlib.Path(build_directory()) / "apps" / self.program,
                                          "--config", self.config, stdout=subprocess.DEVNULL, stderr=log)

    def says(self, text):
        """How often it has said this so far."""
        assert self.process is None or self.process.poll() is None, self.log.read_text()[-3000:]
        return self.log.read_text().count(text)

    def until_it_says(self, text, before=0):
        until(lambda: self.says(text) > before, 30, f"{self.program} says {text!r}")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(30)
        check_no_sanitizer_report(self.log.read_text(), self.log.name)
        assert status == (0 if how == signal.SIGTERM else -how), self.log.read_text()[-3000:]
        self.process = None


def divided_configuration(lab, directory, listen, connect, control="", remote=""):
    """The lab's configuration as files of two programs, portolan-nat64 and portoland, that meet at an address; with
    further lines for their sections [control] and [nat64_remote]."""
    whole = lab.configuration()
    at = whole.index("[nat64]")
    nat64, server = directory / "nat64.toml", directory / "portoland.toml"
    nat64.write_text(f'unexpected_calls = "kill"\nruntime_directory = "{directory}/nat64"\n{whole[at:]}\n'
                     f'[control]\nlisten = ["{listen}"]\n{control}\n')
    server.write_text(whole[:at].replace('device = "nat64"', 'device = "nat64-remote"').replace(
        'store = "memory"', f'store_path = "{directory}/portoland.db"\nruntime_directory = "{directory}/portoland"') +
                      f'[nat64_remote]\nconnect = "{connect}"\n{remote}\n')
    return nat64, server


def leftovers(name):
    """What is there of a lab: namespaces, files, and processes by the mark that scripts/lab gives them."""
    found = [str(path) for parent in ("/run/netns", "/etc/netns")
             for path in pathlib.Path(parent).glob(f"portolan-{name}-*")]
    if (RUN / name).exists():
        found.append(str(RUN / name))
    mark = f"PORTOLAN_LAB={name}\0".encode()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() + b"\0":
                found.append(f"process {process.name}: {(process / 'cmdline').read_bytes()!r}")
        except OSError:
            continue  # it ended meanwhile
    return found
