/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

#include <string.h>

/* A writer is used by one thread at a time: `busy` sees to it, since the calls that wait for the
 * disk give the GIL away. */
struct core_array_writer {
    PyObject ob_base;
    struct pst_array_writer *handle; /* NULL when closed */
    struct pst_array_column *columns;
    int n_columns;
    int busy; /* atomic, acquire and release */
};

/* Returns self with a handle, or NULL with an exception set. */
static struct core_array_writer *enter(PyObject *object)
{
    struct core_array_writer *self = (struct core_array_writer *)object;
    int idle = 0;
    if (!__atomic_compare_exchange_n(&self->busy, &idle, 1, 0, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED)) {
        PyErr_SetString(PyExc_RuntimeError, "the writer is in use by another thread");
        return NULL;
    }
    if (self->handle)
        return self;
    __atomic_store_n(&self->busy, 0, __ATOMIC_RELEASE);
    PyErr_SetString(PyExc_ValueError, "the writer is closed");
    return NULL;
}

static void leave(struct core_array_writer *self)
{
    __atomic_store_n(&self->busy, 0, __ATOMIC_RELEASE);
}

/* --- making one --- */

static int parse_column(PyObject *item, struct pst_array_column *column)
{
    PyObject *name, *dtype_name, *shape; /* borrowed */
    long long items;
    if (!PyArg_ParseTuple(item, "UUOpL:ArrayWriter", &name, &dtype_name, &shape, &column->is_ragged,
                          &items))
        return -1;
    Py_ssize_t size;
    column->name = PyUnicode_AsUTF8AndSize(name, &size);
    if (!column->name)
        return -1;
    if (strlen(column->name) != (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "a column's name with a NUL");
        return -1;
    }
    const struct core_dtype *dtype = core_dtype_named(dtype_name);
    if (!dtype || core_to_shape(&shape, 1, column->shape, &column->ndim) < 0)
        return -1;
    column->dtype = dtype->dtype;
    column->items = items;
    return 0;
}

/* *columns is freed with PyMem_Free(); its names are valid while the tuple is. */
static int parse_columns(PyObject *tuple, struct pst_array_column **columns)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    *columns = PyMem_Calloc((size_t)n + 1, sizeof **columns);
    if (!*columns) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i); /* borrowed */
        if (parse_column(item, &(*columns)[i]) < 0)
            return -1;
    }
    return 0;
}

static PyObject *wrap(PyTypeObject *type, struct pst_array_writer *handle) /* new */
{
    struct core_array_writer *self = NULL;
    int n = pst_array_writer_columns(handle, NULL, 0);
    struct pst_array_column *columns = PyMem_Calloc((size_t)n, sizeof *columns);
    if (columns)
        self = (struct core_array_writer *)PyType_GenericAlloc(type, 0); /* new */
    if (!self) {
        PyMem_Free(columns);
        pst_array_writer_close(&handle);
        return PyErr_NoMemory();
    }
    pst_array_writer_columns(handle, columns, n);
    self->handle = handle;
    self->columns = columns;
    self->n_columns = n;
    return (PyObject *)self;
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {
        "", "", "mode", "rows", "note", "keep", "block_bytes", "buffer_bytes", NULL};
    struct core_state *state = PyType_GetModuleState(type);
    struct pst_array_writer_config config;
    struct pst_array_column *columns = NULL;
    struct pst_array_writer *handle = NULL;
    struct pst_error err = {0};
    const char *path;
    PyObject *sequence;
    long long rows = -1;
    Py_ssize_t block_bytes = 0, buffer_bytes = 0;
    pst_array_writer_config_init(&config);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "yO|$iLzpnn:ArrayWriter", (char **)names, &path,
                                     &sequence, &config.mode, &rows, &config.note, &config.keep,
                                     &block_bytes, &buffer_bytes))
        return NULL;
    if (block_bytes < 0 || buffer_bytes < 0)
        return PyErr_Format(PyExc_ValueError, "block_bytes or buffer_bytes is negative");
    PyObject *tuple = sequence == Py_None ? PyTuple_New(0) : PySequence_Tuple(sequence); /* new */
    if (!tuple)
        return NULL;
    PyObject *made = NULL;
    if (parse_columns(tuple, &columns) == 0) {
        config.columns = sequence == Py_None ? NULL : columns;
        config.n_columns = (size_t)PyTuple_Size(tuple);
        config.rows = rows;
        config.block_bytes = (size_t)block_bytes;
        config.buffer_bytes = (size_t)buffer_bytes;
        int rc;
        Py_BEGIN_ALLOW_THREADS;
        rc = pst_array_writer_open(&handle, path, &config, &err);
        Py_END_ALLOW_THREADS;
        made = rc < 0 ? core_fail(state, rc, &err) : wrap(type, handle);
    }
    PyMem_Free(columns);
    Py_DECREF(tuple);
    return made;
}

/* --- rows --- */

static int is_rows_of(const struct pst_tensor *tensor, const struct pst_array_column *column,
                      int64_t n)
{
    return tensor->dtype == column->dtype && tensor->ndim == column->ndim + 1 &&
           (n < 0 || tensor->shape[0] == n) && pst_tensor_is_contiguous(tensor) &&
           memcmp(tensor->shape + 1, column->shape, (size_t)column->ndim * sizeof *column->shape) ==
               0;
}

/* The lengths of n rows that have all of the items and no more. */
static int is_lengths_of(const struct pst_tensor *lengths, const struct pst_tensor *items,
                         int64_t n)
{
    if (lengths->dtype != PST_I64 || lengths->ndim != 1 || lengths->shape[0] != n ||
        !pst_tensor_is_contiguous(lengths))
        return 0;
    const int64_t *length = lengths->data;
    int64_t left = items->shape[0];
    for (int64_t i = 0; i < n; i++) {
        if (length[i] < 0 || length[i] > left)
            return 0;
        left -= length[i];
    }
    return left == 0;
}

/* A Tensor, or for a ragged column a tuple of the items and the lengths. */
static int parse_rows(struct core_state *state, PyObject *item,
                      const struct pst_array_column *column, int64_t n, struct pst_array_rows *rows)
{
    PyObject *values = item, *lengths = NULL; /* borrowed */
    if (column->is_ragged && !PyArg_ParseTuple(item, "OO:write", &values, &lengths))
        return -1;
    if (!core_tensor_check(state, values) || (lengths && !core_tensor_check(state, lengths))) {
        PyErr_Format(PyExc_TypeError, "column '%s' takes Tensors", column->name);
        return -1;
    }
    const struct pst_tensor *tensor = core_tensor_of(values);
    if (!is_rows_of(tensor, column, lengths ? -1 : n)) {
        PyErr_Format(PyExc_ValueError,
                     "column '%s': not contiguous, or of another dtype, shape or number of rows",
                     column->name);
        return -1;
    }
    if (lengths && !is_lengths_of(core_tensor_of(lengths), tensor, n)) {
        PyErr_Format(PyExc_ValueError,
                     "column '%s': lengths are i64, one for each row, and add up "
                     "to the number of items",
                     column->name);
        return -1;
    }
    rows->data = tensor->data;
    rows->lengths = lengths ? core_tensor_of(lengths)->data : NULL;
    return 0;
}

static PyObject *write_rows(struct core_array_writer *self, PyObject *tuple, int64_t n) /* new */
{
    struct core_state *state = core_state_of((PyObject *)self);
    struct pst_error err = {0};
    if (PyTuple_Size(tuple) != self->n_columns)
        return PyErr_Format(PyExc_ValueError, "%zd columns, expected %d", PyTuple_Size(tuple),
                            self->n_columns);
    struct pst_array_rows *rows = PyMem_Calloc((size_t)self->n_columns, sizeof *rows);
    if (!rows)
        return PyErr_NoMemory();
    int rc = PST_OK, is_good = 1;
    for (int c = 0; c < self->n_columns && is_good; c++)
        is_good = parse_rows(state, PyTuple_GetItem(tuple, c) /* borrowed */, &self->columns[c], n,
                             &rows[c]) == 0;
    if (is_good) {
        Py_BEGIN_ALLOW_THREADS;
        rc = pst_array_writer_write(self->handle, rows, n, &err);
        Py_END_ALLOW_THREADS;
    }
    PyMem_Free(rows);
    if (!is_good)
        return NULL;
    return rc < 0 ? core_fail(state, rc, &err) : Py_NewRef(Py_None); /* new */
}

static PyObject *writer_write(PyObject *object, PyObject *args) /* new */
{
    PyObject *sequence; /* borrowed */
    long long n;
    if (!PyArg_ParseTuple(args, "OL:write", &sequence, &n))
        return NULL;
    /* It holds the tensors while the GIL is away. */
    PyObject *tuple = PySequence_Tuple(sequence); /* new */
    struct core_array_writer *self = tuple ? enter(object) : NULL;
    PyObject *result = NULL;
    if (self) {
        result = write_rows(self, tuple, n);
        leave(self);
    }
    Py_XDECREF(tuple);
    return result;
}

/* --- the rest --- */

static PyObject *without_gil(PyObject *object,
                             int (*call)(struct pst_array_writer *, struct pst_error *)) /* new */
{
    struct pst_error err = {0};
    int rc;
    struct core_array_writer *self = enter(object);
    if (!self)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    rc = call(self->handle, &err);
    Py_END_ALLOW_THREADS;
    leave(self);
    return rc < 0 ? core_fail(core_state_of(object), rc, &err) : Py_NewRef(Py_None); /* new */
}

static PyObject *writer_commit(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    return without_gil(object, pst_array_writer_commit);
}

static PyObject *writer_checkpoint(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    return without_gil(object, pst_array_writer_checkpoint);
}

static PyObject *writer_get_note(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_array_writer *self = enter(object);
    if (!self)
        return NULL;
    PyObject *text = core_text(pst_array_writer_note(self->handle)); /* new */
    leave(self);
    return text;
}

static int writer_set_note(PyObject *object, PyObject *text, void *Py_UNUSED(closure))
{
    struct pst_error err = {0};
    Py_ssize_t size;
    if (!text) {
        PyErr_SetString(PyExc_AttributeError, "a note cannot be deleted");
        return -1;
    }
    const char *note = PyUnicode_AsUTF8AndSize(text, &size);
    if (!note)
        return -1;
    if (strlen(note) != (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "a note with a NUL");
        return -1;
    }
    struct core_array_writer *self = enter(object);
    if (!self)
        return -1;
    int rc = pst_array_writer_set_note(self->handle, note, &err);
    leave(self);
    if (rc < 0)
        core_fail(core_state_of(object), rc, &err);
    return rc < 0 ? -1 : 0;
}

static PyObject *writer_close(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_array_writer *self = (struct core_array_writer *)object;
    if (!self->handle)
        Py_RETURN_NONE;
    self = enter(object);
    if (!self)
        return NULL;
    pst_array_writer_close(&self->handle);
    leave(self);
    Py_RETURN_NONE;
}

static PyObject *shape_tuple(const struct pst_array_column *column) /* new */
{
    PyObject *shape = PyTuple_New(column->ndim); /* new */
    for (int i = 0; shape && i < column->ndim; i++) {
        PyObject *size = PyLong_FromLongLong(column->shape[i]); /* new, stolen by shape */
        if (!size || PyTuple_SetItem(shape, i, size) < 0)
            Py_CLEAR(shape);
    }
    return shape;
}

/* The names are the handle's. */
static PyObject *writer_get_columns(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_array_writer *self = enter(object);
    if (!self)
        return NULL;
    PyObject *list = PyList_New(self->n_columns); /* new */
    for (int c = 0; list && c < self->n_columns; c++) {
        const struct pst_array_column *column = &self->columns[c];
        PyObject *shape = shape_tuple(column); /* new, stolen by item */
        PyObject *item = NULL;                 /* new, stolen by list */
        PyObject *is_ragged = column->is_ragged ? Py_True : Py_False;
        const char *dtype = pst_dtype_name(column->dtype);
        if (shape)
            item = Py_BuildValue("ssNO", column->name, dtype, shape, is_ragged); /* new */
        if (!item || PyList_SetItem(list, c, item) < 0)
            Py_CLEAR(list);
    }
    leave(self);
    return list;
}

static PyObject *writer_get_rows(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_array_writer *self = enter(object);
    if (!self)
        return NULL;
    int64_t rows = pst_array_writer_rows(self->handle);
    leave(self);
    return PyLong_FromLongLong(rows); /* new */
}

static int writer_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void writer_dealloc(PyObject *object)
{
    struct core_array_writer *self = (struct core_array_writer *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pst_array_writer_close(&self->handle);
    PyMem_Free(self->columns);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyGetSetDef writer_getset[] = {
    {"columns", writer_get_columns, NULL, "Name, dtype, shape, and whether it is ragged, of each.",
     NULL},
    {"note", writer_get_note, writer_set_note, "Text; what is set counts from the next commit on.",
     NULL},
    {"rows", writer_get_rows, NULL, "Rows written so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef writer_methods[] = {
    {"write", writer_write, METH_VARARGS,
     "write($self, columns, n_rows, /)\n--\n\nRows: a contiguous Tensor for each column, or for a "
     "ragged one a tuple of items and lengths."},
    {"checkpoint", writer_checkpoint, METH_NOARGS,
     "checkpoint($self, /)\n--\n\nWhat was written is on disk, to be resumed."},
    {"commit", writer_commit, METH_NOARGS,
     "commit($self, /)\n--\n\nWhat was written is on disk and to be seen."},
    {"close", writer_close, METH_NOARGS,
     "close($self, /)\n--\n\nDrops what was not committed. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static char writer_doc[] = "A writer of an array file.";

PyObject *core_array_writer_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, writer_doc},
        {Py_tp_new, CORE_SLOT(writer_new)},
        {Py_tp_methods, writer_methods},
        {Py_tp_getset, writer_getset},
        {Py_tp_traverse, CORE_SLOT(writer_traverse)},
        {Py_tp_dealloc, CORE_SLOT(writer_dealloc)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.ArrayWriter",
        .basicsize = sizeof(struct core_array_writer),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
