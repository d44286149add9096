# SPDX-License-Identifier: BSD-2-Clause
"""docs/flows.md: what went over the wire in each flow. Every test compares its section with what it has
just seen, or writes it if PORTOLAN_FLOWS_PAGE is "write"."""

import difflib
import fcntl
import os
import pathlib
import re
import subprocess

from rows import NAT44, ROWS, heading

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "flows.md"
REMEDY = "PORTOLAN_FLOWS_PAGE=write ctest --test-dir BUILD -L flows writes it again"
INTRO = """# Flows

Requests and answers of draft-boucadair-pcp-flow-examples-04, its figures 2 to 76, as `portoland` takes part in
them. This page is written by the tests in `tests/flows`, which speak to a running `portoland` over UDP and
compare it with what they see. The device is the NAT44, and packets have gone through every mapping, unless another
setting is named; [CONTRIBUTING.md](../CONTRIBUTING.md) tells how to write it again.

The fields are as `portolan decode` shows them, the octets as they went over the wire. Epoch times, and
lifetimes that time takes from, show as `varies` and as asterisks. The draft prints nonces as small numbers;
here they are 96 bits. Where the draft departs from RFC 6887, the text says what holds. Of error answers the
draft prints the header only, with a lifetime of 0 mostly: they are copies of the request (RFC 6887 s8.2), and
their lifetime is 30 s or 1800 s (RFC 6887 s7.4) unless it is about a mapping.
"""
SECTION = re.compile(r"^## .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class Flow:
    """What goes over the wire in one test."""

    def __init__(self):
        self._entries = []

    def message(self, direction, datagram):
        self._entries.append([direction, datagram, ()])

    def note(self, text):
        """Something else that happens between messages."""
        self._entries.append([text, None, ()])

    def lifetime_varies(self):
        """The lifetime of the latest message depends on when it was asked for."""
        self._entries[-1][2] = ("lifetime",)

    def section(self, row, remark):
        paragraphs = [f"## {heading(row)}", f"Before: {row.before}."]
        if row.setting != NAT44:
            paragraphs.append(f"Setting: {row.setting}.")
        if remark:
            paragraphs.append(re.sub(r"\s*\n\s*", "\n", remark.strip()))
        paragraphs.append("\n\n".join(_shown(*entry) for entry in self._entries))
        return "\n\n".join(paragraphs) + "\n"


def _shown(direction, datagram, varying):
    if datagram is None:
        return direction[0].upper() + direction[1:] + "."
    done = subprocess.run([pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps" / "portolan", "decode", datagram.hex()],
                          capture_output=True, text=True, check=True)
    fields = done.stdout.strip().split("\n")
    octets = datagram.hex()
    if datagram[1] & 0x80:
        fields = [re.sub(r"^(  Epoch Time: ).*", r"\1varies", line) for line in fields]
        octets = octets[:16] + "*" * 8 + octets[24:]
    if "lifetime" in varying:
        fields = [re.sub(r"^(  Lifetime: ).*", r"\1varies", line) for line in fields]
        octets = octets[:8] + "*" * 8 + octets[16:]
    words = [octets[at:at + 8] for at in range(0, len(octets), 8)]
    lines = ["  " + " ".join(words[at:at + 8]) for at in range(0, len(words), 8)]
    return "\n".join([f"{direction}:", "", "```", *fields, *lines, "```"])


def sections(text):
    """The sections of a page by their headings."""
    found = [section.rstrip("\n") + "\n" for section in SECTION.findall(text)]
    return {section.split("\n", 1)[0].removeprefix("## "): section for section in found}


def render(by_heading):
    """The page with those of these sections that have a row, in the order of rows."""
    return "\n".join([INTRO, *(by_heading[heading(row)] for row in ROWS if heading(row) in by_heading)])


def is_being_written():
    return os.environ.get("PORTOLAN_FLOWS_PAGE") == "write"


def settle(section):
    """Writes a section into the page, or checks that it is there."""
    title = section.split("\n", 1)[0].removeprefix("## ")
    if is_being_written():
        with PAGE.open("a+", encoding="utf-8") as page:
            # Tests run beside each other.
            fcntl.flock(page, fcntl.LOCK_EX)
            page.seek(0)
            text = render(sections(page.read()) | {title: section})
            page.truncate(0)
            page.write(text)
        return
    committed = sections(PAGE.read_text(encoding="utf-8")).get(title, "") if PAGE.exists() else ""
    difference = "\n".join(difflib.unified_diff(committed.split("\n"), section.split("\n"), "docs/flows.md", "seen",
                                                lineterm=""))
    assert not difference, f"docs/flows.md is not what was seen; {REMEDY}\n{difference}"
