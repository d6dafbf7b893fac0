/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

struct core_dataset {
    PyObject ob_base;
    struct pst_dataset *handle; /* one reference; never NULL in an object that Python sees */
    Py_buffer pixels;           /* obj is NULL where the dataset is not over an object's memory */
};

struct pst_dataset *core_dataset_handle(PyObject *dataset)
{
    return ((struct core_dataset *)dataset)->handle;
}

/* Takes over the reference on handle, on failure too. */
static PyObject *dataset_wrap(struct core_state *state, struct pst_dataset *handle) /* new */
{
    PyObject *object = PyType_GenericAlloc((PyTypeObject *)state->dataset_type, 0); /* new */
    if (!object) {
        pst_dataset_unref(handle);
        return NULL;
    }
    ((struct core_dataset *)object)->handle = handle;
    return object;
}

static Py_ssize_t dataset_length(PyObject *object)
{
    return (Py_ssize_t)pst_dataset_length(core_dataset_handle(object));
}

/* The engine leaves the check of an index to its callers. */
static int dataset_index(PyObject *object, PyObject *arg, int64_t *index)
{
    Py_ssize_t value = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    if (value == -1 && PyErr_Occurred()) /* borrowed */
        return -1;
    Py_ssize_t length = dataset_length(object);
    if (value < 0 || value >= length) {
        PyErr_Format(PyExc_IndexError, "index %zd is not in a dataset of %zd", value, length);
        return -1;
    }
    *index = value;
    return 0;
}

static PyObject *dataset_label(PyObject *object, PyObject *arg) /* new */
{
    int64_t index;
    if (dataset_index(object, arg, &index) < 0)
        return NULL;
    return PyLong_FromLongLong(pst_dataset_label(core_dataset_handle(object), index)); /* new */
}

static PyObject *dataset_name(PyObject *object, PyObject *arg) /* new */
{
    int64_t index;
    if (dataset_index(object, arg, &index) < 0)
        return NULL;
    char path[8192];
    struct pst_dataset *handle = core_dataset_handle(object);
    int64_t length = pst_dataset_copy_name(handle, index, path, sizeof path);
    if (length < (int64_t)sizeof path)
        return PyBytes_FromString(length < 0 ? "" : path); /* new */
    char *longer = PyMem_Malloc((size_t)length + 1);
    if (!longer)
        return PyErr_NoMemory();
    pst_dataset_copy_name(handle, index, longer, (size_t)length + 1);
    PyObject *name = PyBytes_FromString(longer); /* new */
    PyMem_Free(longer);
    return name;
}

static PyObject *dataset_get_classes(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    int64_t n = pst_folder_n_classes(handle);
    PyObject *classes = PyList_New((Py_ssize_t)n); /* new */
    for (int64_t i = 0; classes && i < n; i++) {
        PyObject *name = PyBytes_FromString(pst_folder_class(handle, i)); /* new, stolen by list */
        if (!name || PyList_SetItem(classes, (Py_ssize_t)i, name) < 0)
            Py_CLEAR(classes);
    }
    return classes;
}

static int dataset_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct core_dataset *)object)->pixels.obj);
    return 0;
}

/* A Loader holds the Dataset until its threads have ended, so that the pixels are not in use here.
 */
static void dataset_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pst_dataset_unref(core_dataset_handle(object));
    PyBuffer_Release(&((struct core_dataset *)object)->pixels);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef dataset_methods[] = {
    {"label", dataset_label, METH_O, "label($self, index, /)\n--\n\nLabel of a record."},
    {"name", dataset_name, METH_O, "name($self, index, /)\n--\n\nPath of a record."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef dataset_getset[] = {
    {"classes", dataset_get_classes, NULL, "Class names of a folder; else empty.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static char dataset_doc[] = "What can be indexed: records with labels.";

PyObject *core_dataset_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, dataset_doc},
        {Py_tp_methods, dataset_methods},
        {Py_tp_getset, dataset_getset},
        {Py_tp_traverse, CORE_SLOT(dataset_traverse)},
        {Py_tp_dealloc, CORE_SLOT(dataset_dealloc)},
        {Py_sq_length, CORE_SLOT(dataset_length)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Dataset",
        .basicsize = sizeof(struct core_dataset),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}

static PyObject *core_folder(PyObject *module, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"", "allow_empty", "extensions", NULL};
    struct core_state *state = core_state_of_module(module);
    PyObject *root, *extensions;
    int allow_empty;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "S$pO:folder", (char **)names, &root,
                                     &allow_empty, &extensions))
        return NULL;
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.allow_empty = allow_empty;
    char *root_text, *extensions_text = NULL;
    /* With no place for a length this refuses bytes with a NUL in them (ValueError). */
    if (PyBytes_AsStringAndSize(root, &root_text, NULL) < 0 ||
        (extensions != Py_None && PyBytes_AsStringAndSize(extensions, &extensions_text, NULL) < 0))
        return NULL;
    config.extensions = extensions_text;

    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* args keep the texts */
        rc = pst_folder_open(&handle, root_text, &config, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err) : dataset_wrap(state, handle);
}

/* The paths one after another, each with its NUL. *out is freed with PyMem_Free(). */
static int join_paths(PyObject *tuple, char **out, size_t *size)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    size_t total = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i); /* borrowed */
        char *text;
        if (PyBytes_AsStringAndSize(item, &text, NULL) < 0)
            return -1;
        total += (size_t)PyBytes_Size(item) + 1;
        if (total > PY_SSIZE_T_MAX) { /* many references to one large object */
            PyErr_NoMemory();
            return -1;
        }
    }
    char *joined = PyMem_Malloc(total);
    if (!joined) {
        PyErr_NoMemory();
        return -1;
    }
    char *to = joined;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i); /* borrowed */
        size_t length = (size_t)PyBytes_Size(item) + 1;
        memcpy(to, PyBytes_AsString(item), length);
        to += length;
    }
    *out = joined;
    *size = total;
    return 0;
}

static PyObject *core_paths(PyObject *module, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    if (core_check_args("paths", n_args, 2) < 0)
        return NULL;
    PyObject *result = NULL;
    char *joined = NULL;
    int64_t *labels = NULL;
    size_t joined_size, n_labels;
    PyObject *names = PySequence_Tuple(args[0]); /* new */
    if (!names)
        return NULL;
    if (join_paths(names, &joined, &joined_size) < 0 ||
        core_to_int64_list(args[1], PyExc_OverflowError, &labels, &n_labels) < 0)
        goto done;
    if (n_labels != (size_t)PyTuple_Size(names)) {
        PyErr_Format(PyExc_ValueError, "%zd names and %zu labels", PyTuple_Size(names), n_labels);
        goto done;
    }
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        pst_paths_open(&handle, joined, joined_size, labels, (int64_t)n_labels, &err);
    Py_END_ALLOW_THREADS result = rc < 0 ? core_fail(state, rc, &err) : dataset_wrap(state, handle);

done:
    PyMem_Free(labels);
    PyMem_Free(joined);
    Py_DECREF(names);
    return result;
}

/* The images of an array of bytes: axis 0 counts them, `axis` is that of the channels (1 or 3), or
 * -1 for grey images without one. */
static int describe_pixels(const Py_buffer *view, int axis, struct pst_pixels *first)
{
    int ndim = axis < 0 ? 3 : 4;
    if (view->ndim != ndim || (axis != -1 && axis != 1 && axis != 3) || view->itemsize != 1 ||
        (view->format && strcmp(view->format, "B") != 0)) {
        PyErr_Format(PyExc_ValueError, "pixels must be uint8 with %d axes", ndim);
        return -1;
    }
    int y = axis == 1 ? 2 : 1, x = y + 1;
    Py_ssize_t channels = axis < 0 ? 1 : view->shape[axis];
    if (view->shape[y] > INT32_MAX || view->shape[x] > INT32_MAX || channels > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "an image is too large");
        return -1;
    }
    *first = (struct pst_pixels){.data = view->buf,
                                 .width = (int32_t)view->shape[x],
                                 .height = (int32_t)view->shape[y],
                                 .channels = (int32_t)channels,
                                 .row = view->strides[y],
                                 .pixel = view->strides[x],
                                 .channel = axis < 0 ? 0 : view->strides[axis]};
    return 0;
}

/* n int64, copied: a buffer need not be aligned. *out is freed with PyMem_Free(). */
static int parse_labels(PyObject *object, Py_ssize_t n, int64_t **out)
{
    Py_buffer view;
    if (n > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(int64_t)) {
        PyErr_NoMemory();
        return -1;
    }
    size_t size = (size_t)n * sizeof(int64_t);
    if (core_to_buffer(object, "labels", size, &view) < 0)
        return -1;
    int64_t *labels = PyMem_Malloc(size);
    if (labels && size > 0)
        memcpy(labels, view.buf, size);
    PyBuffer_Release(&view);
    if (!labels) {
        PyErr_NoMemory();
        return -1;
    }
    *out = labels;
    return 0;
}

static PyObject *core_pixels(PyObject *module, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    Py_buffer view;
    int32_t axis;
    int64_t *labels = NULL;
    struct pst_pixels first;
    if (core_check_args("pixels", n_args, 3) < 0 || core_to_int32(args[1], "axis", &axis) < 0 ||
        PyObject_GetBuffer(args[0], &view, PyBUF_STRIDES | PyBUF_FORMAT) < 0)
        return NULL;
    PyObject *result = NULL;
    if (describe_pixels(&view, axis, &first) < 0 ||
        parse_labels(args[2], view.shape[0], &labels) < 0)
        goto done;
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc =
        pst_pixels_open(&handle, &first, view.shape[0], view.strides[0], labels, NULL, NULL, &err);
    result = rc < 0 ? core_fail(state, rc, &err) : dataset_wrap(state, handle); /* new */
    if (result) {
        ((struct core_dataset *)result)->pixels = view;
        view.obj = NULL; /* moved */
    }

done:
    PyMem_Free(labels);
    PyBuffer_Release(&view);
    return result;
}

PyMethodDef core_dataset_functions[] = {
    {"folder", (PyCFunction)(void (*)(void))core_folder, METH_VARARGS | METH_KEYWORDS,
     "folder(root, /, *, allow_empty, extensions)\n--\n\nScans an image folder."},
    {"paths", (PyCFunction)(void (*)(void))core_paths, METH_FASTCALL,
     "paths(names, labels, /)\n--\n\nA list of files with labels."},
    {"pixels", (PyCFunction)(void (*)(void))core_pixels, METH_FASTCALL,
     "pixels(array, axis, labels, /)\n--\n\nImages in an array, which is kept and not copied."},
    {NULL, NULL, 0, NULL},
};
