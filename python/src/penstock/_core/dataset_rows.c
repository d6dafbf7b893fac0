/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

#include "tensor_type.h"

static PyObject *shape_tuple(const struct pst_field *field) /* new */
{
    PyObject *shape = PyTuple_New(field->ndim); /* new */
    for (int d = 0; shape && d < field->ndim; d++) {
        PyObject *size = PyLong_FromLongLong(field->shape[d]); /* new, stolen by tuple */
        if (!size || PyTuple_SetItem(shape, d, size) < 0)
            Py_CLEAR(shape);
    }
    return shape;
}

PyObject *core_dataset_fields(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct pst_field fields[PST_MAX_FIELDS];
    int n = pst_dataset_fields(core_dataset_handle(object), fields, PST_MAX_FIELDS);
    PyObject *list = PyList_New(n); /* new */
    for (int i = 0; list && i < n; i++) {
        PyObject *name = core_text(fields[i].name); /* new */
        PyObject *shape = shape_tuple(&fields[i]);  /* new */
        const struct core_dtype *dtype = core_dtype_find(fields[i].dtype);
        PyObject *field = NULL;
        if (name && shape)
            field = Py_BuildValue("OsO", name, dtype->name, shape); /* new, stolen by list */
        Py_XDECREF(name);
        Py_XDECREF(shape);
        if (!field || PyList_SetItem(list, i, field) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* int64 of the machine. A buffer need not be aligned: then they are copied to *copy, which is freed
 * with PyMem_Free(). */
struct indices {
    Py_buffer view;
    int64_t *copy;
    const int64_t *at;
    size_t n;
};

static int indices_parse(struct indices *indices, PyObject *object)
{
    indices->copy = NULL;
    if (PyObject_GetBuffer(object, &indices->view, PyBUF_SIMPLE) < 0)
        return -1;
    size_t size = (size_t)indices->view.len;
    if (size % sizeof(int64_t) != 0) {
        PyErr_Format(PyExc_ValueError, "indices have %zu bytes, which is no number of int64", size);
        goto fail;
    }
    indices->n = size / sizeof(int64_t);
    indices->at = indices->view.buf;
    if ((uintptr_t)indices->view.buf % _Alignof(int64_t) == 0)
        return 0;
    indices->copy = PyMem_Malloc(size);
    if (!indices->copy) {
        PyErr_NoMemory();
        goto fail;
    }
    memcpy(indices->copy, indices->view.buf, size);
    indices->at = indices->copy;
    return 0;
fail:
    PyBuffer_Release(&indices->view);
    return -1;
}

static void indices_release(struct indices *indices)
{
    PyMem_Free(indices->copy);
    PyBuffer_Release(&indices->view);
}

/* Bytes of n samples of a field, whose rows are so long where that differs. -1 with an exception
 * where that is more than there can be. */
static int field_size(const struct pst_field *field, size_t n, int64_t length, size_t *size)
{
    int is_over = __builtin_mul_overflow(n, pst_dtype_size(field->dtype), size);
    for (int d = 0; d < field->ndim; d++) {
        int64_t side = d == 0 && field->shape[0] == -1 ? length : field->shape[d];
        is_over |= __builtin_mul_overflow(*size, (size_t)side, size);
    }
    if (!is_over)
        return 0;
    PyErr_Format(PyExc_OverflowError, "%zu samples of '%s' are too many", n, field->name);
    return -1;
}

/* Where the fields of n samples go. */
struct targets {
    int n;
    size_t bytes; /* in all */
    Py_buffer view[PST_MAX_FIELDS];
    void *dst[PST_MAX_FIELDS];
};

static void targets_release(struct targets *targets)
{
    while (targets->n > 0)
        PyBuffer_Release(&targets->view[--targets->n]);
}

static int targets_parse(struct targets *targets, struct pst_dataset *handle, PyObject *buffers,
                         size_t n, const int64_t *lengths)
{
    struct pst_field fields[PST_MAX_FIELDS];
    int n_fields = pst_dataset_fields(handle, fields, PST_MAX_FIELDS);
    targets->n = 0;
    targets->bytes = 0;
    if (PyList_Size(buffers) != n_fields) {
        PyErr_Format(PyExc_ValueError, "%zd buffers for %d fields", PyList_Size(buffers), n_fields);
        return -1;
    }
    for (int i = 0; i < n_fields; i++) {
        size_t size;
        if (field_size(&fields[i], n, lengths[i], &size) < 0)
            goto fail;
        PyObject *buffer = PyList_GetItem(buffers, i); /* borrowed */
        Py_buffer *view = &targets->view[i];
        if (!buffer || PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE) < 0)
            goto fail;
        targets->n++;
        targets->dst[i] = view->buf;
        targets->bytes += size;
        if ((size_t)view->len != size) {
            PyErr_Format(PyExc_ValueError, "the buffer of '%s' has %zd bytes, expected %zu",
                         fields[i].name, view->len, size);
            goto fail;
        }
    }
    return 0;
fail:
    targets_release(targets);
    return -1;
}

/* A length for each field; zeros without a tuple. */
static int lengths_parse(int64_t lengths[PST_MAX_FIELDS], const struct pst_dataset *handle,
                         PyObject *tuple)
{
    int n = pst_dataset_fields(handle, NULL, 0);
    memset(lengths, 0, PST_MAX_FIELDS * sizeof *lengths);
    if (tuple && PyTuple_Size(tuple) != n) {
        PyErr_Format(PyExc_ValueError, "%zd lengths for %d fields", PyTuple_Size(tuple), n);
        return -1;
    }
    for (int i = 0; tuple && i < n; i++) {
        if (core_to_int64(PyTuple_GetItem(tuple, i), "length", &lengths[i]) < 0) /* borrowed */
            return -1;
        if (lengths[i] < 0) {
            PyErr_SetString(PyExc_ValueError, "a length is negative");
            return -1;
        }
    }
    return 0;
}

PyObject *core_dataset_lengths(PyObject *object, PyObject *arg) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    struct indices indices;
    int64_t lengths[PST_MAX_FIELDS];
    struct pst_error err;
    int rc, n = pst_dataset_fields(handle, NULL, 0);
    if (indices_parse(&indices, arg) < 0)
        return NULL;
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS /* it may read from files */
        rc = pst_dataset_lengths(handle, indices.at, indices.n, lengths, &err);
    Py_END_ALLOW_THREADS indices_release(&indices);
    if (rc < 0)
        return core_fail(core_state_of(object), rc, &err);
    PyObject *tuple = PyTuple_New(n); /* new */
    for (int i = 0; tuple && i < n; i++) {
        PyObject *length = PyLong_FromLongLong(lengths[i]); /* new, stolen by tuple */
        if (!length || PyTuple_SetItem(tuple, i, length) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

PyObject *core_dataset_gather(PyObject *object, PyObject *args) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    PyObject *index_buffer, *buffers, *tuple = NULL;
    struct indices indices;
    struct targets targets;
    int64_t lengths[PST_MAX_FIELDS];
    if (!PyArg_ParseTuple(args, "OO!|O!:gather", &index_buffer, &PyList_Type, &buffers,
                          &PyTuple_Type, &tuple) ||
        lengths_parse(lengths, handle, tuple) < 0 || indices_parse(&indices, index_buffer) < 0)
        return NULL;
    if (targets_parse(&targets, handle, buffers, indices.n, lengths) < 0) {
        indices_release(&indices);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    /* To give the GIL away may cost a switch interval, which is more than a small copy. */
    PyThreadState *given = targets.bytes >= 1 << 16 ? PyEval_SaveThread() : NULL;
    int rc = tuple ? pst_gather_padded(handle, indices.at, indices.n, lengths, targets.dst, &err)
                   : pst_gather(handle, indices.at, indices.n, targets.dst, &err);
    if (given)
        PyEval_RestoreThread(given);
    targets_release(&targets);
    indices_release(&indices);
    if (rc < 0)
        return core_fail(core_state_of(object), rc, &err);
    Py_RETURN_NONE;
}

PyObject *core_dataset_intend(PyObject *object, PyObject *arg) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    struct indices indices;
    if (indices_parse(&indices, arg) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS /* a call of the system for each piece */
        pst_dataset_intend(handle, indices.at, indices.n);
    Py_END_ALLOW_THREADS indices_release(&indices);
    Py_RETURN_NONE;
}
