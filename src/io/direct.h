/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_DIRECT_H
#define PST_IO_DIRECT_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#include "io/source.h"

/* Reads around the page cache, many at a time. Each thread has memory of its own that the disk
 * writes to (PST__DIRECT_BYTES), and a ring (io_uring) where the system lets it; else it reads one
 * after the other. Both go when the thread ends, or when it closes the last file that is read so.
 * A forked child makes its own. */

struct pst__direct_file {
    int fd;         /* opened for it */
    uint32_t block; /* what offsets and sizes have to be multiples of: a power of two up to
                     * PST__DIRECT_BLOCK */
    uint64_t size;  /* of the file when it was opened */
};

#define PST__DIRECT_BLOCK 65536u

/* Reads all spans, of sources that are read so. Those that share blocks, or whose blocks follow
 * each other, are one read where they come in the file's order. */
int pst__direct_read(const struct pst__span *spans, size_t n, struct pst_error *err) PST_NODISCARD;

/* A file that is read so was opened, was closed. */
void pst__direct_open(void);
void pst__direct_close(void);

/* Of a source, for those who read it. */
const struct pst__direct_file *pst__source_direct(const struct pst__source *source);
/* Reads a part of a span by another way (os_errno is 0: the disk gave less than was asked for, or
 * was not asked), or says why it cannot be read. */
int pst__source_read_otherwise(const struct pst__span *part, int os_errno, struct pst_error *err);

#endif
