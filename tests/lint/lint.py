# SPDX-License-Identifier: BSD-2-Clause
#
# What the lints share. A lint is a program that prints one line a problem, "path:line: what, and what to
# do", and exits 1 if there is one. With --self-test it must find a problem in each of its bad samples
# and none in its good ones.
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def tracked_files():
    """Paths of tracked files that exist, relative to ROOT; symbolic links and submodules apart."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=" + ROOT, "-C", ROOT, "ls-files", "-z", "--stage"],
        capture_output=True, check=True, text=True).stdout
    paths = set()
    for entry in listing.split("\0"):
        mode, _, path = entry.partition("\t")
        if mode.startswith("100") and os.path.isfile(os.path.join(ROOT, path)):
            paths.add(path)
    return sorted(paths)


def read_text(path):
    """The text of a tracked file, or None if it is binary."""
    with open(os.path.join(ROOT, path), "rb") as file:
        octets = file.read()
    if b"\0" in octets[:8000]:
        return None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return None


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def main(check, selects, bad, good):
    """Runs check(path, text) -> [(line, message)] over the tracked files for which selects(path).

    bad is a list of (path, text, part of the expected message), good of (path, text)."""
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test(check, selects, bad, good))
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    problems = 0
    for path in filter(selects, tracked_files()):
        text = read_text(path)
        if text is None:
            continue
        for line, message in check(path, text):
            print(f"{path}:{line}: {message}")
            problems += 1
    sys.exit(1 if problems else 0)


def self_test(check, selects, bad, good):
    wrong = 0
    for path, text, expected in bad:
        messages = [message for _, message in check(path, text)] if selects(path) else []
        if not any(expected in message for message in messages):
            print(f"self-test: in {path!r} {text!r} nothing says {expected!r}: {messages}")
            wrong += 1
    for path, text in good:
        messages = check(path, text) if selects(path) else []
        if messages:
            print(f"self-test: {path!r} {text!r} is good, but: {messages}")
            wrong += 1
    return 1 if wrong or not bad else 0
