/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/scalar.h"

/* at::normal_distribution<double>, with which torch draws normals one by one: the logarithm, the
 * sine and the cosine are the C library's in torch, too. */

static double uniform53(const uint32_t words[2])
{
    uint64_t bits = ((uint64_t)words[0] << 32 | words[1]) & ((UINT64_C(1) << 53) - 1);
    return (double)bits * 0x1p-53;
}

void pst__normal_pair(double pair[2], const uint32_t words[4])
{
    double u1 = uniform53(words), u2 = uniform53(words + 2);
    double r = sqrt(-2.0 * log1p(-u2)), theta = 2.0 * M_PI * u1;
    pair[0] = r * cos(theta);
    pair[1] = r * sin(theta);
}

void pst__normal_pairs_scalar(float *dst, const uint32_t *words, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        double pair[2];
        pst__normal_pair(pair, words + 2 * i);
        /* Times 1, plus 0: of which no negative zero is left. */
        dst[i] = (float)(pair[0] + 0.0);
        dst[i + 1] = (float)(pair[1] + 0.0);
    }
}
