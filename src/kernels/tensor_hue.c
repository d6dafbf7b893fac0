/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/scalar.h"

/* torchvision's adjust_hue() of uint8 tensors, in float32: RGB to HSV, a turn of the hue, and back.
 * Each operation is a kernel of torch's, so each is rounded; v1 and v2 write some of them in
 * another way. What is left out is exact: fmod() by 1 of what is below 2, and products with a mask.
 */

struct hsv {
    float h, s, v;
};

static struct hsv hsv_of(const uint8_t *px, int is_v2)
{
    float rgb[3];
    for (int c = 0; c < 3; c++)
        rgb[c] = is_v2 ? px[c] * PST__BY_255 : px[c] / 255.0f;
    float r = rgb[0], g = rgb[1], b = rgb[2];
    float most = fmaxf(fmaxf(r, g), b), least = fminf(fminf(r, g), b);
    float range = most - least, divisor = range == 0 ? 1.0f : range;
    float rc = (most - r) / divisor, gc = (most - g) / divisor, bc = (most - b) / divisor;
    float sixths = most == r ? bc - gc : most == g ? rc + 2.0f - bc : gc + 4.0f - rc;
    float h = (is_v2 ? sixths * PST__BY_6 : sixths / 6.0f) + 1.0f;
    return (struct hsv){h >= 1 ? h - 1 : h, range / (range == 0 ? 1.0f : most), most};
}

static float turned(float h, float shift)
{
    h += shift;
    return h >= 1 ? h - 1 : h < 0 ? h + 1 : h;
}

static uint8_t byte_of(float value)
{
    return (uint8_t)(fminf(fmaxf(value, 0), 1) * PST__TO_BYTE);
}

static void put_rgb(uint8_t *px, const struct hsv *hsv, int is_v2)
{
    /* Which of v, p, q and t each channel is, by the sixth of the circle. */
    static const uint8_t select[3][6] = {
        {0, 2, 1, 1, 3, 0}, {3, 0, 0, 2, 1, 1}, {1, 1, 3, 0, 0, 2}};
    float sixths = hsv->h * 6.0f, whole = floorf(sixths), f = sixths - whole, s = hsv->s;
    float sxf = s * f, paler = 1.0f - s, rest = is_v2 ? sxf + paler : 1.0f - s * (1.0f - f);
    const uint8_t vpqt[4] = {byte_of(hsv->v), byte_of(paler * hsv->v),
                             byte_of((1.0f - sxf) * hsv->v), byte_of(rest * hsv->v)};
    int i = whole >= 6 ? 0 : (int)whole; /* the sum of a turn may be rounded to 1 */
    for (int c = 0; c < 3; c++)
        px[c] = vpqt[select[c][i]];
    px[3] = 0;
}

void pst__tensor_hue_scalar(uint8_t *px, int n, float shift, int is_v2)
{
    for (int i = 0; i < n; i++, px += 4) {
        struct hsv hsv = hsv_of(px, is_v2);
        hsv.h = turned(hsv.h, shift);
        put_rgb(px, &hsv, is_v2);
    }
}
