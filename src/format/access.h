/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ACCESS_H
#define PST_FORMAT_ACCESS_H

#include <stdint.h>

#include "io/medium.h"
#include "io/source.h"

/* How the bytes of files that are read here and there come, and why. */
struct pst__choice {
    int access; /* enum pst_array_access, never PST_ARRAY_CHOOSE */
    char why[160];
};

/* What the choice depends on. */
struct pst__facts {
    uint64_t bytes;  /* of the files */
    uint64_t budget; /* what may be in the process' memory */
    uint64_t memory; /* what the page cache could hold; 0: nobody knows */
    enum pst__medium medium;
    int ring_errno; /* 0: reads around the page cache go many at a time */
};

/* Mapped where all of it fits the budget. Else read through the page cache where that could hold it
 * or the disk is not ours alone, else around it. */
void pst__access_choose(struct pst__choice *choice, const struct pst__facts *facts);
/* The facts of files of so many bytes, the first of which is at `path`. budget 0: half of the
 * memory that there is. */
void pst__access_facts(struct pst__facts *facts, uint64_t bytes, uint64_t budget, const char *path);
/* The user's own choice. */
void pst__access_wished(struct pst__choice *choice, int access);
enum pst__access pst__access_of(int access);
/* What has become of it with a file that is open: PST_ARRAY_READ where the file cannot be read
 * around the page cache. */
void pst__access_opened(struct pst__choice *choice, const struct pst__source *source);

/* Bytes that a table such as /proc/meminfo calls available; 0: it does not tell. */
uint64_t pst__access_available(const char *meminfo);

#endif
