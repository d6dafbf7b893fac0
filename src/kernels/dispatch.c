/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/cpu.h"
#include "kernels/scalar.h"

#if defined(__x86_64__)
#include "kernels/x86/resample_avx2.h"
#include "kernels/x86/halves_avx2.h"
#include "kernels/x86/pixels_avx2.h"
#include "kernels/x86/resample_avx512.h"
#include "kernels/x86/halves_avx512.h"
#include "kernels/x86/pixels_avx512.h"
#include "kernels/x86/colour_avx2.h"
#include "kernels/x86/colour_avx512.h"
#include "kernels/x86/layout_avx512.h"
#include "kernels/x86/unfilter_avx2.h"
#include "kernels/x86/warp_avx2.h"
#include "kernels/x86/warp_avx512.h"
#include "kernels/x86/widen_avx2.h"
#include "kernels/x86/widen_avx512.h"
#include "kernels/x86/arith_avx2.h"
#include "kernels/x86/normal_avx2.h"
#include "kernels/x86/normal_pairs_avx2.h"
#include "kernels/x86/arith_avx512.h"
#include "kernels/x86/blur_avx2.h"
#include "kernels/x86/blur_avx512.h"
#include "kernels/x86/tensor_avx2.h"
#include "kernels/x86/tensor_avx512.h"
#include "kernels/x86/tensor_hue_avx2.h"

/* The flags promise less than the versions are compiled for. CPUs that have the flag but not these
 * extensions exist (Cannon Lake has VBMI but not VNNI) and take the next lower version. */
static void init_x86(struct pst__kernels *kernels, uint32_t cpu_flags)
{
    if (!(cpu_flags & PST_CPU_AVX2) || !__builtin_cpu_supports("fma"))
        return;
    kernels->name = "avx2";
    kernels->resample_h = resample_h_avx2;
    kernels->resample_v = resample_v_avx2;
    kernels->unpack = unpack_avx2;
    kernels->unpack_rgb = unpack_rgb_avx2;
    kernels->store_f32 = store_f32_avx2;
    kernels->store_u8 = store_u8_avx2;
    kernels->grey = grey_avx2;
    kernels->grey_sum = grey_sum_avx2;
    kernels->saturate = saturate_avx2;
    kernels->hue = hue_avx2;
    kernels->sharpen = sharpen_avx2;
    kernels->warp_fixed = warp_fixed_avx2;
    kernels->warp_bilinear = warp_bilinear_avx2;
    kernels->warp_bicubic = warp_bicubic_avx2;
    kernels->unfilter = unfilter_avx2;
    kernels->adler32 = adler32_avx2;
    kernels->widen = widen_avx2;
    kernels->arith_f32 = arith_f32_avx2;
    kernels->arith_f64 = arith_f64_avx2;
    kernels->mix_f32 = mix_f32_avx2;
    kernels->to_f32 = to_f32_avx2;
    kernels->half_to_f32 = half_to_f32_avx2;
    kernels->f32_to_half = f32_to_half_avx2;
    kernels->convolve = convolve_avx2;
    kernels->convolve_at = convolve_at_avx2;
    kernels->round_sums = round_sums_avx2;
    kernels->spread = spread_avx2;
    kernels->normal = normal_avx2;
    kernels->normal_pairs = normal_pairs_avx2;
    kernels->grid_bilinear = grid_bilinear_avx2;
    kernels->grid_nearest = grid_nearest_avx2;
    kernels->tensor_luma_sum = tensor_luma_sum_avx2;
    kernels->tensor_saturate = tensor_saturate_avx2;
    kernels->tensor_sharpen = tensor_sharpen_avx2;
    kernels->tensor_hue = tensor_hue_avx2;
    kernels->combine = combine_avx2;

    if (!(cpu_flags & PST_CPU_AVX512) || !__builtin_cpu_supports("avx512vnni"))
        return;
    kernels->name = "avx512";
    kernels->resample_h = resample_h_avx512;
    kernels->resample_v = resample_v_avx512;
    kernels->unpack = unpack_avx512;
    kernels->unpack_rgb = unpack_rgb_avx512;
    kernels->store_f32 = store_f32_avx512;
    kernels->store_u8 = store_u8_avx512;
    kernels->store_u16 = store_u16_avx512;
    kernels->interleave = interleave_avx512;
    kernels->map = map_avx512;
    kernels->grey = grey_avx512;
    kernels->grey_sum = grey_sum_avx512;
    kernels->saturate = saturate_avx512;
    kernels->hue = hue_avx512;
    kernels->sharpen = sharpen_avx512;
    kernels->warp_fixed = warp_fixed_avx512;
    kernels->warp_bilinear = warp_bilinear_avx512;
    kernels->warp_bicubic = warp_bicubic_avx512;
    kernels->widen = widen_avx512;
    kernels->arith_f32 = arith_f32_avx512;
    kernels->arith_f64 = arith_f64_avx512;
    kernels->mix_f32 = mix_f32_avx512;
    kernels->to_f32 = to_f32_avx512;
    kernels->half_to_f32 = half_to_f32_avx512;
    kernels->f32_to_half = f32_to_half_avx512;
    kernels->convolve = convolve_avx512;
    kernels->round_sums = round_sums_avx512;
    kernels->spread = spread_avx512;
    kernels->grid_bilinear = grid_bilinear_avx512;
    kernels->grid_nearest = grid_nearest_avx512;
    kernels->tensor_luma_sum = tensor_luma_sum_avx512;
    kernels->tensor_saturate = tensor_saturate_avx512;
    kernels->tensor_sharpen = tensor_sharpen_avx512;
    kernels->combine = combine_avx512;
    /* No unfilter, convolve_at and adler32: two go value by value, one is bound by its loads. No
     * normal and normal_pairs: the lanes of AVX2 are quicker than the generator. No tensor_hue: its
     * divisions go no faster by sixteen. */
}
#endif

void pst__kernels_init(struct pst__kernels *kernels, uint32_t cpu_flags)
{
    kernels->name = "scalar";
    kernels->resample_h = pst__resample_h_scalar;
    kernels->resample_v = pst__resample_v_scalar;
    kernels->unpack = pst__unpack_scalar;
    kernels->unpack_rgb = pst__unpack_rgb_scalar;
    kernels->store_f32 = pst__store_f32_scalar;
    kernels->store_u8 = pst__store_u8_scalar;
    /* Of these three there is no AVX2 version: a table of 256 is read faster one by one than by
     * gathers, and stores of triples are bound by their number. */
    kernels->store_u16 = pst__store_u16_scalar;
    kernels->interleave = pst__interleave_scalar;
    kernels->map = pst__map_scalar;
    kernels->grey = pst__grey_scalar;
    kernels->grey_sum = pst__grey_sum_scalar;
    kernels->saturate = pst__saturate_scalar;
    kernels->hue = pst__hue_scalar;
    kernels->sharpen = pst__sharpen_scalar;
    kernels->warp_fixed = pst__warp_fixed_scalar;
    kernels->warp_bilinear = pst__warp_bilinear_scalar;
    kernels->warp_bicubic = pst__warp_bicubic_scalar;
    kernels->unfilter = pst__unfilter_scalar;
    kernels->adler32 = pst__adler32_scalar;
    kernels->widen = pst__widen_scalar;
    kernels->arith_f32 = pst__arith_f32_scalar;
    kernels->arith_f64 = pst__arith_f64_scalar;
    kernels->mix_f32 = pst__mix_f32_scalar;
    kernels->to_f32 = pst__to_f32_scalar;
    kernels->half_to_f32 = pst__half_to_f32_scalar;
    kernels->f32_to_half = pst__f32_to_half_scalar;
    kernels->convolve = pst__convolve_scalar;
    kernels->convolve_at = pst__convolve_at_scalar;
    kernels->round_sums = pst__round_sums_scalar;
    kernels->spread = pst__spread_scalar;
    kernels->normal = pst__normal_scalar;
    kernels->normal_pairs = pst__normal_pairs_scalar;
    kernels->grid_bilinear = pst__grid_bilinear_scalar;
    kernels->grid_nearest = pst__grid_nearest_scalar;
    kernels->tensor_luma_sum = pst__tensor_luma_sum_scalar;
    kernels->tensor_saturate = pst__tensor_saturate_scalar;
    kernels->tensor_sharpen = pst__tensor_sharpen_scalar;
    kernels->tensor_hue = pst__tensor_hue_scalar;
    kernels->combine = pst__combine_scalar;
#if defined(__x86_64__)
    init_x86(kernels, cpu_flags);
#else
    (void)cpu_flags;
#endif
}

static struct pst__kernels this_cpu;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_this_cpu(void)
{
    pst__kernels_init(&this_cpu, pst__cpu_flags());
}

const struct pst__kernels *pst__kernels(void)
{
    pthread_once(&once, init_this_cpu);
    return &this_cpu;
}
