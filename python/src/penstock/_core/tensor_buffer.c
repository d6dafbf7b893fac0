/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

#include <string.h>

/* --- out --- */

static int is_fortran(const struct core_tensor *self)
{
    Py_ssize_t stride = self->dtype->bits / 8;
    for (int i = 0; i < self->tensor.ndim; i++) {
        if (self->shape[i] > 1 && self->strides[i] != stride)
            return 0;
        stride *= self->shape[i];
    }
    return 1;
}

static const char *export_refusal(const struct core_tensor *self, int flags)
{
    int is_c = pst_tensor_is_contiguous(&self->tensor), ndim = self->tensor.ndim;
    int is_f = pst_tensor_numel(&self->tensor) == 0 || is_fortran(self);
    if (flags & PyBUF_FORMAT && !self->dtype->format[0])
        return "bf16 has no format in the buffer protocol: use torch(), DLPack or to(\"f32\")";
    if (flags & PyBUF_WRITABLE && !pst_buffer_is_writable(self->tensor.buffer))
        return "the tensor is read-only";
    if (((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS ||
         (flags & PyBUF_STRIDES) != PyBUF_STRIDES) &&
        !is_c)
        return "the tensor is not C-contiguous: take contiguous()";
    /* Who asks for both may have either. */
    int wants_f = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && ndim > 1;
    if (wants_f && !is_f && (flags & PyBUF_ANY_CONTIGUOUS) != PyBUF_ANY_CONTIGUOUS)
        return "the tensor is not Fortran-contiguous";
    if ((flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS && !is_c && !is_f)
        return "the tensor is not contiguous: take contiguous()";
    return NULL;
}

int core_tensor_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    static char no_bytes;
    struct core_tensor *self = (struct core_tensor *)object;
    const char *refusal = export_refusal(self, flags);
    if (refusal) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, refusal);
        return -1;
    }
    view->buf = self->tensor.data ? self->tensor.data : &no_bytes;
    view->obj = Py_NewRef(object); /* new */
    view->len = (Py_ssize_t)pst_tensor_bytes(&self->tensor);
    view->itemsize = self->dtype->bits / 8;
    view->readonly = !pst_buffer_is_writable(self->tensor.buffer);
    /* The format of a struct Py_buffer is a char * that nobody writes through. */
    view->format = flags & PyBUF_FORMAT ? (char *)(uintptr_t)self->dtype->format : NULL;
    /* Without PyBUF_ND the consumer sees a line of bytes. */
    view->ndim = (flags & PyBUF_ND) == PyBUF_ND ? self->tensor.ndim : 1;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? self->shape : NULL;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

/* --- in --- */

/* The dtype of a format of the struct module: the letter says the kind, the item its size, since
 * letters such as "l" are of two sizes. 0 where there is none. */
static int format_dtype(const char *format, Py_ssize_t item)
{
    static const int integers[] = {0, PST_I8, PST_I16, 0, PST_I32, 0, 0, 0, PST_I64};
    static const int naturals[] = {0, PST_U8, PST_U16, 0, PST_U32, 0, 0, 0, PST_U64};
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    static const char foreign[] = ">!";
#else
    static const char foreign[] = "<";
#endif
    if (!format)
        return item == 1 ? PST_U8 : 0;
    if (*format && strchr("@=<>!", *format)) {
        if (strchr(foreign, *format) && item > 1)
            return 0;
        format++;
    }
    if (!*format || format[1])
        return 0;
    switch (*format) {
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
    case 'N':
        return item > 0 && item <= 8 ? naturals[item] : 0;
    case '?':
        return item == 1 ? PST_BOOL : 0;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n':
        return item > 0 && item <= 8 ? integers[item] : 0;
    case 'e':
        return item == 2 ? PST_F16 : 0;
    case 'f':
        return item == 4 ? PST_F32 : 0;
    case 'd':
        return item == 8 ? PST_F64 : 0;
    default:
        return 0;
    }
}

/* On the thread that drops the last reference, which may be one that Python does not know. */
static void release_view(void *opaque)
{
    if (!Py_IsInitialized()) /* the exporter is gone with the interpreter */
        return;
    PyGILState_STATE held = PyGILState_Ensure();
    PyBuffer_Release(opaque);
    PyMem_Free(opaque);
    PyGILState_Release(held);
}

/* Wraps the memory of view, which is released with the last tensor on it. */
static int wrap_view(struct core_state *state, Py_buffer *view, int dtype, struct pst_tensor *out)
{
    int64_t shape[PST_MAX_DIMS], strides[PST_MAX_DIMS], before, after;
    struct pst_buffer *buffer;
    struct pst_error err = {0};
    for (int i = 0; i < view->ndim; i++) {
        shape[i] = view->shape[i];
        strides[i] = view->strides[i];
    }
    int rc = pst_tensor_extent(&before, &after, dtype, view->ndim, shape, strides, &err);
    if (rc == PST_OK) {
        uint8_t *start = after > 0 ? (uint8_t *)view->buf - before : view->buf;
        size_t size = (size_t)(before + after);
        rc = view->readonly ? pst_buffer_wrap_const(&buffer, start, size, release_view, view, &err)
                            : pst_buffer_wrap(&buffer, start, size, release_view, view, &err);
    }
    if (rc < 0) {
        core_fail(state, rc, &err);
        return -1;
    }
    rc = pst_tensor_from_buffer(out, buffer, (size_t)before, dtype, view->ndim, shape, strides,
                                &err);
    pst_buffer_unref(buffer);
    if (rc == PST_OK)
        return 1;
    core_fail(state, rc, &err);
    return -2; /* the view is released */
}

int core_buffer_import(struct core_state *state, PyObject *object, struct pst_tensor *out)
{
    Py_buffer *view = PyMem_Malloc(sizeof *view);
    if (!view) {
        PyErr_NoMemory();
        return -1;
    }
    /* Writable where the exporter says so; it may refuse to lend what has no format or no
     * strides. */
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0) {
        PyMem_Free(view);
        int is_kind = PyErr_ExceptionMatches(PyExc_BufferError) ||
                      PyErr_ExceptionMatches(PyExc_TypeError) ||
                      PyErr_ExceptionMatches(PyExc_ValueError);
        return is_kind ? 0 : -1;
    }
    int dtype = format_dtype(view->format, view->itemsize), rc = -1;
    if (view->ndim > PST_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions, the buffer has %d",
                     PST_MAX_DIMS, view->ndim);
    } else if (dtype == 0) {
        PyErr_Format(PyExc_TypeError, "no dtype for elements of format \"%s\" and %zd bytes",
                     view->format ? view->format : "B", view->itemsize);
        rc = 0;
    } else if (view->ndim > 0 && (!view->shape || !view->strides)) {
        PyErr_SetString(PyExc_BufferError, "the buffer has no shape or no strides");
    } else {
        rc = wrap_view(state, view, dtype, out);
    }
    if (rc == 0 || rc == -1) {
        PyBuffer_Release(view);
        PyMem_Free(view);
    }
    return rc < 0 ? -1 : rc;
}
