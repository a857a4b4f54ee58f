#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The entropy device (virtio-rng) in Python, by ctypes on the shared library.

    ctypes_device.py /tmp/rng.sock [libvmm_vhost.so.0.9]
"""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p, sizeof


def structure(**members):
    return type("Structure", (ctypes.Structure,), {"_fields_": list(members.items())})


HandleRing = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
Buf = structure(base=c_void_p, len=c_size_t)
Chain = structure(bufs=POINTER(Buf), capacity=c_uint32, num_readable=c_uint32, num_writable=c_uint32,
                  head=c_uint32, written=c_uint32, place=c_uint16, span=c_uint16,
                  readable_len=c_uint64, writable_len=c_uint64)
# These are led by their size: they may end where this program's interest does.
Options = structure(size=c_size_t, features=c_uint64, num_rings=c_uint32)
Ops = structure(size=c_size_t, set_features=c_void_p, get_config=c_void_p, set_config=c_void_p,
                ring_started=c_void_p, ring_parked=c_void_p, handle_ring=HandleRing)


def main(address, library="libvmm_vhost.so.0.9"):
    vhu = ctypes.CDLL(library)
    vhu.vhu_strerror.restype = ctypes.c_char_p
    device, listener, conn = c_void_p(), c_void_p(), c_void_p()

    def check(result):
        if result < 0:
            raise OSError(vhu.vhu_strerror(result).decode())

    @HandleRing
    def handle_ring(_self, ring):
        bufs, ring = (Buf * 16)(), c_void_p(ring)
        chain = Chain(bufs=bufs, capacity=len(bufs))
        while vhu.vhu_ring_take(ring, byref(chain), 1) == 1:
            buf = bufs[chain.num_readable] if chain.num_writable else Buf()
            chain.written = min(buf.len, 4096)
            ctypes.memmove(buf.base, os.urandom(chain.written), chain.written)
            vhu.vhu_ring_complete(ring, byref(chain), 1)
        vhu.vhu_ring_flush(ring)

    options, ops = Options(sizeof(Options), num_rings=1), Ops(sizeof(Ops), handle_ring=handle_ring)
    check(vhu.vhu_device_new(byref(device), byref(options), byref(ops), None, None, None))
    check(vhu.vhu_listener_new(byref(listener), address.encode(), None))
    check(vhu.vhu_listener_wait(listener, -1))
    check(vhu.vhu_listener_accept(listener, byref(conn)))
    why = vhu.vhu_device_run(device, byref(conn), -1)
    print("the front-end has gone:", vhu.vhu_strerror(why).decode())
    vhu.vhu_listener_free(listener)
    check(vhu.vhu_device_free(device))


main(*sys.argv[1:])
