/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <math.h>

/* (n_classes, is_choice, ((kind, alpha, p), ...)) */
int core_to_mix(PyObject *object, struct pst_mix_config *config)
{
    int n_classes;
    PyObject *parts; /* borrowed */
    *config = (struct pst_mix_config){.struct_size = sizeof *config};
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a mix must be a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(object, "ipO!;a mix must be (n_classes, is_choice, parts)", &n_classes,
                          &config->is_choice, &PyTuple_Type, &parts))
        return -1;
    Py_ssize_t n = PyTuple_Size(parts);
    if (n < 1 || n > PST_MAX_MIXES) {
        PyErr_Format(PyExc_ValueError, "%zd mixes, expected 1 to %d", n, PST_MAX_MIXES);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        struct pst_mix_part *part = &config->part[i];
        PyObject *tuple = PyTuple_GetItem(parts, i); /* borrowed */
        if (!PyTuple_Check(tuple)) {
            PyErr_SetString(PyExc_TypeError, "a part of a mix must be a tuple");
            return -1;
        }
        if (!PyArg_ParseTuple(tuple, "iff;a part of a mix must be (kind, alpha, p)", &part->kind,
                              &part->alpha, &part->p))
            return -1;
    }
    config->n_classes = n_classes;
    config->n = (int32_t)n;
    return 0;
}

int core_to_normal(PyObject *object, double *normal)
{
    *normal = NAN;
    if (object == Py_None)
        return 0;
    *normal = PyFloat_AsDouble(object);
    return *normal == -1.0 && PyErr_Occurred() /* borrowed */ ? -1 : 0;
}

PyObject *core_normal(double normal) /* new */
{
    if (isnan(normal))
        return Py_NewRef(Py_None);     /* new */
    return PyFloat_FromDouble(normal); /* new */
}

static PyObject *core_mix_draw(PyObject *module, PyObject *args) /* new */
{
    struct pst_mix_config config;
    struct pst_mix mix = {0};
    PyObject *object, *kept; /* borrowed */
    Py_buffer words;
    int h, w;
    double normal;
    size_t used = 0;
    if (!PyArg_ParseTuple(args, "Oiiy*O:mix_draw", &object, &h, &w, &words, &kept))
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int is_bad = core_to_mix(object, &config) < 0 || core_to_normal(kept, &normal) < 0;
    int rc = PST_OK;
    if (!is_bad && (uintptr_t)words.buf % sizeof(uint32_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "the words are not aligned");
        is_bad = 1;
    }
    if (!is_bad)
        rc = pst_mix_draw(&config, h, w, words.buf, (size_t)words.len / sizeof(uint32_t), &normal,
                          &mix, &used, &err);
    PyBuffer_Release(&words);
    if (is_bad)
        return NULL;
    if (rc < 0)
        return core_fail(core_state_of_module(module), rc, &err);
    return Py_BuildValue("(id(iiii)Nn)", mix.kind, mix.own, (int)mix.box.x, (int)mix.box.y,
                         (int)mix.box.w, (int)mix.box.h, core_normal(normal),
                         (Py_ssize_t)used); /* new */
}

PyMethodDef core_mix_functions[] = {
    {"mix_draw", core_mix_draw, METH_VARARGS,
     "mix_draw(mix, height, width, words, normal, /)\n--\n\n"
     "What is drawn for a batch: (kind, own, (x, y, w, h), normal, used)."},
    {NULL, NULL, 0, NULL},
};
