/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ZIP_H
#define PST_FORMAT_ZIP_H

#include "format/layout/layout.h"

/* The directory of a zip file (APPNOTE 6.3.10), as numpy.savez() and torch.save() write them: one
 * file on one disk, nothing encrypted, no comment at its end. */

struct pst__zip_member {
    char *name;                     /* PST_MEM_HEAP */
    uint64_t header, offset, bytes; /* of its own header, its data, and how much there is of it */
    int is_stored;                  /* the data is the member; else it is compressed */
};

/* In the order in which they lie in the file; no two overlap, and no two have one name.
 * Zero-initialised means empty. */
struct pst__zip {
    struct pst__zip_member *member;
    size_t n, room;
};
void pst__zip_reset(struct pst__zip *zip);
/* Errors: PST_EFORMAT, PST_ETRUNCATED, PST_EUNSUPPORTED, PST_ELIMIT with the offset, PST_ENOMEM,
 * and what the reader says. */
int pst__zip_read(struct pst__zip *zip, const struct pst__reader *reader,
                  struct pst_error *err) PST_NODISCARD;
/* Whether a member's name ends so, and is longer. */
int pst__zip_ends(const struct pst__zip_member *member, const char *suffix);

#endif
