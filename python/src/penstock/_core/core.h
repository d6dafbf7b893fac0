/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_PYTHON_CORE_H
#define PST_PYTHON_CORE_H

/* The Python face of the C library, function by function: arguments in, statuses to exceptions,
 * tensors out as buffers. It decides nothing; defaults live in C, everything else in the Python
 * package. Limited API of Python 3.11, one set of objects per module instance (no static PyObject).
 *
 * A call of the C-API that returns an object says beside it whether the reference is new or
 * borrowed. */

/* A free-threaded Python says so in pyconfig.h, and its headers refuse the limited API. */
#include <pyconfig.h>
#if !defined(Py_GIL_DISABLED) && !defined(Py_LIMITED_API)
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>

#include <penstock/penstock.h>

/* Everything the module owns; each entry is one strong reference. */
#define CORE_STATE_MAP(X)                                                                          \
    X(error)                                                                                       \
    X(decode_error)                                                                                \
    X(limit_error)                                                                                 \
    X(fork_error)                                                                                  \
    X(tensor_type)                                                                                 \
    X(dataset_type)                                                                                \
    X(transform_type)                                                                              \
    X(loader_type)                                                                                 \
    X(generator_type)                                                                              \
    X(finalized_type)                                                                              \
    X(array_writer_type)                                                                           \
    X(kind_batch)                                                                                  \
    X(kind_doubt)                                                                                  \
    X(kind_failed)                                                                                 \
    X(kind_ragged)                                                                                 \
    X(name_cast)                                                                                   \
    X(name_dlpack)                                                                                 \
    X(name_dlpack_device)                                                                          \
    X(format_f)

/* A function in a slot, which is a void *. ISO C has no such conversion, POSIX and Python do. */
#define CORE_SLOT(function) (__extension__(void *)(function))

struct core_state {
#define CORE_STATE_MEMBER(name) PyObject *name;
    CORE_STATE_MAP(CORE_STATE_MEMBER)
#undef CORE_STATE_MEMBER
};

/* Of an object of one of the module's types but Finalized: they cannot be subclassed, so that its
 * type is the one that the module made. Of a module function: from its module argument. */
struct core_state *core_state_of(PyObject *self);
struct core_state *core_state_of_module(PyObject *module);

/* errors.c. core_fail sets the exception of a status, text and place taken from err, and returns
 * NULL. An exception that a callback left behind stays as it is. */
int core_errors_init(PyObject *module, struct core_state *state);
const char *core_status_name(int status); /* "EFORMAT", without the C prefix */
PyObject *core_fail(struct core_state *state, int status, const struct pst_error *err);

/* convert.c. The int functions return 0, or -1 with an exception set; name is for its text. */
int core_check_args(const char *function, Py_ssize_t given, Py_ssize_t expected);
int core_to_int32(PyObject *object, const char *name, int32_t *out);
int core_to_int64(PyObject *object, const char *name, int64_t *out);
int core_to_uint64(PyObject *object, const char *name, uint64_t *out);
/* Any sequence of integers. *out is freed with PyMem_Free(). too_large: the exception for an
 * integer beyond 64 bits. */
int core_to_int64_list(PyObject *sequence, PyObject *too_large, int64_t **out, size_t *n);
/* A C-contiguous buffer of exactly size bytes; PyBuffer_Release() gives it back. */
int core_to_buffer(PyObject *object, const char *name, size_t size, Py_buffer *view);
/* width * height * channels, all of them positive. */
int core_image_size(int32_t width, int32_t height, int channels, size_t *size);
/* Text of the engine, which may name files that are not UTF-8. */
PyObject *core_text(const char *text); /* new */

/* Types. Each *_type_new makes the type object. */
PyObject *core_tensor_type_new(PyObject *module);       /* new */
PyObject *core_dataset_type_new(PyObject *module);      /* new */
PyObject *core_transform_type_new(PyObject *module);    /* new */
PyObject *core_loader_type_new(PyObject *module);       /* new */
PyObject *core_generator_type_new(PyObject *module);    /* new */
PyObject *core_finalized_type_new(PyObject *module);    /* new */
PyObject *core_array_writer_type_new(PyObject *module); /* new */

/* Moves tensor (zeroed on success and on failure) into a new Tensor. */
PyObject *core_tensor_wrap(struct core_state *state, struct pst_tensor *tensor); /* new */

/* Every field of stats but its size, by name. */
PyObject *core_stats_dict(const struct pst_stats *stats); /* new */

/* The handle of a Dataset or Transform, borrowed from the object. */
struct pst_dataset *core_dataset_handle(PyObject *dataset);
struct pst_dataset *core_to_dataset(struct core_state *state,
                                    PyObject *object); /* NULL: TypeError */
/* Takes over the reference on handle, on failure too. */
PyObject *core_dataset_wrap(struct core_state *state, struct pst_dataset *handle); /* new */
/* dataset_rows.c: methods of datasets of rows. */
PyObject *core_dataset_fields(PyObject *object, PyObject *unused); /* new */
PyObject *core_dataset_gather(PyObject *object, PyObject *args);   /* new */
PyObject *core_dataset_lengths(PyObject *object, PyObject *arg);   /* new */
PyObject *core_dataset_intend(PyObject *object, PyObject *arg);    /* new */
/* row_step_functions.c */
PyObject *core_row_steps(PyObject *module, PyObject *args); /* new */
struct pst_transform *core_transform_handle(PyObject *transform);
/* mix_functions.c. The int functions return 0, or -1 with an exception set. A normal that a
 * generator keeps is NAN where it keeps none, which is None. */
int core_to_mix(PyObject *object, struct pst_mix_config *config);
int core_to_normal(PyObject *object, double *normal);
PyObject *core_normal(double normal); /* new */

/* Method tables of module functions, ended by a row of NULL. */
extern PyMethodDef core_array_functions[];
extern PyMethodDef core_dataset_functions[];
extern PyMethodDef core_image_functions[];
extern PyMethodDef core_memory_functions[];
extern PyMethodDef core_mix_functions[];
extern PyMethodDef core_order_functions[];
extern PyMethodDef core_tensor_functions[];
extern PyMethodDef core_rows_functions[];
extern PyMethodDef core_token_functions[];

#endif
