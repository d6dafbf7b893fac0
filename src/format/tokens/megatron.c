/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include <penstock/tokens.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/tokens/token_index.h"

/* NAME.idx of Megatron, little-endian and not aligned:
 *
 *   9 bytes  "MMIDIDX\0\0"
 *   u64      version, 1
 *   u8       type of the tokens
 *   u64      sequences
 *   u64      documents, and one
 *   i32      length of each sequence, in tokens
 *   i64      where each begins in NAME.bin, in bytes
 *   i64      first sequence of each document; and of the end
 *   i8       mode of each sequence; these may be left out
 *
 * The sequences of NAME.bin are one after another from its beginning. */
#define MAGIC "MMIDIDX\0"
#define HEADER 34
#define AT_VERSION 9
#define AT_TYPE 17
#define AT_SEQUENCES 18
#define AT_DOCUMENTS 26

struct megatron {
    const struct pst__reader *reader;
    uint64_t n_sequences, n_bounds; /* n_bounds: documents and one */
    uint64_t pointers, bounds;      /* where these arrays begin */
    uint64_t token_size;
};

static int dtype_of(uint8_t code)
{
    static const uint8_t dtypes[] = {0,       PST_U8,  PST_I8,  PST_I16, PST_I32,
                                     PST_I64, PST_F64, PST_F32, PST_U16};
    return code < sizeof dtypes ? dtypes[code] : 0;
}

/* Where the arrays are, and that the file is as long as they are. */
static int measure(struct megatron *megatron, struct pst_error *err)
{
    const struct pst__reader *reader = megatron->reader;
    uint64_t n = megatron->n_sequences, lengths, pointers, bounds, end = 0;
    int is_over = __builtin_mul_overflow(n, 4, &lengths) ||
                  __builtin_mul_overflow(n, 8, &pointers) ||
                  __builtin_mul_overflow(megatron->n_bounds, 8, &bounds) ||
                  __builtin_add_overflow(HEADER, lengths, &megatron->pointers) ||
                  __builtin_add_overflow(megatron->pointers, pointers, &megatron->bounds) ||
                  __builtin_add_overflow(megatron->bounds, bounds, &end);
    if (is_over || end > reader->size)
        return pst__fail_at(err, PST_ETRUNCATED, AT_SEQUENCES,
                            "'%s' has %" PRIu64 " bytes, too few for %" PRIu64
                            " sequences and %" PRIu64 " bounds of documents",
                            reader->shown, reader->size, n, megatron->n_bounds);
    if (reader->size - end != 0 && reader->size - end != n)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)end,
                            "'%s' has %" PRIu64
                            " bytes behind its arrays, expected none or %" PRIu64,
                            reader->shown, reader->size - end, n);
    return PST_OK;
}

static int read_header(struct megatron *megatron, struct pst__token_index *index,
                       struct pst_error *err)
{
    const struct pst__reader *reader = megatron->reader;
    uint8_t header[HEADER];
    if (reader->size < HEADER)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)reader->size,
                            "'%s' has %" PRIu64 " bytes, expected a header of %d", reader->shown,
                            reader->size, HEADER);
    int rc = reader->read(reader->self, 0, HEADER, header, err);
    if (rc < 0)
        return rc;
    if (memcmp(header, MAGIC, AT_VERSION) != 0)
        return pst__fail_at(err, PST_EFORMAT, 0, "'%s' does not begin with MMIDIDX", reader->shown);
    struct pst__bytes bytes = pst__bytes_over(header + AT_VERSION, HEADER - AT_VERSION);
    uint64_t version = pst__bytes_le64(&bytes);
    uint8_t code = pst__bytes_u8(&bytes);
    megatron->n_sequences = pst__bytes_le64(&bytes);
    megatron->n_bounds = pst__bytes_le64(&bytes);
    if (version != 1)
        return pst__fail_at(err, PST_EUNSUPPORTED, AT_VERSION,
                            "'%s' is of version %" PRIu64 ", expected 1", reader->shown, version);
    index->dtype = dtype_of(code);
    megatron->token_size = pst_dtype_size(index->dtype);
    if (index->dtype == 0 || index->dtype == PST_F64 || index->dtype == PST_F32)
        return pst__fail_at(err, index->dtype ? PST_EUNSUPPORTED : PST_EFORMAT, AT_TYPE,
                            "'%s' has tokens of type %d, expected one of the integers (1 to 5, 8)",
                            reader->shown, code);
    if (megatron->n_bounds == 0)
        return pst__fail_at(err, PST_EFORMAT, AT_DOCUMENTS,
                            "'%s' has no bounds of documents, expected one or more", reader->shown);
    index->n_documents = megatron->n_bounds - 1;
    return measure(megatron, err);
}

/* One item of an array. */
static int item_at(const struct megatron *megatron, uint64_t offset, uint32_t width, int64_t *item,
                   struct pst_error *err)
{
    struct pst__index_array array;
    pst__index_array_init(&array, megatron->reader, offset, 1, width);
    return pst__index_array_next(&array, item, err);
}

/* A sequence of `length` tokens begins at byte `pointer`, which has to be *end; moves *end behind
 * it. */
static int check_sequence(const struct megatron *megatron, uint64_t s, int64_t length,
                          int64_t pointer, uint64_t *end, struct pst_error *err)
{
    const char *shown = megatron->reader->shown;
    uint64_t size;
    if (length < 0)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)(HEADER + 4 * s),
                            "'%s': sequence %" PRIu64 " has %" PRId64 " tokens", shown, s, length);
    if (pointer < 0 || (uint64_t)pointer != *end)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)(megatron->pointers + 8 * s),
                            "'%s': sequence %" PRIu64 " begins at byte %" PRId64
                            ", expected %" PRIu64,
                            shown, s, pointer, *end);
    if (__builtin_mul_overflow((uint64_t)length, megatron->token_size, &size) ||
        __builtin_add_overflow(*end, size, end) || *end > INT64_MAX)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)(HEADER + 4 * s),
                            "'%s': sequence %" PRIu64 " of %" PRId64 " tokens has no end", shown, s,
                            length);
    return PST_OK;
}

static int check_bound(const struct megatron *megatron, uint64_t d, int64_t bound, uint64_t least,
                       uint64_t most, struct pst_error *err)
{
    if (bound >= 0 && (uint64_t)bound >= least && (uint64_t)bound <= most)
        return PST_OK;
    return pst__fail_at(err, PST_EFORMAT, (int64_t)(megatron->bounds + 8 * d),
                        "'%s': bound %" PRIu64 " of the documents is sequence %" PRId64
                        ", expected %" PRIu64 " to %" PRIu64,
                        megatron->reader->shown, d, bound, least, most);
}

/* What the last sequence and the outer bounds say. */
static int read_ends_only(const struct megatron *megatron, struct pst__token_index *index,
                          struct pst_error *err)
{
    uint64_t n = megatron->n_sequences, last = megatron->n_bounds - 1, end = 0;
    int64_t first_bound, last_bound, length, pointer;
    int rc;
    if ((rc = item_at(megatron, megatron->bounds, 8, &first_bound, err)) < 0 ||
        (rc = check_bound(megatron, 0, first_bound, 0, 0, err)) < 0 ||
        (rc = item_at(megatron, megatron->bounds + 8 * last, 8, &last_bound, err)) < 0 ||
        (rc = check_bound(megatron, last, last_bound, n, n, err)) < 0)
        return rc;
    if (n > 0) {
        if ((rc = item_at(megatron, HEADER + 4 * (n - 1), 4, &length, err)) < 0 ||
            (rc = item_at(megatron, megatron->pointers + 8 * (n - 1), 8, &pointer, err)) < 0)
            return rc;
        end = pointer > 0 ? (uint64_t)pointer / megatron->token_size * megatron->token_size : 0;
        if ((rc = check_sequence(megatron, n - 1, length, pointer, &end, err)) < 0)
            return rc;
    }
    index->n_tokens = end / megatron->token_size;
    return PST_OK;
}

struct arrays {
    struct pst__index_array lengths, pointers, bounds;
};

static int read_all(const struct megatron *megatron, struct arrays *arrays,
                    struct pst__token_index *index, struct pst_error *err)
{
    uint64_t n = megatron->n_sequences, last = megatron->n_bounds - 1, s = 0, end = 0;
    pst__index_array_init(&arrays->lengths, megatron->reader, HEADER, n, 4);
    pst__index_array_init(&arrays->pointers, megatron->reader, megatron->pointers, n, 8);
    pst__index_array_init(&arrays->bounds, megatron->reader, megatron->bounds, megatron->n_bounds,
                          8);
    for (uint64_t d = 0; d <= last; d++) {
        int64_t bound, length, pointer;
        int rc = pst__index_array_next(&arrays->bounds, &bound, err);
        if (rc < 0 ||
            (rc = check_bound(megatron, d, bound, d == last ? n : s, d == 0 ? 0 : n, err)) < 0)
            return rc;
        for (; s < (uint64_t)bound; s++)
            if ((rc = pst__index_array_next(&arrays->lengths, &length, err)) < 0 ||
                (rc = pst__index_array_next(&arrays->pointers, &pointer, err)) < 0 ||
                (rc = check_sequence(megatron, s, length, pointer, &end, err)) < 0)
                return rc;
        if (d > 0)
            index->ends[d - 1] = end / megatron->token_size;
    }
    index->n_tokens = end / megatron->token_size;
    return PST_OK;
}

static int read_arrays(const struct megatron *megatron, struct pst__token_index *index,
                       struct pst_error *err)
{
    struct arrays *arrays = pst__alloc(sizeof *arrays, PST_MEM_HEAP);
    index->ends = pst__calloc((size_t)index->n_documents, sizeof *index->ends, PST_MEM_HEAP);
    int rc;
    if (!arrays || !index->ends)
        rc = pst__fail(err, PST_ENOMEM, "no memory for the %" PRIu64 " documents of '%s'",
                       index->n_documents, megatron->reader->shown);
    else
        rc = read_all(megatron, arrays, index, err);
    pst__free(arrays);
    return rc;
}

int pst__megatron_read(struct pst__token_index *index, const struct pst__reader *reader,
                       int with_ends, struct pst_error *err)
{
    struct megatron megatron = {.reader = reader};
    *index = (struct pst__token_index){0};
    int rc = read_header(&megatron, index, err);
    if (rc == PST_OK)
        rc = with_ends ? read_arrays(&megatron, index, err) : read_ends_only(&megatron, index, err);
    if (rc < 0)
        pst__token_index_reset(index);
    return rc;
}
