/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_INFLATE_H
#define PST_DECODE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* A whole zlib stream in one call, in half of zlib's time. It takes only what zlib takes, and where
 * it does not the caller has zlib decide: it need not know why, nor how far it went. */

/* Indexed by the next bits of the stream. Codes longer than that lead to a second table, all of
 * which have the size that the longest code of the block needs. Such a prefix has two codes or more
 * (codes are complete), so there are at most n / 2 of them. */
#define PST_INFLATE_SYMBOL_BITS 11
#define PST_INFLATE_PLACE_BITS 8
#define PST_INFLATE_SYMBOLS 288
#define PST_INFLATE_PLACES 32
struct pst__inflate {
    uint32_t symbols[(1 << PST_INFLATE_SYMBOL_BITS) +
                     (PST_INFLATE_SYMBOLS / 2 << (15 - PST_INFLATE_SYMBOL_BITS))];
    uint32_t places[(1 << PST_INFLATE_PLACE_BITS) +
                    (PST_INFLATE_PLACES / 2 << (15 - PST_INFLATE_PLACE_BITS))];
    uint8_t lengths[PST_INFLATE_SYMBOLS + PST_INFLATE_PLACES];
};

/* 1: in is one zlib stream to its last byte and gives exactly n_out bytes; *checksum is the
 * Adler-32 that the stream says they have. 0: it is not, or was not understood; out has anything.
 * Reads exactly n_in bytes. */
int pst__inflate_whole(struct pst__inflate *tables, uint8_t *out, size_t n_out, const uint8_t *in,
                       size_t n_in, uint32_t *checksum);

#endif
