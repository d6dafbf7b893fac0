/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

static PyObject *finish(struct core_state *state, struct pst_tensor *made, PyObject *dtype_name,
                        int copy) /* new */
{
    const struct core_dtype *dtype = NULL;
    struct pst_tensor changed = {0};
    struct pst_error err = {0};
    int rc = PST_OK;
    if (dtype_name != Py_None && !(dtype = core_dtype_named(dtype_name))) {
        pst_tensor_reset(made);
        return NULL;
    }
    if (dtype && dtype->dtype != made->dtype)
        rc = core_tensor_cast(&changed, made, dtype->dtype, &err);
    else if (copy)
        rc = core_tensor_clone(&changed, made, &err);
    else
        pst_tensor_move(&changed, made);
    pst_tensor_reset(made);
    return rc == PST_OK ? core_tensor_wrap(state, &changed) : core_fail(state, rc, &err);
}

/* The buffer first: it alone says read-only to everyone, and has any strides. */
static int import_any(struct core_state *state, PyObject *object, struct pst_tensor *out)
{
    int has_dlpack = PyObject_HasAttr(object, state->name_dlpack);
    if (core_tensor_check(state, object)) {
        pst_tensor_ref(out, core_tensor_of(object));
        return 0;
    }
    if (PyObject_CheckBuffer(object)) {
        int rc = core_buffer_import(state, object, out);
        if (rc != 0 || !has_dlpack)
            return rc > 0 ? 0 : -1;
        PyErr_Clear();
    }
    if (has_dlpack)
        return core_dlpack_import(state, object, out);
    PyErr_Format(PyExc_TypeError,
                 "tensor() takes an object with a buffer (bytes, array.array, a NumPy array) or "
                 "with DLPack (a torch tensor), not %R",
                 (PyObject *)Py_TYPE(object));
    return -1;
}

static PyObject *core_tensor_function(PyObject *module, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"", "dtype", "copy", NULL};
    struct core_state *state = core_state_of_module(module);
    struct pst_tensor made;
    PyObject *object, *dtype = Py_None;
    int copy = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$Op:tensor", (char **)names, &object, &dtype,
                                     &copy) ||
        import_any(state, object, &made) < 0)
        return NULL;
    return finish(state, &made, dtype, copy);
}

static PyObject *core_from_dlpack(PyObject *module, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"", "copy", NULL};
    struct core_state *state = core_state_of_module(module);
    struct pst_tensor made;
    PyObject *object;
    int copy = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$p:from_dlpack", (char **)names, &object,
                                     &copy) ||
        core_dlpack_import(state, object, &made) < 0)
        return NULL;
    return finish(state, &made, Py_None, copy);
}

PyMethodDef core_tensor_functions[] = {
    {"tensor", (PyCFunction)(void (*)(void))core_tensor_function, METH_VARARGS | METH_KEYWORDS,
     "tensor(obj, /, *, dtype=None, copy=False)\n--\n\nA Tensor on the memory of obj, which has a "
     "buffer or DLPack; a copy where dtype or copy asks for it."},
    {"from_dlpack", (PyCFunction)(void (*)(void))core_from_dlpack, METH_VARARGS | METH_KEYWORDS,
     "from_dlpack(obj, /, *, copy=False)\n--\n\nA Tensor on the memory of obj, through DLPack."},
    {NULL, NULL, 0, NULL},
};
