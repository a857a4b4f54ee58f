/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_blk_fixture.h"

#include <stdlib.h>
#include <string.h>

const int64_t fixture_all_full[MAX_OPS] = {FULL, FULL, FULL, FULL, FULL, FULL, FULL, FULL};

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset / BLK_SECTOR * 7 + offset);
}

/* --- the engine --- */

static uint64_t total(const struct engine_request *io)
{
    uint64_t sum = 0;

    if (io->op != ENGINE_READ && io->op != ENGINE_WRITE)
        return io->op == ENGINE_FLUSH ? 0 : io->len;
    for (uint32_t i = 0; i < io->num_bufs; ++i)
        sum += io->bufs[i].len;
    return sum;
}

static void fake_submit(struct engine *engine, struct engine_request *io)
{
    struct fake *fake = (struct fake *)engine;
    const bool transfer = io->op == ENGINE_READ || io->op == ENGINE_WRITE;

    assert_null(fake->pending);
    assert_true(fake->num_ops < MAX_OPS);
    fake->ops[fake->num_ops++] =
        (struct op){io->op, io->offset, total(io), transfer ? io->num_bufs : 0};
    fake->pending = io;
}

static void transfer(struct fake *fake, struct engine_request *io, int64_t len)
{
    const struct bufs bufs = {io->bufs, io->num_bufs};

    assert_true(io->offset + (uint64_t)len <= DISK_SIZE);
    if (io->op == ENGINE_READ)
        bufs_write(&bufs, fake->disk + io->offset, (size_t)len);
    if (io->op == ENGINE_WRITE)
        bufs_read(&bufs, fake->disk + io->offset, (size_t)len);
}

static bool fake_poll(struct engine *engine)
{
    struct fake *fake = (struct fake *)engine;
    struct engine_request *io = fake->pending;

    if (!io)
        return false;
    int64_t answer = fake->answers[fake->num_ops - 1];
    fake->pending = NULL;
    if (io->op == ENGINE_READ || io->op == ENGINE_WRITE) {
        if (answer == FULL)
            answer = (int64_t)total(io);
        if (answer > 0)
            transfer(fake, io, answer);
    } else if (answer == FULL) {
        answer = 0;
    }
    engine->done(io, answer);
    return true;
}

/* --- the fixture --- */

static void request_done(struct blk_request *request)
{
    struct fixture *fixture = request->owner;

    ++fixture->done;
}

void fixture_make_blk(struct fixture *fixture)
{
    blk_init(&fixture->blk, &fixture->disk, "serial-0", 2);
}

struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    fixture->disk = (struct disk){.file = VHU_NO_HANDLE,
                                  .can_discard = true,
                                  .size = DISK_SIZE,
                                  .logical_block = 512,
                                  .physical_block = 4096};
    fixture->fake.kind =
        (struct engine_ops){.name = "fake", .submit = fake_submit, .poll = fake_poll};
    fixture->fake.engine.ops = &fixture->fake.kind;
    fixture->fake.engine.done = blk_io_done;
    fixture->lane = (struct blk_lane){
        .blk = &fixture->blk, .engine = &fixture->fake.engine, .done = request_done};
    fixture_make_blk(fixture);
    return fixture;
}

void fixture_reset(struct fixture *fixture)
{
    memset(fixture->in, 0x11, sizeof fixture->in);
    memset(fixture->out, 0xee, sizeof fixture->out);
    memset(&fixture->lane.counters, 0, sizeof fixture->lane.counters);
    for (uint64_t i = 0; i < DISK_SIZE; ++i)
        fixture->fake.disk[i] = pattern(i);
    fixture->fake.num_ops = 0;
    fixture->done = 0;
}

static uint32_t cut(vhu_buf *bufs, uint8_t *area, const uint32_t *parts, uint64_t *len)
{
    uint32_t n = 0;

    for (*len = 0; n < MAX_PARTS && parts[n]; ++n) {
        bufs[n] = (vhu_buf){area + *len, parts[n]};
        *len += parts[n];
    }
    return n;
}

void fixture_put_header(struct fixture *fixture, uint32_t type, uint64_t sector)
{
    store_le(fixture->in, 4, type);
    store_le(fixture->in + 8, 8, sector);
}

/* Hand the request over, and have the engine work until it is done. */
void fixture_run(struct fixture *fixture, const uint32_t *in, const uint32_t *out,
                 const int64_t *answers, bool write_through)
{
    struct blk_request *request = &fixture->request;
    vhu_chain *chain = &request->chain;

    *chain = (vhu_chain){.bufs = request->bufs, .capacity = BLK_BUFS};
    chain->num_readable = cut(chain->bufs, fixture->in, in, &chain->readable_len);
    chain->num_writable =
        cut(chain->bufs + chain->num_readable, fixture->out, out, &chain->writable_len);
    request->owner = fixture;
    fixture->fake.answers = answers;
    blk_start(&fixture->lane, request, write_through);
    while (fake_poll(&fixture->fake.engine))
        ;
    assert_int_equal(fixture->done, 1);
    assert_int_equal(fixture->lane.counters.requests, 1);
}

int fixture_status(const struct fixture *fixture)
{
    const uint64_t len = fixture->request.chain.writable_len;

    return len ? fixture->out[len - 1] : -1;
}
