/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_PYTHON_TENSOR_TYPE_H
#define PST_PYTHON_TENSOR_TYPE_H

#include "core.h"

/* A Tensor owns one struct pst_tensor, which holds a reference on its memory; a view is another
 * Tensor with another reference. Every exported buffer holds the Tensor, every exported DLPack
 * capsule a reference of its own, so the memory lives as long as anything that looks at it. A
 * Tensor never changes; what its memory holds may. */
struct core_tensor {
    PyObject ob_base;
    struct pst_tensor tensor;
    const struct core_dtype *dtype;
    /* struct Py_buffer points to these. */
    Py_ssize_t shape[PST_MAX_DIMS];
    Py_ssize_t strides[PST_MAX_DIMS];
    PyObject *weak_references;
};

/* format is a struct module's, or "" where it has none; code and bits are DLPack's. */
struct core_dtype {
    int dtype;
    const char *name, *long_name;
    char format[2];
    uint8_t code, bits;
};
const struct core_dtype *core_dtype_find(int dtype);
/* From "f32" or "float32"; sets an exception. */
const struct core_dtype *core_dtype_named(PyObject *name);

/* tensor_type.c */
const struct pst_tensor *core_tensor_of(PyObject *tensor);
int core_tensor_check(struct core_state *state, PyObject *object);
/* A new Tensor from a call that returned rc: moves made, or sets the exception. */
PyObject *core_tensor_result(PyObject *self, int rc, struct pst_tensor *made,
                             const struct pst_error *err); /* new */
/* The two of the library that may take long, without the GIL. */
int core_tensor_clone(struct pst_tensor *out, const struct pst_tensor *from, struct pst_error *err);
int core_tensor_cast(struct pst_tensor *out, const struct pst_tensor *from, int dtype,
                     struct pst_error *err);

/* tensor_buffer.c: the buffer protocol, out and in. core_buffer_import returns 1, 0 for an object
 * that has no buffer or one of another kind of elements (an exception is set that says which), or
 * -1 for another failure. */
int core_tensor_getbuffer(PyObject *object, Py_buffer *view, int flags);
int core_buffer_import(struct core_state *state, PyObject *object, struct pst_tensor *out);

/* tensor_dlpack.c */
PyObject *core_tensor_dlpack(PyObject *self, PyObject *args, PyObject *kwargs); /* new */
int core_dlpack_import(struct core_state *state, PyObject *object, struct pst_tensor *out);

/* tensor_shape.c: other looks at the memory. */
PyObject *core_tensor_subscript(PyObject *self, PyObject *key); /* new */
PyObject *core_tensor_item_at(PyObject *self, Py_ssize_t i);    /* new */
/* Integers, or one tuple or list of them; at most PST_MAX_DIMS. */
int core_to_shape(PyObject *const *args, Py_ssize_t n_args, int64_t *shape, int *ndim);

/* tensor_values.c: what looks at the elements. */
PyObject *core_tensor_repr(PyObject *self); /* new */
int core_tensor_bool(PyObject *self);

/* The methods, by the files above; each returns a new reference. */
#define CORE_FASTCALL(name) PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
CORE_FASTCALL(core_tensor_view);
CORE_FASTCALL(core_tensor_reshape);
CORE_FASTCALL(core_tensor_permute);
CORE_FASTCALL(core_tensor_transpose);
CORE_FASTCALL(core_tensor_expand);
PyObject *core_tensor_contiguous(PyObject *self, PyObject *unused);
PyObject *core_tensor_clone_method(PyObject *self, PyObject *unused);
PyObject *core_tensor_to(PyObject *self, PyObject *dtype);
PyObject *core_tensor_equal(PyObject *self, PyObject *other);
PyObject *core_tensor_tolist(PyObject *self, PyObject *unused);
PyObject *core_tensor_item(PyObject *self, PyObject *unused);
PyObject *core_tensor_numpy(PyObject *self, PyObject *unused);
PyObject *core_tensor_torch(PyObject *self, PyObject *unused);
PyObject *core_tensor_array(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
