/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ThreadSanitizer (of LLVM 14) makes what it keeps of a thread's signals when the thread waits for
 * the first time, and loses a signal that comes in the midst of that: who should have ended goes on
 * for ever. So every program waits once before main() begins, when nobody signals it yet.
 */
#include <poll.h>
#include <stddef.h>

__attribute__((constructor)) static void wait_once(void)
{
    (void)poll(NULL, 0, 0);
}
