/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "format/layout/layout.h"

/* numpy.lib.format: "\x93NUMPY", a version, the size of a text, and the text, which is the literal
 * of a Python dict with three keys. Taken is what numpy writes, of any age, and what it would read
 * the same; the rest of Python's literals is refused. */

#define MAGIC_SIZE 8
#define SHOWN 120
/* A header that is written again while it is read differs from one reading to the next. */
#define MAX_READS 16
/* Digits that numpy leaves room for where an array may grow. */
#define GROWTH_DIGITS 21

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE '<'
#define FOREIGN '>'
#else
#define NATIVE '>'
#define FOREIGN '<'
#endif

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct parser {
    struct pst__npy *npy;
    size_t at;
    const char *shown;
    struct pst_error *err;
};

static int bad(const struct parser *parser, const char *expected)
{
    const struct pst__npy *npy = parser->npy;
    char found[16], shown[SHOWN];
    size_t n = npy->size - parser->at < 12 ? npy->size - parser->at : 12;
    for (size_t i = 0; i < n; i++)
        found[i] = npy->text[parser->at + i] ? npy->text[parser->at + i] : '?';
    found[n] = 0;
    return pst__fail_at(parser->err, PST_EFORMAT, (int64_t)(npy->start + parser->at),
                        "%s: byte %zu of the header of NumPy: expected %s, found %s", parser->shown,
                        npy->start + parser->at, expected,
                        n ? pst__printable(shown, sizeof shown, found) : "its end");
}

/* The text ends in a NUL that is not part of it. */
static int peek(const struct parser *parser)
{
    return (uint8_t)parser->npy->text[parser->at];
}

static void space(struct parser *parser)
{
    while (peek(parser) == ' ' || peek(parser) == '\t' || peek(parser) == '\n' ||
           peek(parser) == '\r')
        parser->at++;
}

static int take(struct parser *parser, int byte, const char *expected)
{
    space(parser);
    if (peek(parser) != byte)
        return bad(parser, expected);
    parser->at++;
    return PST_OK;
}

/* A string without escapes; *text is not ended by a NUL. */
static int string(struct parser *parser, const char **text, size_t *n)
{
    space(parser);
    int quote = peek(parser);
    if (quote != '\'' && quote != '"')
        return bad(parser, "a string");
    *text = parser->npy->text + ++parser->at;
    const char *p = *text;
    while (*p != quote && *p >= ' ' && *p <= '~' && *p != '\\')
        p++;
    *n = (size_t)(p - *text);
    parser->at += *n;
    if (*p != quote)
        return bad(parser, "a plain character or the string's end");
    parser->at++;
    return PST_OK;
}

static int is_word(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(text, word, n) == 0;
}

/* --- descr
 * -------------------------------------------------------------------------------------------- */

static int dtype_of(char kind, char size)
{
    static const struct {
        char text[3];
        int dtype;
    } table[] = {
        {"b1", PST_BOOL}, {"i1", PST_I8},  {"i2", PST_I16}, {"i4", PST_I32},
        {"i8", PST_I64},  {"u1", PST_U8},  {"u2", PST_U16}, {"u4", PST_U32},
        {"u8", PST_U64},  {"f2", PST_F16}, {"f4", PST_F32}, {"f8", PST_F64},
    };
    for (size_t i = 0; i < PST_COUNTOF(table); i++)
        if (table[i].text[0] == kind && table[i].text[1] == size)
            return table[i].dtype;
    return 0;
}

static int unsupported(const struct parser *parser, const char *text, size_t n)
{
    char kind[SHOWN], shown[SHOWN];
    snprintf(kind, sizeof kind, "%.*s", (int)(n < 40 ? n : 40), text);
    const char *why = memchr(text, 'O', n) ? "Python objects, which are kept as pickles; those run "
                                             "code and are not read"
                                           : "a dtype that is none of the engine's";
    return pst__fail_at(parser->err, PST_EUNSUPPORTED,
                        (int64_t)(parser->npy->start + (size_t)(text - parser->npy->text)),
                        "%s: its elements are '%s', %s", parser->shown,
                        pst__printable(shown, sizeof shown, kind), why);
}

static int descr(struct parser *parser)
{
    const char *text;
    size_t n;
    space(parser);
    if (peek(parser) == '[')
        return pst__fail_at(
            parser->err, PST_EUNSUPPORTED, (int64_t)(parser->npy->start + parser->at),
            "%s: its elements have several fields, which no tensor has", parser->shown);
    int rc = string(parser, &text, &n);
    if (rc < 0)
        return rc;
    const char *order = n > 0 && strchr("<>|=", text[0]) ? text : "=";
    const char *kind = order == text ? text + 1 : text;
    struct pst__layout *layout = &parser->npy->layout;
    layout->dtype = text + n - kind == 2 ? dtype_of(kind[0], kind[1]) : 0;
    if (layout->dtype == 0)
        return unsupported(parser, text, n);
    layout->is_swapped = *order == FOREIGN && pst_dtype_size(layout->dtype) > 1;
    return PST_OK;
}

/* --- the other two
 * ------------------------------------------------------------------------------------ */

static int fortran_order(struct parser *parser)
{
    static const char *const words[] = {"False", "True"};
    space(parser);
    for (int i = 0; i < 2; i++)
        if (strncmp(parser->npy->text + parser->at, words[i], strlen(words[i])) == 0) {
            parser->at += strlen(words[i]);
            parser->npy->layout.is_fortran = i;
            return PST_OK;
        }
    return bad(parser, "True or False");
}

static int size(struct parser *parser, int64_t *value)
{
    space(parser);
    size_t start = parser->at;
    *value = 0;
    for (int c; (c = peek(parser)) >= '0' && c <= '9'; parser->at++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, c - '0', value))
            return pst__fail_at(parser->err, PST_ELIMIT, (int64_t)(parser->npy->start + start),
                                "%s: a dimension of its array has 2^63 elements or more",
                                parser->shown);
    if (parser->at == start || (parser->npy->text[start] == '0' && parser->at > start + 1))
        return bad(parser, "a number of elements");
    return PST_OK;
}

static int shape(struct parser *parser)
{
    struct pst__npy *npy = parser->npy;
    struct pst__layout *layout = &npy->layout;
    int n = 0, has_comma = 1, rc = take(parser, '(', "a tuple");
    for (;; n++) {
        if (rc < 0)
            return rc;
        space(parser);
        if (peek(parser) == ')')
            break;
        if (!has_comma)
            return bad(parser, "',' or ')'");
        if (n == PST_MAX_DIMS)
            return pst__fail_at(parser->err, PST_ELIMIT, (int64_t)(npy->start + parser->at),
                                "%s: its array has over %d dimensions", parser->shown,
                                PST_MAX_DIMS);
        size_t from = parser->at;
        if ((rc = size(parser, &layout->shape[n])) < 0)
            return rc;
        if (n == 0) {
            npy->rows = from;
            npy->rows_end = parser->at;
        }
        if (npy->major < 3 && peek(parser) == 'L') /* of Python 2 */
            parser->at++;
        space(parser);
        has_comma = peek(parser) == ',';
        parser->at += (size_t)has_comma;
    }
    if (n == 1 && !has_comma)
        return bad(parser, "a comma: a tuple of one");
    parser->at++;
    layout->ndim = n;
    return PST_OK;
}

static int literal(struct parser *parser)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static int (*const values[])(struct parser *) = {descr, fortran_order, shape};
    int seen = 0;
    while (peek(parser) == ' ')
        parser->at++;
    int rc = peek(parser) == '{' ? take(parser, '{', "a dict") : bad(parser, "a dict");
    while (rc == PST_OK) {
        const char *text;
        size_t length;
        space(parser);
        if (peek(parser) == '}')
            break;
        if ((rc = string(parser, &text, &length)) < 0)
            return rc;
        int key = 0;
        while (key < 3 && !is_word(text, length, keys[key]))
            key++;
        if (key == 3 || seen & 1 << key)
            return bad(parser, "'descr', 'fortran_order' and 'shape' once each, before this");
        seen |= 1 << key;
        if ((rc = take(parser, ':', "':'")) < 0 || (rc = values[key](parser)) < 0)
            return rc;
        space(parser);
        if (peek(parser) != '}')
            rc = take(parser, ',', "',' or '}'");
    }
    if (rc < 0 || (rc = take(parser, '}', "'}'")) < 0)
        return rc;
    parser->npy->end = parser->at;
    /* Space behind a newline would be an indentation. */
    while (peek(parser) == ' ')
        parser->at++;
    while (peek(parser) == '\n')
        parser->at++;
    if (parser->at != parser->npy->size)
        return bad(parser, "nothing but space");
    return seen == 7 ? PST_OK : bad(parser, "'descr', 'fortran_order' and 'shape', before this");
}

/* --- the file
 * ----------------------------------------------------------------------------------------- */

static int read_sizes(struct pst__npy *npy, const struct pst__reader *reader, struct pst_error *err)
{
    uint8_t head[MAGIC_SIZE + 4] = {0};
    size_t n = reader->size < sizeof head ? (size_t)reader->size : sizeof head;
    int rc = reader->read(reader->self, 0, n, head, err);
    if (rc < 0)
        return rc;
    if (n < sizeof magic || memcmp(head, magic, sizeof magic) != 0)
        return pst__fail_at(err, PST_EFORMAT, 0,
                            "%s is no file of numpy.save(): it does not begin "
                            "with \\x93NUMPY",
                            reader->shown);
    if (n < MAGIC_SIZE + 2)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)n,
                            "%s ends within its header: it has %zu bytes", reader->shown, n);
    npy->major = head[6];
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return pst__fail_at(err, PST_EUNSUPPORTED, 6,
                            "%s is of version %d.%d of NumPy's format, expected 1.0 to 3.0",
                            reader->shown, head[6], head[7]);
    npy->start = MAGIC_SIZE + (npy->major == 1 ? 2 : 4);
    uint64_t size = head[8] | (uint64_t)head[9] << 8;
    if (npy->major > 1)
        size |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    if (npy->start > reader->size || size > reader->size - npy->start)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)reader->size,
                            "%s ends within its header: %" PRIu64 " bytes at %zu expected, it has "
                            "%" PRIu64,
                            reader->shown, size, npy->start, reader->size);
    if (size > PST__NPY_MAX_HEADER)
        return pst__fail_at(err, PST_ELIMIT, MAGIC_SIZE,
                            "%s has a header of %" PRIu64 " bytes, the limit is %d", reader->shown,
                            size, PST__NPY_MAX_HEADER);
    npy->size = (size_t)size;
    return PST_OK;
}

/* The text, as it was at one moment: somebody may be writing a number of rows into it. */
static int read_text(struct pst__npy *npy, const struct pst__reader *reader, struct pst_error *err)
{
    char before[PST__NPY_MAX_HEADER];
    int rc = reader->read(reader->self, npy->start, npy->size, npy->text, err);
    for (int i = 0; rc == PST_OK && i < MAX_READS; i++) {
        memcpy(before, npy->text, npy->size);
        rc = reader->read(reader->self, npy->start, npy->size, npy->text, err);
        if (memcmp(before, npy->text, npy->size) == 0)
            break;
    }
    npy->text[npy->size] = 0;
    return rc;
}

int pst__npy_read(struct pst__npy *npy, const struct pst__reader *reader, struct pst_error *err)
{
    npy->layout = (struct pst__layout){0};
    npy->rows = npy->rows_end = npy->end = 0;
    int rc = read_sizes(npy, reader, err);
    if (rc == PST_OK && npy->size > 0)
        rc = read_text(npy, reader, err);
    if (rc < 0)
        return rc;
    npy->text[npy->size] = 0;
    struct parser parser = {npy, 0, reader->shown, err};
    if ((rc = literal(&parser)) < 0)
        return rc;
    npy->layout.offset = npy->start + npy->size;
    if ((rc = pst__layout_measure(&npy->layout, reader->shown, err)) < 0)
        return rc;
    return pst__layout_check(&npy->layout, reader, err);
}

int pst__npy_set_rows(struct pst__npy *npy, int64_t rows)
{
    char digits[24];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRId64, rows);
    size_t before = npy->rows_end - npy->rows, rest = npy->end - npy->rows_end;
    /* Behind the brace there is space alone, and a newline at the end, or nothing at all. */
    if (n > before && npy->end + (n - before) >= npy->size)
        return PST_ELIMIT;
    memmove(npy->text + npy->rows + n, npy->text + npy->rows_end, rest);
    memcpy(npy->text + npy->rows, digits, n);
    npy->rows_end = npy->rows + n;
    npy->end = npy->rows_end + rest;
    if (npy->end < npy->size) {
        memset(npy->text + npy->end, ' ', npy->size - 1 - npy->end);
        npy->text[npy->size - 1] = '\n';
    }
    npy->layout.shape[0] = rows;
    return PST_OK;
}

size_t pst__npy_write(uint8_t *out, const struct pst__layout *layout)
{
    static const char *const names[] = {
        [PST_U8] = "u1",   [PST_I64] = "i8", [PST_F32] = "f4", [PST_I8] = "i1",
        [PST_I16] = "i2",  [PST_I32] = "i4", [PST_F16] = "f2", [PST_F64] = "f8",
        [PST_BOOL] = "b1", [PST_U16] = "u2", [PST_U32] = "u4", [PST_U64] = "u8",
    };
    char order = pst_dtype_size(layout->dtype) > 1 ? NATIVE : '|';
    char *text = (char *)out + MAGIC_SIZE + 2;
    int n = snprintf(text, PST__NPY_FRESH - MAGIC_SIZE - 2,
                     "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order,
                     names[layout->dtype]);
    for (int i = 0; i < layout->ndim; i++)
        n += snprintf(text + n, 32, "%s%" PRId64, i > 0 ? ", " : "", layout->shape[i]);
    n += snprintf(text + n, 32, "%s), }", layout->ndim == 1 ? "," : "");
    /* Room for the most rows, a newline, and a whole number of 64 bytes in all. */
    size_t total = MAGIC_SIZE + 2 + (size_t)n + GROWTH_DIGITS + 1;
    total = (total + 63) / 64 * 64;
    memset(text + n, ' ', total - MAGIC_SIZE - 2 - (size_t)n);
    out[total - 1] = '\n';
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (uint8_t)(total - MAGIC_SIZE - 2);
    out[9] = (uint8_t)((total - MAGIC_SIZE - 2) >> 8);
    return total;
}
