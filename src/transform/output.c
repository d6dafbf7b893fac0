/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/half.h"
#include "transform/ops.h"

uint32_t pst__output_bits(int dtype, float value)
{
    switch (dtype) {
    case PST_U8:
        return (uint8_t)fminf(fmaxf(value, 0), 255);
    case PST_F16:
        return pst__f16_from_f32(value);
    case PST_BF16:
        return pst__bf16_from_f32(value);
    default:
        return pst__f32_bits(value);
    }
}

/* In float32, operation by operation as torch does them: nothing is fused, no division becomes a
 * multiplication. */
void pst_output_normalize(struct pst_output *output, int v2, const float mean[3],
                          const float std[3])
{
    output->dtype = PST_F32;
    output->layout = PST_LAYOUT_CHW;
    for (int c = 0; c < 3; c++) {
        output->mean[c] = mean ? mean[c] : 0.0f;
        output->std[c] = std ? std[c] : 1.0f;
        for (int v = 0; v < 256; v++) {
            float value = v2 ? (float)v * (float)(1.0 / 255) : (float)v / 255.0f;
            if (mean && std)
                value = (value - mean[c]) / std[c];
            output->lut[c][v] = value;
        }
    }
}
