/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_type.h"

enum { PIECE = 256 };

static const char *const kind_names[] = {
    [PST_TRACE_READ] = "read",     [PST_TRACE_PROBE] = "probe",         [PST_TRACE_PLAN] = "plan",
    [PST_TRACE_DECODE] = "decode", [PST_TRACE_TRANSFORM] = "transform", [PST_TRACE_READY] = "ready",
    [PST_TRACE_WAIT] = "wait",     [PST_TRACE_REFERENCE] = "reference", [PST_TRACE_BATCH] = "batch",
    [PST_TRACE_SUBMIT] = "submit",
};

PyObject *core_loader_trace_start(PyObject *object, PyObject *capacity) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t n;
    if (core_to_uint64(capacity, "capacity", &n) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_trace_start(self->handle, (size_t)n, &err);
    return core_loader_leave_none(self, rc, &err);
}

PyObject *core_loader_trace_stop(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    if (!core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_trace_stop(self->handle, &err);
    return core_loader_leave_none(self, rc, &err);
}

static int append_events(PyObject *list, const struct pst_trace_event *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct pst_trace_event *e = &events[i];
        PyObject *tuple =
            Py_BuildValue("(siLLLKii)", kind_names[e->kind], (int)e->thread, (long long)e->start_ns,
                          (long long)e->duration_ns, (long long)e->index,
                          (unsigned long long)e->ticket, (int)e->slot, (int)e->count); /* new */
        int rc = tuple ? PyList_Append(list, tuple) : -1;
        Py_XDECREF(tuple);
        if (rc < 0)
            return -1;
    }
    return 0;
}

PyObject *core_loader_trace(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct pst_trace_event events[PIECE];
    size_t taken = PIECE;
    uint64_t lost = 0;
    PyObject *list = PyList_New(0); /* new */
    if (!list || !core_loader_enter(self)) {
        Py_XDECREF(list);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    int rc = PST_OK, failed = 0;
    while (taken == PIECE && rc == PST_OK && !failed) {
        rc = pst_loader_trace(self->handle, events, PIECE, &taken, &lost, &err);
        if (rc == PST_OK)
            failed = append_events(list, events, taken) < 0;
    }
    core_loader_leave(self);
    if (rc == PST_OK && !failed)
        return Py_BuildValue("(NK)", list, (unsigned long long)lost); /* new */
    Py_DECREF(list);
    return failed ? NULL : core_fail(core_state_of(object), rc, &err);
}
