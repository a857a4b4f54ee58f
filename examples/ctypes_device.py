#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The entropy device (virtio-rng) in Python, by ctypes on the shared library, on select's poll.

    ctypes_device.py /tmp/rng.sock [libvmm_vhost.so]
"""
import ctypes
import os
import select
import sys
from ctypes import POINTER, byref, c_bool, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p

EAGAIN = -1
WAIT_READ, WAIT_WRITE = 1, 2


class Buf(ctypes.Structure):
    _fields_ = [("base", c_void_p), ("len", c_size_t)]


class Chain(ctypes.Structure):
    _fields_ = [("bufs", POINTER(Buf)), ("capacity", c_uint32), ("num_readable", c_uint32),
                ("num_writable", c_uint32), ("head", c_uint32), ("written", c_uint32),
                ("place", c_uint16), ("span", c_uint16), ("readable_len", c_uint64),
                ("writable_len", c_uint64)]


# Structures that are led by their size may end where this program's interest does.
class DeviceOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("features", c_uint64), ("num_rings", c_uint32)]


HandleRing = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class DeviceOps(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("set_features", c_void_p), ("get_config", c_void_p),
                ("set_config", c_void_p), ("ring_started", c_void_p), ("ring_parked", c_void_p),
                ("handle_ring", HandleRing)]


FUNCTIONS = {  # result, arguments
    "vhu_strerror": (ctypes.c_char_p, [c_int]),
    "vhu_device_new": (c_int, [POINTER(c_void_p), POINTER(DeviceOptions), POINTER(DeviceOps),
                               c_void_p, c_void_p, c_void_p]),
    "vhu_device_free": (c_int, [c_void_p]),
    "vhu_device_connect": (c_int, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "vhu_device_disconnect": (c_int, [c_void_p, c_void_p, c_void_p]),
    "vhu_device_ring": (c_void_p, [c_void_p, c_uint32]),
    "vhu_device_poll": (c_bool, [c_void_p, ctypes.c_uint]),
    "vhu_device_may_sleep": (c_bool, [c_void_p, ctypes.c_uint]),
    "vhu_device_settle": (None, [c_void_p]),
    "vhu_ring_kick_handle": (c_int, [c_void_p]),
    "vhu_ring_kicked": (None, [c_void_p]),
    "vhu_ring_take": (c_uint32, [c_void_p, POINTER(Chain), c_uint32]),
    "vhu_ring_complete": (None, [c_void_p, POINTER(Chain), c_uint32]),
    "vhu_ring_flush": (None, [c_void_p]),
    "vhu_backend_server_conn": (c_void_p, [c_void_p]),
    "vhu_backend_server_serve": (c_int, [c_void_p]),
    "vhu_conn_wait_handle": (c_int, [c_void_p]),
    "vhu_conn_wait_events": (ctypes.c_uint, [c_void_p]),
    "vhu_conn_deadline_ms": (c_int, [c_void_p]),
    "vhu_listener_new": (c_int, [POINTER(c_void_p), ctypes.c_char_p, c_void_p]),
    "vhu_listener_wait": (c_int, [c_void_p, c_int]),
    "vhu_listener_accept": (c_int, [c_void_p, POINTER(c_void_p)]),
    "vhu_listener_free": (None, [c_void_p]),
}


def load(path):
    library = ctypes.CDLL(path)
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check(vhu, result):
    if result < 0:
        raise OSError(vhu.vhu_strerror(result).decode())


class EntropyDevice:
    def __init__(self, vhu):
        # What the library calls later must live as long as the device.
        self.vhu, self.callback, self.device = vhu, HandleRing(self.handle_ring), c_void_p()
        options = DeviceOptions(size=ctypes.sizeof(DeviceOptions), num_rings=1)
        ops = DeviceOps(size=ctypes.sizeof(DeviceOps), handle_ring=self.callback)
        check(vhu, vhu.vhu_device_new(byref(self.device), byref(options), byref(ops), None, None,
                                      None))
        self.ring = vhu.vhu_device_ring(self.device, 0)

    def handle_ring(self, _self, ring):
        bufs = (Buf * 16)()
        chain = Chain(bufs=bufs, capacity=len(bufs))
        while self.vhu.vhu_ring_take(ring, byref(chain), 1) == 1:
            chain.written = 0
            if chain.num_writable > 0:
                buf = bufs[chain.num_readable]
                chain.written = min(buf.len, 4096)
                ctypes.memmove(buf.base, os.urandom(chain.written), chain.written)
            self.vhu.vhu_ring_complete(ring, byref(chain), 1)
        self.vhu.vhu_ring_flush(ring)

    def sleep(self, conn):
        poll = select.poll()
        events = self.vhu.vhu_conn_wait_events(conn)
        poll.register(self.vhu.vhu_conn_wait_handle(conn),
                      (select.POLLIN if events & WAIT_READ else 0) |
                      (select.POLLOUT if events & WAIT_WRITE else 0))
        kick = self.vhu.vhu_ring_kick_handle(self.ring)
        if kick >= 0:
            poll.register(kick, select.POLLIN)
        poll.poll(self.vhu.vhu_conn_deadline_ms(conn))

    def serve(self, conn):
        """Serve a front-end until it goes, and say why. The connection is taken."""
        vhu, server = self.vhu, c_void_p()
        check(vhu, vhu.vhu_device_connect(self.device, byref(conn), byref(server)))
        result = EAGAIN
        while result in (0, EAGAIN):
            if result == EAGAIN and vhu.vhu_device_may_sleep(self.device, 0):
                self.sleep(vhu.vhu_backend_server_conn(server))
            vhu.vhu_ring_kicked(self.ring)
            while vhu.vhu_device_poll(self.device, 0):
                pass
            vhu.vhu_device_settle(self.device)
            result = vhu.vhu_backend_server_serve(server)
        check(vhu, vhu.vhu_device_disconnect(self.device, None, None))
        return vhu.vhu_strerror(result).decode()

    def close(self):
        check(self.vhu, self.vhu.vhu_device_free(self.device))


def main(address, library="libvmm_vhost.so"):
    vhu, listener, conn = load(library), c_void_p(), c_void_p()
    device = EntropyDevice(vhu)
    check(vhu, vhu.vhu_listener_new(byref(listener), address.encode(), None))
    check(vhu, vhu.vhu_listener_wait(listener, -1))
    check(vhu, vhu.vhu_listener_accept(listener, byref(conn)))
    print("the front-end has gone:", device.serve(conn))
    vhu.vhu_listener_free(listener)
    device.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
