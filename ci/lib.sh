# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What all scripts share: folders, messages, waiting, root.

VHU_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VHU_CACHE=${VHU_CACHE:-$VHU_ROOT/build/cache}
# mke2fs and its like are there, which is not in an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin
export VHU_ROOT VHU_CACHE PATH

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed for '$1', and there is no sudo"
    fi
}

# wait_until SECONDS COMMAND...: polls, since the things waited for (a line in
# a log, a socket, the end of a process) come with no notification of their own.
wait_until() {
    local deadline=$((${EPOCHREALTIME//[!0-9]/} + $1 * 1000000))
    shift
    until "$@"; do
        [[ ${EPOCHREALTIME//[!0-9]/} -lt $deadline ]] || return 1
        sleep 0.05
    done
}

now_ms() {
    local us=${EPOCHREALTIME//[!0-9]/}
    echo $((us / 1000))
}

# seconds_since MS: the time gone by since now_ms() said MS, as "1.2".
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# quiet COMMAND...: what it has to say is of interest only if it fails.
quiet() {
    local output
    output=$("$@" 2>&1) || {
        say "$output"
        return 1
    }
}

# build_preset NAME [CMAKE_OPTION...]: configures and builds in build/NAME.
build_preset() (
    set -e
    cd "$VHU_ROOT"
    cmake --preset "$1" "${@:2}"
    cmake --build --preset "$1"
)

# start_wine: from here on Windows programs run in build/wine, else it would be
# ~/.wine. With a server that stays a program starts ten times as fast: who calls
# this has to end it with wineserver -k. What the first program starts beside
# itself stays, too, and with it its output: so that program is none of a test's.
start_wine() {
    export WINEPREFIX=$VHU_ROOT/build/wine
    export WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=d;winemenubuilder.exe=d"
    [[ -e $WINEPREFIX/ready ]] || make_wine_prefix
    wineserver -p || true # there may be one already
    wine winecfg -v win10 </dev/null >/dev/null 2>&1
}

# All of it is there when the server has ended; a program that came before would
# find a system without paths and folders.
make_wine_prefix() {
    rm -rf "$WINEPREFIX"
    mkdir -p "$WINEPREFIX"
    wineboot -i </dev/null >/dev/null 2>&1
    wineserver -w
    grep -q '^"TEMP"=' "$WINEPREFIX/user.reg" || die "Wine could not be set up in $WINEPREFIX"
    touch "$WINEPREFIX/ready"
}
