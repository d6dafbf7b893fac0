/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

static PyObject *core_permutation(PyObject *module, PyObject *const *args,
                                  Py_ssize_t n_args) /* new */
{
    int64_t length, start, count, block;
    uint64_t key;
    if (core_check_args("permutation", n_args, 5) < 0 || core_to_int64(args[0], "n", &length) < 0 ||
        core_to_uint64(args[1], "key", &key) < 0 || core_to_int64(args[2], "start", &start) < 0 ||
        core_to_int64(args[3], "count", &count) < 0 || core_to_int64(args[4], "block", &block) < 0)
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    struct pst_tensor made = {0};
    int rc = pst_tensor_empty(&made, PST_I64, 1, &count, &err);
    if (rc == PST_OK)
        rc = pst_order_indices(made.data, (size_t)count, start, length, key, block, &err);
    if (rc == PST_OK)
        return core_tensor_wrap(core_state_of_module(module), &made); /* new */
    pst_tensor_reset(&made);
    return core_fail(core_state_of_module(module), rc, &err);
}

PyMethodDef core_order_functions[] = {
    {"permutation", (PyCFunction)(void (*)(void))core_permutation, METH_FASTCALL,
     "permutation(n, key, start, count, block, /)\n--\n\n"
     "What is at places start .. start + count - 1 of a shuffled order of 0 .. n - 1."},
    {NULL, NULL, 0, NULL},
};
