/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_type.h"

#include <string.h>

#include "tensor_type.h"

/* Batches of a dataset of rows, and the dataset over tensors. */

static int n_fields_of(const struct core_loader *self)
{
    return pst_dataset_fields(core_dataset_handle(self->dataset), NULL, 0);
}

/* A tuple of Tensors; what fields hold is moved into them or given back. */
static PyObject *fields_tuple(struct core_state *state, struct pst_tensor *fields, int n) /* new */
{
    PyObject *tuple = PyTuple_New(n); /* new */
    for (int f = 0; tuple && f < n; f++) {
        PyObject *tensor = core_tensor_wrap(state, &fields[f]); /* new, stolen by tuple */
        if (!tensor || PyTuple_SetItem(tuple, f, tensor) < 0)
            Py_CLEAR(tuple);
    }
    for (int f = 0; f < n; f++)
        pst_tensor_reset(&fields[f]);
    return tuple;
}

PyObject *core_loader_take_fields(PyObject *object, PyObject *arg) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct core_state *state = core_state_of(object);
    struct pst_tensor fields[PST_MAX_FIELDS] = {0};
    uint64_t ticket;
    if (core_to_uint64(arg, "ticket", &ticket) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int n = n_fields_of(self);
    int rc = pst_loader_take_fields(self->handle, ticket, fields, n, &err);
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(state, rc, &err);
    return fields_tuple(state, fields, n);
}

/* Keeps the GIL where the copy takes less time than giving it away may. */
#define GIL_BYTES ((size_t)256 << 10)

/* How many it is not known where rows are of different lengths. */
static size_t row_bytes(const struct core_loader *self)
{
    struct pst_field fields[PST_MAX_FIELDS];
    int n = pst_dataset_fields(core_dataset_handle(self->dataset), fields, PST_MAX_FIELDS);
    size_t bytes = 0;
    for (int f = 0; f < n && f < PST_MAX_FIELDS; f++) {
        size_t size = pst_dtype_size(fields[f].dtype);
        if (fields[f].ndim > 0 && fields[f].shape[0] == -1)
            return GIL_BYTES;
        for (int d = 0; d < fields[f].ndim; d++)
            size *= (size_t)fields[f].shape[d]; /* the loader has found it to be within its limit */
        bytes += size;
    }
    return bytes;
}

PyObject *core_loader_gather(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct core_state *state = core_state_of(object);
    struct pst_tensor fields[PST_MAX_FIELDS] = {0};
    struct pst_buffer *memory = NULL;
    int64_t *indices;
    size_t n;
    if (n_args != 1 && core_check_args("gather", n_args, 4) < 0)
        return NULL;
    if (core_to_int64_list(args[0], PyExc_IndexError, &indices, &n) < 0)
        return NULL;
    if ((n_args == 4 && core_memory_wrap(state, args + 1, &memory) < 0) ||
        !core_loader_enter(self)) {
        pst_buffer_unref(memory);
        PyMem_Free(indices);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    int n_fields = n_fields_of(self);
    int is_long = n * row_bytes(self) >= GIL_BYTES;
    if (is_long)
        core_loader_gil_release(self);
    int rc = pst_loader_gather_into(self->handle, indices, n, memory, fields, n_fields, &err);
    if (is_long)
        core_loader_gil_acquire(self);
    core_loader_leave(self);
    pst_buffer_unref(memory);
    PyMem_Free(indices);
    return rc == PST_OK ? fields_tuple(state, fields, n_fields) : core_fail(state, rc, &err);
}

/* rows(tensors): a tuple of Tensors with as many rows each. */
static PyObject *core_rows(PyObject *module, PyObject *arg) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_tensor tensors[PST_MAX_FIELDS];
    if (!PyTuple_Check(arg) || PyTuple_Size(arg) < 1 || PyTuple_Size(arg) > PST_MAX_FIELDS) {
        PyErr_Format(PyExc_ValueError, "rows() takes a tuple of 1 to %d Tensors", PST_MAX_FIELDS);
        return NULL;
    }
    Py_ssize_t n = PyTuple_Size(arg);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *tensor = PyTuple_GetItem(arg, i); /* borrowed */
        if (!core_tensor_check(state, tensor)) {
            PyErr_SetString(PyExc_TypeError, "rows() takes a tuple of Tensors");
            return NULL;
        }
        tensors[i] = *core_tensor_of(tensor); /* looked at during the call only */
    }
    struct pst_dataset *handle;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_rows_open(&handle, tensors, NULL, (size_t)n, &err);
    return rc < 0 ? core_fail(state, rc, &err) : core_dataset_wrap(state, handle);
}

/* concat(datasets): a tuple of Datasets of rows. */
static PyObject *core_concat(PyObject *module, PyObject *arg) /* new */
{
    struct core_state *state = core_state_of_module(module);
    Py_ssize_t n = PyTuple_Check(arg) ? PyTuple_Size(arg) : -1;
    struct pst_dataset **parts = n > 0 ? PyMem_Calloc((size_t)n, sizeof *parts) : NULL;
    if (n <= 0) {
        PyErr_SetString(PyExc_ValueError, "concat() takes a tuple of Datasets");
        return NULL;
    }
    if (!parts)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        parts[i] = core_to_dataset(state, PyTuple_GetItem(arg, i)); /* borrowed */
        if (!parts[i]) {
            PyMem_Free(parts);
            return NULL;
        }
    }
    struct pst_dataset *handle;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_rows_concat(&handle, parts, (size_t)n, &err);
    PyMem_Free(parts);
    return rc < 0 ? core_fail(state, rc, &err) : core_dataset_wrap(state, handle);
}

PyMethodDef core_rows_functions[] = {
    {"rows", core_rows, METH_O,
     "rows(tensors, /)\n--\n\nThe rows of a tuple of Tensors, which are shared."},
    {"concat", core_concat, METH_O,
     "concat(datasets, /)\n--\n\nThe rows of a tuple of Datasets, one after the other."},
    {NULL, NULL, 0, NULL},
};
