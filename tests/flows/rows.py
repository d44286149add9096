# SPDX-License-Identifier: BSD-2-Clause
"""The flows of draft-boucadair-pcp-flow-examples-04: which figures belong together, what they begin from, and
what happens. Figure 1 shows no fields. Each row has one test, marked with its figures, and is NAT44 unless it says
another setting: then packets go through every mapping that the test makes."""

from typing import NamedTuple

FIGURES = range(2, 77)
NAT44, NAT64, SIMULATED = "NAT44", "NAT64", "simulated"


class Row(NamedTuple):
    figures: tuple
    flow: str
    before: str
    setting: str = NAT44


ROWS = (
    Row((2, 3), "a suggested external port is granted", "no mapping"),
    # A NAT44 has IPv4 hosts (RFC 6887 s10).
    Row((4, 5), "an IPv6 host gets an IPv4 mapping", "no mapping", NAT64),
    Row((6, 7), "a mapping is deleted", "the mapping of figures 2 and 3, without traffic"),
    Row((8, 9), "another external port than suggested", "the suggested port is not available"),
    Row((10, 11), "the suggested external address with another port",
        "the suggested address is there, its port is not available"),
    Row((12,), "two subscribers of one pool", "a pool of 192.0.2.0/24 with one port on each address"),
    Row((13, 14), "the first of two clients", "external port 12000 is the only one"),
    Row((15, 16), "the second of two clients, on another external address",
        "external port 6000 is the only one, and another client's on 192.0.2.1"),
    Row((17, 18), "another nonce is refused", "the mapping of figures 2 and 3"),
    Row((19, 20), "another nonce is told what is there",
        "the mapping of figures 2 and 3; the expired draft's answer is switched on"),
    Row((21, 22), "PREFER_FAILURE, and the suggested port is granted", "the suggested port is free"),
    Row((23, 24), "PREFER_FAILURE, and the suggested port is taken",
        "other mappings have the port on every address of the pool"),
    Row((25,), "PREFER_FAILURE three times against once without",
        "external port 6598 is the only one"),
    Row((26, 27, 28), "MAP finds the mapping that a packet made",
        "a TCP connection from port 1234 goes out, with external port 10000 the only one free"),
    Row((29,), "deletion while traffic keeps the mapping", "a mapping, and traffic from its host"),
    Row((30,), "all traffic of one protocol", "a device that shares addresses"),
    Row((31,), "all traffic of all protocols", "a device that shares addresses"),
    Row((32, 33), "protocol 0 with a port is malformed", "nothing"),
    Row((34, 35), "the quota is exceeded", "a quota of one mapping, used"),
    Row((36, 37), "a family that the device does not have", "an IPv4 pool"),
    # The NAT44 maps SCTP.
    Row((38, 39), "a protocol that the device does not map", "a device for TCP and UDP", SIMULATED),
    Row((40,), "an update after the external address changed",
        "UDP port 3938 is mapped to port 15000 of 192.0.2.1; then the interface outside has 192.0.2.2"),
    Row((41,), "a client repairs its mapping", "a mapping; then the server restarts"),
    Row((42,), "a restart is announced", "the server has lost its state"),
    Row((43, 44), "a mapping is restored where it was", "the mapping before the server's restart"),
    Row((45, 46), "a NAT on the path is noticed", "the request comes from 198.51.100.2"),
    Row((47, 48), "the external address is learned by a short mapping", "a minimum lifetime of 60 s"),
    Row((49, 50), "THIRD_PARTY by one who may", "THIRD_PARTY is allowed to 198.51.100.1"),
    Row((51, 52), "THIRD_PARTY where nobody may", "THIRD_PARTY is off"),
    Row((53, 54), "THIRD_PARTY with the client's own address", "THIRD_PARTY is allowed"),
    Row((55, 56), "a filter is set", "no mapping"),
    Row((57, 58), "all filters are removed", "the mapping and filter of figures 55 and 56"),
    Row((59,), "a filter is replaced", "the mapping and filter of figures 55 and 56"),
    Row((60, 61, 62), "ANNOUNCE asks whether the server is there", "nothing"),
    Row((63,), "PEER prepares a host's own traffic", "no mapping"),
    Row((64, 65), "PEER makes an outbound mapping", "no mapping"),
    Row((66, 67), "PEER, and the suggested port is taken",
        "other mappings have the port on every address of the pool"),
    Row((68, 69), "PEER, and the suggested address is not the device's", "no mapping"),
    Row((70, 71, 72), "PEER extends the mapping that a packet made",
        "a TCP connection from port 3938 goes out, with external port 11000 the only one free"),
    Row((73, 74), "PEER learns the lifetime and does not shorten it", "as in figures 70 to 72"),
    Row((75, 76), "version 1 is told version 2", "version 1 is off"),
)


def heading(row):
    first, last = row.figures[0], row.figures[-1]
    if first == last:
        return f"Figure {first}: {row.flow}"
    return f"Figures {first} {'and' if last == first + 1 else 'to'} {last}: {row.flow}"


def row_of(figures):
    return next(row for row in ROWS if row.figures == tuple(figures))
