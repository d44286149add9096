# SPDX-License-Identifier: BSD-2-Clause
"""The sequences that come with `portolan send`: each of them, against a portoland that is as it says."""

import os
import pathlib
import subprocess

import pytest
from conftest import C1, E1

PORTOLAN = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portolan"
FOLDER = pathlib.Path(__file__).parents[2] / "apps" / "portolan" / "sequences"


def only_port(port, **more):
    return {"device": f"first_port = {port}\nlast_port = {port}", **more}


THIRD_PARTY = f'[[user]]\nprefix = "{C1}/32"\nthird_party = true'
V1 = 'version_1 = true\nexperimental_prefix64 = true\n[[prefix64]]\nprefix = "2001:db8:64:ff9b::/96"'
# What makes each sequence's "before" so; the others begin from nothing.
BEFORE = {
    "flow-08": only_port(15200), "flow-10": only_port(15200),
    "flow-12": only_port(8080, pool=["192.0.2.1", "192.0.2.2"]),
    "flow-13": only_port(12000), "flow-15": only_port(6000), "flow-19": {"pcp": "relaxed_nonce_answer = true"},
    "flow-25": only_port(6598), "flow-26": only_port(10000), "flow-34": {"pcp": "mappings_per_user_max = 1"},
    "flow-47": {"pcp": "minimum_lifetime = 60", "device": "first_port = 1"},
    "flow-49": {"pcp": THIRD_PARTY, "pool": [E1], **only_port(15000)}, "flow-53": {"pcp": "third_party = true"},
    "flow-70": {"device": "first_port = 11000"}, "flow-73": {"device": "first_port = 11000"},
    "slides-map": {"pcp": V1},
}
# They wait for what the server does unasked: test_sequences_heard.py.
LISTENING = {"flow-40", "flow-41", "flow-42"}
# From here the flow is noticed that others than the draft's client begin.
FROM = {"flow-04": ["--server", "::1", "--internal-address", "2001:db8::1:0:0:1"],
        "flow-45": ["--server", "127.0.0.1", "--internal-address", "198.51.100.2"]}
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def command(name):
    # A busy machine may be slow to answer.
    return [PORTOLAN, "send", "--timeout", "60", "--sequence", name,
            *FROM.get(name, ["--server", "127.0.0.1", "--internal-address", C1])]


def test_each_row_of_the_flows_has_a_sequence():
    from rows import ROWS  # pylint: disable=import-outside-toplevel
    assert [name for name in NAMES if name.startswith("flow-")] == [f"flow-{row.figures[0]:02}" for row in ROWS]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LISTENING])
def test_a_sequence_is_answered_as_it_expects(serve, name):
    serve(**BEFORE.get(name, {}))
    done = subprocess.run(command(name), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_is_a_sequence_as_well_and_its_packets_are_captured(serve, tmp_path):
    serve()
    capture = tmp_path / "some.pcap"
    done = subprocess.run([PORTOLAN, "send", "--sequence", FOLDER / "flow-59.toml", "--server", "127.0.0.1",
                           "--internal-address", C1, "--pcap", capture], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # The server's announcements of its start are captured too, as many as come meanwhile.
    read = subprocess.run(["tshark", "-n", "-r", capture, "-Y", "portcontrol.opcode == 1", "-T", "fields",
                           "-e", "portcontrol.option.code"], capture_output=True, text=True, timeout=60, check=True)
    assert read.stdout.splitlines() == ["3", "3", "3,3", "3,3"]


def test_what_is_answered_otherwise_is_a_failure(serve):
    serve(**only_port(15200))
    done = subprocess.run(command("flow-02"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "assigned-external-port is 15200, 3938 is expected" in done.stdout
