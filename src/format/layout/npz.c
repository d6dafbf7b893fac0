/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/layout/layout.h"
#include "format/layout/zip.h"

/* A file of numpy.savez(): a zip file whose members are .npy files, stored as they are. */

#define SHOWN 120
static const char suffix[] = ".npy";

/* A member as if it were a file of its own. */
struct window {
    const struct pst__reader *reader;
    const struct pst__zip_member *member;
};

static int window_read(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    const struct window *window = self;
    return window->reader->read(window->reader->self, window->member->offset + offset, n, out, err);
}

static int add_array(struct pst__layouts *layouts, const struct pst__zip_member *member,
                     const struct pst__reader *reader, struct pst_error *err)
{
    char name[SHOWN], shown[2 * SHOWN + 400];
    struct window window = {reader, member};
    pst__printable(name, sizeof name, member->name);
    snprintf(shown, sizeof shown, "'%s' in %s", name, reader->shown);
    if (!member->is_stored)
        return pst__fail_at(err, PST_EUNSUPPORTED, (int64_t)member->header,
                            "%s is compressed: numpy.savez() stores arrays as they are", shown);
    struct pst__reader inner = {window_read, &window, member->bytes, shown};
    struct pst__layout *layout = pst__layouts_add(layouts);
    size_t n = strlen(member->name) - (sizeof suffix - 1);
    if (!layout || !(layout->name = pst__alloc(n + 1, PST_MEM_HEAP)))
        return PST_ENOMEM;
    memcpy(layout->name, member->name, n);
    layout->name[n] = 0;
    struct pst_error own;
    pst_error_init(&own);
    struct pst__npy npy;
    int rc = pst__npy_read(&npy, &inner, &own);
    if (rc == PST_EUNSUPPORTED) { /* its neighbours can be read */
        memcpy(layout->kind, "unknown", sizeof "unknown");
        return PST_OK;
    }
    if (rc < 0) {
        if (own.offset >= 0)
            own.offset += (int64_t)member->offset;
        if (err && err->status == PST_OK)
            *err = own;
        return rc;
    }
    npy.layout.name = layout->name;
    *layout = npy.layout;
    layout->offset += member->offset;
    return PST_OK;
}

int pst__npz_read(struct pst__layouts *layouts, const struct pst__reader *reader,
                  struct pst_error *err)
{
    struct pst__zip zip;
    *layouts = (struct pst__layouts){0};
    int rc = pst__zip_read(&zip, reader, err);
    for (size_t i = 0; i < zip.n && rc == PST_OK; i++)
        if (pst__zip_ends(&zip.member[i], suffix))
            rc = add_array(layouts, &zip.member[i], reader, err);
    pst__zip_reset(&zip);
    if (rc == PST_OK && layouts->n == 0)
        rc = pst__fail(err, PST_EFORMAT, "%s is a zip file without a member NAME.npy",
                       reader->shown);
    if (rc == PST_ENOMEM)
        rc = pst__fail(err, rc, "no memory for the arrays of %s", reader->shown);
    if (rc < 0)
        pst__layouts_reset(layouts);
    return rc;
}
