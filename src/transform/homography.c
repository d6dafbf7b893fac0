/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "base/limits.h"
#include "transform/perspective.h"

/* torchvision solves eight linear equations by least squares (LAPACK's gels) in double and rounds
 * the solution to float32. No other code gives the same doubles. But their distance from the exact
 * solution is bounded, and where all numbers within the bound round to one float32, that is what
 * torch has. Where they do not (one solution in some thousands, and those with a coefficient that
 * is 0) nothing is said. */

__extension__ typedef __int128 wide;

/* Of Householder's QR: (A + dA) x = b + db with |dA_j| <= ERROR |A_j| for each column and |db| <=
 * ERROR |b|. Higham, Accuracy and Stability, theorem 19.4: a small multiple of m n u, with m = n =
 * 8 here; measured are a few u. */
#define ERROR (1000 * 0x1p-53L)

/* Numerators of a to h over one denominator; corners of at most 2^16 make them less than 2^120. */
struct rational {
    wide numerator[8], denominator;
};

/* The quadrilateral to the rectangle: the inverse of a map from the unit square to it, which
 * Heckbert (Fundamentals of Texture Mapping, 2.2.3) gives, with the rectangle's sides. */
static struct rational exact(const struct pst__quad *q)
{
    const int32_t *x = q->x, *y = q->y;
    int64_t dx1 = x[1] - x[2], dx2 = x[3] - x[2], dy1 = y[1] - y[2], dy2 = y[3] - y[2];
    int64_t sx = (int64_t)x[0] - x[1] + x[2] - x[3], sy = (int64_t)y[0] - y[1] + y[2] - y[3];
    int64_t det = dx1 * dy2 - dx2 * dy1;
    wide g = sx * dy2 - dx2 * sy, h = dx1 * sy - sx * dy1, i = det;
    wide a = (x[1] - x[0]) * i + g * x[1], b = (x[3] - x[0]) * i + h * x[3], c = x[0] * i;
    wide d = (y[1] - y[0]) * i + g * y[1], e = (y[3] - y[0]) * i + h * y[3], f = y[0] * i;
    wide right = q->w - 1, bottom = q->h - 1;
    return (struct rational){
        .numerator = {right * (e * i - f * h), right * (c * h - b * i), right * (b * f - c * e),
                      bottom * (f * g - d * i), bottom * (a * i - c * g), bottom * (c * d - a * f),
                      d * h - e * g, b * g - a * h},
        .denominator = a * e - b * d,
    };
}

/* The equations, and the right side in column 8. */
static void equations(const struct pst__quad *q, long double m[8][17])
{
    const int32_t to_x[4] = {0, q->w - 1, q->w - 1, 0}, to_y[4] = {0, 0, q->h - 1, q->h - 1};
    for (int k = 0; k < 4; k++) {
        long double x = q->x[k], y = q->y[k], u = to_x[k], v = to_y[k];
        const long double rows[2][9] = {{x, y, 1, 0, 0, 0, -u * x, -u * y, u},
                                        {0, 0, 0, x, y, 1, -v * x, -v * y, v}};
        for (int j = 0; j < 9; j++) {
            m[2 * k][j] = rows[0][j];
            m[2 * k + 1][j] = rows[1][j];
        }
    }
}

static long double norm(const long double *v, int step)
{
    long double sum = 0;
    for (int i = 0; i < 8; i++)
        sum += v[i * step] * v[i * step];
    return sqrtl(sum);
}

static void swap_rows(long double *a, long double *b)
{
    for (int j = 0; j < 17; j++) {
        long double t = a[j];
        a[j] = b[j];
        b[j] = t;
    }
}

/* Columns 9 to 16 become the inverse of 0 to 7, by Gauss and Jordan. 0: it is singular. */
static int invert(long double m[8][17])
{
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++)
            m[i][9 + j] = i == j;
    }
    for (int k = 0; k < 8; k++) {
        int pivot = k;
        for (int i = k + 1; i < 8; i++)
            pivot = fabsl(m[i][k]) > fabsl(m[pivot][k]) ? i : pivot;
        if (m[pivot][k] == 0)
            return 0;
        swap_rows(m[k], m[pivot]);
        for (int j = 16; j >= k; j--)
            m[k][j] /= m[k][k];
        for (int i = 0; i < 8; i++) {
            long double factor = m[i][k];
            for (int j = k; j < 17 && i != k; j++)
                m[i][j] -= factor * m[k][j];
        }
    }
    return 1;
}

/* How far a computed coefficient can be from x: |row of the inverse| * ERROR * (|b| + sum of |A_j|
 * |x_j|). Twice that covers what the second order and the rounding here add, as long as ERROR *
 * condition is small, which the margin then is too. */
static int margins(const struct pst__quad *quad, const long double x[8], long double margin[8])
{
    long double m[8][17];
    equations(quad, m);
    long double reach = norm(&m[0][8], 17);
    for (int j = 0; j < 8; j++)
        reach += norm(&m[0][j], 17) * fabsl(x[j]);
    if (!invert(m))
        return 0;
    for (int i = 0; i < 8; i++)
        margin[i] = 2 * ERROR * reach * norm(&m[i][9], 1);
    return 1;
}

/* Whether the coefficients keep a distance from the condition that margins() takes for granted. */
static int is_well_conditioned(const long double x[8], const long double margin[8])
{
    for (int i = 0; i < 8; i++) {
        if (!(margin[i] <= 1e-6L * fabsl(x[i])))
            return 0;
    }
    return 1;
}

/* Three corners on one line: the map is singular, though the equations may not be, and the place of
 * a pixel on that line is 0 / 0. What becomes of a NaN in Pillow is the compiler's to say. */
static int is_bent(const struct pst__quad *q)
{
    for (int k = 0; k < 4; k++) {
        int a = (k + 1) % 4, b = (k + 2) % 4;
        int64_t ax = q->x[a] - q->x[k], ay = q->y[a] - q->y[k];
        int64_t bx = q->x[b] - q->x[k], by = q->y[b] - q->y[k];
        if (ax * by == ay * bx)
            return 1;
    }
    return 0;
}

int pst__perspective_coefficients(const struct pst__quad *quad, double coefficients[8])
{
    struct rational r = exact(quad);
    if (r.denominator == 0 || quad->w < 2 || quad->h < 2 || is_bent(quad))
        return 0;
    long double x[8], margin[8];
    for (int i = 0; i < 8; i++)
        x[i] = (long double)r.numerator[i] / (long double)r.denominator;
    if (!margins(quad, x, margin) || !is_well_conditioned(x, margin))
        return 0;
    for (int i = 0; i < 8; i++) {
        /* Through double, as torch rounds. */
        float low = (float)(double)(x[i] - margin[i]), high = (float)(double)(x[i] + margin[i]);
        if (low != high)
            return 0;
        coefficients[i] = (double)low;
    }
    return 1;
}
