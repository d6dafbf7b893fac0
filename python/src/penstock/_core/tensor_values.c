/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

#include <string.h>

PyObject *core_tensor_to(PyObject *self, PyObject *name) /* new */
{
    struct pst_tensor made;
    struct pst_error err = {0};
    const struct core_dtype *dtype = core_dtype_named(name);
    if (!dtype)
        return NULL;
    if (dtype->dtype == core_tensor_of(self)->dtype)
        return Py_NewRef(self); /* new */
    int rc = core_tensor_cast(&made, core_tensor_of(self), dtype->dtype, &err);
    return core_tensor_result(self, rc, &made, &err);
}

PyObject *core_tensor_equal(PyObject *self, PyObject *other) /* new */
{
    int equal;
    if (!core_tensor_check(core_state_of(self), other))
        return PyErr_Format(PyExc_TypeError, "equal() compares with a Tensor, not %R",
                            (PyObject *)Py_TYPE(other));
    Py_BEGIN_ALLOW_THREADS equal = pst_tensor_equal(core_tensor_of(self), core_tensor_of(other));
    Py_END_ALLOW_THREADS return PyBool_FromLong(equal); /* new */
}

PyObject *core_tensor_repr(PyObject *self) /* new */
{
    const struct pst_tensor *tensor = core_tensor_of(self);
    char *text = NULL;
    size_t size = 0, needed;
    /* Another thread may write the elements between two calls: then the text is longer. */
    while ((needed = pst_tensor_print(tensor, text, size)) >= size) {
        size = needed + 1;
        char *grown = PyMem_Realloc(text, size);
        if (!grown) {
            PyMem_Free(text);
            return PyErr_NoMemory();
        }
        text = grown;
    }
    PyObject *result = core_text(text); /* new */
    PyMem_Free(text);
    return result;
}

/* Numbers for Python: a contiguous tensor of f64, i64, u64 or bool with the same values. */
static int wide_values(PyObject *self, struct pst_tensor *wide)
{
    const struct pst_tensor *tensor = core_tensor_of(self);
    struct pst_error err = {0};
    uint8_t code = core_dtype_find(tensor->dtype)->code;
    int dtype = code == 6                  ? PST_BOOL
                : tensor->dtype == PST_U64 ? PST_U64
                : code < 2                 ? PST_I64
                                           : PST_F64;
    int rc = core_tensor_cast(wide, tensor, dtype, &err);
    if (rc < 0)
        core_fail(core_state_of(self), rc, &err);
    return rc;
}

static PyObject *number(const struct pst_tensor *wide, int64_t i) /* new */
{
    switch (wide->dtype) {
    case PST_BOOL:
        return PyBool_FromLong(((const uint8_t *)wide->data)[i]); /* new */
    case PST_I64:
        return PyLong_FromLongLong(((const int64_t *)wide->data)[i]); /* new */
    case PST_U64:
        return PyLong_FromUnsignedLongLong(((const uint64_t *)wide->data)[i]); /* new */
    default:
        return PyFloat_FromDouble(((const double *)wide->data)[i]); /* new */
    }
}

static PyObject *nested(const struct pst_tensor *wide, int dim, int64_t first) /* new */
{
    if (dim == wide->ndim)
        return number(wide, first); /* new */
    int64_t n = wide->shape[dim], step = 1;
    for (int i = dim + 1; i < wide->ndim; i++)
        step *= wide->shape[i];
    PyObject *list = PyList_New((Py_ssize_t)n); /* new */
    for (int64_t i = 0; list && i < n; i++) {
        PyObject *item = nested(wide, dim + 1, first + i * step); /* new, stolen by the list */
        if (!item || PyList_SetItem(list, (Py_ssize_t)i, item) < 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *core_tensor_tolist(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    struct pst_tensor wide;
    if (wide_values(self, &wide) < 0)
        return NULL;
    PyObject *result = nested(&wide, 0, 0); /* new */
    pst_tensor_reset(&wide);
    return result;
}

PyObject *core_tensor_item(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    struct pst_tensor wide;
    int64_t n = pst_tensor_numel(core_tensor_of(self));
    if (n != 1)
        return PyErr_Format(PyExc_ValueError, "item() of a tensor of %lld elements", (long long)n);
    if (wide_values(self, &wide) < 0)
        return NULL;
    PyObject *result = number(&wide, 0); /* new */
    pst_tensor_reset(&wide);
    return result;
}

int core_tensor_bool(PyObject *self)
{
    if (pst_tensor_numel(core_tensor_of(self)) != 1) {
        PyErr_SetString(PyExc_ValueError, "only a tensor of one element is true or false");
        return -1;
    }
    PyObject *item = core_tensor_item(self, NULL); /* new */
    int truth = item ? PyObject_IsTrue(item) : -1;
    Py_XDECREF(item);
    return truth;
}

/* --- other libraries, imported when they are asked for --- */

static PyObject *call_library(const char *library, const char *function, PyObject *self) /* new */
{
    PyObject *module = PyImport_ImportModule(library);                                   /* new */
    PyObject *result = module ? PyObject_CallMethod(module, function, "O", self) : NULL; /* new */
    Py_XDECREF(module);
    return result;
}

PyObject *core_tensor_numpy(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    if (core_tensor_of(self)->dtype == PST_BF16) {
        PyErr_SetString(PyExc_TypeError,
                        "NumPy has no bfloat16: use torch(), or to(\"f32\").numpy()");
        return NULL;
    }
    return call_library("numpy", "asarray", self); /* new */
}

PyObject *core_tensor_torch(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    if (!pst_buffer_is_writable(core_tensor_of(self)->buffer)) {
        PyErr_SetString(PyExc_BufferError,
                        "the tensor is read-only, and torch has no such tensors: use "
                        "clone().torch()");
        return NULL;
    }
    return call_library("torch", "from_dlpack", self); /* new */
}

/* NumPy takes the buffer and comes here only for what has no format, which numpy() refuses; without
 * this method it would take the tensor for a sequence of objects. */
PyObject *core_tensor_array(PyObject *self, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"dtype", "copy", NULL};
    PyObject *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:__array__", (char **)names, &dtype, &copy))
        return NULL;
    PyObject *array = core_tensor_numpy(self, NULL); /* new */
    if (!array || (dtype == Py_None && copy == Py_None))
        return array;
    PyObject *numpy = PyImport_ImportModule("numpy");                       /* new */
    PyObject *make = numpy ? PyObject_GetAttrString(numpy, "array") : NULL; /* new */
    PyObject *one = make ? PyTuple_Pack(1, array) : NULL;                   /* new */
    PyObject *options = one ? Py_BuildValue("{sO}", "dtype", dtype) : NULL; /* new */
    PyObject *result = NULL;
    if (options && (copy == Py_None || PyDict_SetItemString(options, "copy", copy) == 0))
        result = PyObject_Call(make, one, options); /* new */
    Py_XDECREF(options);
    Py_XDECREF(one);
    Py_XDECREF(make);
    Py_XDECREF(numpy);
    Py_DECREF(array);
    return result;
}
