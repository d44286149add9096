#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# prometheus.py FILE: a configuration of Prometheus, or a file of its rules, has no key but those that our examples need,
# and all of these.
import re
import sys

import yaml

JOB = {"job_name", "scheme", "tls_config", "static_configs"}
ALERT = {"alert", "expr", "annotations"}


def keys(place, value, needed, besides=()):
    assert isinstance(value, dict), f"{place}: is no table of keys"
    wrong = (set(value) ^ needed) - set(besides)
    assert not wrong, f"{place}: {', '.join(sorted(wrong))}: missing, or unknown"


def check_configuration(root):
    keys("file", root, {"scrape_configs", "rule_files"})
    assert all(path.startswith("/") for path in root["rule_files"])
    for job in root["scrape_configs"]:
        keys("job", job, JOB, {"authorization"})
        keys("tls_config", job["tls_config"], {"ca_file"}, {"cert_file", "key_file"})
        keys("authorization", job.get("authorization", {"credentials_file": ""}), {"credentials_file"})
        for each in job["static_configs"]:
            keys("static_configs", each, {"targets"})
            assert all(re.fullmatch(r"[a-z.]+:\d+", target) for target in each["targets"]), each


def check_rules(root):
    keys("file", root, {"groups"})
    for group in root["groups"]:
        keys("group", group, {"name", "rules"})
        for rule in group["rules"]:
            keys("rule", rule, ALERT, {"for"})
            keys("annotations", rule["annotations"], {"summary"})
            assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), rule


def main(path):
    with open(path, encoding="utf-8") as file:
        root = yaml.safe_load(file)
    if "groups" in root:
        check_rules(root)
    else:
        check_configuration(root)


if __name__ == "__main__":
    main(*sys.argv[1:])
