/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdatomic.h>
#include <string.h>

#include "base/sys.h"

/* A block is [header][size bytes][PST_PAD bytes]. The header fills one PST_ALIGN so that the block
 * keeps the alignment; the padding is zeroed so that what a kernel over-reads is always the same.
 */
struct header {
    size_t size;
    enum pst__mem_tag tag;
};
_Static_assert(sizeof(struct header) <= PST_ALIGN, "the header fits before the block");

/* From this size on a block is pages of its own. malloc would keep what is freed of such blocks,
 * each thread's heap for itself, and the more the larger they were: memory that no budget knows of.
 * Not where the address sanitizer is to see the block's ends. */
#ifdef __SANITIZE_ADDRESS__
#define PAGES_FROM SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGES_FROM SIZE_MAX
#endif
#endif
#ifndef PAGES_FROM
#define PAGES_FROM ((size_t)1 << 17)
#endif

/* Relaxed: only sums are read, nothing is ordered by them. */
static _Atomic int64_t live[PST_MEM_N_TAGS];
static _Atomic int64_t blocks;

static void count(enum pst__mem_tag tag, int64_t bytes, int64_t n)
{
    atomic_fetch_add_explicit(&live[tag], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&blocks, n, memory_order_relaxed);
}

static struct header *header_of(void *block)
{
    return (struct header *)((uint8_t *)block - PST_ALIGN);
}

void *pst__alloc(size_t size, enum pst__mem_tag tag)
{
    /* Above it pointer differences within a block would overflow. */
    if (size > PTRDIFF_MAX - PST_ALIGN - PST_PAD)
        return NULL;
    size_t whole = PST_ALIGN + size + PST_PAD;
    uint8_t *raw = size < PAGES_FROM ? pst__sys_malloc(whole) : pst__sys_malloc_pages(whole);
    if (!raw)
        return NULL;
    *(struct header *)raw = (struct header){.size = size, .tag = tag};
    if (size < PAGES_FROM)
        memset(raw + PST_ALIGN + size, 0, PST_PAD);
    count(tag, (int64_t)size, 1);
    return raw + PST_ALIGN;
}

void *pst__calloc(size_t n, size_t size, enum pst__mem_tag tag)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *block = pst__alloc(total, tag);
    if (block && total < PAGES_FROM)
        memset(block, 0, total);
    return block;
}

void *pst__realloc(void *block, size_t size, enum pst__mem_tag tag)
{
    void *fresh = pst__alloc(size, tag);
    if (!fresh || !block)
        return fresh;
    size_t old = header_of(block)->size;
    memcpy(fresh, block, old < size ? old : size);
    pst__free(block);
    return fresh;
}

void pst__free(void *block)
{
    if (!block)
        return;
    struct header *header = header_of(block);
    size_t size = header->size;
    count(header->tag, -(int64_t)size, -1);
    if (size < PAGES_FROM)
        pst__sys_free(header);
    else
        pst__sys_munmap(header, PST_ALIGN + size + PST_PAD);
}

void *pst__map(size_t size)
{
    if (size > PTRDIFF_MAX - PST_PAD)
        return NULL;
    void *block = pst__sys_mmap(size + PST_PAD);
    if (block)
        count(PST_MEM_SLAB, (int64_t)size, 1);
    return block;
}

void pst__unmap(void *block, size_t size)
{
    if (!block)
        return;
    count(PST_MEM_SLAB, -(int64_t)size, -1);
    pst__sys_munmap(block, size + PST_PAD);
}

int64_t pst__mem_live(enum pst__mem_tag tag)
{
    return atomic_load_explicit(&live[tag], memory_order_relaxed);
}

int64_t pst__mem_blocks(void)
{
    return atomic_load_explicit(&blocks, memory_order_relaxed);
}

void *pst__scratch_reserve(struct pst__scratch *scratch, size_t size)
{
    if (scratch->data && scratch->size >= size)
        return scratch->data;
    /* Half as much again, so that sizes that creep up do not allocate every time. */
    size_t grown = scratch->size + scratch->size / 2;
    if (grown < size)
        grown = size;
    pst__scratch_reset(scratch);
    scratch->data = pst__alloc(grown, PST_MEM_SCRATCH);
    if (!scratch->data && grown > size)
        scratch->data = pst__alloc(grown = size, PST_MEM_SCRATCH);
    if (scratch->data)
        scratch->size = grown;
    return scratch->data;
}

void pst__scratch_reset(struct pst__scratch *scratch)
{
    pst__free(scratch->data);
    *scratch = (struct pst__scratch){0};
}

void pst__scratch_trim(struct pst__scratch *scratch)
{
    if (scratch->size > PST_SCRATCH_KEEP)
        pst__scratch_reset(scratch);
}
