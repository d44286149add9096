# SPDX-License-Identifier: BSD-2-Clause
"""The fixtures of the lab's tests, with the lab's scenario sip."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
import labkit  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="module")
def lab(request):
    suffix = request.module.__name__.removeprefix("test_").replace("_", "-")
    one = labkit.Lab(f"t{os.getpid()}-{suffix}")
    try:
        one.up("--scenario", "sip")
        yield one
    finally:
        one.down()
