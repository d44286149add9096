# SPDX-License-Identifier: BSD-2-Clause
"""What the daemons may do once they run, as the kernel tells it, and that it suffices for all they have to do: requests,
reloads, addresses that change, a peer that comes and goes, and undoing after a kill. A system call that is not on a
daemon's list ends it here.

The router is the network namespace that CTest made for this run."""

import grp
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flows"))
import pcp  # noqa: E402  pylint: disable=wrong-import-position
from hosts import Host, ip  # noqa: E402  pylint: disable=wrong-import-position

APPS = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps"
# The system calls that the unit leaves a daemon.
SANDBOX = (sys.executable, pathlib.Path(__file__).resolve().parents[1] / "packaging" / "sandboxed.py",
           pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "packaging" / "portoland.service")
USER, OPERATORS = "nobody", "users"
NET_ADMIN = 1 << 12
# With NET_RAW and BPF beside it: what the units' processes start with.
TO_START = NET_ADMIN | 1 << 13 | 1 << 39
PATIENCE = 30
PHONE, ROUTER = "2001:db8:2::2", "2001:db8:2::1"
NAT64 = """
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
outside = "wan0"
manage_forwarding = true
workers = {workers}
"""
INSIDE = '[[inside]]\ninterface = "lan0"\nsubscriber_prefix_length = 128\n'
ROUTER_TABLES = """[nat44]
outside = "wan0"
inside = ["192.168.77.0/24"]
[firewall6]
outside = "wan0"
inside = ["2001:db8:2::/64"]
"""
CONTROL = '[control]\nlisten = ["unix:{folder}/run/nat64.sock"]\n'
REMOTE = '[nat64_remote]\nconnect = "unix:{folder}/run/nat64.sock"\n'
ADVERTISEMENTS = '[router_advertisement]\nmode = "alone"\ninterfaces = ["lan0"]\nmax_interval = 4\n'


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


class Daemon:
    def __init__(self, folder, program, name="daemon"):
        self.folder, self.program = folder, program
        self.config = folder / f"{name}.toml"
        self.log = folder / f"{name}.log"
        self.log.touch()
        self.process = None

    def write(self, text, top=""):
        places = f'runtime_directory = "{self.folder}/run"\n'
        if self.program == "portoland":
            places += f'store_path = "{self.folder}/store/portoland.db"\n'
        self.config.write_text(f'unexpected_calls = "kill"\n{places}{top}\n{text.replace("{folder}", str(self.folder))}')
        self.config.chmod(0o644)

    def said(self, text, already=0):
        def look():
            log = self.log.read_text()[already:]
            assert text in log or self.process.poll() is None, f"ended with {self.process.returncode}: {log}"
            return text in log
        until(look, f"not said: {text} in {self.log.read_text()}")

    def start(self, *before, ready=" ready"):
        already = len(self.log.read_text())
        with self.log.open("a", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen([*before, APPS / self.program, "--config", self.config], stderr=log)
        self.said(ready, already)

    def reload(self):
        already = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        self.said("configuration reloaded", already)

    def threads(self):
        """What the kernel says of each thread, the first one's first."""
        tasks = sorted(pathlib.Path(f"/proc/{self.process.pid}/task").iterdir(), key=lambda task: int(task.name))
        return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
                for task in tasks]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(name="folder")
def _folder():
    """Where another user can look, unlike pytest's own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="portolan-rights-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="phone")
def _phone():
    phone, far = Host(), Host()
    phone.connect("lan0", [f"{ROUTER}/64", "192.168.77.1/24"], [f"{PHONE}/64", "192.168.77.2/24"])
    phone.route(ROUTER)
    far.connect("wan0", ["192.0.2.1/24", "2001:db8:9::1/64"], ["192.0.2.9/24", "2001:db8:9::9/64"])
    yield phone
    for interface in ("lan0", "wan0"):
        ip("link", "delete", interface)
    phone.close()
    far.close()


@pytest.fixture(name="daemons")
def _daemons():
    daemons = []
    yield daemons
    for daemon in daemons:
        daemon.kill()


def answered(client, port, lifetime):
    """None if there is no answer in a second: clients ask again (RFC 6887 s8.1.1)."""
    client.socket.settimeout(1)
    try:
        return client.map(pcp.UDP, port, address="::ffff:0.0.0.0", lifetime=lifetime)[1]
    except TimeoutError:
        return None


def ask(phone, count, first=1000, lifetime=7200):
    """So many mappings, all granted."""
    client = pcp.Client(PHONE, server=ROUTER, host=phone)
    for port in range(first, first + count):
        answer = until(lambda port=port: answered(client, port, lifetime), f"no answer for port {port}")
        assert answer.result == 0, vars(answer)
    client.close()


CASES = {
    # program, configuration, what it keeps
    "nat64": ("portolan-nat64", NAT64.format(workers=1) + CONTROL, NET_ADMIN),
    "nat64-workers": ("portolan-nat64", NAT64.format(workers=2) + CONTROL + ADVERTISEMENTS, NET_ADMIN),
    "nat64-in-portoland": ("portoland", 'device = "nat64"\n' + INSIDE + NAT64.format(workers=1), NET_ADMIN),
    "router": ("portoland", 'device = ["nat44", "firewall6"]\n' + INSIDE + ROUTER_TABLES, NET_ADMIN),
    "remote": ("portoland", 'device = "nat64-remote"\n' + INSIDE + REMOTE, 0),
    "simulated": ("portoland", 'device = "simulated"\n' + INSIDE + '[simulated]\npool = ["192.0.2.1"]\n', 0),
}


@pytest.mark.parametrize("user", ("", USER))
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_daemon_keeps_no_more_than_it_needs(case, user, folder, phone, daemons):  # pylint: disable=unused-argument
    program, text, kept = CASES[case]
    daemon = Daemon(folder, program)
    daemons.append(daemon)
    daemon.write(text, f'run_as = "{user}"' if user else "")
    daemon.start()
    first, *others = daemon.threads()
    number = str(pwd.getpwnam(user).pw_uid) if user else "0"
    for thread in (first, *others):
        assert set(thread["Uid"].split()) == {number}, thread
        assert thread["NoNewPrivs"] == "1" and thread["Seccomp"] == "2", thread
        assert int(thread["CapBnd"], 16) & ~(TO_START | 1 << 10) == 0, thread
    assert int(first["CapEff"], 16) == int(first["CapPrm"], 16) == kept
    # nft(8), and it alone, is handed what the daemon has.
    assert int(first["CapAmb"], 16) == int(first["CapInh"], 16) == (kept if case == "router" else 0)
    assert all(int(thread[each], 16) == 0 for thread in others for each in ("CapEff", "CapPrm", "CapAmb"))
    # Workers of the NAT64, and whoever writes the store.
    assert len(others) == (1 if case in ("nat64", "router", "remote", "simulated") else 2), len(others)
    daemon.stop()
    assert "left on this host" not in daemon.log.read_text()


def test_a_store_that_is_somebody_elses_is_a_clear_error(folder, phone, daemons):  # pylint: disable=unused-argument
    (folder / "store").mkdir(mode=0o755)
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    daemon.write(CASES["simulated"][1], f'run_as = "{USER}"')
    done = subprocess.run([APPS / "portoland", "--config", daemon.config], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert done.returncode == 1 and f"{folder}/store/portoland.db" in done.stderr, done.stderr
    assert f"its folder is root's, where {USER} may make no file" in done.stderr, done.stderr


def test_a_store_that_root_imports_is_the_daemons(folder, phone, daemons):  # pylint: disable=unused-argument
    store = folder / "store" / "portoland.db"
    store.parent.mkdir()
    shutil.chown(store.parent, USER, "nogroup")
    state = folder / "state.json"
    state.write_text('{"portolan-store":1,"time":"2001-01-01T00:00:00Z"}\n', encoding="ascii")
    subprocess.run([APPS / "portoland", "--store", store, "--import", state], check=True, stdout=subprocess.DEVNULL)
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    daemon.write(CASES["simulated"][1], f'run_as = "{USER}"')
    daemon.start()
    daemon.said("0 mappings restored")
    daemon.stop()
    # One that was made by other means is not, and the error says what to do.
    shutil.chown(store, "root", "root")
    done = subprocess.run([APPS / "portoland", "--config", daemon.config], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert done.returncode == 1 and f"Permission denied: it is root's: chown {USER}: {store}" in done.stderr, done.stderr


def test_a_user_who_is_not_there_is_a_mistake_in_the_configuration(folder):
    daemon = Daemon(folder, "portoland")
    daemon.write(CASES["simulated"][1], 'run_as = "portolan-nobody-has-that-name"')
    done = subprocess.run([APPS / "portoland", "--config", daemon.config, "--check-config"], capture_output=True,
                          text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2 and "daemon.toml:" in done.stderr and "is no user of this host" in done.stderr


def test_a_user_can_not_become_another(folder):
    daemon = Daemon(folder, "portoland")
    daemon.write(CASES["simulated"][1], 'run_as = "daemon"')
    done = subprocess.run(["setpriv", f"--reuid={USER}", "--clear-groups", APPS / "portoland", "--config", daemon.config],
                          capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1 and "may not become daemon" in done.stderr, done.stderr


def test_started_as_the_unit_does_it_does_the_same(folder, phone, daemons):
    """By a service manager that has changed the user already, hands capabilities on, and limits system calls."""
    for name in ("run", "store"):
        (folder / name).mkdir()
        shutil.chown(folder / name, USER)
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    daemon.write('device = "nat64"\n' + INSIDE + NAT64.format(workers=2) + ADVERTISEMENTS)
    capabilities = "+net_admin,+net_raw,+bpf"
    # As udev makes it; this machine may have none.
    device = 'mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"'
    daemon.start("unshare", "--mount", "sh", "-c", device, "sh", *SANDBOX, "setpriv", f"--reuid={USER}", "--regid=nogroup",
                 "--clear-groups", "--no-new-privs", f"--inh-caps=-all,{capabilities}", f"--ambient-caps={capabilities}",
                 f"--bounding-set=-all,{capabilities}")
    first, *others = daemon.threads()
    assert int(first["CapEff"], 16) == NET_ADMIN and int(first["CapAmb"], 16) == int(first["CapInh"], 16) == 0
    assert all(int(thread["CapEff"], 16) == 0 for thread in others)
    assert "hash, not subscribers" not in daemon.log.read_text(), "CAP_BPF was there to load the steering"
    ask(phone, 3)
    daemon.stop()
    assert "left on this host" not in daemon.log.read_text()


def test_started_as_the_unit_does_it_gives_its_socket_to_operators(folder, phone, daemons):  # pylint: disable=unused-argument
    for name in ("run", "store"):
        (folder / name).mkdir()
        shutil.chown(folder / name, USER)
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    daemon.write(f'{CASES["simulated"][1]}[management]\nsocket_group = "{OPERATORS}"\n')
    become = (*SANDBOX, "setpriv", f"--reuid={USER}", "--regid=nogroup", "--inh-caps=-all", "--bounding-set=-all")
    daemon.start(*become, f"--groups={OPERATORS}")
    socket = (folder / "run" / "management.sock").stat()
    assert socket.st_gid == grp.getgrnam(OPERATORS).gr_gid and socket.st_mode & 0o777 == 0o660
    daemon.stop()
    # Who is no member may not give it away, and is told.
    done = subprocess.run([*become, "--clear-groups", APPS / "portoland", "--config", daemon.config], capture_output=True,
                          text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1 and f"SupplementaryGroups={OPERATORS} in its unit" in done.stderr, done.stderr


@pytest.mark.parametrize("user", ("", USER))
def test_they_suffice_for_a_life_with_the_nat64(user, folder, phone, daemons):
    shared = '[nat64.own_address]\ninterface = "wan0"\nports = [40960, 65535]\n'
    nat64 = NAT64.format(workers=2).replace('pool = ["192.0.2.14"]\n', "") + shared
    top = f'run_as = "{user}"' if user else ""
    pathlib.Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0", encoding="ascii")
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    head = 'device = "nat64"\n[pcp]\nmappings_per_user_max = 1000\n'
    daemon.write(head + INSIDE + nat64 + ADVERTISEMENTS, top)
    daemon.start()
    ask(phone, 300)
    # Another address of the interface: other redirects, mappings that move.
    already = len(daemon.log.read_text())
    ip("address", "delete", "192.0.2.1/24", "dev", "wan0")
    ip("address", "add", "192.0.2.5/24", "dev", "wan0")
    daemon.said("192.0.2.5 on wan0 are in the pool", already)
    ask(phone, 50, first=5000)
    daemon.write(head + "maximum_lifetime = 3600\n" + INSIDE + nat64 + ADVERTISEMENTS.replace("= 4", "= 8"), top)
    daemon.reload()
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.said("mappings 350")
    # What a killed one leaves, the next one undoes or takes over.
    daemon.kill()
    assert "clsact" in subprocess.run(["tc", "qdisc", "show", "dev", "wan0"], capture_output=True, text=True,
                                      check=True).stdout
    daemon.start()
    daemon.said("350 mappings restored")
    ask(phone, 10, first=6000)
    daemon.stop()
    assert "left on this host" not in daemon.log.read_text()
    assert pathlib.Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text(encoding="ascii").strip() == ""
    assert "clsact" not in subprocess.run(["tc", "qdisc", "show", "dev", "wan0"], capture_output=True, text=True,
                                          check=True).stdout


@pytest.mark.parametrize("user", ("", USER))
def test_they_suffice_for_a_life_with_nftables(user, folder, phone, daemons):
    top = f'run_as = "{user}"' if user else ""
    text = 'device = ["nat44", "firewall6"]\n' + INSIDE + ROUTER_TABLES
    daemon = Daemon(folder, "portoland")
    daemons.append(daemon)
    daemon.write(text, top)
    daemon.start()
    client = pcp.Client("192.168.77.2", server="192.168.77.1", host=phone)
    for port in range(2000, 2050):
        assert client.map(pcp.TCP, port, lifetime=7200)[1].result == 0
    # Somebody flushes everything: nft is run again, under the same limits.
    already = len(daemon.log.read_text())
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    until(lambda: "portolan_nat44" in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True,
                                                     check=True).stdout, "the table is back")
    daemon.write(text + "[pcp]\nmaximum_lifetime = 3600\n", top)
    daemon.reload()
    assert client.map(pcp.TCP, 2100, lifetime=7200)[1].result == 0
    daemon.kill()
    daemon.start()
    assert client.map(pcp.TCP, 2000, lifetime=7200)[1].result == 0
    client.close()
    daemon.stop()
    assert "left on this host" not in daemon.log.read_text()[already:]
    assert "portolan" not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def test_they_suffice_for_two_processes_that_lose_each_other(folder, phone, daemons):
    top = f'run_as = "{USER}"'
    gateway, server = Daemon(folder, "portolan-nat64", "gateway"), Daemon(folder, "portoland", "server")
    daemons += [gateway, server]
    gateway.write(NAT64.format(workers=1) + CONTROL, top)
    server.write('device = "nat64-remote"\n' + INSIDE + REMOTE, top)
    gateway.start()
    server.start(ready="has all that was promised")
    ask(phone, 100)
    for daemon, killed in ((gateway, True), (gateway, False), (server, True)):
        already = len(server.log.read_text())
        if killed:
            daemon.kill()
        else:
            daemon.stop()
        daemon.start()
        server.said("has all that was promised", already)
        ask(phone, 10, first=3000)
    shown = subprocess.run([APPS / "portolan-nat64", "show", "bib", "--json", "--connect",
                            f"unix:{folder}/run/nat64.sock"], capture_output=True, text=True, check=True).stdout
    assert len(json.loads(shown)) == 110
    server.stop()
    gateway.stop()
    assert "left on this host" not in gateway.log.read_text()
