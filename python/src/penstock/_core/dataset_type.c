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

struct pst_dataset *core_to_dataset(struct core_state *state, PyObject *object)
{
    if (Py_TYPE(object) == (PyTypeObject *)state->dataset_type)
        return core_dataset_handle(object);
    PyErr_SetString(PyExc_TypeError, "a Dataset is needed");
    return NULL;
}

PyObject *core_dataset_wrap(struct core_state *state, struct pst_dataset *handle) /* new */
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
    int64_t n_folder = pst_folder_n_classes(handle);
    int64_t n = n_folder > 0 ? n_folder : pst_list_n_classes(handle);
    PyObject *classes = PyList_New((Py_ssize_t)n); /* new */
    for (int64_t i = 0; classes && i < n; i++) {
        const char *text = n_folder > 0 ? pst_folder_class(handle, i) : pst_list_class(handle, i);
        PyObject *name = PyBytes_FromString(text); /* new, stolen by list */
        if (!name || PyList_SetItem(classes, (Py_ssize_t)i, name) < 0)
            Py_CLEAR(classes);
    }
    return classes;
}

static PyObject *dataset_labels(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    int64_t n = pst_dataset_length(handle), *labels = PyMem_New(int64_t, (size_t)n);
    if (!labels)
        return PyErr_NoMemory();
    for (int64_t i = 0; i < n; i++)
        labels[i] = pst_dataset_label(handle, i);
    Py_ssize_t size = (Py_ssize_t)n * (Py_ssize_t)sizeof *labels;
    PyObject *bytes = PyBytes_FromStringAndSize((char *)labels, size); /* new */
    PyMem_Free(labels);
    return bytes;
}

static PyObject *dataset_save(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct pst_dataset *handle = core_dataset_handle(object);
    struct pst_error err;
    pst_error_init(&err);
    int64_t size = pst_folder_save(handle, NULL, 0, &err);
    if (size < 0)
        return core_fail(core_state_of(object), (int)size, &err);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size); /* new */
    if (!bytes)
        return NULL;
    int64_t saved = pst_folder_save(handle, PyBytes_AsString(bytes), (size_t)size, &err);
    if (saved >= 0)
        return bytes;
    Py_DECREF(bytes);
    return core_fail(core_state_of(object), (int)saved, &err);
}

static PyObject *dataset_get_report(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct pst_folder_report report = {.struct_size = sizeof report};
    if (pst_folder_report(core_dataset_handle(object), &report) < 0)
        Py_RETURN_NONE;
    PyObject *damage = core_text(report.damage);           /* new */
    PyObject *not_written = core_text(report.not_written); /* new */
    PyObject *tuple = NULL;
    if (damage && not_written)
        tuple = Py_BuildValue("iOLLyOO", (int)report.index, report.written ? Py_True : Py_False,
                              (long long)report.folders, (long long)report.listed, report.path,
                              damage, not_written); /* new */
    Py_XDECREF(damage);
    Py_XDECREF(not_written);
    return tuple;
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
    {"labels", dataset_labels, METH_NOARGS, "labels($self, /)\n--\n\nAll labels, as int64."},
    {"save", dataset_save, METH_NOARGS,
     "save($self, /)\n--\n\nA folder's list of files as bytes, for restore()."},
    {"fields", core_dataset_fields, METH_NOARGS,
     "fields($self, /)\n--\n\n(name, dtype, shape) of each field of a dataset of rows."},
    {"gather", core_dataset_gather, METH_VARARGS,
     "gather($self, indices, buffers, lengths=..., /)\n--\n\nCopies rows, a buffer for each "
     "field."},
    {"lengths", core_dataset_lengths, METH_O,
     "lengths($self, indices, /)\n--\n\nOf fields whose rows are of different lengths, that of the "
     "longest of these rows."},
    {"intend", core_dataset_intend, METH_O,
     "intend($self, indices, /)\n--\n\nThese rows will be asked for soon."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef dataset_getset[] = {
    {"report", dataset_get_report, NULL, "How a folder was opened; else None.", NULL},
    {"classes", dataset_get_classes, NULL, "Class names of a folder or a list; else empty.", NULL},
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
    static const char *const names[] = {"", "allow_empty", "extensions", "index", NULL};
    struct core_state *state = core_state_of_module(module);
    PyObject *root, *extensions = NULL, *index = Py_None;
    int allow_empty = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "S|$pOO:folder", (char **)names, &root,
                                     &allow_empty, &extensions, &index))
        return NULL;
    if (allow_empty < 0 || !extensions) {
        PyErr_SetString(PyExc_TypeError, "folder() needs allow_empty and extensions");
        return NULL;
    }
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    config.allow_empty = allow_empty;
    char *root_text, *extensions_text = NULL, *index_text = NULL;
    /* With no place for a length this refuses bytes with a NUL in them (ValueError). */
    if (PyBytes_AsStringAndSize(root, &root_text, NULL) < 0 ||
        (extensions != Py_None &&
         PyBytes_AsStringAndSize(extensions, &extensions_text, NULL) < 0) ||
        (index != Py_None && PyBytes_AsStringAndSize(index, &index_text, NULL) < 0))
        return NULL;
    config.extensions = extensions_text;
    config.index = index_text;

    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* args keep the texts */
        rc = pst_folder_open(&handle, root_text, &config, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_dataset_wrap(state, handle);
}

static PyObject *core_restore(PyObject *module, PyObject *bytes) /* new */
{
    struct core_state *state = core_state_of_module(module);
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(bytes, &data, &size) < 0)
        return NULL;
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* bytes keeps the data */
        rc = pst_folder_restore(&handle, data, (size_t)size, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_dataset_wrap(state, handle);
}

/* columns: two bytes objects, or two integers for a list without a header. */
static int list_columns(PyObject *columns, struct pst_list_config *config)
{
    PyObject *path, *label;
    if (!PyArg_ParseTuple(columns, "OO:columns", &path, &label))
        return -1;
    config->by_column = !PyBytes_Check(path);
    if (config->by_column)
        return core_to_int32(path, "path", &config->path_column) < 0 ||
                       core_to_int32(label, "label", &config->label_column) < 0
                   ? -1
                   : 0;
    char *path_text, *label_text;
    if (PyBytes_AsStringAndSize(path, &path_text, NULL) < 0 ||
        PyBytes_AsStringAndSize(label, &label_text, NULL) < 0)
        return -1;
    config->path = path_text;
    config->label = label_text;
    return 0;
}

static PyObject *core_list(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_list_config config;
    PyObject *path, *root, *columns;
    char *path_text, *root_text;
    int kind, delimiter;
    pst_list_config_init(&config);
    if (!PyArg_ParseTuple(args, "SSO!ii:list", &path, &root, &PyTuple_Type, &columns, &kind,
                          &delimiter) ||
        PyBytes_AsStringAndSize(path, &path_text, NULL) < 0 ||
        PyBytes_AsStringAndSize(root, &root_text, NULL) < 0 || list_columns(columns, &config) < 0)
        return NULL;
    config.root = root_text;
    config.kind = (enum pst_list_kind)kind;
    config.delimiter = (char)delimiter;
    struct pst_dataset *handle = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS /* args keep the texts */
        rc = pst_list_open(&handle, path_text, &config, &err);
    Py_END_ALLOW_THREADS return rc < 0 ? core_fail(state, rc, &err)
                                       : core_dataset_wrap(state, handle);
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
    Py_END_ALLOW_THREADS result =
        rc < 0 ? core_fail(state, rc, &err) : core_dataset_wrap(state, handle);

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
    result = rc < 0 ? core_fail(state, rc, &err) : core_dataset_wrap(state, handle); /* new */
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
     "folder(root, /, *, allow_empty, extensions, index=None)\n--\n\nScans an image folder."},
    {"list", core_list, METH_VARARGS,
     "list(path, root, columns, kind, delimiter, /)\n--\n\nFiles that a CSV or JSONL file lists."},
    {"restore", core_restore, METH_O, "restore(saved, /)\n--\n\nA folder that was saved."},
    {"paths", (PyCFunction)(void (*)(void))core_paths, METH_FASTCALL,
     "paths(names, labels, /)\n--\n\nA list of files with labels."},
    {"pixels", (PyCFunction)(void (*)(void))core_pixels, METH_FASTCALL,
     "pixels(array, axis, labels, /)\n--\n\nImages in an array, which is kept and not copied."},
    {NULL, NULL, 0, NULL},
};
