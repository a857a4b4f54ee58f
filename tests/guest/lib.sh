# shellcheck shell=dash
# SPDX-License-Identifier: BSD-3-Clause
# What the guest's jobs share. Lines for the host begin with "guest: ".

disk=/dev/vda

# load NAME...: drivers that only this job needs. Those not there are built into the kernel.
load() {
    for name; do
        [ ! -e "/modules/$name.ko" ] || insmod "/modules/$name.ko" || exit 1
    done
}

find_disk() {
    tries=50
    until [ -b "$disk" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "guest: no disk"; exit 1; }
        usleep 100000
    done
}

# What the driver made of the device; feature bits as accepted, bit 0 first.
describe_disk() {
    sys=/sys/block/vda
    set -- $sys/mq/*
    echo "guest: disk sectors=$(cat $sys/size) queues=$# ro=$(cat $sys/ro) serial=$(cat $sys/serial)"
    echo "guest: cache $(cat $sys/queue/write_cache)"
    echo "guest: features $(cat $sys/device/features)"
}

# The files that the host put on the disk, against the host's checksums.
check_tree() {
    cd /mnt || exit 1
    sha256sum -c /input/SHA256SUMS >/tmp/checked 2>/dev/null || true
    cd /
    bad=$(grep -vc ': OK$' /tmp/checked) || true
    echo "guest: files ok=$(grep -c ': OK$' /tmp/checked) bad=$bad"
    [ "$bad" -eq 0 ] || { grep -v ': OK$' /tmp/checked | head -n 5; exit 1; }
}

seconds() {
    cut -d ' ' -f 1 /proc/uptime
}

sha256() {
    sha256sum "$1" | cut -d ' ' -f 1
}
