/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include "tensor_type.h"

/* Arrays in files as a dataset of rows. */

/* (path, name, kind, dtype, shape, offset); the tuple keeps the texts. */
static int parse_source(PyObject *item, struct pst_array_source *source)
{
    PyObject *path, *name, *dtype, *shape, *offset;
    char *text;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a source must be a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "SOiOO!O:source", &path, &name, &source->kind, &dtype,
                          &PyTuple_Type, &shape, &offset) ||
        core_to_uint64(offset, "offset", &source->offset) < 0 ||
        core_to_shape(&shape, 1, source->shape, &source->ndim) < 0 ||
        PyBytes_AsStringAndSize(path, &text, NULL) < 0) /* refuses a NUL in it */
        return -1;
    source->path = text;
    if (name != Py_None) {
        if (PyBytes_AsStringAndSize(name, &text, NULL) < 0)
            return -1;
        source->name = text;
    }
    if (dtype != Py_None) {
        const struct core_dtype *named = core_dtype_named(dtype);
        if (!named)
            return -1;
        source->dtype = named->dtype;
    }
    return 0;
}

static PyObject *core_array(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_array_source sources[PST_MAX_FIELDS] = {{0}};
    struct pst_array_config config;
    PyObject *tuple, *budget;
    pst_array_config_init(&config);
    if (!PyArg_ParseTuple(args, "O!iOp:array", &PyTuple_Type, &tuple, &config.access, &budget,
                          &config.is_unverified) ||
        core_to_uint64(budget, "budget", &config.memory_budget) < 0)
        return NULL;
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n < 1 || n > PST_MAX_FIELDS) {
        PyErr_Format(PyExc_ValueError, "%zd arrays, expected 1 to %d", n, PST_MAX_FIELDS);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (parse_source(PyTuple_GetItem(tuple, i), &sources[i]) < 0) /* borrowed */
            return NULL;
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* the tuple keeps the texts */
        rc = pst_array_open(&handle, sources, (size_t)n, &config, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_dataset_wrap(state, handle);
}

static struct pst_dataset *to_dataset(PyObject *module, PyObject *object)
{
    struct core_state *state = core_state_of_module(module);
    if (Py_TYPE(object) == (PyTypeObject *)state->dataset_type)
        return core_dataset_handle(object);
    PyErr_SetString(PyExc_TypeError, "a Dataset is needed");
    return NULL;
}

static PyObject *core_array_access(PyObject *module, PyObject *object) /* new */
{
    struct pst_dataset *handle = to_dataset(module, object);
    return handle ? PyLong_FromLong(pst_array_access(handle)) : NULL; /* new */
}

static PyObject *core_array_verify(PyObject *module, PyObject *object) /* new */
{
    struct pst_dataset *handle = to_dataset(module, object);
    if (!handle)
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_array_check(handle, &err);
    if (rc < 0)
        return core_fail(core_state_of_module(module), rc, &err);
    Py_RETURN_NONE;
}

PyMethodDef core_array_open_functions[] = {
    {"array", core_array, METH_VARARGS,
     "array(sources, access, budget, unverified, /)\n--\n\nThe rows of arrays in files."},
    {"array_access", core_array_access, METH_O,
     "array_access(dataset, /)\n--\n\n1: mapped, 2: read, 0: no files."},
    {"array_check", core_array_verify, METH_O,
     "array_check(dataset, /)\n--\n\nRaises where a file is no longer what was opened."},
    {NULL, NULL, 0, NULL},
};
