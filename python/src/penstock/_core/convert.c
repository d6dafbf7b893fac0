/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

int core_check_args(const char *function, Py_ssize_t given, Py_ssize_t expected)
{
    if (given == expected)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes exactly %zd positional arguments (%zd given)",
                 function, expected, given);
    return -1;
}

int core_to_int64(PyObject *object, const char *name, int64_t *out)
{
    long long value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred()) /* borrowed */ {
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            PyErr_Format(PyExc_OverflowError, "%s does not fit in 64 bits", name);
        return -1;
    }
    *out = value;
    return 0;
}

int core_to_int32(PyObject *object, const char *name, int32_t *out)
{
    int64_t value;
    if (core_to_int64(object, name, &value) < 0)
        return -1;
    if (value < INT32_MIN || value > INT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%s does not fit in 32 bits", name);
        return -1;
    }
    *out = (int32_t)value;
    return 0;
}

int core_to_uint64(PyObject *object, const char *name, uint64_t *out)
{
    PyObject *index = PyNumber_Index(object); /* new */
    if (!index)
        return -1;
    unsigned long long value = PyLong_AsUnsignedLongLong(index);
    Py_DECREF(index);
    if (value == (unsigned long long)-1 && PyErr_Occurred()) /* borrowed */ {
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            PyErr_Format(PyExc_OverflowError, "%s is not in 0 .. 2**64 - 1", name);
        return -1;
    }
    *out = value;
    return 0;
}

int core_to_int64_list(PyObject *sequence, PyObject *too_large, int64_t **out, size_t *n)
{
    /* A tuple cannot change while an item's __index__ runs Python code, so that its borrowed items
     * stay; of a tuple this is the tuple itself, of a list a copy. */
    PyObject *tuple = PySequence_Tuple(sequence); /* new */
    if (!tuple)
        return -1;
    Py_ssize_t length = PyTuple_Size(tuple);
    int64_t *values = PyMem_New(int64_t, length);
    if (!values) {
        PyErr_NoMemory();
        goto fail;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i); /* borrowed */
        Py_ssize_t value = PyNumber_AsSsize_t(item, too_large);
        if (value == -1 && PyErr_Occurred()) /* borrowed */
            goto fail;
        values[i] = value;
    }
    Py_DECREF(tuple);
    *out = values;
    *n = (size_t)length;
    return 0;

fail:
    PyMem_Free(values);
    Py_DECREF(tuple);
    return -1;
}

int core_to_buffer(PyObject *object, const char *name, size_t size, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return -1;
    if ((size_t)view->len == size)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, expected %zu", name, view->len, size);
    PyBuffer_Release(view);
    return -1;
}

int core_image_size(int32_t width, int32_t height, int channels, size_t *size)
{
    if (width > 0 && height > 0 && !__builtin_mul_overflow((size_t)width, (size_t)height, size) &&
        !__builtin_mul_overflow(*size, (size_t)channels, size))
        return 0;
    PyErr_Format(PyExc_ValueError, "an image cannot be %d x %d pixels", (int)width, (int)height);
    return -1;
}

PyObject *core_text(const char *text)
{
    /* A message may also have been cut in the middle of a character. */
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace"); /* new */
}
