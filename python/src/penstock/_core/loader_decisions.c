/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_type.h"

int core_loader_parse_place(const char *function, PyObject *const *args, Py_ssize_t n_args,
                            Py_ssize_t expected, uint64_t *ticket, int32_t *slot)
{
    if (core_check_args(function, n_args, expected) < 0 ||
        core_to_uint64(args[0], "ticket", ticket) < 0)
        return -1;
    return core_to_int32(args[1], "slot", slot);
}

PyObject *core_loader_resolve(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot, width, height, orientation;
    size_t size;
    Py_buffer view;
    if (core_loader_parse_place("resolve", args, n_args, 6, &ticket, &slot) < 0 ||
        core_to_int32(args[3], "width", &width) < 0 ||
        core_to_int32(args[4], "height", &height) < 0 ||
        core_to_int32(args[5], "orientation", &orientation) < 0 ||
        core_image_size(width, height, 4, &size) < 0 ||
        core_to_buffer(args[2], "rgbx", size, &view) < 0)
        return NULL;
    if (!core_loader_enter(self)) {
        PyBuffer_Release(&view);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self); /* the pixels are copied, up to hundreds of MB */
    int rc = pst_loader_resolve(self->handle, ticket, slot, view.buf, width, height,
                                (ptrdiff_t)width * 4, orientation, &err);
    core_loader_gil_acquire(self);
    PyBuffer_Release(&view);
    return core_loader_leave_none(self, rc, &err);
}

PyObject *core_loader_words(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot, n;
    if (core_loader_parse_place("words", args, n_args, 3, &ticket, &slot) < 0 ||
        core_to_int32(args[2], "n", &n) < 0)
        return NULL;
    if (n < 0 || n > 1 << 20) {
        PyErr_Format(PyExc_ValueError, "%d words", (int)n);
        return NULL;
    }
    size_t size = (size_t)n * sizeof(uint32_t);
    uint32_t *words = PyMem_Calloc((size_t)n + 1, sizeof *words);
    if (!words)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    if (core_loader_enter(self)) {
        struct pst_error err;
        pst_error_init(&err);
        int rc = pst_loader_words(self->handle, ticket, slot, words, (size_t)n, &err);
        core_loader_leave(self);
        if (rc == PST_OK)
            result = PyBytes_FromStringAndSize((const char *)words, (Py_ssize_t)size); /* new */
        else
            core_fail(core_state_of(object), rc, &err);
    }
    PyMem_Free(words);
    return result;
}

typedef int state_fn(struct pst_loader *loader, uint64_t ticket, int32_t slot, uint32_t words[624],
                     int32_t *position, struct pst_error *err);

static PyObject *state_of(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                          const char *name, state_fn *get) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot, position;
    uint32_t words[624];
    if (core_loader_parse_place(name, args, n_args, 2, &ticket, &slot) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = get(self->handle, ticket, slot, words, &position, &err);
    core_loader_leave(self);
    if (rc < 0)
        return core_fail(core_state_of(object), rc, &err);
    return Py_BuildValue("(y#i)", (const char *)words, (Py_ssize_t)sizeof words,
                         (int)position); /* new */
}

PyObject *core_loader_python(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    return state_of(object, args, n_args, "python", pst_loader_python);
}

PyObject *core_loader_generator(PyObject *object, PyObject *const *args,
                                Py_ssize_t n_args) /* new */
{
    return state_of(object, args, n_args, "generator", pst_loader_generator);
}

PyObject *core_loader_normal(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot;
    double normal;
    if (core_loader_parse_place("normal", args, n_args, 2, &ticket, &slot) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_normal(self->handle, ticket, slot, &normal, &err);
    core_loader_leave(self);
    return rc < 0 ? core_fail(core_state_of(object), rc, &err) : core_normal(normal);
}

PyObject *core_loader_leave_normal(PyObject *object, PyObject *const *args,
                                   Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot;
    double normal;
    if (core_loader_parse_place("leave_normal", args, n_args, 3, &ticket, &slot) < 0 ||
        core_to_normal(args[2], &normal) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_leave_normal(self->handle, ticket, slot, normal, &err);
    return core_loader_leave_none(self, rc, &err);
}

PyObject *core_loader_finish(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket, words;
    int32_t slot, height, width, python_words;
    Py_buffer view;
    if (core_loader_parse_place("finish", args, n_args, 7, &ticket, &slot) < 0 ||
        core_to_int32(args[3], "height", &height) < 0 ||
        core_to_int32(args[4], "width", &width) < 0 ||
        core_to_uint64(args[5], "words", &words) < 0 ||
        core_to_int32(args[6], "python_words", &python_words) < 0 ||
        PyObject_GetBuffer(args[2], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (python_words < 0)
        PyErr_Format(PyExc_ValueError, "%d words of Python's random", (int)python_words);
    if (python_words < 0 || !core_loader_enter(self)) {
        PyBuffer_Release(&view);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self); /* the sample is copied */
    int rc = pst_loader_finish(self->handle, ticket, slot, view.buf, (size_t)view.len, height,
                               width, (size_t)words, (uint32_t)python_words, &err);
    core_loader_gil_acquire(self);
    PyBuffer_Release(&view);
    return core_loader_leave_none(self, rc, &err);
}

PyObject *core_loader_fail(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot;
    if (core_loader_parse_place("fail", args, n_args, 2, &ticket, &slot) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self); /* waits for samples that are being worked on */
    int rc = pst_loader_fail(self->handle, ticket, slot, &err);
    core_loader_gil_acquire(self);
    return core_loader_leave_none(self, rc, &err);
}

PyObject *core_loader_replace(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot, n_replanned = 0;
    int64_t index;
    if (core_loader_parse_place("replace", args, n_args, 3, &ticket, &slot) < 0 ||
        core_to_int64(args[2], "index", &index) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self); /* waits for samples that are being worked on */
    int rc = pst_loader_replace(self->handle, ticket, slot, index, &n_replanned, &err);
    core_loader_gil_acquire(self);
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(core_state_of(object), rc, &err);
    return PyLong_FromLong(n_replanned); /* new */
}
