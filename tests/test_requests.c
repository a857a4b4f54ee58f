/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's table against the specification's. */
#include <string.h>

#include "requests.h"
#include "support/requests_spec.h"
#include "wire.h"

static void test_rows(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= REQUEST_SPECS; code++) {
        const vhu__request *row = vhu__frontend_request(code);
        const request_spec *spec = request_spec_of(code);

        assert_non_null(row);
        assert_int_equal(row->code, code);
        assert_int_equal(spec->code, code);
        assert_string_equal(row->name, spec->name);
        assert_string_equal(vhu_frontend_request_name(code), spec->name);
        assert_in_range(spec->size, row->size_min, row->size_max);
        assert_true(spec->longer == 0 || row->size_max < spec->longer ||
                    row->size_max == VHU__WIRE_CONFIG_MAX);
        assert_true(row->size_max <= VHU_MAX_PAYLOAD);
        assert_true(row->handles_max <= VHU_MAX_HANDLES);
        assert_in_range(spec->handles, row->handles_min, row->handles_max);
        assert_int_equal(row->protocol_gate == VHU__NO_GATE ? SPEC_NO_GATE : row->protocol_gate,
                         spec->protocol_gate);
        assert_int_equal(row->virtio_gate == VHU__NO_GATE ? SPEC_NO_GATE : row->virtio_gate,
                         spec->virtio_gate);
    }
}

static void test_codes(void **state)
{
    static const uint32_t unknown[] = {0, 45, 46, 1000, 1006, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_null(vhu__frontend_request(unknown[i]));
        assert_null(vhu_frontend_request_name(unknown[i]));
    }
    assert_int_equal(VHU_REQ_END, REQUEST_SPECS + 1);
    assert_int_equal(VHU_REQ_SET_INFLIGHT_FD, 32);
    assert_int_equal(VHU_REQ_GET_SHMEM_CONFIG, 44);
}

static void test_protocol_features(void **state)
{
    (void)state;
    assert_string_equal(vhu_protocol_feature_name(0), "MQ");
    assert_string_equal(vhu_protocol_feature_name(3), "REPLY_ACK");
    assert_string_equal(vhu_protocol_feature_name(22), "SHMEM");
    for (unsigned bit = 0; bit < VHU_PF_END; bit++)
        assert_non_null(vhu_protocol_feature_name(bit));
    assert_null(vhu_protocol_feature_name(VHU_PF_END));
    assert_null(vhu_protocol_feature_name(63));
    assert_null(vhu_protocol_feature_name(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_rows),
        leakcheck_test(test_codes),
        leakcheck_test(test_protocol_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
