#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# package.py ROOT: runs the installed portoland in ROOT as its unit says, asks it for a port from a host beside, and
# looks whether it translates and what it may do. In a network namespace of its own.
import configparser
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flows"))
from hosts import Host, ip  # noqa: E402  pylint: disable=wrong-import-position

ROOT = pathlib.Path(sys.argv[1])
SANDBOXED = pathlib.Path(__file__).resolve().parents[1] / "packaging" / "sandboxed.py"
OPERATORS = "users"
PATIENCE = 30
CONFIG = """device = "nat64"
[[inside]]
interface = "lan0"
subscriber_prefix_length = 128
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
outside = "wan0"
manage_forwarding = true
[router_advertisement]
mode = "alone"
interfaces = ["lan0"]
[management]
socket_group = "%s"
""" % OPERATORS


class Unit:
    """What of a unit file a service manager would do, done by hand."""

    def __init__(self, name):
        class Lists(dict):
            """A key may come several times."""
            def __setitem__(self, key, value):
                if isinstance(value, list) and key in self:
                    self[key].extend(value)
                else:
                    super().__setitem__(key, value)
        parser = configparser.RawConfigParser(strict=False, dict_type=Lists, interpolation=None)
        parser.optionxform = str
        self.path = ROOT / "lib/systemd/system" / name
        parser.read(self.path)
        self.unit = {key: value.splitlines() for key, value in parser["Unit"].items()}
        self.service = {key: value.splitlines() for key, value in parser["Service"].items()}

    def one(self, key):
        return self.service[key][0]

    def condition_holds(self):
        return (ROOT / self.unit["ConditionPathExists"][0].lstrip("/")).exists()

    def environment(self):
        path = ROOT / self.one("EnvironmentFile").lstrip("-/")
        pairs = (line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#"))
        return {key: value.strip('"') for key, value in pairs}

    def prepare(self, user, group):
        for key, place in (("RuntimeDirectory", "run"), ("StateDirectory", "var/lib"), ("LogsDirectory", "var/log")):
            folder = ROOT / place / self.one(key)
            folder.mkdir(exist_ok=True)
            os.chown(folder, user, group)
            folder.chmod(int(self.service.get(f"{key}Mode", ["0755"])[0], 8))

    def command(self, key="ExecStart"):
        environment = self.environment()
        words = []
        for word in shlex.split(self.one(key)):
            words += environment[word[1:]].split() if word.startswith("$") else [word]
        capabilities = ",".join("+" + word.lower().removeprefix("cap_") for word in self.one("AmbientCapabilities").split())
        bounding = ",".join("+" + word.lower().removeprefix("cap_") for word in self.one("CapabilityBoundingSet").split())
        return [sys.executable, "-B", SANDBOXED, self.path, "chroot", ROOT, "setpriv", f"--reuid={self.one('User')}",
                f"--regid={self.one('Group')}", "--init-groups", f"--inh-caps=-all,{capabilities}",
                f"--ambient-caps=-all,{capabilities}", f"--bounding-set=-all,{bounding}", "--no-new-privs", *words]


def in_root(*arguments):
    return subprocess.run(["chroot", ROOT, *arguments], check=True, capture_output=True, text=True).stdout


def expect(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")


def main():
    ip("link", "set", "lo", "up")
    host, far = Host(), Host()
    host.connect("lan0", ["2001:db8:1::1/64"], ["2001:db8:1::2/64"])
    host.route("2001:db8:1::1")
    far.connect("wan0", ["192.0.2.1/24"], ["192.0.2.9/24"])

    unit = Unit("portoland.service")
    expect(not unit.condition_holds(), "it would start without a configuration")
    (ROOT / "etc/portolan/portoland.toml").write_text(CONFIG, encoding="utf-8")
    expect(unit.condition_holds(), "it would not start with one")
    for line in in_root("getent", "passwd", unit.one("User")).splitlines():
        user, group = (int(number) for number in line.split(":")[2:4])
    unit.prepare(user, group)
    in_root("usermod", "--append", "--groups", OPERATORS, unit.one("User"))
    # As udev makes it.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", ROOT / "dev/net"], check=True)
    subprocess.run(["mknod", "-m", "666", ROOT / "dev/net/tun", "c", "10", "200"], check=True)

    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(ROOT / "run/notify"))
    os.chmod(ROOT / "run/notify", 0o666)
    notify.settimeout(PATIENCE)
    with subprocess.Popen(unit.command(), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/notify"}
                          ) as daemon:
        try:
            expect(b"READY=1" in notify.recv(4096), "it is not ready")
            status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
            for wanted in (f"Uid:\t{user}\t{user}\t{user}\t{user}", "CapEff:\t0000000000001000", "NoNewPrivs:\t1",
                           "Seccomp:\t2"):
                expect(wanted in status, f"{wanted} in {status}")
            operators = int(in_root("getent", "group", OPERATORS).split(":")[2])
            expect((ROOT / "run/portolan/management.sock").stat().st_gid == operators, "the socket is not its group's")
            with host.entered():
                answer = in_root("portolan", "map", "tcp", "8080", "--json", "--server", "2001:db8:1::1")
            mapping = json.loads(answer)
            expect(mapping["external-address"] == "192.0.2.14", answer)
            listed = json.loads(in_root("portolanctl", "list", "map", "--json"))
            expect(listed["external-src-port"] == mapping["external-port"], listed)
            with host.entered():
                server = socket.create_server(("2001:db8:1::2", 8080), family=socket.AF_INET6)
            with far.entered():
                with socket.create_connection(("192.0.2.14", mapping["external-port"]), timeout=PATIENCE) as viewer:
                    connection, _ = server.accept()
                    connection.sendall(b"hello")
                    expect(viewer.recv(5) == b"hello", "the host is not reached")
                    connection.close()
            server.close()

            # What systemctl reload does.
            expect(subprocess.run([*unit.command("ExecReload")], check=False).returncode == 0, "--check-config")
            daemon.send_signal(signal.SIGHUP)
            expect(b"RELOADING=1" in notify.recv(4096) and b"READY=1" in notify.recv(4096), "it does not reload")
            daemon.send_signal(signal.SIGTERM)
            expect(b"STOPPING=1" in notify.recv(4096), "it does not say that it stops")
            expect(daemon.wait(PATIENCE) == 0, "it does not end well")
        finally:
            daemon.kill()
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(["ip", "link", "show", "nat64"], capture_output=True, check=False).returncode == 0:
        expect(time.monotonic() < deadline, "the TUN stays")
        time.sleep(0.05)
    print("all fine")


if __name__ == "__main__":
    main()
