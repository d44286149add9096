# SPDX-License-Identifier: BSD-2-Clause
"""portolan agent keeps a web server on the handset reachable from the viewer, whatever happens between them: each time
the page is there again within 10 s, at the address and port that the agent reports."""
import contextlib
import json
import signal

import pytest

from labkit import check_no_sanitizer_report, until

HOST = "handset-3g"
PORT = 8000
AGAIN_MAX = 10  # seconds


class Agent:
    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self.socket = folder / "run" / "agent.sock"
        (folder / "agent.toml").write_text(f'[[mapping]]\nprotocol = "tcp"\nport = {PORT}\n')
        self.process = None

    def start(self):
        with open(self.folder / "agent.log", "a") as log:
            self.process = self.lab.start(
                HOST, self.lab.state.joinpath("build").read_text().strip() + "/apps/portolan", "agent",
                "--config", self.folder / "agent.toml", "--state", self.folder / "agent.json", "--socket", self.socket,
                stdout=log, stderr=log)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        assert status == (0 if number == signal.SIGTERM else -number), self.log()
        check_no_sanitizer_report(self.log(), "portolan agent")

    def log(self):
        return (self.folder / "agent.log").read_text()

    def held(self):
        """What the agent says of its mapping, or None."""
        done = self.lab.run(HOST, "portolan", "list", "--json", "--socket", self.socket)
        check_no_sanitizer_report(done.stderr, "portolan list")
        for line in done.stdout.splitlines():
            mapping = json.loads(line).get("mapping")
            if mapping and mapping["held"]:
                assert done.returncode == 0
                return mapping["held"][0]
        assert done.returncode in (1, 3), done.stderr
        return None

    def page(self):
        """What the agent says of the mapping, if the page is there."""
        held = self.held()
        if not held:
            return None
        got = self.lab.run("viewer", "curl", "-sS", "-m", "2",
                           f"http://{held['external-address']}:{held['external-port']}/page")
        return held if got.stdout == "ahoy\n" else None

    def page_again(self, what, is_new=lambda held: True):
        def check():
            held = self.page()
            return held if held and is_new(held) else None
        try:
            return until(check, AGAIN_MAX, f"the page after {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}\n{self.lab.server_log()[-2000:]}") from None


@contextlib.contextmanager
def web_server(lab, folder):
    (folder / "page").write_text("ahoy\n")
    with open(folder / "web.log", "w") as log:
        server = lab.start(HOST, "/usr/bin/python3", "-m", "http.server", PORT, "--bind", "::", "--directory", folder,
                           stdout=log, stderr=log)
    try:
        yield
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module", name="agent")
def _agent(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    one = Agent(lab, folder)
    with web_server(lab, folder):
        one.start()
        try:
            until(one.page, 20, "the page at first")
            yield one
            one.stop()
        finally:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()


def temporary_address(lab):
    """The temporary address that is preferred now, if there is one."""
    shown = json.loads(lab.output(HOST, "ip", "-6", "-j", "address", "show", "dev", "eth0", "scope", "global", "temporary"))
    for interface in shown:
        for entry in interface.get("addr_info", []):
            # Entries that were not asked for are shown as empty ones.
            if "local" in entry and not entry.get("deprecated") and not entry.get("tentative"):
                return entry["local"]
    return None


def test_the_page_is_there_again_after_the_privacy_address_changed(lab, agent):
    lab.output(HOST, "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=2")
    try:
        first = until(lambda: temporary_address(lab), 30, "a temporary address (RFC 8981)")
        agent.page_again("the host took a temporary address", lambda held: held["internal-address"] == first)
        # It has a successor, and is deprecated (RFC 8981).
        lab.output(HOST, "ip", "address", "change", f"{first}/64", "dev", "eth0", "valid_lft", "30", "preferred_lft", "1")
        second = until(lambda: temporary_address(lab) not in (None, first) and temporary_address(lab), 30,
                       "the next temporary address")
        agent.page_again("the temporary address changed", lambda held: held["internal-address"] == second)
    finally:
        lab.output(HOST, "sysctl", "-qw", "net.ipv6.conf.eth0.use_tempaddr=0")


@contextlib.contextmanager
def wlan(lab):
    """A second interface of the handset, wlan0, on the shared link."""
    lab.output("gateway", "ip", "link", "add", "wifi0-roam", "type", "veth", "peer", "name", "wlan0", "netns",
               lab.namespace(HOST))
    try:
        lab.output("gateway", "ip", "link", "set", "wifi0-roam", "addrgenmode", "none")
        lab.output("gateway", "ip", "link", "set", "wifi0-roam", "master", "wifi0", "up")
        yield
    finally:
        lab.output("gateway", "ip", "link", "del", "wifi0-roam")


def test_the_page_is_there_again_after_roaming_to_another_link_and_back(lab, agent):
    with wlan(lab):
        lab.output(HOST, "ip", "link", "set", "eth0", "down")
        lab.output(HOST, "ip", "link", "set", "wlan0", "up")
        there = agent.page_again("roaming", lambda held: held["server"].endswith("%wlan0"))
        assert there["internal-address"].startswith("2001:db8:113:")
        lab.output(HOST, "ip", "link", "set", "wlan0", "down")
        lab.output(HOST, "ip", "link", "set", "eth0", "up")
        back = agent.page_again("roaming back", lambda held: held["server"].endswith("%eth0"))
        assert back["internal-address"].startswith("2001:db8:112:")


def test_the_page_is_there_again_after_the_server_restarted_without_state(lab, agent):
    lab.server("kill")
    lab.server("start")
    agent.page_again("portoland restarted")


def test_the_page_is_at_the_same_place_after_the_agent_was_killed(lab, agent):
    before = agent.page()
    agent.stop(signal.SIGKILL)
    agent.start()
    after = agent.page_again("the agent was killed")
    assert (after["external-address"], after["external-port"]) == (before["external-address"], before["external-port"])
