/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_MEMORY_H
#define PST_TESTS_KERNELS_CHECK_MEMORY_H

#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

/* Random numbers, and memory in which a read or a write outside of what is allowed shows. */

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static int between(int low, int high) /* both included */
{
    return low + (int)(draw() % (uint32_t)(high - low + 1));
}
static void scramble(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(draw() >> 11);
    /* Extremes are where clipping and digits break. */
    for (size_t i = 0; i < n && draw() % 4 == 0; i++)
        p[i] = draw() & 1 ? 255 : 0;
}
static int least(int a, int b)
{
    return a < b ? a : b;
}

/* A source: n bytes with a page behind or before them that traps. */
struct fenced {
    uint8_t *map, *data;
    size_t map_size;
};

static void fenced_new(struct fenced *f, size_t n, int fence_behind)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (n + page - 1) / page * page;
    f->map_size = inner + 2 * page;
    f->map = mmap(NULL, f->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(f->map != MAP_FAILED);
    scramble(f->map + page, inner);
    CHECK(mprotect(f->map, page, PROT_NONE) == 0);
    CHECK(mprotect(f->map + page + inner, page, PROT_NONE) == 0);
    f->data = f->map + page + (fence_behind ? inner - n : 0);
}
static void fenced_free(struct fenced *f)
{
    munmap(f->map, f->map_size);
}

/* A destination: a field of random bytes; what is not allowed to change is compared. */
struct field {
    uint8_t *data, *before, *allowed;
    size_t size;
};

static void field_new(struct field *f, size_t size)
{
    f->size = size;
    f->data = malloc(size);
    f->before = malloc(size);
    f->allowed = calloc(size, 1);
    CHECK(f->data && f->before && f->allowed);
    scramble(f->data, size);
    memcpy(f->before, f->data, size);
}
static void field_allow(struct field *f, size_t from, size_t n)
{
    CHECK(from + n <= f->size);
    memset(f->allowed + from, 1, n);
}
static void field_check(const struct field *f, const char *who)
{
    for (size_t i = 0; i < f->size; i++)
        if (!f->allowed[i] && f->data[i] != f->before[i])
            check_fail(__FILE__, __LINE__, "%s wrote byte %zu of %zu, outside its destination", who,
                       i, f->size);
}
static void field_free(struct field *f)
{
    free(f->data);
    free(f->before);
    free(f->allowed);
}

static void differ(const char *kernel, const char *name, int n, int at, int got, int expected)
{
    check_fail(__FILE__, __LINE__, "%s (%s), n = %d: byte %d is %d, expected %d", kernel, name, n,
               at, got, expected);
}

#endif
