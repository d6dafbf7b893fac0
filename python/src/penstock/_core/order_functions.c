/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

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

static PyObject *core_normals(PyObject *module, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    int32_t n;
    Py_buffer view;
    if (core_check_args("normals", n_args, 2) < 0 || core_to_int32(args[1], "n", &n) < 0)
        return NULL;
    if (n < 16 || n > 1 << 20)
        return PyErr_Format(PyExc_ValueError, "%d normals, expected 16 to 2^20", (int)n);
    size_t n_words = (size_t)(n % 16 ? n + 16 : n);
    if (core_to_buffer(args[0], "words", (Py_ssize_t)(n_words * sizeof(uint32_t)), &view) < 0)
        return NULL;
    /* A copy, as a buffer need not be aligned for its elements. */
    uint32_t *words = PyMem_Malloc(n_words * sizeof *words);
    float *values = PyMem_Malloc((size_t)n * sizeof *values);
    PyObject *result = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = PST_ENOMEM;
    if (words && values) {
        memcpy(words, view.buf, n_words * sizeof *words);
        rc = pst_normal_fill(values, (size_t)n, words, &err);
    }
    if (rc == PST_OK)
        result = PyBytes_FromStringAndSize((const char *)values,
                                           (Py_ssize_t)((size_t)n * sizeof *values)); /* new */
    else if (!words || !values)
        PyErr_NoMemory();
    else
        core_fail(core_state_of_module(module), rc, &err);
    PyMem_Free(words);
    PyMem_Free(values);
    PyBuffer_Release(&view);
    return result;
}

PyMethodDef core_order_functions[] = {
    {"normals", (PyCFunction)(void (*)(void))core_normals, METH_FASTCALL,
     "normals(words, n, /)\n--\n\n"
     "What torch's normal_() makes of n words, and where n is not a multiple of 16 of 16 more."},
    {"permutation", (PyCFunction)(void (*)(void))core_permutation, METH_FASTCALL,
     "permutation(n, key, start, count, block, /)\n--\n\n"
     "What is at places start .. start + count - 1 of a shuffled order of 0 .. n - 1."},
    {NULL, NULL, 0, NULL},
};
