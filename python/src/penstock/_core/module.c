/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include "checks.h"

struct core_state *core_state_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

struct core_state *core_state_of_module(PyObject *module)
{
    return PyModule_GetState(module);
}

static PyObject *core_kernels(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return core_text(pst_kernels_name()); /* new */
}

static PyObject *core_build_info(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return core_text(pst_build_info()); /* new */
}

static PyObject *core_cpu_count(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return PyLong_FromLong(pst_cpu_count()); /* new */
}

/* There is no other way in Python: sys.unraisablehook takes only what the interpreter made. */
static PyObject *core_write_unraisable(PyObject *Py_UNUSED(module), PyObject *args) /* new */
{
    PyObject *error, *where; /* borrowed */
    if (!PyArg_ParseTuple(args, "OO", &error, &where))
        return NULL;
    if (!PyExceptionInstance_Check(error)) {
        PyErr_SetString(PyExc_TypeError, "error must be an exception");
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    PyErr_WriteUnraisable(where);
    Py_RETURN_NONE;
}

static PyMethodDef module_functions[] = {
    {"kernels", core_kernels, METH_NOARGS, "kernels()\n--\n\nNames of the kernels in use."},
    {"build_info", core_build_info, METH_NOARGS, "build_info()\n--\n\nLibraries that are linked."},
    {"cpu_count", core_cpu_count, METH_NOARGS,
     "cpu_count()\n--\n\nCores that this process may use."},
    {"write_unraisable", core_write_unraisable, METH_VARARGS,
     "write_unraisable(error, where, /)\n--\n\nTells sys.unraisablehook of an exception that can "
     "be raised nowhere."},
    {NULL, NULL, 0, NULL},
};

#ifdef PST_CHECKS
static PyObject *fault_arm(PyObject *Py_UNUSED(module), PyObject *args) /* new */
{
    unsigned int mask;
    long long nth;
    int forever, os_errno;
    if (!PyArg_ParseTuple(args, "ILpi:_fault_arm", &mask, &nth, &forever, &os_errno))
        return NULL;
    pst__fault_arm(mask, nth, forever, os_errno);
    Py_RETURN_NONE;
}

static PyObject *fault_disarm(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    pst__fault_disarm();
    Py_RETURN_NONE;
}

static PyObject *fault_clock_set_right(PyObject *Py_UNUSED(module),
                                       PyObject *Py_UNUSED(arg)) /* new */
{
    pst__fault_clock_set_right();
    Py_RETURN_NONE;
}

static PyObject *fault_calls(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return PyLong_FromLongLong(pst__fault_calls()); /* new */
}

static PyObject *fault_fired(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return PyLong_FromLongLong(pst__fault_fired()); /* new */
}

static PyObject *mem_blocks(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg)) /* new */
{
    return PyLong_FromLongLong(pst__mem_blocks()); /* new */
}

static PyMethodDef check_functions[] = {
    {"_fault_arm", fault_arm, METH_VARARGS,
     "_fault_arm(mask, nth, forever, errno, /)\n--\n\nMakes calls of the system fail."},
    {"_fault_disarm", fault_disarm, METH_NOARGS, "_fault_disarm()\n--\n\n"},
    {"_fault_clock_set_right", fault_clock_set_right, METH_NOARGS,
     "_fault_clock_set_right()\n--\n\nAfter faults of the clock."},
    {"_fault_calls", fault_calls, METH_NOARGS, "_fault_calls()\n--\n\n"},
    {"_fault_fired", fault_fired, METH_NOARGS, "_fault_fired()\n--\n\n"},
    {"_mem_blocks", mem_blocks, METH_NOARGS, "_mem_blocks()\n--\n\nBlocks of the engine."},
    {NULL, NULL, 0, NULL},
};
#endif

static int add_functions(PyObject *module)
{
    if (PyModule_AddFunctions(module, module_functions) < 0 ||
        PyModule_AddFunctions(module, core_array_functions) < 0 ||
        PyModule_AddFunctions(module, core_dataset_functions) < 0 ||
        PyModule_AddFunctions(module, core_image_functions) < 0 ||
        PyModule_AddFunctions(module, core_memory_functions) < 0 ||
        PyModule_AddFunctions(module, core_mix_functions) < 0 ||
        PyModule_AddFunctions(module, core_order_functions) < 0 ||
        PyModule_AddFunctions(module, core_tensor_functions) < 0 ||
        PyModule_AddFunctions(module, core_rows_functions) < 0 ||
        PyModule_AddFunctions(module, core_token_functions) < 0)
        return -1;
#ifdef PST_CHECKS
    if (PyModule_AddFunctions(module, check_functions) < 0)
        return -1;
#endif
    return 0;
}

static int add_type(PyObject *module, PyObject **slot, PyObject *type)
{
    *slot = type;
    return type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
}

static int intern(PyObject **slot, const char *text)
{
    *slot = PyUnicode_InternFromString(text); /* new */
    return *slot ? 0 : -1;
}

static int module_exec(PyObject *module)
{
    struct core_state *state = core_state_of_module(module);
    if (core_errors_init(module, state) < 0 ||
        add_type(module, &state->tensor_type, core_tensor_type_new(module)) < 0 ||
        add_type(module, &state->dataset_type, core_dataset_type_new(module)) < 0 ||
        add_type(module, &state->transform_type, core_transform_type_new(module)) < 0 ||
        add_type(module, &state->loader_type, core_loader_type_new(module)) < 0 ||
        add_type(module, &state->generator_type, core_generator_type_new(module)) < 0 ||
        add_type(module, &state->finalized_type, core_finalized_type_new(module)) < 0 ||
        add_type(module, &state->array_writer_type, core_array_writer_type_new(module)) < 0 ||
        intern(&state->kind_batch, "batch") < 0 || intern(&state->kind_doubt, "doubt") < 0 ||
        intern(&state->kind_failed, "failed") < 0 || intern(&state->kind_ragged, "ragged") < 0 ||
        intern(&state->name_cast, "cast") < 0 || intern(&state->name_dlpack, "__dlpack__") < 0 ||
        intern(&state->name_dlpack_device, "__dlpack_device__") < 0 ||
        intern(&state->format_f, "f") < 0)
        return -1;
    if (add_functions(module) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", pst_version());
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = core_state_of_module(module);
#define STATE_VISIT(name) Py_VISIT(state->name);
    CORE_STATE_MAP(STATE_VISIT)
#undef STATE_VISIT
    return 0;
}

static int module_clear(PyObject *module)
{
    struct core_state *state = core_state_of_module(module);
#define STATE_CLEAR(name) Py_CLEAR(state->name);
    CORE_STATE_MAP(STATE_CLEAR)
#undef STATE_CLEAR
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, CORE_SLOT(module_exec)},
#ifdef Py_GIL_DISABLED
    /* A loader guards itself (loader_type.c); the other objects never change. In a build with a GIL
     * the slot would keep the module from loading on 3.11 and 3.12. */
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._core",
    .m_doc = "The C engine, one to one.",
    .m_size = sizeof(struct core_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def); /* borrowed: a definition, not a module */
}
