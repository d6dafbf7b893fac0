/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <string.h>

#include "tensor_type.h"

/* Steps on rows: pst_steps_open() of <penstock/array.h>. */

#define MOST_STEPS 64

/* The steps of one field, and the numbers that they point to. */
struct field {
    struct pst_step steps[MOST_STEPS];
    double *numbers[MOST_STEPS]; /* PyMem */
    size_t n;
};

static void field_free(struct field *field)
{
    for (size_t i = 0; field && i < field->n; i++)
        PyMem_Free(field->numbers[i]);
    PyMem_Free(field);
}

/* text: doubles of the mean, and behind them as many of the std. */
static int numbers_parse(struct pst_step *step, const char *text, Py_ssize_t size, double **numbers)
{
    step->n = (size_t)size / (2 * sizeof(double));
    *numbers = PyMem_Malloc((size_t)size);
    if (!*numbers) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(*numbers, text, step->n * 2 * sizeof(double));
    step->mean = *numbers;
    step->std = *numbers + step->n;
    return 0;
}

/* (kind, dtype, number, numbers, dim, shape, classes) */
static int step_parse(struct pst_step *step, PyObject *tuple, double **numbers)
{
    PyObject *dtype, *shape;
    const char *text;
    Py_ssize_t size;
    long long classes;
    if (!PyArg_ParseTuple(tuple, "iOdy#iO!L:steps", &step->kind, &dtype, &step->number, &text,
                          &size, &step->dim, &PyTuple_Type, &shape, &classes))
        return -1;
    step->classes = classes;
    if (dtype != Py_None) {
        const struct core_dtype *found = core_dtype_named(dtype);
        if (!found)
            return -1;
        step->dtype = found->dtype;
    }
    Py_ssize_t n = PyTuple_Size(shape);
    if (n < 0 || n > PST_MAX_DIMS) {
        PyErr_Format(PyExc_ValueError, "an array has at most %d dimensions", PST_MAX_DIMS);
        return -1;
    }
    step->ndim = (int)n;
    for (Py_ssize_t i = 0; i < n; i++)
        if (core_to_int64(PyTuple_GetItem(shape, i), "shape", &step->shape[i]) < 0) /* borrowed */
            return -1;
    return numbers_parse(step, text, size, numbers);
}

/* (name, steps) */
static struct field *field_parse(struct pst_field_steps *given, PyObject *tuple)
{
    PyObject *steps;
    if (!PyArg_ParseTuple(tuple, "yO!:steps", &given->field, &PyTuple_Type, &steps))
        return NULL;
    Py_ssize_t n = PyTuple_Size(steps);
    if (n > MOST_STEPS) {
        PyErr_Format(PyExc_ValueError, "%zd steps, expected at most %d", n, MOST_STEPS);
        return NULL;
    }
    struct field *field = PyMem_Calloc(1, sizeof *field);
    if (!field) {
        PyErr_NoMemory();
        return NULL;
    }
    for (; (Py_ssize_t)field->n < n; field->n++) {
        PyObject *step = PyTuple_GetItem(steps, (Py_ssize_t)field->n); /* borrowed */
        if (step_parse(&field->steps[field->n], step, &field->numbers[field->n]) < 0) {
            field_free(field);
            return NULL;
        }
    }
    given->steps = field->steps;
    given->n = field->n;
    return field;
}

PyObject *core_row_steps(PyObject *module, PyObject *args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_field_steps given[PST_MAX_FIELDS];
    struct field *fields[PST_MAX_FIELDS];
    struct pst_dataset *dataset = NULL;
    struct pst_error err;
    PyObject *rows, *tuple;
    Py_ssize_t parsed = 0;
    int rc = PST_OK;
    if (!PyArg_ParseTuple(args, "O!O!:row_steps", state->dataset_type, &rows, &PyTuple_Type,
                          &tuple))
        return NULL;
    Py_ssize_t n = PyTuple_Size(tuple);
    if (n > PST_MAX_FIELDS)
        return PyErr_Format(PyExc_ValueError, "steps of %zd fields, expected at most %d", n,
                            PST_MAX_FIELDS);
    pst_error_init(&err);
    for (; parsed < n; parsed++) {
        fields[parsed] = field_parse(&given[parsed], PyTuple_GetItem(tuple, parsed)); /* borrowed */
        if (!fields[parsed])
            break;
    }
    if (parsed == n)
        rc = pst_steps_open(&dataset, core_dataset_handle(rows), given, (size_t)n, &err);
    while (parsed > 0)
        field_free(fields[--parsed]);
    if (rc < 0)
        return core_fail(state, rc, &err);
    return dataset ? core_dataset_wrap(state, dataset) : NULL; /* new */
}
