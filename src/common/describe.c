/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <vmm_vhost/describe.h>

#include "describe_layout.h"
#include "requests.h"
#include "util.h"
#include "wire.h"

/* A message on its way to the caller's function. */
typedef struct teller {
    const vhu_message *m;
    const vhu__request *row; /* NULL: unknown */
    const uint8_t *payload;
    size_t len;
    size_t at; /* how much of it has been told */
    bool reply;
    vhu_field_fn fn;
    void *arg;
    unsigned found;
    const char *why;
} teller;

/* --- single fields --- */

static void tell(const teller *t, const vhu_field *field)
{
    if (t->fn)
        t->fn(t->arg, field);
}

static void tell_number(const teller *t, vhu_field_kind kind, const char *name, uint64_t number)
{
    tell(t, &(vhu_field){.kind = kind, .name = name, .number = number});
}

static void tell_bytes(const teller *t, const char *name, const uint8_t *bytes, size_t len)
{
    tell(t, &(vhu_field){.kind = VHU_FIELD_BYTES, .name = name, .bytes = bytes, .len = len});
}

static void tell_mark(const teller *t, vhu_field_kind kind, const char *name)
{
    tell(t, &(vhu_field){.kind = kind, .name = name});
}

static void wrong(teller *t, const char *why)
{
    t->found |= VHU_FOUND_WRONG;
    if (!t->why)
        t->why = why;
}

/* Whether `n` more bytes are there. */
static bool has(teller *t, size_t n)
{
    if (t->len - t->at >= n)
        return true;
    t->found |= VHU_FOUND_SHORT;
    return false;
}

static uint64_t load(const uint8_t *in, size_t width)
{
    uint8_t byte;
    uint16_t half;
    uint32_t word;

    switch (width) {
    case 1:
        memcpy(&byte, in, sizeof(byte));
        return byte;
    case 2:
        memcpy(&half, in, sizeof(half));
        return half;
    case 4:
        memcpy(&word, in, sizeof(word));
        return word;
    default:
        return vhu__wire_load_u64(in);
    }
}

static void tell_row(const teller *t, const vhu__layout_row *row, const uint8_t *base)
{
    const uint8_t *in = base + row->offset;
    vhu_field field = {
        .kind = (vhu_field_kind)row->kind, .name = row->name, .bits = (vhu_bits)row->bits};

    if (field.kind == VHU_FIELD_BYTES) {
        field.bytes = in;
        field.len = row->width;
    } else {
        field.number = load(in, row->width);
        if (field.kind == VHU_FIELD_WORD && field.number < row->num_words)
            field.word = row->words[field.number];
    }
    tell(t, &field);
}

/* The rows of a layout, as far as the bytes reach. */
static bool tell_rows(teller *t, const vhu__layout *layout)
{
    const uint8_t *base = t->payload + t->at;
    size_t left = t->len - t->at;

    for (size_t i = 0; i < layout->num_rows; i++) {
        const vhu__layout_row *row = &layout->rows[i];

        if (left >= (size_t)row->offset + row->width)
            tell_row(t, row, base);
    }
    if (!has(t, layout->size))
        return false;
    t->at += layout->size;
    return true;
}

/* --- what tables cannot say --- */

static void tell_ring_event(teller *t)
{
    uint64_t value;

    if (!has(t, sizeof(value)))
        return;
    value = vhu__wire_load_u64(t->payload);
    t->at = sizeof(value);
    tell_number(t, VHU_FIELD_NUMBER, "ring", value & VHU__WIRE_RING_MASK);
    if (value & VHU__WIRE_NO_HANDLE)
        tell_number(t, VHU_FIELD_BOOL, "nofd", 1);
    if (value & ~(uint64_t)(VHU__WIRE_RING_MASK | VHU__WIRE_NO_HANDLE)) {
        tell_number(t, VHU_FIELD_HEX, "reserved", value);
        wrong(t, "reserved bits are set");
    }
    if (((value & VHU__WIRE_NO_HANDLE) != 0) != (t->m->num_handles == 0))
        t->found |= VHU_FOUND_HANDLES;
}

static void tell_ring_base(teller *t)
{
    vhu_vring_state state;

    if (!has(t, sizeof(state)))
        return;
    vhu__wire_load_vring_state(&state, t->payload);
    t->at = sizeof(state);
    tell_number(t, VHU_FIELD_NUMBER, "ring", state.index);
    if (!(t->m->features & VHU_BIT(VHU_F_RING_PACKED))) {
        tell_number(t, VHU_FIELD_NUMBER, "base", state.num);
        return;
    }
    tell_number(t, VHU_FIELD_NUMBER, "avail", state.num & 0x7fff);
    tell_number(t, VHU_FIELD_NUMBER, "avail_wrap", state.num >> 15 & 1);
    tell_number(t, VHU_FIELD_NUMBER, "used", state.num >> 16 & 0x7fff);
    tell_number(t, VHU_FIELD_NUMBER, "used_wrap", state.num >> 31);
}

static bool tell_region(teller *t)
{
    bool xen = (t->m->protocol_features & VHU_BIT(VHU_PF_XEN_MMAP)) != 0;

    return tell_rows(t, &vhu__layout_region) && (!xen || tell_rows(t, &vhu__layout_xen));
}

static void tell_table(teller *t)
{
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_xen_mmap mmaps[VHU_MAX_TABLE_REGIONS];
    bool xen = (t->m->protocol_features & VHU_BIT(VHU_PF_XEN_MMAP)) != 0;
    uint32_t n;
    bool whole = true;

    if (!has(t, VHU__WIRE_REGION_AT))
        return;
    n = (uint32_t)load(t->payload, sizeof(n));
    t->at = VHU__WIRE_REGION_AT;
    /* In postcopy this is what ends it: eight zero bytes instead of a table. */
    tell_number(t, VHU_FIELD_NUMBER, "num_regions", n);
    tell_mark(t, VHU_FIELD_LIST, "regions");
    for (uint32_t i = 0; whole && i < n; i++) {
        tell_mark(t, VHU_FIELD_ITEM, NULL);
        whole = tell_region(t);
        tell_mark(t, VHU_FIELD_END, NULL);
    }
    tell_mark(t, VHU_FIELD_END, NULL);
    if (!whole)
        return;
    if (xen ? !vhu__wire_load_xen_table(regions, mmaps, &n, t->payload, t->len, &t->why)
            : !vhu__wire_load_table(regions, &n, t->payload, t->len, &t->why))
        t->found |= VHU_FOUND_WRONG;
    if (!t->reply && n != t->m->num_handles)
        t->found |= VHU_FOUND_HANDLES;
    /* Peers may leave room for more regions. */
    if (t->len <= VHU__WIRE_TABLE_MAX)
        t->at = t->len;
}

static void tell_one_region(teller *t)
{
    bool xen = (t->m->protocol_features & VHU_BIT(VHU_PF_XEN_MMAP)) != 0;
    vhu_mem_region region;
    vhu_xen_mmap mmap;

    if (!has(t, VHU__WIRE_REGION_AT))
        return;
    t->at = VHU__WIRE_REGION_AT;
    /* Eight bytes are what ends it in postcopy. */
    if (t->at == t->len || !tell_region(t))
        return;
    if (xen ? !vhu__wire_load_xen_region(&region, &mmap, t->payload, &t->why)
            : !vhu__wire_load_region(&region, t->payload, &t->why))
        t->found |= VHU_FOUND_WRONG;
}

static void tell_log(teller *t)
{
    const char *why = NULL;

    /* An area is one of a handle's object; an address is one of this host. */
    if (!t->reply && (t->len >= sizeof(vhu_log_area)) != (t->m->num_handles > 0))
        t->found |= VHU_FOUND_HANDLES;
    if (t->len < sizeof(vhu_log_area))
        tell_rows(t, &vhu__layout_log_address);
    else if (tell_rows(t, &vhu__layout_log) && !vhu__layout_log.check(t->payload, &why))
        wrong(t, why);
}

static void tell_config(teller *t)
{
    vhu_config_header config;
    const char *why = NULL;

    if (!tell_rows(t, &vhu__layout_config))
        return;
    if (!vhu__wire_load_config(&config, t->payload, t->len, &why))
        wrong(t, why);
    /* Of the request to get it they mean nothing. */
    if (t->reply || t->m->header.request != VHU_REQ_GET_CONFIG)
        tell_bytes(t, "bytes", t->payload + t->at, t->len - t->at);
    t->at = t->len;
}

/* The parameters' layout differs between peers; the reply has the session's number in front. */
static void tell_session(teller *t)
{
    if (!has(t, sizeof(uint64_t)))
        return;
    if (t->reply) {
        tell_number(t, VHU_FIELD_SIGNED, "session", vhu__wire_load_u64(t->payload));
        t->at = sizeof(uint64_t);
    }
    tell_bytes(t, "params", t->payload + t->at, t->len - t->at);
    t->at = t->len;
}

static void tell_inflight(teller *t)
{
    if (tell_rows(t, &vhu__layout_inflight) && t->len == VHU__WIRE_INFLIGHT_PADDED)
        t->at = t->len;
}

static void tell_state(teller *t)
{
    uint64_t value;

    if (!has(t, sizeof(value)))
        return;
    value = vhu__wire_load_u64(t->payload);
    t->at = sizeof(value);
    tell_number(t, VHU_FIELD_NUMBER, "error", value & VHU__WIRE_RING_MASK);
    tell_number(t, VHU_FIELD_BOOL, "nofd", (value & VHU__WIRE_NO_HANDLE) != 0);
    if (value & ~(uint64_t)(VHU__WIRE_RING_MASK | VHU__WIRE_NO_HANDLE))
        wrong(t, "reserved bits are set");
}

static void tell_shmem(teller *t)
{
    size_t left;

    if (!has(t, sizeof(uint64_t)))
        return;
    tell_number(t, VHU_FIELD_NUMBER, "num_regions", load(t->payload, sizeof(uint32_t)));
    t->at = offsetof(vhu_shmem_config, sizes);
    left = (t->len - t->at) / sizeof(uint64_t);
    tell_mark(t, VHU_FIELD_LIST, "regions");
    for (size_t i = 0; i < left && i < VHU__COUNT(((vhu_shmem_config *)0)->sizes); i++) {
        uint64_t size = vhu__wire_load_u64(t->payload + t->at);

        t->at += sizeof(size);
        if (size == 0)
            continue;
        tell_mark(t, VHU_FIELD_ITEM, NULL);
        tell_number(t, VHU_FIELD_NUMBER, "region", i);
        tell_number(t, VHU_FIELD_HEX, "size", size);
        tell_mark(t, VHU_FIELD_END, NULL);
    }
    tell_mark(t, VHU_FIELD_END, NULL);
    if (t->at < sizeof(vhu_shmem_config))
        t->found |= VHU_FOUND_SHORT;
}

static void tell_mac(teller *t)
{
    if (!has(t, sizeof(uint64_t)))
        return;
    tell_bytes(t, "mac", t->payload, 6);
    t->at = sizeof(uint64_t);
}

static void tell_special(teller *t, vhu__special special)
{
    static void (*const tellers[])(teller * t) = {
        [VHU__SPECIAL_RING_BASE] = tell_ring_base, [VHU__SPECIAL_TABLE] = tell_table,
        [VHU__SPECIAL_REGION] = tell_one_region,   [VHU__SPECIAL_LOG] = tell_log,
        [VHU__SPECIAL_CONFIG] = tell_config,       [VHU__SPECIAL_SESSION] = tell_session,
        [VHU__SPECIAL_INFLIGHT] = tell_inflight,   [VHU__SPECIAL_STATE] = tell_state,
        [VHU__SPECIAL_SHMEM] = tell_shmem,         [VHU__SPECIAL_MAC] = tell_mac,
    };

    if (tellers[special])
        tellers[special](t);
}

/* --- the whole --- */

static void tell_payload(teller *t)
{
    const vhu__layout *layout = t->reply ? vhu__layout_of_reply(t->row, t->m->back_channel, t->len)
                                         : vhu__layout_of_request(t->row->code, t->m->back_channel);
    const char *why = NULL;

    /* The ring comes first, whatever follows it. */
    if (layout->special == VHU__SPECIAL_RING_EVENT) {
        tell_ring_event(t);
        if (layout->num_rows > 0)
            t->at = 0;
    }
    if (tell_rows(t, layout)) {
        if (layout->check && !layout->check(t->payload, &why))
            wrong(t, why);
        tell_special(t, (vhu__special)layout->special);
    }
    /* What the layout leaves open. */
    if (!t->reply && t->len < t->row->size_min)
        t->found |= VHU_FOUND_SHORT;
    if (t->at == t->len)
        return;
    if (!(t->found & VHU_FOUND_SHORT))
        t->found |= VHU_FOUND_LONG;
    tell_bytes(t, "rest", t->payload + t->at, t->len - t->at);
}

static void check_header(teller *t)
{
    const vhu_msg_header *h = &t->m->header;
    const uint32_t known = VHU_VERSION_MASK | VHU_FLAG_REPLY | VHU_FLAG_NEED_REPLY;

    if ((h->flags & VHU_VERSION_MASK) != VHU_VERSION_1 || (h->flags & ~known) ||
        (t->reply && (h->flags & VHU_FLAG_NEED_REPLY)))
        t->found |= VHU_FOUND_FLAGS;
    if (t->len < h->size)
        t->found |= VHU_FOUND_SHORT;
}

static void check_handles(teller *t)
{
    size_t least = 0;
    size_t most = 0;

    if (!t->reply) {
        least = t->row->handles_min;
        most = t->row->handles_max;
        /* Only the message that ends postcopy has neither region nor handle. */
        if (!t->m->back_channel && t->row->code == VHU_REQ_ADD_MEM_REG &&
            t->len > VHU__WIRE_REGION_AT)
            least = 1;
    } else if (t->row->reply == VHU__REPLY_HANDLE || t->row->reply == VHU__REPLY_INFLIGHT ||
               t->row->reply == VHU__REPLY_STATE ||
               (t->row->reply == VHU__REPLY_STATUS && t->m->back_channel)) {
        most = 1;
    }
    if (t->m->num_handles < least || t->m->num_handles > most)
        t->found |= VHU_FOUND_HANDLES;
}

static bool is_answered(const teller *t)
{
    uint64_t negotiated = t->m->protocol_features;
    bool ack =
        (t->m->header.flags & VHU_FLAG_NEED_REPLY) && (negotiated & VHU_BIT(VHU_PF_REPLY_ACK));

    if (!t->row)
        return ack;
    switch (t->row->reply) {
    case VHU__REPLY_ACK:
    case VHU__REPLY_MEMORY:
        return ack;
    case VHU__REPLY_LOG:
        return ack || (negotiated & VHU_BIT(VHU_PF_LOG_SHMFD));
    default:
        return true;
    }
}

/* Whether a number that stands for success or failure is there, and stands for failure. */
static bool is_failure_status(const teller *t)
{
    return t->len == sizeof(uint64_t) && vhu__wire_load_u64(t->payload) != 0;
}

static bool is_refusal(const teller *t)
{
    if (!t->row)
        return false;
    switch (t->row->failure) {
    case VHU__FAIL_EMPTY:
        return t->len == 0;
    case VHU__FAIL_NO_HANDLE:
        return t->m->num_handles == 0;
    case VHU__FAIL_INFLIGHT:
        return t->len >= sizeof(uint64_t) && vhu__wire_load_u64(t->payload) == 0;
    case VHU__FAIL_SESSION:
        return t->len >= sizeof(uint64_t) && (int64_t)vhu__wire_load_u64(t->payload) < 0;
    case VHU__FAIL_STATUS:
        if (t->row->reply == VHU__REPLY_STATE)
            return t->len >= sizeof(uint64_t) &&
                   (vhu__wire_load_u64(t->payload) & VHU__WIRE_RING_MASK) != 0;
        return is_failure_status(t);
    case VHU__FAIL_ACK:
        /* With a log by handle the number is its size. */
        return is_failure_status(t) && !(t->row->reply == VHU__REPLY_LOG &&
                                         (t->m->protocol_features & VHU_BIT(VHU_PF_LOG_SHMFD)));
    case VHU__FAIL_CLOSE:
        break;
    }
    return false;
}

unsigned vhu_describe(const vhu_message *message, vhu_field_fn fn, void *arg, const char **why)
{
    static const uint8_t nothing = 0;
    vhu_message m;
    teller t = {.m = &m, .fn = fn, .arg = arg};

    if (why)
        *why = NULL;
    if (!vhu__copy_sized(&m, sizeof(m), message))
        return VHU_FOUND_FAULTS;
    t.payload = m.payload ? m.payload : &nothing;
    t.len = m.payload ? m.len : 0;
    t.reply = (m.header.flags & VHU_FLAG_REPLY) != 0;
    t.row = m.back_channel ? vhu__backend_request(m.header.request)
                           : vhu__frontend_request(m.header.request);
    check_header(&t);
    if (t.row) {
        check_handles(&t);
        tell_payload(&t);
    } else {
        t.found |= VHU_FOUND_UNKNOWN;
        if (t.len > 0)
            tell_bytes(&t, "bytes", t.payload, t.len);
    }
    if (!t.reply && is_answered(&t))
        t.found |= VHU_FOUND_ANSWERED;
    if (t.reply && is_refusal(&t))
        t.found |= VHU_FOUND_REFUSAL;
    if (why)
        *why = t.why;
    return t.found;
}
