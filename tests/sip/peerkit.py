# SPDX-License-Identifier: BSD-2-Clause
"""A SIP peer and a PCP server that do what a test tells them, and phones beside them: in the test's own network
namespace, which CTest makes for it. Nothing of the lab is there."""
import contextlib
import itertools
import os
import pathlib
import select
import socket
import struct
import subprocess
import threading
import time

from labkit import default_signals
from sipkit import DOMAIN, HandheldPhone, Phone

import pcp

ADDRESS = "127.0.0.1"
PEER_PORT = 5999
PHONE_PORT = 5060
PEER_MEDIA_PORT = 6500
EXTERNAL = "192.0.2.14"
# Seconds in which what should come does so on a busy machine.
PATIENCE = 30


def description(attributes="", port=PEER_MEDIA_PORT, formats="0"):
    """SDP of the peer's; `attributes` are lines that end as lines do there."""
    return (f"v=0\r\no=peer 1 1 IN IP4 {ADDRESS}\r\ns=-\r\nc=IN IP4 {ADDRESS}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {formats}\r\n{attributes}")


class Message:
    """A SIP message, taken apart as far as tests look at it."""

    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]

    def all_of(self, name):
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def header(self, name):
        """The first one; nothing if there is none."""
        return next(iter(self.all_of(name)), None)

    def __repr__(self):
        return f"{self.first} ({self.header('CSeq')})"


def text_of(first, headers, body=""):
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


class SipPeer:
    """Server and other side in one, over UDP, without a thread: it gets and answers what the test tells it to. What the
    phone sends again meanwhile is passed over."""

    def __init__(self, port=PEER_PORT):
        self.port = port
        self.uri = f"sip:13@{ADDRESS}:{port}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, port))
        self.phone = (ADDRESS, PHONE_PORT)
        self.received = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def next(self, beginning, seconds=PATIENCE, fits=lambda message: True):
        """The next message whose first line begins so, and that fits. What comes before it is only kept in `received`."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                octets, sender = self.socket.recvfrom(65535)
            except TimeoutError:
                raise AssertionError(f"no {beginning} within {seconds} s, of {self.received}") from None
            # Sofia-SIP keeps the path open with lines that are empty.
            if not octets.strip():
                continue
            self.phone = sender
            message = Message(octets.decode())
            self.received.append(message)
            if message.first.startswith(beginning) and fits(message):
                return message

    def send(self, text):
        self.socket.sendto(text.encode(), self.phone)

    def answer(self, request, status, body="", headers=()):
        """`status` is number and phrase; the answer names `headers`, (name, value) each, beside what it must."""
        to = request.header("To")
        self.send(text_of(f"SIP/2.0 {status}", [
            *(("Via", via) for via in request.all_of("Via")), ("From", request.header("From")),
            ("To", to if ";tag=" in to or status.startswith("100") else f"{to};tag=peer"),
            ("Call-ID", request.header("Call-ID")), ("CSeq", request.header("CSeq")), ("Contact", f"<{self.uri}>"),
            *headers], body))

    def register(self, expires=3600, seconds=PATIENCE):
        """Takes the next registration; it is granted for so long."""
        request = self.next("REGISTER", seconds)
        contact = request.header("Contact").split(";")[0]
        self.send(text_of("SIP/2.0 200 OK", [
            ("Via", request.header("Via")), ("From", request.header("From")), ("To", f"{request.header('To')};tag=peer"),
            ("Call-ID", request.header("Call-ID")), ("CSeq", request.header("CSeq")),
            ("Contact", f"{contact};expires={expires}")]))
        return request

    def call(self, body=None):
        """Calls the phone, with the peer's description unless given another one. It asks again until there is an answer
        (RFC 3261 s17.1.1.2): a phone that has told its mapping may not listen yet."""
        dialog = Dialog(self, f"call-{next(numbers)}", f"<sip:13@{DOMAIN}>;tag=peer", f"<sip:client4@{DOMAIN}>")
        dialog.request("INVITE", description() if body is None else body)
        deadline = time.monotonic() + PATIENCE
        while not select.select([self.socket], [], [], 0.5)[0]:
            assert time.monotonic() < deadline, f"no answer to an INVITE within {PATIENCE} s"
            self.send(dialog.sent)
        return dialog

    def dialog_of(self, invite):
        """For requests of the peer's in a call of the phone's that it accepted."""
        return Dialog(self, invite.header("Call-ID"), f"{invite.header('To')};tag=peer", invite.header("From"))


numbers = itertools.count(1)


class Dialog:
    """A call, and the requests of the peer's in it."""

    def __init__(self, peer, call_id, own, other):
        self.peer, self.call_id, self.own, self.other = peer, call_id, own, other
        self.sequence = 0
        self.branch = self.sent = ""

    def request(self, method, body="", headers=()):
        if method not in ("ACK", "CANCEL"):
            self.sequence += 1
        if method != "CANCEL":
            self.branch = f"z9hG4bKpeer{next(numbers)}"
        self.sent = text_of(f"{method} sip:client4@{self.peer.phone[0]}:{self.peer.phone[1]} SIP/2.0", [
            ("Via", f"SIP/2.0/UDP {ADDRESS}:{self.peer.port};branch={self.branch}"), ("From", self.own), ("To", self.other),
            ("Call-ID", self.call_id), ("CSeq", f"{self.sequence} {method}"), ("Max-Forwards", "70"),
            ("Contact", f"<{self.peer.uri}>"), *headers], body)
        self.peer.send(self.sent)

    def final_answer(self, seconds=PATIENCE):
        """To the latest request: an answer that ends its transaction. To an INVITE it is acknowledged, if it refuses by
        the transaction itself, else by an ACK of its own."""
        answer = self.peer.next("SIP/2.0 ", seconds, lambda message: message.first[8] != "1" and message.header(
            "Call-ID") == self.call_id and int(message.header("CSeq").split()[0]) == self.sequence)
        self.other = answer.header("To")
        if answer.header("CSeq").endswith("INVITE"):
            self.acknowledge(is_refusal=answer.first[8] != "2")
        return answer

    def acknowledge(self, is_refusal=False, body=""):
        branch = self.branch
        if not is_refusal:
            branch = f"z9hG4bKpeer{next(numbers)}"
        self.peer.send(text_of(f"ACK sip:client4@{self.peer.phone[0]}:{self.peer.phone[1]} SIP/2.0", [
            ("Via", f"SIP/2.0/UDP {ADDRESS}:{self.peer.port};branch={branch}"), ("From", self.own), ("To", self.other),
            ("Call-ID", self.call_id), ("CSeq", f"{self.sequence} ACK"), ("Max-Forwards", "70")], body))


class PcpServer:
    """Grants each MAP at `external` and the internal port's own number, for `lifetime_max` seconds at most. A test may
    set `result_of` and `port_of`, which are given the internal port; what is remembered of requests is in `asked`, by
    that port."""

    def __init__(self, external=EXTERNAL, lifetime_max=3600):
        self.external, self.lifetime_max = external, lifetime_max
        self.result_of = lambda port: pcp.SUCCESS
        self.port_of = lambda port: port
        self.asked = {}
        self.began = time.monotonic() - 1000
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, pcp.SERVER_PORT))
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # An empty datagram ends it.
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def serve(self):
        while True:
            request, sender = self.socket.recvfrom(2000)
            if not request:
                return
            if len(request) < 60 or request[:2] != bytes([2, pcp.MAP]):
                continue
            with self.lock:
                lifetime, port = struct.unpack_from("!I", request, 4)[0], struct.unpack_from("!H", request, 40)[0]
                if lifetime > 0:
                    self.asked[port] = (request, sender)
                else:
                    self.asked.pop(port, None)
                self.answer(request, sender)

    def answer(self, request, sender):
        """Options are left out, as by a server that knows none."""
        lifetime, port = struct.unpack_from("!I", request, 4)[0], struct.unpack_from("!H", request, 40)[0]
        result = self.result_of(port) if lifetime > 0 else pcp.SUCCESS
        granted = pcp.SHORT_ERROR_LIFETIME if result else min(lifetime, self.lifetime_max)
        place = request[42:60] if result or lifetime == 0 else (
            struct.pack("!H", self.port_of(port)) + pcp.octets(self.external))
        self.socket.sendto(bytes([2, 0x80 | pcp.MAP, 0, result]) + struct.pack(
            "!II", granted, int(time.monotonic() - self.began)) + bytes(12) + request[24:42] + place, sender)

    def move(self, external, ports=None):
        """From now on it is another address, which the mappings of `ports`, or of all, learn of unasked
        (RFC 6887 s14.2); with the same address what `port_of` says now."""
        with self.lock:
            self.external = external
            for port, (request, sender) in self.asked.items():
                if ports is None or port in ports:
                    self.answer(request, sender)


class Here:
    """Stands for a lab: its only host is the test's own."""

    @staticmethod
    def start(_, *command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(list(map(str, command)), text=True, preexec_fn=default_signals, **options)


def beside(*arguments, server=f"{ADDRESS}:{PEER_PORT}"):
    """What a phone beside the peer is told."""
    return ("--address", ADDRESS, "--server", server, "--sip-port", PHONE_PORT, "--nat64-prefix", "64:ff9b::/96",
            *arguments)


def handheld(*arguments, **options):
    return HandheldPhone(Here, None, *beside(*arguments, **options))


def scripted(*arguments, **options):
    return Phone(Here, None, *beside(*arguments, **options))


A, AAAA, SRV = 1, 28, 33


def name_octets(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def srv(port, host, priority=10, weight=10):
    return struct.pack("!HHH", priority, weight, port) + name_octets(host)


class NameServer:
    """A DNS server that has `records`: by (name, type) the data of each. Silent, it never answers."""

    def __init__(self, records, is_silent=False):
        self.records, self.is_silent = records, is_silent
        self.asked = threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, 53))
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # An empty datagram ends it.
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def serve(self):
        while True:
            question, sender = self.socket.recvfrom(2000)
            if not question:
                return
            self.asked.set()
            if not self.is_silent:
                self.socket.sendto(self.answer(question), sender)

    def answer(self, question):
        labels, place = [], 12
        while length := question[place]:
            labels.append(question[place + 1:place + 1 + length].decode())
            place += 1 + length
        (kind,) = struct.unpack_from("!H", question, place + 1)
        found = self.records.get((".".join(labels), kind), [])
        return (question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0) + question[12:place + 5] + b"".join(
            struct.pack("!HHHIH", 0xc00c, kind, 1, 300, len(data)) + data for data in found))


@contextlib.contextmanager
def resolv_conf(directory, text):
    """What resolv.conf says in the block, in this mount namespace."""
    place = os.path.realpath("/etc/resolv.conf")
    mine = pathlib.Path(directory) / "resolv.conf"
    mine.write_text(text)
    subprocess.run(["mount", "--bind", mine, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def loopback_up():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
