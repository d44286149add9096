#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# management_api.py: docs/management-api.md is what the schemas of src/control/management/schema say.
# management_api.py --write writes it; --self-test.
import json
import os
import re
import sys

import lint

FOLDER = "src/control/management/schema"
PAGE = "docs/management-api.md"
ERRORS = "src/control/management/error.cpp"

HEAD = """<!-- SPDX-License-Identifier: BSD-2-Clause -->
<!-- Written by tests/lint/management_api.py from src/control/management/schema: change it there. -->
# The management API of portoland

HTTP/1.1 and JSON. `portolanctl` speaks it, and so can any program:

```sh
curl --unix-socket /run/portolan/management.sock 'http://localhost/v1/mappings?limit=3'
curl --unix-socket /run/portolan/management.sock -H 'Content-Type: application/json' \\
  -d '{"subscriber": "2001:db8:112::/64", "mappings-per-user-max": 100}' http://localhost/v1/users
curl --cacert ca.pem -H "Authorization: Bearer $token" -N https://gateway.example.net:5380/v1/events
```

- Where it listens, and who may ask, portoland.management(5) says. Who may connect to the UNIX socket may
  do everything. Over TCP each request needs a token, which may read, or read and write.
- Parameters are members of the query for GET and DELETE, of a JSON object in the body for POST and PATCH. A parameter that
  is not known, missing or out of range is an error, and nothing is done.
- Names follow RFC 8512 (`internal-src-address`, `external-src-port`, ...) where it has them. A member that does not
  apply is absent.
- Lists are streams of JSON objects, one a line (NDJSON), made while they are sent: a million rows cost neither side their
  memory. A list shows whatever is there from its beginning to its end.
- A change is answered when the device has it and the store has it durably. If either has not, nothing has changed.
- `GET /v1/events` goes on until the client ends it. Events are numbered; who comes back asks for those `after` the last it
  has seen. A reader who was too slow, or away too long, gets an event `gap`. After 15 seconds without an event
  comes a `heartbeat`. A client that takes nothing for 20 seconds is cut off.
- `GET /v1/openapi.json` describes all this for programs (OpenAPI 3.1), `GET /metrics` is for Prometheus.
- Over TCP a browser finds the dashboard at `/`. Requests with a field `Origin` of any other page are refused, over UNIX sockets
  all that have one. Over TCP the `Host` must be an address that the server listens at, `localhost`, or one of
  `management.names`.
- JSON comes in ASCII: what a client has sent, in a description for instance, is escaped, and octets that are no UTF-8 are
  U+FFFD.
"""


def read(name):
    return json.loads(lint.read_text(f"{FOLDER}/{name}"))


def commands():
    names = sorted(name for name in os.listdir(os.path.join(lint.ROOT, FOLDER)) if name.endswith(".json"))
    made = [read(name) for name in names if name not in ("words.json", "fields.json")]
    return sorted((command for command in made if "method" in command), key=lambda command: command["words"])


def kind_of(field):
    kind = field["type"].replace("_", " ")
    if "choices" in field:
        kind = " \\| ".join(f"`{choice}`" for choice in field["choices"])
    elif kind in ("number", "seconds") and "maximum" in field:
        kind += f", {field.get('minimum', 0)} to {field['maximum']}"
    elif kind == "text" and "maximum" in field:
        kind += f", at most {field['maximum']} octets"
    return f"list of {kind}" if field.get("list") else kind


def section(command):
    name = " ".join(command["words"])
    lines = [f"### {command['method']} {command['path']}", "",
             f"`portolanctl {name}`, for tokens that may {command['access']}. {command['summary']}", ""]
    if command["parameters"]:
        lines += ["| parameter | is | |", "|---|---|---|"]
        lines += [f"| `{parameter['name']}` | {kind_of(parameter)} | "
                  f"{'**needed.** ' if parameter.get('required') else ''}{parameter['summary']} |"
                  for parameter in command["parameters"]]
        lines.append("")
    shape = "A stream of objects" if command["result"]["shape"] == "rows" else "An object"
    columns = ", ".join(f"`{column}`" for column in command["result"]["columns"])
    lines += [f"{shape} with {columns}.", ""]
    return lines


def error_rows(source):
    """What error_codes() of error.cpp has: code, status, meaning."""
    return re.findall(r'^\s*\{"([a-z-]+)",\s*(\d+),\s*"([^"]*)"\},$', source, re.MULTILINE)


def page():
    fields = read("fields.json")
    lines = [HEAD, "## Requests", ""]
    for command in commands():
        lines += section(command)
    lines += ["## Members of results", "", "| name | is | |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind_of(field)} | {field['summary']} |" for name, field in fields.items()]
    lines += ["", "## Errors", "",
              'Every error is `{"error": {"code": ..., "message": ..., "field": ..., "remedy": ...}}`. Codes stay as they '
              "are from version to version; messages are for people. `field` is the parameter or header field that it is "
              "about, if there is one.", "", "| code | status | |", "|---|---|---|"]
    errors = error_rows(lint.read_text(ERRORS))
    if len(errors) < 10:
        raise SystemExit(f"{ERRORS}: the table of errors is not found")
    lines += [f"| `{code}` | {status} | {meaning} |" for code, status, meaning in errors]
    return "\n".join(lines) + "\n"


def self_test():
    assert error_rows('    {"not-found", 404, "There is no such thing."},\n') == \
        [("not-found", "404", "There is no such thing.")]
    assert kind_of({"type": "port_range", "list": True}) == "list of port range"
    assert kind_of({"type": "choice", "choices": ["a", "b"]}) == "`a` \\| `b`"
    assert page() != page() + "x"
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if sys.argv[1:] == ["--write"]:
        with open(os.path.join(lint.ROOT, PAGE), "w", encoding="utf-8") as file:
            file.write(page())
        sys.exit(0)
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--write | --self-test]")
    if not os.path.exists(os.path.join(lint.ROOT, PAGE)) or lint.read_text(PAGE) != page():
        print(f"{PAGE}:1: is not what the schemas say: tests/lint/management_api.py --write")
        sys.exit(1)
