#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""An ARP request and pings for the host of vhost-user-net, and what it has to answer.

    frames.py ask N FILE        writes a capture of the request and N pings
    frames.py check N FILE      fails unless the capture has each answer once, and nothing else
"""
import struct
import sys

GUEST, HOST = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 2])
GUEST_MAC, ANYBODY, NOBODY = bytes.fromhex("020000000001"), b"\xff" * 6, b"\0" * 6
ECHO_REPLY, ECHO = 0, 8


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", ~total & 0xffff)


def arp(operation, to, sender_mac, sender, target_mac, target):
    return (to + sender_mac + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) +
            sender_mac + sender + target_mac + target)


def ping(kind, number, to, sender_mac, sender, target):
    data = bytes((number + i) & 0xff for i in range(2 * (number % 600)))
    icmp = struct.pack(">BBHHH", kind, 0, 0, 1, number) + data
    icmp = icmp[:2] + checksum(icmp) + icmp[4:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), number, 0, 64, 1, 0) + sender + target
    ip = ip[:10] + checksum(ip) + ip[12:]
    return to + sender_mac + struct.pack(">H", 0x0800) + ip + icmp


def questions(n):
    return [arp(1, ANYBODY, GUEST_MAC, GUEST, NOBODY, HOST)] + [
        ping(ECHO, i, ANYBODY, GUEST_MAC, GUEST, HOST) for i in range(1, n + 1)]


def answers(n, host_mac):
    return [arp(2, GUEST_MAC, host_mac, HOST, GUEST_MAC, GUEST)] + [
        ping(ECHO_REPLY, i, GUEST_MAC, host_mac, HOST, GUEST) for i in range(1, n + 1)]


def write(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    at, frames = 24, []
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def main(command, number, path):
    if command == "ask":
        write(path, questions(int(number)))
        return
    frames = read(path)
    expected = answers(int(number), frames[0][6:12] if frames else NOBODY)
    if frames != expected:
        wrong = [i for i, pair in enumerate(zip(frames, expected)) if pair[0] != pair[1]]
        sys.exit(f"{len(frames)} frames, not {len(expected)}; wrong: {wrong[:10]}")


main(*sys.argv[1:])
