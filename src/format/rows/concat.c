/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/dataset.h"
#include "format/self.h"

/* The rows of several datasets, one after the other. A part is asked once for all of its rows in a
 * batch, so that it can order and join its reads; where they do not lie together in the batch they
 * go through memory that stays in the cache. */

#define SCRATCH_BYTES ((size_t)64 << 10)
#define MOST_PARTS ((size_t)1 << 16)

struct parts {
    size_t n;
    struct pst_dataset **part;
    int64_t *end; /* of each part's rows among all */
    int n_fields;
    size_t row_bytes[PST_MAX_FIELDS];
    size_t row_total; /* of all fields, rounded up so that each begins aligned */
};

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* --- a batch by its parts
 * ------------------------------------------------------------------------------------- */

/* A batch's rows in the order of parts, and within a part in that of the batch. */
struct sorted {
    size_t *first;  /* of each part, and the number of rows */
    int64_t *index; /* of a row in its part */
    size_t *slot;   /* its place in the batch */
    uint8_t *scratch;
};

static size_t part_of(const struct parts *parts, int64_t index)
{
    size_t low = 0, high = parts->n - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index < parts->end[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int64_t start_of(const struct parts *parts, size_t part)
{
    return part > 0 ? parts->end[part - 1] : 0;
}

/* NULL: no memory. The caller frees what it returns. */
static void *sort_rows(const struct parts *parts, const int64_t *indices, size_t n,
                       size_t scratch_bytes, struct sorted *sorted)
{
    /* A batch is a list of n indices that the caller has in memory: no sum overflows. */
    size_t first_bytes = aligned((parts->n + 1) * sizeof *sorted->first);
    size_t rows_bytes = aligned(n * sizeof *sorted->index);
    uint8_t *block = pst__alloc(scratch_bytes + first_bytes + 2 * rows_bytes, PST_MEM_HEAP);
    if (!block)
        return NULL;
    sorted->scratch = block;
    sorted->first = (size_t *)(void *)(block + scratch_bytes);
    sorted->index = (int64_t *)(void *)(block + scratch_bytes + first_bytes);
    sorted->slot = (size_t *)(void *)(block + scratch_bytes + first_bytes + rows_bytes);
    memset(sorted->first, 0, first_bytes);
    for (size_t i = 0; i < n; i++)
        sorted->first[part_of(parts, indices[i]) + 1]++;
    for (size_t p = 0; p < parts->n; p++)
        sorted->first[p + 1] += sorted->first[p];
    for (size_t i = 0; i < n; i++) {
        size_t part = part_of(parts, indices[i]), at = sorted->first[part]++;
        sorted->index[at] = indices[i] - start_of(parts, part);
        sorted->slot[at] = i;
    }
    /* Each one is now where the next part begins. */
    memmove(sorted->first + 1, sorted->first, parts->n * sizeof *sorted->first);
    sorted->first[0] = 0;
    return block;
}

/* --- rows
 * ------------------------------------------------------------------------------------- */

static int64_t concat_length(void *self)
{
    const struct parts *parts = self;
    return parts->end[parts->n - 1];
}

static int concat_fields(void *self, struct pst_field *fields, int most)
{
    const struct parts *parts = self;
    return pst_dataset_fields(parts->part[0], fields, most);
}

static void scatter(const struct parts *parts, uint8_t *const *from, const size_t *slot, size_t n,
                    void *const *dst)
{
    for (int f = 0; f < parts->n_fields; f++) {
        size_t bytes = parts->row_bytes[f];
        for (size_t i = 0; i < n; i++)
            memcpy((uint8_t *)dst[f] + slot[i] * bytes, from[f] + i * bytes, bytes);
    }
}

/* Rows from `at` on, at most n of them and all of one part, to their places. Returns how many were
 * copied, or a status. */
static int64_t gather_some(const struct parts *parts, const struct sorted *sorted, size_t part,
                           size_t at, size_t n, void *const *dst, struct pst_error *err)
{
    const size_t *slot = sorted->slot + at;
    size_t most = SCRATCH_BYTES / parts->row_total, together = 1;
    while (together < n && slot[together] == slot[0] + together)
        together++;
    int is_direct = together == n || together >= most;
    size_t some = is_direct ? together : most < n ? most : n;
    uint8_t *to[PST_MAX_FIELDS];
    size_t offset = 0;
    for (int f = 0; f < parts->n_fields; f++) {
        to[f] = is_direct ? (uint8_t *)dst[f] + slot[0] * parts->row_bytes[f]
                          : sorted->scratch + offset;
        offset += aligned(some * parts->row_bytes[f]);
    }
    int rc = pst_gather(parts->part[part], sorted->index + at, some, (void *const *)to, err);
    if (rc < 0)
        return rc;
    if (!is_direct)
        scatter(parts, to, slot, some, dst);
    return (int64_t)some;
}

static int concat_gather(void *self, const int64_t *indices, size_t n, void *const *dst,
                         struct pst_error *err)
{
    const struct parts *parts = self;
    struct sorted sorted;
    struct pst_error own;
    pst_error_init(&own);
    void *block = sort_rows(parts, indices, n, SCRATCH_BYTES, &sorted);
    if (!block)
        return pst__fail(err, PST_ENOMEM, "no memory for a batch of %zu rows", n);
    int64_t rc = PST_OK;
    for (size_t p = 0; p < parts->n && rc >= 0; p++)
        for (size_t at = sorted.first[p]; at < sorted.first[p + 1] && rc >= 0; at += (size_t)rc) {
            rc = gather_some(parts, &sorted, p, at, sorted.first[p + 1] - at, dst, &own);
            if (rc < 0 && own.record >= 0)
                own.record += start_of(parts, p);
        }
    pst__free(block);
    if (rc < 0 && err && err->status >= 0)
        *err = own;
    return rc < 0 ? (int)rc : PST_OK;
}

static void concat_intend(void *self, const int64_t *indices, size_t n)
{
    const struct parts *parts = self;
    struct sorted sorted;
    void *block = sort_rows(parts, indices, n, 0, &sorted);
    if (!block)
        return; /* it was a wish */
    for (size_t p = 0; p < parts->n; p++)
        if (sorted.first[p + 1] > sorted.first[p])
            pst_dataset_intend(parts->part[p], sorted.index + sorted.first[p],
                               sorted.first[p + 1] - sorted.first[p]);
    pst__free(block);
}

/* Threads keep the same memory for all parts. */
static int64_t concat_memory(void *self)
{
    const struct parts *parts = self;
    size_t most = 0;
    for (size_t p = 0; p < parts->n; p++) {
        size_t one = pst__dataset_memory(parts->part[p]);
        most = one > most ? one : most;
    }
    return (int64_t)most;
}

static void concat_close(void *self)
{
    struct parts *parts = self;
    for (size_t p = 0; p < parts->n; p++)
        pst_dataset_unref(parts->part[p]);
    pst__free(parts->part);
    pst__free(parts->end);
    pst__free(parts);
}

/* --- opening
 * ------------------------------------------------------------------------------------- */

static int is_same_field(const struct pst_field *one, const struct pst_field *other)
{
    return one->dtype == other->dtype && one->ndim == other->ndim &&
           memcmp(one->shape, other->shape, (size_t)one->ndim * sizeof *one->shape) == 0;
}

static int measure_rows(struct parts *parts, const struct pst_field *fields, struct pst_error *err)
{
    for (int f = 0; f < parts->n_fields; f++) {
        size_t bytes = pst_dtype_size(fields[f].dtype);
        PST_REQUIRE(fields[f].ndim == 0 || fields[f].shape[0] >= 0, err,
                    "pst_rows_concat: rows of field '%s' are of different lengths", fields[f].name);
        for (int d = 0; d < fields[f].ndim; d++)
            if (__builtin_mul_overflow(bytes, (size_t)fields[f].shape[d], &bytes))
                return pst__fail(err, PST_ELIMIT, "a row of field '%s' is too large",
                                 fields[f].name);
        parts->row_bytes[f] = bytes;
        if (bytes > SIZE_MAX / 2 ||
            __builtin_add_overflow(parts->row_total, aligned(bytes), &parts->row_total))
            return pst__fail(err, PST_ELIMIT, "a row is too large");
    }
    if (parts->row_total == 0)
        parts->row_total = 1;
    return PST_OK;
}

/* Whether part p is of the same rows as the first, whose fields are given. */
static int check_part(const struct pst_field *first, int n, struct pst_dataset *part, size_t p,
                      struct pst_error *err)
{
    struct pst_field fields[PST_MAX_FIELDS];
    int found = part ? pst_dataset_fields(part, fields, PST_MAX_FIELDS) : 0;
    PST_REQUIRE(found == n, err, "pst_rows_concat: part %zu has %d fields, the first has %d", p,
                found, n);
    for (int f = 0; f < n; f++)
        PST_REQUIRE(is_same_field(&first[f], &fields[f]), err,
                    "pst_rows_concat: field '%s' of part %zu has another dtype or shape than '%s' "
                    "of the first",
                    fields[f].name, p, first[f].name);
    return PST_OK;
}

static int fill_parts(struct parts *parts, struct pst_dataset *const *datasets, size_t n,
                      struct pst_error *err)
{
    struct pst_field fields[PST_MAX_FIELDS];
    parts->n_fields = datasets[0] ? pst_dataset_fields(datasets[0], fields, PST_MAX_FIELDS) : 0;
    PST_REQUIRE(parts->n_fields > 0 && parts->n_fields <= PST_MAX_FIELDS, err,
                "pst_rows_concat: the first part has %d fields, 1 to %d expected", parts->n_fields,
                PST_MAX_FIELDS);
    int rc = measure_rows(parts, fields, err);
    int64_t end = 0;
    for (size_t p = 0; p < n && rc == PST_OK; p++) {
        rc = check_part(fields, parts->n_fields, datasets[p], p, err);
        if (rc == PST_OK && __builtin_add_overflow(end, pst_dataset_length(datasets[p]), &end))
            rc = pst__fail(err, PST_ELIMIT, "pst_rows_concat: over 2^63 rows");
        if (rc < 0)
            break;
        parts->part[p] = pst_dataset_ref(datasets[p]);
        parts->end[p] = end;
        parts->n = p + 1;
    }
    return rc;
}

int pst_rows_concat(struct pst_dataset **out, struct pst_dataset *const *datasets, size_t n,
                    struct pst_error *err)
{
    static const struct pst_dataset_vtable vtable = {
        .struct_size = sizeof vtable,
        .length = concat_length,
        .close = concat_close,
        .fields = concat_fields,
        .gather = concat_gather,
        .intend = concat_intend,
        .memory = concat_memory,
    };
    PST_REQUIRE(out, err, "pst_rows_concat: out is NULL");
    *out = NULL;
    PST_REQUIRE(datasets && n > 0 && n <= MOST_PARTS, err,
                "pst_rows_concat: %zu datasets, expected 1 to %zu", n, MOST_PARTS);
    struct parts *parts = pst__calloc(1, sizeof *parts, PST_MEM_HEAP);
    if (!parts)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu datasets", n);
    parts->part = pst__calloc(n, sizeof(struct pst_dataset *), PST_MEM_HEAP);
    parts->end = pst__calloc(n, sizeof *parts->end, PST_MEM_HEAP);
    int rc = parts->part && parts->end
                 ? fill_parts(parts, datasets, n, err)
                 : pst__fail(err, PST_ENOMEM, "no memory for %zu datasets", n);
    if (rc == PST_OK)
        rc = pst_dataset_new(out, &vtable, parts, err);
    if (rc < 0)
        concat_close(parts);
    return rc;
}
