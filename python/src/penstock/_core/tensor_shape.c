/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

static int to_index(PyObject *object, int64_t *out)
{
    Py_ssize_t value = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (value == -1 && PyErr_Occurred()) /* borrowed */
        return -1;
    *out = value;
    return 0;
}

int core_to_shape(PyObject *const *args, Py_ssize_t n_args, int64_t *shape, int *ndim)
{
    PyObject *tuple = NULL;
    int rc = -1;
    if (n_args == 1 && (PyTuple_Check(args[0]) || PyList_Check(args[0]))) {
        tuple = PySequence_Tuple(args[0]); /* new */
        if (!tuple)
            return -1;
        n_args = PyTuple_Size(tuple);
    }
    if (n_args > PST_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions, not %zd", PST_MAX_DIMS,
                     n_args);
        goto done;
    }
    for (Py_ssize_t i = 0; i < n_args; i++) {
        PyObject *size = tuple ? PyTuple_GetItem(tuple, i) : args[i]; /* borrowed */
        if (to_index(size, &shape[i]) < 0)
            goto done;
    }
    *ndim = (int)n_args;
    rc = 0;
done:
    Py_XDECREF(tuple);
    return rc;
}

CORE_FASTCALL(core_tensor_view)
{
    int64_t shape[PST_MAX_DIMS];
    int ndim;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (core_to_shape(args, n_args, shape, &ndim) < 0)
        return NULL;
    int rc = pst_tensor_view(&made, core_tensor_of(self), ndim, shape, &err);
    return core_tensor_result(self, rc, &made, &err);
}

CORE_FASTCALL(core_tensor_reshape)
{
    int64_t shape[PST_MAX_DIMS];
    int ndim;
    struct pst_tensor made, dense;
    struct pst_error err = {0};
    const struct pst_tensor *tensor = core_tensor_of(self);
    if (core_to_shape(args, n_args, shape, &ndim) < 0)
        return NULL;
    int rc = pst_tensor_view(&made, tensor, ndim, shape, &err);
    if (rc == PST_EINVAL && !pst_tensor_is_contiguous(tensor)) {
        /* The strides may have been the reason; a contiguous tensor has any other one too. */
        pst_error_init(&err);
        rc = core_tensor_clone(&dense, tensor, &err);
        if (rc == PST_OK)
            rc = pst_tensor_view(&made, &dense, ndim, shape, &err);
        pst_tensor_reset(&dense);
    }
    return core_tensor_result(self, rc, &made, &err);
}

CORE_FASTCALL(core_tensor_permute)
{
    int64_t given[PST_MAX_DIMS];
    int n, dims[PST_MAX_DIMS];
    struct pst_tensor made;
    struct pst_error err = {0};
    const struct pst_tensor *tensor = core_tensor_of(self);
    if (core_to_shape(args, n_args, given, &n) < 0)
        return NULL;
    if (n != tensor->ndim)
        return PyErr_Format(PyExc_ValueError, "%d dimensions for a tensor of %d", n, tensor->ndim);
    for (int i = 0; i < n; i++)
        dims[i] = given[i] < INT32_MIN || given[i] > INT32_MAX ? INT32_MAX : (int)given[i];
    int rc = pst_tensor_permute(&made, tensor, dims, &err);
    return core_tensor_result(self, rc, &made, &err);
}

CORE_FASTCALL(core_tensor_transpose)
{
    int32_t dim0, dim1;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (core_check_args("transpose", n_args, 2) < 0 || core_to_int32(args[0], "dim0", &dim0) < 0 ||
        core_to_int32(args[1], "dim1", &dim1) < 0)
        return NULL;
    int rc = pst_tensor_transpose(&made, core_tensor_of(self), dim0, dim1, &err);
    return core_tensor_result(self, rc, &made, &err);
}

CORE_FASTCALL(core_tensor_expand)
{
    int64_t shape[PST_MAX_DIMS];
    int ndim;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (core_to_shape(args, n_args, shape, &ndim) < 0)
        return NULL;
    int rc = pst_tensor_expand(&made, core_tensor_of(self), ndim, shape, &err);
    return core_tensor_result(self, rc, &made, &err);
}

PyObject *core_tensor_contiguous(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    if (pst_tensor_is_contiguous(core_tensor_of(self)))
        return Py_NewRef(self); /* new */
    return core_tensor_clone_method(self, NULL);
}

PyObject *core_tensor_clone_method(PyObject *self, PyObject *Py_UNUSED(unused)) /* new */
{
    struct pst_tensor made;
    struct pst_error err = {0};
    int rc = core_tensor_clone(&made, core_tensor_of(self), &err);
    return core_tensor_result(self, rc, &made, &err);
}

/* --- indices --- */

/* A view with a new dimension of size 1 before dim. */
static int insert_dim(struct pst_tensor *out, const struct pst_tensor *from, int dim,
                      struct pst_error *err)
{
    int64_t shape[PST_MAX_DIMS + 1];
    for (int i = 0; i <= from->ndim; i++)
        shape[i] = i < dim ? from->shape[i] : i == dim ? 1 : from->shape[i - 1];
    return pst_tensor_view(out, from, from->ndim + 1, shape, err);
}

/* One item of an index at dimension *dim. Returns a status, or 1 with an exception set. */
static int apply_item(struct pst_tensor *out, const struct pst_tensor *from, PyObject *item,
                      int *dim, struct pst_error *err)
{
    if (item == Py_None)
        return insert_dim(out, from, (*dim)++, err);
    if (PySlice_Check(item)) {
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(item, &start, &stop, &step) < 0)
            return 1;
        return pst_tensor_slice(out, from, (*dim)++, start, stop, step, err);
    }
    if (PyBool_Check(item) || !PyIndex_Check(item)) {
        PyErr_Format(PyExc_TypeError,
                     "a tensor is indexed with integers, slices, ... and None, not %R", item);
        return 1;
    }
    Py_ssize_t index = PyNumber_AsSsize_t(item, PyExc_IndexError);
    if (index == -1 && PyErr_Occurred()) /* borrowed */
        return 1;
    return pst_tensor_select(out, from, *dim, index, err);
}

/* Counts the dimensions that the items take; -1 with an exception. */
static int count_dims(PyObject *items, int ndim)
{
    Py_ssize_t n = PyTuple_Size(items), taken = 0, ellipses = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GetItem(items, i); /* borrowed */
        ellipses += item == Py_Ellipsis;
        taken += item != Py_Ellipsis && item != Py_None;
    }
    if (taken > ndim)
        PyErr_Format(PyExc_IndexError, "%zd indices for a tensor of %d dimensions", taken, ndim);
    else if (ellipses > 1)
        PyErr_SetString(PyExc_IndexError, "an index has at most one ellipsis");
    else
        return (int)taken;
    return -1;
}

PyObject *core_tensor_subscript(PyObject *self, PyObject *key) /* new */
{
    struct pst_tensor made, next;
    struct pst_error err = {0};
    int dim = 0, rc = PST_OK;
    PyObject *items = PyTuple_Check(key) ? Py_NewRef(key) : PyTuple_Pack(1, key); /* new */
    if (!items)
        return NULL;
    const struct pst_tensor *tensor = core_tensor_of(self);
    int taken = count_dims(items, tensor->ndim);
    if (taken < 0) {
        Py_DECREF(items);
        return NULL;
    }
    pst_tensor_ref(&made, tensor);
    for (Py_ssize_t i = 0; i < PyTuple_Size(items) && rc == PST_OK; i++) {
        PyObject *item = PyTuple_GetItem(items, i); /* borrowed */
        if (item == Py_Ellipsis) {
            dim += tensor->ndim - taken;
            continue;
        }
        next = (struct pst_tensor){0};
        rc = apply_item(&next, &made, item, &dim, &err);
        pst_tensor_reset(&made);
        pst_tensor_move(&made, &next);
    }
    Py_DECREF(items);
    if (rc == PST_OK)
        return core_tensor_wrap(core_state_of(self), &made);
    pst_tensor_reset(&made);
    return rc < 0 ? core_fail(core_state_of(self), rc, &err) : NULL;
}

PyObject *core_tensor_item_at(PyObject *self, Py_ssize_t i) /* new */
{
    struct pst_tensor made;
    struct pst_error err = {0};
    int rc = pst_tensor_select(&made, core_tensor_of(self), 0, i, &err);
    return core_tensor_result(self, rc, &made, &err);
}
