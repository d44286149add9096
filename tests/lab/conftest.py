# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the lab's tests: one lab per module, always torn down.

Where a lab can't run (no root, no namespaces) the tests fail and say why; they are never skipped,
because a skipped test proves nothing and looks like one that passed.
"""
import os

import pytest

import labkit


@pytest.fixture(scope="session", autouse=True)
def machine():
    if os.geteuid() != 0:
        pytest.fail("the lab's tests need root (network namespaces): run them with sudo", pytrace=False)
    if not os.environ.get("PORTOLAN_BUILD"):
        pytest.fail("PORTOLAN_BUILD must name the build directory; ctest sets it", pytrace=False)


@pytest.fixture(scope="module")
def lab(request, machine):
    suffix = request.module.__name__.removeprefix("test_").replace("_", "-")
    one = labkit.Lab(f"t{os.getpid()}-{suffix}")
    try:
        one.up()
        yield one
    finally:
        one.down()
