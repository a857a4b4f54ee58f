/* SPDX-License-Identifier: BSD-3-Clause */
/* What messages are said to say: all requests and replies of both channels, right and wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/describe.h>

#include "support/requests_spec.h"
#include "util.h"

enum { REPLY = VHU_VERSION_1 | VHU_FLAG_REPLY, BACK_CHANNEL = 0x100 };

/* --- fields as text --- */

typedef struct told {
    char text[8192];
    size_t len;
    unsigned found;
    const char *why;
    unsigned depth;
} told;

static void add(told *t, const char *format, ...) VHU__PRINTF(2, 3);

static void add(told *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
    va_end(args);
    t->len += (size_t)n;
    if (t->len > sizeof(t->text) - 1)
        t->len = sizeof(t->text) - 1;
}

static void add_field(void *arg, const vhu_field *field)
{
    told *t = arg;

    if (field->kind == VHU_FIELD_END) {
        assert_true(t->depth-- > 0);
        add(t, "] ");
        return;
    }
    if (field->kind == VHU_FIELD_ITEM)
        assert_null(field->name);
    else
        add(t, "%s=", field->name);
    if (field->kind == VHU_FIELD_LIST || field->kind == VHU_FIELD_ITEM) {
        t->depth++;
        add(t, "[");
    } else if (field->kind == VHU_FIELD_BYTES) {
        for (size_t i = 0; i < field->len; i++)
            add(t, "%02x", field->bytes[i]);
        add(t, " ");
    } else if (field->kind == VHU_FIELD_WORD && field->word) {
        add(t, "%s ", field->word);
    } else {
        add(t,
            field->kind == VHU_FIELD_HEX || field->kind == VHU_FIELD_BITS ? "%#" PRIx64 " "
                                                                          : "%" PRId64 " ",
            field->number);
    }
}

/* The payload lies in memory of just its size, so that a sanitizer sees a step beyond it. */
static void describe(told *t, vhu_message m, const void *payload, size_t len)
{
    void *exact = malloc(len ? len : 1);

    assert_non_null(exact);
    if (len > 0)
        memcpy(exact, payload, len);
    memset(t, 0, sizeof(*t));
    m.size = sizeof(m);
    m.payload = len > 0 ? exact : NULL;
    m.len = len;
    t->found = vhu_describe(&m, add_field, t, &t->why);
    assert_int_equal(t->depth, 0);
    assert_int_equal(t->why != NULL, (t->found & VHU_FOUND_WRONG) != 0);
    /* What is found does not depend on who listens. */
    assert_int_equal(vhu_describe(&m, NULL, NULL, NULL), t->found);
    free(exact);
}

/* --- front-end's requests, by the specification's table --- */

static void test_requests(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= REQUEST_SPECS; code++) {
        const request_spec *spec = request_spec_of(code);
        const uint32_t sizes[] = {spec->size, spec->shorter, spec->longer};
        message built;
        told t;

        request_build(spec, 0, &built);
        for (size_t i = 0; i < 3; i++) {
            vhu_message m = {.header = built.header, .num_handles = spec->handles};

            if (i > 0 && sizes[i] == 0)
                continue;
            m.header.size = sizes[i];
            describe(&t, m, built.payload, sizes[i]);
            if (((t.found & VHU_FOUND_FAULTS) != 0) != (i > 0))
                print_error("%s of %u bytes: %#x %s\n", spec->name, sizes[i], t.found, t.text);
            assert_int_equal((t.found & VHU_FOUND_FAULTS) != 0, i > 0);
        }
    }
}

static void test_handles(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= REQUEST_SPECS; code++) {
        const request_spec *spec = request_spec_of(code);
        message built;
        told t;

        request_build(spec, 0, &built);
        for (size_t n = 0; n <= 9; n++) {
            vhu_message m = {.header = built.header, .num_handles = n};

            describe(&t, m, built.payload, spec->size);
            assert_int_equal((t.found & VHU_FOUND_HANDLES) != 0,
                             n < spec->handles_min || n > spec->handles_max);
        }
    }
}

static void test_answered(void **state)
{
    const uint64_t acks = VHU_BIT(VHU_PF_REPLY_ACK);

    (void)state;
    for (uint32_t code = 1; code <= REQUEST_SPECS; code++) {
        const request_spec *spec = request_spec_of(code);
        message built;
        told t;

        for (unsigned i = 0; i < 4; i++) {
            bool own = spec->reply_size != SPEC_NO_REPLY && code != VHU_REQ_SET_LOG_BASE;
            vhu_message m = {.num_handles = spec->handles, .protocol_features = i & 1 ? acks : 0};

            request_build(spec, i & 2 ? VHU_FLAG_NEED_REPLY : 0, &built);
            m.header = built.header;
            describe(&t, m, built.payload, spec->size);
            assert_int_equal((t.found & VHU_FOUND_ANSWERED) != 0, own || i == 3);
            m.protocol_features |= VHU_BIT(VHU_PF_LOG_SHMFD);
            describe(&t, m, built.payload, spec->size);
            if (code == VHU_REQ_SET_LOG_BASE)
                assert_true(t.found & VHU_FOUND_ANSWERED);
        }
    }
}

/* --- single messages --- */

typedef struct row {
    uint32_t code; /* with BACK_CHANNEL */
    uint32_t flags;
    size_t handles;
    uint64_t words[6];
    uint32_t len;
    const char *text;
    unsigned found;
} row;

#define WORDS(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define HALVES(low, high) ((uint64_t)(high) << 32 | (low))

static const row rows[] = {
    {VHU_REQ_SET_FEATURES, 1, 0, WORDS(1 << 30), 8, "features=0x40000000 ", 0},
    {VHU_REQ_SET_VRING_NUM, 1, 0, WORDS(HALVES(3, 256)), 8, "ring=3 num=256 ", 0},
    {VHU_REQ_SET_VRING_NUM, 1, 0, WORDS(3), 7, "ring=3 rest=03000000000000 ", VHU_FOUND_SHORT},
    {VHU_REQ_SET_VRING_NUM, 1, 0, WORDS(3, 0xff), 9, "ring=3 num=0 rest=ff ", VHU_FOUND_LONG},
    {VHU_REQ_SET_VRING_NUM, 9, 0, WORDS(3), 8, "ring=3 num=0 ", 0},
    {VHU_REQ_SET_VRING_NUM, 0x11, 0, WORDS(3), 8, "ring=3 num=0 ", VHU_FOUND_FLAGS},
    {VHU_REQ_SET_VRING_NUM, 2, 0, WORDS(3), 8, "ring=3 num=0 ", VHU_FOUND_FLAGS},
    {VHU_REQ_SET_VRING_BASE, 1, 0, WORDS(HALVES(1, 7)), 8, "ring=1 base=7 ", 0},
    {VHU_REQ_SET_VRING_ENDIAN, 1, 0, WORDS(HALVES(1, 1)), 8, "ring=1 endian=big ", 0},
    {VHU_REQ_SET_VRING_ENDIAN, 1, 0, WORDS(HALVES(1, 2)), 8, "ring=1 endian=2 ", 0},
    {VHU_REQ_SET_VRING_KICK, 1, 1, WORDS(5), 8, "ring=5 ", 0},
    {VHU_REQ_SET_VRING_KICK, 1, 0, WORDS(5), 8, "ring=5 ", VHU_FOUND_HANDLES},
    {VHU_REQ_SET_VRING_CALL, 1, 0, WORDS(0x105), 8, "ring=5 nofd=1 ", 0},
    {VHU_REQ_SET_VRING_CALL, 1, 1, WORDS(0x105), 8, "ring=5 nofd=1 ", VHU_FOUND_HANDLES},
    {VHU_REQ_SET_VRING_ERR, 1, 1, WORDS(0x10005), 8, "ring=5 reserved=0x10005 ", VHU_FOUND_WRONG},
    {VHU_REQ_SET_VRING_ADDR, 1, 0, WORDS(HALVES(1, 1), 0x10, 0x24, 0x32, 0x40), 40,
     "ring=1 flags=0x1 desc=0x10 used=0x24 avail=0x32 log=0x40 ", 0},
    {VHU_REQ_SET_VRING_ADDR, 1, 0, WORDS(1, 0x11), 40,
     "ring=1 flags=0 desc=0x11 used=0 avail=0 log=0 ", VHU_FOUND_WRONG},
    {VHU_REQ_SET_VRING_ADDR, 1, 0, WORDS(1, 0x20), 20,
     "ring=1 flags=0 desc=0x20 rest=0100000000000000200000000000000000000000 ", VHU_FOUND_SHORT},
    {VHU_REQ_SET_MEM_TABLE, 1, 1, WORDS(1, 0x1000, 0x2000, 0x3000, 0), 40,
     "num_regions=1 regions=[[guest_addr=0x1000 size=0x2000 user_addr=0x3000 mmap_offset=0 ] ] ",
     0},
    {VHU_REQ_SET_MEM_TABLE, 1, 1, WORDS(1, 0, 0), 40,
     "num_regions=1 regions=[[guest_addr=0 size=0 user_addr=0 mmap_offset=0 ] ] ", VHU_FOUND_WRONG},
    {VHU_REQ_SET_MEM_TABLE, 1, 0, WORDS(0), 8, "num_regions=0 regions=[] ", 0},
    {VHU_REQ_SET_MEM_TABLE, 1, 2, WORDS(2, 1, 2, 3, 4, 5), 48,
     "num_regions=2 regions=[[guest_addr=0x1 size=0x2 user_addr=0x3 mmap_offset=0x4 ] "
     "[guest_addr=0x5 ] ] rest=0500000000000000 ",
     VHU_FOUND_SHORT},
    {VHU_REQ_SET_MEM_TABLE, 1, 0, WORDS(UINT32_MAX), 8, "num_regions=4294967295 regions=[[] ] ",
     VHU_FOUND_SHORT},
    {VHU_REQ_ADD_MEM_REG, 1, 1, WORDS(0, 1, 2, 3, 4), 40,
     "guest_addr=0x1 size=0x2 user_addr=0x3 mmap_offset=0x4 ", 0},
    {VHU_REQ_ADD_MEM_REG, 1, 0, WORDS(0), 8, "", 0},
    {VHU_REQ_SET_LOG_BASE, 1, 1, WORDS(0x1000, 0x10), 16, "size=0x1000 offset=0x10 ", 0},
    {VHU_REQ_SET_LOG_BASE, 1, 0, WORDS(0x1000), 8, "address=0x1000 ", 0},
    {VHU_REQ_SEND_RARP, 1, 0, WORDS(0x060504030201), 8, "mac=010203040506 ", 0},
    {VHU_REQ_IOTLB_MSG, 1, 0, WORDS(0x1000, 0x2000, 0x3000, 0x0203), 32,
     "type=update iova=0x1000 size=0x2000 user_addr=0x3000 perm=rw ", 0},
    {VHU_REQ_IOTLB_MSG, 1, 0, WORDS(0x1000, 0x2000, 0x3000, 0x0903), 32,
     "type=9 iova=0x1000 size=0x2000 user_addr=0x3000 perm=rw ", VHU_FOUND_WRONG},
    {VHU_REQ_GET_CONFIG, 1, 0, WORDS(HALVES(4, 4), 0x4433221100000000), 16,
     "offset=4 size=4 flags=writable ", 0},
    {VHU_REQ_SET_CONFIG, 1, 0, WORDS(HALVES(4, 4), HALVES(1, 0x44332211)), 16,
     "offset=4 size=4 flags=migration bytes=11223344 ", 0},
    {VHU_REQ_SET_CONFIG, 1, 0, WORDS(HALVES(4, 9), 0x4433221100000000), 16,
     "offset=4 size=9 flags=writable bytes=11223344 ", VHU_FOUND_WRONG},
    {VHU_REQ_CREATE_CRYPTO_SESSION, 1, 0, WORDS(1, 2), 16,
     "params=01000000000000000200000000000000 ", 0},
    {VHU_REQ_GET_INFLIGHT_FD, 1, 0, WORDS(0x1000, 0, 0x00800002), 20,
     "mmap_size=0x1000 mmap_offset=0 num_queues=2 queue_size=128 ", 0},
    {VHU_REQ_SET_INFLIGHT_FD, 1, 1, WORDS(0x1000, 0, 0x00800002), 24,
     "mmap_size=0x1000 mmap_offset=0 num_queues=2 queue_size=128 ", 0},
    {VHU_REQ_SET_STATUS, 1, 0, WORDS(0xf), 8, "status=0xf ", 0},
    {VHU_REQ_GET_SHARED_OBJECT, 1, 0, WORDS(1, 2), 16, "uuid=01000000000000000200000000000000 ", 0},
    {VHU_REQ_SET_DEVICE_STATE_FD, 1, 1, WORDS(1), 8, "direction=load phase=stopped ", 0},
    {1006, 1, 0, WORDS(0x0102), 2, "bytes=0201 ", VHU_FOUND_UNKNOWN},
    {0, 1, 0, WORDS(0), 0, "", VHU_FOUND_UNKNOWN},

    {VHU_REQ_GET_FEATURES, REPLY, 0, WORDS(1 << 30), 8, "features=0x40000000 ", 0},
    {VHU_REQ_GET_FEATURES, REPLY, 0, WORDS(0), 4, "rest=00000000 ", VHU_FOUND_SHORT},
    {VHU_REQ_GET_FEATURES, REPLY | 8, 0, WORDS(0), 8, "features=0 ", VHU_FOUND_FLAGS},
    {VHU_REQ_GET_FEATURES, REPLY, 1, WORDS(0), 8, "features=0 ", VHU_FOUND_HANDLES},
    {VHU_REQ_GET_PROTOCOL_FEATURES, REPLY, 0, WORDS(9), 8, "features=0x9 ", 0},
    {VHU_REQ_GET_QUEUE_NUM, REPLY, 0, WORDS(4), 8, "value=4 ", 0},
    {VHU_REQ_GET_MAX_MEM_SLOTS, REPLY, 0, WORDS(32), 8, "value=32 ", 0},
    {VHU_REQ_GET_STATUS, REPLY, 0, WORDS(0x4f), 8, "status=0x4f ", 0},
    {VHU_REQ_SET_OWNER, REPLY, 0, WORDS(0), 8, "status=0 ", 0},
    {VHU_REQ_SET_OWNER, REPLY, 0, WORDS((uint64_t)-22), 8, "status=-22 ", VHU_FOUND_REFUSAL},
    {VHU_REQ_SET_MEM_TABLE, REPLY, 0, WORDS(0), 8, "status=0 ", 0},
    {VHU_REQ_SET_MEM_TABLE, REPLY, 0, WORDS(1, 1, 2, 3, 4), 40,
     "num_regions=1 regions=[[guest_addr=0x1 size=0x2 user_addr=0x3 mmap_offset=0x4 ] ] ", 0},
    {VHU_REQ_ADD_MEM_REG, REPLY, 0, WORDS(0, 1, 2, 3, 4), 40,
     "guest_addr=0x1 size=0x2 user_addr=0x3 mmap_offset=0x4 ", 0},
    {VHU_REQ_SET_LOG_BASE, REPLY, 0, WORDS(0), 0, "", 0},
    {VHU_REQ_SET_LOG_BASE, REPLY, 0, WORDS(0), 8, "status=0 ", 0},
    {VHU_REQ_SET_LOG_BASE, REPLY, 0, WORDS(5, 6), 16, "size=0x5 offset=0x6 ", 0},
    {VHU_REQ_GET_VRING_BASE, REPLY, 0, WORDS(HALVES(1, 9)), 8, "ring=1 base=9 ", 0},
    {VHU_REQ_GET_CONFIG, REPLY, 0, WORDS(0), 0, "", VHU_FOUND_REFUSAL},
    {VHU_REQ_GET_CONFIG, REPLY, 0, WORDS(HALVES(0, 4), 0x4433221100000000), 16,
     "offset=0 size=4 flags=writable bytes=11223344 ", 0},
    {VHU_REQ_CREATE_CRYPTO_SESSION, REPLY, 0, WORDS(7, 0xff), 9, "session=7 params=ff ", 0},
    {VHU_REQ_CREATE_CRYPTO_SESSION, REPLY, 0, WORDS((uint64_t)-1), 8,
     "session=-1 params= ", VHU_FOUND_REFUSAL},
    {VHU_REQ_POSTCOPY_ADVISE, REPLY, 1, WORDS(0), 0, "", 0},
    {VHU_REQ_POSTCOPY_ADVISE, REPLY, 0, WORDS(0), 0, "", VHU_FOUND_REFUSAL},
    {VHU_REQ_POSTCOPY_END, REPLY, 0, WORDS(1), 8, "status=1 ", VHU_FOUND_REFUSAL},
    {VHU_REQ_GET_INFLIGHT_FD, REPLY, 1, WORDS(0x1000, 0, 0x00800002), 24,
     "mmap_size=0x1000 mmap_offset=0 num_queues=2 queue_size=128 ", 0},
    {VHU_REQ_GET_INFLIGHT_FD, REPLY, 0, WORDS(0), 20,
     "mmap_size=0 mmap_offset=0 num_queues=0 queue_size=0 ", VHU_FOUND_REFUSAL},
    {VHU_REQ_GET_SHARED_OBJECT, REPLY, 1, WORDS(0), 0, "", 0},
    {VHU_REQ_SET_DEVICE_STATE_FD, REPLY, 0, WORDS(0x100), 8, "error=0 nofd=1 ", 0},
    {VHU_REQ_SET_DEVICE_STATE_FD, REPLY, 0, WORDS(0x101), 8, "error=1 nofd=1 ", VHU_FOUND_REFUSAL},
    {VHU_REQ_CHECK_DEVICE_STATE, REPLY, 0, WORDS(0), 8, "status=0 ", 0},
    {VHU_REQ_GET_SHMEM_CONFIG, REPLY, 0, WORDS(1, 0, 0x1000), 24,
     "num_regions=1 regions=[[region=1 size=0x1000 ] ] ", VHU_FOUND_SHORT},
    {1006, REPLY, 0, WORDS(0xff), 1, "bytes=ff ", VHU_FOUND_UNKNOWN},

    {BACK_CHANNEL | VHU_BACKEND_REQ_IOTLB_MSG, 1, 0, WORDS(0x1000, 0, 0, 0x0101), 32,
     "type=miss iova=0x1000 size=0 user_addr=0 perm=ro ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 9, 0, WORDS(0), 0, "", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 1, 0, WORDS(1), 1, "rest=01 ",
     VHU_FOUND_LONG},
    {BACK_CHANNEL | VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 1, 1, WORDS(2, 0x1000, 0x20), 24,
     "ring=2 size=0x1000 offset=0x20 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 1, 0, WORDS(0x102), 24,
     "ring=2 nofd=1 size=0 offset=0 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 1, 0, WORDS(0x102), 8,
     "ring=2 nofd=1 rest=0201000000000000 ", VHU_FOUND_SHORT},
    {BACK_CHANNEL | VHU_BACKEND_REQ_VRING_CALL, 1, 0, WORDS(2), 8, "ring=2 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_VRING_ERR, 1, 0, WORDS(3), 8, "ring=3 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHARED_OBJECT_ADD, 1, 0, WORDS(1), 16,
     "uuid=01000000000000000000000000000000 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE, 1, 0, WORDS(1), 15,
     "rest=010000000000000000000000000000 ", VHU_FOUND_SHORT},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, 1, 0, WORDS(1), 16,
     "uuid=01000000000000000000000000000000 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHMEM_MAP, 1, 1, WORDS(1, 0x1000, 0x2000, 0x3000, 1), 40,
     "region=1 handle_offset=0x1000 region_offset=0x2000 len=0x3000 flags=0x1 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHMEM_MAP, 1, 0, WORDS(1, 0, 0, 1), 40,
     "region=1 handle_offset=0 region_offset=0 len=0x1 flags=0 ", VHU_FOUND_HANDLES},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHMEM_UNMAP, 1, 0, WORDS(1, 0, 0, 0), 40,
     "region=1 handle_offset=0 region_offset=0 len=0 flags=0 ", VHU_FOUND_WRONG},
    {BACK_CHANNEL | 11, 1, 0, WORDS(0), 0, "", VHU_FOUND_UNKNOWN},
    {BACK_CHANNEL | VHU_BACKEND_REQ_IOTLB_MSG, REPLY, 0, WORDS(0), 8, "status=0 ", 0},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHMEM_MAP, REPLY, 0, WORDS((uint64_t)-12), 8, "status=-12 ",
     VHU_FOUND_REFUSAL},
    {BACK_CHANNEL | VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, REPLY, 1, WORDS(0), 8, "status=0 ", 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row *r = &rows[i];
        bool back = (r->code & BACK_CHANNEL) && r->code < 2 * BACK_CHANNEL;
        vhu_message m = {
            .header = {r->code & ~(uint32_t)(back ? BACK_CHANNEL : 0), r->flags, r->len},
            .num_handles = r->handles,
            .back_channel = back};
        told t;

        describe(&t, m, r->words, r->len);
        if (strcmp(t.text, r->text) != 0 || (t.found & ~(unsigned)VHU_FOUND_ANSWERED) != r->found)
            print_error("row %u: found %#x, expected %#x\n%s\n%s\n", (unsigned)i, t.found, r->found,
                        t.text, r->text);
        assert_string_equal(t.text, r->text);
        assert_int_equal(t.found & ~(unsigned)VHU_FOUND_ANSWERED, r->found);
    }
}

/* --- what was negotiated before --- */

static void test_packed(void **state)
{
    const vhu_vring_state vring = {2, 0x80038005};
    vhu_message m = {.header = {VHU_REQ_SET_VRING_BASE, VHU_VERSION_1, sizeof(vring)},
                     .features = VHU_BIT(VHU_F_RING_PACKED)};
    told t;

    (void)state;
    describe(&t, m, &vring, sizeof(vring));
    assert_string_equal(t.text, "ring=2 avail=5 avail_wrap=1 used=3 used_wrap=1 ");
    m.header = (vhu_msg_header){VHU_REQ_GET_VRING_BASE, REPLY, sizeof(vring)};
    describe(&t, m, &vring, sizeof(vring));
    assert_string_equal(t.text, "ring=2 avail=5 avail_wrap=1 used=3 used_wrap=1 ");
}

static void test_xen(void **state)
{
    const uint64_t words[] = {2, 1, 2, 3, 4, HALVES(8, 9), 5, 6, 7, 8, HALVES(1, 2)};
    vhu_message m = {.header = {VHU_REQ_SET_MEM_TABLE, VHU_VERSION_1, sizeof(words)},
                     .num_handles = 2,
                     .protocol_features = VHU_BIT(VHU_PF_XEN_MMAP)};
    told t;

    (void)state;
    describe(&t, m, words, sizeof(words));
    assert_string_equal(t.text,
                        "num_regions=2 regions=["
                        "[guest_addr=0x1 size=0x2 user_addr=0x3 mmap_offset=0x4 xen_flags=0x8 "
                        "xen_domain=9 ] "
                        "[guest_addr=0x5 size=0x6 user_addr=0x7 mmap_offset=0x8 xen_flags=0x1 "
                        "xen_domain=2 ] ] ");
    assert_int_equal(t.found, 0);
    /* Of both kinds at once, in either message. */
    describe(&t, m, (const uint64_t[]){1, 1, 2, 3, 4, HALVES(3, 0)}, 48);
    assert_true(t.found & VHU_FOUND_WRONG);
    m.header = (vhu_msg_header){VHU_REQ_ADD_MEM_REG, VHU_VERSION_1, 48};
    m.num_handles = 1;
    describe(&t, m, (const uint64_t[]){0, 1, 2, 3, 4, HALVES(3, 0)}, 48);
    assert_true(t.found & VHU_FOUND_WRONG);
    describe(&t, m, (const uint64_t[]){0, 1, 2, 3, 4, HALVES(2, 7)}, 48);
    assert_int_equal(t.found, 0);
}

static void test_shmem_config(void **state)
{
    vhu_shmem_config config = {.num_regions = 2};
    vhu_message m = {.header = {VHU_REQ_GET_SHMEM_CONFIG, REPLY, sizeof(config)}};
    told t;

    (void)state;
    config.sizes[3] = 0x1000;
    config.sizes[255] = 0x2000;
    describe(&t, m, &config, sizeof(config));
    assert_string_equal(t.text, "num_regions=2 regions=[[region=3 size=0x1000 ] "
                                "[region=255 size=0x2000 ] ] ");
    assert_int_equal(t.found, 0);
}

/* The number is the log's size, not a failure. */
static void test_log_reply(void **state)
{
    const uint64_t size = 0x1000;
    vhu_message m = {.header = {VHU_REQ_SET_LOG_BASE, REPLY, sizeof(size)}};
    told t;

    (void)state;
    describe(&t, m, &size, sizeof(size));
    assert_int_equal(t.found, VHU_FOUND_REFUSAL);
    m.protocol_features = VHU_BIT(VHU_PF_LOG_SHMFD);
    describe(&t, m, &size, sizeof(size));
    assert_int_equal(t.found, 0);
}

/* --- anything --- */

static void test_arguments(void **state)
{
    struct {
        vhu_message m;
        uint64_t more;
    } newer = {.m = {.header = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0}}, .more = 0};
    const char *why = "";

    (void)state;
    newer.m.size = sizeof(newer);
    assert_int_equal(vhu_describe(&newer.m, NULL, NULL, &why), VHU_FOUND_ANSWERED);
    assert_null(why);
    newer.more = 1;
    assert_int_equal(vhu_describe(&newer.m, NULL, NULL, NULL), VHU_FOUND_FAULTS);
    newer.m.size = 0;
    assert_int_equal(vhu_describe(&newer.m, NULL, NULL, NULL), VHU_FOUND_FAULTS);
}

/* A payload that is said to be longer than what is there. */
static void test_cut_off(void **state)
{
    const uint64_t value = 1;
    vhu_message m = {.header = {VHU_REQ_SET_FEATURES, VHU_VERSION_1, 8}};
    told t;

    (void)state;
    for (size_t len = 0; len < sizeof(value); len++) {
        describe(&t, m, &value, len);
        assert_int_equal(t.found, VHU_FOUND_SHORT);
    }
}

/* Under a sanitizer: whatever comes, nothing beyond it is read. */
static void test_noise(void **state)
{
    static uint8_t payload[VHU_MAX_PAYLOAD];
    uint32_t seed = 1;
    told t;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        vhu_message m = {.back_channel = i & 1, .features = i & 2 ? UINT64_MAX : 0};
        size_t len;

        seed = seed * 1664525 + 1013904223;
        len = i % 100 == 0 ? seed >> 8 & 4095 : seed >> 8 & 63;
        m.protocol_features = i & 4 ? UINT64_MAX : 0;
        m.num_handles = seed >> 4 & 3;
        m.header = (vhu_msg_header){seed >> 20 & 63, seed >> 26 & 15, (uint32_t)len};
        for (size_t k = 0; k < len; k++) {
            seed = seed * 1664525 + 1013904223;
            payload[k] = seed >> 28 ? (uint8_t)(seed >> 20 & 3) : (uint8_t)(seed >> 16);
        }
        describe(&t, m, payload, len);
    }
}

static void test_bit_names(void **state)
{
    static const unsigned common[] = {24, 26, 27, 28, 29, 30, 32, 33,
                                      34, 35, 36, 37, 38, 39, 40, 41};

    (void)state;
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        assert_non_null(vhu_bit_name(VHU_BITS_FEATURES, 0, common[i]));
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 0, VHU_F_LOG_ALL), "LOG_ALL");
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 0, VHU_F_RING_INDIRECT_DESC),
                        "INDIRECT_DESC");
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 0, VHU_F_PROTOCOL_FEATURES),
                        "PROTOCOL_FEATURES");
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 0, VHU_F_RING_PACKED), "RING_PACKED");
    assert_null(vhu_bit_name(VHU_BITS_FEATURES, 0, 9));
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 2, 9), "FLUSH");
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 1, 22), "MQ");
    assert_string_equal(vhu_bit_name(VHU_BITS_FEATURES, 2, VHU_F_VERSION_1), "VERSION_1");
    for (unsigned bit = 0; bit < VHU_PF_END; bit++)
        assert_string_equal(vhu_bit_name(VHU_BITS_PROTOCOL_FEATURES, 0, bit),
                            vhu_protocol_feature_name(bit));
    assert_string_equal(vhu_bit_name(VHU_BITS_DEVICE_STATUS, 0, 2), "DRIVER_OK");
    assert_string_equal(vhu_bit_name(VHU_BITS_RING_ADDR, 0, 0), "LOG");
    assert_string_equal(vhu_bit_name(VHU_BITS_SHMEM, 0, 0), "RW");
    for (unsigned bits = VHU_BITS_FEATURES; bits <= VHU_BITS_SHMEM + 1; bits++)
        assert_null(vhu_bit_name((vhu_bits)bits, UINT32_MAX, UINT32_MAX));
}

static void test_devices(void **state)
{
    static const char *const names[] = {"net",   "blk",    "console", "rng", "scsi", "gpu", "input",
                                        "vsock", "crypto", "sound",   "fs",  "i2c",  "gpio"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_string_equal(vhu_device_name(vhu_device_number(names[i])), names[i]);
    assert_int_equal(vhu_device_number("blk"), 2);
    assert_int_equal(vhu_device_number(""), 0);
    assert_null(vhu_device_name(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_requests),     leakcheck_test(test_handles),
        leakcheck_test(test_answered),     leakcheck_test(test_rows),
        leakcheck_test(test_packed),       leakcheck_test(test_xen),
        leakcheck_test(test_shmem_config), leakcheck_test(test_log_reply),
        leakcheck_test(test_arguments),    leakcheck_test(test_cut_off),
        leakcheck_test(test_noise),        leakcheck_test(test_bit_names),
        leakcheck_test(test_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
