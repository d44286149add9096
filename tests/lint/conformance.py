#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# docs/conformance.md: each row's code and tests exist, a row without test is open and says why, and the rows
# of a section, with what tests/lint/rfc_requirements.txt says is for others, account for every MUST and
# SHOULD of it.
import collections
import os
import re
import sys

import citations
import lint

PAGE = "docs/conformance.md"
COUNTS = "tests/lint/rfc_requirements.txt"
KEYWORDS = {"MUST", "MUST NOT", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "REQUIRED", "RECOMMENDED", "NOT RECOMMENDED"}
COLUMNS = 6
ROW_ID = re.compile(r"^(\d+)-([0-9A-Z.]+)-(\d+)$")
HEADING = re.compile(r"^## RFC (\d+)\b")
QUOTED = re.compile(r"`([^`]+)`")
OPEN = re.compile(r"\*\*open\*\*: \S.*\S")
GOOGLE_TEST = re.compile(r"\b(?:TEST|TEST_F|TEST_P|TYPED_TEST_P|RC_GTEST_PROP)\(\s*(\w+),\s*(\w+)")
CODE_FOLDERS = ("include/", "src/", "apps/")


def is_test_file(path):
    return path.startswith(("src/", "sim/", "apps/", "tests/")) and re.search(r"_test\.(cpp|h)$", path)


def google_tests(files):
    """Names "Suite.name" of all tests in files, a mapping from path to text."""
    return {f"{suite}.{name}" for path, text in files.items() if is_test_file(path)
            for suite, name in GOOGLE_TEST.findall(text)}


def check_code(cell, files):
    """Each path is followed by the symbols that it holds: `src/a.cpp` `A::b`, `c`."""
    problems, path, symbols = [], None, 0
    for quoted in QUOTED.findall(cell):
        if "/" in quoted:
            if path is not None and symbols == 0:
                problems.append(f"{path} is followed by no symbol")
            path, symbols = quoted, 0
            if quoted not in files or not quoted.startswith(CODE_FOLDERS):
                problems.append(f"there is no source file {quoted}")
            continue
        symbols += 1
        if path is None:
            problems.append(f"{quoted} is of no file: write its path before it")
        for word in quoted.split("::"):
            if path in files and not re.search(rf"\b{re.escape(word)}\b", files[path]):
                problems.append(f"{path} has no {word}")
    if path is not None and symbols == 0:
        problems.append(f"{path} is followed by no symbol")
    return problems


def check_test(name, files, known):
    if "::" not in name:
        return [] if name in known else [f"there is no test {name}"]
    path, function = name.split("::", 1)
    if not re.search(rf"^def {re.escape(function)}\(", files.get(path, ""), re.MULTILINE):
        return [f"there is no test {name}"]
    return []


def check_row(cells, rfc, files, known):
    """What is wrong with a row of the tables, and the keywords it accounts for: ([message], section, number)."""
    name, section, requirement, strength, code, tests = cells
    match = ROW_ID.match(name)
    if not match or match[1] != rfc or match[2] != section:
        return [f"id '{name}' is not '{rfc}-{section}-number'"], None, 0
    problems = []
    if section not in citations.KNOWN.get(rfc, ()):
        problems.append(f"RFC {rfc} has no section {section}")
    if not requirement:
        problems.append("says no requirement")
    keywords = strength.split(", ")
    problems += [f"'{keyword}' is no keyword" for keyword in keywords if keyword not in KEYWORDS]
    names = QUOTED.findall(tests)
    is_open = OPEN.search(tests)
    if not is_open and "open" in QUOTED.sub("", tests):
        problems.append("write '**open**: reason'")
    elif not is_open and not names:
        problems.append("has no test: write one, or '**open**: reason'")
    # The reason may quote anything.
    for test in QUOTED.findall(tests[:is_open.start()] if is_open else tests):
        problems += check_test(test, files, known)
    if not is_open and not QUOTED.search(code):
        problems.append("names no code")
    return problems + check_code(code, files), section, len(keywords)


def read_counts(text):
    """{(rfc, section): (line, keywords, for clients, for others)} and the problems in it."""
    counts, problems = {}, []
    for line, content in enumerate(text.splitlines(), 1):
        if not content or content.startswith("#"):
            continue
        fields = content.split()
        if len(fields) != 5 or not all(field.isdigit() for field in fields[2:]):
            problems.append((COUNTS, line, "write 'rfc section keywords client other'"))
            continue
        rfc, section = fields[:2]
        if section not in citations.KNOWN.get(rfc, ()):
            problems.append((COUNTS, line, f"RFC {rfc} has no section {section}"))
        if (rfc, section) in counts:
            problems.append((COUNTS, line, f"RFC {rfc} s{section} is here twice"))
        counts[rfc, section] = (line, *map(int, fields[2:]))
    return counts, problems


def check(files):
    """[(path, line, message)] for the tree `files`, a mapping from path to text."""
    known = google_tests(files)
    problems, seen, rows = [], {}, collections.Counter()
    rfc = None
    for line, content in enumerate(files[PAGE].splitlines(), 1):
        if heading := HEADING.match(content):
            rfc = heading[1]
        cells = [cell.strip() for cell in content.strip().strip("|").split("|")]
        if rfc is None or not content.startswith("|") or cells[0] == "id" or set(cells[0]) == {"-"}:
            continue
        if len(cells) != COLUMNS:
            problems.append((PAGE, line, f"{len(cells)} columns instead of {COLUMNS}"))
            continue
        if cells[0] in seen:
            problems.append((PAGE, line, f"id {cells[0]} is also in line {seen[cells[0]]}"))
        seen[cells[0]] = line
        messages, section, number = check_row(cells, rfc, files, known)
        problems += [(PAGE, line, f"{cells[0]}: {message}") for message in messages]
        if section is not None:
            rows[rfc, section] += number
    counts, wrong = read_counts(files[COUNTS])
    problems += wrong
    for key in sorted(set(rows) - set(counts)):
        problems.append((COUNTS, 1, f"RFC {key[0]} s{key[1]} has rows in {PAGE} and is not counted here"))
    for (number, section), (line, keywords, client, other) in counts.items():
        if rows[number, section] + client + other != keywords:
            problems.append((COUNTS, line, f"RFC {number} s{section}: {keywords} keywords, but "
                             f"{rows[number, section]} in rows of {PAGE} + {client} + {other}"))
    return problems


SAMPLE = {
    PAGE: "## RFC 6887\n"
          "| id | section | requirement | strength | code | test |\n"
          "|---|---|---|---|---|---|\n"
          "| 6887-8.2-1 | 8.2 | checks in order | SHOULD | `src/a.cpp` `Server::admit` | `Server.is_good` |\n"
          "| 6887-8.2-2 | 8.2 | two | MUST, MUST NOT | `src/a.cpp` `admit`, `b` | `tests/flows/test_a.py::test_b` |\n"
          "| 6887-8.5-1 | 8.5 | not yet | MUST | | **open**: nobody wrote it |\n",
    COUNTS: "# rfc section keywords client other\n6887 8.2 4 1 0\n6887 8.5 2 0 1\n6887 3 9 0 9\n",
    "src/a.cpp": "void Server::admit() { b(); }\n",
    "src/a_test.cpp": "TEST(Server, is_good) {}\n",
    "tests/flows/test_a.py": "def test_b(serve):\n",
}

# File, what is replaced by what, and what is to be said then.
BAD = [
    (PAGE, "`src/a.cpp` `Server", "`src/b.cpp` `Server", "no source file src/b.cpp"),
    (PAGE, "`Server::admit`", "`Server::admits`", "src/a.cpp has no admits"),
    (PAGE, "`src/a.cpp` `Server::admit`", "`src/a.cpp`", "followed by no symbol"),
    (PAGE, "`src/a.cpp` `Server::admit`", "", "names no code"),
    (PAGE, "Server.is_good", "Server.is_bad", "no test Server.is_bad"),
    ("src/a_test.cpp", "is_good", "is_better", "no test Server.is_good"),
    ("tests/flows/test_a.py", "test_b", "test_bb", "no test tests/flows/test_a.py::test_b"),
    (PAGE, "6887-8.2-2", "6887-8.2-1", "also in line"),
    (PAGE, "6887-8.2-2", "6887-8.3-2", "is not '6887-8.2-number'"),
    (PAGE, "8.5-1 | 8.5", "8.9-1 | 8.9", "has no section 8.9"),
    (PAGE, "`Server.is_good`", "", "has no test"),
    (PAGE, "**open**: nobody wrote it", "**open**", "write '**open**: reason'"),
    (PAGE, "| SHOULD |", "| MAY |", "'MAY' is no keyword"),
    (PAGE, "MUST, MUST NOT", "MUST", "4 keywords, but 2 in rows"),
    (PAGE, "| checks in order ", "", "5 columns instead of 6"),
    (COUNTS, "6887 8.2 4 1 0\n", "", "s8.2 has rows"),
    (COUNTS, "6887 8.5 2 0 1", "6887 8.5 3 0 1", "3 keywords, but 1 in rows"),
    (COUNTS, "6887 3 9 0 9", "6887 8.9 9 0 9", "has no section 8.9"),
    (COUNTS, "6887 3 9 0 9", "6887 8.5 1 0 0", "is here twice"),
    (COUNTS, "6887 3 9 0 9", "6887 3 9", "write 'rfc section"),
]


def self_test():
    wrong = [f"self-test: the good sample has {problem}" for problem in check(SAMPLE)]
    for path, old, new, expected in BAD:
        assert old in SAMPLE[path], old
        messages = [message for _, _, message in check(SAMPLE | {path: SAMPLE[path].replace(old, new, 1)})]
        if not any(expected in message for message in messages):
            wrong.append(f"self-test: with {new!r} for {old!r} nothing says {expected!r}: {messages}")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


def read_tree():
    files = {path: lint.read_text(path) or "" for path in lint.tracked_files()
             if path.startswith(CODE_FOLDERS + ("sim/", "tests/", "docs/"))}
    for path in (PAGE, COUNTS):
        if not os.path.isfile(os.path.join(lint.ROOT, path)):
            sys.exit(f"{path} is missing")
        files[path] = lint.read_text(path)
    return files


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    found = check(read_tree())
    for where, at, what in found:
        print(f"{where}:{at}: {what}")
    sys.exit(1 if found else 0)
