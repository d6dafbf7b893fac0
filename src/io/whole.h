/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_WHOLE_H
#define PST_IO_WHOLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads and writes that go on where the system did a part, or was interrupted; not for ever: a
 * storm of signals must not hang a thread. */

/* n bytes at offset, or as many as there are. The bytes got, or -1 with errno. */
ssize_t pst__read_at(int fd, void *out, size_t n, uint64_t offset);
/* All n bytes. 0, or -1 with errno; EIO where the system writes nothing and does not say why. */
int pst__write_at(int fd, const void *data, size_t n, uint64_t offset);

#endif
