/* SPDX-License-Identifier: Apache-2.0 */
#include "format/rows/row_steps.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/rows/columns.h"
#include "format/dataset.h"
#include "format/rows/row_plan.h"
#include "format/self.h"

#define SHOWN 320
/* Rows that wait for their steps: so many bytes, or one row. From 128 KiB on memory has pages of
 * its own (base/mem.c), and each call would fault them in anew. */
#define PIECE ((size_t)64 << 10)
#define ON_STACK 4096

struct steps {
    struct pst_dataset *rows; /* a reference */
    int n_fields;
    struct pst_field *fields;
    struct pst__row_plan **plans; /* NULL for a field that stays as it is */
    size_t *in_bytes, *out_bytes; /* of a row of a field; where lengths differ, of length 1 */
};

static int is_varying(const struct steps *steps, int f)
{
    return steps->fields[f].ndim > 0 && steps->fields[f].shape[0] == -1;
}

static int64_t steps_length(void *self)
{
    return pst_dataset_length(((struct steps *)self)->rows);
}

static int steps_fields(void *self, struct pst_field *fields, int most)
{
    const struct steps *steps = self;
    for (int f = 0; f < steps->n_fields && f < most; f++)
        fields[f] = steps->fields[f];
    return steps->n_fields;
}

static void steps_intend(void *self, const int64_t *indices, size_t n)
{
    pst_dataset_intend(((struct steps *)self)->rows, indices, n);
}

/* --- rows
 * -------------------------------------------------------------------------------------------- */

/* The rows of one call. */
struct call {
    const int64_t *lengths;
    size_t in_bytes[PST_MAX_FIELDS], out_bytes[PST_MAX_FIELDS];
    size_t waiting; /* bytes of a row's fields that have steps */
};

struct piece {
    const struct call *call;
    const int64_t *indices;
    size_t n;
    uint8_t *dst[PST_MAX_FIELDS]; /* as they are to be */
    void *from[PST_MAX_FIELDS];   /* as they are; the same where nothing becomes of them */
};

static int class_fails(const struct steps *steps, int f, const struct piece *piece,
                       const struct pst__row_fault *fault, struct pst_error *err)
{
    char path[SHOWN] = "", name[SHOWN];
    const char *file = pst__columns_path(steps->rows, (size_t)f);
    int64_t length = is_varying(steps, f) ? piece->call->lengths[f] : 1;
    int64_t row = piece->indices[fault->row / length];
    if (file)
        pst__printable(path, sizeof path, file);
    pst__printable(name, sizeof name, steps->fields[f].name);
    pst__fail(err, PST_EFORMAT,
              "%s%s%srow %" PRId64 " of field '%s': class %" PRId64
              " is not in range, 0 to %" PRId64 " expected (OneHot)",
              file ? "'" : "", path, file ? "': " : "", row, name, fault->value,
              steps->plans[f]->classes - 1);
    if (err)
        err->record = row;
    return PST_EFORMAT;
}

static int gather_piece(const struct steps *steps, const struct piece *piece, struct pst_error *err)
{
    const int64_t *lengths = piece->call->lengths;
    int rc = pst_gather_padded(steps->rows, piece->indices, piece->n, lengths, piece->from, err);
    for (int f = 0; rc == PST_OK && f < steps->n_fields; f++) {
        struct pst__row_fault fault;
        int64_t n = (int64_t)piece->n * (is_varying(steps, f) ? lengths[f] : 1);
        if (steps->plans[f] &&
            pst__row_run(steps->plans[f], piece->from[f], n, piece->dst[f], &fault) < 0)
            rc = class_fails(steps, f, piece, &fault, err);
    }
    return rc;
}

/* most: rows that `waiting` has room for. */
static int gather_pieces(const struct steps *steps, const struct call *call, const int64_t *indices,
                         size_t n, void *const *dst, uint8_t *waiting, size_t most,
                         struct pst_error *err)
{
    for (size_t done = 0; done < n; done += most) {
        struct piece piece = {call, indices + done, n - done < most ? n - done : most, {0}, {0}};
        uint8_t *next = waiting;
        for (int f = 0; f < steps->n_fields; f++) {
            piece.dst[f] = (uint8_t *)dst[f] + done * call->out_bytes[f];
            piece.from[f] = steps->plans[f] ? next : piece.dst[f];
            if (steps->plans[f])
                next += piece.n * call->in_bytes[f];
        }
        int rc = gather_piece(steps, &piece, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

static int call_init(struct call *call, const struct steps *steps, const int64_t *lengths,
                     struct pst_error *err)
{
    call->lengths = lengths;
    call->waiting = 0;
    for (int f = 0; f < steps->n_fields; f++) {
        size_t length = is_varying(steps, f) ? (size_t)lengths[f] : 1, *in = &call->in_bytes[f];
        if (__builtin_mul_overflow(steps->in_bytes[f], length, in) ||
            __builtin_mul_overflow(steps->out_bytes[f], length, &call->out_bytes[f]) ||
            (steps->plans[f] && __builtin_add_overflow(call->waiting, *in, &call->waiting)))
            return pst__fail(err, PST_ELIMIT, "rows of %zu items are too long", length);
    }
    return PST_OK;
}

static int steps_gather_padded(void *self, const int64_t *indices, size_t n, const int64_t *lengths,
                               void *const *dst, struct pst_error *err)
{
    const struct steps *steps = self;
    uint8_t few[ON_STACK], *waiting = few;
    struct call call;
    int rc = call_init(&call, steps, lengths, err);
    if (rc < 0 || n == 0)
        return rc;
    size_t one = call.waiting > 0 ? call.waiting : 1, most = PIECE / one;
    if (most < 1)
        most = 1;
    if (most > n)
        most = n;
    if (most * one > sizeof few)
        waiting = pst__alloc(most * one, PST_MEM_SCRATCH);
    if (!waiting)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu rows in front of their steps", most);
    rc = gather_pieces(steps, &call, indices, n, dst, waiting, most, err);
    if (waiting != few)
        pst__free(waiting);
    return rc;
}

static int steps_gather(void *self, const int64_t *indices, size_t n, void *const *dst,
                        struct pst_error *err)
{
    return steps_gather_padded(self, indices, n, NULL, dst, err);
}

static int steps_lengths(void *self, const int64_t *indices, size_t n, int64_t *lengths,
                         struct pst_error *err)
{
    return pst_dataset_lengths(((struct steps *)self)->rows, indices, n, lengths, err);
}

/* --- the dataset
 * -------------------------------------------------------------------------------------- */

static int64_t steps_memory(void *self)
{
    const struct steps *steps = self;
    return (int64_t)pst__dataset_memory(steps->rows);
}

static void steps_close(void *self)
{
    struct steps *steps = self;
    for (int f = 0; steps->plans && f < steps->n_fields; f++)
        if (steps->plans[f]) {
            pst__row_plan_reset(steps->plans[f]);
            pst__free(steps->plans[f]);
        }
    pst__free(steps->fields);
    pst__free(steps->plans);
    pst__free(steps->in_bytes);
    pst__free(steps->out_bytes);
    pst_dataset_unref(steps->rows);
    pst__free(steps);
}

static int make_dataset(struct pst_dataset **out, struct steps *steps, struct pst_error *err)
{
    struct pst_dataset_vtable vtable = {
        .struct_size = sizeof vtable,
        .length = steps_length,
        .close = steps_close,
        .fields = steps_fields,
        .gather = steps_gather,
        .intend = steps_intend,
        .memory = steps_memory,
    };
    for (int f = 0; f < steps->n_fields; f++)
        if (is_varying(steps, f)) {
            vtable.lengths = steps_lengths;
            vtable.gather_padded = steps_gather_padded;
        }
    return pst_dataset_new(out, &vtable, steps, err);
}

const struct pst_dataset *pst__row_steps_under(const struct pst_dataset *dataset)
{
    const struct steps *steps = pst__dataset_self(dataset, steps_close);
    return steps ? steps->rows : NULL;
}

static int allocate(struct steps *steps, size_t n)
{
    steps->fields = pst__calloc(n, sizeof *steps->fields, PST_MEM_HEAP);
    steps->plans = pst__calloc(n, sizeof *steps->plans, PST_MEM_HEAP);
    steps->in_bytes = pst__calloc(n, sizeof *steps->in_bytes, PST_MEM_HEAP);
    steps->out_bytes = pst__calloc(n, sizeof *steps->out_bytes, PST_MEM_HEAP);
    steps->n_fields = (int)n;
    return steps->fields && steps->plans && steps->in_bytes && steps->out_bytes;
}

static int field_named(const struct steps *steps, const char *name)
{
    for (int f = 0; name && f < steps->n_fields; f++)
        if (strcmp(steps->fields[f].name, name) == 0)
            return f;
    return -1;
}

static int add_plan(struct steps *steps, const struct pst_field_steps *given, struct pst_error *err)
{
    char shown[SHOWN];
    int f = field_named(steps, given->field);
    pst__printable(shown, sizeof shown, given->field ? given->field : "");
    PST_REQUIRE(f >= 0, err, "there are steps for a field '%s', which there is not", shown);
    PST_REQUIRE(!steps->plans[f], err, "there are steps for field '%s' twice", shown);
    PST_REQUIRE(given->steps || given->n == 0, err, "steps of field '%s' are NULL", shown);
    steps->plans[f] = pst__calloc(1, sizeof *steps->plans[f], PST_MEM_HEAP);
    if (!steps->plans[f])
        return pst__fail(err, PST_ENOMEM, "no memory for the steps of field '%s'", shown);
    struct pst_field before = steps->fields[f];
    int rc = pst__row_plan_init(steps->plans[f], &before, given->steps, given->n, err);
    if (rc < 0)
        return rc;
    steps->fields[f] = steps->plans[f]->out;
    return PST_OK;
}

static size_t row_bytes(const struct pst_field *field)
{
    size_t bytes = pst_dtype_size(field->dtype);
    for (int d = field->ndim > 0 && field->shape[0] == -1; d < field->ndim; d++)
        bytes *= (size_t)field->shape[d];
    return bytes;
}

static int steps_init(struct steps *steps, const struct pst_field_steps *fields, size_t n,
                      struct pst_error *err)
{
    pst_dataset_fields(steps->rows, steps->fields, steps->n_fields);
    for (int f = 0; f < steps->n_fields; f++)
        steps->in_bytes[f] = row_bytes(&steps->fields[f]);
    for (size_t i = 0; i < n; i++) {
        int rc = add_plan(steps, &fields[i], err);
        if (rc < 0)
            return rc;
    }
    for (int f = 0; f < steps->n_fields; f++)
        steps->out_bytes[f] = row_bytes(&steps->fields[f]);
    return PST_OK;
}

int pst_steps_open(struct pst_dataset **out, struct pst_dataset *rows,
                   const struct pst_field_steps *fields, size_t n, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_steps_open: out is NULL");
    *out = NULL;
    int n_fields = rows ? pst_dataset_fields(rows, NULL, 0) : 0;
    PST_REQUIRE(n_fields > 0 && n_fields <= PST_MAX_FIELDS, err,
                "pst_steps_open: the dataset is not of rows");
    PST_REQUIRE(fields || n == 0, err, "pst_steps_open: fields is NULL");
    struct steps *steps = pst__calloc(1, sizeof *steps, PST_MEM_HEAP);
    if (!steps)
        return pst__fail(err, PST_ENOMEM, "no memory for a dataset of steps");
    steps->rows = pst_dataset_ref(rows);
    int rc = allocate(steps, (size_t)n_fields)
                 ? steps_init(steps, fields, n, err)
                 : pst__fail(err, PST_ENOMEM, "no memory for the steps of %d fields", n_fields);
    if (rc == PST_OK)
        rc = make_dataset(out, steps, err);
    if (rc < 0)
        steps_close(steps);
    return rc;
}
