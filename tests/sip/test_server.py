# SPDX-License-Identifier: BSD-2-Clause
"""How the phone finds its server, and where requests go: names, and name servers that are out of reach."""
import signal
import socket

from labkit import check_no_sanitizer_report
from peerkit import (A, ADDRESS, PEER_PORT, SRV, NameServer, description, handheld, resolv_conf, scripted, srv)
from sipkit import DOMAIN

HERE = socket.inet_aton(ADDRESS)
# No route leads there: the test's network has nothing but a loopback.
OUT_OF_REACH = "nameserver 192.0.2.53\n"
BY_SRV = {(f"_sip._udp.{DOMAIN}", SRV): [srv(PEER_PORT, "sip.example")], ("sip.example", A): [HERE]}


def test_name_servers_out_of_reach_are_told_in_words(peer, tmp_path):
    del peer
    with resolv_conf(tmp_path, OUT_OF_REACH), \
            scripted("--no-pcp", "--no-register", "--call", "sip:13@peer.example", server=DOMAIN) as phone:
        ended = phone.end(expect=1)
        assert f"the SIP server was not found: {DOMAIN}: no name server gives an answer" in ended["text"]
        assert "/etc/resolv.conf" in ended["text"]
    with resolv_conf(tmp_path, OUT_OF_REACH), scripted("--no-pcp", "--answer", server=DOMAIN) as phone:
        assert phone.end(expect=1) is None
        assert "the registration failed: the SIP server was not found" in phone.said()
        assert "tried again" not in phone.said()


def test_a_person_s_phone_goes_on_and_is_ended_by_a_signal(peer, tmp_path):
    del peer
    with resolv_conf(tmp_path, OUT_OF_REACH), handheld("--no-pcp", server=DOMAIN) as phone:
        phone.until_it_says("no name server gives an answer")
        phone.until_it_says("it is tried again in")
        phone.process.send_signal(signal.SIGTERM)
        assert phone.process.wait(20) == 0, phone.said()


def test_a_signal_ends_it_while_a_name_server_is_silent(peer, tmp_path):
    del peer
    with resolv_conf(tmp_path, f"nameserver {ADDRESS}\noptions timeout:30 attempts:5\n"), \
            NameServer({}, is_silent=True) as server, handheld("--no-pcp", server=DOMAIN) as phone:
        phone.until_it_says("not reachable")
        assert server.asked.wait(20)
        phone.process.send_signal(signal.SIGTERM)
        assert phone.process.wait(20) == 0, phone.said()
        check_no_sanitizer_report(phone.said(), "portolan-phone")


def test_the_second_name_server_is_asked_where_the_first_is_out_of_reach(peer, tmp_path):
    """The server is another name's host by its SRV record; the name stays in what the phone says."""
    with resolv_conf(tmp_path, f"{OUT_OF_REACH}nameserver {ADDRESS}\n"), NameServer(BY_SRV), \
            handheld("--no-pcp", server=DOMAIN) as phone:
        request = peer.register()
        assert request.first == f"REGISTER sip:{DOMAIN} SIP/2.0"
        assert request.header("To") == f"<sip:client4@{DOMAIN}>"
        phone.until_it_says("registered at")
        phone.type("call 13")
        invite = peer.next("INVITE")
        assert invite.first == f"INVITE sip:13@{DOMAIN} SIP/2.0"
        assert invite.header("To") == f"<sip:13@{DOMAIN}>"
        peer.answer(invite, "486 Busy Here")
        phone.until_it_says("call 1 ended: 486")
        phone.type("quit")
        peer.register(expires=0)
        phone.until_it_ends()


def test_without_a_server_a_call_goes_to_the_host_of_its_uri(peer, tmp_path):
    with resolv_conf(tmp_path, f"nameserver {ADDRESS}\n"), NameServer({("peer.example", A): [HERE]}), \
            handheld("--no-pcp", "--no-register", "--no-server") as phone:
        phone.type(f"call 13@peer.example:{PEER_PORT}")
        invite = peer.next("INVITE")
        assert invite.first == f"INVITE sip:13@peer.example:{PEER_PORT} SIP/2.0"
        # Where the answer names a host, the rest goes where this went: nobody is asked for it.
        peer.uri = "sip:13@elsewhere.example"
        peer.answer(invite, "200 OK", description())
        assert peer.next("ACK").first == "ACK sip:13@elsewhere.example SIP/2.0"
        phone.until_it_says("call 1 is active")
        phone.type("hangup")
        peer.answer(peer.next("BYE"), "200 OK")
        phone.until_it_says("call 1 ended")
        phone.quit()


def test_requests_to_a_caller_with_a_name_go_where_its_call_came_from(peer, tmp_path):
    with resolv_conf(tmp_path, OUT_OF_REACH), handheld("--no-pcp", "--no-register", "--no-server") as phone:
        phone.until_it_says("not reachable")
        peer.uri = "sip:13@elsewhere.example"
        call = peer.call()
        phone.until_it_says("answer or refuse?")
        phone.type("answer")
        call.final_answer()
        phone.until_it_says("call 1 is active")
        phone.type("hangup")
        bye = peer.next("BYE")
        assert bye.first == "BYE sip:13@elsewhere.example SIP/2.0"
        peer.answer(bye, "200 OK")
        phone.until_it_says("call 1 ended: hung up here")
        phone.quit()


def test_whom_to_call_is_a_name_or_a_sip_uri(peer):
    with handheld("--no-pcp", "--no-register") as phone:
        for whom, answer in (("sips:bob@mysip.example", "'sips:bob@mysip.example' asks for TLS"),
                             ("tel:123", "'tel:123' is no SIP URI: give one like sip:13@mysip.example")):
            phone.type(f"call {whom}")
            phone.until_it_says(answer)
        for whom, uri in (("bob", f"sip:bob@{DOMAIN}"), ("bob@other.example", "sip:bob@other.example"),
                          ("sip:bob@other.example", "sip:bob@other.example")):
            phone.type(f"call {whom}")
            invite = peer.next("INVITE")
            assert invite.first == f"INVITE {uri} SIP/2.0"
            peer.answer(invite, "404 Not Found")
            peer.next("ACK")
        phone.quit()
