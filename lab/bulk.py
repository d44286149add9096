# SPDX-License-Identifier: BSD-2-Clause
"""HTTP parts that the lab's two web servers share.

Large bodies whose content follows from the length, so that each end can compute the hash it should
see; and a server that speaks one address family. Not a model of how to serve the web.
"""
import hashlib
import http.server
import socket
import urllib.parse

BLOCK_OCTETS = 1 << 20
BIG_OCTETS_MAX = 1 << 32


def blocks(octets):
    """Yields `octets` octets that look random and are the same each time."""
    number = 0
    while octets > 0:
        block = hashlib.shake_128(b"portolan %d" % number).digest(BLOCK_OCTETS)
        yield block[:octets]
        octets -= len(block)
        number += 1


def digest(octets):
    """The SHA-256, in hexadecimal, of what blocks(octets) yields."""
    sha = hashlib.sha256()
    for block in blocks(octets):
        sha.update(block)
    return sha.hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family, port, handler):
        self.address_family = family
        super().__init__(("::" if family == socket.AF_INET6 else "0.0.0.0", port), handler)

    def handle_error(self, request, client_address):
        # A browser that leaves in the middle of a stream is no error.
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    """Adds /big: GET /big?bytes=N sends blocks(N), PUT or POST /big answers the body's SHA-256."""

    protocol_version = "HTTP/1.1"

    def send_body(self, body, content_type, status=200):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def not_found(self):
        self.send_body(b"no such page\n", "text/plain", 404)

    def send_big(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        try:
            octets = int(query["bytes"][0])
        except (KeyError, ValueError):
            octets = -1
        if not 0 <= octets <= BIG_OCTETS_MAX:
            self.send_body(b"say how many: /big?bytes=N\n", "text/plain", 400)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(octets))
        self.end_headers()
        for block in blocks(octets):
            self.wfile.write(block)

    def receive_big(self):
        remaining = int(self.headers.get("Content-Length", -1))
        if self.path != "/big" or not 0 <= remaining <= BIG_OCTETS_MAX:
            self.close_connection = True
            self.send_body(b"PUT /big with a Content-Length\n", "text/plain", 400)
            return
        sha = hashlib.sha256()
        while remaining > 0:
            block = self.rfile.read(min(remaining, BLOCK_OCTETS))
            if not block:
                self.close_connection = True
                return
            sha.update(block)
            remaining -= len(block)
        self.send_body(sha.hexdigest().encode() + b"\n", "text/plain")

    do_PUT = receive_big
    do_POST = receive_big

    def log_message(self, format, *args):
        print(f"{self.client_address[0]} port {self.client_address[1]}: {format % args}", flush=True)
