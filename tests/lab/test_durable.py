# SPDX-License-Identifier: BSD-2-Clause
"""portoland is killed again and again with `store = "sqlite"`, while other hosts' traffic asks for ports: every
mapping leads to its host again at the port it had, and its host need not ask for it."""
import os

import pytest

from labkit import KILL_ROUNDS, Lab, Mappings, ROOT, Rivals


@pytest.fixture
def lab(machine, tmp_path):  # pylint: disable=unused-argument
    config = tmp_path / "portoland.toml"
    config.write_text((ROOT / "lab" / "portoland.toml").read_text().replace('store = "memory"', 'store = "sqlite"'))
    one = Lab(f"t{os.getpid()}-durable")
    try:
        one.up("--config", config)
        yield one
    finally:
        one.down()


def test_killed_under_traffic_no_mapping_is_lost_or_renumbered(lab):
    # From ports that the system chooses, and from just those that were promised.
    with Mappings(lab) as mappings, Rivals(lab, [0] * 160 + list(mappings.inside)):
        for number in range(1, KILL_ROUNDS + 1):
            lab.server("kill")
            lab.server("start")
            restored = [line for line in lab.server_log().splitlines() if "restored" in line]
            assert restored[-1].endswith(f"{len(mappings.ports)} mappings restored, 0 had expired; the epoch goes on")
            mappings.check(f"round {number}")
