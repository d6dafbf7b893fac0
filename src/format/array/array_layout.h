/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_LAYOUT_H
#define PST_FORMAT_ARRAY_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/tensor.h>

#include "base/attributes.h"

/* What the footer of an array file says (docs/format-array.md), in memory: from bytes, which are
 * not trusted, or from a writer, and to bytes. */

#define PST__ARRAY_ROOT 128  /* bytes of a root */
#define PST__ARRAY_PAGE 4096 /* bytes that a root has to itself; what data are aligned to */
#define PST__ARRAY_DATA 8192 /* where what is behind the roots begins */
#define PST__ARRAY_SUMS 1023 /* sums of one page; behind them is that of the page */

struct pst__array_root {
    uint64_t sequence, footer_offset, footer_size, file_size;
    uint32_t footer_crc;
};

/* The elements of one stream in one segment. */
struct pst__array_extent {
    uint64_t offset, sums; /* places in the file; 0 where there are no bytes */
    int64_t first, n;      /* elements of the stream */
    int64_t block;         /* elements of a block */
    int64_t first_block;   /* its first block's number among all of the file */
};

/* Elements that lie one after another in the file. */
struct pst__array_run {
    uint64_t offset;
    int64_t first, n;
};

struct pst__array_stream {
    int64_t element; /* bytes of one */
    int64_t n;
    int column;
    const struct pst__array_run *runs; /* in order, without a gap */
    size_t n_runs;
};

/* A fixed column's rows are the elements of its stream; a ragged one's ends are those of its stream
 * (of dtype PST_I64), and its items those of the next. */
struct pst__array_column {
    char name[256];
    int dtype, ndim, is_ragged;
    int64_t shape[PST_MAX_DIMS]; /* of a row, or of an item */
    int stream;
};

/* Zero-initialised means empty. */
struct pst__array_layout {
    int64_t n_rows, n_blocks;
    int n_columns, n_streams;
    struct pst__array_column *columns;
    struct pst__array_stream *streams;
    struct pst__array_extent *extents; /* segment by segment, a stream's each */
    struct pst__array_run *runs;
    size_t n_segments, room;
    char *note;
    struct pst__array_root root; /* the one that it was read from */
};
void pst__array_layout_reset(struct pst__array_layout *layout);

/* A layout of no columns and rows, with room for so many columns. PST_ENOMEM. */
int pst__array_layout_init(struct pst__array_layout *layout, int n_columns) PST_NODISCARD;
/* Says what is wrong with the column, or NULL: then it is one of the layout's. Names are compared
 * by pst__array_layout_twins(). */
const char *pst__array_layout_add_column(struct pst__array_layout *layout,
                                         const struct pst__array_column *column);
/* Sets *twin to a column with a name that another one has, or to -1. PST_ENOMEM. */
int pst__array_layout_twins(const struct pst__array_layout *layout, int *twin) PST_NODISCARD;
/* Room for one segment more: its extents, which are counted once n_segments is. NULL when memory is
 * out. */
struct pst__array_extent *pst__array_layout_grow(struct pst__array_layout *layout);
/* The runs of all streams, anew. PST_ENOMEM. */
int pst__array_layout_join(struct pst__array_layout *layout) PST_NODISCARD;

/* The segment that has an element of a stream; 0 <= element < stream's n. */
size_t pst__array_segment_of(const struct pst__array_layout *layout, int stream, int64_t element);
static inline struct pst__array_extent *pst__array_extent(const struct pst__array_layout *layout,
                                                          size_t segment, int stream)
{
    return layout->extents + segment * (size_t)layout->n_streams + (size_t)stream;
}
/* Blocks of an extent, and bytes of their sums. */
int64_t pst__array_extent_blocks(const struct pst__array_extent *extent, int64_t element);
uint64_t pst__array_sums_size(int64_t blocks);

/* The footer's bytes, to be freed with pst__free(), or NULL when memory is out. */
uint8_t *pst__array_layout_encode(const struct pst__array_layout *layout, uint64_t *size);
void pst__array_root_encode(const struct pst__array_root *root, uint8_t bytes[PST__ARRAY_ROOT]);

/* Where the bytes of a file come from: n of them at offset, all or a negative status. */
struct pst__array_bytes {
    int (*read)(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err);
    void *self;
    uint64_t size;
    const char *name; /* for messages, printable */
};

/* Nothing in the bytes is trusted. Errors: PST_EFORMAT, PST_ETRUNCATED, PST_ELIMIT,
 * PST_EUNSUPPORTED (another version), all with the offset; PST_ENOMEM, and what read() says. */
int pst__array_layout_read(struct pst__array_layout *layout, const struct pst__array_bytes *bytes,
                           struct pst_error *err) PST_NODISCARD;
/* Does a file begin like an array file, of whatever version? The second copy of the root counts. */
int pst__array_is_ours(const void *begin, size_t n);

#endif
