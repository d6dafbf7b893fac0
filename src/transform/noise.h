/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_NOISE_H
#define PST_TRANSFORM_NOISE_H

#include "base/mem.h"
#include "transform/transform.h"

/* What torchvision's GaussianNoise, and a Normalize behind it, make of a finished sample of
 * float32. Where the plan has no noise only the second is done. Words and normals are made in
 * `work`. */
int pst__add_noise(const struct pst_transform *transform, const struct pst__plan *plan,
                   float *sample, struct pst__scratch *work, struct pst_error *err);

#endif
