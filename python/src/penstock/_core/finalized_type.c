/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

/* A signal's handler may raise at any instruction of Python, and what is raised in a `__del__` goes
 * nowhere: a Ctrl-C that comes there is lost. So the destructor is C; what the Python code that it
 * calls raises is handed to the program behind it. */

/* A second signal may come while what the first one broke off is done again. */
#define FINALIZE_TRIES 3

/* In the main thread, between two instructions of its program. */
static int raise_now(void *error)
{
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    return -1;
}

static PyObject *taken_error(void) /* new */
{
    PyObject *type, *error, *traceback; /* new */
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback)
        PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

static void raise_later(PyObject *self, PyObject *error)
{
    if (Py_AddPendingCall(raise_now, error) == 0)
        return;
    raise_now(error); /* too many calls are pending: there is only stderr left */
    PyErr_WriteUnraisable(self);
}

static void finalized_finalize(PyObject *self)
{
    PyObject *type, *error, *traceback; /* new: what is on its way where self dies */
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *errors[FINALIZE_TRIES]; /* new */
    int n = 0;
    while (n < FINALIZE_TRIES) {
        PyObject *name = PyUnicode_InternFromString("_finalize");                    /* new */
        PyObject *none = name ? PyObject_CallMethodObjArgs(self, name, NULL) : NULL; /* new */
        Py_XDECREF(name);
        Py_XDECREF(none);
        if (none)
            break;
        errors[n++] = taken_error();
    }
    /* Not before: a pending call runs at the next instruction, which was that of the next try. */
    for (int i = 0; i < n; i++)
        raise_later(self, errors[i]);
    PyErr_Restore(type, error, traceback);
}

static PyObject *finalized_nothing(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg)) /* new */
{
    Py_RETURN_NONE;
}

static PyMethodDef finalized_methods[] = {
    {"_finalize", finalized_nothing, METH_NOARGS,
     "_finalize($self)\n--\n\nNothing; for subclasses to override."},
    {NULL, NULL, 0, NULL},
};

static char finalized_doc[] =
    "A base whose _finalize() runs where a __del__ would.\n\nWhat a signal's handler raises in it "
    "is raised in the main thread as soon as the destructor is through, and _finalize() is called "
    "again: it can be called any number of times, and does not raise by itself.";

PyObject *core_finalized_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, finalized_doc},
        {Py_tp_methods, finalized_methods},
        {Py_tp_finalize, CORE_SLOT(finalized_finalize)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Finalized",
        .basicsize = sizeof(PyObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
