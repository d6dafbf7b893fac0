/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/buffer.h"

#include "base/mem.h"
#include "base/status.h"
#include "buffer/shared.h"

/* The header of a heap buffer fills whole lines so that the data behind it is aligned. */
#define HEAD ((sizeof(struct pst_buffer) + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN)

struct wrapped {
    struct pst_buffer buffer;
    pst_release_fn release;
    void *opaque;
};

static void dispose_heap(struct pst_buffer *buffer)
{
    pst__free(buffer);
}

static void dispose_wrapped(struct pst_buffer *buffer)
{
    struct wrapped *wrapped = (struct wrapped *)buffer;
    if (wrapped->release)
        wrapped->release(wrapped->opaque);
    pst__free(wrapped);
}

int pst__buffer_new(struct pst_buffer **out, size_t size, struct pst_error *err)
{
    size_t total;
    *out = NULL;
    if (__builtin_add_overflow(size, HEAD, &total))
        return pst__fail(err, PST_ENOMEM, "a buffer of %zu bytes cannot be", size);
    struct pst_buffer *buffer = pst__alloc(total, PST_MEM_HEAP);
    if (!buffer)
        return pst__fail(err, PST_ENOMEM, "no memory for a buffer of %zu bytes", size);
    pst__buffer_init(buffer, (uint8_t *)buffer + HEAD, size, dispose_heap);
    *out = buffer;
    return PST_OK;
}

static int wrap(struct pst_buffer **out, void *data, size_t size, int is_const,
                pst_release_fn release, void *opaque, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_buffer_wrap: out is NULL");
    *out = NULL;
    PST_REQUIRE(data || size == 0, err, "pst_buffer_wrap: data is NULL but size is %zu", size);
    struct wrapped *wrapped = pst__calloc(1, sizeof *wrapped, PST_MEM_HEAP);
    if (!wrapped)
        return pst__fail(err, PST_ENOMEM, "no memory for a buffer's handle");
    pst__buffer_init(&wrapped->buffer, data, size, dispose_wrapped);
    wrapped->buffer.is_const = is_const;
    wrapped->release = release;
    wrapped->opaque = opaque;
    *out = &wrapped->buffer;
    return PST_OK;
}

int pst_buffer_wrap(struct pst_buffer **out, void *data, size_t size, pst_release_fn release,
                    void *opaque, struct pst_error *err)
{
    return wrap(out, data, size, 0, release, opaque, err);
}

int pst_buffer_wrap_const(struct pst_buffer **out, const void *data, size_t size,
                          pst_release_fn release, void *opaque, struct pst_error *err)
{
    return wrap(out, (void *)(uintptr_t)data, size, 1, release, opaque, err);
}

void *pst_buffer_opaque(const struct pst_buffer *buffer, pst_release_fn release)
{
    if (!buffer || buffer->dispose != dispose_wrapped)
        return NULL;
    const struct wrapped *wrapped = (const struct wrapped *)buffer;
    return wrapped->release == release ? wrapped->opaque : NULL;
}

int pst_buffer_is_writable(const struct pst_buffer *buffer)
{
    return !buffer->is_const;
}

struct pst_buffer *pst_buffer_ref(struct pst_buffer *buffer)
{
    atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
    return buffer;
}

void pst_buffer_unref(struct pst_buffer *buffer)
{
    if (buffer && atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_acq_rel) == 1)
        buffer->dispose(buffer);
}

void *pst_buffer_data(const struct pst_buffer *buffer)
{
    return buffer->data;
}

size_t pst_buffer_size(const struct pst_buffer *buffer)
{
    return buffer->size;
}
