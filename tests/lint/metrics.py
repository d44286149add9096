#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Metrics: docs/metrics.md names each one with its type, once, and none that is not; the dashboard and the alerts ask for
# none that is not. The page's alerts are those of the rules for Prometheus.
import json
import re
import sys

import lint

PAGE = "docs/metrics.md"
DASHBOARD = "packaging/grafana/portolan.json"
RULES = "packaging/examples/prometheus-rules.yml"
FAMILY = re.compile(r'\.(counter|gauge|histogram)\(\s*"([a-zA-Z0-9_]+)"')
NAME = re.compile(r"\b(?:portolan|process)_[a-z0-9_]+\b")
SUFFIX = re.compile(r"_(bucket|sum|count)$")
RULE = re.compile(r"^ +expr: (.+)$", re.MULTILINE)


def is_code(path):
    return path.startswith("src/control/metrics/") and path.endswith(".cpp") and not path.endswith("_test.cpp")


def expressions(value):
    """All queries of a dashboard: what is called expr, and the queries of variables."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("expr", "query") and isinstance(each, str):
                yield each
            else:
                yield from expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from expressions(each)


def unknown(expression, types):
    for name in NAME.findall(expression):
        base = SUFFIX.sub("", name)
        if name not in types and types.get(base) != "histogram":
            yield name


def check(files):
    problems, types, documented, alerts = [], {}, {}, set()
    for path in filter(is_code, sorted(files)):
        for match in FAMILY.finditer(files[path]):
            if match[2] in types:
                problems.append((path, lint.line_of(files[path], match.start()), f"{match[2]} is there twice"))
            types[match[2]] = match[1]
    for line, content in enumerate(files[PAGE].split("\n"), 1):
        cells = [cell.strip() for cell in content.strip().strip("|").split("|")]
        if content.startswith("| `") and len(cells) == 4:
            for name in re.findall(r"`([a-z0-9_]+)`", cells[0]):
                if name in documented:
                    problems.append((PAGE, line, f"{name} is also in line {documented[name]}"))
                documented[name] = line
                if name not in types:
                    problems.append((PAGE, line, f"no code tells {name}"))
                elif types[name] != cells[1]:
                    problems.append((PAGE, line, f"{name} is a {types[name]}"))
        elif content.startswith("| `"):
            problems += [(PAGE, line, f"no code tells {name}") for name in unknown(cells[0], types)]
            alerts.add(cells[0].strip("`"))
    problems += [(PAGE, 1, f"{name} is not there") for name in sorted(set(types) - set(documented))]
    rules = set(RULE.findall(files[RULES]))
    problems += [(RULES, 1, f"{alert!r} is not there, or not in {PAGE}") for alert in sorted(alerts ^ rules)]
    queries = list(expressions(json.loads(files[DASHBOARD])))
    if not queries:
        problems.append((DASHBOARD, 1, "has no queries"))
    for query in queries:
        problems += [(DASHBOARD, 1, f"no code tells {name}, of {query!r}") for name in unknown(query, types)]
    return problems


SAMPLE = {
    PAGE: "| metric | type | labels | meaning |\n|---|---|---|---|\n| `portolan_a_total` | counter | | a |\n"
          "| `portolan_b_seconds`, `portolan_c` | histogram | | b |\n\n| expression | means |\n|---|---|\n"
          "| `rate(portolan_b_seconds_bucket[5m]) > 1` | slow |\n",
    RULES: "   expr: rate(portolan_b_seconds_bucket[5m]) > 1\n",
    DASHBOARD: '{"panels": [{"targets": [{"expr": "rate(portolan_a_total[5m])"}]}]}',
    "src/control/metrics/a_metrics.cpp": '  out.counter(\n  "portolan_a_total", "A.");\n'
                                         'out.histogram("portolan_b_seconds", "B.");\n'
                                         'out.histogram("portolan_c", "C.");\n',
}
BAD = [
    (PAGE, "`portolan_a_total`", "`portolan_x_total`", "no code tells portolan_x_total"),
    (PAGE, "`portolan_a_total`", "`portolan_x_total`", "portolan_a_total is not there"),
    (PAGE, "| counter |", "| gauge |", "is a counter"),
    (PAGE, ", `portolan_c`", ", `portolan_a_total`", "also in line"),
    (PAGE, "portolan_b_seconds_bucket", "portolan_a_bucket", "no code tells portolan_a_bucket"),
    (RULES, "> 1", "> 2", "> 2' is not there, or not in"),
    (DASHBOARD, "portolan_a_total", "portolan_d_total", "no code tells portolan_d_total"),
    (DASHBOARD, '"expr"', '"text"', "has no queries"),
    ("src/control/metrics/a_metrics.cpp", "portolan_c", "portolan_a_total", "is there twice"),
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
                            if path in (PAGE, DASHBOARD, RULES) or is_code(path)})
    for where, at, what in problems_found:
        print(f"{where}:{at}: {what}")
    sys.exit(1 if problems_found else 0)
