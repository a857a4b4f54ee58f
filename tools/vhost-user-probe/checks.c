/* SPDX-License-Identifier: BSD-3-Clause */
/* How checks are run, and those that are nothing but a message and the answer it must get. */
#include "checks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>
#include <vmm_vhost/shm.h>

enum { MEMORY_SIZE = 0x10000, PAUSE_MS = 20 };

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[NUM_VERDICTS] = {"ok", "violation", "not applicable", "not run"};

    return names[verdict];
}

/* --- verdicts --- */

static void set_result(struct check_result *result, enum verdict verdict, const char *format,
                       va_list args) TOOL_PRINTF(3, 0);

static void set_result(struct check_result *result, enum verdict verdict, const char *format,
                       va_list args)
{
    result->verdict = verdict;
    vsnprintf(result->detail, sizeof result->detail, format, args);
}

void check_ok(struct check_result *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_result(result, OK, format, args);
    va_end(args);
}

void check_violated(struct check_result *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_result(result, VIOLATION, format, args);
    va_end(args);
}

static const char *request_name(uint32_t request)
{
    const char *name = vhu_frontend_request_name(request);

    return name ? name : "the unknown request";
}

bool check_answered(struct subject *subject, struct check_result *result, enum answer answer,
                    const struct reply *reply, uint32_t request)
{
    switch (answer) {
    case CLOSED:
        check_violated(result, "closed the connection at %s", request_name(request));
        return false;
    case SILENT:
        check_violated(result, "no reply to %s", request_name(request));
        return false;
    case GARBLED:
        check_violated(result, "the reply to %s is no message, or has too many handles",
                       request_name(request));
        return false;
    case ANSWERED:
        break;
    }
    if (reply->header.request == request)
        return true;
    check_violated(result, "instead of a reply to %s there came one to %s (%" PRIu32 ")",
                   request_name(request), request_name(reply->header.request),
                   reply->header.request);
    link_close(subject->link); /* more of them may come */
    return false;
}

/* --- messages --- */

const struct probe_message check_get_features = {.request = VHU_REQ_GET_FEATURES};

uint64_t reply_u64(const struct reply *reply)
{
    uint64_t value;

    memcpy(&value, reply->payload, sizeof value);
    return value;
}

enum answer check_send(struct subject *subject, const struct probe_message *message, uint32_t flags)
{
    const vhu_msg_header header = {
        .request = message->request, .flags = VHU_VERSION_1 | flags, .size = message->len};
    uint8_t bytes[sizeof header + sizeof message->payload];
    vhu_handle handles[VHU_MAX_HANDLES];
    vhu_shm *memory = NULL;

    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, &message->payload, sizeof message->payload);
    if (message->num_handles > 0 && vhu_shm_new(&memory, MEMORY_SIZE))
        return CLOSED;
    for (uint32_t i = 0; i < message->num_handles; ++i)
        handles[i] = vhu_shm_handle(memory);
    const enum answer answer = link_send(subject->link, bytes, sizeof header + message->len,
                                         handles, message->num_handles);
    vhu_shm_free(memory);
    return answer;
}

static void note_flags(struct subject *subject, const vhu_msg_header *header)
{
    const char *name = request_name(header->request);
    const size_t len = strlen(subject->odd_replies);

    if (header->flags == (VHU_VERSION_1 | VHU_FLAG_REPLY) || strstr(subject->odd_replies, name))
        return;
    snprintf(subject->odd_replies + len, sizeof subject->odd_replies - len, "%s%s 0x%" PRIx32,
             len ? ", " : "", name, header->flags);
}

enum answer check_receive(struct subject *subject, struct reply *reply)
{
    const enum answer answer = link_receive(subject->link, reply);

    if (answer == ANSWERED)
        note_flags(subject, &reply->header);
    return answer;
}

enum answer check_ask(struct subject *subject, const struct probe_message *message, uint32_t flags,
                      struct reply *reply)
{
    const enum answer answer = check_send(subject, message, flags);

    return answer == ANSWERED ? check_receive(subject, reply) : answer;
}

bool check_nothing_left(struct subject *subject, struct check_result *result)
{
    struct reply reply;
    const enum answer answer = check_ask(subject, &check_get_features, 0, &reply);

    return check_answered(subject, result, answer, &reply, VHU_REQ_GET_FEATURES);
}

/* --- rows of a message --- */

/* Asked plainly and with need_reply: one reply each time, of this size, without handles. */
void check_is_answered(struct subject *subject, const struct check *check,
                       struct check_result *result)
{
    static const uint32_t flags[] = {0, VHU_FLAG_NEED_REPLY};
    const struct probe_message *message = &check->message;
    struct reply reply;

    for (size_t i = 0; i < 2; ++i) {
        const enum answer answer = check_ask(subject, message, flags[i], &reply);
        if (!check_answered(subject, result, answer, &reply, message->request))
            return;
        if (reply.header.size != message->reply_len || reply.num_handles > 0) {
            check_violated(result, "%" PRIu32 " bytes and %zu handles, not %" PRIu32 " and none",
                           reply.header.size, reply.num_handles, message->reply_len);
            return;
        }
        if (!check_nothing_left(subject, result))
            return;
    }
    check_ok(result, "%" PRIu32 " bytes", reply.header.size);
}

void check_is_done(struct subject *subject, const struct check *check, struct check_result *result)
{
    struct reply reply;
    const enum answer answer = check_ask(subject, &check->message, VHU_FLAG_NEED_REPLY, &reply);

    if (!check_answered(subject, result, answer, &reply, check->message.request))
        return;
    if (reply.header.size != sizeof(uint64_t))
        check_violated(result, "acknowledged in %" PRIu32 " bytes", reply.header.size);
    else if (reply_u64(&reply) != 0)
        check_violated(result, "refused with %" PRId64, (int64_t)reply_u64(&reply));
    else if (check_nothing_left(subject, result))
        check_ok(result, "acknowledged");
}

void check_is_refused(struct subject *subject, const struct check *check,
                      struct check_result *result)
{
    struct reply reply, next;
    enum answer answer = check_ask(subject, &check->message, VHU_FLAG_NEED_REPLY, &reply);

    if (answer == CLOSED) {
        check_ok(result, "closes the connection");
        return;
    }
    if (!check_answered(subject, result, answer, &reply, check->message.request))
        return;
    const int64_t status = (int64_t)reply_u64(&reply);
    if (reply.header.size != sizeof status) {
        check_violated(result, "answered with %" PRIu32 " bytes", reply.header.size);
        return;
    }
    if (status == 0) {
        check_violated(result, "acknowledged as done");
        return;
    }
    answer = check_ask(subject, &check_get_features, 0, &next);
    if (answer == CLOSED)
        check_ok(result, "refused with %" PRId64 ", then closes the connection", status);
    else if (check_answered(subject, result, answer, &next, VHU_REQ_GET_FEATURES))
        check_ok(result, "refused with %" PRId64, status);
}

/* --- all of them --- */

static bool is_offered(const struct facts *facts, int gate)
{
    return gate == NO_GATE ||
           (gate == EXTENSION && facts->features & VHU_BIT(VHU_F_PROTOCOL_FEATURES)) ||
           (gate >= 0 && facts_has(facts, (unsigned)gate));
}

static bool applies(const struct subject *subject, const struct check *check,
                    struct check_result *result)
{
    const int gate = check->gate;
    const bool goes = !(check->flags & NEEDS_BYTES) || subject->link->takes_bytes;

    if (goes && is_offered(subject->facts, gate))
        return true;
    result->verdict = NOT_APPLICABLE;
    if (goes)
        snprintf(result->detail, sizeof result->detail, "%s is not offered",
                 gate == EXTENSION ? "PROTOCOL_FEATURES"
                                   : vhu_protocol_feature_name((unsigned)gate));
    else
        snprintf(result->detail, sizeof result->detail, "only whole messages can be sent");
    return false;
}

static int open_once(struct subject *subject, const struct check *check, char *error, size_t size)
{
    if (!(check->flags & FRESH_LINK))
        return facts_reconnect(subject->link, error, size);
    const int failure = link_open(subject->link);
    snprintf(error, size, "%s", vhu_strerror(failure));
    return failure;
}

/*
 * Many back-ends end with their front-end. Whoever starts them again may need a moment for it; but
 * who did not come back once is not waited for again.
 */
static bool connects(struct subject *subject, const struct check *check,
                     struct check_result *result)
{
    const int64_t deadline = link_now_ms() + subject->link->timeout_ms;
    char error[MAX_TEXT] = "";

    if (subject->link->stream && !(check->flags & FRESH_LINK))
        return true;
    while (!subject->gone) {
        if (open_once(subject, check, error, sizeof error) == 0)
            return true;
        subject->gone = link_now_ms() >= deadline;
        uv_sleep(PAUSE_MS);
    }
    result->verdict = NOT_RUN;
    snprintf(result->detail, sizeof result->detail, "the back-end has gone%s%.150s",
             error[0] ? ": " : "", error);
    return false;
}

void checks_run(struct subject *subject,
                void (*done)(void *arg, const struct check *check,
                             const struct check_result *result),
                void *arg)
{
    for (size_t i = 0; i < num_checks; ++i) {
        struct check_result result = {.verdict = NOT_RUN};
        if (applies(subject, &checks[i], &result) && connects(subject, &checks[i], &result))
            checks[i].run(subject, &checks[i], &result);
        if (checks[i].flags & FRESH_LINK)
            link_close(subject->link);
        done(arg, &checks[i], &result);
    }
}
