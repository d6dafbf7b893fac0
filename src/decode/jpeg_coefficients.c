/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/jpeg_coefficients.h"

#include <jerror.h>

#include "base/mem.h"

/* Three methods of libjpeg's memory manager, by which it keeps one array of blocks for each
 * component. It has whole rows of an array at a time, by pointers to them; who holds such an array
 * never looks into it. */

struct pst__jpeg_array {
    struct pst__jpeg_array *next;
    JDIMENSION width, n_rows; /* in blocks */
    JDIMENSION most_rows;     /* of one access */
    JBLOCKARRAY rows;         /* NULL until it is realized */
};

static struct pst__jpeg_coefficients *coefficients_of(j_common_ptr cinfo)
{
    return cinfo->client_data;
}

static size_t bytes_of(const struct pst__jpeg_array *array)
{
    return (size_t)array->width * array->n_rows * sizeof(JBLOCK);
}

/* All begin as zeros, whether it was asked for or not. */
static jvirt_barray_ptr request(j_common_ptr cinfo, int pool, boolean is_zeroed, JDIMENSION width,
                                JDIMENSION n_rows, JDIMENSION most_rows)
{
    (void)is_zeroed;
    struct pst__jpeg_coefficients *coefficients = coefficients_of(cinfo);
    struct pst__jpeg_array *array = cinfo->mem->alloc_small(cinfo, pool, sizeof *array);
    *array = (struct pst__jpeg_array){coefficients->first, width, n_rows, most_rows, NULL};
    coefficients->first = array;
    return (jvirt_barray_ptr)array;
}

static void place(j_common_ptr cinfo, struct pst__jpeg_array *array, JBLOCK *blocks)
{
    array->rows = cinfo->mem->alloc_large(cinfo, JPOOL_IMAGE, array->n_rows * sizeof(JBLOCKROW));
    for (JDIMENSION y = 0; y < array->n_rows; y++)
        array->rows[y] = blocks + (size_t)y * array->width;
}

static void realize(j_common_ptr cinfo)
{
    struct pst__jpeg_coefficients *coefficients = coefficients_of(cinfo);
    coefficients->realize_others(cinfo);
    size_t bytes = 0;
    for (const struct pst__jpeg_array *array = coefficients->first; array; array = array->next)
        bytes += bytes_of(array);
    if (bytes == 0)
        return;
    uint8_t *block = pst__calloc(1, bytes, PST_MEM_SCRATCH);
    if (!block)
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
    coefficients->block = block;
    for (struct pst__jpeg_array *array = coefficients->first; array; array = array->next) {
        place(cinfo, array, (JBLOCK *)block);
        block += bytes_of(array);
    }
}

static JBLOCKARRAY give_rows(j_common_ptr cinfo, jvirt_barray_ptr handle, JDIMENSION first,
                             JDIMENSION n, boolean is_writable)
{
    (void)is_writable;
    const struct pst__jpeg_array *array = (const struct pst__jpeg_array *)handle;
    if (!array->rows || n > array->most_rows || n > array->n_rows || first > array->n_rows - n)
        ERREXIT(cinfo, JERR_BAD_VIRTUAL_ACCESS);
    return array->rows + first;
}

void pst__jpeg_coefficients_connect(struct jpeg_decompress_struct *cinfo)
{
    struct pst__jpeg_coefficients *coefficients = cinfo->client_data;
    struct jpeg_memory_mgr *memory = cinfo->mem;
    coefficients->realize_others = memory->realize_virt_arrays;
    memory->realize_virt_arrays = realize;
    memory->request_virt_barray = request;
    memory->access_virt_barray = give_rows;
}

void pst__jpeg_coefficients_reset(struct pst__jpeg_coefficients *coefficients)
{
    pst__free(coefficients->block);
    *coefficients = (struct pst__jpeg_coefficients){0};
}
