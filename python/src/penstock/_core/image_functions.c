/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

static const char *format_name(int format)
{
    switch (format) {
    case PST_IMAGE_JPEG:
        return "jpeg";
    case PST_IMAGE_PNG:
        return "png";
    case PST_IMAGE_WEBP:
        return "webp";
    case PST_IMAGE_BMP:
        return "bmp";
    case PST_IMAGE_GIF:
        return "gif";
    default:
        return "unknown";
    }
}

/* 0, or -1 with an exception set. */
static int probe_object(PyObject *module, PyObject *data, struct pst_image_info *info)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return -1;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    /* Of a JPEG with several scans the whole file is walked over. */
    Py_BEGIN_ALLOW_THREADS rc = pst_image_probe(info, view.buf, (size_t)view.len, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&view);
    if (rc == PST_OK)
        return 0;
    core_fail(core_state_of_module(module), rc, &err);
    return -1;
}

static PyObject *core_orientation(PyObject *module, PyObject *data) /* new */
{
    struct pst_image_info info = {0};
    if (probe_object(module, data, &info) < 0)
        return NULL;
    return PyLong_FromLong(info.orientation); /* new */
}

static PyObject *core_probe(PyObject *module, PyObject *data) /* new */
{
    struct pst_image_info info = {0};
    if (probe_object(module, data, &info) < 0)
        return NULL;
    return Py_BuildValue("(sii)", format_name(info.format), (int)info.width,
                         (int)info.height); /* new */
}

static int parse_region(PyObject *object, struct pst_rect *region)
{
    int x, y, w, h;
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "region must be a tuple or None");
        return -1;
    }
    if (!PyArg_ParseTuple(object, "iiii;region must be (x, y, w, h)", &x, &y, &w, &h))
        return -1;
    *region = (struct pst_rect){x, y, w, h};
    return 0;
}

static PyObject *core_decode(PyObject *module, PyObject *const *args, Py_ssize_t n_args) /* new */
{
    struct core_state *state = core_state_of_module(module);
    struct pst_rect rect, *region = NULL;
    Py_buffer view;
    if (n_args < 1 || n_args > 2)
        return PyErr_Format(PyExc_TypeError,
                            "decode() takes 1 or 2 positional arguments (%zd given)", n_args);
    if (n_args == 2 && args[1] != Py_None) {
        if (parse_region(args[1], &rect) < 0)
            return NULL;
        region = &rect;
    }
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pst_tensor tensor = {0};
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = pst_image_decode(&tensor, view.buf, (size_t)view.len, region, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&view);
    return rc == PST_OK ? core_tensor_wrap(state, &tensor) : core_fail(state, rc, &err);
}

static PyObject *core_check(PyObject *module, PyObject *data) /* new */
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = pst_image_check(view.buf, (size_t)view.len, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&view);
    if (rc != PST_OK)
        return core_fail(core_state_of_module(module), rc, &err);
    Py_RETURN_NONE;
}

PyMethodDef core_image_functions[] = {
    {"check", core_check, METH_O,
     "check(data, /)\n--\n\nRaises DecodeError where anything is wrong with an image, or behind "
     "it."},
    {"probe", core_probe, METH_O,
     "probe(data, /)\n--\n\n(format, width, height); raises DecodeError where the native decoders "
     "do "
     "not vouch."},
    {"orientation", core_orientation, METH_O,
     "orientation(data, /)\n--\n\nEXIF's 1 to 8 as exif_transpose() finds it, 0 where only Pillow "
     "can tell; raises as probe()."},
    {"decode", (PyCFunction)(void (*)(void))core_decode, METH_FASTCALL,
     "decode(data, region=None, /)\n--\n\nPixels, (h, w, 3) u8; region is (x, y, w, h)."},
    {NULL, NULL, 0, NULL},
};
