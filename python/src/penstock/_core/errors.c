/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

/* One row of PST_STATUS_MAP names one of these. A status that is not an error has no exception of
 * its own; where it comes back from a call that has no use for it, it is an Error with its name. */
#define EXCEPTION_None(state) ((state)->error)
#define EXCEPTION_Error(state) ((state)->error)
#define EXCEPTION_DecodeError(state) ((state)->decode_error)
#define EXCEPTION_LimitError(state) ((state)->limit_error)
#define EXCEPTION_ForkError(state) ((state)->fork_error)
#define EXCEPTION_StopIteration(state) PyExc_StopIteration
#define EXCEPTION_ValueError(state) PyExc_ValueError
#define EXCEPTION_MemoryError(state) PyExc_MemoryError
#define EXCEPTION_OSError(state) PyExc_OSError
#define EXCEPTION_IndexError(state) PyExc_IndexError
#define EXCEPTION_TimeoutError(state) PyExc_TimeoutError
#define EXCEPTION_FileNotFoundError(state) PyExc_FileNotFoundError

static PyObject *exception_of(struct core_state *state, int status) /* borrowed */
{
    switch (status) {
#define EXCEPTION_CASE(name, value, exception, text)                                               \
    case value:                                                                                    \
        return EXCEPTION_##exception(state);
        PST_STATUS_MAP(EXCEPTION_CASE)
#undef EXCEPTION_CASE
    default:
        return state->error;
    }
}

/* The class attributes are what an instance has that Python code raised. */
static PyObject *error_class(const char *name, const char *doc, PyObject *bases) /* new */
{
    PyObject *dict = Py_BuildValue("{sssisi}", "status", "", "record", -1, "offset", -1); /* new */
    if (!dict)
        return NULL;
    PyObject *type = PyErr_NewExceptionWithDoc(name, doc, bases, dict); /* new */
    Py_DECREF(dict);
    return type;
}

static PyObject *error_subclass(struct core_state *state, const char *name, const char *doc,
                                PyObject *base) /* new */
{
    PyObject *bases = PyTuple_Pack(2, state->error, base); /* new */
    if (!bases)
        return NULL;
    PyObject *type = PyErr_NewExceptionWithDoc(name, doc, bases, NULL); /* new */
    Py_DECREF(bases);
    return type;
}

int core_errors_init(PyObject *module, struct core_state *state)
{
    state->error =
        error_class("penstock._core.Error",
                    "Base of the engine's own errors. status is the name of the status, record the "
                    "index in the dataset and offset the byte in the record (-1: not known).",
                    PyExc_Exception); /* new */
    if (!state->error)
        return -1;
    state->decode_error = error_subclass(state, "penstock._core.DecodeError",
                                         "The native decoders do not vouch for these bytes.",
                                         PyExc_ValueError); /* new
                                                             */
    state->limit_error =
        error_subclass(state, "penstock._core.LimitError", "Over one of the engine's limits.",
                       PyExc_ValueError); /* new */
    state->fork_error =
        error_subclass(state, "penstock._core.ForkError",
                       "The handle belongs to the parent process.", PyExc_RuntimeError); /* new */
    if (!state->decode_error || !state->limit_error || !state->fork_error)
        return -1;
    if (PyModule_AddObjectRef(module, "Error", state->error) < 0 ||
        PyModule_AddObjectRef(module, "DecodeError", state->decode_error) < 0 ||
        PyModule_AddObjectRef(module, "LimitError", state->limit_error) < 0 ||
        PyModule_AddObjectRef(module, "ForkError", state->fork_error) < 0)
        return -1;
    return 0;
}

const char *core_status_name(int status)
{
    const char *name = pst_status_name(status);
    return strncmp(name, "PST_", 4) == 0 ? name + 4 : name;
}

static int set_place(PyObject *exception, int status, const struct pst_error *err)
{
    PyObject *name = PyUnicode_FromString(core_status_name(status)); /* new */
    PyObject *record = PyLong_FromLongLong(err->record);             /* new */
    PyObject *offset = PyLong_FromLongLong(err->offset);             /* new */
    int rc = -1;
    if (name && record && offset && PyObject_SetAttrString(exception, "status", name) == 0 &&
        PyObject_SetAttrString(exception, "record", record) == 0 &&
        PyObject_SetAttrString(exception, "offset", offset) == 0)
        rc = 0;
    Py_XDECREF(name);
    Py_XDECREF(record);
    Py_XDECREF(offset);
    return rc;
}

PyObject *core_fail(struct core_state *state, int status, const struct pst_error *err)
{
    if (PyErr_Occurred()) /* borrowed */
        return NULL;
    PyObject *type = exception_of(state, status); /* borrowed */
    if (type == PyExc_StopIteration) {
        PyErr_SetNone(type);
        return NULL;
    }
    if (type == PyExc_MemoryError)
        return PyErr_NoMemory();
    PyObject *text = core_text(err->message[0] ? err->message : pst_status_text(status)); /* new */
    if (!text)
        return NULL;
    /* OSError picks its subclass (FileNotFoundError, PermissionError) only from two arguments. */
    PyObject *exception = type == PyExc_OSError && err->os_errno
                              ? PyObject_CallFunction(type, "iO", err->os_errno, text) /* new */
                              : PyObject_CallFunctionObjArgs(type, text, NULL);        /* new */
    Py_DECREF(text);
    if (!exception)
        return NULL;
    if (set_place(exception, status, err) == 0)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return NULL;
}
