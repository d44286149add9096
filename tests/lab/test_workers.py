# SPDX-License-Identifier: BSD-2-Clause
"""A NAT64 with two workers: to everybody outside it is one, and both have something to do.

What comes from a host inside is read by the worker of its subscriber, what comes to an external port by the worker of
its 64 ports, so most of the conversations here go through both.
"""
import contextlib
import re
import signal
import socket
import threading

import pytest

from labkit import POOL, VIEWER_INSIDE, until

POOL_INSIDE = "2001:db8:64:ff9b::c000:20e"
HOSTS = ("handset-3g", "handset-wifi", "laptop")
# Four in a row of every other 64: two of each worker, in both orders of endpoints.
SUGGESTED = (5000, 5064, 5128, 5192)


@pytest.fixture(scope="module", autouse=True)
def two_workers(lab):
    assert lab.workers == 2
    assert "workers 2" in lab.server_log()
    assert "spreads flows" not in lab.server_log(), "the kernel refused to steer"


@pytest.fixture(scope="module")
def mappings(lab):
    """External ports of one host each, granted as suggested: (host, internal port) by external port."""
    made = {}
    for number, external in enumerate(SUGGESTED):
        host = HOSTS[number % len(HOSTS)]
        for protocol in ("udp", "tcp"):
            granted = lab.portolan(host, "map", protocol, 7000 + number, "--external-port", external)
            assert granted["external-port"] == external
        made[external] = (host, 7000 + number)
    return made


def read_by_worker(lab):
    """Packets that each worker has read."""
    pattern = re.compile(r"packets read by worker: (\d+), (\d+)")
    before = len(pattern.findall(lab.server_log()))
    lab.output("gateway", "kill", f"-{signal.SIGUSR1.value}", lab.server_pid())
    until(lambda: len(pattern.findall(lab.server_log())) > before, 10, "portoland tells its counters")
    return [int(count) for count in pattern.findall(lab.server_log())[-1]]


def all_at_once(work, items):
    """Runs work(item) for all items in threads; failures are told by the test's own."""
    failures = []

    def run(item):
        try:
            work(item)
        except Exception as failure:
            failures.append((item, failure))

    threads = [threading.Thread(target=run, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_hosts_talk_to_viewer_all_at_once(lab):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lab.udp("viewer", 7777))
        clients = [stack.enter_context(lab.udp(host)) for host in HOSTS for _ in range(8)]
        stopped = threading.Event()

        def echo():
            while not stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    payload, source = server.recvfrom(65_535)
                    server.sendto(payload, source)

        def talk(number):
            for size in (1, 100, 1400, 3000, 9000):
                payload = bytes((number + i) % 251 for i in range(size))
                clients[number].sendto(payload, (VIEWER_INSIDE, 7777))
                assert clients[number].recv(65_535) == payload

        server.settimeout(0.2)
        echoing = threading.Thread(target=echo)
        echoing.start()
        try:
            all_at_once(talk, range(len(clients)))
        finally:
            stopped.set()
            echoing.join()


def test_hosts_ping_viewer_all_at_once(lab):
    def ping(host):
        assert " 0% packet loss" in lab.output(host, "ping", "-n", "-c", 5, "-i", 0.2, "-W", 5, VIEWER_INSIDE)

    all_at_once(ping, HOSTS * 2)


@pytest.mark.parametrize("external", SUGGESTED)
def test_a_mapped_port_of_either_worker_leads_to_its_host(lab, mappings, external):
    host, internal = mappings[external]
    with lab.listener(host, internal) as listener:
        assert lab.tcp_reaches(external, listener)
    with lab.udp(host, internal) as inside, lab.udp("viewer") as outside:
        for size in (10, 1400, 9000):
            payload = bytes(range(256)) * 40
            outside.sendto(payload[:size], (POOL, external))
            received, source = inside.recvfrom(65_535)
            assert received == payload[:size]
            inside.sendto(received[::-1], source)
            received, source = outside.recvfrom(65_535)
            assert received == payload[:size][::-1] and source == (POOL, external)


def test_hosts_meet_at_the_ports_of_either_worker(lab, mappings):
    with contextlib.ExitStack() as stack:
        sockets = {external: stack.enter_context(lab.udp(host, port)) for external, (host, port) in mappings.items()}
        for own, one in sockets.items():
            for other, two in sockets.items():
                one.sendto(b"from %d" % own, (POOL_INSIDE, other))
                received, source = two.recvfrom(100)
                assert received == b"from %d" % own and source[:2] == (POOL_INSIDE, own)


def test_an_error_of_a_closed_port_reaches_who_sent(lab, mappings):
    for external in mappings:
        with lab.udp("viewer") as client:
            client.connect((POOL, external))
            client.send(b"anybody there")
            with pytest.raises(ConnectionRefusedError):
                client.recv(100)


def test_many_connections_end_cleanly(lab, mappings):
    external = SUGGESTED[1]
    host, internal = mappings[external]
    with lab.listener(host, internal) as listener:
        for number in range(32):
            with lab.connect_from_viewer(external) as client:
                server, _ = listener.accept()
                with server:
                    client.sendall(b"%d" % number)
                    client.shutdown(socket.SHUT_WR)
                    assert server.recv(16) == b"%d" % number
                    assert server.recv(16) == b""


def test_both_workers_have_read_packets(lab, mappings):
    before = read_by_worker(lab)
    with lab.udp("viewer") as outside:
        for external, (host, internal) in mappings.items():
            with lab.udp(host, internal) as inside:
                outside.sendto(b"ahoy", (POOL, external))
                assert inside.recv(100) == b"ahoy"
    read = [now - earlier for now, earlier in zip(read_by_worker(lab), before)]
    # Of four packets to four blocks of ports each has two; who else sends meanwhile adds to that.
    assert min(read) >= 2, read
