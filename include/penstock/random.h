/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_RANDOM_H
#define PENSTOCK_RANDOM_H

#include <stdint.h>

#include <penstock/error.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A seeded source of random tensors: MT19937, seeded as torch seeds its CPU generator, with the low
 * 32 bits of seed. For one seed and one sequence of calls the tensors of pst_tensor_rand(),
 * _randint() and _randperm() are those of torch.rand(), randint() and randperm() with a
 * torch.Generator, bit for bit. One thread at a time. */
struct pst_generator;

/* Errors: PST_EINVAL, PST_ENOMEM. */
PST_API int pst_generator_new(struct pst_generator **out, uint64_t seed, struct pst_error *err);
PST_API void pst_generator_free(struct pst_generator *generator); /* NULL is legal */
PST_API void pst_generator_seed(struct pst_generator *generator, uint64_t seed);
PST_API uint32_t pst_generator_word(struct pst_generator *generator); /* 32 random bits */

/* The functions below make *out as pst_tensor_empty() does, and fail as it does; on failure nothing
 * is drawn. A 64-bit word is two words, the upper half first.
 *
 * rand: f32, f64, f16, bf16 in [0, 1): the low 24 bits of a word times 2^-24; for f64 the low 53
 * bits of a 64-bit word times 2^-53; f16 and bf16 are those of f32 rounded, and 0 where that
 * would be 1.
 * randint: u8, i8, i16, i32, i64 in [low, high): a word modulo high - low, from 2^28 on a 64-bit
 * one (as torch since 2.7; older ones from 2^32 on). Both bounds must be values of dtype, high may
 * be one above.
 * randperm: i64, the numbers 0 .. n - 1 shuffled: for each place but the last a word modulo the
 * number of places left says which of them is swapped there. n is below 214748364, where torch
 * goes another way: above it is PST_ELIMIT.
 * randn: f32, f64, f16, bf16 of the standard normal distribution, NOT equal to torch.randn(). By
 * Box and Muller, in double: of two numbers u, v drawn as rand draws for f64, sqrt(-2 log(1 - u))
 * times cos(2 pi v) and then times sin(2 pi v), rounded to dtype by way of f32 for f16 and bf16.
 * The second of the last pair is dropped where numel is odd. The last bits are those of the C
 * library's log, cos and sin. */
PST_API int pst_tensor_rand(struct pst_tensor *out, struct pst_generator *generator, int dtype,
                            int ndim, const int64_t *shape, struct pst_error *err);
PST_API int pst_tensor_randint(struct pst_tensor *out, struct pst_generator *generator, int64_t low,
                               int64_t high, int dtype, int ndim, const int64_t *shape,
                               struct pst_error *err);
PST_API int pst_tensor_randperm(struct pst_tensor *out, struct pst_generator *generator, int64_t n,
                                struct pst_error *err);
PST_API int pst_tensor_randn(struct pst_tensor *out, struct pst_generator *generator, int dtype,
                             int ndim, const int64_t *shape, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
