/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_CONVOLVE_H
#define PST_TRANSFORM_CONVOLVE_H

#include "transform/transform.h"

/* torch's convolution of an image of three channels with a kernel of w x h weights, each the
 * product of one of a row and one of a column, about which the image is mirrored. */

#define PST_MAX_BLUR_WEIGHTS 24 /* that are kept: the first halves */

/* Weights that are kept of a kernel, more than PST_MAX_BLUR_WEIGHTS where it is too large. */
int32_t pst__blur_kept(int32_t w, int32_t h);

/* row has w and column h weights, odd numbers. sigma is for reports. Errors: PST_EINVAL where they
 * are no bell, PST_ELIMIT where the image is too small, or the plan full. */
int pst__fold_blur(struct pst__plan *plan, double sigma, const float *row, int32_t w,
                   const float *column, int32_t h, struct pst_error *err);

#endif
