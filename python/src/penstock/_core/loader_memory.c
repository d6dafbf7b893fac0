/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_type.h"

#include "tensor_type.h"

/* Memory of Python's for batches. The engine holds the object that it belongs to by the buffer. */

/* In a call of the consumer's, with or without the GIL, or where the last Tensor dies. */
static void release_owner(void *opaque)
{
    if (!Py_IsInitialized())
        return;
    PyGILState_STATE held = PyGILState_Ensure();
    Py_DECREF((PyObject *)opaque);
    PyGILState_Release(held);
}

int core_memory_wrap(struct core_state *state, PyObject *const *args, struct pst_buffer **out)
{
    uint64_t address, size;
    if (core_to_uint64(args[0], "address", &address) < 0 ||
        core_to_uint64(args[1], "size", &size) < 0)
        return -1;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_buffer_wrap(out, (void *)(uintptr_t)address, (size_t)size, release_owner, args[2],
                             &err);
    if (rc < 0) {
        core_fail(state, rc, &err);
        return -1;
    }
    Py_INCREF(args[2]);
    return 0;
}

static PyObject *memory_owner(PyObject *module, PyObject *tensor) /* new */
{
    if (!core_tensor_check(core_state_of_module(module), tensor)) {
        PyErr_SetString(PyExc_TypeError, "owner() takes a Tensor");
        return NULL;
    }
    PyObject *owner = pst_buffer_opaque(core_tensor_of(tensor)->buffer, release_owner);
    return Py_NewRef(owner ? owner : Py_None); /* new */
}

PyMethodDef core_memory_functions[] = {
    {"owner", memory_owner, METH_O,
     "owner(tensor, /)\n--\n\n"
     "The object whose memory a batch's tensor lies in, where that was supplied; else None."},
    {NULL, NULL, 0, NULL},
};

PyObject *core_loader_wanted(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket = 0;
    size_t bytes = 0;
    if (!core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_wanted(self->handle, &ticket, &bytes, &err);
    core_loader_leave(self);
    if (rc < 0)
        return core_fail(core_state_of(object), rc, &err);
    if (rc != PST_OK)
        Py_RETURN_NONE;
    return Py_BuildValue("(KK)", (unsigned long long)ticket, (unsigned long long)bytes); /* new */
}

PyObject *core_loader_supply(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct core_state *state = core_state_of(object);
    struct pst_buffer *memory = NULL;
    uint64_t ticket;
    if (n_args != 1 && core_check_args("supply", n_args, 4) < 0)
        return NULL;
    if (core_to_uint64(args[0], "ticket", &ticket) < 0 ||
        (n_args == 4 && core_memory_wrap(state, args + 1, &memory) < 0))
        return NULL;
    if (!core_loader_enter(self)) {
        pst_buffer_unref(memory);
        return NULL;
    }
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_supply(self->handle, ticket, memory, &err);
    core_loader_leave(self);
    pst_buffer_unref(memory);
    return rc < 0 ? core_fail(state, rc, &err) : PyBool_FromLong(rc == PST_OK); /* new */
}

PyObject *core_loader_batch_bytes(PyObject *object, PyObject *arg) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t n;
    size_t bytes = 0;
    if (core_to_uint64(arg, "n", &n) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_batch_bytes(self->handle, (size_t)n, &bytes, &err);
    core_loader_leave(self);
    return rc < 0 ? core_fail(core_state_of(object), rc, &err) : PyLong_FromSize_t(bytes); /* new */
}
