/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_XXH64_H
#define PST_BASE_XXH64_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 of a block, as the xxHash specification defines it; seed 0. Finds damage, not malice. */
uint64_t pst__xxh64(const void *data, size_t size);

#endif
