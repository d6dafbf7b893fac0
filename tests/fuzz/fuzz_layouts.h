/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FUZZ_LAYOUTS_H
#define PST_FUZZ_LAYOUTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/layout/layout.h"

/* What the targets of files of arrays share. The first byte of the input says how many zeros lie
 * behind the rest, as a power of two, so that large arrays need no large inputs. */

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

struct memory {
    const uint8_t *data;
    size_t size;
    uint64_t zeros;
};

static int memory_read(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    const struct memory *memory = self;
    (void)err;
    require(offset <= memory->size + memory->zeros && n <= memory->size + memory->zeros - offset,
            "a read behind the end");
    memset(out, 0, n);
    if (offset < memory->size)
        memcpy(out, memory->data + offset,
               n < memory->size - offset ? n : memory->size - (size_t)offset);
    return PST_OK;
}

static struct pst__reader memory_reader(struct memory *memory, const uint8_t *data, size_t size)
{
    *memory = (struct memory){data + 1, size - 1, data[0] ? UINT64_C(1) << data[0] % 63 : 0};
    return (struct pst__reader){memory_read, memory, memory->size + memory->zeros, "'fuzz'"};
}

static void check_layout(const struct pst__layout *layout, const struct pst__reader *reader)
{
    require(layout->ndim >= 0 && layout->ndim <= PST_MAX_DIMS, "a number of dimensions");
    require(layout->offset <= reader->size && layout->bytes <= reader->size - layout->offset,
            "an array that is not within the file");
    if (layout->dtype == 0)
        return;
    int64_t strides[PST_MAX_DIMS], before, after;
    pst__layout_strides(layout, strides);
    require(pst_tensor_extent(&before, &after, layout->dtype, layout->ndim, layout->shape, strides,
                              NULL) == PST_OK,
            "an array that is no tensor");
    require(before == 0 && (uint64_t)after == layout->bytes, "an array of another size");
}

#endif
