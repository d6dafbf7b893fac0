/* SPDX-License-Identifier: Apache-2.0 */
#include "format/layout/layout.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/strings.h"

#define SHOWN 120

void pst__layout_strides(const struct pst__layout *layout, int64_t *strides)
{
    int64_t stride = (int64_t)pst_dtype_size(layout->dtype);
    for (int i = 0; i < layout->ndim; i++) {
        int d = layout->is_fortran ? i : layout->ndim - 1 - i;
        strides[d] = stride;
        stride *= layout->shape[d] > 0 ? layout->shape[d] : 1;
    }
}

int pst__layout_measure(struct pst__layout *layout, const char *shown, struct pst_error *err)
{
    int64_t item = (int64_t)pst_dtype_size(layout->dtype), bytes = item, bound = item;
    for (int i = 0; i < layout->ndim; i++) {
        /* A size of 0 counts as 1 for the bound, as it does in a tensor. */
        if (__builtin_mul_overflow(bound, layout->shape[i] > 0 ? layout->shape[i] : 1, &bound) ||
            bound > PST_MAX_TENSOR)
            return pst__fail(err, PST_ELIMIT, "%s: an array of this shape has 2^62 bytes or more",
                             shown);
        bytes *= layout->shape[i];
    }
    layout->bytes = (uint64_t)bytes;
    return PST_OK;
}

int pst__layout_check(const struct pst__layout *layout, const struct pst__reader *reader,
                      struct pst_error *err)
{
    char name[SHOWN];
    if (layout->offset <= reader->size && layout->bytes <= reader->size - layout->offset)
        return PST_OK;
    return pst__fail_at(err, PST_ETRUNCATED, (int64_t)reader->size,
                        "%s ends too early: the %" PRIu64 " bytes of %s%s%s at %" PRIu64
                        " expected, it has %" PRIu64,
                        reader->shown, layout->bytes, layout->name ? "'" : "its array",
                        layout->name ? pst__printable(name, sizeof name, layout->name) : "",
                        layout->name ? "'" : "", layout->offset, reader->size);
}

void pst__layout_swap(uint8_t *data, size_t bytes, int item)
{
    for (size_t at = 0; at < bytes; at += (size_t)item)
        for (int i = 0; i < item / 2; i++) {
            uint8_t first = data[at + (size_t)i];
            data[at + (size_t)i] = data[at + (size_t)(item - 1 - i)];
            data[at + (size_t)(item - 1 - i)] = first;
        }
}

void pst__layouts_reset(struct pst__layouts *layouts)
{
    for (size_t i = 0; i < layouts->n; i++)
        pst__free(layouts->layout[i].name);
    pst__free(layouts->layout);
    *layouts = (struct pst__layouts){0};
}

struct pst__layout *pst__layouts_add(struct pst__layouts *layouts)
{
    void *items = layouts->layout;
    if (pst__grow(&items, &layouts->room, layouts->n + 1, sizeof *layouts->layout) < 0)
        return NULL;
    layouts->layout = items;
    struct pst__layout *layout = &layouts->layout[layouts->n++];
    *layout = (struct pst__layout){0};
    return layout;
}
