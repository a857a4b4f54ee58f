/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/probe_rig.h"

#include <stdio.h>
#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/wait.h>

#include "support/folder.h"
#include "support/sys.h"

static folder images;
static sys_address disk_address, other_address, nobodys_address;

/* --- programs --- */

static const char *put_in(const char *arg)
{
    static const struct {
        const char *word;
        const sys_address *address;
    } rows[] = {{"DISK", &disk_address}, {"SOCKET", &other_address}, {"NOWHERE", &nobodys_address}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        if (strcmp(arg, rows[i].word) == 0)
            return rows[i].address->text;
    return arg;
}

void probe_start(struct probed *probed, const char *const *args)
{
    const char *argv[PROBE_MAX_ARGS + 2] = {PROBE_PROGRAM};

    for (int i = 0; i < PROBE_MAX_ARGS && args[i]; ++i)
        argv[i + 1] = put_in(args[i]);
    probed->program = program_start(NULL, argv);
    assert_non_null(probed->program);
}

void probe_end(struct probed *probed)
{
    probed->code = program_end(probed->program);
}

void probe_run(struct probed *probed, const char *const *args)
{
    probe_start(probed, args);
    probe_end(probed);
}

const char *probe_text(const struct probed *probed)
{
    return program_text(probed->program, PROGRAM_OUT);
}

bool probe_says(const struct probed *probed, const char *text)
{
    const char *errors = program_text(probed->program, PROGRAM_ERR);

    if (strstr(probe_text(probed), text) || strstr(errors, text))
        return true;
    print_error("'%s' is not in\n%s%s\n", text, probe_text(probed), errors);
    return false;
}

void probe_free(struct probed *probed)
{
    program_free(probed->program);
    probed->program = NULL;
}

/* --- a disk --- */

static void make_image(const char *path)
{
    uint8_t sector[512] = {0};
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    for (uint64_t i = 0; i < PROBE_SECTORS; ++i) {
        memcpy(sector, &i, sizeof i);
        assert_int_equal(fwrite(sector, sizeof sector, 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
}

program *probe_disk_start(void)
{
    char file[700];
    char address[200];
    const folder_file image = folder_at(&images, "image");
    const char *const args[] = {BLK_PROGRAM, file, address, "--engine=uv", "--num-queues=2", NULL};
    program *disk;

    snprintf(file, sizeof file, "--blk-file=%s", image.path);
    snprintf(address, sizeof address, "--socket-path=%s", disk_address.text);
    make_image(image.path);
    disk = program_start(NULL, args);
    assert_non_null(disk);
    assert_true(program_says(disk, PROGRAM_OUT, "ready on "));
    return disk;
}

void probe_disk_stop(program *disk)
{
    program_stop(disk, "");
    program_free(disk);
}

vhu_stream *probe_disk_connect(void)
{
    vhu_stream *stream;

    assert_int_equal(vhu_stream_connect(&stream, disk_address.text, 0, NULL), 0);
    return stream;
}

/* --- others --- */

void probe_listen(struct probe_listener *l)
{
    assert_int_equal(vhu_listener_new(&l->listener, other_address.text, NULL), 0);
    assert_int_equal(vhu_event_new(&l->stop), 0);
}

vhu_stream *probe_accept(const struct probe_listener *l)
{
    for (;;) {
        vhu_wait waits[] = {
            {.handle = vhu_listener_wait_handle(l->listener), .events = VHU_WAIT_READ},
            {.handle = vhu_event_wait_handle(l->stop), .events = VHU_WAIT_READ}};
        vhu_stream *stream;

        if (vhu_wait_any(waits, 2, PROGRAM_PATIENCE_MS) != 0 || waits[1].ready)
            return NULL;
        if (vhu_listener_accept_stream(l->listener, &stream) == 0)
            return stream;
    }
}

void probe_stop(const struct probe_listener *l)
{
    vhu_event_signal(l->stop);
}

void probe_listener_free(struct probe_listener *l)
{
    vhu_listener_free(l->listener);
    vhu_event_free(l->stop);
}

int probe_recv(vhu_stream *from, void *out, size_t room, vhu_handle *handles, size_t *num)
{
    const vhu_transport *transport = vhu_stream_transport(from);
    const size_t most = *num;
    int n;

    while ((n = transport->recv(from, out, room, handles, num)) == VHU_EAGAIN) {
        n = transport->wait(from, VHU_WAIT_READ, PROGRAM_PATIENCE_MS);
        if (n < 0)
            return n;
        *num = most;
    }
    return n;
}

int probe_send(vhu_stream *to, const void *bytes, size_t len, const vhu_handle *handles, size_t num)
{
    const vhu_transport *transport = vhu_stream_transport(to);

    for (size_t done = 0; done < len;) {
        int n = transport->send(to, (const char *)bytes + done, len - done, handles,
                                done > 0 ? 0 : num);
        if (n > 0)
            done += (size_t)n;
        else if (n == VHU_EAGAIN)
            n = transport->wait(to, VHU_WAIT_WRITE, PROGRAM_PATIENCE_MS);
        if (n < 0)
            return n;
    }
    return 0;
}

/* --- the group --- */

int probe_setup(void **state)
{
    (void)state;
    sys_address_new(&disk_address);
    sys_address_new(&other_address);
    sys_address_new(&nobodys_address);
    return folder_new(&images) ? -1 : program_try(PROBE_PROGRAM);
}

int probe_teardown(void **state)
{
    (void)state;
    sys_address_clear(&disk_address);
    sys_address_clear(&other_address);
    sys_address_clear(&nobodys_address);
    return folder_remove(&images);
}
