/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_type.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a wait may keep a signal, such as Ctrl-C, from its handler. */
#define WAIT_SLICE_MS 50

struct pst_loader *core_loader_enter(struct core_loader *self)
{
    if (__atomic_exchange_n(&self->busy, 1, __ATOMIC_ACQUIRE)) {
        /* A child of fork() has a copy of the flag but not the thread that set it. */
        if (getpid() == self->pid) {
            int is_mine =
                __atomic_load_n(&self->owner, __ATOMIC_RELAXED) == PyThread_get_thread_ident();
            PyErr_SetString(PyExc_RuntimeError,
                            is_mine ? "a call of this loader is still running in this thread"
                                    : "another thread is using this loader");
            return NULL;
        }
    }
    __atomic_store_n(&self->owner, PyThread_get_thread_ident(), __ATOMIC_RELAXED);
    if (self->handle)
        return self->handle;
    __atomic_store_n(&self->busy, 0, __ATOMIC_RELEASE);
    struct pst_error err;
    pst_error_init(&err);
    core_fail(core_state_of((PyObject *)self), PST_ECLOSED, &err);
    return NULL;
}

void core_loader_leave(struct core_loader *self)
{
    __atomic_store_n(&self->busy, 0, __ATOMIC_RELEASE);
}

PyObject *core_loader_leave_none(struct core_loader *self, int rc,
                                 const struct pst_error *err) /* new */
{
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(core_state_of((PyObject *)self), rc, err);
    Py_RETURN_NONE;
}

void core_loader_gil_release(struct core_loader *self)
{
    self->released = PyEval_SaveThread();
}

void core_loader_gil_acquire(struct core_loader *self)
{
    PyEval_RestoreThread(self->released);
    self->released = NULL;
}

/* The callable works on a copy that Python owns: whatever it keeps of it (a NumPy array, a tensor)
 * stays valid. The name of the method is interned: each new string would take a place in the
 * interpreter's method cache. more: two arguments after the values, or NULLs. */
static int exp_call(struct core_state *state, PyObject *callable, float *values, size_t n,
                    PyObject *more[2])
{
    Py_ssize_t size = (Py_ssize_t)(n * sizeof *values);
    PyObject *bytes = PyByteArray_FromStringAndSize((const char *)values, size); /* new */
    PyObject *view = bytes ? PyMemoryView_FromObject(bytes) : NULL;              /* new */
    PyObject *floats = NULL, *result = NULL;
    if (view)
        floats =
            PyObject_CallMethodObjArgs(view, state->name_cast, state->format_f, NULL); /* new */
    if (floats)
        result = PyObject_CallFunctionObjArgs(callable, floats, more[0], more[1], NULL); /* new */
    int rc = -1;
    if (result && PyByteArray_Size(bytes) == size) {
        memcpy(values, PyByteArray_AsString(bytes), (size_t)size);
        rc = 0;
    } else if (result) {
        PyErr_SetString(PyExc_BufferError, "a callback resized its argument");
    }
    Py_XDECREF(result);
    Py_XDECREF(floats);
    Py_XDECREF(view);
    Py_XDECREF(bytes);
    return rc;
}

/* Runs within a call of the C library, on the thread that made it. */
static int loader_exp(float *values, size_t n, void *opaque)
{
    struct core_loader *self = opaque;
    int was_released = self->released != NULL;
    if (was_released)
        core_loader_gil_acquire(self);
    PyObject *none[2] = {NULL, NULL};
    int rc = exp_call(core_state_of((PyObject *)self), self->exp, values, n, none);
    if (was_released)
        core_loader_gil_release(self);
    return rc;
}

static int loader_blur(float *values, size_t n, int32_t taps, int is_v2, void *opaque)
{
    struct core_loader *self = opaque;
    int was_released = self->released != NULL;
    if (was_released)
        core_loader_gil_acquire(self);
    PyObject *more[2] = {PyLong_FromLong(taps), PyBool_FromLong(is_v2)}; /* new */
    int rc = -1;
    if (more[0])
        rc = exp_call(core_state_of((PyObject *)self), self->blur, values, n * (size_t)taps, more);
    Py_XDECREF(more[0]);
    Py_DECREF(more[1]);
    if (was_released)
        core_loader_gil_release(self);
    return rc;
}

/* A callback that was given, or NULL. */
static int check_callback(PyObject *given, const char *name)
{
    if (given != Py_None && !PyCallable_Check(given)) {
        PyErr_Format(PyExc_TypeError, "%s must be callable or None", name);
        return -1;
    }
    return 0;
}

static int parse_config(PyObject *self, PyObject *args, PyObject *kwargs,
                        struct pst_loader_config *config, struct pst_mix_config *mix,
                        PyObject **dataset, PyObject **exp, PyObject **blur)
{
    static const char *const names[] = {
        "",    "",     "threads", "batch_size", "ahead", "n_streams", "memory_budget",
        "rng", "nice", "exp",     "strict",     "blur",  "mix",       NULL};
    struct core_state *state = core_state_of(self);
    PyObject *transform, *mixed; /* borrowed */
    int threads, batch_size, ahead, n_streams, nice, strict;
    Py_ssize_t memory_budget;
    const char *rng;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O$iiiinsiOpOO:Loader", (char **)names,
                                     state->dataset_type, dataset, &transform, &threads,
                                     &batch_size, &ahead, &n_streams, &memory_budget, &rng, &nice,
                                     exp, &strict, blur, &mixed))
        return -1;
    if (mixed != Py_None && core_to_mix(mixed, mix) < 0)
        return -1;
    if (transform != Py_None && Py_TYPE(transform) != (PyTypeObject *)state->transform_type) {
        PyErr_SetString(PyExc_TypeError, "transform must be a Transform, or None for rows");
        return -1;
    }
    if (check_callback(*exp, "exp") < 0 || check_callback(*blur, "blur") < 0)
        return -1;
    if (memory_budget < 0) {
        PyErr_SetString(PyExc_ValueError, "memory_budget is negative");
        return -1;
    }
    if (strcmp(rng, "torch") != 0 && strcmp(rng, "sample") != 0) {
        PyErr_Format(PyExc_ValueError, "rng is \"%s\", expected \"torch\" or \"sample\"", rng);
        return -1;
    }
    pst_loader_config_init(config);
    config->dataset = core_dataset_handle(*dataset);
    config->transform = transform == Py_None ? NULL : core_transform_handle(transform);
    config->threads = threads;
    config->batch_size = batch_size;
    config->ahead = ahead;
    config->n_streams = n_streams;
    config->memory_budget = (size_t)memory_budget;
    config->rng = rng[0] == 't' ? PST_RNG_TORCH : PST_RNG_SAMPLE;
    config->nice = nice;
    config->strict = strict;
    config->mix = mixed == Py_None ? NULL : mix;
    return 0;
}

static PyObject *loader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) /* new */
{
    PyObject *object = PyType_GenericAlloc(type, 0); /* new */
    if (!object)
        return NULL;
    struct core_loader *self = (struct core_loader *)object;
    struct pst_loader_config config;
    struct pst_mix_config mix;
    PyObject *dataset, *exp, *blur; /* borrowed from the arguments */
    if (parse_config(object, args, kwargs, &config, &mix, &dataset, &exp, &blur) < 0)
        goto fail;
    self->dataset = Py_NewRef(dataset); /* new */
    self->pid = getpid();
    if (exp != Py_None) {
        self->exp = Py_NewRef(exp); /* new */
        config.exp = loader_exp;
        config.exp_opaque = self;
    }
    if (blur != Py_None) {
        self->blur = Py_NewRef(blur); /* new */
        config.blur = loader_blur;
        config.blur_opaque = self;
    }
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self);
    int rc = pst_loader_open(&self->handle, &config, &err);
    core_loader_gil_acquire(self);
    if (rc == PST_OK)
        return object;
    core_fail(core_state_of(object), rc, &err);

fail:
    Py_DECREF(object);
    return NULL;
}

/* Ends the threads. */
static void loader_shut(struct core_loader *self)
{
    __atomic_store_n(&self->closed, 1, __ATOMIC_RELAXED);
    core_loader_gil_release(self);
    pst_loader_close(&self->handle);
    core_loader_gil_acquire(self);
}

static PyObject *loader_close(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    if (__atomic_load_n(&self->closed, __ATOMIC_RELAXED))
        Py_RETURN_NONE;
    if (!core_loader_enter(self))
        return NULL;
    loader_shut(self);
    core_loader_leave(self);
    Py_RETURN_NONE;
}

static PyObject *loader_seed(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    int32_t stream;
    uint64_t seed;
    if (core_check_args("seed", n_args, 2) < 0 || core_to_int32(args[0], "stream", &stream) < 0 ||
        core_to_uint64(args[1], "seed", &seed) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_seed(self->handle, stream, seed, &err);
    return core_loader_leave_none(self, rc, &err);
}

typedef int set_fn(struct pst_loader *loader, int32_t stream, const uint32_t words[624],
                   int32_t position, struct pst_error *err);

static PyObject *set_generator(PyObject *object, PyObject *const *args, Py_ssize_t n_args,
                               const char *name, set_fn *set) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    int32_t stream, position;
    uint32_t words[624];
    Py_buffer view;
    if (core_check_args(name, n_args, 3) < 0 || core_to_int32(args[0], "stream", &stream) < 0 ||
        core_to_int32(args[2], "position", &position) < 0 ||
        core_to_buffer(args[1], "words", sizeof words, &view) < 0)
        return NULL;
    memcpy(words, view.buf, sizeof words); /* a buffer need not be aligned for its elements */
    PyBuffer_Release(&view);
    if (!core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = set(self->handle, stream, words, position, &err);
    return core_loader_leave_none(self, rc, &err);
}

static PyObject *loader_set_state(PyObject *object, PyObject *const *args,
                                  Py_ssize_t n_args) /* new */
{
    return set_generator(object, args, n_args, "set_state", pst_loader_set_state);
}

static PyObject *loader_set_python(PyObject *object, PyObject *const *args,
                                   Py_ssize_t n_args) /* new */
{
    return set_generator(object, args, n_args, "set_python", pst_loader_set_python);
}

static PyObject *loader_set_normal(PyObject *object, PyObject *const *args,
                                   Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    int32_t stream;
    double normal;
    if (core_check_args("set_normal", n_args, 2) < 0 ||
        core_to_int32(args[0], "stream", &stream) < 0 || core_to_normal(args[1], &normal) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_set_normal(self->handle, stream, normal, &err);
    return core_loader_leave_none(self, rc, &err);
}

/* Keeps the GIL: it is short, and its one long part is the exp callback, which is Python. */
static PyObject *loader_submit(PyObject *object, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    int32_t stream;
    int64_t *indices;
    size_t n;
    if (n_args != 3 && core_check_args("submit", n_args, 2) < 0)
        return NULL;
    int is_supplied = n_args == 3 ? PyObject_IsTrue(args[2]) : 0;
    if (is_supplied < 0 || core_to_int32(args[1], "stream", &stream) < 0 ||
        core_to_int64_list(args[0], PyExc_IndexError, &indices, &n) < 0)
        return NULL;
    if (!core_loader_enter(self)) {
        PyMem_Free(indices);
        return NULL;
    }
    uint64_t ticket = 0;
    struct pst_error err;
    pst_error_init(&err);
    int rc = (is_supplied ? pst_loader_submit_supplied
                          : pst_loader_submit)(self->handle, indices, n, stream, &ticket, &err);
    core_loader_leave(self);
    PyMem_Free(indices);
    if (rc == PST_OK)
        return PyLong_FromUnsignedLongLong(ticket); /* new */
    if (rc == PST_AGAIN)
        Py_RETURN_NONE;
    return core_fail(core_state_of(object), rc, &err);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What pst_loader_wait() says, or PST_ECALLBACK for an exception of a signal handler. The first
 * look keeps the GIL: where an event is ready, giving the GIL away can cost a whole switch
 * interval. */
static int wait_in_slices(struct core_loader *self, int64_t timeout_ms, struct pst_event *event,
                          struct pst_error *err)
{
    int rc = pst_loader_wait(self->handle, event, 0, err);
    if (rc != PST_AGAIN)
        return rc;
    int64_t start = now_ns();
    for (;;) {
        int64_t slice = WAIT_SLICE_MS;
        if (timeout_ms >= 0) {
            int64_t left = timeout_ms - (now_ns() - start) / 1000000; /* rounded up */
            if (left <= 0)
                return PST_AGAIN;
            if (left < slice)
                slice = left;
        }
        core_loader_gil_release(self);
        rc = pst_loader_wait(self->handle, event, slice, err);
        core_loader_gil_acquire(self);
        if (rc != PST_AGAIN)
            return rc;
        if (PyErr_CheckSignals() < 0)
            return PST_ECALLBACK;
    }
}

static PyObject *kind_name(const struct core_state *state, int kind) /* borrowed */
{
    switch (kind) {
    case PST_EVENT_BATCH:
        return state->kind_batch;
    case PST_EVENT_DOUBT:
        return state->kind_doubt;
    case PST_EVENT_FAILED:
        return state->kind_failed;
    default:
        return state->kind_ragged;
    }
}

/* Called within the call: the bytes of a doubt are borrowed from the loader. */
static PyObject *event_tuple(const struct core_state *state,
                             const struct pst_event *event) /* new */
{
    const struct pst_error *error = &event->error;
    PyObject *message = core_text(error->message); /* new */
    PyObject *data;
    if (event->data)
        data = PyBytes_FromStringAndSize(event->data, (Py_ssize_t)event->size); /* new */
    else
        data = Py_NewRef(Py_None); /* new */
    if (!data || !message) {
        Py_XDECREF(data);
        Py_XDECREF(message);
        return NULL;
    }
    /* N takes the reference over, on failure too. */
    return Py_BuildValue("(OKiLLN(siN)LN)", kind_name(state, event->kind),
                         (unsigned long long)event->ticket, (int)event->slot,
                         (long long)event->index, (long long)event->words, data,
                         core_status_name(error->status), error->os_errno, message,
                         (long long)event->python_words, core_normal(event->normal)); /* new */
}

static PyObject *loader_wait(PyObject *object, PyObject *timeout) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct core_state *state = core_state_of(object);
    int64_t timeout_ms;
    if (core_to_int64(timeout, "timeout_ms", &timeout_ms) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_event event = {0};
    struct pst_error err;
    pst_error_init(&err);
    int rc = wait_in_slices(self, timeout_ms, &event, &err);
    PyObject *result = NULL;
    if (rc == PST_OK)
        result = event_tuple(state, &event); /* new */
    else if (rc == PST_AGAIN)
        result = Py_NewRef(Py_None); /* new */
    else
        core_fail(state, rc, &err);
    core_loader_leave(self);
    return result;
}

static PyObject *loader_slot_shape(PyObject *object, PyObject *const *args,
                                   Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot, h = 0, w = 0;
    if (core_loader_parse_place("slot_shape", args, n_args, 2, &ticket, &slot) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_slot_shape(self->handle, ticket, slot, &h, &w, &err);
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(core_state_of(object), rc, &err);
    return Py_BuildValue("(ii)", (int)h, (int)w); /* new */
}

static PyObject *loader_describe_slot(PyObject *object, PyObject *const *args,
                                      Py_ssize_t n_args) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    uint64_t ticket;
    int32_t slot;
    char text[1024] = "";
    if (core_loader_parse_place("describe_slot", args, n_args, 2, &ticket, &slot) < 0 ||
        !core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_describe_slot(self->handle, ticket, slot, text, sizeof text, &err);
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(core_state_of(object), rc, &err);
    return core_text(text); /* new */
}

static PyObject *batch_tuple(struct core_state *state, struct pst_batch *batch) /* new */
{
    PyObject *images = core_tensor_wrap(state, &batch->images);                 /* new */
    PyObject *labels = images ? core_tensor_wrap(state, &batch->labels) : NULL; /* new */
    PyObject *result = labels ? PyTuple_Pack(2, images, labels) : NULL;         /* new */
    Py_XDECREF(images);
    Py_XDECREF(labels);
    pst_batch_reset(batch);
    return result;
}

static PyObject *loader_take(PyObject *object, PyObject *arg) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    struct core_state *state = core_state_of(object);
    uint64_t ticket;
    if (core_to_uint64(arg, "ticket", &ticket) < 0 || !core_loader_enter(self))
        return NULL;
    struct pst_batch batch = {0};
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_take(self->handle, ticket, &batch, &err);
    core_loader_leave(self);
    if (rc != PST_OK)
        return core_fail(state, rc, &err);
    if (!batch.images.buffer)
        Py_RETURN_NONE;
    return batch_tuple(state, &batch);
}

static PyObject *loader_cancel(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    if (!core_loader_enter(self))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    core_loader_gil_release(self);
    int rc = pst_loader_cancel(self->handle, &err);
    core_loader_gil_acquire(self);
    return core_loader_leave_none(self, rc, &err);
}

static PyObject *loader_stats(PyObject *object, PyObject *Py_UNUSED(arg)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    if (!core_loader_enter(self))
        return NULL;
    struct pst_stats stats = {.struct_size = sizeof stats};
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_loader_stats(self->handle, &stats, &err);
    core_loader_leave(self);
    return rc == PST_OK ? core_stats_dict(&stats) : core_fail(core_state_of(object), rc, &err);
}

static PyObject *loader_get_closed(PyObject *object, void *Py_UNUSED(closure)) /* new */
{
    struct core_loader *self = (struct core_loader *)object;
    return PyBool_FromLong(__atomic_load_n(&self->closed, __ATOMIC_RELAXED)); /* new */
}

static int loader_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct core_loader *)object)->exp);
    Py_VISIT(((struct core_loader *)object)->blur);
    Py_VISIT(((struct core_loader *)object)->dataset);
    return 0;
}

/* Closes first: a loader without its exp must not be asked for anything. */
static int loader_clear(PyObject *object)
{
    struct core_loader *self = (struct core_loader *)object;
    if (self->handle)
        loader_shut(self);
    Py_CLEAR(self->exp);
    Py_CLEAR(self->blur);
    Py_CLEAR(self->dataset);
    return 0;
}

static void loader_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    loader_clear(object);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

#define FASTCALL(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL
static PyMethodDef loader_methods[] = {
    {"seed", FASTCALL(loader_seed),
     "seed($self, stream, seed, /)\n--\n\nA stream as after torch's manual_seed(seed)."},
    {"set_state", FASTCALL(loader_set_state),
     "set_state($self, stream, words, position, /)\n--\n\nA stream from 624 words of mt19937."},
    {"set_python", FASTCALL(loader_set_python),
     "set_python($self, stream, words, position, /)\n--\n\n"
     "What a stream draws from Python's random, from 624 words of mt19937."},
    {"set_normal", FASTCALL(loader_set_normal),
     "set_normal($self, stream, normal, /)\n--\n\nWhat a stream's generator keeps, or None."},
    {"submit", FASTCALL(loader_submit),
     "submit($self, indices, stream, supplied=False, /)\n--\n\n"
     "The ticket, or None when `ahead` batches are waiting already. supplied: its memory will be."},
    {"wanted", core_loader_wanted, METH_NOARGS,
     "wanted($self)\n--\n\n(ticket, bytes) of a batch that wants memory now, or None."},
    {"supply", FASTCALL(core_loader_supply),
     "supply($self, ticket, address=None, size=None, owner=None, /)\n--\n\n"
     "The batch's memory, which is owner's; without: the engine's. False: there is no room."},
    {"batch_bytes", core_loader_batch_bytes, METH_O,
     "batch_bytes($self, n, /)\n--\n\nBytes of a batch of n samples; 0: not known."},
    {"wait", loader_wait, METH_O,
     "wait($self, timeout_ms, /)\n--\n\n"
     "(kind, ticket, slot, index, words, data, (status, os_errno, message), python_words, normal) "
     "or None."},
    {"resolve", FASTCALL(core_loader_resolve),
     "resolve($self, ticket, slot, rgbx, width, height, orientation, /)\n--\n\nThe pixels of a "
     "doubt."},
    {"words", FASTCALL(core_loader_words),
     "words($self, ticket, slot, n, /)\n--\n\nThe next words of a doubt that was refused."},
    {"python", FASTCALL(core_loader_python),
     "python($self, ticket, slot, /)\n--\n\n"
     "(words, position): Python's random as a doubt that was refused draws from it."},
    {"generator", FASTCALL(core_loader_generator),
     "generator($self, ticket, slot, /)\n--\n\n"
     "(words, position): torch's generator likewise, where the transform draws normals."},
    {"normal", FASTCALL(core_loader_normal),
     "normal($self, ticket, slot, /)\n--\n\n"
     "The normal that the generator keeps as a doubt that was refused draws, or None."},
    {"leave_normal", FASTCALL(core_loader_leave_normal),
     "leave_normal($self, ticket, slot, normal, /)\n--\n\n"
     "The one that it keeps after it; before finish()."},
    {"finish", FASTCALL(core_loader_finish),
     "finish($self, ticket, slot, data, height, width, words, python_words, /)\n--\n\n"
     "The finished sample of a doubt that was refused."},
    {"fail", FASTCALL(core_loader_fail), "fail($self, ticket, slot, /)\n--\n\nGives a batch up."},
    {"replace", FASTCALL(core_loader_replace),
     "replace($self, ticket, slot, index, /)\n--\n\n"
     "Another record in the place of a doubt, or with index -1 none. How many batches begin anew."},
    {"slot_shape", FASTCALL(loader_slot_shape),
     "slot_shape($self, ticket, slot, /)\n--\n\nOutput (height, width) of a sample."},
    {"describe_slot", FASTCALL(loader_describe_slot),
     "describe_slot($self, ticket, slot, /)\n--\n\nWhat was drawn for a sample."},
    {"take", loader_take, METH_O,
     "take($self, ticket, /)\n--\n\n(images, labels); None for a batch that failed or is ragged."},
    {"take_fields", core_loader_take_fields, METH_O,
     "take_fields($self, ticket, /)\n--\n\nA tuple of Tensors; raises what a batch failed for."},
    {"gather", FASTCALL(core_loader_gather),
     "gather($self, indices, address=None, size=None, owner=None, /)\n--\n\n"
     "A batch of rows at once, on this thread; in memory that is owner's where it is given."},
    {"cancel", loader_cancel, METH_NOARGS, "cancel($self)\n--\n\nDrops what is submitted."},
    {"stats", loader_stats, METH_NOARGS, "stats($self)\n--\n\nCounters since open."},
    {"trace_start", core_loader_trace_start, METH_O,
     "trace_start($self, capacity, /)\n--\n\nKeeps so many events a thread from now on."},
    {"trace_stop", core_loader_trace_stop, METH_NOARGS,
     "trace_stop($self)\n--\n\nEnds it; what is kept stays."},
    {"trace", core_loader_trace, METH_NOARGS,
     "trace($self)\n--\n\nTakes the events out: (events, lost)."},
    {"close", loader_close, METH_NOARGS, "close($self)\n--\n\nEnds the threads; idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef loader_getset[] = {
    {"closed", loader_get_closed, NULL, "Whether close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static char loader_doc[] =
    "Loader(dataset, transform, /, *, threads, batch_size, ahead, n_streams, memory_budget, rng, "
    "nice, exp, strict, blur, mix)\n--\n\nThreads that make batches. For one thread at a time.";

PyObject *core_loader_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, loader_doc},
        {Py_tp_new, CORE_SLOT(loader_new)},
        {Py_tp_methods, loader_methods},
        {Py_tp_getset, loader_getset},
        {Py_tp_traverse, CORE_SLOT(loader_traverse)},
        {Py_tp_clear, CORE_SLOT(loader_clear)},
        {Py_tp_dealloc, CORE_SLOT(loader_dealloc)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Loader",
        .basicsize = sizeof(struct core_loader),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
