# SPDX-License-Identifier: BSD-2-Clause
#
# libportolan as others get it: built as for users, installed into a folder, and used from there by programs
# that know nothing of this tree. What it exports is the promise: symbols.txt.
import os
import re
import subprocess
import threading

import pytest
from conftest import BUILD, ROOT, run
from server import Server

# What belongs to libc and libstdc++ themselves.
SYSTEM_LIBRARIES = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2",
                    "ld-linux-aarch64.so.1"}


def promised():
    lines = (ROOT / "tests/library/symbols.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


@pytest.fixture(scope="session")
def shared_library(prefix):
    return prefix / "lib" / "libportolan.so"


@pytest.fixture(scope="session")
def programs(prefix):
    """The installed examples, built as their own comments say: by pkg-config and by CMake."""
    env = dict(os.environ, PKG_CONFIG_PATH=str(prefix / "lib" / "pkgconfig"))
    flags = run("pkg-config", "--cflags", "--libs", "portolan", env=env).split()
    examples = next(prefix.glob("share/doc/*/examples"))
    folder = BUILD / "examples"
    folder.mkdir(exist_ok=True)
    run("cc", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-std=c11", examples / "map.c", *flags, "-o",
        folder / "map_c")
    run("cmake", "-S", examples, "-B", folder / "cmake", f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror")
    run("cmake", "--build", folder / "cmake")
    return {"c": folder / "map_c", "c++": folder / "cmake" / "map_cpp", "static": folder / "cmake" / "map_static"}


def test_exports_what_was_promised_and_nothing_else(shared_library):
    listing = run("nm", "--dynamic", "--defined-only", "--format=posix", shared_library)
    symbols = {line.split()[0] for line in listing.splitlines()}
    # The version's node is a symbol of its own, which linkers write in different ways.
    symbols = {symbol for symbol in symbols if symbol.partition("@")[0] != "PORTOLAN_0"}
    assert symbols == {f"{name}@@PORTOLAN_0" for name in promised()}


def test_the_header_declares_what_is_exported(prefix):
    header = (prefix / "include/portolan/portolan.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^PORTOLAN_API [^;(]*?\b(portolan_\w+)\(", header, re.MULTILINE))
    assert declared == promised()


def test_the_static_library_shows_no_other_name(prefix):
    listing = run("nm", "--extern-only", "--defined-only", "--format=posix", prefix / "lib/libportolan.a")
    names = {line.split()[0] for line in listing.splitlines() if len(line.split()) > 1}
    ours = {name for name in names if "portolan" in name or "fmt" in name}
    assert ours == promised()


def test_needs_only_libc_and_libstdcxx(shared_library):
    dynamic = run("readelf", "--dynamic", "--wide", shared_library)
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    assert needed <= SYSTEM_LIBRARIES and "libc.so.6" in needed
    assert re.findall(r"SONAME.*\[(.*)\]", dynamic) == ["libportolan.so.0"]


def test_headers_stand_alone_in_c_and_cxx(prefix):
    include = f"-I{prefix / 'include'}"
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-xc", "-"]
    for command in (["cc", "-std=c99", include, *strict],
                    ["c++", "-std=c++11", include, *strict[:-2], "-xc++", "-"]):
        done = subprocess.run(command, input="#include <portolan/portolan.h>\n", text=True, capture_output=True,
                              check=False)
        assert done.returncode == 0, done.stderr
    done = subprocess.run(["c++", "-std=c++20", include, *strict[:-2], "-xc++", "-"], text=True,
                          input="#include <portolan/portolan.hpp>\nint main() { portolan::Client client; }\n",
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["c", "c++", "static"])
def test_an_installed_example_maps_a_port_and_leaks_nothing(prefix, programs, kind):
    with Server() as server:
        output = run("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all",
                     "--errors-for-leak-kinds=definite,indirect,possible", "--track-fds=yes", programs[kind],
                     "8080", "0", server.name, env=dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib")))
    assert "tcp 127.0.0.1:8080 is reachable at 192.0.2.14:40000" in output
    assert "external 192.0.2.14:40000" in output
    assert "given back" in output
    assert server.lifetimes == [7200, 0]


def test_a_refusal_is_told_and_fails(prefix, programs):
    with Server(result=2) as server:
        done = subprocess.run([programs["c"], "8080", "0", server.name], text=True, capture_output=True, timeout=60,
                              check=False, env=dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib")))
    assert done.returncode == 1
    assert "NOT_AUTHORIZED" in done.stdout
    assert threading.active_count() == 1
