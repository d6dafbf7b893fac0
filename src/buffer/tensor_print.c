/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

#define SUMMARY_OVER 1000 /* elements */
#define EDGE 3            /* of a dimension that is summarised, at each end */
#define COLUMNS 79
#define ITEM_TEXT 32 /* of one element: "-2.2250738585072014e-308" has 24 */

/* Where the text goes. What has no room is counted only. */
struct text {
    char *out;
    size_t size, used;
    int column;
};

struct printer {
    struct text text;
    const struct pst_tensor *tensor;
    int summarise;
    int width; /* of the longest element that is shown */
};

static void put(struct text *text, const char *part, size_t n)
{
    for (size_t i = 0; i < n; i++, text->used++) {
        if (text->used + 1 < text->size)
            text->out[text->used] = part[i];
        text->column = part[i] == '\n' ? 0 : text->column + 1;
    }
}

static void put_text(struct text *text, const char *part)
{
    put(text, part, strlen(part));
}

static void put_spaces(struct text *text, int n)
{
    for (int i = 0; i < n; i++)
        put(text, " ", 1);
}

/* Whether the decimal text gives the value back, in its own precision. */
static int gives_back(const char *decimal, double value, int dtype)
{
    switch (dtype) {
    case PST_F16:
        return pst__f16_from_f32(strtof(decimal, NULL)) == pst__f16_from_f32((float)value);
    case PST_BF16:
        return pst__bf16_from_f32(strtof(decimal, NULL)) == pst__bf16_from_f32((float)value);
    case PST_F32:
        return strtof(decimal, NULL) == (float)value;
    default:
        return strtod(decimal, NULL) == value;
    }
}

/* The plain form of d.ddd times 10^exponent, as Python's repr() has it from 1e-4 to 1e16; digit i
 * counts 10^(exponent - i), so that the point comes after digit exponent. */
static void place_point(char *out, int is_negative, const char *digits, int n_digits, int exponent)
{
    int n = 0, first = exponent < 0 ? exponent : 0;
    int last = n_digits - 1 > exponent + 1 ? n_digits - 1 : exponent + 1;
    if (is_negative)
        out[n++] = '-';
    for (int i = first; i <= last; i++) {
        out[n++] = i >= 0 && i < n_digits ? digits[i] : '0';
        if (i == exponent)
            out[n++] = '.';
    }
    out[n] = 0;
}

static void print_float(char *out, double value, int dtype)
{
    char digits[18];
    int n = 1, n_digits = 0;
    if (!isfinite(value)) {
        snprintf(out, ITEM_TEXT, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    while (snprintf(out, ITEM_TEXT, "%.*e", n - 1, value), n < 17 && !gives_back(out, value, dtype))
        n++;
    char *e = strchr(out, 'e');
    for (char *c = out; c < e; c++)
        if (*c >= '0' && *c <= '9') /* the locale's point may be anything else */
            digits[n_digits++] = *c;
    int exponent = (int)strtol(e + 1, NULL, 10), is_negative = signbit(value) != 0;
    if (exponent >= -4 && exponent < 16)
        place_point(out, is_negative, digits, n_digits, exponent);
    else
        snprintf(out, ITEM_TEXT, "%s%c%s%.*se%+03d", is_negative ? "-" : "", digits[0],
                 n_digits > 1 ? "." : "", n_digits - 1, digits + 1, exponent);
}

#define READ(type)                                                                                 \
    type x;                                                                                        \
    memcpy(&x, at, sizeof x)

static void print_element(char *out, const uint8_t *at, int dtype)
{
    int64_t integer;
    switch (dtype) {
    case PST_F16: {
        READ(uint16_t);
        print_float(out, (double)pst__f32_from_f16(x), dtype);
        return;
    }
    case PST_BF16: {
        READ(uint16_t);
        print_float(out, (double)pst__f32_from_bf16(x), dtype);
        return;
    }
    case PST_F32: {
        READ(float);
        print_float(out, (double)x, dtype);
        return;
    }
    case PST_F64: {
        READ(double);
        print_float(out, x, dtype);
        return;
    }
    case PST_BOOL:
        snprintf(out, ITEM_TEXT, "%s", *at ? "True" : "False");
        return;
    case PST_U8:
        integer = *at;
        break;
    case PST_I8: {
        READ(int8_t);
        integer = (int64_t)x;
        break;
    }
    case PST_I16: {
        READ(int16_t);
        integer = x;
        break;
    }
    case PST_I32: {
        READ(int32_t);
        integer = x;
        break;
    }
    case PST_U16: {
        READ(uint16_t);
        integer = x;
        break;
    }
    case PST_U32: {
        READ(uint32_t);
        integer = x;
        break;
    }
    case PST_U64: {
        READ(uint64_t);
        snprintf(out, ITEM_TEXT, "%" PRIu64, x);
        return;
    }
    default: {
        READ(int64_t);
        integer = x;
    }
    }
    snprintf(out, ITEM_TEXT, "%" PRId64, integer);
}

/* The next index of a dimension that is shown; a jump over what a summary leaves out. */
static int64_t next_shown(const struct printer *printer, int64_t i, int64_t n)
{
    return printer->summarise && n > 2 * EDGE && i == EDGE - 1 ? n - EDGE : i + 1;
}

static void measure(struct printer *printer, int dim, const uint8_t *at)
{
    const struct pst_tensor *tensor = printer->tensor;
    if (dim == tensor->ndim) {
        char item[ITEM_TEXT];
        print_element(item, at, tensor->dtype);
        int width = (int)strlen(item);
        if (width > printer->width)
            printer->width = width;
        return;
    }
    int64_t n = tensor->shape[dim];
    for (int64_t i = 0; i < n; i = next_shown(printer, i, n))
        measure(printer, dim + 1, at + i * tensor->strides[dim]);
}

static void put_break(struct printer *printer, int lines, int indent)
{
    for (int i = 0; i < lines; i++)
        put(&printer->text, "\n", 1);
    put_spaces(&printer->text, indent);
}

static void put_dim(struct printer *printer, int dim, const uint8_t *at)
{
    static const char head[] = "tensor(";
    const struct pst_tensor *tensor = printer->tensor;
    struct text *text = &printer->text;
    if (dim == tensor->ndim) {
        char item[ITEM_TEXT];
        print_element(item, at, tensor->dtype);
        put_spaces(text, printer->width - (int)strlen(item));
        put_text(text, item);
        return;
    }
    int is_last = dim == tensor->ndim - 1, indent = (int)sizeof head - 1 + dim + 1;
    int64_t n = tensor->shape[dim];
    put_text(text, "[");
    for (int64_t i = 0, next; i < n; i = next) {
        next = next_shown(printer, i, n);
        put_dim(printer, dim + 1, at + i * tensor->strides[dim]);
        if (next >= n)
            break;
        const char *parts[] = {",", next > i + 1 ? "...," : NULL};
        for (int p = 0; p < 2 && parts[p]; p++) {
            put_text(text, parts[p]);
            if (!is_last)
                put_break(printer, tensor->ndim - 1 - dim, indent);
            else if (text->column + 1 + printer->width + 2 > COLUMNS)
                put_break(printer, 1, indent);
            else
                put_spaces(text, 1);
        }
    }
    put_text(text, "]");
}

static void put_shape(struct text *text, const struct pst_tensor *tensor)
{
    char item[ITEM_TEXT];
    put_text(text, "(");
    for (int i = 0; i < tensor->ndim; i++) {
        snprintf(item, sizeof item, "%s%" PRId64, i > 0 ? ", " : "", tensor->shape[i]);
        put_text(text, item);
    }
    put_text(text, tensor->ndim == 1 ? ",)" : ")");
}

size_t pst_tensor_print(const struct pst_tensor *tensor, char *out, size_t size)
{
    struct printer printer = {.text = {out, size, 0, 0}, .tensor = tensor};
    struct text *text = &printer.text;
    int64_t numel = pst_tensor_numel(tensor);
    put_text(text, "tensor(");
    if (numel == 0) {
        put_text(text, "[]");
        if (tensor->buffer && !(tensor->ndim == 1)) {
            put_text(text, ", shape=");
            put_shape(text, tensor);
        }
    } else {
        printer.summarise = numel > SUMMARY_OVER;
        measure(&printer, 0, tensor->data);
        put_dim(&printer, 0, tensor->data);
    }
    if (tensor->buffer) {
        put_text(text, ", dtype=");
        put_text(text, pst_dtype_name(tensor->dtype));
    }
    put_text(text, ")");
    if (size > 0)
        out[text->used < size ? text->used : size - 1] = 0;
    return text->used;
}
