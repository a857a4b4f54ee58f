# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A back-end with vhost-user-trace before it, and what the trace tells; sourced
# after lib.sh.

TRACE_PROGRAM=${TRACE_PROGRAM:-$VHU_ROOT/build/release/bin/vhost-user-trace}
BACK=$WORK/back.sock

# start_traced [OPTION...]: the back-end with options of its own, and the trace before it.
start_traced() {
    [[ -x $TRACE_PROGRAM ]] || fail "no $TRACE_PROGRAM: build it first"
    SOCKET=$BACK start_backend "$@"
    spawn trace 600 "$TRACE_PROGRAM" --device="${DEVICE:-blk}" "$SOCKET" "$BACK"
    wait_for_line trace 10 '^vhost-user-trace: listening at '
}

stop_trace() {
    kill -TERM "${PID[trace]}"
    reap trace "$STOP_SECONDS"
    [[ $STATUS -eq 0 ]] || fail "the trace's exit code is $STATUS"
    check_trace
}

# messages REGEX: how many of them there are in the trace.
messages() {
    grep -cE -e "$1" "$WORK/trace.log" || true
}

expect_message() {
    [[ $(messages "$1") -gt 0 ]] || fail "the trace has no '$1'"
}

# What docs/coverage.md says that this variant shows.
# shellcheck disable=SC2154  # run_variants sets `variant`
expect_covered() {
    local kind name
    while read -r kind name; do
        case $kind in
            request) expect_message "(->|<-) $name\(" ;;
            feature) expect_message "-> SET_PROTOCOL_FEATURES\(.*[(|]${name}[|)]" ;;
        esac
    done < <("$VHU_ROOT/ci/coverage" --shown-by "interop/${0##*/} $variant")
}

# Whatever came was understood, and it adds up.
check_trace() {
    local lines counted
    [[ $(messages ' \[!|<no request>|REQUEST_[0-9]') -eq 0 ]] || {
        grep -E ' \[!|<no request>|REQUEST_[0-9]' "$WORK/trace.log" | head -n 5
        fail "messages were not understood"
    }
    lines=$(messages '^ *[0-9.]+ #[0-9]+b? +(->|<-) ')
    counted=$(sed -n 's/^\([0-9]*\) messages on .*/\1/p' "$WORK/trace.log")
    [[ $lines -gt 20 && $lines == "$counted" ]] || fail "$lines lines for ${counted:-no} messages"
    log_has trace 'faulty: 0, replies without a request: 0, requests without an answer: 0$' ||
        fail "the trace's table tells of faults"
    expect_message '-> SET_FEATURES\(features=.*VERSION_1'
    expect_message '<- GET_PROTOCOL_FEATURES = .*MQ\|.*<[0-9]+ us'
    expect_message '-> SET_VRING_KICK\(ring=0\).* fds=\[[0-9]+:eventfd\]'
    expect_covered
    expect_message '-> (ADD_MEM_REG|SET_MEM_TABLE)\(.* fds=\[[0-9]+:(memfd:|file:)'
    say "      $lines messages, all of them understood"
}
