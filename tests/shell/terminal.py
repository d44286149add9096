# SPDX-License-Identifier: BSD-2-Clause
"""A program in a real terminal, which is tmux's."""

import os
import pathlib
import shlex
import subprocess
import time

PATIENCE = 30


def exit_status_of_zombie(process):
    """What a process ended with that nobody has asked for; None if it is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return os.waitstatus_to_exitcode(int(fields[49])) if fields[0] == "Z" else None


class Terminal:
    def __init__(self, folder, arguments, columns=110, rows=24, environment=()):
        self.tmux = ["tmux", "-S", str(folder / "tmux.sock"), "-f", "/dev/null", "-u"]
        settings = [f"{name}={value}" for name, value in dict(environment).items()]
        command = "exec env -u NO_COLOR " + shlex.join([*settings, *map(str, arguments)])
        # The first window keeps the server; programs come and go in others.
        self._run("new-session", "-d", "-x", str(columns), "-y", str(rows), "cat", ";",
                  "set-option", "-g", "remain-on-exit", "on", ";",
                  "set-option", "-g", "history-limit", "0")
        self.pane = self._run("new-window", "-P", "-F", "#{pane_id}", command).strip()

    def _run(self, *arguments):
        return subprocess.run([*self.tmux, *arguments], check=True, capture_output=True, text=True).stdout

    def type(self, text):
        self._run("send-keys", "-t", self.pane, "-l", "--", text)

    def press(self, *keys):
        """Keys by tmux's names: Tab, Enter, Up, C-c."""
        self._run("send-keys", "-t", self.pane, *keys)

    def enter(self, line):
        self.type(line)
        self.press("Enter")

    def screen(self, *options):
        return self._run("capture-pane", "-p", *options, "-t", self.pane).rstrip("\n")

    def last_line(self):
        return self.screen().split("\n")[-1]

    def wait(self, what, *options):
        """Waits until `what`, a text or a function of the screen, is there; returns the screen."""
        deadline = time.monotonic() + PATIENCE
        is_there = what if callable(what) else lambda screen: what in screen
        while not is_there(screen := self.screen(*options)):
            assert time.monotonic() < deadline, f"{what} does not come:\n{screen}"
            time.sleep(0.02)
        return screen

    def wait_line(self, line):
        """Waits until the last line on the screen is this."""
        return self.wait(lambda screen: screen.split("\n")[-1] == line)

    def prompt(self):
        """Waits until a command can be typed."""
        return self.wait_line("portolan>")

    def clear(self):
        self.press("C-l")

    def resize(self, columns, rows):
        self._run("resize-window", "-t", self.pane, "-x", str(columns), "-y", str(rows))

    def exit_status(self):
        """Waits until the program has ended."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, process = self._run("display-message", "-p", "-t", self.pane,
                                        "#{pane_dead_status} #{pane_pid}").rstrip("\n").split(" ")
            if status:
                return int(status)
            # Not every end is noticed by tmux at once; the kernel knows it.
            if (ended := exit_status_of_zombie(process)) is not None:
                return ended
            assert time.monotonic() < deadline, f"the program goes on:\n{self.screen()}"
            time.sleep(0.02)

    def close(self):
        self._run("kill-server")
