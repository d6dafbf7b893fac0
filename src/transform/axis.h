/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_AXIS_H
#define PST_TRANSFORM_AXIS_H

#include <stdint.h>

#include "base/mem.h"
#include "kernels/kernels.h"

/* One axis of a resize from `in` to `out` pixels, of which outputs first..first+n-1 are wanted. */
struct pst__axis {
    int32_t in, out;
    int32_t filter; /* enum pst_filter */
    int32_t first, n;
};

/* The inputs that the wanted outputs depend on: start..end-1. */
void pst__axis_range(const struct pst__axis *axis, int32_t *start, int32_t *end);

/* Nearest neighbour: the input of each wanted output. Pillow steps through the image by addition,
 * so its rounding errors grow with the index, and are reproduced. */
void pst__nearest(const struct pst__axis *axis, int32_t *inputs);

/* How the coefficients of an output lie: in columns, as struct pst__taps says, for the horizontal
 * pass; or side by side at coef[i * ksize], for the vertical one. */
enum pst__taps_layout { PST_TAPS_COLUMNS, PST_TAPS_ROWS };

/* The coefficients that Pillow or torch computes, for any filter but nearest. start counts from the
 * axis's range. taps points into block; work is room for one output. 0 when memory is out. */
int pst__taps_build(struct pst__taps *taps, const struct pst__axis *axis,
                    enum pst__taps_layout layout, struct pst__scratch *block,
                    struct pst__scratch *work) PST_NODISCARD;

/* The taps that were used last; one thread's. Zero-initialised means empty. */
#define PST_TAP_CACHE 16
struct pst__tap_cache {
    struct pst__tap_entry {
        struct pst__axis axis;
        enum pst__taps_layout layout;
        uint64_t used; /* clock of the last use; 0: empty */
        struct pst__taps taps;
        struct pst__scratch block;
    } entry[PST_TAP_CACHE];
    uint64_t clock;
    struct pst__scratch work;
};
/* Valid until the second next call. NULL when memory is out. */
const struct pst__taps *pst__tap_cache_get(struct pst__tap_cache *cache,
                                           const struct pst__axis *axis,
                                           enum pst__taps_layout layout);
size_t pst__tap_cache_bytes(const struct pst__tap_cache *cache);
void pst__tap_cache_reset(struct pst__tap_cache *cache);

#endif
