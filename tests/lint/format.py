#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# C++ is formatted as .clang-format says, by clang-format 19 (others format differently).
# scripts/lint --fix formats.
import os
import re
import subprocess

import lint


def selects(path):
    return path.startswith(("src/", "apps/", "sim/", "fuzz/", "bench/", "tests/", "include/")) and \
        path.endswith((".h", ".cpp", ".c"))


def check(path, text):
    run = subprocess.run(
        ["clang-format-19", "--dry-run", "--assume-filename=" + os.path.join(lint.ROOT, path)],
        input=text, capture_output=True, check=True, text=True)
    lines = sorted({int(line) for line in re.findall(r":(\d+):\d+: (?:warning|error): code should", run.stderr)})
    return [(lines[0], f"not formatted, here and in {len(lines) - 1} more places: scripts/lint --fix")] if lines else []


if __name__ == "__main__":
    lint.main(
        check, selects,
        bad=[("src/a.cpp", "int  f( ){return 1 ;}\n", "not formatted")],
        good=[("src/a.cpp", "int f() { return 1; }\n")])
