#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Every file: a licence line, no more than 700 lines, no paths of one machine, no package registries
# (builds use what the host is configured for), no notes to self.
import re

import lint

LINES_MAX = 700
LICENCE = "SPDX-License-Identifier: BSD-2-Clause"
# No place for a comment, or one that readers would see.
WITHOUT_LICENCE_LINE = re.compile(r"\.(md|json|pcap|pcapng|png|svg|jpg)$|(^|/)(LICENSE|\.gitignore)$|^fuzz/corpus/|"
                                  r"^packaging/debian/(changelog|copyright|source/format)$")

# Written by tests; nobody maintains it by hand.
GENERATED = {"docs/flows.md"}

FORBIDDEN = [
    (re.compile(r"/(?:work|root|home)/[\w.]"), "path of one machine"),
    (re.compile(r"\b(?:deb|security|snapshot|ftp)\.debian\.org\b|\bregistry\.npmjs\.org\b|\bpypi\.org\b"
                r"|\bfiles\.pythonhosted\.org\b|\bcrates\.io\b|\bproxy\.golang\.org\b|\bghcr\.io\b"
                r"|\bdocker\.io\b|\bquay\.io\b"), "host of a registry: use what the machine is set up for"),
    (re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"), "note to self: do it, or open an issue"),
]


def selects(path):
    # This folder holds the forbidden words themselves.
    return not path.startswith("fuzz/corpus/") and path != "tests/lint/files.py"


def check(path, text):
    problems = []
    lines = text.count("\n")
    if lines > LINES_MAX and path not in GENERATED:
        problems.append((lines, f"{lines} lines, more than {LINES_MAX}: split it by purpose"))
    if not WITHOUT_LICENCE_LINE.search(path) and LICENCE not in "\n".join(text.split("\n", 4)[:4]):
        problems.append((1, f"no line '{LICENCE}' near the top"))
    for pattern, message in FORBIDDEN:
        for match in pattern.finditer(text):
            problems.append((lint.line_of(text, match.start()), f"'{match[0]}': {message}"))
    return problems


if __name__ == "__main__":
    head = f"// {LICENCE}\n"
    lint.main(
        check, selects,
        bad=[
            ("src/a.cpp", "int a;\n", "no line"),
            ("src/a.cpp", head + "\n" * LINES_MAX, "more than 700"),
            ("docs/a.md", "see /home/me/x\n", "path of one machine"),
            ("scripts/a", head + "curl https://pypi.org/x\n", "registry"),
            ("src/a.cpp", head + "// TODO: later\n", "note to self"),
        ],
        good=[
            ("src/a.cpp", head + "\n" * (LINES_MAX - 1)),
            ("CMakePresets.json", "{}\n"),
            ("docs/flows.md", "\n" * (LINES_MAX + 1)),
            ("scripts/a", "#!/bin/bash\n# " + LICENCE + "\nls /run /etc /homework\n"),
        ])
