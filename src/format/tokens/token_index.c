/* SPDX-License-Identifier: Apache-2.0 */
#include "format/tokens/token_index.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/mem.h"

void pst__token_index_reset(struct pst__token_index *index)
{
    pst__free(index->ends);
    *index = (struct pst__token_index){0};
}

void pst__index_array_init(struct pst__index_array *array, const struct pst__reader *reader,
                           uint64_t offset, uint64_t n, uint32_t width)
{
    array->reader = reader;
    array->offset = offset;
    array->n = n;
    array->next = 0;
    array->width = width;
    array->held = 0;
}

static int fill(struct pst__index_array *array, struct pst_error *err)
{
    uint64_t left = array->n - array->next, most = sizeof array->bytes / array->width;
    uint32_t n = (uint32_t)(left < most ? left : most);
    const struct pst__reader *reader = array->reader;
    int rc = reader->read(reader->self, array->offset + array->next * array->width,
                          (size_t)n * array->width, array->bytes, err);
    if (rc < 0)
        return rc;
    array->held = n;
    array->at = array->bytes;
    return PST_OK;
}

int pst__index_array_next(struct pst__index_array *array, int64_t *item, struct pst_error *err)
{
    assert(array->next < array->n);
    int rc = array->held > 0 ? PST_OK : fill(array, err);
    if (rc < 0)
        return rc;
    struct pst__bytes bytes = pst__bytes_over(array->at, array->width);
    *item = array->width == 4 ? (int32_t)pst__bytes_le32(&bytes) : (int64_t)pst__bytes_le64(&bytes);
    array->at += array->width;
    array->held--;
    array->next++;
    return PST_OK;
}
