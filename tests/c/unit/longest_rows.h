/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_LONGEST_ROWS_H
#define PST_TESTS_LONGEST_ROWS_H

#include <penstock/array.h>
#include <penstock/loader.h>

#include "unit/array_rows.h"

/* An array file's text, padded to the longest row of a batch, and each row's label. */
#define LONGEST_ROWS 200
#define LONGEST_PAD 9
#define LONGEST_MULTIPLE 4

static inline int longest_open(struct pst_dataset **out, const char *path, int access, int64_t most,
                               struct pst_error *err)
{
    struct pst_array_source sources[] = {{.path = path,
                                          .name = "text",
                                          .ragged = PST_ARRAY_LONGEST,
                                          .pad = LONGEST_PAD,
                                          .ragged_most = most,
                                          .ragged_multiple = LONGEST_MULTIPLE},
                                         {.path = path, .name = "label"}};
    struct pst_array_config config;
    pst_array_config_init(&config);
    config.access = access;
    return pst_array_open(out, sources, 2, &config, err);
}

static inline int64_t longest_of(const int64_t *indices, size_t n, int64_t most)
{
    int64_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t own = rows_length(ROWS_TEXT, indices[i]);
        own = most > 0 && own > most ? most : own;
        longest = own > longest ? own : longest;
    }
    return (longest + LONGEST_MULTIPLE - 1) / LONGEST_MULTIPLE * LONGEST_MULTIPLE;
}

/* Rows that were padded, or cut, to width. */
static inline void longest_check(const uint8_t *text, const int64_t *lengths,
                                 const int64_t *indices, size_t n, int64_t width, int64_t most)
{
    for (size_t i = 0; i < n; i++) {
        int64_t first = rows_end(ROWS_TEXT, indices[i]), own = rows_length(ROWS_TEXT, indices[i]);
        own = most > 0 && own > most ? most : own;
        own = own > width ? width : own;
        CHECK_INT(lengths[i], own);
        for (int64_t k = 0; k < width; k++)
            CHECK_INT(text[(int64_t)i * width + k],
                      k < own ? rows_byte(ROWS_TEXT, (uint64_t)(first + k)) : LONGEST_PAD);
    }
}

static inline void longest_check_batch(const struct pst_tensor fields[3], const int64_t *indices,
                                       size_t n, int64_t most)
{
    CHECK(fields[0].ndim == 2 && fields[0].dtype == PST_U8);
    CHECK_INT(fields[0].shape[0], (int64_t)n);
    CHECK_INT(fields[0].shape[1], longest_of(indices, n, most));
    longest_check(fields[0].data, fields[1].data, indices, n, fields[0].shape[1], most);
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < 8; b++)
            CHECK_INT(((uint8_t *)fields[2].data)[8 * i + b],
                      rows_byte(ROWS_LABEL, (uint64_t)indices[i] * 8 + b));
}

#endif
