# SPDX-License-Identifier: BSD-2-Clause
"""A portoland with the simulated device whose API listens everywhere it can, and clients of it: Python's own HTTP
client, and plain sockets for what no client sends."""

import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest
from pcp import Client

SCHEMAS = pathlib.Path(__file__).parents[2] / "src/control/management/schema"
HOST = "2001:db8:112::1"
READ, WRITE = "read-secret", "write-secret"
REQUEST_TIMEOUT = 1


def fields():
    return json.loads((SCHEMAS / "fields.json").read_text())


def commands():
    """Every command that the API answers, by its name."""
    made = [json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))
            if path.name not in ("fields.json", "words.json")]
    return {" ".join(command["words"]): command for command in made if "method" in command}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def object(self):
        return json.loads(self.text)

    @property
    def rows(self):
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def code(self):
        return self.object["error"]["code"]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Server:
    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "management.sock"
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.make_certificate()
        self.tokens = directory / "tokens"
        self.write_tokens({"looks": ("read", READ), "changes": ("write", WRITE)})
        self.config = directory / "portoland.toml"
        self.config.write_text(f"""device = "simulated"
store_path = "{directory}/store.db"
runtime_directory = "{directory}"
[[inside]]
interface = "lo"
[simulated]
pool = ["192.0.2.1"]
[[user]]
prefix = "2001:db8:aaaa::/48"
[management]
listen = ["unix:{self.socket}", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"]
socket_mode = "0600"
certificate = "{self.certificate}"
key = "{self.key}"
tokens = "{self.tokens}"
names = ["gateway.example.net"]
connections_max = 8
request_timeout = {REQUEST_TIMEOUT}
""")
        self.log = directory / "portoland.log"
        with self.log.open("w", encoding="utf-8") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                [pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "apps/portoland", "--config", self.config], stderr=log)
        self.wait_for_log(" ready")
        said = self.log.read_text()
        self.tcp_port = int(re.search(r"at tcp:127.0.0.1:(\d+)", said)[1])
        self.tls_port = int(re.search(r"at tls:127.0.0.1:(\d+)", said)[1])

    def make_certificate(self):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                "-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", self.key,
                "-out", self.certificate)

    def write_tokens(self, tokens):
        self.tokens.write_text("".join(f"{name} {access} {hashlib.sha256(secret.encode()).hexdigest()}\n"
                                       for name, (access, secret) in tokens.items()))
        self.tokens.chmod(0o600)

    def wait_for_log(self, text, already=0):
        deadline = time.monotonic() + 30
        while text not in (said := self.log.read_text()[already:]):
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def reload(self):
        already = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        return self.wait_for_log("reloaded", already)

    def connection(self, way="unix"):
        if way == "unix":
            return UnixConnection(self.socket)
        if way == "tcp":
            return http.client.HTTPConnection("127.0.0.1", self.tcp_port, timeout=30)
        context = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection("127.0.0.1", self.tls_port, timeout=30, context=context)

    def ask(self, method, target, body=None, way="unix", token=None, **headers):
        """The answer to one request; `body` is sent as JSON, unless it is octets."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = self.connection(way)
        try:
            connection.request(method, target, body=body, headers=headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def plain(self):
        """A socket to write octets to."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(30)
        made.connect(str(self.socket))
        return made

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()


def read_all(connection):
    """Whatever comes until the other side closes."""
    octets = b""
    while part := connection.recv(65536):
        octets += part
    return octets.decode()


@pytest.fixture(scope="session")
def own_namespace():
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(links) == 1, "this test needs a network namespace of its own: run it by ctest -R management"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (HOST, "2001:db8:aaaa::1"):
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)


@pytest.fixture
def server(own_namespace, tmp_path):  # pylint: disable=redefined-outer-name,unused-argument
    made = Server(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(server):  # pylint: disable=redefined-outer-name,unused-argument
    """A PCP client of HOST."""
    made = Client(HOST)
    yield made
    made.close()
