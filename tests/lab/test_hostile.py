# SPDX-License-Identifier: BSD-2-Clause
"""100,000 random and mutated datagrams to portoland: it stays up, answers what RFC 6887 s8.2 says must
be answered, and its state is unchanged.

None of the datagrams is a valid request: where they carry a client address at all, it isn't the
sender's. In between go probes, requests with one known fault each, whose answers are checked octet by
octet; a probe also shows that everything before it has been received.
"""
import ipaddress
import os
import random
import socket
import struct
import time

import pytest

from labkit import PCP_PORT, udp_reaches

DATAGRAMS = 100_000
# What a batch may hold so that neither end's socket buffer overflows.
BATCH = 50
GATEWAY = "2001:db8:112::1"
REQUEST_OCTETS_MAX = 1100

ANNOUNCE, MAP, PEER = 0, 1, 2
SUCCESS, UNSUPP_VERSION, MALFORMED_REQUEST, UNSUPP_OPCODE, UNSUPP_OPTION, ADDRESS_MISMATCH = 0, 1, 3, 4, 5, 12


def header(opcode, client, lifetime=3600, version=2):
    return struct.pack("!BBHI", version, opcode, 0, lifetime) + client


def map_payload(nonce, protocol=6, internal=4444, external=0, address=b"\0" * 10 + b"\xff\xff" + b"\0" * 4):
    return nonce + struct.pack("!B3xHH", protocol, internal, external) + address


class Probes:
    """Requests with one fault each: the datagram, the result it must get, and the payload's copy."""

    def __init__(self, client, stranger, generator):
        self.client, self.stranger, self.generator = client, stranger, generator
        self.kinds = [self.bad_version, self.unknown_opcode, self.odd_length, self.cut_short, self.too_long,
                      self.wrong_address, self.unknown_option, self.good_announce]
        self.sent = 0

    def __next__(self):
        kind = self.kinds[self.sent % len(self.kinds)]
        self.sent += 1
        return kind.__name__, *kind(self.generator.randbytes(12))

    def bad_version(self, nonce):
        return header(MAP, self.client, version=self.generator.choice([3, 77, 255])) + map_payload(nonce), UNSUPP_VERSION

    def unknown_opcode(self, nonce):
        return header(self.generator.randint(3, 127), self.client) + map_payload(nonce), UNSUPP_OPCODE

    def odd_length(self, nonce):
        return header(MAP, self.client) + map_payload(nonce) + b"\1", MALFORMED_REQUEST

    def cut_short(self, nonce):
        return header(MAP, self.client) + map_payload(nonce)[:-8], MALFORMED_REQUEST

    def too_long(self, nonce):
        return header(MAP, self.client) + map_payload(nonce) + b"\0" * REQUEST_OCTETS_MAX, MALFORMED_REQUEST

    def wrong_address(self, nonce):
        return header(MAP, self.stranger) + map_payload(nonce), ADDRESS_MISMATCH

    def unknown_option(self, nonce):
        # Code 100 is below 128: the server must process it or refuse (RFC 6887 s7.3).
        return header(MAP, self.client) + map_payload(nonce) + struct.pack("!BBH", 100, 0, 0), UNSUPP_OPTION

    def good_announce(self, _):
        return header(ANNOUNCE, self.client, lifetime=0), SUCCESS


def check_answer(name, request, result, answer):
    assert 24 <= len(answer) <= REQUEST_OCTETS_MAX and len(answer) % 4 == 0, name
    assert answer[0] == 2, name
    assert answer[1] == request[1] | 0x80, name
    assert answer[3] == result, name
    # The rest is the request's, cut at 1100 octets and padded to a multiple of 4 (RFC 6887 s8.2).
    padded = request + b"\0" * (-len(request) % 4)
    assert answer[24:] == padded[24:REQUEST_OCTETS_MAX], name


class Noise:
    """Datagrams none of which is a valid request of `client`."""

    def __init__(self, client, stranger, generator):
        self.client, self.stranger, self.generator = client, stranger, generator

    def valid_but_for_the_address(self):
        generator = self.generator
        opcode = generator.choice([ANNOUNCE, MAP, MAP, MAP, PEER])
        body = header(opcode, self.stranger, generator.choice([0, 1, 3600, 0xFFFFFFFF]))
        if opcode != ANNOUNCE:
            body += map_payload(generator.randbytes(12), generator.choice([6, 17, 0, 255]), generator.randrange(65536),
                                generator.randrange(65536))
        if opcode == PEER:
            body += struct.pack("!HH", generator.randrange(65536), 0) + generator.randbytes(16)
        for _ in range(generator.choice([0, 0, 1, 2, 40])):
            length = generator.choice([0, 1, 4, 16, 20, 65535])
            body += struct.pack("!BBH", generator.choice([1, 2, 3, 128, 130, 200]), 0, length)
            body += generator.randbytes(min(-(-length // 4) * 4, 64))
        return bytearray(body)

    def __next__(self):
        generator = self.generator
        shape = generator.randrange(10)
        if shape == 0:
            datagram = bytearray(generator.randbytes(generator.choice([0, 1, 2, 3, 4, 23, 24, 25, 60, 1100, 1101, 1400])))
        elif shape == 1:
            datagram = bytearray(generator.randbytes(generator.randrange(1400)))
            if len(datagram) >= 2:
                datagram[0] = 2
                datagram[1] &= 0x83
        else:
            datagram = self.valid_but_for_the_address()
            for _ in range(generator.choice([0, 1, 1, 2, 8])):
                # Spares the address: by it no mutation can turn out valid.
                position = generator.choice([generator.randrange(8), generator.randrange(24, max(25, len(datagram)))])
                if position < len(datagram):
                    datagram[position] = generator.choice([0, 1, 127, 128, 255, generator.randrange(256)])
            cut = generator.randrange(12)
            if cut == 0:
                del datagram[generator.randrange(len(datagram) + 1):]
            elif cut == 1:
                datagram += generator.randbytes(generator.randrange(200))
        assert datagram[8:24] != self.client
        return bytes(datagram)


@pytest.fixture(scope="module")
def survivor(lab):
    """What there is before and after the flood."""
    seed = int(os.environ.get("PORTOLAN_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed: {seed} (PORTOLAN_SEED={seed} repeats this run)")
    generator = random.Random(seed)
    client = ipaddress.ip_address(lab.address("handset-3g")).packed
    stranger = ipaddress.ip_address("2001:db8:bad:bad:bad:bad:bad:bad").packed
    before = lab.portolan("handset-3g", "map", "udp", 9000)
    pid = lab.server_pid()
    noise, probes = Noise(client, stranger, generator), Probes(client, stranger, generator)
    answered = {}
    stray_successes = 0
    started = time.monotonic()
    with lab.udp("handset-3g") as sender:
        sender.connect((GATEWAY, PCP_PORT))
        for number in range(0, DATAGRAMS, BATCH):
            for _ in range(BATCH - 1):
                sender.send(next(noise))
            name, request, result = next(probes)
            sender.send(request)
            expected_start = bytes([2, request[1] | 0x80, 0, result])
            while True:
                try:
                    answer = sender.recv(2048)
                except TimeoutError:
                    pytest.fail(f"seed {seed}: no answer to {name} after {number + BATCH} datagrams; "
                                f"portoland runs: {lab.server_pid() is not None}\n{lab.server_log()[-3000:]}")
                # What the noise got comes before the probe's answer, in the order of the requests.
                is_probes = (answer[24:36] == request[24:36] and answer[:4] == expected_start)
                if is_probes:
                    break
                assert answer[0] == 2 and answer[1] & 0x80, f"seed {seed}: no PCP answer: {answer.hex()}"
                if answer[3] == SUCCESS:
                    stray_successes += 1
            check_answer(f"seed {seed}: {name}", request, result, answer)
            answered[name] = answered.get(name, 0) + 1
    print(f"{DATAGRAMS} datagrams in {time.monotonic() - started:.1f} s")
    return {"before": before, "pid": pid, "answered": answered, "stray": stray_successes, "seed": seed}


def test_every_probe_got_its_answer(survivor):
    assert sum(survivor["answered"].values()) == DATAGRAMS // BATCH
    assert len(survivor["answered"]) == 8


def test_no_random_datagram_was_granted_anything(survivor):
    assert survivor["stray"] == 0, f"seed {survivor['seed']}"


def test_portoland_is_the_same_process(lab, survivor):
    assert lab.server_pid() == survivor["pid"]


def test_the_mapping_made_before_is_unchanged(lab, survivor):
    before = survivor["before"]
    again = lab.portolan("handset-3g", "map", "udp", 9000, "--nonce", before["nonce"])
    assert (again["external-address"], again["external-port"]) == (before["external-address"], before["external-port"])
    assert again["epoch"] >= before["epoch"]
    with lab.udp("handset-3g", 9000) as server, lab.udp("viewer") as client:
        assert udp_reaches(client, before["external-port"], server, b"still there", timeout=2)


def test_an_answer_is_not_answered(lab, survivor):
    # R = 1: silently dropped, or two servers could keep each other busy (RFC 6887 s8.2).
    client = ipaddress.ip_address(lab.address("handset-3g")).packed
    with lab.udp("handset-3g") as sender:
        sender.connect((GATEWAY, PCP_PORT))
        sender.send(header(MAP | 0x80, client) + map_payload(b"\1" * 12))
        sender.send(header(ANNOUNCE, client, lifetime=0))
        assert sender.recv(2048)[1] == ANNOUNCE | 0x80
        sender.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sender.recv(2048)


def test_nothing_is_answered_on_the_outside(lab, survivor):
    # Requests are for the inside only; the pool's and the gateway's own address stay silent.
    for address in ("192.0.2.14", "192.0.2.1"):
        with lab.udp("viewer") as sender:
            sender.settimeout(0.5)
            sender.sendto(header(ANNOUNCE, b"\0" * 10 + b"\xff\xff" + bytes([192, 0, 2, 10]), lifetime=0),
                          (address, PCP_PORT))
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                sender.recv(2048)


def test_nobody_asks_by_the_address_of_a_host_on_another_link(lab):
    # RFC 6887 s8.2: the way back to it leads elsewhere.
    own, stolen = lab.address("handset-wifi"), "2001:db8:112::dead"
    done = lab.run("handset-wifi", "ip", "address", "add", f"{stolen}/128", "dev", "eth0", "nodad",
                   "preferred_lft", "0")
    assert done.returncode == 0, done.stderr
    with lab.inside("handset-wifi"):
        thief = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with lab.udp("handset-wifi") as sender, thief:
        thief.bind((stolen, 0))
        thief.settimeout(0.5)
        thief.sendto(header(ANNOUNCE, ipaddress.ip_address(stolen).packed, lifetime=0), (GATEWAY, PCP_PORT))
        sender.sendto(header(ANNOUNCE, ipaddress.ip_address(own).packed, lifetime=0), (GATEWAY, PCP_PORT))
        assert sender.recv(2048)[1] == ANNOUNCE | 0x80
        with pytest.raises(TimeoutError):
            thief.recv(2048)
