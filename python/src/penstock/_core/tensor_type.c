/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

#include <structmember.h>

/* DLPack's codes: 0 int, 1 unsigned, 2 float, 4 bfloat, 6 bool. */
static const struct core_dtype dtypes[] = {
    {PST_U8, "u8", "uint8", "B", 1, 8},        {PST_I8, "i8", "int8", "b", 0, 8},
    {PST_I16, "i16", "int16", "h", 0, 16},     {PST_I32, "i32", "int32", "i", 0, 32},
    {PST_I64, "i64", "int64", "q", 0, 64},     {PST_F16, "f16", "float16", "e", 2, 16},
    {PST_BF16, "bf16", "bfloat16", "", 4, 16}, {PST_F32, "f32", "float32", "f", 2, 32},
    {PST_F64, "f64", "float64", "d", 2, 64},   {PST_BOOL, "bool", "bool", "?", 6, 8},
    {PST_U16, "u16", "uint16", "H", 1, 16},    {PST_U32, "u32", "uint32", "I", 1, 32},
    {PST_U64, "u64", "uint64", "Q", 1, 64},
};

const struct core_dtype *core_dtype_find(int dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return &dtypes[i];
    return NULL;
}

const struct core_dtype *core_dtype_named(PyObject *name)
{
    if (PyUnicode_Check(name))
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
            if (PyUnicode_CompareWithASCIIString(name, dtypes[i].name) == 0 ||
                PyUnicode_CompareWithASCIIString(name, dtypes[i].long_name) == 0)
                return &dtypes[i];
    PyErr_Format(
        PyUnicode_Check(name) ? PyExc_ValueError : PyExc_TypeError,
        "no dtype: %R; the dtypes are \"u8\", \"u16\", \"u32\", \"u64\", \"i8\", \"i16\", "
        "\"i32\", \"i64\", \"f16\", \"bf16\", \"f32\", \"f64\" and \"bool\", or \"uint8\", "
        "\"float32\" and so on",
        name);
    return NULL;
}

const struct pst_tensor *core_tensor_of(PyObject *tensor)
{
    return &((struct core_tensor *)tensor)->tensor;
}

int core_tensor_check(struct core_state *state, PyObject *object)
{
    return Py_TYPE(object) == (PyTypeObject *)state->tensor_type;
}

PyObject *core_tensor_wrap(struct core_state *state, struct pst_tensor *tensor)
{
    const struct core_dtype *dtype = core_dtype_find(tensor->dtype);
    PyObject *object = NULL;
    if (!dtype || tensor->ndim < 0 || tensor->ndim > PST_MAX_DIMS)
        PyErr_SetString(PyExc_SystemError, "the engine made a tensor of an unknown kind");
    else
        object = PyType_GenericAlloc((PyTypeObject *)state->tensor_type, 0); /* new */
    if (!object) {
        pst_tensor_reset(tensor);
        return NULL;
    }
    struct core_tensor *self = (struct core_tensor *)object;
    pst_tensor_move(&self->tensor, tensor);
    self->dtype = dtype;
    for (int i = 0; i < self->tensor.ndim; i++) {
        self->shape[i] = (Py_ssize_t)self->tensor.shape[i];
        self->strides[i] = (Py_ssize_t)self->tensor.strides[i];
    }
    return object;
}

PyObject *core_tensor_result(PyObject *self, int rc, struct pst_tensor *made,
                             const struct pst_error *err) /* new */
{
    struct core_state *state = core_state_of(self);
    return rc == PST_OK ? core_tensor_wrap(state, made) : core_fail(state, rc, err);
}

/* To give the GIL away may cost a switch interval, which is more than a small copy. */
static PyThreadState *give_gil(const struct pst_tensor *tensor)
{
    return pst_tensor_bytes(tensor) >= 1 << 16 ? PyEval_SaveThread() : NULL;
}

static void take_gil(PyThreadState *given)
{
    if (given)
        PyEval_RestoreThread(given);
}

int core_tensor_clone(struct pst_tensor *out, const struct pst_tensor *from, struct pst_error *err)
{
    PyThreadState *given = give_gil(from);
    int rc = pst_tensor_clone(out, from, err);
    take_gil(given);
    return rc;
}

int core_tensor_cast(struct pst_tensor *out, const struct pst_tensor *from, int dtype,
                     struct pst_error *err)
{
    PyThreadState *given = give_gil(from);
    int rc = pst_tensor_cast(out, from, dtype, err);
    take_gil(given);
    return rc;
}

static PyObject *size_tuple(const Py_ssize_t *sizes, int n) /* new */
{
    PyObject *tuple = PyTuple_New(n); /* new */
    for (int i = 0; tuple && i < n; i++) {
        PyObject *item = PyLong_FromSsize_t(sizes[i]); /* new, stolen by the tuple */
        if (!item || PyTuple_SetItem(tuple, i, item) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *tensor_get_shape(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_tensor *self = (struct core_tensor *)object;
    return size_tuple(self->shape, self->tensor.ndim);
}

static PyObject *tensor_get_strides(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_tensor *self = (struct core_tensor *)object;
    return size_tuple(self->strides, self->tensor.ndim);
}

static PyObject *tensor_get_dtype(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyUnicode_FromString(((struct core_tensor *)object)->dtype->name); /* new */
}

static PyObject *tensor_get_ndim(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyLong_FromLong(core_tensor_of(object)->ndim); /* new */
}

static PyObject *tensor_get_nbytes(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyLong_FromLongLong(pst_tensor_bytes(core_tensor_of(object))); /* new */
}

static PyObject *tensor_get_itemsize(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyLong_FromLong(((struct core_tensor *)object)->dtype->bits / 8); /* new */
}

static PyObject *tensor_get_readonly(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyBool_FromLong(!pst_buffer_is_writable(core_tensor_of(object)->buffer)); /* new */
}

static PyObject *tensor_get_turned(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    const struct pst_tensor *tensor = core_tensor_of(object);
    struct pst_tensor made;
    struct pst_error err = {0};
    int dims[PST_MAX_DIMS];
    for (int i = 0; i < tensor->ndim; i++)
        dims[i] = tensor->ndim - 1 - i;
    int rc = pst_tensor_permute(&made, tensor, dims, &err);
    return core_tensor_result(object, rc, &made, &err);
}

static Py_ssize_t tensor_length(PyObject *object)
{
    struct core_tensor *self = (struct core_tensor *)object;
    if (self->tensor.ndim > 0)
        return self->shape[0];
    PyErr_SetString(PyExc_TypeError, "a tensor of 0 dimensions has no length");
    return -1;
}

/* Python would compare the rows by identity and answer no. */
static int tensor_contains(PyObject *Py_UNUSED(object), PyObject *Py_UNUSED(item))
{
    PyErr_SetString(PyExc_TypeError, "a tensor does not compare elements: use numpy() or torch()");
    return -1;
}

static PyObject *tensor_iter(PyObject *object) /* new */
{
    if (core_tensor_of(object)->ndim > 0)
        return PySeqIter_New(object); /* new */
    PyErr_SetString(PyExc_TypeError, "a tensor of 0 dimensions cannot be iterated over");
    return NULL;
}

static int tensor_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void tensor_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    struct core_tensor *self = (struct core_tensor *)object;
    PyObject_GC_UnTrack(object);
    if (self->weak_references)
        PyObject_ClearWeakRefs(object);
    pst_tensor_reset(&self->tensor);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyGetSetDef tensor_getset[] = {
    {"shape", tensor_get_shape, NULL, "Elements along each dimension.", NULL},
    {"strides", tensor_get_strides, NULL, "Bytes from one element to the next, by dimension.",
     NULL},
    {"dtype", tensor_get_dtype, NULL,
     "\"u8\", \"u16\", \"u32\", \"u64\", \"i8\", \"i16\", \"i32\", \"i64\", \"f16\", \"bf16\", "
     "\"f32\", "
     "\"f64\" or \"bool\".",
     NULL},
    {"ndim", tensor_get_ndim, NULL, "Number of dimensions.", NULL},
    {"nbytes", tensor_get_nbytes, NULL, "Bytes of the elements.", NULL},
    {"itemsize", tensor_get_itemsize, NULL, "Bytes of one element.", NULL},
    {"readonly", tensor_get_readonly, NULL, "Whether the memory must not be written.", NULL},
    {"T", tensor_get_turned, NULL, "A view with the dimensions in reverse order.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef tensor_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct core_tensor, weak_references), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static char tensor_doc[] = "An array that shares memory with whoever made it: the engine, or an "
                           "object given to tensor().\n"
                           "Views, copies, casts, and the ways out: the buffer protocol, DLPack, "
                           "numpy(), torch(). It has\n"
                           "no arithmetic, and == compares identity.";

static PyObject *tensor_is_contiguous(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    return PyBool_FromLong(pst_tensor_is_contiguous(core_tensor_of(self))); /* new */
}

static PyObject *tensor_data_ptr(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    return PyLong_FromVoidPtr(core_tensor_of(self)->data); /* new */
}

static PyObject *tensor_dlpack_device(PyObject *Py_UNUSED(self),
                                      PyObject *Py_UNUSED(unused)) /* new */
{
    return Py_BuildValue("(ii)", 1, 0); /* new */
}

#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL
#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

static PyMethodDef tensor_methods[] = {
    {"view", FAST(core_tensor_view),
     "view($self, /, *shape)\n--\n\nThe same memory in another shape, one size of which may be "
     "-1. ValueError where that needs a copy."},
    {"reshape", FAST(core_tensor_reshape),
     "reshape($self, /, *shape)\n--\n\nview(), of a contiguous copy where it must be."},
    {"permute", FAST(core_tensor_permute),
     "permute($self, /, *dims)\n--\n\nA view with the dimensions in this order."},
    {"transpose", FAST(core_tensor_transpose),
     "transpose($self, dim0, dim1, /)\n--\n\nA view with two dimensions swapped."},
    {"expand", FAST(core_tensor_expand),
     "expand($self, /, *shape)\n--\n\nA view that repeats dimensions of size 1; -1 keeps a "
     "size."},
    {"is_contiguous", tensor_is_contiguous, METH_NOARGS,
     "is_contiguous($self, /)\n--\n\nWhether the elements follow each other in C order."},
    {"contiguous", core_tensor_contiguous, METH_NOARGS,
     "contiguous($self, /)\n--\n\nThe tensor, or a copy of it that is C-contiguous."},
    {"clone", core_tensor_clone_method, METH_NOARGS,
     "clone($self, /)\n--\n\nA C-contiguous copy that may be written."},
    {"to", core_tensor_to, METH_O,
     "to($self, dtype, /)\n--\n\nThe tensor, or a copy of it in another dtype by torch's rules."},
    {"equal", core_tensor_equal, METH_O,
     "equal($self, other, /)\n--\n\nWhether dtype, shape and every byte are the same."},
    {"data_ptr", tensor_data_ptr, METH_NOARGS,
     "data_ptr($self, /)\n--\n\nThe address of the first element."},
    {"tolist", core_tensor_tolist, METH_NOARGS,
     "tolist($self, /)\n--\n\nNested lists of Python numbers."},
    {"item", core_tensor_item, METH_NOARGS,
     "item($self, /)\n--\n\nThe one element as a Python number."},
    {"numpy", core_tensor_numpy, METH_NOARGS,
     "numpy($self, /)\n--\n\nA NumPy array on the same memory."},
    {"torch", core_tensor_torch, METH_NOARGS,
     "torch($self, /)\n--\n\nA torch tensor on the same memory."},
    {"__array__", KEYWORDS(core_tensor_array),
     "__array__($self, /, dtype=None, copy=None)\n--\n\nFor NumPy."},
    {"__dlpack__", KEYWORDS(core_tensor_dlpack),
     "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
     "A DLPack capsule."},
    {"__dlpack_device__", tensor_dlpack_device, METH_NOARGS,
     "__dlpack_device__($self, /)\n--\n\nThe CPU."},
    {NULL, NULL, 0, NULL},
};

PyObject *core_tensor_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, tensor_doc},
        {Py_tp_getset, tensor_getset},
        {Py_tp_members, tensor_members},
        {Py_tp_methods, tensor_methods},
        {Py_tp_traverse, CORE_SLOT(tensor_traverse)},
        {Py_tp_dealloc, CORE_SLOT(tensor_dealloc)},
        {Py_tp_iter, CORE_SLOT(tensor_iter)},
        {Py_tp_repr, CORE_SLOT(core_tensor_repr)},
        {Py_nb_bool, CORE_SLOT(core_tensor_bool)},
        {Py_sq_length, CORE_SLOT(tensor_length)},
        {Py_sq_contains, CORE_SLOT(tensor_contains)},
        {Py_sq_item, CORE_SLOT(core_tensor_item_at)},
        {Py_mp_length, CORE_SLOT(tensor_length)},
        {Py_mp_subscript, CORE_SLOT(core_tensor_subscript)},
        {Py_bf_getbuffer, CORE_SLOT(core_tensor_getbuffer)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Tensor",
        .basicsize = sizeof(struct core_tensor),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
