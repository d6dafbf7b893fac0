/* SPDX-License-Identifier: Apache-2.0 */
#include "format/tokens/token_form.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define SHOWN 320

static enum pst__integer integer_of(int dtype)
{
    static const uint8_t integers[] = {
        [PST_U8] = PST_INTEGER_U8,   [PST_I8] = PST_INTEGER_I8,   [PST_U16] = PST_INTEGER_U16,
        [PST_I16] = PST_INTEGER_I16, [PST_U32] = PST_INTEGER_U32, [PST_I32] = PST_INTEGER_I32,
        [PST_I64] = PST_INTEGER_I64};
    return (enum pst__integer)integers[dtype];
}

static void fill(const struct pst__token_form *form, uint8_t *to, size_t n, int64_t value)
{
    int32_t narrow = (int32_t)value;
    for (size_t i = 0; i < n; i++)
        if (form->item == sizeof value)
            memcpy(to + i * sizeof value, &value, sizeof value);
        else
            memcpy(to + i * sizeof narrow, &narrow, sizeof narrow);
}

int pst__token_form_widen(const struct pst__token_form *form, const struct pst__token_place *place,
                          uint8_t *x, uint8_t *y, size_t first, const uint8_t *src, size_t n)
{
    enum pst__integer from = integer_of(place->file->dtype);
    int is_narrow = form->dtype == PST_I32, is_cut = 0;
    size_t both = y ? n - 1 : n;
    x += first * form->item;
    if (both > 0)
        is_cut =
            form->kernels->widen(x, y ? y + first * form->item : NULL, src, both, from, is_narrow);
    if (y && first + both < form->window) /* the last token has no next one yet */
        is_cut |= form->kernels->widen(x + both * form->item, NULL,
                                       src + both * place->file->token_size, 1, from, is_narrow);
    return is_cut;
}

void pst__token_form_pad(const struct pst__token_form *form, const struct pst__token_place *place,
                         uint8_t *x, uint8_t *y)
{
    size_t window = form->window, n = place->n;
    if (n < window)
        fill(form, x + n * form->item, window - n, form->pad);
    if (y && n < window + 1)
        fill(form, y + (n - 1) * form->item, window + 1 - n, form->ignore_index);
}

int pst__token_form_refuse(const struct pst__token_place *place, struct pst_error *err)
{
    char text[SHOWN];
    size_t size = place->file->token_size;
    for (size_t i = 0; i < place->n; i++) {
        uint8_t bytes[8], wide[8];
        int64_t value;
        uint64_t at = place->offset + i * size;
        int rc = pst__source_read(place->file->source, at, size, bytes, err);
        if (rc < 0)
            return rc;
        if (!pst__kernels()->widen(wide, NULL, bytes, 1, integer_of(place->file->dtype), 1))
            continue;
        pst__kernels()->widen((uint8_t *)&value, NULL, bytes, 1, integer_of(place->file->dtype), 0);
        return pst__fail_at(
            err, PST_EFORMAT, (int64_t)at,
            "'%s': token %" PRId64 " at byte %" PRIu64 " does not fit in int32",
            pst__printable(text, sizeof text, pst__source_path(place->file->source)), value, at);
    }
    return pst__fail(err, PST_EIO, "'%s' was written to while it was read",
                     pst__printable(text, sizeof text, pst__source_path(place->file->source)));
}
