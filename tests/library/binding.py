# SPDX-License-Identifier: BSD-2-Clause
"""The C interface as Python's ctypes sees it: a second reading of the structures' layout."""

import ctypes
import ipaddress

OK, TIMEOUT, REFUSED = 0, 4, 5
ONLY_PCP, ONLY_NAT_PMP, NO_ANYCAST = 1, 2, 4
EXTERNAL_IPV6 = 8
INFO_NAT_PMP = 2
GRANTED, CHANGED, LOST = 1, 3, 5


class Address(ctypes.Structure):
    _fields_ = [("octets", ctypes.c_ubyte * 16)]

    def __str__(self):
        address = ipaddress.IPv6Address(bytes(self.octets))
        return str(address.ipv4_mapped or address)


class Endpoint(ctypes.Structure):
    _fields_ = [("address", Address), ("port", ctypes.c_uint16)]


class Info(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("lifetime", ctypes.c_uint32),
                ("remaining", ctypes.c_uint32), ("port_count", ctypes.c_uint16), ("protocol", ctypes.c_uint8),
                ("internal", Endpoint), ("external", Endpoint), ("remote_peer", Endpoint),
                ("server", ctypes.c_char_p), ("description", ctypes.c_char_p)]


class Event(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("kind", ctypes.c_int), ("mapping", ctypes.c_void_p),
                ("user", ctypes.c_void_p), ("server", ctypes.c_char_p), ("text", ctypes.c_char_p), ("info", Info),
                ("previous", Endpoint), ("result", ctypes.c_uint8), ("retry_after", ctypes.c_uint32),
                ("transmissions", ctypes.c_uint32)]


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("servers", ctypes.POINTER(ctypes.c_char_p)),
                ("server_count", ctypes.c_size_t), ("callback", ctypes.c_void_p), ("user", ctypes.c_void_p)]


class Request(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("lifetime", ctypes.c_uint32),
                ("protocol", ctypes.c_uint8), ("internal_port", ctypes.c_uint16), ("external_port", ctypes.c_uint16),
                ("port_count", ctypes.c_uint16), ("external_address", Address), ("client_address", Address),
                ("third_party", Address), ("third_party_id", ctypes.c_void_p),
                ("third_party_id_length", ctypes.c_size_t), ("filters", ctypes.c_void_p),
                ("filter_count", ctypes.c_size_t), ("description", ctypes.c_char_p), ("server", ctypes.c_char_p),
                ("state", ctypes.c_char_p), ("callback", ctypes.c_void_p), ("user", ctypes.c_void_p)]


class Client:
    """One client, in the network namespace that its calls are made in."""

    def __init__(self, path, flags=0, servers=()):
        self.library = ctypes.CDLL(str(path))
        self.library.portolan_last_error.restype = ctypes.c_char_p
        self.handle = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(servers))(*[text.encode() for text in servers])
        options = Options(size=ctypes.sizeof(Options), flags=flags, servers=texts, server_count=len(servers))
        self.check(self.library.portolan_client_new(ctypes.byref(options), ctypes.byref(self.handle)))

    def check(self, status):
        assert status == OK, self.library.portolan_last_error().decode()

    def map(self, protocol, port, flags=0, address="::"):
        request = Request(size=ctypes.sizeof(Request), protocol=protocol, internal_port=port, flags=flags)
        request.client_address.octets[:] = ipaddress.IPv6Address(address).packed
        mapping = ctypes.c_void_p()
        self.check(self.library.portolan_map(self.handle, ctypes.byref(request), ctypes.byref(mapping)))
        return mapping

    def wait(self, mapping, timeout_ms=20000):
        info = Info(size=ctypes.sizeof(Info))
        self.check(self.library.portolan_wait(mapping, timeout_ms, ctypes.byref(info)))
        return info

    def run(self, timeout_ms):
        return self.library.portolan_run(self.handle, timeout_ms)

    def next_event(self):
        event = Event(size=ctypes.sizeof(Event))
        return event if self.library.portolan_next_event(self.handle, ctypes.byref(event)) == OK else None

    def nat64_prefix(self):
        """Status, and if that is OK prefix and length."""
        prefix, length = Address(), ctypes.c_uint8()
        status = self.library.portolan_nat64_prefix(self.handle, ctypes.byref(prefix), ctypes.byref(length))
        return (status, str(prefix), length.value) if status == OK else (status,)

    def drop(self, mapping):
        self.library.portolan_drop(mapping)
        self.check(self.library.portolan_flush(self.handle, 20000))

    def close(self):
        self.library.portolan_client_free(self.handle)
