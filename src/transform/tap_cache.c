/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "transform/axis.h"

/* Above it old entries are given back: a table for an extreme size can take megabytes. */
#define MOST_BYTES (4u << 20)

size_t pst__tap_cache_bytes(const struct pst__tap_cache *cache)
{
    size_t bytes = cache->work.size;
    for (int i = 0; i < PST_TAP_CACHE; i++)
        bytes += cache->entry[i].block.size;
    return bytes;
}

static void drop(struct pst__tap_entry *entry)
{
    pst__scratch_reset(&entry->block);
    entry->used = 0;
}

void pst__tap_cache_reset(struct pst__tap_cache *cache)
{
    for (int i = 0; i < PST_TAP_CACHE; i++)
        drop(&cache->entry[i]);
    pst__scratch_reset(&cache->work);
}

static int same(const struct pst__axis *a, const struct pst__axis *b)
{
    return a->in == b->in && a->out == b->out && a->filter == b->filter && a->first == b->first &&
           a->n == b->n;
}

/* Keeps the entry used last: the caller still has it. */
static void make_room(struct pst__tap_cache *cache)
{
    if (pst__tap_cache_bytes(cache) <= MOST_BYTES)
        return;
    for (int i = 0; i < PST_TAP_CACHE; i++) {
        if (cache->entry[i].used != cache->clock)
            drop(&cache->entry[i]);
    }
    pst__scratch_reset(&cache->work);
}

const struct pst__taps *pst__tap_cache_get(struct pst__tap_cache *cache,
                                           const struct pst__axis *axis,
                                           enum pst__taps_layout layout)
{
    make_room(cache);
    struct pst__tap_entry *oldest = &cache->entry[0];
    for (int i = 0; i < PST_TAP_CACHE; i++) {
        struct pst__tap_entry *entry = &cache->entry[i];
        if (entry->used && entry->layout == layout && same(&entry->axis, axis)) {
            entry->used = ++cache->clock;
            return &entry->taps;
        }
        if (entry->used < oldest->used)
            oldest = entry;
    }
    oldest->used = 0;
    if (!pst__taps_build(&oldest->taps, axis, layout, &oldest->block, &cache->work))
        return NULL;
    oldest->axis = *axis;
    oldest->layout = layout;
    oldest->used = ++cache->clock;
    return &oldest->taps;
}
