/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_type.h"

/* A Generator is used by one thread at a time. The GIL sees to it, since no call gives it away;
 * busy does where there is none. */
struct core_generator {
    PyObject ob_base;
    struct pst_generator *generator;
    int busy;
};

static struct core_generator *enter(PyObject *object)
{
    struct core_generator *self = (struct core_generator *)object;
    int idle = 0;
    if (__atomic_compare_exchange_n(&self->busy, &idle, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return self;
    PyErr_SetString(PyExc_RuntimeError, "the generator is in use by another thread");
    return NULL;
}

static void leave(struct core_generator *self)
{
    __atomic_store_n(&self->busy, 0, __ATOMIC_RELEASE);
}

static PyObject *generator_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"", NULL};
    struct core_state *state = PyType_GetModuleState(type);
    struct pst_error err = {0};
    PyObject *seed_object;
    uint64_t seed;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Generator", (char **)names, &seed_object) ||
        core_to_uint64(seed_object, "seed", &seed) < 0)
        return NULL;
    PyObject *object = PyType_GenericAlloc(type, 0); /* new */
    if (!object)
        return NULL;
    int rc = pst_generator_new(&((struct core_generator *)object)->generator, seed, &err);
    if (rc == PST_OK)
        return object;
    Py_DECREF(object);
    return core_fail(state, rc, &err);
}

static PyObject *generator_seed(PyObject *object, PyObject *seed_object) /* new */
{
    uint64_t seed;
    if (core_to_uint64(seed_object, "seed", &seed) < 0)
        return NULL;
    struct core_generator *self = enter(object);
    if (!self)
        return NULL;
    pst_generator_seed(self->generator, seed);
    leave(self);
    Py_RETURN_NONE;
}

static PyObject *draw_floats(PyObject *object, PyObject *args, PyObject *kwargs, const char *format,
                             int (*draw)(struct pst_tensor *, struct pst_generator *, int, int,
                                         const int64_t *, struct pst_error *)) /* new */
{
    static const char *const names[] = {"", "dtype", NULL};
    PyObject *shape_object, *dtype_name = Py_None;
    int64_t shape[PST_MAX_DIMS];
    int ndim;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, (char **)names, &shape_object,
                                     &dtype_name) ||
        core_to_shape(&shape_object, 1, shape, &ndim) < 0)
        return NULL;
    const struct core_dtype *dtype =
        dtype_name == Py_None ? core_dtype_find(PST_F32) : core_dtype_named(dtype_name);
    struct core_generator *self = dtype ? enter(object) : NULL;
    if (!self)
        return NULL;
    int rc = draw(&made, self->generator, dtype->dtype, ndim, shape, &err);
    leave(self);
    return core_tensor_result(object, rc, &made, &err);
}

static PyObject *generator_rand(PyObject *object, PyObject *args, PyObject *kwargs) /* new */
{
    return draw_floats(object, args, kwargs, "O|$O:rand", pst_tensor_rand);
}

static PyObject *generator_randn(PyObject *object, PyObject *args, PyObject *kwargs) /* new */
{
    return draw_floats(object, args, kwargs, "O|$O:randn", pst_tensor_randn);
}

static PyObject *generator_randint(PyObject *object, PyObject *args, PyObject *kwargs) /* new */
{
    static const char *const names[] = {"", "", "", "dtype", NULL};
    PyObject *low_object, *high_object, *shape_object, *dtype_name = Py_None;
    int64_t low, high, shape[PST_MAX_DIMS];
    int ndim;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$O:randint", (char **)names, &low_object,
                                     &high_object, &shape_object, &dtype_name) ||
        core_to_int64(low_object, "low", &low) < 0 ||
        core_to_int64(high_object, "high", &high) < 0 ||
        core_to_shape(&shape_object, 1, shape, &ndim) < 0)
        return NULL;
    const struct core_dtype *dtype =
        dtype_name == Py_None ? core_dtype_find(PST_I64) : core_dtype_named(dtype_name);
    struct core_generator *self = dtype ? enter(object) : NULL;
    if (!self)
        return NULL;
    int rc = pst_tensor_randint(&made, self->generator, low, high, dtype->dtype, ndim, shape, &err);
    leave(self);
    return core_tensor_result(object, rc, &made, &err);
}

static PyObject *generator_randperm(PyObject *object, PyObject *n_object) /* new */
{
    int64_t n;
    struct pst_tensor made;
    struct pst_error err = {0};
    if (core_to_int64(n_object, "n", &n) < 0)
        return NULL;
    struct core_generator *self = enter(object);
    if (!self)
        return NULL;
    int rc = pst_tensor_randperm(&made, self->generator, n, &err);
    leave(self);
    return core_tensor_result(object, rc, &made, &err);
}

static int generator_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void generator_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pst_generator_free(((struct core_generator *)object)->generator);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

static PyMethodDef generator_methods[] = {
    {"seed", generator_seed, METH_O,
     "seed($self, seed, /)\n--\n\nStarts the stream of this seed; its low 32 bits count."},
    {"rand", KEYWORDS(generator_rand),
     "rand($self, shape, /, *, dtype=\"f32\")\n--\n\nUniform in [0, 1), as torch.rand()."},
    {"randint", KEYWORDS(generator_randint),
     "randint($self, low, high, shape, /, *, dtype=\"i64\")\n--\n\nIntegers in [low, high), as "
     "torch.randint()."},
    {"randperm", generator_randperm, METH_O,
     "randperm($self, n, /)\n--\n\n0 .. n - 1, shuffled, as torch.randperm()."},
    {"randn", KEYWORDS(generator_randn),
     "randn($self, shape, /, *, dtype=\"f32\")\n--\n\nNormal numbers; not those of torch.randn()."},
    {NULL, NULL, 0, NULL},
};

static char generator_doc[] = "A seeded source of random tensors, with torch's numbers.";

PyObject *core_generator_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, generator_doc},
        {Py_tp_new, CORE_SLOT(generator_new)},
        {Py_tp_methods, generator_methods},
        {Py_tp_traverse, CORE_SLOT(generator_traverse)},
        {Py_tp_dealloc, CORE_SLOT(generator_dealloc)},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "penstock._core.Generator",
        .basicsize = sizeof(struct core_generator),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL); /* new */
}
