/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/scalar.h"

/* Bits are compared, so a formula that gives 0.0 for -0.0, or any NaN, is refused. */
static int reproduces(const struct pst__norm *norm)
{
    for (int v = 0; v < 256; v++) {
        float fast = pst__norm_fast(norm, (uint8_t)v);
        if (fast != fast || memcmp(&fast, norm->lut + v, sizeof fast) != 0)
            return 0;
    }
    return 1;
}

void pst__norm_init(struct pst__norm *norm, const float *lut, float mean, float std)
{
    memset(norm, 0, sizeof *norm);
    norm->lut = lut;
    norm->mean = mean;
    norm->std = std;
    norm->rcp_std = 1.0f / std;
    norm->rcp_std_low = (float)(1.0 / (double)std - (double)norm->rcp_std);
    for (int kind = PST_NORM_SCALE; kind <= PST_NORM_MEAN_STD; kind++) {
        for (int divide = 1; divide >= 0; divide--) {
            norm->kind = kind;
            norm->divide = divide;
            if (reproduces(norm))
                return;
        }
    }
    norm->kind = PST_NORM_LUT;
    norm->divide = 0;
}
