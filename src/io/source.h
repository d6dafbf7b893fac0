/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_SOURCE_H
#define PST_IO_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/tensor.h>

#include "base/attributes.h"

/* A file of any size that is read here and there: mapped, or by pread(). Shared by reference count;
 * all calls but pst__source_unref() of the last reference from any thread, several at once. */
struct pst__source;

enum pst__access {
    PST__ACCESS_READ,   /* pread(): nothing of the file is in the process' memory */
    PST__ACCESS_DIRECT, /* the same, but around the page cache where the file can be read so: see
                         * pst__source_is_direct() */
    PST__ACCESS_MAP,    /* mapped, read only */
    PST__ACCESS_EDIT,   /* mapped, what is written reaches the file */
    PST__ACCESS_COPY,   /* mapped, what is written stays in this process */
    PST__ACCESS_VIEW, /* the same, and its buffer is read only: for readers who cannot be trusted to
                       * heed that */
};

/* Bytes of a file, and where they are to go. */
struct pst__span {
    const struct pst__source *source;
    uint64_t offset;
    size_t n;
    uint8_t *to;
    int64_t index; /* of the sample, for err->record */
};

/* Memory that a thread which reads around the page cache keeps for it. */
#define PST__DIRECT_BYTES ((size_t)1 << 20)
/* pst__source_read() of less goes through the page cache: what is small is near other small things
 * that are read again. */
#define PST__DIRECT_LEAST 4096

/* Only regular files. Errors: PST_EIO, PST_EUNSUPPORTED, PST_ELIMIT, PST_ENOMEM. */
int pst__source_open(struct pst__source **out, const char *path, enum pst__access access,
                     struct pst_error *err) PST_NODISCARD;
struct pst__source *pst__source_ref(struct pst__source *source);
void pst__source_unref(struct pst__source *source); /* NULL is legal */

uint64_t pst__source_size(const struct pst__source *source); /* when it was opened */
const char *pst__source_path(const struct pst__source *source);
/* Its bytes where it is mapped, else NULL. Read them within pst__guarded() and hand what that says
 * to pst__source_fault(). */
uint8_t *pst__source_data(const struct pst__source *source);
/* A buffer over the whole mapping, which holds a reference: for who may read without a guard. */
int pst__source_buffer(struct pst__source *source, struct pst_buffer **out, struct pst_error *err);

/* Copies n bytes at offset. Errors: PST_ETRUNCATED (behind the end), PST_EIO (the file is no longer
 * what it was, or the system's). */
int pst__source_read(const struct pst__source *source, uint64_t offset, size_t n, void *out,
                     struct pst_error *err);
/* Copies all spans, of any sources, in the order of the files, which they have afterwards. On
 * failure err->record is the index of the first that cannot be had. Errors as pst__source_read().
 */
int pst__spans_read(struct pst__span *spans, size_t n, struct pst_error *err);
/* How a source that was opened with PST__ACCESS_DIRECT is read: 1 around the page cache; 0 as with
 * PST__ACCESS_READ, and *refused, where it is not NULL, is the errno for which. */
int pst__source_is_direct(const struct pst__source *source, int *refused);
/* Whether the calling thread has a ring to read by, many at a time: 0, or the errno for which it
 * has none, and reads around the page cache one after the other. */
int pst__direct_ring(void);
/* The size of the file as it is now, 0 where the system does not say. Of a file that was cut the
 * page with its new end is still mapped, and zeros behind that: who copied mapped bytes without a
 * fault asks here whether they were the file's. */
uint64_t pst__source_size_now(const struct pst__source *source);
/* What a fault at this address (NULL: somewhere in the n bytes at offset) says: PST_EIO. */
int pst__source_fault(const struct pst__source *source, const void *address, uint64_t offset,
                      size_t n, struct pst_error *err);
/* These bytes will be read soon: the system begins to fetch them. Returns at once. */
void pst__source_intend(const struct pst__source *source, uint64_t offset, size_t n);
/* It will be read here and there: the system fetches nothing by itself. */
void pst__source_random(const struct pst__source *source);
/* Whether the byte at offset is in memory, as far as the system tells: 1 also where it does not. */
int pst__source_is_resident(const struct pst__source *source, uint64_t offset);
/* Whether the file of that name is still this one, of the same size and time. PST_EIO says what
 * changed. */
int pst__source_check(const struct pst__source *source, struct pst_error *err);

#endif
