/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include "tensor_type.h"

/* 0 for None. */
static int parse_dtype(PyObject *name, int *dtype)
{
    *dtype = 0;
    if (name == Py_None)
        return 0;
    const struct core_dtype *named = core_dtype_named(name);
    if (!named)
        return -1;
    *dtype = named->dtype;
    return 0;
}

/* (path, kind, dtype, offset, group) of each file. paths of bytes stay the tuple's. *out is freed
 * with PyMem_Free(). */
static int parse_sources(PyObject *tuple, struct pst_token_source **out)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    struct pst_token_source *sources = PyMem_New(struct pst_token_source, n);
    if (!sources) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i); /* borrowed */
        PyObject *path, *dtype, *offset;
        char *text;
        struct pst_token_source *source = &sources[i];
        if (!PyTuple_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "a source must be a tuple");
            goto fail;
        }
        if (!PyArg_ParseTuple(item, "SiOOi:source", &path, &source->kind, &dtype, &offset,
                              &source->group) ||
            parse_dtype(dtype, &source->dtype) < 0 ||
            core_to_uint64(offset, "offset", &source->offset) < 0 ||
            PyBytes_AsStringAndSize(path, &text, NULL) < 0) /* refuses a NUL in it */
            goto fail;
        source->path = text;
    }
    *out = sources;
    return 0;
fail:
    PyMem_Free(sources);
    return -1;
}

/* *out is freed with PyMem_Free(); NULL for None. */
static int parse_weights(PyObject *object, double **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (object == Py_None)
        return 0;
    PyObject *tuple = PySequence_Tuple(object); /* new */
    if (!tuple)
        return -1;
    Py_ssize_t length = PyTuple_Size(tuple);
    double *weights = PyMem_New(double, length);
    if (!weights)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; weights && i < length; i++) {
        weights[i] = PyFloat_AsDouble(PyTuple_GetItem(tuple, i)); /* borrowed */
        if (weights[i] == -1 && PyErr_Occurred()) {               /* borrowed */
            PyMem_Free(weights);
            weights = NULL;
        }
    }
    Py_DECREF(tuple);
    *out = weights;
    *n = (size_t)length;
    return weights ? 0 : -1;
}

static int parse_pad(PyObject *pad, struct pst_tokens_config *config)
{
    config->is_padded = pad != Py_None;
    return config->is_padded ? core_to_int64(pad, "pad", &config->pad) : 0;
}

static PyObject *open_tokens(struct core_state *state, PyObject *tuple, PyObject *weight_object,
                             struct pst_tokens_config *config) /* new */
{
    struct pst_token_source *sources = NULL;
    double *weights = NULL;
    PyObject *result = NULL;
    if (parse_sources(tuple, &sources) < 0 ||
        parse_weights(weight_object, &weights, &config->n_groups) < 0)
        goto done;
    config->weights = weights;
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    size_t n = (size_t)PyTuple_Size(tuple);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* the tuple keeps the paths */
        rc = pst_tokens_open(&handle, sources, n, config, &err);
    Py_END_ALLOW_THREADS result =
        rc < 0 ? core_fail(state, rc, &err) : core_dataset_wrap(state, handle);
done:
    PyMem_Free(weights);
    PyMem_Free(sources);
    return result;
}

static PyObject *core_tokens(PyObject *module, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"",       "window", "stride", "targets", "dtype",
                                        "within", "pad",    "access", "budget",  "weights",
                                        "seed",   "length", NULL};
    PyObject *sources, *dtype, *pad, *budget, *weights, *seed;
    long long window, stride, length;
    struct pst_tokens_config config;
    pst_tokens_config_init(&config);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!$LLpUpOiOOOL:tokens", (char **)names,
                                     &PyTuple_Type, &sources, &window, &stride, &config.has_targets,
                                     &dtype, &config.documents, &pad, &config.access, &budget,
                                     &weights, &seed, &length) ||
        core_to_uint64(budget, "budget", &config.memory_budget) < 0 ||
        core_to_uint64(seed, "seed", &config.seed) < 0 || parse_pad(pad, &config) < 0)
        return NULL;
    const struct core_dtype *named = core_dtype_named(dtype);
    if (!named)
        return NULL;
    config.window = window;
    config.stride = stride;
    config.length = length;
    config.dtype = named->dtype;
    return open_tokens(core_state_of_module(module), sources, weights, &config);
}

static PyObject *core_tokens_report(PyObject *module, PyObject *dataset) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_tokens_report report = {.struct_size = sizeof report};
    if (!PyObject_TypeCheck(dataset, (PyTypeObject *)state->dataset_type)) {
        PyErr_SetString(PyExc_TypeError, "tokens_report() needs a Dataset");
        return NULL;
    }
    if (pst_tokens_report(core_dataset_handle(dataset), &report) < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("iLLLLL", report.access, (long long)report.n_tokens,
                         (long long)report.n_documents, (long long)report.n_windows,
                         (long long)report.n_padded, (long long)report.n_dropped); /* new */
}

PyMethodDef core_token_functions[] = {
    {"tokens", (PyCFunction)(void (*)(void))core_tokens, METH_VARARGS | METH_KEYWORDS,
     "tokens(sources, /, *, window, stride, targets, dtype, within, pad, access, budget, weights, "
     "seed, length)\n--\n\nWindows of files of tokens."},
    {"tokens_report", core_tokens_report, METH_O,
     "tokens_report(dataset, /)\n--\n\nWhat is in files of tokens; None for another dataset."},
    {NULL, NULL, 0, NULL},
};
