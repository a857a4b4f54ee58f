/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-net: a network with one host on it, which answers pings (virtio 1.3, 5.1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "net.h"

static const struct program_info info = {
    .name = "vhost-user-net",
    .summary = "serves a network with one host, which answers pings, over vhost-user",
    .capabilities = "{\n"
                    "  \"type\": \"net\"\n"
                    "}"};

static enum program_verdict parse(struct net *net, int argc, char **argv)
{
    const struct option_row rows[] = {
        {"address", OPTION_TEXT, &net->address, "IP", "of the host that answers (10.0.2.2)", 0, 0},
    };
    struct program_settings *settings = &net->program.settings;
    const enum program_verdict verdict =
        program_parse(&net->program, rows, sizeof rows / sizeof rows[0], argc, argv);

    if (verdict != PROGRAM_RUN)
        return verdict;
    if (uv_inet_pton(AF_INET, net->address, net->host.ip)) {
        program_say(&net->program, "--address=%s: is no IPv4 address", net->address);
        return PROGRAM_WRONG;
    }
    if (settings->num_queues % 2) {
        program_say(&net->program, "--num-queues=%u: they come in pairs", settings->num_queues);
        return PROGRAM_WRONG;
    }
    settings->workers = 1;
    return PROGRAM_RUN;
}

static int serve(struct net *net)
{
    const struct program_device device = {
        .ops = &net_ops, .features = NET_FEATURES, .serve_disabled = true};
    const int code = program_serve(&net->program, &device, "host %s, %u queues", net->address,
                                   net->program.settings.num_queues);

    if (code == EXIT_SUCCESS)
        printf("%s: served requests=%" PRIu64 " answers=%" PRIu64 " announced=%" PRIu64 " mtu=%u\n",
               info.name, net->requests, net->answers, net->announced, net->mtu);
    return code;
}

int main(int argc, char **argv)
{
    static struct net net = {
        .host.mac = {0x52, 0x54, 0x00, 0x76, 0x68, 0x75}, .address = "10.0.2.2", .mtu = 1500};
    enum program_verdict verdict;

    program_init(&net.program, &info);
    net.program.settings.num_queues = 2;
    verdict = parse(&net, argc, argv);
    return verdict == PROGRAM_RUN ? serve(&net) : (int)verdict;
}
