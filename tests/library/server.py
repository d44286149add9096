# SPDX-License-Identifier: BSD-2-Clause
#
# A PCP server, on loopback unless told where, that grants every MAP at 192.0.2.14:40000, or refuses all with one
# result.
import socket
import struct
import threading


class Server:
    def __init__(self, result=0, address="127.0.0.1", port=0):
        self.result = result
        self.lifetimes = []
        self.senders = []
        # getaddrinfo() takes a link-local address's zone along.
        family, kind, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind)
        self.socket.bind(place)
        self.name = "%s:%d" % self.socket.getsockname()[:2]
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
            (lifetime,) = struct.unpack_from("!I", request, 4)
            self.lifetimes.append(lifetime)
            self.senders.append(sender[0])
            granted = 60 if self.result else lifetime
            answer = bytes([2, request[1] | 0x80, 0, self.result]) + struct.pack("!II", granted, 1000) + bytes(12)
            answer += request[24:42]
            if self.result or lifetime == 0:
                answer += request[42:]
            else:
                answer += struct.pack("!H", 40000) + bytes(10) + b"\xff\xff\xc0\x00\x02\x0e" + request[60:]
            self.socket.sendto(answer, sender)
