# SPDX-License-Identifier: BSD-2-Clause
"""libportolan, built as for users and installed into a folder of the build tree. It is kept between runs, so that
only changes are built."""

import fcntl
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "library-as-installed"


def run(*command, cwd=None, env=None, timeout=600):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def prefix():
    """Where it is installed."""
    BUILD.mkdir(exist_ok=True)
    installed = BUILD / "prefix"
    with open(BUILD / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("cmake", "-S", ROOT, "-B", BUILD / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DPORTOLAN_TESTS=OFF", "-DPORTOLAN_BENCH=OFF", "-DCMAKE_INSTALL_LIBDIR=lib",
            f"-DCMAKE_INSTALL_PREFIX={installed}")
        run("cmake", "--build", BUILD / "build", "-j2", "--target", "portolan_shared", "portolan_static")
        run("cmake", "--install", BUILD / "build", "--component", "library")
    return installed
