/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

struct core_transform {
    PyObject ob_base;
    struct pst_transform *handle; /* one reference; never NULL in an object that Python sees */
};

struct pst_transform *core_transform_handle(PyObject *transform)
{
    return ((struct core_transform *)transform)->handle;
}

/* A tuple of floats into to, of at most n. Returns how many there are, or -1. */
static Py_ssize_t parse_numbers(PyObject *tuple, double *to, Py_ssize_t n, const char *what)
{
    Py_ssize_t length = PyTuple_Size(tuple);
    if (length > n) {
        PyErr_Format(PyExc_ValueError, "%zd %s of an op, expected at most %zd", length, what, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        to[i] = PyFloat_AsDouble(PyTuple_GetItem(tuple, i) /* borrowed */);
        if (to[i] == -1.0 && PyErr_Occurred() /* borrowed */)
            return -1;
    }
    return length;
}

/* op->table is freed with PyMem_Free(). */
static int parse_table(PyObject *tuple, struct pst_op *op)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n <= 0)
        return (int)n;
    double *table = PyMem_New(double, n);
    if (!table) {
        PyErr_NoMemory();
        return -1;
    }
    op->table = table;
    op->n_table = (size_t)n;
    return parse_numbers(tuple, table, n, "numbers in the table") < 0 ? -1 : 0;
}

/* (kind, filter, h, w, max_size, threshold, scale0, scale1, ratio0, ratio1, log_ratio0,
 * log_ratio1[, numbers, count, table]) */
static int parse_op(PyObject *tuple, struct pst_op *op)
{
    long long threshold;
    int h, w, max_size, count = 0;
    PyObject *numbers = NULL, *table = NULL; /* borrowed */
    memset(op, 0, sizeof *op);
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "an op must be a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "iiiiiLddddff|O!iO!;an op must have 12 or 15 parts", &op->kind,
                          &op->filter, &h, &w, &max_size, &threshold, &op->scale[0], &op->scale[1],
                          &op->ratio[0], &op->ratio[1], &op->log_ratio[0], &op->log_ratio[1],
                          &PyTuple_Type, &numbers, &count, &PyTuple_Type, &table))
        return -1;
    op->count = count;
    if ((numbers && parse_numbers(numbers, op->number, 8, "numbers") < 0) ||
        (table && parse_table(table, op) < 0))
        return -1;
    if (threshold < 0 || threshold > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "threshold of an op is not in 0 .. 2**32 - 1");
        return -1;
    }
    op->h = h;
    op->w = w;
    op->max_size = max_size;
    op->threshold = (uint32_t)threshold;
    return 0;
}

static void free_ops(struct pst_op *ops, size_t n)
{
    for (size_t i = 0; ops && i < n; i++)
        PyMem_Free((void *)ops[i].table);
    PyMem_Free(ops);
}

/* *out is freed with free_ops(). */
static int parse_ops(PyObject *sequence, struct pst_op **out, size_t *n)
{
    PyObject *tuple = PySequence_Tuple(sequence); /* new */
    if (!tuple)
        return -1;
    Py_ssize_t length = PyTuple_Size(tuple);
    struct pst_op *ops = PyMem_Calloc((size_t)length + 1, sizeof *ops);
    if (!ops) {
        PyErr_NoMemory();
        goto fail;
    }
    for (Py_ssize_t i = 0; i < length; i++)
        if (parse_op(PyTuple_GetItem(tuple, i) /* borrowed */, &ops[i]) < 0)
            goto fail;
    Py_DECREF(tuple);
    *out = ops;
    *n = (size_t)length;
    return 0;

fail:
    free_ops(ops, (size_t)length);
    Py_DECREF(tuple);
    return -1;
}

static int parse_output(const char *dtype, PyObject *lut, struct pst_output *output)
{
    static const struct {
        const char *name;
        int dtype;
    } floats[] = {{"f32", PST_F32}, {"f16", PST_F16}, {"bf16", PST_BF16}};
    if (strcmp(dtype, "u8") == 0) {
        output->dtype = PST_U8;
        if (lut == Py_None)
            return 0;
        PyErr_SetString(PyExc_ValueError, "dtype \"u8\" takes no lut");
        return -1;
    }
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (strcmp(dtype, floats[i].name) == 0)
            output->dtype = floats[i].dtype;
    if (!output->dtype) {
        PyErr_Format(PyExc_ValueError,
                     "dtype is \"%s\", expected \"f32\", \"f16\", \"bf16\" or \"u8\"", dtype);
        return -1;
    }
    Py_buffer view;
    if (core_to_buffer(lut, "lut", sizeof output->lut, &view) < 0)
        return -1;
    memcpy(output->lut, view.buf, sizeof output->lut);
    PyBuffer_Release(&view);
    return 0;
}

static PyObject *transform_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"",    "dtype",    "lut",    "mean", "std",
                                        "era", "channels", "layout", NULL};
    struct pst_output output = {0};
    struct pst_transform_config config = {.struct_size = sizeof config, .output = &output};
    PyObject *sequence, *lut;
    const char *dtype;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O$sO(fff)(fff)iii:Transform", (char **)names,
                                     &sequence, &dtype, &lut, &output.mean[0], &output.mean[1],
                                     &output.mean[2], &output.std[0], &output.std[1],
                                     &output.std[2], &config.era, &config.channels, &output.layout))
        return NULL;
    struct pst_op *ops;
    if (parse_output(dtype, lut, &output) < 0 || parse_ops(sequence, &ops, &config.n_ops) < 0)
        return NULL;
    config.ops = ops;

    PyObject *object = PyType_GenericAlloc(type, 0); /* new */
    if (object) {
        struct pst_error err;
        pst_error_init(&err);
        int rc = pst_transform_new(&((struct core_transform *)object)->handle, &config, &err);
        if (rc < 0) {
            core_fail(core_state_of(object), rc, &err);
            Py_CLEAR(object);
        }
    }
    free_ops(ops, config.n_ops);
    return object;
}

static PyObject *transform_get_max_words(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyLong_FromSize_t(pst_transform_max_words(core_transform_handle(object))); /* new */
}

static PyObject *transform_get_draws_python(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyBool_FromLong(pst_transform_draws_python(core_transform_handle(object))); /* new */
}

static PyObject *transform_get_draws_normals(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyBool_FromLong(pst_transform_draws_normals(core_transform_handle(object))); /* new */
}

static PyObject *transform_get_channels(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    return PyLong_FromLong(pst_transform_channels(core_transform_handle(object))); /* new */
}

/* A copy, as a buffer need not be aligned for its elements. At least max_words of them, which the
 * engine relies on. *out is freed with PyMem_Free(). */
static int parse_words(PyObject *object, size_t max_words, uint32_t **out, size_t *n)
{
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
        return -1;
    int rc = -1;
    uint32_t *words = NULL;
    *n = (size_t)view.len / sizeof *words;
    if ((size_t)view.len % sizeof *words || *n < max_words)
        PyErr_Format(PyExc_ValueError,
                     "words has %zd bytes, expected at least %zu words of 4 bytes", view.len,
                     max_words);
    else if (!(words = PyMem_Malloc((size_t)view.len)))
        PyErr_NoMemory();
    else
        rc = 0;
    if (rc == 0)
        memcpy(words, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    *out = words;
    return rc;
}

static PyObject *transform_apply(PyObject *object, PyObject *const *args,
                                 Py_ssize_t n_args) /* new */
{
    struct pst_transform *handle = core_transform_handle(object);
    struct core_state *state = core_state_of(object);
    int32_t width, height;
    size_t size, n_words, used = 0;
    uint32_t *words;
    Py_buffer rgb;
    if (core_check_args("apply", n_args, 4) < 0 || core_to_int32(args[1], "width", &width) < 0 ||
        core_to_int32(args[2], "height", &height) < 0 ||
        core_image_size(width, height, 3, &size) < 0 ||
        core_to_buffer(args[0], "rgb", size, &rgb) < 0)
        return NULL;
    if (parse_words(args[3], pst_transform_max_words(handle), &words, &n_words) < 0) {
        PyBuffer_Release(&rgb);
        return NULL;
    }
    struct pst_tensor tensor = {0};
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = pst_transform_apply(
        handle, rgb.buf, width, height, (ptrdiff_t)width * 3, words, n_words, &used, &tensor, &err);
    Py_END_ALLOW_THREADS PyMem_Free(words);
    PyBuffer_Release(&rgb);
    if (rc < 0)
        return core_fail(state, rc, &err);
    PyObject *array = core_tensor_wrap(state, &tensor);           /* new */
    return array ? Py_BuildValue("(Nn)", array, (Py_ssize_t)used) /* new, takes array over */
                 : NULL;
}

static int transform_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void transform_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pst_transform_unref(core_transform_handle(object));
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef transform_methods[] = {
    {"apply", (PyCFunction)(void (*)(void))transform_apply, METH_FASTCALL,
     "apply($self, rgb, width, height, words, /)\n--\n\n"
     "The transform of one image: (pixels, words used)."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef transform_getset[] = {
    {"max_words", transform_get_max_words, NULL, "The most words that one sample can draw.", NULL},
    {"draws_python", transform_get_draws_python, NULL,
     "Whether it draws from Python's random, too.", NULL},
    {"draws_normals", transform_get_draws_normals, NULL, "Whether it draws normals.", NULL},
    {"channels", transform_get_channels, NULL, "Channels of the result: 3 or 1.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static char transform_doc[] =
    "Transform(ops, /, *, dtype, lut, mean, std, era, channels, layout)\n--\n\n"
    "A list of steps and an output.";

PyObject *core_transform_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, transform_doc},
        {Py_tp_new, CORE_SLOT(transform_new)},
        {Py_tp_methods, transform_methods},
        {Py_tp_getset, transform_getset},
        {Py_tp_traverse, CORE_SLOT(transform_traverse)},
        {Py_tp_dealloc, CORE_SLOT(transform_dealloc)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Transform",
        .basicsize = sizeof(struct core_transform),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
