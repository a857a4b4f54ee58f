/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/error.h>

typedef struct row {
    int code;
    vhu_error_class class;
    const char *name;
    const char *text;
} row;

static const row rows[] = {{VHU_OK, VHU_CLASS_RETRY, "VHU_OK", "success"},
#define ROW(name, value, class, text) {(value), VHU_CLASS_##class, "VHU_" #name, text},
                           VHU_ERROR_MAP(ROW)
#undef ROW
};

static const row unknown = {0, VHU_CLASS_LOCAL, "VHU_UNKNOWN", "unknown error"};

static const row *find(int error)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == error)
            return &rows[i];
    }
    return &unknown;
}

const char *vhu_strerror(int error)
{
    return find(error)->text;
}

const char *vhu_error_name(int error)
{
    return find(error)->name;
}

vhu_error_class vhu_error_classify(int error)
{
    return find(error)->class;
}
