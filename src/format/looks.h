/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_LOOKS_H
#define PST_FORMAT_LOOKS_H

#include <stdatomic.h>
#include <stdint.h>

/* How often it is worth to look whether rows are in memory. To ask the system takes about as long
 * as to copy 4 KiB, so a few rows answer for a batch, and after PST__LOOKS_WARM looks that found
 * all in memory only each PST__LOOKS_EACHth batch is looked at. Relaxed: it is a guess.
 * Zero-initialised at first. */
#define PST__LOOKS_WARM 8
#define PST__LOOKS_EACH 32
#define PST__LOOKS_ROWS 3 /* of a batch: the first, the middle and the last */

/* Looks in front of a gather, and those ahead ([1]), which bring in what the former would find
 * missing: counted together, the former would turn the latter off. */
struct pst__looks {
    struct {
        _Atomic uint32_t n_warm, n_looks;
    } of[2];
};

static inline int pst__looks_due(struct pst__looks *looks, int is_ahead)
{
    uint32_t n = atomic_fetch_add_explicit(&looks->of[is_ahead].n_looks, 1, memory_order_relaxed);
    return atomic_load_explicit(&looks->of[is_ahead].n_warm, memory_order_relaxed) <
               PST__LOOKS_WARM ||
           n % PST__LOOKS_EACH == 0;
}

/* What a look found. Returns is_cold. */
static inline int pst__looks_found(struct pst__looks *looks, int is_ahead, int is_cold)
{
    if (!is_cold)
        atomic_fetch_add_explicit(&looks->of[is_ahead].n_warm, 1, memory_order_relaxed);
    for (int i = 0; is_cold && i < 2; i++)
        atomic_store_explicit(&looks->of[i].n_warm, 0, memory_order_relaxed);
    return is_cold;
}

#endif
