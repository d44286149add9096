# SPDX-License-Identifier: BSD-2-Clause
"""The pool changes while portoland runs: packets, routes and neighbour entries follow."""

from labkit import GATEWAY, pcp, PCP_PORT, POOL

HOST = "handset-3g"
OTHER = "192.0.2.12"


def reload_with_pool(lab, address):
    text = lab.running_configuration()
    changed = "\n".join(f'pool = ["{address}"]' if line.startswith("pool =") else line for line in text.splitlines())
    lab.reload(changed + "\n")


def reaches(viewer, address, port, inside):
    """True if a datagram from viewer arrives; the first may wait for the neighbour to be found."""
    inside.settimeout(2)
    viewer.sendto(b"ahoy", (address, port))
    try:
        return inside.recv(64) == b"ahoy"
    except TimeoutError:
        return False


def test_mappings_follow_the_pool(lab):
    with lab.udp(HOST) as client, lab.udp(HOST, 9600) as inside, lab.udp("viewer") as viewer:
        request = pcp.header(lab.address(HOST), 600) + pcp.map_body(pcp.UDP, 9600, 9600, "0.0.0.0", 7)
        client.sendto(request, (GATEWAY, PCP_PORT))
        granted = pcp.parse(client.recv(2048))
        assert (granted.result, granted.address) == (pcp.SUCCESS, POOL)
        assert reaches(viewer, POOL, granted.external, inside)

        reload_with_pool(lab, OTHER)
        updates = [pcp.parse(client.recv(2048)) for _ in range(3)]
        assert {(update.result, update.address) for update in updates} == {(pcp.SUCCESS, OTHER)}
        assert reaches(viewer, OTHER, updates[0].external, inside)
        assert not reaches(viewer, POOL, granted.external, inside)

    routes = lab.output("gateway", "ip", "-4", "route", "show", "dev", "nat64")
    proxies = lab.output("gateway", "ip", "-4", "neigh", "show", "proxy")
    assert OTHER in routes and POOL not in routes, routes
    assert OTHER in proxies and POOL not in proxies, proxies
    # Back again, and what is undone at the end (lab.down() looks) is what is there then.
    reload_with_pool(lab, POOL)
    routes = lab.output("gateway", "ip", "-4", "route", "show", "dev", "nat64")
    assert POOL in routes and OTHER not in routes, routes


def test_the_operators_mapping_leads_to_a_host_that_never_asked(lab):
    without = lab.running_configuration()
    with lab.udp(HOST, 9700) as inside, lab.udp("viewer") as viewer:
        lab.reload(f'''{without}
[[mapping]]
protocol = "udp"
internal_address = "{lab.address(HOST)}"
internal_port = 9700
external_address = "{POOL}"
external_port = 80
''')
        assert reaches(viewer, POOL, 80, inside)
        lab.reload(without)
    # Another socket: the viewer's session of before lives on.
    with lab.udp(HOST, 9700) as inside, lab.udp("viewer") as viewer:
        assert not reaches(viewer, POOL, 80, inside)
