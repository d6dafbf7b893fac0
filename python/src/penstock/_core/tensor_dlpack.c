/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

#include <string.h>

/* DLPack, the exchange of tensors between frameworks: the public ABI of
 * https://dmlc.github.io/dlpack, version 1.0, and the one before it, which has no version, no flags
 * and so no word for read-only. A capsule under its first name owns the struct; who takes the
 * struct renames the capsule and calls the deleter when done, on any thread. */
enum { DL_CPU = 1, DL_CUDA_HOST = 3, DL_ROCM_HOST = 11 };
enum { DL_READ_ONLY = 1, DL_IS_COPIED = 2 };

struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape;
    int64_t *strides; /* elements; NULL: C order */
    uint64_t byte_offset;
};

struct dl_legacy {
    struct dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_legacy *self);
};

struct dl_versioned {
    struct {
        uint32_t major, minor;
    } version;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags;
    struct dl_tensor tensor;
};

static const char legacy_name[] = "dltensor", versioned_name[] = "dltensor_versioned";

/* --- out --- */

struct exported {
    union {
        struct dl_legacy legacy;
        struct dl_versioned versioned;
    } dl;
    struct pst_tensor tensor; /* its reference on the memory */
    struct pst_tensor home;   /* the memory of this struct */
    int64_t shape[PST_MAX_DIMS], strides[PST_MAX_DIMS];
};

/* Neither needs the GIL, unless the memory is Python's: then its release takes it. */
static void exported_free(struct exported *exported)
{
    struct pst_tensor home = exported->home;
    pst_tensor_reset(&exported->tensor);
    pst_tensor_reset(&home);
}

static void delete_legacy(struct dl_legacy *self)
{
    exported_free(self->context);
}

static void delete_versioned(struct dl_versioned *self)
{
    exported_free(self->context);
}

static void capsule_free(PyObject *capsule)
{
    /* A capsule that was taken has another name. */
    if (PyCapsule_IsValid(capsule, versioned_name)) {
        struct dl_versioned *dl = PyCapsule_GetPointer(capsule, versioned_name);
        dl->deleter(dl);
    } else if (PyCapsule_IsValid(capsule, legacy_name)) {
        struct dl_legacy *dl = PyCapsule_GetPointer(capsule, legacy_name);
        dl->deleter(dl);
    }
}

/* Strides in elements. The format allows negative ones, but torch ends the process on them. */
static int export_strides(struct exported *exported)
{
    const struct pst_tensor *tensor = &exported->tensor;
    int64_t item = (int64_t)pst_dtype_size(tensor->dtype), stride = 1;
    int is_empty = pst_tensor_numel(tensor) == 0;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        exported->shape[i] = tensor->shape[i];
        exported->strides[i] = stride;
        if (!is_empty && tensor->shape[i] > 1) {
            if (tensor->strides[i] < 0 || tensor->strides[i] % item != 0) {
                PyErr_Format(PyExc_BufferError,
                             "DLPack has no stride of %lld bytes between elements of %lld: take "
                             "contiguous()",
                             (long long)tensor->strides[i], (long long)item);
                return -1;
            }
            exported->strides[i] = tensor->strides[i] / item;
        }
        stride = exported->strides[i] * (tensor->shape[i] > 0 ? tensor->shape[i] : 1);
    }
    return 0;
}

static void describe(struct exported *exported, struct dl_tensor *dl)
{
    const struct core_dtype *dtype = core_dtype_find(exported->tensor.dtype);
    dl->data = exported->tensor.data;
    dl->device.type = DL_CPU;
    dl->ndim = exported->tensor.ndim;
    dl->dtype.code = dtype->code;
    dl->dtype.bits = dtype->bits;
    dl->dtype.lanes = 1;
    dl->shape = exported->shape;
    dl->strides = exported->strides;
}

/* Moves tensor into a capsule. */
static PyObject *export_capsule(struct pst_tensor *tensor, int is_versioned, uint64_t flags)
{
    /* Python's limited API has no memory that can be freed without the GIL; the engine has. */
    int64_t size = (int64_t)sizeof(struct exported);
    struct pst_tensor home;
    if (pst_tensor_zeros(&home, PST_U8, 1, &size, NULL) < 0) {
        pst_tensor_reset(tensor);
        return PyErr_NoMemory();
    }
    struct exported *exported = home.data;
    pst_tensor_move(&exported->home, &home);
    pst_tensor_move(&exported->tensor, tensor);
    PyObject *capsule = NULL;
    if (export_strides(exported) == 0) {
        if (is_versioned) {
            struct dl_versioned *dl = &exported->dl.versioned;
            dl->version.major = 1;
            dl->context = exported;
            dl->deleter = delete_versioned;
            dl->flags = flags;
            describe(exported, &dl->tensor);
        } else {
            exported->dl.legacy.context = exported;
            exported->dl.legacy.deleter = delete_legacy;
            describe(exported, &exported->dl.legacy.tensor);
        }
        capsule = PyCapsule_New(&exported->dl, is_versioned ? versioned_name : legacy_name,
                                capsule_free); /* new */
    }
    if (!capsule)
        exported_free(exported);
    return capsule;
}

static int check_device(PyObject *device)
{
    int type, id;
    if (device == Py_None)
        return 0;
    if (!PyTuple_Check(device) || !PyArg_ParseTuple(device, "ii", &type, &id)) {
        if (!PyErr_Occurred()) /* borrowed */
            PyErr_SetString(PyExc_TypeError, "dl_device must be a tuple (type, id) or None");
        return -1;
    }
    if (type == DL_CPU && id == 0)
        return 0;
    PyErr_Format(PyExc_BufferError, "the tensor is in the CPU's memory, not on device (%d, %d)",
                 type, id);
    return -1;
}

PyObject *core_tensor_dlpack(PyObject *self, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    int major = 0, minor = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", (char **)names, &stream,
                                     &version, &device, &copy))
        return NULL;
    if (stream != Py_None) {
        PyErr_SetString(PyExc_BufferError, "a tensor in the CPU's memory has no stream");
        return NULL;
    }
    if (version != Py_None &&
        (!PyTuple_Check(version) || !PyArg_ParseTuple(version, "ii", &major, &minor))) {
        if (!PyErr_Occurred()) /* borrowed */
            PyErr_SetString(PyExc_TypeError, "max_version must be a tuple (major, minor) or None");
        return NULL;
    }
    if (check_device(device) < 0)
        return NULL;
    int wants_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (wants_copy < 0)
        return NULL;
    const struct pst_tensor *tensor = core_tensor_of(self);
    struct pst_tensor made;
    struct pst_error err = {0};
    uint64_t flags = wants_copy ? DL_IS_COPIED : 0;
    if (wants_copy) {
        int rc = core_tensor_clone(&made, tensor, &err);
        if (rc < 0)
            return core_fail(core_state_of(self), rc, &err);
    } else {
        if (!pst_buffer_is_writable(tensor->buffer))
            flags |= DL_READ_ONLY;
        if (flags & DL_READ_ONLY && major < 1) {
            PyErr_SetString(PyExc_BufferError,
                            "the tensor is read-only, which DLPack before 1.0 cannot say: clone() "
                            "first");
            return NULL;
        }
        pst_tensor_ref(&made, tensor);
    }
    return export_capsule(&made, major >= 1, flags);
}

/* --- in --- */

static void release_legacy(void *opaque)
{
    struct dl_legacy *dl = opaque;
    if (dl->deleter)
        dl->deleter(dl);
}

static void release_versioned(void *opaque)
{
    struct dl_versioned *dl = opaque;
    if (dl->deleter)
        dl->deleter(dl);
}

static int dl_dtype(const struct dl_tensor *dl)
{
    for (int dtype = PST_U8; dtype <= PST_LAST_DTYPE; dtype++) {
        const struct core_dtype *row = core_dtype_find(dtype);
        if (row && row->code == dl->dtype.code && row->bits == dl->dtype.bits &&
            dl->dtype.lanes == 1)
            return dtype;
    }
    return 0;
}

/* Shape and strides in bytes, checked. */
static int read_dl(const struct dl_tensor *dl, int dtype, int64_t *shape, int64_t *strides)
{
    int64_t item = (int64_t)pst_dtype_size(dtype), stride = item;
    if (dl->device.type != DL_CPU && dl->device.type != DL_CUDA_HOST &&
        dl->device.type != DL_ROCM_HOST) {
        PyErr_Format(PyExc_BufferError,
                     "the memory is on a device of DLPack's type %d, not the CPU's: copy it there "
                     "first",
                     (int)dl->device.type);
        return -1;
    }
    if (dtype == 0) {
        PyErr_Format(PyExc_TypeError, "no dtype for DLPack's code %d with %d bits and %d lanes",
                     dl->dtype.code, dl->dtype.bits, dl->dtype.lanes);
        return -1;
    }
    if (dl->ndim < 0 || dl->ndim > PST_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions, this one has %d",
                     PST_MAX_DIMS, (int)dl->ndim);
        return -1;
    }
    if (dl->ndim > 0 && !dl->shape) {
        PyErr_SetString(PyExc_ValueError, "DLPack's struct has no shape");
        return -1;
    }
    for (int i = dl->ndim - 1; i >= 0; i--) {
        shape[i] = dl->shape[i];
        strides[i] = stride;
        if ((dl->strides && __builtin_mul_overflow(dl->strides[i], item, &strides[i])) ||
            shape[i] < 0 || __builtin_mul_overflow(stride, shape[i] > 0 ? shape[i] : 1, &stride)) {
            PyErr_SetString(PyExc_ValueError, "DLPack's shape or strides cannot be");
            return -1;
        }
    }
    return 0;
}

/* Takes the struct over: on success its deleter is called with the last tensor on it. */
static int wrap_dl(struct core_state *state, const struct dl_tensor *dl, int is_const,
                   pst_release_fn release, void *opaque, PyObject *capsule, const char *used_name,
                   struct pst_tensor *out)
{
    int64_t shape[PST_MAX_DIMS], strides[PST_MAX_DIMS], before, after;
    struct pst_buffer *buffer;
    struct pst_error err = {0};
    int dtype = dl_dtype(dl);
    if (read_dl(dl, dtype, shape, strides) < 0)
        return -1;
    int rc = pst_tensor_extent(&before, &after, dtype, dl->ndim, shape, strides, &err);
    if (rc == PST_OK) {
        uint8_t *start = dl->data ? (uint8_t *)dl->data + dl->byte_offset - before : NULL;
        size_t size = (size_t)(before + after);
        rc = is_const ? pst_buffer_wrap_const(&buffer, start, size, release, opaque, &err)
                      : pst_buffer_wrap(&buffer, start, size, release, opaque, &err);
    }
    if (rc < 0) {
        core_fail(state, rc, &err);
        return -1;
    }
    /* From here on the buffer owns the struct. Renaming fails only for what is no capsule. */
    PyCapsule_SetName(capsule, used_name);
    rc = pst_tensor_from_buffer(out, buffer, (size_t)before, dtype, dl->ndim, shape, strides, &err);
    pst_buffer_unref(buffer);
    if (rc == PST_OK)
        return 0;
    core_fail(state, rc, &err);
    return -1;
}

static int take_capsule(struct core_state *state, PyObject *capsule, struct pst_tensor *out)
{
    if (PyCapsule_IsValid(capsule, versioned_name)) {
        struct dl_versioned *dl = PyCapsule_GetPointer(capsule, versioned_name);
        if (dl->version.major != 1) {
            /* Only version and deleter are where they were. */
            PyErr_Format(PyExc_BufferError, "DLPack of version %u.%u, expected 1",
                         dl->version.major, dl->version.minor);
            return -1;
        }
        return wrap_dl(state, &dl->tensor, (dl->flags & DL_READ_ONLY) != 0, release_versioned, dl,
                       capsule, "used_dltensor_versioned", out);
    }
    if (PyCapsule_IsValid(capsule, legacy_name)) {
        struct dl_legacy *dl = PyCapsule_GetPointer(capsule, legacy_name);
        return wrap_dl(state, &dl->tensor, 0, release_legacy, dl, capsule, "used_dltensor", out);
    }
    PyErr_Format(PyExc_TypeError, "%R is no DLPack capsule, or one that was taken already",
                 capsule);
    return -1;
}

static int check_exporter(struct core_state *state, PyObject *object)
{
    PyObject *device =
        PyObject_CallMethodObjArgs(object, state->name_dlpack_device, NULL); /* new */
    long type = -1;
    if (!device)
        return -1;
    PyObject *tuple = PySequence_Tuple(device); /* new */
    Py_DECREF(device);
    if (tuple && PyTuple_Size(tuple) == 2)
        type = PyLong_AsLong(PyTuple_GetItem(tuple, 0)); /* borrowed */
    else if (tuple)
        PyErr_SetString(PyExc_TypeError, "__dlpack_device__() must give (type, id)");
    Py_XDECREF(tuple);
    if (PyErr_Occurred()) /* borrowed */
        return -1;
    if (type == DL_CPU || type == DL_CUDA_HOST || type == DL_ROCM_HOST)
        return 0;
    PyErr_Format(PyExc_BufferError,
                 "the tensor is on a device of DLPack's type %ld, not the CPU: copy it there first",
                 type);
    return -1;
}

static PyObject *ask_exporter(struct core_state *state, PyObject *object) /* new */
{
    PyObject *method = PyObject_GetAttr(object, state->name_dlpack);                   /* new */
    PyObject *no_args = method ? PyTuple_New(0) : NULL;                                /* new */
    PyObject *kwargs = no_args ? Py_BuildValue("{s(ii)}", "max_version", 1, 0) : NULL; /* new */
    PyObject *capsule = kwargs ? PyObject_Call(method, no_args, kwargs) : NULL;        /* new */
    if (kwargs && !capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {
        /* An exporter from before 1.0 does not know the argument. */
        PyErr_Clear();
        capsule = PyObject_CallNoArgs(method); /* new */
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(no_args);
    Py_XDECREF(method);
    return capsule;
}

int core_dlpack_import(struct core_state *state, PyObject *object, struct pst_tensor *out)
{
    if (PyCapsule_CheckExact(object))
        return take_capsule(state, object, out);
    if (check_exporter(state, object) < 0)
        return -1;
    PyObject *capsule = ask_exporter(state, object); /* new */
    if (!capsule)
        return -1;
    int rc = take_capsule(state, capsule, out);
    Py_DECREF(capsule);
    return rc;
}
