/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <errno.h>
#include <sys/mman.h>

#include "check.h"

static void blocks_are_aligned_padded_counted(void)
{
    int64_t blocks = pst__mem_blocks();
    for (size_t size = 0; size < 300; size++) {
        int64_t live = pst__mem_live(PST_MEM_RECORD);
        uint8_t *block = pst__alloc(size, PST_MEM_RECORD);
        CHECK(block);
        CHECK_INT((uintptr_t)block % PST_ALIGN, 0);
        memset(block, 0xff, size);
        for (size_t i = 0; i < PST_PAD; i++)
            CHECK_INT(block[size + i], 0);
        CHECK_INT(pst__mem_live(PST_MEM_RECORD), live + (int64_t)size);
        CHECK_INT(pst__mem_blocks(), blocks + 1);
        pst__free(block);
        CHECK_INT(pst__mem_live(PST_MEM_RECORD), live);
    }
    pst__free(NULL);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void sizes_that_overflow(void)
{
    int64_t blocks = pst__mem_blocks();
    CHECK(!pst__alloc(SIZE_MAX, PST_MEM_HEAP));
    CHECK(!pst__alloc(SIZE_MAX - 63, PST_MEM_HEAP));
    CHECK(!pst__alloc((size_t)PTRDIFF_MAX, PST_MEM_HEAP));
    CHECK(!pst__calloc(SIZE_MAX / 2 + 1, 2, PST_MEM_HEAP));
    CHECK(!pst__calloc((size_t)1 << 33, (size_t)1 << 33, PST_MEM_HEAP));
    CHECK(!pst__map(SIZE_MAX));
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void calloc_zeroes(void)
{
    uint8_t *block = pst__calloc(7, 11, PST_MEM_HEAP);
    CHECK(block);
    for (int i = 0; i < 77; i++)
        CHECK_INT(block[i], 0);
    pst__free(block);
}

static void realloc_keeps_content(void)
{
    int64_t blocks = pst__mem_blocks(), heap = pst__mem_live(PST_MEM_HEAP);
    uint8_t *block = pst__realloc(NULL, 10, PST_MEM_HEAP);
    CHECK(block);
    for (uint8_t i = 0; i < 10; i++)
        block[i] = i;
    block = pst__realloc(block, 1000, PST_MEM_SCRATCH);
    CHECK(block);
    CHECK_INT(pst__mem_live(PST_MEM_HEAP), heap);
    CHECK_INT(pst__mem_live(PST_MEM_SCRATCH), 1000);
    block = pst__realloc(block, 4, PST_MEM_SCRATCH);
    CHECK(block);
    for (uint8_t i = 0; i < 4; i++)
        CHECK_INT(block[i], i);
    CHECK(!pst__realloc(block, SIZE_MAX, PST_MEM_SCRATCH));
    CHECK_INT(block[3], 3);
    pst__free(block);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void maps(void)
{
    int64_t blocks = pst__mem_blocks();
    size_t sizes[] = {1, 4096, (size_t)5 << 20};
    for (size_t i = 0; i < 3; i++) {
        uint8_t *block = pst__map(sizes[i]);
        CHECK(block);
        CHECK_INT((uintptr_t)block % 4096, 0);
        CHECK_INT(block[0] + block[sizes[i] - 1] + block[sizes[i] + PST_PAD - 1], 0);
        memset(block, 1, sizes[i]);
        CHECK_INT(pst__mem_live(PST_MEM_SLAB), (int64_t)sizes[i]);
        pst__unmap(block, sizes[i]);
    }
    pst__unmap(NULL, 7);
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), 0);
    CHECK_INT(pst__mem_blocks(), blocks);
}

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

/* What is freed of a large block is the system's, whatever lies beside it. */
static void large_blocks_are_pages_of_their_own(void)
{
    int64_t blocks = pst__mem_blocks(), heap = pst__mem_live(PST_MEM_HEAP);
    size_t sizes[] = {(1 << 17) - 1, 1 << 17, (1 << 17) + 1, (5 << 20) + 77};
    for (int i = 0; i < 4; i++) {
        uint8_t *beside = pst__alloc(sizes[i], PST_MEM_HEAP);
        uint8_t *block = pst__calloc(1, sizes[i], PST_MEM_HEAP);
        CHECK(block && beside);
        CHECK_INT((uintptr_t)block % PST_ALIGN, 0);
        CHECK_INT(pst__mem_live(PST_MEM_HEAP), heap + 2 * (int64_t)sizes[i]);
        for (size_t at = 0; at < sizes[i] + PST_PAD; at++)
            CHECK_INT(block[at], 0);
        memset(block, 1, sizes[i]);
        block = pst__realloc(block, sizes[i] + 1, PST_MEM_HEAP);
        CHECK(block && block[0] == 1 && block[sizes[i] - 1] == 1);
        unsigned char there;
        void *page = (void *)((uintptr_t)block / 4096 * 4096);
        CHECK_INT(mincore(page, 1, &there), 0);
        pst__free(block);
#ifndef HAS_ASAN
        CHECK(mincore(page, 1, &there) == -1 && errno == ENOMEM);
#endif
        pst__free(beside);
    }
    CHECK_INT(pst__mem_live(PST_MEM_HEAP), heap);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void scratch_grows(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst__scratch scratch = {0};
    CHECK(pst__scratch_reserve(&scratch, 0));
    size_t allocations = 0;
    for (size_t size = 1; size < 100000; size += 100) {
        uint8_t *before = scratch.data;
        size_t had = scratch.size;
        uint8_t *block = pst__scratch_reserve(&scratch, size);
        CHECK(block && block == scratch.data && scratch.size >= size);
        memset(block, 1, size);
        allocations += scratch.size != had;
        if (size <= had)
            CHECK(block == before);
    }
    CHECK(allocations < 40); /* not at each of the 1000 steps */
    CHECK(!pst__scratch_reserve(&scratch, SIZE_MAX));
    CHECK(!scratch.data && scratch.size == 0);
    CHECK(pst__scratch_reserve(&scratch, 10));
    pst__scratch_reset(&scratch);
    pst__scratch_reset(&scratch);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(blocks_are_aligned_padded_counted), CASE(sizes_that_overflow), CASE(calloc_zeroes),
           CASE(realloc_keeps_content), CASE(maps), CASE(large_blocks_are_pages_of_their_own),
           CASE(scratch_grows))
