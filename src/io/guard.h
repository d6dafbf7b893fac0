/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_GUARD_H
#define PST_IO_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

/* A page of a mapped file that cannot be had (the file was cut, the disk fails) is a SIGBUS to
 * whoever touches it. The guard turns that into an error. It has one handler for the process, set
 * when the first file is mapped; what is not its own goes on to the handler that was there before.
 *
 * The engine's own reads run within pst__guarded(), which they leave at the fault. Where others
 * read a mapping (a tensor that was handed out), the page becomes zeros, so that they go on, and
 * the fault is noted: pst__guard_next() tells of it, and who asked to be notified is told from
 * within the handler. */

/* Runs fn(arg). PST_OK; or PST_EIO where it came to a page that could not be had: then it was left
 * at once, and *address is that of the page, NULL where nobody knows. So fn takes no lock and no
 * memory. */
int pst__guarded(void (*fn)(void *arg), void *arg, const void **address);

/* Makes pst__guarded() work for memory that nobody watches, such as a mapping of the caller's.
 * PST_EIO. */
int pst__guard_prepare(struct pst_error *err);

/* A mapping is watched from here to pst__guard_unwatch(), by the number in *slot. path lives as
 * long. Errors: PST_ELIMIT (too many files are mapped), PST_EIO. */
int pst__guard_watch(int *slot, const void *start, size_t size, int fd, int is_writable,
                     const char *path, struct pst_error *err);
/* A fault in it that nobody has asked for stays noted. */
void pst__guard_unwatch(int slot);
/* The offset of a mapping's first fault outside of pst__guarded(), or -1. */
int64_t pst__guard_fault(int slot);

/* PST_EIO where a mapping that has some of these bytes met a fault outside of pst__guarded(). */
int pst__guard_check(const void *start, size_t size, struct pst_error *err);

/* Takes the oldest fault that was not told yet: PST_EIO with file and offset in err, or PST_END. */
int pst__guard_next(struct pst_error *err);
/* fn is called from within the handler, on the thread that met the fault: it may do only what is
 * safe in a signal's handler. NULL: nobody. */
void pst__guard_notify(void (*fn)(void *opaque), void *opaque);

#endif
