# SPDX-License-Identifier: BSD-2-Clause
"""What the SIP tests share: phones, the IPv4 phone's control port, captures, tones."""
import bisect
import json
import math
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import wave

from labkit import POOL, build_directory, check_no_sanitizer_report, until

DOMAIN = "mysip.example"
SERVER = "192.0.2.13"
PEER = "192.0.2.11"
PEER_TONE = 1000
PACKETS_A_SECOND = 50
# Of the packets that a call's length lets expect.
PACKETS_SHARE = 0.9
# Of windows of 50 ms.
TONE_SHARE = 0.9
EXPERIMENTAL_ETHERTYPE = 0x88b5


class Phone:
    """portolan-phone on a host of the lab, run by a script: its events, one after the other."""

    def __init__(self, lab, host, *arguments, user="client4", first=()):
        self.folder = tempfile.TemporaryDirectory(prefix="portolan-phone-")  # ends with this
        self.directory = pathlib.Path(self.folder.name)
        self.config = self.directory / "phone.conf"
        self.config.write_text(f'user = "{user}"\ndomain = "{DOMAIN}"\npassword = "pw-{user}"\n')
        self.errors = (self.directory / "errors").open("w+")
        self.recording = self.directory / "heard.wav"
        self.events = []
        self.process = lab.start(host, *first, pathlib.Path(build_directory()) / "apps" / "portolan-phone", "--config",
                                 self.config, "--json", "--record", self.recording, *arguments,
                                 stdout=subprocess.PIPE, stderr=self.errors)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def read(self):
        for line in self.process.stdout:
            self.events.append({**json.loads(line), "seen": time.monotonic()})

    def said(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read()

    def all_of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    def wait_for(self, kind, count=1, seconds=30):
        """The event number `count` of its kind."""
        def there():
            found = self.all_of(kind)
            if len(found) >= count:
                return found
            assert self.process.poll() is None or not self.reader_is_done() or len(self.all_of(kind)) >= count, \
                f"the phone ended without {kind}: {self.events}\n{self.said()}"
            return None
        return until(there, seconds, f"{kind}, of {self.events}\n{self.said()}")[count - 1]

    def reader_is_done(self):
        return not self.reader.is_alive()

    def end(self, seconds=60, expect=0):
        """Waits for the end of the script; the call's last event."""
        status = self.process.wait(seconds)
        self.reader.join(5)
        said = self.said()
        check_no_sanitizer_report(said, "portolan-phone")
        assert status == expect, f"exit {status}, expected {expect}: {self.events}\n{said}"
        return self.all_of("ended")[-1] if self.all_of("ended") else None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.reader.join(5)
        if kind is None:
            check_no_sanitizer_report(self.said(), "portolan-phone")
        self.errors.close()


def samples_of(path):
    """Of a WAV file, also one whose header promises more than there is; 8000 a second, of one channel."""
    octets = pathlib.Path(path).read_bytes()
    with wave.open(str(path)) as file:
        channels, octets_of_sample, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
    assert octets_of_sample == 2 and rate % 8000 == 0, path
    data = octets[octets.index(b"data") + 8:]
    samples = struct.unpack(f"<{len(data) // 2}h", data[:len(data) // 2 * 2])
    # baresip records as it decodes, Opus at 48000 Hz in two channels: the mean of what becomes one sample.
    together = channels * rate // 8000
    if together == 1:
        return samples
    return [sum(samples[at:at + together]) / together for at in range(0, len(samples) - together + 1, together)]


def tone_share(samples, frequency):
    """Which part of the power is at `frequency` (Goertzel)."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / 8000)
    before = before_that = power = 0.0
    for sample in samples:
        now = sample + coefficient * before - before_that
        before_that, before = before, now
        power += sample * sample
    if power == 0:
        return 0.0
    return 2 * (before ** 2 + before_that ** 2 - coefficient * before * before_that) / (power * len(samples))


def tone_seconds(samples, frequency):
    """How long the tone was heard: windows of 50 ms that it dominates."""
    window = 400
    return sum(tone_share(samples[at:at + window], frequency) > 0.5
               for at in range(0, len(samples) - window + 1, window)) * 0.05


def fields_of(file, display_filter, *fields, decode_as=()):
    """Values of each packet of a capture that passes the filter: a list for each field."""
    command = ["tshark", "-r", str(file), "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o",
               "tcp.check_checksum:TRUE", "-Y", display_filter, "-T", "json"]
    for each in decode_as:
        command += ["-d", each]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return [[packet["_source"]["layers"].get(field, []) for field in fields]
            for packet in json.loads(done.stdout or "[]")]


class Capture:
    """What passes a host's eth0 while the block runs; fields of it afterwards."""

    def __init__(self, lab, host, interface="eth0"):
        self.lab, self.host, self.interface = lab, host, interface
        self.folder = tempfile.TemporaryDirectory(prefix="portolan-sip-")  # ends with this
        self.file = pathlib.Path(self.folder.name) / "capture.pcap"
        self.process = lab.start(host, "tcpdump", "-i", interface, "-U", "--immediate-mode", "-B", "16384", "-w", self.file,
                                 stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for line in self.process.stderr:
            if "listening on" in line:
                break
        self.drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.drain.start()

    def __enter__(self):
        return self

    def flush(self):
        """Whatever passed until now is in the file: a frame that nobody reads is there, and it came last."""
        mark = os.urandom(16)
        with self.lab.inside(self.host):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.bind((self.interface, EXPERIMENTAL_ETHERTYPE))
            sender.send(bytes(12) + EXPERIMENTAL_ETHERTYPE.to_bytes(2, "big") + mark)
        until(lambda: mark in self.file.read_bytes(), 10, f"a mark of ours in {self.file}")

    def __exit__(self, *_):
        self.flush()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def fields(self, display_filter, *fields, decode_as=()):
        return fields_of(self.file, display_filter, *fields, decode_as=decode_as)


class Baresip:
    """The lab's IPv4 phone, told what to do by its control port."""

    def __init__(self, lab):
        self.lab = lab
        self.recordings = lab.state / "baresip" / "recordings"

    def command(self, command, parameters=""):
        with self.lab.inside("peer"):
            control = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with control:
            control.settimeout(10)
            control.connect(("127.0.0.1", 4444))
            message = json.dumps({"command": command, "params": parameters}).encode()
            control.sendall(b"%d:%s," % (len(message), message))
            received = b""
            while b'"response":true' not in received:
                piece = control.recv(4096)
                assert piece, received
                received += piece

    def dial(self, uri):
        self.command("dial", uri)

    def hang_up(self):
        self.command("hangup")

    def heard(self, frequency, seconds, before=()):
        """Waits for a recording, not among those before, in which the tone is heard so long."""
        def there():
            for path in set(self.recordings.glob("*dec.wav")) - set(before):
                if tone_seconds(samples_of(path), frequency) >= seconds:
                    return True
            return False
        return until(there, 15, f"{seconds} s of {frequency} Hz in {list(self.recordings.glob('*'))}")

    def recorded(self):
        return set(self.recordings.glob("*dec.wav"))


def port_of(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


def check_heard(phone, ended, seconds):
    """The phone received what it should have, and the tone is in it."""
    assert ended["packets-received"] >= PACKETS_SHARE * PACKETS_A_SECOND * seconds, ended
    assert ended["packets-lost"] <= (1 - PACKETS_SHARE) * PACKETS_A_SECOND * seconds, ended
    assert tone_seconds(samples_of(phone.recording), PEER_TONE) >= TONE_SHARE * seconds - 0.3, ended


def check_mapped(ended):
    assert ended["external"].startswith(POOL + ":"), ended
    assert port_of(ended["external"]) % 2 == 0, ended


class HandheldPhone:
    """portolan-phone as a person uses it: lines typed, and what it says."""

    def __init__(self, lab, host, *arguments, user="client4"):
        self.folder = tempfile.TemporaryDirectory(prefix="portolan-phone-")  # ends with this
        self.directory = pathlib.Path(self.folder.name)
        config = self.directory / "phone.conf"
        config.write_text(f'user = "{user}"\ndomain = "{DOMAIN}"\npassword = "pw-{user}"\n')
        self.output = self.directory / "said"
        with self.output.open("w") as output:
            self.process = lab.start(host, pathlib.Path(build_directory()) / "apps" / "portolan-phone", "--config",
                                     config, *arguments, stdin=subprocess.PIPE, stdout=output, stderr=output)

    def __enter__(self):
        return self

    def said(self):
        return self.output.read_text(errors="replace")

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until_it_says(self, text, count=1, seconds=20):
        until(lambda: self.said().count(text) >= count, seconds, lambda: f"{text!r}, {count} times, in {self.said()}")

    def status(self):
        """What it answers to "status", from the address of record on."""
        before = self.said().count(f"@{DOMAIN}: ")
        self.type("status")
        self.until_it_says(f"@{DOMAIN}: ", before + 1)
        # The prompt comes behind the answer.
        until(lambda: "\n[" in self.said().rsplit(f"@{DOMAIN}: ", 1)[1], 10, "a prompt")
        return self.said().rsplit(f"@{DOMAIN}: ", 1)[1]

    def quit(self):
        self.type("quit")
        self.until_it_ends()

    def until_it_ends(self):
        assert self.process.wait(30) == 0, self.said()
        check_no_sanitizer_report(self.said(), "portolan-phone")

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.process.stdin.close()


def samples_of_mu_law(octets):
    """G.711, each octet to a sample."""
    table = []
    for code in range(256):
        turned = ~code & 0xff
        magnitude = (((turned & 0x0f) << 3) + 0x84 << (turned >> 4 & 7)) - 0x84
        table.append(-magnitude if turned & 0x80 else magnitude)
    return [table[octet] for octet in octets]


def mu_law_tone(frequency, seconds):
    """A tone as raw G.711: the nearest code for each sample."""
    codes = sorted(zip(samples_of_mu_law(range(256)), range(256)))
    values = [value for value, _ in codes]
    one_second = bytes(codes[min(bisect.bisect_left(values, round(12000 * math.sin(2 * math.pi * frequency * at / 8000))),
                                 255)][1] for at in range(8000))
    return one_second * seconds
