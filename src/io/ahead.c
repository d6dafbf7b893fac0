/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ahead.h"

/* So many wishes in a row are no chance. */
#define LEAST_WISHES 4
/* Less is not worth a call. */
#define LEAST_BYTES ((uint64_t)1 << 20)

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

int pst__ahead_is_on(const struct pst__ahead *ahead, uint64_t offset)
{
    return atomic_load_explicit(&ahead->n, memory_order_relaxed) >= LEAST_WISHES &&
           offset >= load(&ahead->begin) && offset <= load(&ahead->end);
}

void pst__ahead_intend(struct pst__ahead *ahead, const struct pst__source *source, uint64_t offset,
                       size_t n)
{
    uint64_t begin = load(&ahead->begin), told = load(&ahead->end), end = offset + n;
    uint64_t size = pst__source_size(source), goal = end;
    if (offset < begin || offset > told) {
        atomic_store_explicit(&ahead->n, 1, memory_order_relaxed);
        store(&ahead->begin, offset);
        store(&ahead->end, end);
        pst__source_intend(source, offset, n);
        return;
    }
    if (atomic_fetch_add_explicit(&ahead->n, 1, memory_order_relaxed) + 1 >= LEAST_WISHES)
        goal = size - end < PST__AHEAD_BYTES ? size : end + PST__AHEAD_BYTES;
    if (goal <= told || (end <= told && goal < size && goal - told < LEAST_BYTES))
        return;
    store(&ahead->end, goal);
    /* Who comes back to what is far behind begins anew. */
    if (end - begin > PST__AHEAD_BYTES)
        store(&ahead->begin, end - PST__AHEAD_BYTES);
    if (!pst__source_is_resident(source, told) || !pst__source_is_resident(source, goal - 1))
        pst__source_intend(source, told, (size_t)(goal - told));
}
