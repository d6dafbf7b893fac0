/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_DRAW_H
#define PST_TRANSFORM_DRAW_H

#include "transform/transform.h"

/* What torch's CPU generator makes of its 32-bit words, one word each unless said otherwise. */

/* Tensor.uniform_(a, b) in float32. */
float pst__uniform(uint32_t word, float a, float b);

float pst__draw_uniform(struct pst__draws *draws, float a, float b);
float pst__draw_exp(struct pst__draws *draws, int range); /* exp(uniform) */
/* The uniform of the next word, and where its values lie in ranges of this width. */
float pst__draw_sigma(struct pst__draws *draws, float a, float b, size_t *at);
int32_t pst__draw_below(struct pst__draws *draws, int32_t n); /* randint(0, n), n >= 1 */
void pst__draw_order(struct pst__draws *draws, int32_t *order,
                     int32_t n); /* randperm(n), n - 1 words */
/* multinomial(p, 1) of n float32 probabilities: 2 n words. The first of the largest p / q, where q
 * is exponentially distributed. */
int32_t pst__draw_choice(struct pst__draws *draws, const double *p, int32_t n);
/* Python's random.random(), floats of 53 bits; _randbelow(n), n >= 1; shuffle(). How many words an
 * integer takes has no bound. */
double pst__draw_python_unit(struct pst__draws *draws);
int32_t pst__draw_python_below(struct pst__draws *draws, int32_t n);
void pst__draw_python_order(struct pst__draws *draws, int32_t *order, int32_t n);
int pst__draw_chance(struct pst__draws *draws, uint32_t threshold); /* rand(1) < p */

/* Beta(alpha, alpha).sample() in float32, from at most so many words and the normal that the
 * generator keeps for the next call (NAN: none). Each try of a gamma takes about four, and one in
 * twenty is refused at most. */
#define PST_BETA_WORDS 512
float pst__draw_beta(struct pst__draws *draws, double *kept, float alpha);
/* torch._sample_dirichlet() of n equal concentrations, from at most so many words, of which
 * PST_GAMMA_WORDS for each of two and more leave a chance below 10^-20 that they are not enough. */
#define PST_GAMMA_WORDS 64
#define PST_MOST_SHARES 4
void pst__draw_dirichlet(struct pst__draws *draws, double *kept, float alpha, int n, size_t words,
                         float *share);
/* Words that normal_() of n float32 takes, n >= 16: where n is not a multiple of 16, the last 16
 * are drawn anew. */
static inline size_t pst__normal_words(size_t n)
{
    return n % 16 ? n + 16 : n;
}
void pst__draw_skip(struct pst__draws *draws, size_t n); /* n words, of the generator alone */
/* n normals that are drawn one by one, of the generator alone: the last may leave one for later. */
void pst__draw_past(struct pst__draws *draws, size_t n);

/* torchvision's draw of a box: a share of the area between the scales, then exp of the log of the
 * aspect. Two sides in whole pixels, which may be none or more than the image has: the roots of
 * area x aspect and of area / aspect. */
void pst__draw_sides(struct pst__draws *draws, const double scale[2], int exp_range, int32_t w,
                     int32_t h, double side[2]);

#endif
