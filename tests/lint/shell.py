#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Shell scripts, found by their first line, are clean by shellcheck.
import json
import re
import subprocess

import lint

SHELL = re.compile(r"\A#!\s*(?:/usr)?/bin/(?:env )?(?:bash|sh)\b")
# 2317: takes functions called by name for unreachable. 1091: does not follow sourced files. 2016: takes
# a dollar in single quotes for a mistake.
EXCLUDED = "SC2317,SC1091,SC2016"


def selects(path):
    return not path.startswith("fuzz/corpus/")


def check(path, text):
    del path
    if not SHELL.match(text):
        return []
    run = subprocess.run(["shellcheck", "--format=json", "--exclude=" + EXCLUDED, "-"],
                         input=text, capture_output=True, text=True)
    return [(item["line"], f"SC{item['code']}: {item['message']}") for item in json.loads(run.stdout)]


if __name__ == "__main__":
    lint.main(
        check, selects,
        bad=[("scripts/a", "#!/bin/bash\nrm $1\n", "SC2086")],
        good=[("scripts/a", '#!/bin/bash\nrm "$1"\n'), ("src/a.cpp", "rm $1\n")])
