/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_STRINGS_H
#define PST_FORMAT_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* A packed list of strings: the bytes one after another with their NULs, and where each begins.
 * Zero-initialised means empty. A pointer to a string dies with the next one that is added. */
struct pst__strings {
    char *bytes;
    uint64_t *starts;
    size_t used, capacity; /* of bytes */
    size_t n, starts_capacity;
};

/* Adds folder/name, or name alone where folder is NULL; the slash is left out where folder ends in
 * one. Neither may be in the list's own bytes. 0 or PST_ENOMEM. */
int pst__strings_add(struct pst__strings *strings, const char *folder,
                     const char *name) PST_NODISCARD;
static inline const char *pst__strings_at(const struct pst__strings *strings, size_t i)
{
    return strings->bytes + strings->starts[i];
}
/* Puts n of them from first on into Python's order of their os.fsdecode(). */
void pst__strings_sort(struct pst__strings *strings, size_t first, size_t n);
/* The place of a string in a sorted list that holds it. */
size_t pst__strings_find(const struct pst__strings *strings, const char *name);
void pst__strings_clear(struct pst__strings *strings); /* keeps the memory */
void pst__strings_trim(struct pst__strings *strings);  /* gives back what growing left over */
void pst__strings_reset(struct pst__strings *strings);

/* Makes room for n items of item_size in *items, with some to spare; *capacity is the room there
 * is, in items. 0, or PST_ENOMEM with nothing changed. */
int pst__grow(void **items, size_t *capacity, size_t n, size_t item_size) PST_NODISCARD;

#endif
