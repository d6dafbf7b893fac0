/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_AHEAD_H
#define PST_IO_AHEAD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "io/source.h"

/* Wishes that follow each other in a file are a reader that goes through it. The system is told
 * more than what was wished then: a disk is fast with megabytes in flight, and batches that are
 * known may be few and small. */
#define PST__AHEAD_BYTES ((uint64_t)16 << 20)

/* Of one reader of one file. Zero-initialised at first. Wishes come from several threads, not quite
 * in order; relaxed: it is a guess. */
struct pst__ahead {
    _Atomic uint64_t begin, end; /* of what was told and hangs together */
    _Atomic uint32_t n;          /* wishes of it */
};

/* Whether what lies at offset belongs to such a reading, so that whoever tells of it need not look
 * whether it is in memory: it was told of. */
int pst__ahead_is_on(const struct pst__ahead *ahead, uint64_t offset);
/* These bytes will be read soon. */
void pst__ahead_intend(struct pst__ahead *ahead, const struct pst__source *source, uint64_t offset,
                       size_t n);

#endif
