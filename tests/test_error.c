/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/error.h>

#include "support/leakcheck.h"

static void test_rows(void **state)
{
    static const int codes[] = {
#define CODE(name, value, class, text) value,
        VHU_ERROR_MAP(CODE)
#undef CODE
    };

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(codes[i], -(int)i - 1);
        assert_memory_equal(vhu_error_name(codes[i]), "VHU_E", 5);
        assert_string_not_equal(vhu_strerror(codes[i]), "");
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(vhu_error_name(codes[i]), vhu_error_name(codes[k]));
            assert_string_not_equal(vhu_strerror(codes[i]), vhu_strerror(codes[k]));
        }
    }
}

static void test_classes(void **state)
{
    (void)state;
    assert_int_equal(vhu_error_classify(VHU_EAGAIN), VHU_CLASS_RETRY);
    assert_int_equal(vhu_error_classify(VHU_EPENDING), VHU_CLASS_RETRY);
    assert_int_equal(vhu_error_classify(VHU_ECLIENT_EXIT), VHU_CLASS_CLOSED);
    assert_int_equal(vhu_error_classify(VHU_EDISCONNECT), VHU_CLASS_CLOSED);
    assert_int_equal(vhu_error_classify(VHU_ETIMEDOUT), VHU_CLASS_CLOSED);
    assert_int_equal(vhu_error_classify(VHU_EINVALID_MESSAGE), VHU_CLASS_PEER);
    assert_int_equal(vhu_error_classify(VHU_ENOMEM), VHU_CLASS_LOCAL);
}

static void test_others(void **state)
{
    static const int unknown[] = {1, -22, 1000, -1000};

    (void)state;
    assert_string_equal(vhu_error_name(0), "VHU_OK");
    assert_string_equal(vhu_strerror(0), "success");
    assert_int_equal(vhu_error_classify(0), VHU_CLASS_RETRY);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_string_equal(vhu_error_name(unknown[i]), "VHU_UNKNOWN");
        assert_string_equal(vhu_strerror(unknown[i]), "unknown error");
        assert_int_equal(vhu_error_classify(unknown[i]), VHU_CLASS_LOCAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_rows),
        leakcheck_test(test_classes),
        leakcheck_test(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
