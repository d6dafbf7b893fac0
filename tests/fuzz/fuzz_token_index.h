/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_FUZZ_TOKEN_INDEX_H
#define PST_TESTS_FUZZ_TOKEN_INDEX_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/tokens/token_index.h"

/* An index of token files, read with its documents and without them. The first byte says which
 * comes first. */

typedef int read_index(struct pst__token_index *index, const struct pst__reader *reader,
                       int with_ends, struct pst_error *err);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

struct fuzz_bytes {
    uint8_t *data;
    size_t size;
};

static int read_bytes(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    const struct fuzz_bytes *bytes = self;
    (void)err;
    require(offset <= bytes->size && n <= bytes->size - offset, "a read outside of the file");
    if (n > 0)
        memcpy(out, bytes->data + offset, n);
    return PST_OK;
}

static void check_index(const struct pst__token_index *index, size_t size)
{
    require(index->n_documents <= size / 8, "more documents than the file has room for");
    uint64_t last = 0;
    for (uint64_t d = 0; index->ends && d < index->n_documents; d++) {
        require(index->ends[d] >= last, "a document of less than nothing");
        last = index->ends[d];
    }
    require(!index->ends || last == index->n_tokens, "tokens behind the last document");
}

static int read_checked(read_index *read, struct fuzz_bytes *bytes, int with_ends,
                        struct pst__token_index *index)
{
    struct pst_error err;
    struct pst__reader reader = {
        .shown = "index", .size = bytes->size, .read = read_bytes, .self = bytes};
    pst_error_init(&err);
    int rc = read(index, &reader, with_ends, &err);
    require(rc == PST_OK || (err.status == rc && err.message[0] && err.offset >= 0),
            "an error without a word or a place");
    require(rc == PST_OK || !index->ends, "memory with an error");
    if (rc == PST_OK)
        check_index(index, bytes->size);
    return rc;
}

static int fuzz_index(read_index *read, const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    int64_t blocks = pst__mem_blocks();
    /* Of the exact size, so that a read past the end is seen. */
    struct fuzz_bytes bytes = {malloc(size), size - 1};
    require(bytes.data != NULL, "memory is out");
    memcpy(bytes.data, data + 1, size - 1);
    struct pst__token_index index[2] = {{0}, {0}};
    int rc[2], first = data[0] & 1;
    for (int i = 0; i < 2; i++)
        rc[i ^ first] = read_checked(read, &bytes, i ^ first, &index[i ^ first]);
    /* What is whole has an end, too, and the same. */
    require(rc[1] < 0 || rc[0] == PST_OK, "an index whose end alone is bad");
    require(rc[1] < 0 ||
                (index[0].n_tokens == index[1].n_tokens &&
                 index[0].n_documents == index[1].n_documents && index[0].dtype == index[1].dtype),
            "another end without the documents");
    pst__token_index_reset(&index[0]);
    pst__token_index_reset(&index[1]);
    free(bytes.data);
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}

#endif
