/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/recolour.h"

#include <math.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/change.h"

/* Pillow's ImageEnhance and ImageOps as torchvision calls them. The amount is the change's
 * number[0]. Most of them are a table of 256 bytes for each channel. */

#define MOST_FACTOR 1e6

void pst__map_image(const struct pst__image *image, const struct pst__map *map)
{
    const struct pst__kernels *kernels = pst__kernels();
    for (int32_t y = 0; y < image->h; y++)
        kernels->map(image->pixels + y * image->stride, image->w, map);
}

void pst__map_alike(const struct pst__image *image, const uint8_t lut[256])
{
    struct pst__map map;
    for (int c = 0; c < 3; c++)
        memcpy(map.channel[c], lut, 256);
    pst__map_image(image, &map);
}

/* Image.blend() of an image of one colour and this one. */
static void blend_with(const struct pst__image *image, uint8_t back, double factor)
{
    uint8_t lut[256];
    for (int v = 0; v < 256; v++)
        lut[v] = pst__blend(back, (uint8_t)v, (float)factor);
    pst__map_alike(image, lut);
}

#define RUN(name)                                                                                  \
    static int name(const struct pst__change *change, const struct pst__image *src,                \
                    const struct pst__image *dst, struct pst__scratch *work,                       \
                    struct pst_error *err)

RUN(brightness)
{
    (void)src, (void)work, (void)err;
    blend_with(dst, 0, change->number[0]);
    return PST_OK;
}

RUN(contrast)
{
    (void)src, (void)work, (void)err;
    uint64_t sum = 0;
    for (int32_t y = 0; y < dst->h; y++)
        sum += pst__kernels()->grey_sum(dst->pixels + y * dst->stride, dst->w);
    double count = (double)dst->w * dst->h;
    blend_with(dst, (uint8_t)((double)sum / count + 0.5), change->number[0]);
    return PST_OK;
}

RUN(saturation)
{
    (void)src, (void)work, (void)err;
    for (int32_t y = 0; y < dst->h; y++)
        pst__kernels()->saturate(dst->pixels + y * dst->stride, dst->w, (float)change->number[0]);
    return PST_OK;
}

/* The hue is shifted in 255ths of the circle, with the fraction cut off, modulo 256. */
RUN(hue)
{
    (void)src, (void)work, (void)err;
    uint8_t shift = (uint8_t)(int32_t)(change->number[0] * 255);
    for (int32_t y = 0; y < dst->h; y++)
        pst__kernels()->hue(dst->pixels + y * dst->stride, dst->w, shift);
    return PST_OK;
}

/* Pillow smooths where all 3 x 3 pixels are in the image, and leaves the rest alone. */
RUN(sharpness)
{
    (void)work, (void)err;
    const size_t bytes = (size_t)src->w * 4;
    for (int32_t y = 0; y < src->h; y++) {
        const uint8_t *row = src->pixels + y * src->stride;
        uint8_t *to = dst->pixels + y * dst->stride;
        if (y == 0 || y == src->h - 1)
            memcpy(to, row, bytes);
        else
            pst__kernels()->sharpen(to, row - src->stride, row, row + src->stride, src->w,
                                    (float)change->number[0]);
    }
    return PST_OK;
}

RUN(posterize)
{
    (void)src, (void)work, (void)err;
    uint8_t lut[256];
    unsigned mask = 0xffu << (8 - (int)change->number[0]);
    for (unsigned v = 0; v < 256; v++)
        lut[v] = (uint8_t)(v & mask);
    pst__map_alike(dst, lut);
    return PST_OK;
}

RUN(solarize)
{
    (void)src, (void)work, (void)err;
    uint8_t lut[256];
    for (int v = 0; v < 256; v++)
        lut[v] = (uint8_t)(v < change->number[0] ? v : 255 - v);
    pst__map_alike(dst, lut);
    return PST_OK;
}

RUN(invert)
{
    (void)change, (void)src, (void)work, (void)err;
    uint8_t lut[256];
    for (int v = 0; v < 256; v++)
        lut[v] = (uint8_t)(255 - v);
    pst__map_alike(dst, lut);
    return PST_OK;
}

RUN(grey)
{
    (void)change, (void)src, (void)work, (void)err;
    for (int32_t y = 0; y < dst->h; y++)
        pst__kernels()->grey(dst->pixels + y * dst->stride, dst->w);
    return PST_OK;
}

void pst__count_values(const struct pst__image *image, uint32_t count[3][256])
{
    memset(count, 0, 3 * sizeof *count);
    for (int32_t y = 0; y < image->h; y++)
        pst__histogram(count, image->pixels + y * image->stride, image->w);
}

static void stretch_table(const uint32_t count[256], uint8_t lut[256])
{
    int low = 0, high = 255;
    while (low < 255 && count[low] == 0)
        low++;
    while (high > 0 && count[high] == 0)
        high--;
    double scale = high > low ? 255.0 / (high - low) : 1.0;
    double offset = high > low ? -low * scale : 0.0;
    for (int v = 0; v < 256; v++) {
        int stretched = (int)(v * scale + offset);
        lut[v] = (uint8_t)(stretched < 0 ? 0 : stretched > 255 ? 255 : stretched);
    }
}

/* The largest value does not count: its pixels are to become 255. */
void pst__equal_table(const uint32_t count[256], uint8_t lut[256])
{
    uint64_t sum = 0, last = 0;
    int n_values = 0;
    for (int v = 0; v < 256; v++) {
        sum += count[v];
        last = count[v] ? count[v] : last;
        n_values += count[v] != 0;
    }
    uint64_t step = n_values > 1 ? (sum - last) / 255 : 0, n = step / 2;
    for (int v = 0; v < 256; v++) {
        uint64_t level = step ? n / step : (uint64_t)v;
        lut[v] = (uint8_t)(level > 255 ? 255 : level);
        n += count[v];
    }
}

RUN(autocontrast)
{
    (void)change, (void)src, (void)work, (void)err;
    uint32_t count[3][256];
    struct pst__map map;
    pst__count_values(dst, count);
    for (int c = 0; c < 3; c++)
        stretch_table(count[c], map.channel[c]);
    pst__map_image(dst, &map);
    return PST_OK;
}

RUN(equalize)
{
    (void)change, (void)src, (void)work, (void)err;
    uint32_t count[3][256];
    struct pst__map map;
    pst__count_values(dst, count);
    for (int c = 0; c < 3; c++)
        pst__equal_table(count[c], map.channel[c]);
    pst__map_image(dst, &map);
    return PST_OK;
}

/* By enum pst_colour, with the amounts that each takes. */
static const struct {
    struct pst__change_type type;
    double least, most;
} colours[] = {
    [PST_COLOUR_BRIGHTNESS] = {{"brightness", 0, 1, 1, NULL, brightness}, 0, MOST_FACTOR},
    [PST_COLOUR_CONTRAST] = {{"contrast", 0, 1, 1, NULL, contrast}, 0, MOST_FACTOR},
    [PST_COLOUR_SATURATION] = {{"saturation", 0, 1, 1, NULL, saturation}, 0, MOST_FACTOR},
    [PST_COLOUR_HUE] = {{"hue", 0, 1, 1, NULL, hue}, -0.5, 0.5},
    [PST_COLOUR_SHARPNESS] = {{"sharpness", 0, 1, 0, NULL, sharpness}, 0, MOST_FACTOR},
    [PST_COLOUR_POSTERIZE] = {{"posterize", 0, 1, 1, NULL, posterize}, 1, 8},
    [PST_COLOUR_SOLARIZE] = {{"solarize", 0, 1, 1, NULL, solarize}, -MOST_FACTOR, MOST_FACTOR},
    [PST_COLOUR_INVERT] = {{"invert", 0, 0, 1, NULL, invert}, 0, 0},
    [PST_COLOUR_AUTOCONTRAST] = {{"autocontrast", 0, 0, 1, NULL, autocontrast}, 0, 0},
    [PST_COLOUR_EQUALIZE] = {{"equalize", 0, 0, 1, NULL, equalize}, 0, 0},
    [PST_COLOUR_GREY] = {{"grey", 0, 0, 1, NULL, grey}, 0, 0},
};

int pst__check_colour(int colour, double amount, struct pst_error *err)
{
    if (colour & PST_COLOUR_OF_TENSOR)
        colour &= ~(PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
    if (colour < 0 || (size_t)colour >= PST_COUNTOF(colours) || !colours[colour].type.run)
        return pst__fail(err, PST_EINVAL, "no change of colours has number %d", colour);
    double least = colours[colour].least, most = colours[colour].most;
    /* Written so that a NaN fails. */
    if (!(amount >= least && amount <= most) ||
        (colour == PST_COLOUR_POSTERIZE && amount != floor(amount)))
        return pst__fail(err, PST_EINVAL, "%s by %g, expected %g to %g", colours[colour].type.name,
                         amount, least, most);
    return PST_OK;
}

int pst__fold_colour(struct pst__plan *plan, int colour, double amount, struct pst_error *err)
{
    if (colour & PST_COLOUR_OF_TENSOR) {
        int kind = colour & ~(PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
        if (kind != PST_COLOUR_INVERT)
            return pst__fold_tensor_colour(plan, colour, amount, err);
        colour = kind;
    }
    if (colour == PST_COLOUR_GREY && pst__fold_luma(plan))
        return PST_OK;
    struct pst__change change = {.type = &colours[colour].type, .number = {amount}};
    pst__fold_size(plan, &change.w, &change.h);
    return pst__fold_change(plan, &change, err);
}
