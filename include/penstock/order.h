/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_ORDER_H
#define PENSTOCK_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A shuffled order of 0 .. length - 1 that is computed and not kept: writes what is at the places
 * first .. first + n - 1. length, key and block alone decide it, on every machine and in every
 * release.
 *
 * block 0: any index at any place. Else indices are shuffled so that places near each other hold
 * indices near each other, for storage that is slow to jump: blocks of so many neighbours come in a
 * random order, and only the indices of 64 blocks that follow each other in it are mixed.
 *
 * No allocation; any thread. Errors: PST_EINVAL. */
PST_API int pst_order_indices(int64_t *indices, size_t n, int64_t first, int64_t length,
                              uint64_t key, int64_t block, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
