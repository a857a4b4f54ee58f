/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <vmm_vhost/error.h>

#include "posix.h"
#include "support/leakcheck.h"

/* No errno becomes success, or something to be tried again that should not be. */
static void test_errno(void **state)
{
    (void)state;
    for (int errnum = 0; errnum < 200; errnum++) {
        int code = vhu__posix_error(errnum);

        assert_in_range(-code, 1, 20);
        if (errnum != EAGAIN && errnum != EINPROGRESS)
            assert_int_not_equal(code, VHU_EAGAIN);
        assert_int_not_equal(code, VHU_EPENDING);
    }
    assert_int_equal(vhu__posix_error(EPIPE), VHU_EDISCONNECT);
    assert_int_equal(vhu__posix_error(ECONNRESET), VHU_EDISCONNECT);
    assert_int_equal(vhu__posix_error(EMFILE), VHU_EMFILE);
    assert_int_equal(vhu__posix_error(EDOM), VHU_EOS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
