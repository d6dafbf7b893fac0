/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

/* An Array owns one struct pst_tensor, which holds a reference on its memory. Every exported buffer
 * holds the Array, so the memory lives as long as any view of it and goes back to the engine after
 * the last one. The engine does not touch memory that it has handed over: it is writable. */
struct core_array {
    PyObject ob_base;
    struct pst_tensor tensor;
    /* struct Py_buffer points to these. */
    Py_ssize_t shape[PST_MAX_DIMS];
    Py_ssize_t strides[PST_MAX_DIMS];
    Py_ssize_t n_bytes;
    Py_ssize_t item_size;
    struct dtype_row *dtype;
};

/* Not const: the format of a struct Py_buffer is a char *. */
struct dtype_row {
    int dtype;
    const char *name;
    char format[2];
};
static struct dtype_row dtypes[] = {
    /* The buffer protocol has no letter for bfloat16: it goes out as words of 16 bits. */
    {PST_U8, "u8", "B"},   {PST_I64, "i64", "q"},   {PST_F32, "f32", "f"},
    {PST_F16, "f16", "e"}, {PST_BF16, "bf16", "H"},
};

static struct dtype_row *dtype_find(int dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return &dtypes[i];
    return NULL;
}

/* Checks what the engine promises (C-contiguous, a known dtype, a size that fits) and copies the
 * shape. */
static int array_describe(struct core_array *self)
{
    const struct pst_tensor *tensor = &self->tensor;
    Py_ssize_t n_bytes = (Py_ssize_t)pst_dtype_size(tensor->dtype);
    self->dtype = dtype_find(tensor->dtype);
    self->item_size = n_bytes;
    if (!self->dtype || tensor->ndim < 0 || tensor->ndim > PST_MAX_DIMS)
        goto fail;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        if (tensor->shape[i] < 0 || (tensor->shape[i] > 1 && tensor->strides[i] != n_bytes))
            goto fail;
        self->shape[i] = (Py_ssize_t)tensor->shape[i];
        self->strides[i] = n_bytes;
        if (__builtin_mul_overflow(n_bytes, tensor->shape[i], &n_bytes))
            goto fail;
    }
    self->n_bytes = n_bytes;
    return 0;

fail:
    PyErr_SetString(PyExc_SystemError, "the engine made a tensor that is not C-contiguous");
    return -1;
}

PyObject *core_array_wrap(struct core_state *state, struct pst_tensor *tensor)
{
    PyObject *object = PyType_GenericAlloc((PyTypeObject *)state->array_type, 0); /* new */
    if (!object) {
        pst_tensor_reset(tensor);
        return NULL;
    }
    struct core_array *self = (struct core_array *)object;
    pst_tensor_move(&self->tensor, tensor);
    if (array_describe(self) < 0) {
        Py_DECREF(object);
        return NULL;
    }
    return object;
}

static int array_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    static char no_bytes;
    struct core_array *self = (struct core_array *)object;
    int ndim = self->tensor.ndim;
    if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && ndim > 1) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "Array is C-contiguous");
        return -1;
    }
    view->buf = self->tensor.data ? self->tensor.data : &no_bytes;
    view->obj = Py_NewRef(object); /* new */
    view->len = self->n_bytes;
    view->itemsize = self->item_size;
    view->readonly = 0;
    view->format = flags & PyBUF_FORMAT ? self->dtype->format : NULL;
    /* Without PyBUF_ND the consumer sees a line of bytes. */
    view->ndim = (flags & PyBUF_ND) == PyBUF_ND ? ndim : 1;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? self->shape : NULL;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

static PyObject *array_get_shape(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_array *self = (struct core_array *)object;
    PyObject *shape = PyTuple_New(self->tensor.ndim); /* new */
    for (int i = 0; shape && i < self->tensor.ndim; i++) {
        PyObject *item = PyLong_FromSsize_t(self->shape[i]); /* new, stolen by the tuple */
        if (!item || PyTuple_SetItem(shape, i, item) < 0)
            Py_CLEAR(shape);
    }
    return shape;
}

static PyObject *array_get_dtype(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyUnicode_FromString(((struct core_array *)object)->dtype->name); /* new */
}

static int array_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void array_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pst_tensor_reset(&((struct core_array *)object)->tensor);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyGetSetDef array_getset[] = {
    {"shape", array_get_shape, NULL, "Elements along each axis.", NULL},
    {"dtype", array_get_dtype, NULL, "\"u8\", \"i64\", \"f32\", \"f16\" or \"bf16\".", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static char array_doc[] =
    "A C-contiguous array that shares the engine's memory (buffer protocol, writable).";

PyObject *core_array_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, array_doc},
        {Py_tp_getset, array_getset},
        {Py_tp_traverse, CORE_SLOT(array_traverse)},
        {Py_tp_dealloc, CORE_SLOT(array_dealloc)},
        {Py_bf_getbuffer, CORE_SLOT(array_getbuffer)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Array",
        .basicsize = sizeof(struct core_array),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
