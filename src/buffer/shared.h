/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BUFFER_SHARED_H
#define PST_BUFFER_SHARED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <penstock/tensor.h>

/* What a buffer is, for the files of this room. A kind of buffer embeds it as its first member and
 * frees itself in dispose, which runs once, without a lock, on the thread of the last unref. */
struct pst_buffer {
    /* Taken relaxed, since who takes one holds one; dropped acq_rel, so that dispose comes after
     * every use on every thread. */
    _Atomic int64_t refs;
    void *data;
    size_t size;
    int is_const;
    void (*dispose)(struct pst_buffer *buffer);
};

static inline void pst__buffer_init(struct pst_buffer *buffer, void *data, size_t size,
                                    void (*dispose)(struct pst_buffer *buffer))
{
    atomic_init(&buffer->refs, 1);
    buffer->data = data;
    buffer->size = size;
    buffer->is_const = 0;
    buffer->dispose = dispose;
}

#endif
