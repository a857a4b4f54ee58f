/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/tool.h"

folder tool_folder;

static const char *first[2];

int tool_setup(const char *path, const char *option)
{
    first[0] = path;
    first[1] = option;
    return folder_new(&tool_folder) ? -1 : program_try(path);
}

int tool_teardown(void **state)
{
    (void)state;
    return folder_remove(&tool_folder);
}

program *tool_start_with(const char *const *args, int fd, int as)
{
    const char *all[TOOL_MAX_ARGS + 3] = {first[0], first[1]};
    const char **next = all + (first[1] ? 2 : 1);

    for (int i = 0; i < TOOL_MAX_ARGS && args[i]; i++)
        *next++ = args[i];
    return program_start_with(tool_folder.path, all, fd, as);
}

program *tool_start(const char *const *args)
{
    return tool_start_with(args, -1, 0);
}

void tool_expect(const struct tool_case *cases, size_t num, int code)
{
    for (size_t i = 0; i < num; i++) {
        program *p = tool_start(cases[i].args);

        program_expect(p, code, cases[i].text);
        program_free(p);
        assert_int_equal(folder_size_of(&tool_folder, "s"), -1);
    }
}
