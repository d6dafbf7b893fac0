/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_PIXELS_H
#define PST_TRANSFORM_PIXELS_H

#include "base/mem.h"
#include "kernels/kernels.h"
#include "transform/transform.h"

/* Pixels in memory that the engine did not write: nothing is read but what they consist of. */

struct pst_pixels pst__pixels_part(const struct pst_pixels *pixels, const struct pst_rect *part);

/* A row source of RGBX over all of `pixels`; self of it is the struct. */
struct pst__pixel_rows {
    struct pst_pixels pixels;
    int32_t done;
    uint8_t *rgbx; /* [height][width] */
};
int pst__pixel_rows_init(struct pst__pixel_rows *rows, const struct pst_pixels *pixels,
                         struct pst__scratch *rgbx) PST_NODISCARD; /* 0 when memory is out */
int pst__pixel_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err);

/* Copies rows y .. y + n - 1 to planes without gaps between their rows, plane bytes apart: up to 63
 * bytes behind a plane's last one are written, too. */
void pst__pixels_planes(const struct pst_pixels *pixels, int32_t y, int32_t n, uint8_t *planes,
                        ptrdiff_t plane, const struct pst__kernels *kernels);

#endif
