# SPDX-License-Identifier: BSD-2-Clause
"""Runs clang-tidy over C++ files, two or as many at a time as there are cores.

A file in which nothing was found is not looked at again as long as what the compiler would read of it, the checks
and clang-tidy stay the same; build/tidy/clean remembers those.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

CHECKED = ("src/*.cpp", "apps/*.cpp", "fuzz/*.cpp", "sim/*.cpp", "bench/*.cpp", "tests/*.cpp")
BUILD = "build/tidy"
CLEAN = os.path.join(BUILD, "clean")
# The plugin: own_code.cpp.
TIDY = ("clang-tidy-19", "-p", BUILD, f"-load={BUILD}/tidy_own_code.so", "--quiet", "--warnings-as-errors=*")
# The analyzer looks at what is ours in src. Analysing GoogleTest's macros path by path takes longer than all else, and
# in programs it stumbles over libraries' std::function; both run with sanitizers.
OTHER_CHECKS = ["--checks=-clang-analyzer-*"]
# States of a function that it looks at, at most: a tenth of the default, for a sixth of the time.
ANALYSIS = [f"--extra-arg={argument}" for argument in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=20000")]


def output_of(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout


def is_analysed(file):
    return file.startswith("src/") and re.search(r"_test\.cpp$|/test[^/]*\.cpp$", file) is None


class Tidy:
    def __init__(self):
        with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as commands:
            self.commands = {os.path.realpath(command["file"]): command for command in json.load(commands)}
        with open(".clang-tidy", encoding="utf-8") as checks:
            self.common = " ".join(TIDY) + output_of(["clang-tidy-19", "--version"]) + checks.read()

    def stamp(self, file, checks):
        """Where it is remembered that nothing was found in what `file` is now; None if that can't be told."""
        command = self.commands.get(os.path.realpath(file))
        if command is None:
            return None
        # Comments too: some switch checks off.
        words = [word for word in shlex.split(command["command"]) if word not in ("-c", "-MD")]
        if "-include-pch" in words:  # What was precompiled is read too.
            del words[words.index("-include-pch") - 1:words.index("-include-pch") + 3]
        read = subprocess.run(["clang++-19", *words[1:], "-E", "-P", "-C", "-w", "-o", "-"], cwd=command["directory"],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if read.returncode != 0:
            return None
        facts = "\0".join([self.common, *checks, file, *words]).encode() + read.stdout
        return os.path.join(CLEAN, hashlib.sha256(facts).hexdigest())

    def look_at(self, file):
        """(file, what clang-tidy says if it finds something)"""
        checks = ANALYSIS if is_analysed(file) else OTHER_CHECKS
        stamp = self.stamp(file, checks)
        if stamp is not None and os.path.exists(stamp):
            return file, None
        run = subprocess.run([*TIDY, *checks, file], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            if stamp is not None:
                with open(stamp, "w", encoding="utf-8"):
                    pass
            return file, None
        # The rest of stderr counts suppressed warnings.
        errors = [line for line in run.stderr.splitlines() if "error:" in line]
        return file, "\n".join([run.stdout.rstrip(), *errors]).strip() or f"{file}: clang-tidy ended with {run.returncode}"


def main():
    files = sys.argv[1:] or output_of(["git", "ls-files", *CHECKED]).split()
    os.makedirs(CLEAN, exist_ok=True)
    tidy = Tidy()
    found = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (file, findings) in enumerate(pool.map(tidy.look_at, files), 1):
            if findings is not None:
                found += 1
                print(findings, flush=True)
            if sys.stderr.isatty():
                print(f"\r\033[Kclang-tidy: {done} of {len(files)} files, {file}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if found:
        sys.exit(f"scripts/lint: clang-tidy has findings in {found} of {len(files)} files")
    print(f"scripts/lint: clang-tidy finds nothing in {len(files)} files")


if __name__ == "__main__":
    main()
