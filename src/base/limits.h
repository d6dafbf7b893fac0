/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_LIMITS_H
#define PST_BASE_LIMITS_H

/* Bounds on what comes from outside, checked before anything is allocated for it. Above one of them
 * the sample is put to the reference, or refused where there is none. */

#define PST_MAX_SIDE 65500 /* pixels; libjpeg's own bound is 65500 */
/* Pillow warns of images above it (Image.MAX_IMAGE_PIXELS): 1 GiB / 4 / 3. */
#define PST_MAX_PIXELS 89478485
#define PST_MAX_RECORD (1u << 30)         /* bytes of one encoded sample */
#define PST_MAX_SCANS 100                 /* of a progressive JPEG */
#define PST_MAX_PATH 8192                 /* bytes of a file's path that a dataset puts together */
#define PST_MAX_INDEX (UINT64_C(1) << 32) /* bytes of an index of a folder */
#define PST_MAX_RATIO 4096         /* pixels per encoded byte (deflate's own bound is about 1032) */
#define PST_MAX_OUTPUT (1ll << 31) /* bytes of one finished sample */

/* What a transform takes, of images that a reference has decoded and between its steps. */
#define PST_MAX_PLAN_SIDE (1 << 24)
#define PST_MAX_PLAN_PIXELS (1 << 29) /* 2 GiB of RGBX */

#define PST_MAX_THREADS 512
#define PST_MAX_STREAMS 4096
#define PST_MAX_AHEAD 65536
#define PST_MAX_BATCH (1 << 20)
#define PST_MAX_OPS 64
#define PST_MAX_OP_TABLE 4096 /* numbers of one step's table */

#define PST_MAX_TENSOR ((1ll << 62) - 1) /* bytes: sums of two of them still fit */

/* Of an array file (docs/format-array.md). */
#define PST_MAX_ARRAY_COLUMNS 4096
#define PST_MAX_ARRAY_NAME 255                   /* bytes of a column's name */
#define PST_MAX_ARRAY_NOTE (1 << 20)             /* bytes */
#define PST_MAX_ARRAY_FOOTER (UINT64_C(1) << 28) /* bytes */
#define PST_MAX_ARRAY_BLOCKS (INT64_C(1) << 32)

#endif
