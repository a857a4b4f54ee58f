# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Back-ends of others, served at SOCKET: serve_NAME [RUNNER...]. After lib.sh.

VIRTIOFSD=/usr/lib/qemu/virtiofsd

# serve COMMAND...: starts it, and waits until it listens.
serve() {
    rm -f "$SOCKET"
    spawn backend 60 "$@"
    wait_until 20 listens_or_died || fail "nobody listens after 20 s"
    listens || fail "the back-end ended at once"
}

listens_or_died() {
    listens || backend_died
}

# A socket file is there before its socket listens; the flag tells.
listens() {
    awk -v path="$SOCKET" '$4 == "00010000" && $8 == path { n++ } END { exit !n }' /proc/net/unix
}

# As a RUNNER: starts the command again whenever it ends. Many serve one front-end, and some die.
# shellcheck disable=SC2016,SC2034  # for another shell, and for those who source this
AGAIN=(bash -c 'while :; do "$@"; rm -f "$0"; done' "$SOCKET")

serve_qsd() {
    command -v qemu-storage-daemon >/dev/null || fail "no qemu-storage-daemon: run ci/setup guest"
    serve "$@" qemu-storage-daemon --blockdev driver=file,node-name=f,filename="$IMAGE",discard=unmap \
        --export "$(BACKEND=qsd qsd_export)"
}

serve_virtiofsd() {
    [[ -x $VIRTIOFSD ]] || fail "no $VIRTIOFSD: run ci/setup guest"
    mkdir "$WORK/share"
    serve "$@" "$VIRTIOFSD" --socket-path="$SOCKET" -o "source=$WORK/share,sandbox=$(sandbox)"
}

# A root without rights to make namespaces, as in some containers, has chroot.
sandbox() {
    if unshare --mount --pid --fork true 2>/dev/null; then echo namespace; else echo chroot; fi
}

serve_virtiofsd-rust() {
    needs virtiofsd
    mkdir "$WORK/share"
    peer virtiofsd
    serve "$@" "${PEER[@]}" --socket-path="$SOCKET" --shared-dir="$WORK/share" --sandbox=none --tag=share
}

serve_dpdk() {
    command -v dpdk-testpmd >/dev/null || fail "no dpdk-testpmd: run ci/setup dpdk"
    serve "$@" dpdk-testpmd -l 0-1 --main-lcore 0 --file-prefix="${WORK##*.}" --no-huge -m 256 --no-pci \
        --vdev "net_vhost0,iface=$SOCKET,queues=1" -- --total-num-mbufs=8192 --nb-cores=1 \
        --forward-mode=rxonly --auto-start --no-mlockall --stats-period 1
}

serve_passt() {
    needs passt
    peer passt
    serve "$@" "${PEER[@]}" --vhost-user -f -1 --socket "$SOCKET" --runas "$(id -u):$(id -g)" \
        -a 10.0.2.15 -n 24 -g 10.0.2.2 --map-host-loopback 10.0.2.2 -4
}

# A newer Debian cannot be unpacked everywhere.
needs() {
    local program
    for program in "$PEERS"/usr/{bin,libexec}/"$1"; do
        [[ ! -x $program ]] || return 0
    done
    say "SKIP: no $1 in $PEERS"
    exit 0
}
