/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_SEGMENT_H
#define PST_FORMAT_ARRAY_SEGMENT_H

#include <penstock/array_writer.h>

#include "format/array/array_layout.h"
#include "format/array/array_store.h"

/* The segment that a writer's rows go into. Where the place of its streams is known, blocks are
 * written as they are full; else all rows wait and are written when it ends. */

struct pst__array_pending {
    uint8_t *data; /* what waits to be written */
    size_t size, room;
    uint64_t start, position; /* of the segment's data; of the next byte to be written */
    int64_t block, n;         /* elements of a block; of the segment */
    uint32_t *sums;
    size_t n_sums, sums_room;
};

struct pst__array_segment {
    struct pst__array_store *store;
    struct pst__array_layout *layout;
    struct pst__array_pending *streams;
    int is_placed;        /* the place of each stream is known */
    int is_alone;         /* a single stream, which grows at the end of the file */
    size_t waiting, most; /* bytes in memory; so many at most, but for a single row */
    size_t n_sums;
    int64_t n_rows;
};

/* layout has its columns, and the rows that are there. is_known: config says how many rows and
 * items there will be. */
int pst__array_segment_init(struct pst__array_segment *segment, struct pst__array_store *store,
                            struct pst__array_layout *layout,
                            const struct pst_array_writer_config *config, int is_known,
                            struct pst_error *err) PST_NODISCARD;
void pst__array_segment_reset(struct pst__array_segment *segment);

/* Copies n elements to the end of a stream. PST_ENOMEM. */
int pst__array_segment_add(struct pst__array_segment *segment, int stream, const void *data,
                           int64_t n, struct pst_error *err) PST_NODISCARD;
/* Where it holds as much as it may: writes. All streams have the same rows now. */
int pst__array_segment_relieve(struct pst__array_segment *segment,
                               struct pst_error *err) PST_NODISCARD;
/* Writes all there is; the segment is in the layout then, and the next one begins. */
int pst__array_segment_end(struct pst__array_segment *segment, struct pst_error *err) PST_NODISCARD;

#endif
