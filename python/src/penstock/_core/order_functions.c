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

/* n normals of a buffer of words. */
static PyObject *make_normals(PyObject *module, PyObject *buffer, size_t n, size_t n_words,
                              int (*make)(float *, size_t, const uint32_t *,
                                          struct pst_error *)) /* new */
{
    Py_buffer view;
    if (core_to_buffer(buffer, "words", (Py_ssize_t)(n_words * sizeof(uint32_t)), &view) < 0)
        return NULL;
    /* A copy, as a buffer need not be aligned for its elements. */
    uint32_t *words = PyMem_Malloc(n_words * sizeof *words);
    float *values = PyMem_Malloc(n * sizeof *values);
    PyObject *result = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = PST_ENOMEM;
    if (words && values) {
        memcpy(words, view.buf, n_words * sizeof *words);
        rc = make(values, n, words, &err);
    }
    if (rc == PST_OK)
        result = PyBytes_FromStringAndSize((const char *)values,
                                           (Py_ssize_t)(n * sizeof *values)); /* new */
    else if (!words || !values)
        PyErr_NoMemory();
    else
        core_fail(core_state_of_module(module), rc, &err);
    PyMem_Free(words);
    PyMem_Free(values);
    PyBuffer_Release(&view);
    return result;
}

static PyObject *core_normals(PyObject *module, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    int32_t n;
    if (core_check_args("normals", n_args, 2) < 0 || core_to_int32(args[1], "n", &n) < 0)
        return NULL;
    if (n < 16 || n > 1 << 20)
        return PyErr_Format(PyExc_ValueError, "%d normals, expected 16 to 2^20", (int)n);
    size_t count = (size_t)n;
    return make_normals(module, args[0], count, count % 16 ? count + 16 : count, pst_normal_fill);
}

static PyObject *core_normal_pairs(PyObject *module, PyObject *const *args,
                                   Py_ssize_t n_args) /* new */
{
    int32_t n;
    if (core_check_args("normal_pairs", n_args, 2) < 0 || core_to_int32(args[1], "n", &n) < 0)
        return NULL;
    if (n < 2 || n > 1 << 20)
        return PyErr_Format(PyExc_ValueError, "%d normals, expected 2 to 2^20", (int)n);
    size_t count = (size_t)n;
    return make_normals(module, args[0], count, 2 * count, pst_normal_pairs);
}

PyMethodDef core_order_functions[] = {
    {"normals", (PyCFunction)(void (*)(void))core_normals, METH_FASTCALL,
     "normals(words, n, /)\n--\n\n"
     "What torch's normal_() makes of n words, and where n is not a multiple of 16 of 16 more."},
    {"normal_pairs", (PyCFunction)(void (*)(void))core_normal_pairs, METH_FASTCALL,
     "normal_pairs(words, n, /)\n--\n\n"
     "What torch's normal_() makes one by one of 2 n words, n even."},
    {"permutation", (PyCFunction)(void (*)(void))core_permutation, METH_FASTCALL,
     "permutation(n, key, start, count, block, /)\n--\n\n"
     "What is at places start .. start + count - 1 of a shuffled order of 0 .. n - 1."},
    {NULL, NULL, 0, NULL},
};
