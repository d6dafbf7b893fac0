/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/scalar.h"

/* What Pillow does to the colours of 8 bit pixels, operation by operation: a float where it has a
 * float, a double where C's promotions give it one. */

uint8_t pst__blend(uint8_t back, uint8_t front, float factor)
{
    float value = (float)back + factor * (float)((int)front - (int)back);
    if (value <= 0)
        return 0;
    return value >= 255 ? 255 : (uint8_t)value;
}

static uint8_t luma(const uint8_t *px)
{
    return (uint8_t)((px[0] * PST__LUMA_R + px[1] * PST__LUMA_G + px[2] * PST__LUMA_B + 0x8000u) >>
                     16);
}

void pst__histogram(uint32_t count[3][256], const uint8_t *px, int n)
{
    for (int i = 0; i < n; i++, px += 4) {
        count[0][px[0]]++;
        count[1][px[1]]++;
        count[2][px[2]]++;
    }
}

void pst__map_scalar(uint8_t *px, int n, const struct pst__map *map)
{
    for (int i = 0; i < n; i++, px += 4) {
        px[0] = map->channel[0][px[0]];
        px[1] = map->channel[1][px[1]];
        px[2] = map->channel[2][px[2]];
    }
}

void pst__grey_scalar(uint8_t *px, int n)
{
    for (int i = 0; i < n; i++, px += 4)
        px[0] = px[1] = px[2] = luma(px);
}

uint64_t pst__grey_sum_scalar(const uint8_t *px, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++, px += 4)
        sum += luma(px);
    return sum;
}

void pst__saturate_scalar(uint8_t *px, int n, float factor)
{
    for (int i = 0; i < n; i++, px += 4) {
        uint8_t grey = luma(px);
        for (int c = 0; c < 3; c++)
            px[c] = pst__blend(grey, px[c], factor);
    }
}

/* RGB to HSV, all of them 0 to 255. */
static void to_hsv(const uint8_t *px, uint8_t hsv[3])
{
    uint8_t r = px[0], g = px[1], b = px[2];
    uint8_t most = r > g ? r : g, least = r < g ? r : g;
    most = b > most ? b : most;
    least = b < least ? b : least;
    hsv[0] = hsv[1] = 0;
    hsv[2] = most;
    if (most == least)
        return;
    float range = (float)(most - least);
    float s = range / (float)most;
    float from_r = (float)(most - r) / range;
    float from_g = (float)(most - g) / range;
    float from_b = (float)(most - b) / range;
    float h;
    if (r == most)
        h = from_b - from_g;
    else if (g == most)
        h = (float)(2.0 + (double)from_r - (double)from_b);
    else
        h = (float)(4.0 + (double)from_g - (double)from_r);
    h = (float)fmod((double)h / 6.0 + 1.0, 1.0);
    hsv[0] = (uint8_t)(int)((double)h * 255.0);
    hsv[1] = (uint8_t)(int)((double)s * 255.0);
}

static uint8_t rounded(double value)
{
    int i = (int)round(value);
    return (uint8_t)(i < 0 ? 0 : i > 255 ? 255 : i);
}

static void from_hsv(const uint8_t hsv[3], uint8_t *px)
{
    uint8_t v = hsv[2];
    if (hsv[1] == 0) {
        px[0] = px[1] = px[2] = v;
        return;
    }
    double sixths = (double)hsv[0] * 6.0 / 255.0;
    int sector = (int)sixths; /* 0 to 6 */
    float f = (float)(sixths - (double)(float)sector);
    float s = (float)((double)hsv[1] / 255.0);
    uint8_t p = rounded((double)v * (1.0 - (double)s));
    uint8_t q = rounded((double)v * (1.0 - (double)(s * f)));
    uint8_t t = rounded((double)v * (1.0 - (double)s * (1.0 - (double)f)));
    const uint8_t rgb[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(px, rgb[sector % 6], 3);
}

void pst__hue_scalar(uint8_t *px, int n, uint8_t shift)
{
    for (int i = 0; i < n; i++, px += 4) {
        uint8_t hsv[3];
        to_hsv(px, hsv);
        hsv[0] = (uint8_t)(hsv[0] + shift);
        from_hsv(hsv, px);
    }
}

void pst__sharpen_scalar(uint8_t *dst, const uint8_t *above, const uint8_t *row,
                         const uint8_t *below, int n, float factor)
{
    for (int i = 0; i < 4 * n; i++) {
        if (i < 4 || i >= 4 * (n - 1)) {
            dst[i] = row[i];
            continue;
        }
        int sum = 4 * row[i];
        for (int k = i - 4; k <= i + 4; k += 4)
            sum += above[k] + row[k] + below[k];
        dst[i] = pst__blend((uint8_t)((sum + 6) / 13), row[i], factor);
    }
}
