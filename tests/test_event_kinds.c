/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_event_kinds.h"

#include <vmm_vhost/error.h>

void adopt_both(const event_kind *kind, vhu_event **waiter, vhu_event **signaller)
{
    vhu_handle ends[2];

    print_message("%s\n", kind->name);
    assert_int_equal(kind->make(ends), 0);
    assert_int_equal(vhu_event_adopt_wait(waiter, &ends[0]), 0);
    assert_int_equal(vhu_event_adopt_signal(signaller, &ends[1]), 0);
    assert_int_equal(ends[0], VHU_NO_HANDLE);
    assert_int_equal(ends[1], VHU_NO_HANDLE);
}

void refuse(adopt_fn *adopt, vhu_handle handle)
{
    const vhu_handle before = handle;
    vhu_event *event = NULL;

    assert_int_equal(adopt(&event, &handle), VHU_EINVAL);
    assert_int_equal(handle, before);
    assert_null(event);
    vhu_handle_close(&handle);
}
