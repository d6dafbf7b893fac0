/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_CODEC_H
#define PST_DECODE_CODEC_H

#include "decode/decode.h"

/* One image format. A codec is one file and one row in codecs.c. `state` is the codec's own, made
 * by open() once per decoder and format. The calls follow decode.h. */
struct pst__codec {
    int format;
    const char *name;
    int (*matches)(const uint8_t *data, size_t size); /* by content, as Pillow's accept functions */
    int (*probe)(const uint8_t *data, size_t size, struct pst_image_info *info,
                 struct pst_error *err);
    int (*open)(void **state, struct pst_error *err);
    void (*close)(void *state);
    int (*start)(void *state, const uint8_t *data, size_t size, const struct pst_image_info *info,
                 const struct pst_rect *region, struct pst_error *err);
    int (*rows)(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                struct pst_error *err);
    int (*finish)(void *state, struct pst_error *err);
    /* In the place of finish: also refuses what Pillow passes in silence. */
    int (*finish_strict)(void *state, struct pst_error *err);
    void (*abort)(void *state); /* after a failure, or when the rest is not wanted */
    size_t (*bytes)(const void *state);
    /* As pst__decode_cost(); NULL: some rows. */
    size_t (*cost)(const uint8_t *data, size_t size, const struct pst_image_info *info);
};

extern const struct pst__codec pst__codec_jpeg;
extern const struct pst__codec pst__codec_png;
extern const struct pst__codec pst__codec_webp;
extern const struct pst__codec pst__codec_bmp;
extern const struct pst__codec pst__codec_gif;

#define PST_N_CODECS 5
extern const struct pst__codec *const pst__codecs[PST_N_CODECS]; /* the table, codecs.c */

#endif
