/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_PYTHON_LOADER_TYPE_H
#define PST_PYTHON_LOADER_TYPE_H

#include <sys/types.h>

#include "core.h"

/* A loader of the C library belongs to one consumer at a time. `busy` sees to that: whoever sets it
 * may use handle, exp and released; a second caller gets an exception. The methods that release the
 * GIL do so within that. */
struct core_loader {
    PyObject ob_base;
    struct pst_loader *handle; /* NULL when closed */
    PyObject *exp, *blur;      /* strong; NULL: C's exp */
    PyObject *dataset;         /* strong: the handle's dataset may lie in its memory */
    PyThreadState *released;   /* of the caller, while a call runs without the GIL; else NULL */
    pid_t pid;                 /* of the process that made it */
    int busy;                  /* atomic, acquire and release */
    int closed;                /* atomic, relaxed: for the property only */
    unsigned long owner;       /* atomic, relaxed: thread that set busy, for the message only */
};

/* For one call of the C library. Returns the handle, or NULL with an exception set. */
struct pst_loader *core_loader_enter(struct core_loader *self);
void core_loader_leave(struct core_loader *self);
/* Ends a call that has no result. */
PyObject *core_loader_leave_none(struct core_loader *self, int rc,
                                 const struct pst_error *err); /* new */

/* Around a call of the C library that may take long. The exp callback takes the GIL back in
 * between. */
void core_loader_gil_release(struct core_loader *self);
void core_loader_gil_acquire(struct core_loader *self);

/* The first arguments: ticket, slot. */
int core_loader_parse_place(const char *function, PyObject *const *args, Py_ssize_t n_args,
                            Py_ssize_t expected, uint64_t *ticket, int32_t *slot);

/* loader_decisions.c: methods that decide doubts. */
PyObject *core_loader_resolve(PyObject *object, PyObject *const *args, Py_ssize_t n_args); /* new */
PyObject *core_loader_words(PyObject *object, PyObject *const *args, Py_ssize_t n_args);   /* new */
PyObject *core_loader_python(PyObject *object, PyObject *const *args, Py_ssize_t n_args);  /* new */
PyObject *core_loader_normal(PyObject *object, PyObject *const *args, Py_ssize_t n_args);  /* new */
PyObject *core_loader_leave_normal(PyObject *object, PyObject *const *args,
                                   Py_ssize_t n_args); /* new */
PyObject *core_loader_generator(PyObject *object, PyObject *const *args,
                                Py_ssize_t n_args);                                        /* new */
PyObject *core_loader_finish(PyObject *object, PyObject *const *args, Py_ssize_t n_args);  /* new */
PyObject *core_loader_fail(PyObject *object, PyObject *const *args, Py_ssize_t n_args);    /* new */
PyObject *core_loader_replace(PyObject *object, PyObject *const *args, Py_ssize_t n_args); /* new */

/* loader_fields.c: batches of a dataset of rows. */
PyObject *core_loader_take_fields(PyObject *object, PyObject *ticket);                    /* new */
PyObject *core_loader_gather(PyObject *object, PyObject *const *args, Py_ssize_t n_args); /* new */

/* loader_memory.c: memory that batches are given. core_memory_wrap takes address, size and the
 * object that it belongs to, which the buffer holds. */
int core_memory_wrap(struct core_state *state, PyObject *const *args, struct pst_buffer **out);
PyObject *core_loader_wanted(PyObject *object, PyObject *arg);                            /* new */
PyObject *core_loader_supply(PyObject *object, PyObject *const *args, Py_ssize_t n_args); /* new */
PyObject *core_loader_batch_bytes(PyObject *object, PyObject *n);                         /* new */

/* loader_events.c. */
PyObject *core_loader_trace_start(PyObject *object, PyObject *capacity); /* new */
PyObject *core_loader_trace_stop(PyObject *object, PyObject *arg);       /* new */
PyObject *core_loader_trace(PyObject *object, PyObject *arg);            /* new */

#endif
