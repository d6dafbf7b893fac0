/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/buffer.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"
#include "check.h"

static void count_release(void *opaque)
{
    ++*(int *)opaque;
}

static void heap_buffers(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_buffer *buffer;
    for (size_t size = 0; size < 200; size += 7) {
        CHECK_INT(pst__buffer_new(&buffer, size, NULL), 0);
        CHECK_INT(pst_buffer_size(buffer), (int64_t)size);
        CHECK_INT((uintptr_t)pst_buffer_data(buffer) % PST_ALIGN, 0);
        memset(pst_buffer_data(buffer), 1, size);
        CHECK(pst_buffer_ref(buffer) == buffer);
        pst_buffer_unref(buffer);
        CHECK_INT(pst__mem_blocks(), blocks + 1);
        pst_buffer_unref(buffer);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    struct pst_error err = {0};
    CHECK_INT(pst__buffer_new(&buffer, SIZE_MAX, &err), PST_ENOMEM);
    CHECK(!buffer);
    pst_buffer_unref(NULL);
}

static void wrapped_buffers(void)
{
    int64_t blocks = pst__mem_blocks();
    int released = 0;
    char data[10];
    struct pst_buffer *buffer;
    struct pst_error err = {0};
    CHECK_INT(pst_buffer_wrap(&buffer, data, sizeof data, count_release, &released, &err), 0);
    CHECK(pst_buffer_data(buffer) == data);
    CHECK_INT(pst_buffer_size(buffer), 10);
    pst_buffer_ref(buffer);
    pst_buffer_unref(buffer);
    CHECK_INT(released, 0);
    pst_buffer_unref(buffer);
    CHECK_INT(released, 1);
    CHECK_INT(pst_buffer_wrap(&buffer, data, sizeof data, NULL, NULL, &err), 0);
    pst_buffer_unref(buffer);
    CHECK_INT(pst_buffer_wrap(&buffer, NULL, 0, NULL, NULL, &err), 0);
    pst_buffer_unref(buffer);
    CHECK_INT(pst_buffer_wrap(&buffer, NULL, 1, count_release, &released, &err), PST_EINVAL);
    CHECK(!buffer);
    CHECK_INT(released, 1);
    CHECK_INT(pst_buffer_wrap(NULL, data, 1, NULL, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 20000; i++)
        pst_buffer_unref(pst_buffer_ref(arg));
    pst_buffer_unref(arg);
    return NULL;
}

/* Each thread owns one reference; the last one to go releases, once. */
static void references_from_threads(void)
{
    int released = 0;
    char data[1];
    struct pst_buffer *buffer;
    pthread_t threads[4];
    CHECK_INT(pst_buffer_wrap(&buffer, data, 1, count_release, &released, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(
            pst__thread_start(&threads[i], "refs", 0, ref_and_unref, pst_buffer_ref(buffer), NULL),
            0);
    pst_buffer_unref(buffer);
    for (int i = 0; i < 4; i++)
        pst__thread_join(threads[i]);
    CHECK_INT(released, 1);
}

static void dtypes(void)
{
    static const int sizes[] = {0, 1, 8, 4, 1, 2, 4, 2, 2, 8, 1, 2, 4, 8, 0};
    for (int dtype = 0; dtype < 15; dtype++)
        CHECK_INT(pst_dtype_size(dtype), sizes[dtype]);
    CHECK_INT(PST_U8, 1);
    CHECK_INT(PST_I64, 2);
    CHECK_INT(PST_F32, 3);
    CHECK_INT(PST_BOOL, 10);
    CHECK_INT(pst_dtype_size(-1), 0);
}

static void tensors(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_buffer *buffer;
    struct pst_tensor tensor, moved, shared;
    static const int64_t shape[] = {2, 3, 4, 5};
    CHECK_INT(pst__buffer_new(&buffer, 480, NULL), 0);
    pst__tensor_over(&tensor, buffer, PST_F32, 4, shape);
    CHECK(tensor.data == pst_buffer_data(buffer));
    CHECK_INT(tensor.dtype, PST_F32);
    CHECK_INT(tensor.strides[0], 240);
    CHECK_INT(tensor.strides[1], 80);
    CHECK_INT(tensor.strides[2], 20);
    CHECK_INT(tensor.strides[3], 4);
    CHECK_INT(pst_tensor_numel(&tensor), 120);
    pst_tensor_move(&moved, &tensor);
    CHECK(!tensor.buffer && !tensor.data && tensor.ndim == 0);
    CHECK_INT(pst_tensor_numel(&tensor), 0);
    CHECK_INT(pst_tensor_numel(&moved), 120);
    pst_tensor_move(&moved, &moved);
    CHECK(moved.buffer == buffer);
    pst_tensor_ref(&shared, &moved);
    pst_tensor_reset(&moved);
    pst_tensor_reset(&moved);
    CHECK_INT(pst__mem_blocks(), blocks + 1);
    CHECK(shared.data == pst_buffer_data(buffer));
    pst_tensor_ref(&tensor, &moved); /* an empty one */
    CHECK(!tensor.buffer);
    pst_tensor_reset(&shared);
    CHECK_INT(pst__mem_blocks(), blocks);
    CHECK_INT(pst__buffer_new(&buffer, 0, NULL), 0);
    pst__tensor_over(&tensor, buffer, PST_I64, 1, (const int64_t[]){0});
    CHECK_INT(pst_tensor_numel(&tensor), 0);
    pst_tensor_reset(&tensor);
}

CHECK_MAIN(CASE(heap_buffers), CASE(wrapped_buffers), FAULT("R31", references_from_threads),
           CASE(dtypes), CASE(tensors))
