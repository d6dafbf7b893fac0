/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/transform.h>

/* In float32, operation by operation as torch does them: nothing is fused, no division becomes a
 * multiplication. */
void pst_output_normalize(struct pst_output *output, int v2, const float mean[3],
                          const float std[3])
{
    output->dtype = PST_F32;
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
