# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the tests against real front-ends, and the demo, share: a folder that
# goes away, processes that end, the back-end, guests, images, and verdicts.
#
# BACKEND=blk (default) tests vhost-user-blk, from BLK_PROGRAM if set;
# ENGINE is its engine. BACKEND=qsd puts qemu-storage-daemon in its place, to
# tell a fault of the front-end or of the test from one of ours. Any other word is
# the device of ours that a script is about, in PROGRAMS.

# Names set here are read by the scripts, and lists of QEMU's options hold commas:
# shellcheck disable=SC2034,SC2054
# shellcheck source=ci/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../ci/lib.sh"

BACKEND=${BACKEND:-blk}
ENGINE=${ENGINE:-auto}
PROGRAMS=${PROGRAMS:-$VHU_ROOT/build/release/bin}
BLK_PROGRAM=${BLK_PROGRAM:-$PROGRAMS/vhost-user-blk}

GUEST_MEMORY=512M
GUEST_SECONDS=60   # no guest here needs half of it
STOP_SECONDS=5     # a program that was told to stop must have stopped
SERIAL=vmm-vhost-0
NEXT=              # before the names of what shall take over from what runs
HOSTS=0

WORK=$(mktemp -d "${TMPDIR:-/tmp}/vhu.XXXXXX")
SOCKET=$WORK/blk.sock
IMAGE=$WORK/disk.img
declare -A PID=()

clean_up() {
    local name
    for name in "${!PID[@]}"; do
        kill -KILL -- "-${PID[$name]}" 2>/dev/null || true
    done
    # User-Mode Linux leaves its process group.
    pkill -KILL -f -- "$WORK/" || true
    wait
    rm -rf "$WORK"
} 2>/dev/null  # the shell's own "Killed"
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---- verdicts ---------------------------------------------------------------

pass() {
    say "PASS: $*"
}

# Shows the end of every log, since the reason may lie on either side.
fail() {
    local log
    for log in "$WORK"/*.log; do
        [[ -s $log ]] || continue
        say "---- ${log##*/}"
        tail -n 25 "$log" | tr -d '\r'
    done
    say "FAIL: $*"
    exit 1
}

# run_variants LIST [VARIANT]: calls test_VARIANT, on a fresh image if the device
# is a disk; without VARIANT all of the list, each in a process of its own.
run_variants() {
    local variant failed=0
    if [[ $# -eq 1 ]]; then
        for variant in $1; do
            "$0" "$variant" || failed=1
        done
        exit "$failed"
    fi
    variant=$2
    declare -F "test_$variant" >/dev/null || fail "no variant '$variant', choose from: $1"
    local began
    began=$(now_ms)
    [[ $BACKEND != blk && $BACKEND != qsd ]] || make_image 60 128M
    "test_$variant"
    pass "${0##*/} $variant ($(seconds_since "$began") s)"
}

# ---- processes --------------------------------------------------------------

# spawn NAME SECONDS COMMAND...: starts COMMAND in a process group of its own, where a
# signal meant for its group reaches nobody else. Output goes to NAME.log.
spawn() {
    local name=$1 seconds=$2
    shift 2
    : >"$WORK/$name.log"
    setsid timeout --foreground -k 10 "$seconds" "$@" </dev/null >"$WORK/$name.log" 2>&1 &
    PID[$name]=$!
}

has_ended() {
    ! kill -0 "${PID[$1]}" 2>/dev/null
}

# reap NAME SECONDS: waits for its end and leaves its exit code in STATUS.
reap() {
    wait_until "$2" has_ended "$1" || fail "$1 has not ended after $2 s"
    STATUS=0
    wait "${PID[$1]}" || STATUS=$?
    # Child processes of User-Mode Linux outlive it when it is killed.
    kill -KILL -- "-${PID[$1]}" 2>/dev/null || true
    unset "PID[$1]"
}

# Not grep -q: it would leave early, and pipefail make its writer's end a failure.
log_has() {
    tr -d '\r' <"$WORK/$1.log" | grep -aE "$2" >/dev/null
}

log_has_or_is_over() {
    log_has "$1" "$2" || is_over "$1"
}

# is_over NAME: it has ended, or never will since the back-end died under it.
is_over() {
    has_ended "$1" || backend_died
}

backend_died() {
    [[ -n ${PID[backend]:-} ]] && has_ended backend
}

# wait_for_line NAME SECONDS REGEX: in the log of the running program NAME.
wait_for_line() {
    wait_until "$2" log_has_or_is_over "$1" "$3" || fail "$1 has not said '$3' within $2 s"
    log_has "$1" "$3" && return
    backend_died && fail "the back-end died"
    fail "$1 ended without saying '$3'"
}

# ---- back-end ---------------------------------------------------------------

# start_backend [OPTION...]: serves on SOCKET, a disk IMAGE; with options of its program.
start_backend() {
    rm -f "$SOCKET"
    case $BACKEND in
        blk)
            [[ -x $BLK_PROGRAM ]] || fail "no $BLK_PROGRAM: build it first"
            spawn "${NEXT}backend" 600 "$BLK_PROGRAM" --blk-file="$IMAGE" --socket-path="$SOCKET" \
                --serial="$SERIAL" --engine="$ENGINE" "$@"
            wait_for_line "${NEXT}backend" 10 '^vhost-user-blk: ready on '
            ;;
        qsd)
            spawn "${NEXT}backend" 600 qemu-storage-daemon \
                --blockdev driver=file,node-name=f,filename="$IMAGE",discard=unmap \
                --export "$(qsd_export "$@")"
            wait_until 10 test -S "$SOCKET" || fail "qemu-storage-daemon does not listen"
            ;;
        *)
            local program=$PROGRAMS/vhost-user-$BACKEND
            [[ -x $program ]] || fail "no $program: build it first"
            spawn backend 600 "$program" --socket-path="$SOCKET" "$@"
            wait_for_line backend 10 "^vhost-user-$BACKEND: ready on "
            ;;
    esac
}

qsd_export() {
    local export=type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=$SOCKET writable=on
    while [[ $# -gt 0 ]]; do
        case $1 in
            --num-queues=*) export+=,${1#--} ;;
            --read-only) writable=off ;;
        esac
        shift
    done
    echo "$export,writable=$writable"
}

# peer PROGRAM: the command for a program of a newer Debian, left in PEER: with
# its own loader and libraries, which saves a chroot and so works for any user.
PEERS=$VHU_CACHE/trixie
peer() {
    local libraries=$PEERS/usr/lib/x86_64-linux-gnu program
    for program in "$PEERS"/usr/{bin,libexec}/"$1"; do
        [[ -x $program ]] || continue
        PEER=(env "QEMU_MODULE_DIR=$libraries/qemu" "$libraries/ld-linux-x86-64.so.2"
            --library-path "$libraries" "$program")
        return
    done
    fail "no $1 in $PEERS: run ci/setup interop"
}

# Tells the back-end to stop, which must be quick and clean at any time.
stop_backend() {
    backend_died && fail "the back-end ended before it was told to"
    STOP_BEGAN=$(now_ms)
    kill -TERM "${PID[backend]}"
    reap backend "$STOP_SECONDS"
    STOP_TOOK=$(seconds_since "$STOP_BEGAN")
    [[ $STATUS -eq 0 ]] || fail "the back-end's exit code is $STATUS"
    [[ $BACKEND == qsd ]] || log_has backend "^vhost-user-$BACKEND: served requests=" ||
        fail "the back-end has not said what it served"
}

# served FIELD: a number from the back-end's last line; "?" from another program.
served() {
    local value
    value=$(sed -n "s/^vhost-user-$BACKEND: served .*\b$1=\([0-9]*\).*/\1/p" "$WORK/backend.log" | tail -n 1)
    echo "${value:-?}"
}

# expect_served FIELD OPERATOR NUMBER: asserts with test's integer operators.
expect_served() {
    local value
    value=$(served "$1")
    [[ $BACKEND != qsd ]] || return 0
    test "$value" "$2" "$3" || fail "the back-end served $1=$value, expected $2 $3"
}

# ---- guests -----------------------------------------------------------------

qemu_command() {
    local accel=$1 machine=$2 settings=$3
    shift 3
    QEMU=(qemu-system-x86_64 -accel "$accel" -cpu max -m "$GUEST_MEMORY"
        -machine "$machine,memory-backend=m0"
        -object "memory-backend-memfd,id=m0,size=$GUEST_MEMORY,share=on"
        -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -kernel "$VHU_CACHE/kernel/vmlinuz" -initrd "$WORK/qemu.cpio"
        -append "console=ttyS0 quiet loglevel=3 panic=-1 $settings" "$@")
}

# start_qemu SETTINGS [OPTION...]: boots a guest; SETTINGS are job=... and so on.
start_qemu() {
    make_initramfs qemu
    qemu_command "${ACCEL:=$(choose_accel)}" "${MACHINE:-q35}" "$1" -global virtio-mmio.force-legacy=off "${@:2}"
    GUEST_BEGAN=$(now_ms)
    spawn "${NEXT}guest" "$GUEST_SECONDS" "${QEMU[@]}"
}

# start_host SETTINGS [OPTION...]: a back-end and a guest that moves, left in HOST: with
# a monitor, and a serial port to tell the guest something. PACKED is its disk's. With
# POSTCOPY it may move before its memory.
start_host() {
    HOSTS=$((HOSTS + 1))
    HOST=$WORK/host-$HOSTS
    SOCKET=$HOST.sock
    mkfifo "$HOST."{monitor,tell}.{in,out}
    start_backend --num-queues=2 --sealed-memory ${POSTCOPY:+--postcopy}
    spawn "${NEXT}monitor" "$GUEST_SECONDS" cat "$HOST.monitor.out"
    qemu_disk num-queues=2 "packed=$PACKED"
    start_qemu "$1" "${DISK[@]}" \
        -chardev "pipe,id=tell,path=$HOST.tell" -serial chardev:tell \
        -chardev "pipe,id=monitor,path=$HOST.monitor" -mon chardev=monitor "${@:2}"
}

# has_come_to STATUS: the guest that moves, or has failed to. Asks on OLD, where it was.
has_come_to() {
    is_over guest || is_over next-guest || log_has monitor "Migration status: ($1|failed)" && return
    echo "info migrate" >"$OLD.monitor.in"
    return 1
}

# take_over: what was next is what is tested now; what still runs is called old.
take_over() {
    local name
    for name in guest monitor backend; do
        [[ -z ${PID[$name]:-} ]] || PID[old-$name]=${PID[$name]}
        mv "$WORK/next-$name.log" "$WORK/$name.log"
        PID[$name]=${PID[next-$name]}
        unset "PID[next-$name]"
    done
}

# start_uml SETTINGS: 2 is virtio's number for a disk.
start_uml() {
    make_initramfs uml
    GUEST_BEGAN=$(now_ms)
    # shellcheck disable=SC2086  # SETTINGS are words
    TMPDIR=$(uml_memory_folder) spawn guest "$GUEST_SECONDS" linux.uml mem=256M initrd="$WORK/uml.cpio" \
        con0=null,fd:1 con=null quiet loglevel=3 "virtio_uml.device=$SOCKET:2" $1
}

# The guest's memory is a file there: better in RAM, where there is room for it.
uml_memory_folder() {
    local room
    room=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
    if [[ ${room:-0} -gt $((300 << 10)) ]]; then echo /dev/shm; else echo "$WORK"; fi
}

make_initramfs() {
    local input=()
    [[ ! -e $WORK/SHA256SUMS ]] || input=("$WORK/SHA256SUMS")
    "$VHU_ROOT/tests/guest/build-initramfs" "$1" "$WORK/$1.cpio" "${input[@]}"
}

# qemu_disk [PROPERTY...]: the arguments for our disk, left in DISK.
qemu_disk() {
    local IFS=,
    DISK=(-chardev "socket,id=c0,path=$SOCKET" -device "${DISK_MODEL:-vhost-user-blk-pci},chardev=c0${*:+,$*}")
}

# qemu_net [PROPERTY...]: the arguments for a network device, left in NET. QEMU 7.2
# dies with interrupt vectors where there is no KVM.
qemu_net() {
    local IFS=,
    NET=(-chardev "socket,id=c0,path=$SOCKET" -netdev vhost-user,id=n0,chardev=c0
        -device "virtio-net-pci,netdev=n0,vectors=0${*:+,$*}")
}

# qemu_monitor: the arguments for a monitor, left in MONITOR, that takes commands on
# descriptor 3.
qemu_monitor() {
    mkfifo "$WORK/monitor.in" "$WORK/monitor.out"
    exec 3<>"$WORK/monitor.in" 4<>"$WORK/monitor.out"
    MONITOR=(-chardev "pipe,id=m0,path=$WORK/monitor" -mon chardev=m0)
}

# /dev/kvm may be there and open while no guest runs behind it: only a guest
# that ran is proof. The answer holds until the next boot of this machine.
choose_accel() {
    local answer
    answer=$VHU_CACHE/accel.$(tr -d - </proc/sys/kernel/random/boot_id)
    if [[ ! -e $answer ]]; then
        rm -f "$VHU_CACHE"/accel.*
        if kvm_works; then echo kvm; else echo tcg; fi >"$answer"
    fi
    cat "$answer"
}

kvm_works() {
    [[ -w /dev/kvm ]] || return 1
    make_initramfs qemu
    qemu_command kvm q35 job=none
    timeout -k 2 10 "${QEMU[@]}" </dev/null 2>&1 | tr -d '\r' | grep -a '^guest: done rc=0' >/dev/null
}

# guest_value KEY: from the guest's lines "guest: ... KEY=VALUE ...".
guest_value() {
    tr -d '\r' <"$WORK/guest.log" | sed -n "s/^guest: .*\b$1=\([^ ]*\).*/\1/p" | tail -n 1
}

expect_guest() {
    log_has guest "^guest: $1" || fail "the guest has not said '$1'"
}

# guest_ends SECONDS: it powers off on its own, having said that its job is done.
guest_ends() {
    wait_until "$1" is_over guest || fail "the guest has not ended after $1 s"
    has_ended guest || fail "the back-end died under the guest"
    reap guest 1
    [[ $STATUS -eq 0 ]] || fail "the guest's exit code is $STATUS"
    expect_guest 'done rc=0$'
}

# lose_backend: stops the back-end while the guest (job=errors) writes.
lose_backend() {
    wait_for_line guest 60 '^guest: writing'
    stop_backend
    guest_ends 30
}

# feature BIT: whether the guest's driver accepted it ("0" or "1").
feature() {
    local bits
    bits=$(tr -d '\r' <"$WORK/guest.log" | sed -n 's/^guest: features //p')
    echo "${bits:$1:1}"
}

expect_feature() {
    [[ $(feature "$1") == "$2" ]] || fail "feature bit $1 is '$(feature "$1")' in the guest, expected $2"
}

# ---- images -----------------------------------------------------------------

# make_image FILES SIZE: an ext4 image with FILES files, and their checksums.
make_image() {
    local tree=$WORK/tree i folder
    for ((i = 0; i < $1; i++)); do
        folder=$tree/folder-$((i % 8))/$((i % 3))
        mkdir -p "$folder"
        # Empty, odd, block-sized and large ones.
        head -c $((i * i * 997 % 400000)) /dev/urandom >"$folder/file-$i"
    done
    (cd "$tree" && find . -type f -exec sha256sum {} +) >"$WORK/SHA256SUMS"
    FILES=$1
    TREE_MIB=$(du -sm "$tree" | cut -f 1)
    mke2fs -q -t ext4 -d "$tree" "$IMAGE" "$2" >/dev/null
    rm -r "$tree"
}

# check_image: the guest's file system is sound, and its random file, taken out
# without its kernel, is what the guest says it wrote.
check_image() {
    e2fsck -fn "$IMAGE" >"$WORK/e2fsck.log" 2>&1 || fail "e2fsck finds faults in the image"
    debugfs -R "dump /random $WORK/random" "$IMAGE" >"$WORK/debugfs.log" 2>&1 || fail "debugfs failed"
    local ours theirs
    ours=$(sha256sum <"$WORK/random")
    theirs=$(guest_value sha256)
    [[ -n $theirs && ${ours%% *} == "$theirs" ]] ||
        fail "the image's random file is ${ours%% *}, the guest wrote $theirs"
}
