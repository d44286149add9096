# SPDX-License-Identifier: BSD-2-Clause
"""The fixtures: the lab with its scenario sip, or a peer in the test's own network namespace."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
import labkit  # noqa: E402  pylint: disable=wrong-import-position
import peerkit  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="module")
def lab(request):
    suffix = request.module.__name__.removeprefix("test_").replace("_", "-")
    one = labkit.Lab(f"t{os.getpid()}-{suffix}")
    try:
        one.up("--scenario", "sip")
        yield one
    finally:
        one.down()


@pytest.fixture
def peer():
    peerkit.loopback_up()
    with peerkit.SipPeer() as one:
        yield one
