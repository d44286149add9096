#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
#
# units.py UNITS PROGRAMS SBINDIR BINDIR: systemd finds nothing wrong with the units, and what they leave a daemon that was
# taken over is little. The programs are those of the build tree, for they are not installed.
import os
import pathlib
import subprocess
import sys
import tempfile

# systemd's own measure in tenths: 10 is "safe", 100 is "unsafe".
EXPOSURE_MAX = 22
UNITS = ("portoland.service", "portolan-nat64.service")
AGENT = "portolan-agent.service"
# What the measure does not tell: systemd has to make these, and a daemon needs them.
WANTED = ("Type=notify", "User=portolan", "RuntimeDirectory=portolan", "RuntimeDirectoryPreserve=yes",
          "StateDirectory=portolan", "Restart=on-failure", "RestartPreventExitStatus=2", "NoNewPrivileges=yes",
          "DeviceAllow=/dev/net/tun rw")


def analyze(*arguments, **environment):
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout + done.stderr


def problems_of(unit, text, folder):
    path = folder / unit
    path.write_text(text, encoding="utf-8")
    problems = [f"{unit}: {line} is missing" for line in WANTED if line not in text.splitlines()]
    code, out = analyze("verify", "--man=no", str(path))
    if code != 0 or unit in out:
        problems.append(f"{unit}: systemd-analyze verify: {out}")
    code, out = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(path))
    if code != 0:
        found = "\n".join(line for line in out.splitlines() if not line.startswith("✓"))
        problems.append(f"{unit}: exposed more than {EXPOSURE_MAX}: {found}")
    return problems


def problems_of_agent(text, folder):
    """Of the unit that each user may have."""
    path = folder / AGENT
    path.write_text(text, encoding="utf-8")
    code, out = analyze("--user", "verify", "--man=no", str(path), HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
    return [f"{AGENT}: systemd-analyze verify: {out}"] if code != 0 or AGENT in out else []


def main(units, programs, sbindir, bindir):
    problems = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for unit in UNITS:
            text = (pathlib.Path(units) / unit).read_text(encoding="utf-8").replace(f"={sbindir}/", f"={programs}/")
            problems += problems_of(unit, text, folder)
            # The measure can fail.
            for line in ("ProtectSystem=strict", "SystemCallFilter=@system-service capset bpf", "User=portolan"):
                assert line in text
                if not problems_of(unit, text.replace(f"\n{line}\n", "\n"), folder):
                    problems.append(f"{unit}: nobody notices that {line} is missing")
            if not problems_of(unit, text.replace("Restart=on-failure", "Restart=always-never"), folder):
                problems.append(f"{unit}: nobody notices a word that systemd does not know")
        text = (pathlib.Path(units) / AGENT).read_text(encoding="utf-8").replace(f"={bindir}/", f"={programs}/")
        problems += problems_of_agent(text, folder)
        for line in ("Restart=on-failure", "ExecStart="):
            if not problems_of_agent(text.replace(line, f"{line}never-"), folder):
                problems.append(f"{AGENT}: nobody notices that {line} is wrong")
    print("\n".join(problems) or "all fine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
