/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <penstock/random.h>
#include <penstock/tensor.h>

/* Every function of the tensors that allocates, under a fault at every allocation: an empty result,
 * nothing leaked, and a generator that did not move. */

static int make_and_change(void *opaque)
{
    static const int64_t shape[] = {6, 5};
    static const uint8_t memory[30] = {1};
    struct pst_buffer *buffer = NULL;
    struct pst_tensor all[8] = {{0}}, turned = {0}, shifted = {0};
    struct pst_error err = {0};
    uint16_t element = 7;
    (void)opaque;
    int rc = pst_tensor_full(&all[0], PST_I16, 2, shape, &element, &err);
    if (rc == PST_OK)
        rc = pst_tensor_transpose(&turned, &all[0], 0, 1, &err);
    if (rc == PST_OK)
        rc = pst_tensor_contiguous(&all[1], &turned, &err);
    if (rc == PST_OK)
        rc = pst_tensor_cast(&all[2], &turned, PST_F32, &err);
    if (rc == PST_OK)
        rc = pst_tensor_cast(&all[3], &turned, PST_I16, &err);
    if (rc == PST_OK)
        rc = pst_tensor_slice(&all[4], &all[0], 0, 0, 5, 1, &err);
    if (rc == PST_OK)
        rc = pst_tensor_slice(&shifted, &all[0], 0, 1, 6, 1, &err);
    if (rc == PST_OK)
        rc = pst_tensor_copy(&shifted, &all[4], &err); /* overlaps: needs memory of its own */
    if (rc == PST_OK)
        rc = pst_buffer_wrap_const(&buffer, memory, sizeof memory, NULL, NULL, &err);
    if (rc == PST_OK)
        rc = pst_tensor_from_buffer(&all[5], buffer, 0, PST_U8, 2, shape, NULL, &err);
    if (rc == PST_OK)
        rc = pst_tensor_clone(&all[6], &all[5], &err);
    CHECK_INT(err.status, rc);
    CHECK(rc == PST_OK || err.message[0]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pst_tensor_reset(&all[i]);
    pst_tensor_reset(&turned);
    pst_tensor_reset(&shifted);
    pst_buffer_unref(buffer);
    return rc;
}

static int draw(void *opaque)
{
    static const int64_t shape[] = {3, 5};
    struct pst_generator *generator, *twin;
    struct pst_tensor out;
    (void)opaque;
    int rc = pst_generator_new(&generator, 1, NULL);
    CHECK((rc == PST_OK) == !!generator);
    if (rc < 0)
        return rc;
    rc = pst_generator_new(&twin, 1, NULL);
    for (int which = 0; which < 4 && rc == PST_OK; which++) {
        if (which == 0)
            rc = pst_tensor_rand(&out, generator, PST_F32, 2, shape, NULL);
        else if (which == 1)
            rc = pst_tensor_randn(&out, generator, PST_F64, 2, shape, NULL);
        else if (which == 2)
            rc = pst_tensor_randint(&out, generator, 0, 9, PST_U8, 2, shape, NULL);
        else
            rc = pst_tensor_randperm(&out, generator, 9, NULL);
        CHECK((rc == PST_OK) == !!out.buffer);
        if (rc < 0) /* nothing was drawn */
            CHECK_INT(pst_generator_word(generator), pst_generator_word(twin));
        pst_tensor_reset(&out);
        pst_generator_seed(generator, 1);
        pst_generator_seed(twin, 1);
    }
    pst_generator_free(twin);
    pst_generator_free(generator);
    return rc;
}

static const int may_be_memory[] = {PST_ENOMEM, 0};

static void memory_runs_out(void)
{
    struct fault_spec spec = {1u << PST_SYS_ALLOC, ENOMEM, may_be_memory, 100};
    int64_t n_failed, struck = fault_loop(&spec, make_and_change, NULL, &n_failed);
    CHECK(struck >= 14);
    CHECK_INT(n_failed, struck);
    struck = fault_loop(&spec, draw, NULL, &n_failed);
    CHECK(struck >= 12);
    CHECK_INT(n_failed, struck);
}

CHECK_MAIN(FAULT("R17", memory_runs_out))
#else
int main(void)
{
    return 77;
}
#endif
