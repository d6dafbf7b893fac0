/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include <penstock/tokens.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/tokens/token_index.h"

/* The ends of the documents as u64, counted in tokens from the beginning of the file; nothing
 * else. */
#define WIDTH 8

static int read_ends(struct pst__token_index *index, const struct pst__reader *reader,
                     uint64_t first, struct pst_error *err)
{
    struct pst__index_array array;
    pst__index_array_init(&array, reader, first * WIDTH, index->n_documents - first, WIDTH);
    uint64_t last = 0;
    for (uint64_t d = first; d < index->n_documents; d++) {
        int64_t end;
        int rc = pst__index_array_next(&array, &end, err);
        if (rc < 0)
            return rc;
        if (end < 0 || (uint64_t)end < last)
            return pst__fail_at(err, PST_EFORMAT, (int64_t)(d * WIDTH),
                                "'%s': document %" PRIu64 " ends at token %" PRIu64
                                ", expected %" PRIu64 " or more",
                                reader->shown, d, (uint64_t)end, last);
        last = (uint64_t)end;
        if (index->ends)
            index->ends[d] = last;
    }
    index->n_tokens = last;
    return PST_OK;
}

int pst__datatrove_read(struct pst__token_index *index, const struct pst__reader *reader,
                        int with_ends, struct pst_error *err)
{
    *index = (struct pst__token_index){.n_documents = reader->size / WIDTH};
    if (reader->size % WIDTH != 0)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)(index->n_documents * WIDTH),
                            "'%s' has %" PRIu64 " bytes, expected a multiple of %d", reader->shown,
                            reader->size, WIDTH);
    if (with_ends) {
        index->ends = pst__calloc((size_t)index->n_documents, sizeof *index->ends, PST_MEM_HEAP);
        if (!index->ends)
            return pst__fail(err, PST_ENOMEM, "no memory for the %" PRIu64 " documents of '%s'",
                             index->n_documents, reader->shown);
    }
    uint64_t first = with_ends || index->n_documents == 0 ? 0 : index->n_documents - 1;
    int rc = read_ends(index, reader, first, err);
    if (rc < 0)
        pst__token_index_reset(index);
    return rc;
}
