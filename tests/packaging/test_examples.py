# SPDX-License-Identifier: BSD-2-Clause
"""The examples of packaging/examples are right in the eyes of the programs that they are for, and a mistake in one is
seen. The network namespace that CTest made for this run has the examples' interfaces."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "examples"
# Prometheus itself is large, and its own check of little more.
PROMETHEUS = [sys.executable, "-B", pathlib.Path(__file__).with_name("prometheus.py")]
CHECKS = {
    "agent.toml": [BUILD / "apps" / "portolan", "agent", "--check-config", "--config"],
    "portoland.toml": [BUILD / "apps" / "portoland", "--check-config", "--config"],
    "portolan-nat64.toml": [BUILD / "apps" / "portolan-nat64", "--check-config", "--config"],
    "unbound.conf": ["unbound-checkconf"],
    "radvd.conf": ["radvd", "--configtest", "--config"],
    "kea-dhcp4.conf": ["kea-dhcp4", "-t"],
    "kea-dhcp6.conf": ["kea-dhcp6", "-t"],
    "dnsmasq.conf": ["dnsmasq", "--test", "--conf-file"],
    "prometheus.yml": PROMETHEUS,
    "prometheus-rules.yml": PROMETHEUS,
}
MISTAKES = {
    "agent.toml": ("tcp", "tpc"),
    "portoland.toml": ("2001:db8:64:ff9b::/96", "2001:db8:64:ff9b::/95"),
    "portolan-nat64.toml": ("alone", "lonely"),
    "unbound.conf": ("dns64-prefix:", "dns64-postfix:"),
    "radvd.conf": ("AdvSendAdvert on", "AdvSendAdvert maybe"),
    "kea-dhcp4.conf": ("4, 192.168.77.1", "4, 192.168.77"),
    "kea-dhcp6.conf": ('"pcp-server", "data"', '"pcp-servant", "data"'),
    "dnsmasq.conf": ("dhcp-option=108", "dhcp-options=108"),
    "prometheus.yml": ("credentials_file", "credential_file"),
    "prometheus-rules.yml": ("expr: up", "expression: up"),
}


@pytest.fixture(name="links", scope="module", autouse=True)
def _links():
    for name, addresses in (("lan0", ("192.168.77.1/24", "2001:db8:1::1/64")), ("wan0", ("192.0.2.1/24",))):
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-far"], check=True)
        for address in addresses:
            subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)


def check(name, path):
    command = [str(part) for part in CHECKS[name]]
    if command[-1] == "--conf-file":
        command[-1] += f"={path}"
    else:
        command.append(str(path))
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_example_is_checked():
    assert sorted(CHECKS) == sorted(MISTAKES) == sorted(path.name for path in EXAMPLES.iterdir())


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_example_is_right_and_a_mistake_in_it_is_seen(name, tmp_path):
    right = check(name, EXAMPLES / name)
    assert right.returncode == 0, right.stdout + right.stderr
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    before, after = MISTAKES[name]
    assert before in text
    wrong = tmp_path / name
    wrong.write_text(text.replace(before, after), encoding="utf-8")
    assert check(name, wrong).returncode != 0


def test_the_guide_shows_the_job_of_the_example():
    guide = (EXAMPLES.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    (job,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert job in (EXAMPLES / "prometheus.yml").read_text(encoding="utf-8")
