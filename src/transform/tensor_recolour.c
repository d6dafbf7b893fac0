/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/recolour.h"
#include "transform/tensor_steps.h"

/* What torchvision's functions make of the colours of a uint8 tensor of three channels. The
 * change's integer[0] is enum pst_colour with its flags, number[0] the amount. */

static int colour_of(const struct pst__change *change)
{
    return change->integer[0] & ~(PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
}

static struct pst__tensor_way way_of(int colour)
{
    return (struct pst__tensor_way){.is_v2 = (colour & PST_COLOUR_V2) != 0};
}

/* Factors are 1 and a magnitude to the automatic augmentations. The difference is exact: amounts
 * are float32. */
static double magnitude_of(int colour, double amount)
{
    int is_factor = colour == PST_COLOUR_BRIGHTNESS || colour == PST_COLOUR_CONTRAST ||
                    colour == PST_COLOUR_SATURATION || colour == PST_COLOUR_SHARPNESS;
    return is_factor ? amount - 1.0 : amount;
}

static int run_step(const struct pst__change *change, const struct pst__image *src,
                    const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    struct pst__tensor_way way = way_of(change->integer[0]);
    int colour = colour_of(change);
    pst__tensor_step(&way, colour, magnitude_of(colour, change->number[0]), src, dst, NULL);
    return PST_OK;
}

static size_t line_bytes(const struct pst__change *change)
{
    return pst__tensor_lines(change->w) * sizeof(float);
}

static int run_sharpness(const struct pst__change *change, const struct pst__image *src,
                         const struct pst__image *dst, struct pst__scratch *work,
                         struct pst_error *err)
{
    struct pst__tensor_way way = way_of(change->integer[0]);
    float *lines = pst__scratch_reserve(work, line_bytes(change));
    if (!lines)
        return pst__fail(err, PST_ENOMEM, "no memory to sharpen an image of %d x %d pixels",
                         change->w, change->h);
    pst__tensor_step(&way, PST_COLOUR_SHARPNESS, change->number[0] - 1.0, src, dst, lines);
    return PST_OK;
}

static int run_hue(const struct pst__change *change, const struct pst__image *src,
                   const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)src, (void)work, (void)err;
    int is_v2 = way_of(change->integer[0]).is_v2;
    for (int32_t y = 0; y < dst->h; y++)
        pst__kernels()->tensor_hue(dst->pixels + y * dst->stride, dst->w, (float)change->number[0],
                                   is_v2);
    return PST_OK;
}

/* Nothing of the pixel and all of its luma. */
static int run_grey(const struct pst__change *change, const struct pst__image *src,
                    const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)src, (void)work, (void)err;
    const struct pst__portions portions = {0, 1, way_of(change->integer[0]).is_v2};
    for (int32_t y = 0; y < dst->h; y++)
        pst__kernels()->tensor_saturate(dst->pixels + y * dst->stride, dst->w, &portions);
    return PST_OK;
}

#define STEP(what)                                                                                 \
    {                                                                                              \
        .name = what " of a tensor", .n_numbers = 1, .is_in_place = 1, .run = run_step             \
    }

/* By enum pst_colour; an inversion is that of PIL images. */
static const struct pst__change_type types[] = {
    [PST_COLOUR_BRIGHTNESS] = STEP("brightness"),
    [PST_COLOUR_CONTRAST] = STEP("contrast"),
    [PST_COLOUR_SATURATION] = STEP("saturation"),
    [PST_COLOUR_HUE] = {.name = "hue of a tensor",
                        .n_numbers = 1,
                        .is_in_place = 1,
                        .run = run_hue},
    [PST_COLOUR_SHARPNESS] = {.name = "sharpness of a tensor",
                              .n_numbers = 1,
                              .work = line_bytes,
                              .run = run_sharpness},
    [PST_COLOUR_POSTERIZE] = STEP("posterize"),
    [PST_COLOUR_SOLARIZE] = STEP("solarize"),
    [PST_COLOUR_AUTOCONTRAST] = STEP("autocontrast"),
    [PST_COLOUR_EQUALIZE] = STEP("equalize"),
    [PST_COLOUR_GREY] = {.name = "grey of a tensor", .is_in_place = 1, .run = run_grey},
};

int pst__fold_tensor_colour(struct pst__plan *plan, int colour, double amount,
                            struct pst_error *err)
{
    int kind = colour & ~(PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
    struct pst__tensor_way way = way_of(colour);
    struct pst__change change = {.type = &types[kind], .integer = {colour}, .number = {amount}};
    PST_REQUIRE(plan->channels == 3, err, "colours of a grey tensor");
    pst__fold_size(plan, &change.w, &change.h);
    int rc = pst__tensor_step_check_size(&way, kind, change.w, change.h, err);
    return rc < 0 ? rc : pst__fold_change(plan, &change, err);
}
