#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# sandboxed.py UNIT COMMAND...: runs COMMAND with the system calls and address families that the service in the file UNIT
# has, as systemd would, and with what setpriv(1) and chroot(1) need to bring it into its place.
import ctypes
import errno
import os
import socket
import subprocess
import sys

ALLOW, REFUSE = 0x7fff0000, 0x00050000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
EQUAL = 4  # SCMP_CMP_EQ
# setpriv(1) and chroot(1); and what leaks are looked for with, in a daemon that was built so.
BESIDES = "@setuid chroot ptrace process_vm_readv"


class Condition(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("compare", ctypes.c_int), ("first", ctypes.c_uint64),
                ("second", ctypes.c_uint64))


def lines_of(unit, key):
    with open(unit, encoding="utf-8") as file:
        return [line.split("=", 1)[1].strip() for line in file if line.startswith(f"{key}=")]


def calls(words):
    """The names in a line of SystemCallFilter=, where @ begins the name of a set."""
    found = set()
    for word in words.split():
        if not word.startswith("@"):
            found.add(word)
            continue
        told = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", word], capture_output=True, text=True,
                              check=True).stdout
        inside = (line.strip() for line in told.splitlines()[1:])
        found |= calls(" ".join(line for line in inside if not line.startswith("#")))
    return found


def allowed_calls(lines):
    allowed = calls("@default")
    for line in lines:
        allowed = allowed - calls(line[1:]) if line.startswith("~") else allowed | calls(line)
    return allowed


def limit(names, families):
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(REFUSE | errno.EPERM)))

    def allow(name, *conditions):
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Negative: this processor has no such call.
        if number >= 0:
            array = (Condition * len(conditions))(*conditions)
            assert library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(conditions), array) == 0, name

    for name in sorted(names - {"socket"}):
        allow(name)
    for family in families:
        allow("socket", Condition(0, EQUAL, getattr(socket, family), 0))
    assert library.seccomp_load(context) == 0


def main(unit, *command):
    names = allowed_calls(lines_of(unit, "SystemCallFilter")) | calls(BESIDES)
    limit(names, " ".join(lines_of(unit, "RestrictAddressFamilies")).split())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
