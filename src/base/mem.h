/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_MEM_H
#define PST_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* The only place that allocates. Every block is aligned to PST_ALIGN, may be over-read by PST_PAD
 * bytes past its end, and is counted under its tag. */
#define PST_ALIGN 64
#define PST_PAD 64

enum pst__mem_tag {
    PST_MEM_HEAP,    /* handles, tables, indices */
    PST_MEM_RECORD,  /* encoded samples */
    PST_MEM_SCRATCH, /* working memory of a thread */
    PST_MEM_SLAB,    /* batches */
    PST_MEM_N_TAGS,
};

/* NULL when memory is out. size 0 gives a block that can be freed. */
void *pst__alloc(size_t size, enum pst__mem_tag tag) PST_NODISCARD;
void *pst__calloc(size_t n, size_t size,
                  enum pst__mem_tag tag) PST_NODISCARD; /* n * size is checked */
/* Keeps the content up to the smaller size; on failure the old block stays as it was. */
void *pst__realloc(void *block, size_t size, enum pst__mem_tag tag) PST_NODISCARD;
void pst__free(void *block); /* NULL is legal */

/* Whole pages for batches, in huge pages where the kernel has them; not zeroed for the second user.
 */
void *pst__map(size_t size) PST_NODISCARD;
void pst__unmap(void *block, size_t size);

int64_t pst__mem_live(enum pst__mem_tag tag); /* bytes */
int64_t pst__mem_blocks(void);                /* blocks of all tags that are not freed yet */

/* A block that only grows; zero-initialised means empty. */
struct pst__scratch {
    uint8_t *data;
    size_t size;
};
/* At least size bytes; the content is lost. NULL when memory is out (the old block is freed then).
 */
void *pst__scratch_reserve(struct pst__scratch *scratch, size_t size) PST_NODISCARD;
void pst__scratch_reset(struct pst__scratch *scratch);
/* After an image: a block that an unusual one has made larger than this is given back. */
#define PST_SCRATCH_KEEP ((size_t)8 << 20)
void pst__scratch_trim(struct pst__scratch *scratch);

#endif
