#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Every log that the documentation, an error or an example names is one that the package's logrotate(8) takes.
import fnmatch
import re

import lint

STANZA = "packaging/debian/portolan-server.logrotate"
LOG = re.compile(r"/var/log/portolan/[\w.-]+")
PATTERNS = [word for line in lint.read_text(STANZA).split("\n") if line.endswith("{") for word in line.split()[:-1]]


def selects(path):
    return path.startswith(("apps/", "docs/", "lab/", "packaging/", "src/")) and path != STANZA


def check(_, text):
    return [(lint.line_of(text, match.start()), f"{STANZA} does not take {match[0]}") for match in LOG.finditer(text)
            if not any(fnmatch.fnmatch(match[0], pattern) for pattern in PATTERNS)]


if __name__ == "__main__":
    lint.main(
        check, selects,
        bad=[("docs/a.md", 'event_log = "/var/log/portolan/others"\n', "does not take /var/log/portolan/others")],
        good=[("docs/a.md", '"/var/log/portolan/nat64-events" "/var/log/portolan/mappings" /var/log/portolan\n')])
