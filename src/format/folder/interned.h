/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_INTERNED_H
#define PST_FORMAT_INTERNED_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* Strings that were made on demand and stay until the end, by number. Few are asked for: messages
 * name files. Any thread, without a lock, so that a fork() in the middle is harmless.
 * Zero-initialised means empty. */
struct pst__interned_entry;
struct pst__interned {
    _Atomic(struct pst__interned_entry *) chain[256]; /* pushed with release, read with acquire */
};

/* The string of a number, or NULL. */
const char *pst__interned_find(struct pst__interned *interned, int64_t number);
/* A copy of text for number, or NULL when memory is out. */
const char *pst__interned_add(struct pst__interned *interned, int64_t number,
                              const char *text) PST_NODISCARD;
void pst__interned_reset(struct pst__interned *interned); /* one thread */

#endif
