/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/interned.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

struct pst__interned_entry {
    struct pst__interned_entry *next;
    int64_t number;
    char text[];
};

const char *pst__interned_find(struct pst__interned *interned, int64_t number)
{
    struct pst__interned_entry *entry =
        atomic_load_explicit(&interned->chain[number & 255], memory_order_acquire);
    while (entry && entry->number != number)
        entry = entry->next;
    return entry ? entry->text : NULL;
}

const char *pst__interned_add(struct pst__interned *interned, int64_t number, const char *text)
{
    size_t size = strlen(text) + 1;
    struct pst__interned_entry *entry = pst__alloc(sizeof *entry + size, PST_MEM_HEAP);
    if (!entry)
        return NULL;
    entry->number = number;
    memcpy(entry->text, text, size);
    /* Two threads may add the same one: both stay, and both are right. */
    entry->next = atomic_load_explicit(&interned->chain[number & 255], memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&interned->chain[number & 255], &entry->next,
                                                  entry, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return entry->text;
}

void pst__interned_reset(struct pst__interned *interned)
{
    for (size_t i = 0; i < 256; i++) {
        struct pst__interned_entry *entry =
            atomic_load_explicit(&interned->chain[i], memory_order_acquire);
        while (entry) {
            struct pst__interned_entry *next = entry->next;
            pst__free(entry);
            entry = next;
        }
        atomic_store_explicit(&interned->chain[i], NULL, memory_order_relaxed);
    }
}
