/* SPDX-License-Identifier: Apache-2.0 */
#include "format/dataset.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/self.h"
#include "io/record.h"

struct pst_dataset {
    _Atomic int64_t refs; /* taken relaxed, dropped acq_rel */
    struct pst_dataset_vtable vtable;
    void *self;
    int64_t length;
};

int pst_dataset_new(struct pst_dataset **out, const struct pst_dataset_vtable *vtable, void *self,
                    struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_dataset_new: out is NULL");
    *out = NULL;
    PST_REQUIRE(vtable, err, "pst_dataset_new: vtable is NULL");
    size_t size = vtable->struct_size, required = offsetof(struct pst_dataset_vtable, name);
    PST_REQUIRE(size >= required, err, "pst_dataset_new: struct_size is %zu, at least %zu expected",
                size, required);
    struct pst_dataset_vtable known = {0};
    /* A caller built against another release knows fewer or more functions. */
    memcpy(&known, vtable, size < sizeof known ? size : sizeof known);
    PST_REQUIRE(known.length && ((known.read && known.label) || known.fields), err,
                "pst_dataset_new: length, read and label are required");
    PST_REQUIRE(!known.fields || known.gather || known.gather_padded, err,
                "pst_dataset_new: a dataset of rows needs gather");
    PST_REQUIRE(!known.lengths == !known.gather_padded, err,
                "pst_dataset_new: lengths and gather_padded go together");
    int64_t length = known.length(self);
    PST_REQUIRE(length >= 0, err, "pst_dataset_new: length is %" PRId64, length);
    struct pst_dataset *dataset = pst__calloc(1, sizeof *dataset, PST_MEM_HEAP);
    if (!dataset)
        return pst__fail(err, PST_ENOMEM, "no memory for a dataset");
    atomic_init(&dataset->refs, 1);
    dataset->vtable = known;
    dataset->self = self;
    dataset->length = length;
    *out = dataset;
    return PST_OK;
}

struct pst_dataset *pst_dataset_ref(struct pst_dataset *dataset)
{
    atomic_fetch_add_explicit(&dataset->refs, 1, memory_order_relaxed);
    return dataset;
}

void pst_dataset_unref(struct pst_dataset *dataset)
{
    if (!dataset || atomic_fetch_sub_explicit(&dataset->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (dataset->vtable.close)
        dataset->vtable.close(dataset->self);
    pst__free(dataset);
}

static int is_within(const struct pst_dataset *dataset, int64_t index)
{
    return index >= 0 && index < dataset->length;
}

int64_t pst_dataset_length(const struct pst_dataset *dataset)
{
    return dataset->length;
}

int64_t pst_dataset_label(const struct pst_dataset *dataset, int64_t index)
{
    return is_within(dataset, index) && dataset->vtable.label
               ? dataset->vtable.label(dataset->self, index)
               : -1;
}

const char *pst_dataset_name(const struct pst_dataset *dataset, int64_t index)
{
    if (!is_within(dataset, index) || !dataset->vtable.name)
        return NULL;
    return dataset->vtable.name(dataset->self, index);
}

int64_t pst_dataset_copy_name(const struct pst_dataset *dataset, int64_t index, char *out,
                              size_t size)
{
    if (is_within(dataset, index) && dataset->vtable.copy_name)
        return dataset->vtable.copy_name(dataset->self, index, out, size);
    const char *name = pst_dataset_name(dataset, index);
    if (!name)
        return -1;
    size_t length = strlen(name);
    if (size > 0) {
        size_t n = length < size ? length : size - 1;
        memcpy(out, name, n);
        out[n] = 0;
    }
    return (int64_t)length;
}

void *pst__dataset_self(const struct pst_dataset *dataset, void (*close)(void *self))
{
    return dataset && dataset->vtable.close == close ? dataset->self : NULL;
}

/* What read() delivered, as a status: its own code is not trusted to keep the contract. */
static int judge(int rc, const struct pst_record *record, struct pst_error *err)
{
    if (rc < 0)
        return pst__fail(err, rc, "read: %s", pst_status_text(rc));
    if (rc > 0)
        return pst__fail(err, PST_ECALLBACK, "read returned %d, expected 0 or a negative status",
                         rc);
    if (record->pixels.data)
        return pst__pixels_check(&record->pixels, err);
    if (!record->data)
        return pst__fail(err, PST_ECALLBACK, "read delivered no record");
    if (record->size > PST_MAX_RECORD)
        return pst__fail(err, PST_ELIMIT, "the record has %zu bytes, the limit is %u", record->size,
                         PST_MAX_RECORD);
    return PST_OK;
}

int pst__dataset_read(struct pst_dataset *dataset, int64_t index, struct pst_record *record,
                      struct pst_error *err)
{
    if (!is_within(dataset, index))
        return pst__fail(err, PST_ERANGE, "index %" PRId64 " of a dataset of %" PRId64, index,
                         dataset->length);
    PST_REQUIRE(dataset->vtable.read, err, "samples of a dataset of rows are gathered, not read");
    struct pst_error own;
    if (!err || err->status < 0)
        err = &own; /* the first error stays */
    pst_error_init(err);
    pst__record_clear(record);
    int rc = judge(dataset->vtable.read(dataset->self, index, record, err), record, err);
    if (rc < 0) {
        pst__record_clear(record);
        err->record = index;
    }
    return rc;
}

int pst__dataset_uniform(const struct pst_dataset *dataset, struct pst_pixels *size)
{
    *size = (struct pst_pixels){0};
    return dataset->vtable.uniform && dataset->vtable.uniform(dataset->self, size) == PST_OK &&
           size->width > 0 && size->height > 0;
}

/* --- rows
 * --------------------------------------------------------------------------------------------- */

int pst_dataset_fields(const struct pst_dataset *dataset, struct pst_field *fields, int most)
{
    return dataset->vtable.fields ? dataset->vtable.fields(dataset->self, fields, most) : 0;
}

size_t pst__dataset_memory(const struct pst_dataset *dataset)
{
    int64_t bytes = dataset->vtable.memory ? dataset->vtable.memory(dataset->self) : 0;
    return bytes > 0 ? (size_t)bytes : 0;
}

static int check_rows(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                      const void *out, struct pst_error *err)
{
    PST_REQUIRE(dataset->vtable.fields, err, "pst_gather: the dataset is not of rows");
    PST_REQUIRE(n == 0 || (indices && out), err, "pst_gather: indices or dst is NULL");
    for (size_t i = 0; i < n; i++)
        if (!is_within(dataset, indices[i]))
            return pst__fail(err, PST_ERANGE, "index %" PRId64 " of a dataset of %" PRId64,
                             indices[i], dataset->length);
    return PST_OK;
}

/* What a function of the vtable returned. */
static int judge_rows(int rc, struct pst_error *err)
{
    if (rc > 0)
        return pst__fail(err, PST_ECALLBACK, "gather returned %d, expected 0 or a negative status",
                         rc);
    return rc < 0 ? pst__fail(err, rc, "gather: %s", pst_status_text(rc)) : PST_OK;
}

int pst_gather(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
               void *const *dst, struct pst_error *err)
{
    int rc = check_rows(dataset, indices, n, dst, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(!dataset->vtable.lengths, err,
                "pst_gather: rows are of different lengths, see pst_gather_padded()");
    return judge_rows(dataset->vtable.gather(dataset->self, indices, n, dst, err), err);
}

int pst_dataset_lengths(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                        int64_t *lengths, struct pst_error *err)
{
    int rc = check_rows(dataset, indices, n, lengths, err);
    if (rc < 0)
        return rc;
    memset(lengths, 0, (size_t)pst_dataset_fields(dataset, NULL, 0) * sizeof *lengths);
    if (n == 0 || !dataset->vtable.lengths)
        return PST_OK;
    return judge_rows(dataset->vtable.lengths(dataset->self, indices, n, lengths, err), err);
}

int pst_gather_padded(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                      const int64_t *lengths, void *const *dst, struct pst_error *err)
{
    if (!dataset->vtable.gather_padded)
        return pst_gather(dataset, indices, n, dst, err);
    int rc = check_rows(dataset, indices, n, dst, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(lengths, err, "pst_gather_padded: lengths is NULL");
    rc = dataset->vtable.gather_padded(dataset->self, indices, n, lengths, dst, err);
    return judge_rows(rc, err);
}

void pst_dataset_intend(const struct pst_dataset *dataset, const int64_t *indices, size_t n)
{
    /* In pieces without the indices that are not in the dataset. */
    for (size_t i = 0; dataset->vtable.intend && i < n;) {
        size_t first = i;
        while (i < n && is_within(dataset, indices[i]))
            i++;
        if (i > first)
            dataset->vtable.intend(dataset->self, indices + first, i - first);
        else
            i++;
    }
}
