#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# RFC citations: one form, "RFC 6887 s8.2", further sections of the same RFC as ", s8.3", appendices as
# "sA"; and the RFC and its sections exist, by rfc_sections.txt.
import os
import re

import lint

CITATION = re.compile(r"\bRFC (\d+)\b((?:(?:,| and| or)? s[0-9A-Z](?:\.\d+)*\d*(?:\.\d+)*)*)")
SECTION = re.compile(r"\bs([0-9A-Z][0-9.]*[0-9]|[0-9A-Z])")
WRONG_FORMS = [
    (re.compile(r"\bRFC[-_]?\d{3,5}\b"), "write 'RFC NNNN'"),
    (re.compile(r"\bRFC  +\d|\brfc \d{3,5}\b|\bRfc \d"), "write 'RFC NNNN'"),
    (re.compile(r"\bRFC \d+(?:'s)?,? ?(?:[Ss]ec(?:tion|\.)|§|[Aa]ppendix)"), "write 'RFC NNNN sX.Y'"),
    (re.compile(r"[Ss]ec(?:tion|\.) ?[0-9.]+,? of RFC"), "write 'RFC NNNN sX.Y'"),
    (re.compile(r"\bRFC \d+, s\d"), "write 'RFC NNNN sX.Y'"),
]
# A citation may run over the end of a comment line.
LINE_BREAK = re.compile(r"[ \t]*\n[ \t]*(?://[/!]?|#|\*)?[ \t]*")


def load_known():
    known = {}
    with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "rfc_sections.txt")) as file:
        for line in file:
            if not line.startswith("#"):
                number, *sections = line.split()
                known[number] = set(sections)
    return known


KNOWN = load_known()


def selects(path):
    return not path.startswith(("tests/lint/", "fuzz/corpus/")) and path != "LICENSE"


def flatten(text):
    """text with line breaks inside comments made one space, and for each offset its line."""
    flat, lines, line, end = [], [], 1, 0
    for match in LINE_BREAK.finditer(text):
        flat.append(text[end:match.start()] + " ")
        lines += [line] * len(flat[-1])
        line += 1
        end = match.end()
    flat.append(text[end:])
    lines += [line] * (len(flat[-1]) + 1)
    return "".join(flat), lines


def check(path, text):
    del path
    problems = []
    flat, lines = flatten(text)
    for pattern, advice in WRONG_FORMS:
        for match in pattern.finditer(flat):
            problems.append((lines[match.start()], f"'{match[0]}': {advice}"))
    for match in CITATION.finditer(flat):
        number = match[1]
        if number not in KNOWN:
            problems.append((lines[match.start()], f"RFC {number} is not in tests/lint/rfc_sections.txt: "
                             "is the number right? Then add it"))
            continue
        for section in SECTION.findall(match[2]):
            if section not in KNOWN[number]:
                problems.append((lines[match.start()], f"RFC {number} has no section {section}"))
    return problems


if __name__ == "__main__":
    lint.main(
        check, selects,
        bad=[
            ("src/a.h", "// RFC6887 s8.2\n", "write 'RFC NNNN'"),
            ("src/a.h", "// RFC 6887 section 8.2\n", "write 'RFC NNNN sX.Y'"),
            ("src/a.h", "// section 8.2 of RFC 6887\n", "write 'RFC NNNN sX.Y'"),
            ("src/a.h", "// RFC 6687 specifies PCP\n", "RFC 6687 is not in"),
            ("src/a.h", "// RFC 6887 s8.9\n", "no section 8.9"),
            ("src/a.h", "// RFC 6887 s7.1, s7.3, s99.1\n", "no section 99.1"),
            ("src/a.h", "// as RFC\n// 6887 s8.9\n", "no section 8.9"),
            ("src/a.h", "// RFC 6887\n/// s8.9\n", "no section 8.9"),
        ],
        good=[
            ("src/a.h", "// RFC 6887 s7.1 (header), RFC 6146 s3.5.1.1\n"),
            ("src/a.h", "// RFC 6887 s8.1.1.\n// RFC 6887's tables; RFC 6887 sA\n"),
            ("src/a.h", "// (RFC 6887 s7.4, RFC 7652 s7)\n"),
        ])
