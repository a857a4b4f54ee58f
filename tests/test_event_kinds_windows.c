/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_event_kinds.h"

#include <windows.h>

#include "util.h"

/* Two handles of one event, with the access that they say, and inherited. */
static int make_event(vhu_handle ends[2], DWORD wait, DWORD signal)
{
    HANDLE self = GetCurrentProcess();
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);
    bool made = DuplicateHandle(self, event, self, &ends[0], wait, TRUE, 0) &&
                DuplicateHandle(self, event, self, &ends[1], signal, TRUE, 0);

    CloseHandle(event);
    return made ? 0 : -1;
}

static int all_access(vhu_handle ends[2])
{
    return make_event(ends, EVENT_ALL_ACCESS, EVENT_ALL_ACCESS);
}

static int least_access(vhu_handle ends[2])
{
    return make_event(ends, SYNCHRONIZE, EVENT_MODIFY_STATE);
}

const event_kind event_kinds[] = {
    {"event, all access", all_access, false, NULL},
    {"event, least access", least_access, false, NULL},
};
const size_t num_event_kinds = VHU__COUNT(event_kinds);
