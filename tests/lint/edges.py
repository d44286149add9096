#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# Who may include whom under src/ (docs/architecture.md), and where system calls may be: src/io only,
# approximated by the headers that declare them.
import re

import lint

# Folder -> what it may include apart from itself: folders, or single headers.
EDGES = {
    "base": [],
    "wire": ["base/"],
    "client": ["base/", "wire/"],
    "discovery": ["base/"],
    "discovery/*": ["base/", "discovery/", "client/servers.h", "io/"],
    "server": ["base/", "wire/", "device/device.h", "store/store.h"],
    "nat": ["base/"],
    "nat/*": ["base/", "nat/"],
    "device": ["base/"],
    "device/*": ["base/", "device/device.h", "device/inventory.h", "device/consecutive.h", "device/pool_use.h", "nat/", "control/",
                 "io/"],
    "store": ["base/"],
    "store/*": ["base/", "store/store.h", "io/"],
    "control": ["base/", "device/device.h", "device/inventory.h", "device/pool_use.h", "nat/pool_range.h", "nat/view.h"],
    "control/*": ["base/", "server/", "nat/", "device/", "wire/", "io/"],
    "gateway": ["base/", "nat/", "control/", "device/", "discovery/nat64_prefix.h", "io/"],
    "gateway/*": ["base/", "nat/", "control/", "device/", "io/", "gateway/"],
    "media": ["base/"],
    "sip": ["base/", "media/", "nat/embedding.h"],
    "sip/*": ["base/", "media/", "sip/", "io/"],
    "shim": [],
    "library": ["base/", "wire/", "client/", "discovery/", "io/", "portolan/"],
    "io": ["base/"],
    "io/*": ["base/", "io/"],
}
ENGINES = ("wire", "client", "discovery", "server", "nat", "media", "sip")

# Declare system calls or wrap them.
SYSTEM = re.compile(
    r"^(linux|sys|net|netinet|arpa|netpacket|asm|bpf|libmnl)/|^(unistd|fcntl|poll|sched|signal|spawn|"
    r"pthread|semaphore|netdb|ifaddrs|termios|dlfcn|mqueue|syslog|grp|pwd|dirent)\.h$|^boost/(asio|beast|process|filesystem)\b")
# Threads, files, clocks: not for engines either. They take time and randomness as arguments.
HIDDEN_INPUT = re.compile(
    r"^(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token|fstream|iostream|"
    r"filesystem|ctime|csignal|cstdlib|random|time\.h|stdlib\.h|stdio\.h)$|^spdlog/")
HIDDEN_CALL = re.compile(r"\b(?:steady|system|high_resolution|utc)_clock::now\b|\bgetenv\b|\brandom_device\b")
# Tests and what they share may use everything.
TEST_FILE = re.compile(r"(^|/)test_\w+\.(h|cpp)$|_test\.(h|cpp)$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)

# (file, header): why it is no system call.
ALLOWED = {
    ("src/base/lazy_array.h", "cstdlib"): "calloc: zero pages that cost nothing until touched",
    ("src/base/address.cpp", "arpa/inet.h"): "inet_pton and inet_ntop only parse and print",
    ("src/base/random.cpp", "sys/random.h"): "the random source of a process; engines get it as an argument",
}


def selects(path):
    return path.startswith(("src/", "apps/")) and path.endswith((".h", ".cpp"))


def folder_of(path):
    """"wire" for src/wire/message.h, "device/*" for src/device/nat64/x.h."""
    parts = path.split("/")[1:-1]
    return f"{parts[0]}/*" if len(parts) > 1 else "".join(parts[:1])


def check(path, text):
    is_app = path.startswith("apps/")
    is_test = bool(TEST_FILE.search(path))
    folder = "apps" if is_app else folder_of(path)
    if not is_app and folder not in EDGES:
        return [(1, f"src/{folder} is not known to tests/lint/edges.py: which folders may it include?")]
    own = "/".join(path.split("/")[1:-1]) + "/"
    problems = []
    for match in INCLUDE.finditer(text):
        kind, header = match[1], match[2]
        line = lint.line_of(text, match.start())
        if kind == '"':
            allowed = [own, *EDGES.get(folder, [])]
            if not (is_app or is_test or header.startswith(tuple(allowed))):
                problems.append((line, f"{folder} may not include \"{header}\" (allowed: {', '.join(allowed)})"))
            continue
        if (path, header) in ALLOWED or folder in ("io", "io/*", "shim") or is_test:
            continue
        if SYSTEM.search(header):
            problems.append((line, f"<{header}> belongs into src/io, the only folder with system calls"))
        elif folder in ENGINES and HIDDEN_INPUT.search(header):
            problems.append((line, f"<{header}> in an engine: time, randomness and I/O come in from outside"))
    if folder in ENGINES and not is_test:
        for match in HIDDEN_CALL.finditer(text):
            problems.append((lint.line_of(text, match.start()), f"'{match[0]}' in an engine: take it as an argument"))
    return problems


if __name__ == "__main__":
    lint.main(
        check, selects,
        bad=[
            ("src/wire/a.cpp", '#include "server/server.h"\n', "may not include"),
            ("src/server/a.cpp", '#include "device/nat64/x.h"\n', "may not include"),
            ("src/io/a.cpp", '#include "wire/message.h"\n', "may not include"),
            ("src/nat/a.h", "#include <linux/ip.h>\n", "src/io"),
            ("src/client/a.cpp", "#include <sys/socket.h>\n", "src/io"),
            ("src/device/nat64/a.cpp", "#include <boost/asio.hpp>\n", "src/io"),
            ("src/nat/a.cpp", "#include <thread>\n", "in an engine"),
            ("src/server/a.cpp", "auto now = std::chrono::steady_clock::now();\n", "take it as an argument"),
            ("apps/portolan/a.cpp", "#include <sys/socket.h>\n", "src/io"),
            ("src/unheard/a.cpp", "", "not known"),
        ],
        good=[
            ("src/server/a.cpp", '#include <vector>\n#include "device/device.h"\n#include "wire/message.h"\n'),
            ("src/server/a_test.cpp", '#include "device/simulated/simulated.h"\n'),
            ("src/device/nat64/a.cpp", '#include "nat/bib.h"\n#include "io/tun.h"\n'),
            ("src/server/test_world.h", '#include "device/simulated/simulated.h"\n'),
            ("src/io/a.cpp", "#include <linux/if_tun.h>\n"),
            ("src/base/address.cpp", "#include <arpa/inet.h>\n"),
        ])
