/* SPDX-License-Identifier: Apache-2.0 */
#include "io/record.h"

#include <string.h>

#include "base/limits.h"

uint8_t *pst__record_grow(struct pst_record *record, size_t capacity)
{
    if (record->own && capacity <= record->capacity)
        return record->own;
    /* A quarter more for the next record; the memory is used again for many of them. */
    size_t roomy = capacity + capacity / 4;
    uint8_t *own = pst__alloc(roomy, PST_MEM_RECORD);
    if (!own)
        own = pst__alloc(roomy = capacity, PST_MEM_RECORD);
    if (!own)
        return NULL;
    int is_view = record->data != record->own;
    if (!is_view && record->size > 0)
        memcpy(own, record->own, record->size);
    pst__free(record->own);
    record->own = own;
    record->capacity = roomy;
    if (!is_view)
        record->data = own;
    return own;
}

void *pst_record_reserve(struct pst_record *record, size_t size)
{
    if (size > PST_MAX_RECORD || !pst__record_grow(record, size))
        return NULL;
    /* Decoders may look past the end: they shall not find the record before. */
    memset(record->own + size, 0, PST_PAD);
    record->data = record->own;
    record->size = size;
    return record->own;
}

void pst_record_view(struct pst_record *record, const void *data, size_t size)
{
    record->data = data;
    record->size = size;
}

void pst_record_pixels(struct pst_record *record, const struct pst_pixels *pixels)
{
    record->pixels = *pixels;
}

void pst__record_clear(struct pst_record *record)
{
    record->pixels.data = NULL;
    record->data = NULL;
    record->size = 0;
}

void pst__record_reset(struct pst_record *record)
{
    pst__free(record->own);
    *record = (struct pst_record){0};
}
