/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_SUPPLIED_MEMORY_H
#define PST_TESTS_SUPPLIED_MEMORY_H

#include <penstock/loader.h>

#include "base/mem.h"
#include "check.h"

/* Memory that tests give to batches. A block is of exactly its size and is freed when it is given
 * back, so that the sanitizers see who writes beside it or too late. */

static int n_lent, n_back;

static inline void give_back(void *block)
{
    n_back++;
    free(block);
}

static inline struct pst_buffer *lend(size_t size)
{
    struct pst_buffer *buffer;
    void *block = aligned_alloc(PST_ALIGN, (size + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN);
    CHECK(block);
    CHECK_INT(pst_buffer_wrap(&buffer, block, size, give_back, block, NULL), PST_OK);
    n_lent++;
    return buffer;
}

static inline int is_lent(const struct pst_tensor *tensor)
{
    void *block = pst_buffer_opaque(tensor->buffer, give_back);
    CHECK(!block || (uint8_t *)tensor->data >= (uint8_t *)block);
    return block != NULL;
}

/* Every batch that wants memory gets some; how many did. */
static inline int supply_all(struct pst_loader *loader)
{
    uint64_t ticket;
    size_t bytes;
    int n = 0;
    while (pst_loader_wanted(loader, &ticket, &bytes, NULL) == PST_OK) {
        struct pst_buffer *memory = lend(bytes);
        CHECK_INT(pst_loader_supply(loader, ticket, memory, NULL), PST_OK);
        pst_buffer_unref(memory);
        n++;
    }
    return n;
}

static inline int64_t slab_bytes(struct pst_loader *loader)
{
    struct pst_stats stats = {.struct_size = sizeof stats};
    CHECK_INT(pst_loader_stats(loader, &stats, NULL), PST_OK);
    return stats.slab_bytes;
}

#endif
