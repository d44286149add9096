#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Log messages: each has an id of its own, and an entry in docs/messages.md with its level, its sentence, and
# what it means. Nothing is logged but by io/log.h.
import re
import sys

import lint

PAGE = "docs/messages.md"
LOG = ("src/io/log.h", "src/io/log.cpp")
LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
CALL = re.compile(r"\blog::(debug|info|warn|error)\(")
ARGUMENTS = re.compile(r'\s*"([^"]*)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)[,)]')
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ENTRY = re.compile(r"^### (.*)\n(.*)\n(?:\n((?:(?!#).*\n?)*))?", re.MULTILINE)
SAYS = re.compile(r'(debug|info|warning|error): "(.*)"')


def is_code(path):
    return (path.startswith(("src/", "apps/")) and path.endswith((".cpp", ".h")) and path not in LOG
            and not re.search(r"_test\.cpp$|/test[^/]*$", path))


def read_code(files):
    """{id: (level, sentence, path, line)}, problems."""
    messages, problems = {}, []
    for path in filter(is_code, sorted(files)):
        text = files[path]
        for match in re.finditer(r"\bspdlog\b", text):
            problems.append((path, lint.line_of(text, match.start()), "spdlog: log by io/log.h"))
        for match in CALL.finditer(text):
            line = lint.line_of(text, match.start())
            arguments = ARGUMENTS.match(text, match.end())
            if not arguments:
                problems.append((path, line, "id and sentence are literals, so that they can be found"))
                continue
            identifier = arguments[1]
            sentence = "".join(LITERAL.findall(arguments[2])).replace('\\"', '"')
            if not ID.fullmatch(identifier):
                problems.append((path, line, f"id '{identifier}': small letters and digits, with hyphens"))
            said = (LEVELS[match[1]], sentence)
            known = messages.setdefault(identifier, (*said, path, line))
            if known[:2] != said:
                problems.append((path, line, f"id '{identifier}' is another message in {known[2]}:{known[3]}"))
    return messages, problems


def check(files):
    messages, problems = read_code(files)
    page, documented = files[PAGE], {}
    for match in ENTRY.finditer(page):
        identifier, line = match[1], lint.line_of(page, match.start())
        if identifier in documented:
            problems.append((PAGE, line, f"{identifier} is also in line {documented[identifier]}"))
        documented[identifier] = line
        if identifier not in messages:
            problems.append((PAGE, line, f"no code says {identifier}"))
            continue
        level, sentence, path, at = messages[identifier]
        said = SAYS.fullmatch(match[2])
        if not said or (said[1], said[2]) != (level, sentence):
            problems.append((PAGE, line + 1, f'write as in {path}:{at}: {level}: "{sentence}"'))
        if not (match[3] or "").strip():
            problems.append((PAGE, line, f"{identifier}: say what it means and what to do"))
    for identifier in sorted(set(messages) - set(documented)):
        _, _, path, line = messages[identifier]
        problems.append((path, line, f"{PAGE} has no entry '### {identifier}'"))
    return problems


SAMPLE = {
    PAGE: '# Messages\n\n## Store\n\n### store-full\nerror: "store {path} is \"full\""\n\nMake room.\n\n'
          '### ready\ninfo: "ready"\n\nIt serves.\n',
    "src/io/log.cpp": "spdlog::log();\n",
    "src/store/a.cpp": 'io::log::error("store-full",\n  "store {path} is "\n  "\\"full\\"", path);\n',
    "apps/a/main.cpp": 'io::log::info("ready", "ready");\n',
    "apps/b/main.cpp": 'io::log::info("ready", "ready");\n',
    "src/store/a_test.cpp": 'log::info("of-a-test", "x");\n',
}

# File, what is replaced by what, and what is to be said then.
BAD = [
    (PAGE, "### ready", "### steady", "no code says steady"),
    (PAGE, "### ready", "### steady", "no entry '### ready'"),
    (PAGE, "### ready", "### store-full", "also in line"),
    (PAGE, 'info: "ready"', 'info: "steady"', "write as in apps/a/main.cpp:1"),
    (PAGE, 'info: "ready"', 'debug: "ready"', "write as in apps/a/main.cpp:1"),
    (PAGE, "Make room.\n", "", "say what it means"),
    (PAGE, "\nIt serves.\n", "", "say what it means"),
    ("apps/b/main.cpp", '"ready")', '"steady")', "is another message in apps/a/main.cpp:1"),
    ("apps/b/main.cpp", "info", "warn", "is another message in apps/a/main.cpp:1"),
    ("apps/b/main.cpp", '"ready", ', '"Ready", ', "small letters"),
    ("apps/b/main.cpp", '"ready")', "text)", "are literals"),
    ("apps/b/main.cpp", "io::log", "spdlog", "log by io/log.h"),
]


def self_test():
    wrong = [f"self-test: the good sample has {problem}" for problem in check(SAMPLE)]
    for path, old, new, expected in BAD:
        assert old in SAMPLE[path], old
        found = [message for _, _, message in check(SAMPLE | {path: SAMPLE[path].replace(old, new, 1)})]
        if not any(expected in message for message in found):
            wrong.append(f"self-test: with {new!r} for {old!r} nothing says {expected!r}: {found}")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    problems_found = check({path: lint.read_text(path) or "" for path in lint.tracked_files()
                            if path == PAGE or is_code(path)})
    for where, at, what in problems_found:
        print(f"{where}:{at}: {what}")
    sys.exit(1 if problems_found else 0)
