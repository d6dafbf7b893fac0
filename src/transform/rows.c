/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/transform.h"

int pst__memory_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                     struct pst_error *err)
{
    struct pst__memory_rows *memory = self;
    (void)err;
    *n_rows = max_rows < memory->left ? max_rows : memory->left;
    *rows = memory->next;
    *stride = memory->stride;
    memory->next += *n_rows * memory->stride;
    memory->left -= *n_rows;
    return PST_OK;
}
