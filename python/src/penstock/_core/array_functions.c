/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

#include "tensor_type.h"

/* <penstock/array.h>: arrays in files. */

/* --- faults of mapped files --- */

/* In the main thread, between two instructions. The exception is an OSError, for which no state of
 * the module is needed. */
static int raise_fault(void *Py_UNUSED(opaque))
{
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_fault_next(&err);
    if (rc == PST_END) /* several pages of one file are one fault */
        return 0;
    core_fail(NULL, rc, &err);
    return -1;
}

/* Within the handler of the signal. That is not one that comes at any moment: it is the thread's
 * own access to a mapped page, which Python's own code does nowhere, so the lock of the pending
 * calls is not held by this thread, and adding a call takes no memory. */
static void on_fault(void *Py_UNUSED(opaque))
{
    if (Py_IsInitialized())
        (void)Py_AddPendingCall(raise_fault, NULL); /* a full list has calls enough */
}

/* --- arguments --- */

/* A file as the functions below take it: (path, name, kind, dtype, shape, offset), path and name as
 * bytes, and of rows also (..., ragged, pad, most, multiple). What it points to lives as long as
 * the tuple. */
static int source_parse(PyObject *tuple, struct pst_array_source *source)
{
    const char *path;
    char *text = NULL;
    PyObject *name, *dtype, *shape;
    unsigned long long offset;
    long long ragged = 0, pad = 0, most = 0, multiple = 0;
    memset(source, 0, sizeof *source);
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "a file of arrays is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "yOiOO!K|LLLL:array", &path, &name, &source->kind, &dtype,
                          &PyTuple_Type, &shape, &offset, &ragged, &pad, &most, &multiple))
        return -1;
    if (name != Py_None && PyBytes_AsStringAndSize(name, &text, NULL) < 0)
        return -1;
    source->path = path;
    source->name = text;
    source->offset = offset;
    source->ragged = ragged;
    source->pad = pad;
    source->ragged_most = most;
    source->ragged_multiple = multiple;
    if (dtype != Py_None) {
        const struct core_dtype *found = core_dtype_named(dtype);
        if (!found)
            return -1;
        source->dtype = found->dtype;
    }
    Py_ssize_t n = PyTuple_Size(shape);
    if (n < 0 || n > PST_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "an array has at most %d dimensions", PST_MAX_DIMS);
        return -1;
    }
    source->ndim = (int)n;
    for (Py_ssize_t i = 0; i < n; i++)
        if (core_to_int64(PyTuple_GetItem(shape, i), "shape", &source->shape[i]) < 0) /* borrowed */
            return -1;
    return 0;
}

/* --- functions --- */

static PyObject *array_detect(PyObject *module, PyObject *path) /* new */
{
    const char *text = PyBytes_Check(path) ? PyBytes_AsString(path) : NULL;
    enum pst_array_kind kind;
    struct pst_error err;
    int rc;
    if (!text) {
        PyErr_SetString(PyExc_TypeError, "a path is bytes");
        return NULL;
    }
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS rc = pst_array_detect(text, &kind, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(core_state_of_module(module), rc, &err)
                                       : PyLong_FromLong((long)kind); /* new */
}

static PyObject *array_map(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_array_source source;
    struct pst_tensor tensor;
    struct pst_error err;
    PyObject *tuple;
    int mode, rc;
    if (!PyArg_ParseTuple(args, "Oi:array_map", &tuple, &mode) || source_parse(tuple, &source) < 0)
        return NULL;
    pst_fault_notify(on_fault, NULL);
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS rc = pst_array_map(&tensor, &source, mode, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_tensor_wrap(state, &tensor); /* new */
}

static PyObject *array_rows(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_array_source sources[PST_MAX_FIELDS];
    struct pst_array_config config;
    struct pst_dataset *dataset;
    struct pst_error err;
    PyObject *tuple;
    unsigned long long budget;
    int rc;
    pst_array_config_init(&config);
    if (!PyArg_ParseTuple(args, "O!iKp:array", &PyTuple_Type, &tuple, &config.access, &budget,
                          &config.is_unverified))
        return NULL;
    config.memory_budget = budget;
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n < 1 || n > PST_MAX_FIELDS)
        return PyErr_Format(PyExc_ValueError, "%zd files of arrays, expected 1 to %d", n,
                            PST_MAX_FIELDS);
    for (Py_ssize_t i = 0; i < n; i++)
        if (source_parse(PyTuple_GetItem(tuple, i), &sources[i]) < 0) /* borrowed */
            return NULL;
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS /* the tuple keeps the texts */
        rc = pst_array_open(&dataset, sources, (size_t)n, &config, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_dataset_wrap(state, dataset); /* new */
}

static PyObject *array_access(PyObject *module, PyObject *object) /* new */
{
    struct pst_dataset *handle = core_to_dataset(core_state_of_module(module), object);
    return handle ? PyLong_FromLong(pst_array_access(handle)) : NULL; /* new */
}

static PyObject *reading_why(PyObject *module, PyObject *object) /* new */
{
    struct pst_tokens_report report = {.struct_size = sizeof report};
    struct pst_dataset *handle = core_to_dataset(core_state_of_module(module), object);
    if (!handle)
        return NULL;
    const char *why = pst_array_why(handle);
    if (!why && pst_tokens_report(handle, &report) == PST_OK)
        why = report.why;
    return PyUnicode_FromString(why ? why : ""); /* new */
}

static PyObject *array_check(PyObject *module, PyObject *object) /* new */
{
    struct pst_dataset *handle = core_to_dataset(core_state_of_module(module), object);
    if (!handle)
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_array_check(handle, &err);
    if (rc < 0)
        return core_fail(core_state_of_module(module), rc, &err);
    Py_RETURN_NONE;
}

static PyObject *array_create(PyObject *module, PyObject *tuple) /* new */
{
    struct pst_array_source source;
    struct pst_error err;
    int rc;
    if (source_parse(tuple, &source) < 0)
        return NULL;
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS rc = pst_array_create(&source, &err);
    Py_END_ALLOW_THREADS if (rc < 0) return core_fail(core_state_of_module(module), rc, &err);
    Py_RETURN_NONE;
}

static PyObject *array_append(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    const char *path;
    PyObject *rows;
    struct pst_tensor tensor;
    struct pst_error err;
    int64_t n = 0;
    int rc;
    if (!PyArg_ParseTuple(args, "yO!:array_append", &path, state->tensor_type, &rows))
        return NULL;
    pst_tensor_ref(&tensor, core_tensor_of(rows));
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS rc = pst_array_append(path, &tensor, &n, &err);
    Py_END_ALLOW_THREADS pst_tensor_reset(&tensor);
    return rc < 0 ? core_fail(state, rc, &err) : PyLong_FromLongLong(n); /* new */
}

static PyObject *array_sync(PyObject *module, PyObject *object) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_tensor tensor;
    struct pst_error err;
    int rc;
    if (!core_tensor_check(state, object)) {
        PyErr_SetString(PyExc_TypeError, "array_sync() takes a Tensor");
        return NULL;
    }
    pst_tensor_ref(&tensor, core_tensor_of(object));
    pst_error_init(&err);
    Py_BEGIN_ALLOW_THREADS rc = pst_array_sync(&tensor, &err);
    Py_END_ALLOW_THREADS pst_tensor_reset(&tensor);
    if (rc < 0)
        return core_fail(state, rc, &err);
    Py_RETURN_NONE;
}

PyMethodDef core_array_functions[] = {
    {"array_detect", array_detect, METH_O,
     "array_detect(path, /)\n--\n\nWhich kind of a file of arrays it is."},
    {"array_map", array_map, METH_VARARGS,
     "array_map(source, mode, /)\n--\n\nAn array in a file as a Tensor over the mapped file. "
     "source: (path, name, kind, dtype, shape, offset)."},
    {"array", array_rows, METH_VARARGS,
     "array(sources, access, budget, unverified, /)\n--\n\nThe rows of arrays in files."},
    {"row_steps", core_row_steps, METH_VARARGS,
     "row_steps(rows, fields, /)\n--\n\nRows of a dataset after steps. fields: (name, ((kind, "
     "dtype, number, numbers, dim, shape, classes), ...)) of each."},
    {"array_access", array_access, METH_O,
     "array_access(dataset, /)\n--\n\n1: mapped, 2: read, 3: around the page cache, 0: no "
     "files of arrays."},
    {"reading_why", reading_why, METH_O,
     "reading_why(dataset, /)\n--\n\nWhy the files are read as they are; empty for others."},
    {"array_check", array_check, METH_O,
     "array_check(dataset, /)\n--\n\nRaises where a file is no longer what was opened."},
    {"array_create", array_create, METH_O,
     "array_create(source, /)\n--\n\nMakes a file of zeros, all of whose space is taken."},
    {"array_append", array_append, METH_VARARGS,
     "array_append(path, rows, /)\n--\n\nAdds rows to a file of NumPy; how many there are now."},
    {"array_sync", array_sync, METH_O,
     "array_sync(tensor, /)\n--\n\nWaits until what was written to an edited map is on the "
     "disk."},
    {NULL, NULL, 0, NULL},
};
