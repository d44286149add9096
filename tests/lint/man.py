#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# man.py BUILD: each program in BUILD/apps has a man page in docs/man that names every --option its
# --help shows (of subcommands too) and no other (.Fl); the pages of section 5 name every key that a configuration may
# have, that of section 3 every function of the library, and mandoc finds nothing wrong with any page.
# man.py --self-test
import os
import re
import subprocess
import sys

import lint

SUBCOMMANDS_MAX = 50


def lint_page(path):
    """What mandoc has to say against the page."""
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True)
    return [line.removeprefix("mandoc: ") for line in run.stdout.splitlines()]


def shown_text(path):
    run = subprocess.run(["mandoc", "-T", "ascii", path], capture_output=True, text=True)
    return re.sub(r".\x08", "", run.stdout)


def options_of(help_text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", help_text))


def subcommands_of(help_text):
    """The indented words below a line "Subcommands:"."""
    match = re.search(r"^S(?:ubcommands|UBCOMMANDS):\n((?:[ \t]+.*\n|\n)*)", help_text, re.MULTILINE)
    return re.findall(r"^ {2}([a-z][a-z0-9-]*)", match[1], re.MULTILINE) if match else []


def help_of(program, *subcommands):
    run = subprocess.run([program, *subcommands, "--help"], capture_output=True, text=True, timeout=30,
                         stdin=subprocess.DEVNULL)
    if run.returncode != 0:
        raise SystemExit(f"{program} {' '.join(subcommands)} --help exits with {run.returncode}")
    return run.stdout


def undocumented(text, help_texts):
    """Options and subcommands in the help texts that the page does not name."""
    documented = options_of(text)
    words = set(re.findall(r"[\w-]+", text))
    missing = set()
    for help_text in help_texts:
        missing |= options_of(help_text) - documented
        missing |= set(subcommands_of(help_text)) - words
    return sorted(missing)


def flags_of(source):
    """The options that a page marks as its program's: those of ".Fl \\-quiet" and ".Fl \\-quiet , \\-loud". A part that
    is made of what the program is made of has a test of its own."""
    source = re.sub(r'^\.\\" Made from .*, from here on\.$.*?^\.\\" Made from .*, up to here\.$', "", source,
                    flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\.(?:.* )?Fl .*", source, re.MULTILINE)
    return {"--" + name for line in lines for name in re.findall(r"(?:(?<=\s)-|\\-)([a-z][a-z0-9-]*)", line)}


def obsolete(source, help_texts):
    """Options on the page that no help text shows any more."""
    return sorted(flags_of(source) - set().union(*map(options_of, help_texts)))


def configuration_keys(source):
    """The keys that a reader of configurations lets a table have."""
    lists = re.findall(r"refuse_unknown\([^{]*\{([^}]*)\}", source)
    return set(re.findall(r'"(\w+)"', " ".join(lists)))


def check_configuration(pages):
    readers = [f"{folder}/{name}" for folder in ("apps/portoland", "apps/portolan", "src/gateway")
               for name in sorted(os.listdir(os.path.join(lint.ROOT, folder)))
               if re.search(r"(?<!_test)\.cpp$", name)]
    keys = {reader: configuration_keys(lint.read_text(reader) or "") for reader in readers}
    if not all(keys[reader] for reader in ("apps/portoland/config.cpp", "src/gateway/nat64_config_reader.cpp")):
        return ["no list of known configuration keys found; has refuse_unknown changed?"]
    named = re.findall(r"^\.(?:(?:It )?Cm|Ss Table) (.*)", "".join(lint.read_text(page) or "" for page in pages), re.MULTILINE)
    words = set(re.findall(r"\w+", " ".join(named)))
    return [f"docs/man/*.5: do not name the configuration key {key}, which {reader} reads"
            for reader in readers for key in sorted(keys[reader] - words)]


def owner_of(name, programs):
    """The program whose subcommand the page "portolan-doctor" is about, if there is one."""
    return next((program for program in programs if name.startswith(program + "-")), None)


def help_texts_of(program, *words):
    """That of the program, or its command of these words, and those of all commands below."""
    help_text = help_of(program, *words)
    below = (help_texts_of(program, *words, name) for name in subcommands_of(help_text)[:SUBCOMMANDS_MAX])
    return [help_text, *(text for texts in below for text in texts)]


def check_program(help_texts, page, more):
    text = "".join(map(shown_text, [page, *more]))
    return [f"{page}: does not name {what}, which --help shows" for what in undocumented(text, help_texts)]


def check_page(page, help_texts):
    return [f"{page}: names {what}, which no --help shows" for what in obsolete(lint.read_text(page) or "", help_texts)]


def check_library(page):
    """Each function that libportolan exports has its prototype on the page."""
    symbols = [line for line in (lint.read_text("tests/library/symbols.txt") or "").splitlines() if line and line[0] != "#"]
    if not symbols:
        return ["tests/library/symbols.txt: names no function"]
    named = set(re.findall(r"^\.Fn (portolan_\w+)", lint.read_text(page) or "", re.MULTILINE))
    return [f"{page}: does not name {symbol}" for symbol in symbols if symbol not in named]


def check_all(build):
    folder = os.path.join(lint.ROOT, "docs/man")
    pages = {page.rsplit(".", 1)[0]: os.path.join(folder, page)
             for page in sorted(os.listdir(folder)) if re.search(r"\.[1-8]$", page)}
    apps = os.path.join(build, "apps")
    programs = {name for name in os.listdir(apps)
                if os.path.isfile(os.path.join(apps, name)) and os.access(os.path.join(apps, name), os.X_OK)
                and not name.endswith("_test")}
    problems = []
    for page in pages.values():
        problems += lint_page(page)
    problems += [f"{name}: no man page docs/man/{name}.1 or .8" for name in sorted(programs - set(pages))]
    problems += [f"{pages[name]}: no program {apps}/{name}" for name in sorted(set(pages) - programs)
                 if not pages[name].endswith((".3", ".5")) and not owner_of(name, programs)]
    problems += check_library("docs/man/libportolan.3")
    helps = {name: help_texts_of(os.path.join(apps, name)) for name in sorted(programs & set(pages))}
    for name, help_texts in helps.items():
        more = [pages[other] for other in sorted(set(pages) - programs) if owner_of(other, {name})]
        problems += check_program(help_texts, pages[name], more)
        problems += check_page(pages[name], help_texts)
    every = [text for help_texts in helps.values() for text in help_texts]
    for name in sorted(set(pages) - programs):
        problems += check_page(pages[name], helps.get(owner_of(name, programs), every))
    problems += check_configuration([f"docs/man/{page}" for page in os.listdir(folder) if page.endswith(".5")])
    return problems


def self_test():
    assert undocumented("--config FILE", ["  --config TEXT\n  --quiet\n"]) == ["--quiet"]
    assert undocumented("map --keep", ["Subcommands:\n  map   makes\n  announce  asks\n"]) == ["announce"]
    assert undocumented("--keep, map", ["Subcommands:\n  map   makes\n", " --keep"]) == []
    made = '.\\" Made from the schemas, from here on.\n.It Fl \\-of-schemas\n.\\" Made from the schemas, up to here.\n'
    assert obsolete(made + ".It Fl \\-own\n", []) == ["--own"]
    page = ".Nm\n.Op Fl \\-config Ar FILE\n.It Fl \\-quiet , \\-no-color\n.Li journalctl \\-\\-user\n"
    assert obsolete(page, ["--config TEXT --quiet", "--no-color"]) == []
    assert obsolete(page, ["--config TEXT"]) == ["--no-color", "--quiet"]
    assert configuration_keys('refuse_unknown(t, "a.", {"mtu",\n "tun"});') == {"mtu", "tun"}
    bad_page = "/dev/stdin"
    run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", bad_page], input=".Dd x\n.Sh NAME\n.Nm\n",
                         capture_output=True, text=True)
    assert run.stdout, "mandoc says nothing about a bad page"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: man.py BUILD | --self-test")
    if sys.argv[1] == "--self-test":
        sys.exit(self_test())
    found = check_all(sys.argv[1])
    print("\n".join(found))
    sys.exit(1 if found else 0)
