# SPDX-License-Identifier: BSD-2-Clause
#
# Network namespaces for measurements: they and what runs in them vanish with the script.
import subprocess
import sys


class Namespace:
    """A network namespace that lives as long as its holder, which ends with this script."""

    def __init__(self, stack):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo up; exec cat"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(self.holder.wait)
        stack.callback(self.holder.stdin.close)
        if self.holder.stdout.readline() != b"up\n":
            sys.exit("bench: no network namespace")
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        self.stack = stack
        self.run("ip link set lo up")

    def run(self, command):
        words = command.split() if isinstance(command, str) else command
        done = subprocess.run([*self.inside, *words], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(words)}: {done.stderr.strip()}")

    def start(self, command, **keywords):
        """A process that ends with this script; its id is the program's."""
        process = subprocess.Popen([*self.inside, "setpriv", "--pdeathsig", "TERM", "--", *command],
                                   text=True, **keywords)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        return process

    def link_to(self, other, name, other_name):
        self.run(f"ip link add {name} type veth peer name {other_name} netns {other.holder.pid}")
        for end, device in ((self, name), (other, other_name)):
            end.run(f"sysctl -q -w net.ipv6.conf.{device}.accept_dad=0")
            end.run(f"ip link set {device} up")
