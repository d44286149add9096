# SPDX-License-Identifier: BSD-2-Clause
"""Every command of the management API, and what it is protected from."""

import json
import stat

import pytest
from conftest import HOST, READ, REQUEST_TIMEOUT, WRITE, Answer, commands, fields, read_all
from pcp import TCP, UDP, description

SUBSCRIBER = "2001:db8:112::/64"
ADDED = "2001:db8:bbbb::/48"

# What each command is asked; those that change what others look at come last.
ASKED = {
    "list user": ("", None),
    "list map": ("", None),
    "list pool": ("", None),
    "show user": (f"?subscriber={SUBSCRIBER}", None),
    "show map": (f"?transport-protocol=tcp&internal-src-address={HOST}&internal-src-port=8080", None),
    "show": ("", None),
    "show settings": ("", None),
    "stats": ("", None),
    "export": ("", None),
    "add user": ("", {"subscriber": ADDED, "mappings-per-user-max": 3, "protocols": ["tcp", "udp"]}),
    "set user": ("", {"subscriber": ADDED, "mappings-per-user-max": 4}),
    "delete user": (f"?subscriber={ADDED}", None),
    "add map": ("", {"transport-protocol": "tcp", "internal-src-address": "2001:db8:112::9", "internal-src-port": 80,
                     "external-src-port": 8080}),
    "delete map": (f"?internal-src-address={HOST}", None),
    "set": ("", {"maximum-lifetime": 3600}),
    "announce": ("", {}),
    "reload": ("", {}),
}

PYTHON_TYPES = {"number": int, "seconds": int, "port": int, "flag": bool}


def check_object(command, found):
    """Members are those of the schema, and of its types."""
    known = fields()
    for name, value in found.items():
        assert name in command["result"]["columns"], (command["words"], name)
        values = value if known[name].get("list") else [value]
        for each in values:
            assert isinstance(each, PYTHON_TYPES.get(known[name]["type"], str)), (name, value)
            assert each in known[name].get("choices", [each]), (name, value)


@pytest.mark.parametrize("way", ["unix", "tcp", "tls"])
def test_every_command_is_answered_as_its_schema_says(server, client, way):
    client.map(TCP, 8080)
    known = commands()
    assert set(ASKED) == set(known) - {"watch"}
    for name, (query, body) in ASKED.items():
        command = known[name]
        answer = server.ask(command["method"], command["path"] + query, body, way, None if way == "unix" else WRITE)
        # An epoch that has just begun is not announced again yet.
        while name == "announce" and answer.status == 503 and answer.code == "busy":
            answer = server.ask(command["method"], command["path"] + query, body, way, None if way == "unix" else WRITE)
        assert answer.status == (201 if name.startswith("add") else 200), (name, answer.text)
        assert answer.headers["Cache-Control"] == "no-store"
        if command["result"]["shape"] == "rows":
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            assert answer.rows, name
            for row in answer.rows:
                check_object(command, row)
        else:
            assert answer.headers["Content-Type"] == "application/json"
            check_object(command, answer.object)


def test_listings_show_what_a_host_has_asked_for(server, client):
    _, mapped = client.map(TCP, 8080, lifetime=600, options=description("ietf85"))
    row, = server.ask("GET", "/v1/mappings").rows
    assert (row["transport-protocol"], row["internal-src-address"], row["internal-src-port"]) == ("tcp", HOST, 8080)
    assert (row["external-src-address"], row["external-src-port"]) == (mapped.address, mapped.external)
    assert row["description"] == "ietf85" and 0 < row["lifetime"] <= 600 and "third-party-address" not in row
    user, = server.ask("GET", "/v1/users?origin=dynamic").rows
    assert user["subscriber"] == SUBSCRIBER and user["external-src-address"] == mapped.address
    assert user["port-range"] == "0-65535" and user["epoch"] >= 0


def test_a_script_in_a_description_is_data(server, client):
    text = '<script>alert(1)</script>"; rm -rf /; \u2028{"error": {}}'
    client.map(TCP, 8080, options=description(text))
    answer = server.ask("GET", "/v1/mappings")
    row, = answer.rows
    assert row["description"] == text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_was_added_is_there_after_a_restart(server, client):
    assert server.ask("POST", "/v1/users", {"subscriber": ADDED, "mappings-per-user-max": 3}).status == 201
    assert server.ask("POST", "/v1/mappings", ASKED["add map"][1]).status == 201
    before = server.ask("GET", "/v1/mappings?origin=by-hand").rows
    server.process.kill()
    server.process.wait(30)
    again = type(server)(server.directory)
    server.process = again.process
    user, = again.ask("GET", "/v1/users?origin=by-hand").rows
    assert (user["subscriber"], user["mappings-per-user-max"]) == (ADDED, 3)
    assert again.ask("GET", "/v1/mappings?origin=by-hand").rows == before
    # A limit that the API set is kept to.
    assert client.map(UDP, 1)[1].result == 0


def test_events_are_followed_as_they_happen(server, client):
    connection = server.connection()
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    assert response.status == 200 and response.headers["Content-Type"] == "application/x-ndjson"
    client.map(TCP, 8080)
    first = json.loads(response.readline())
    client.map(TCP, 8080, lifetime=0)
    second = json.loads(response.readline())
    assert (first["event"], first["internal-src-port"]) == ("mapping-created", 8080)
    assert (second["event"], second["sequence"]) == ("mapping-deleted", first["sequence"] + 1)
    for event in (first, second):
        check_object(commands()["watch"], event)
    connection.close()
    # Who comes back misses nothing.
    again = server.connection()
    again.request("GET", f"/v1/events?after={first['sequence']}")
    assert json.loads(again.getresponse().readline()) == second
    again.close()


@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_over_tcp_a_token_is_needed(server, way):
    answer = server.ask("GET", "/v1/status", way=way)
    assert (answer.status, answer.code) == (401, "no-token") and answer.headers["WWW-Authenticate"] == "Bearer"
    answer = server.ask("GET", "/v1/status", way=way, token="wrong")
    assert (answer.status, answer.code) == (401, "wrong-token")
    # Nothing is said of what there is.
    assert server.ask("GET", "/v1/nothing", way=way, token="wrong").code == "wrong-token"
    assert server.ask("GET", "/v1/status", way=way, token=READ).status == 200
    answer = server.ask("POST", "/v1/users", {"subscriber": ADDED}, way, READ)
    assert (answer.status, answer.code) == (403, "read-only-token")
    assert server.ask("GET", f"/v1/user?subscriber={ADDED}", way=way, token=READ).status == 404
    assert server.ask("POST", "/v1/users", {"subscriber": ADDED}, way, WRITE).status == 201


def test_guessing_tokens_is_slowed_down(server):
    codes = [server.ask("GET", "/v1/status", way="tcp", token=f"guess-{number}").code for number in range(31)]
    assert codes == ["wrong-token"] * 30 + ["too-many-wrong-tokens"]
    assert server.ask("GET", "/v1/status", way="tcp", token="guess").status == 429
    assert server.ask("GET", "/v1/status", way="tcp", token=READ).status == 200


def test_tokens_are_read_again_with_the_configuration(server):
    server.write_tokens({"new": ("read", "new-secret")})
    assert "configuration reloaded" in server.reload()
    assert server.ask("GET", "/v1/status", way="tcp", token=READ).code == "wrong-token"
    assert server.ask("GET", "/v1/status", way="tcp", token="new-secret").status == 200
    server.tokens.chmod(0o644)
    assert "so that others may use it" in server.reload()
    assert server.ask("GET", "/v1/status", way="tcp", token="new-secret").status == 200


def test_a_renewed_certificate_is_shown_after_a_reload(server):
    def asks(connection):
        connection.request("GET", "/v1/status", headers={"Authorization": f"Bearer {READ}"})
        return Answer(connection.getresponse()).status

    kept = server.connection("tls")
    assert asks(kept) == 200
    server.make_certificate()
    assert "configuration reloaded" in server.reload()
    # This takes only the new one.
    assert server.ask("GET", "/v1/status", way="tls", token=READ).status == 200
    assert asks(kept) == 200, "who was connected goes on"
    kept.close()
    # One that is not whole, or not that of the key.
    key = server.key.read_text()
    for wrong in ("", key[:100]):
        server.key.write_text(wrong)
        said = server.reload()
        assert "not reloaded" in said and f"{server.key}: no private key of that certificate" in said, said
        assert "check that the file" in said
    assert server.ask("GET", "/v1/status", way="tls", token=READ).status == 200


def test_web_pages_are_kept_out(server):
    for way in ("unix", "tcp"):
        answer = server.ask("GET", "/v1/status", way=way, token=READ, Origin="https://evil.example")
        assert (answer.status, answer.code) == (403, "browser")
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
    # A name of theirs that leads here (DNS rebinding).
    assert server.ask("GET", "/v1/status", way="tcp", token=READ, Host="evil.example").code == "wrong-host"
    assert server.ask("GET", "/v1/status", way="tcp", token=READ, Host="gateway.example.net").status == 200
    # What a form can send.
    answer = server.ask("POST", "/v1/users", b'{"subscriber": "2001:db8:bbbb::/48"}', Content_Type="text/plain")
    assert (answer.status, answer.code) == (415, "wrong-content-type")


def test_the_socket_has_its_mode(server):
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600


@pytest.mark.parametrize("octets, status, code", [
    (b"hello\r\n\r\n", 400, "malformed"),
    (b"GET /v1/status HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version-unsupported"),
    (b"GET /v1/status HTTP/1.1\nHost: a\n\n", 400, "malformed"),
    (b"POST /v1/users HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413, "body-too-large"),
    (b"POST /v1/users HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "transfer-unsupported"),
    (b"GET /" + 20000 * b"a" + b" HTTP/1.1\r\n\r\n", 431, "header-too-large"),
    (b"POST /v1/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", 411,
     "no-length"),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400, "malformed"),
])
def test_what_is_no_request_gets_a_clear_refusal(server, octets, status, code):
    with server.plain() as connection:
        connection.sendall(octets)
        said = read_all(connection)
    head, _, body = said.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), said
    assert json.loads(body)["error"]["code"] == code


def test_an_oversized_body_is_refused_while_it_comes(server):
    body = b'{"subscriber": "' + 70000 * b"x" + b'"}'
    with server.plain() as connection:
        connection.sendall(b"POST /v1/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n".encode() + body)
        assert read_all(connection).startswith("HTTP/1.1 413 ")


def test_a_slow_client_is_refused(server):
    with server.plain() as connection:
        connection.sendall(b"GET /v1/status HT")
        said = read_all(connection)
    assert said.startswith("HTTP/1.1 408 ") and f"not complete after {REQUEST_TIMEOUT} s" in said


def test_connections_have_a_limit_and_others_are_served(server):
    connections = [server.connection() for _ in range(8)]
    for connection in connections:
        connection.request("GET", "/v1/status")
        assert connection.getresponse().read()
    answer = server.ask("GET", "/v1/status")
    assert (answer.status, answer.code) == (503, "too-many-connections")
    connections.pop().close()
    while (answer := server.ask("GET", "/v1/status")).status == 503:
        pass
    assert answer.status == 200
    for connection in connections:
        connection.close()


def test_requests_sent_at_once_are_answered_in_order(server):
    with server.plain() as connection:
        connection.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n" * 20 +
                           b"GET /v1/settings HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = read_all(connection)
    assert said.count("unknown-path") == 20 and said.index("minimum-lifetime") > said.rindex("unknown-path")


def test_a_reload_with_mistakes_tells_them_and_changes_nothing(server):
    good = server.config.read_text()
    server.config.write_text(good + "\n[nonsense]\n")
    answer = server.ask("POST", "/v1/reload")
    assert (answer.status, answer.code) == (409, "wrong-configuration")
    assert "unknown key nonsense" in answer.object["error"]["message"]
    server.config.write_text(good)
    assert server.ask("POST", "/v1/reload").object == {"reloaded": True}


def test_what_the_configuration_has_is_in_conflict(server):
    answer = server.ask("POST", "/v1/users", {"subscriber": "2001:db8:aaaa::/48"})
    assert (answer.status, answer.code) == (409, "configured")
    answer = server.ask("DELETE", "/v1/users?subscriber=2001:db8:aaaa::/48")
    assert (answer.status, answer.code) == (409, "configured")


def test_a_wrong_method_is_told_the_right_ones(server):
    answer = server.ask("PUT", "/v1/users", {})
    assert (answer.status, answer.code) == (405, "wrong-method")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST", "PATCH", "DELETE"}


def test_it_describes_itself(server):
    document = server.ask("GET", "/v1/openapi.json").object
    assert document["openapi"] == "3.1.0"
    for command in commands().values():
        assert command["method"].lower() in document["paths"][command["path"]]
    assert "portoland" in server.ask("GET", "/metrics").text
