/* SPDX-License-Identifier: Apache-2.0 */
#include "format/list_rows.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/strings.h"

#define SHOWN 120

/* A text that is built up; its memory is kept from row to row. */
struct text {
    void *bytes;
    size_t used, room;
};

struct json {
    const struct pst__list_reader *reader;
    const uint8_t *data;
    size_t at, end; /* of the line */
    int64_t line;
    struct text key, path, label, other;
    int has_path, has_label, label_is_number;
    int64_t number;
};

static int bad(const struct json *json, struct pst_error *err, const char *expected)
{
    char found[8] = "", shown[SHOWN];
    size_t n = json->end - json->at < 4 ? json->end - json->at : 4;
    for (size_t i = 0; i < n; i++)
        found[i] = json->data[json->at + i] ? (char)json->data[json->at + i] : '?';
    return pst__fail_at(err, PST_EFORMAT, (int64_t)json->at,
                        "%s: line %" PRId64 ", byte %zu: expected %s, found %s",
                        json->reader->shown, json->line, json->at, expected,
                        n ? pst__printable(shown, sizeof shown, found) : "the end of the line");
}

static int peek(const struct json *json)
{
    return json->at < json->end ? json->data[json->at] : -1;
}

static void space(struct json *json)
{
    while (peek(json) == ' ' || peek(json) == '\t' || peek(json) == '\r')
        json->at++;
}

static int put(struct text *text, const void *bytes, size_t n)
{
    if (text->used + n > PST_MAX_PATH + 1)
        return PST_ELIMIT;
    int rc = pst__grow(&text->bytes, &text->room, text->used + n, 1);
    if (rc == PST_OK && n > 0)
        memcpy((char *)text->bytes + text->used, bytes, n);
    text->used += rc == PST_OK ? n : 0;
    return rc;
}

static int put_code(struct text *text, uint32_t code)
{
    uint8_t out[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(lead[n] | code);
    return put(text, out, n);
}

static int hex4(struct json *json, uint32_t *code, struct pst_error *err)
{
    *code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        int c = peek(json);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return bad(json, err, "four hexadecimal digits");
        *code = *code << 4 | (uint32_t)digit;
    }
    return PST_OK;
}

/* Behind "\u". Half of a pair alone is no character, but U+DC80 to U+DCFF are what Python makes of
 * the bytes 80 to FF of a name that is not UTF-8, and os.fsencode() makes bytes of them again. */
static int unicode(struct json *json, struct text *text, struct pst_error *err)
{
    uint32_t code, low;
    int rc = hex4(json, &code, err);
    if (rc < 0)
        return rc;
    if (code == 0)
        return bad(json, err, "no NUL in a text, before this");
    if (code >= 0xdc80 && code <= 0xdcff) {
        uint8_t byte = (uint8_t)(code - 0xdc00);
        return put(text, &byte, 1);
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (json->end - json->at < 6 || memcmp(json->data + json->at, "\\u", 2) != 0)
            return bad(json, err, "the second half of a surrogate pair");
        json->at += 2;
        if ((rc = hex4(json, &low, err)) < 0)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(json, err, "the second half of a surrogate pair, before this");
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return bad(json, err, "the first half of a surrogate pair, before this");
    }
    return put_code(text, code);
}

static int escape(struct json *json, struct text *text, struct pst_error *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(json);
    const char *which = c > 0 ? memchr(from, c, sizeof from - 1) : NULL;
    if (!which && c != 'u')
        return bad(json, err, "an escape such as \\n");
    json->at++;
    return which ? put(text, &to[which - from], 1) : unicode(json, text, err);
}

/* A character as it stands. The line is followed by a byte that is no part of one. */
static int character(struct json *json, struct text *text, struct pst_error *err)
{
    char next[5] = "";
    size_t left = json->end - json->at;
    memcpy(next, json->data + json->at, left < 4 ? left : 4);
    size_t n = next[0] ? pst__utf8_length(next) : 0;
    if (n == 0 || (uint8_t)next[0] < 0x20)
        return bad(json, err, "UTF-8 without control characters");
    json->at += n;
    return put(text, next, n);
}

static int string(struct json *json, struct text *text, struct pst_error *err)
{
    text->used = 0;
    if (peek(json) != '"')
        return bad(json, err, "a text in quotation marks");
    json->at++;
    int rc = PST_OK;
    while (rc == PST_OK && peek(json) != '"') {
        if (peek(json) < 0)
            return bad(json, err, "a closing quotation mark");
        if (peek(json) == '\\') {
            json->at++;
            rc = escape(json, text, err);
        } else {
            rc = character(json, text, err);
        }
    }
    json->at++;
    if (rc == PST_OK)
        rc = put(text, "", 1);
    return rc == PST_ELIMIT ? pst__fail_at(err, rc, (int64_t)json->at,
                                           "%s: line %" PRId64 ": a text has over %d bytes",
                                           json->reader->shown, json->line, PST_MAX_PATH)
                            : rc;
}

static int is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int digits(struct json *json, struct pst_error *err)
{
    if (!is_digit(peek(json)))
        return bad(json, err, "a digit");
    while (is_digit(peek(json)))
        json->at++;
    return PST_OK;
}

/* A number that is skipped. */
static int number(struct json *json, struct pst_error *err)
{
    int rc = PST_OK;
    if (peek(json) == '-')
        json->at++;
    if (peek(json) == '0')
        json->at++;
    else
        rc = digits(json, err);
    if (rc == PST_OK && peek(json) == '.') {
        json->at++;
        rc = digits(json, err);
    }
    if (rc == PST_OK && (peek(json) == 'e' || peek(json) == 'E')) {
        json->at++;
        if (peek(json) == '+' || peek(json) == '-')
            json->at++;
        rc = digits(json, err);
    }
    return rc;
}

static int word(struct json *json, const char *text, struct pst_error *err)
{
    size_t n = strlen(text);
    if (json->end - json->at < n || memcmp(json->data + json->at, text, n) != 0)
        return bad(json, err, "a value");
    json->at += n;
    return PST_OK;
}

static int skip(struct json *json, int depth, struct pst_error *err);

/* The members of an object or the items of an array, up to the closing bracket. */
static int skip_many(struct json *json, int depth, int close, struct pst_error *err)
{
    if (depth >= PST__LIST_DEPTH)
        return bad(json, err, "at most 64 values within values");
    json->at++;
    space(json);
    if (peek(json) == close) {
        json->at++;
        return PST_OK;
    }
    for (;;) {
        int rc = PST_OK;
        space(json);
        if (close == '}') {
            rc = string(json, &json->other, err);
            space(json);
            if (rc == PST_OK && peek(json) != ':')
                rc = bad(json, err, "':'");
            json->at++;
        }
        if (rc < 0 || (rc = skip(json, depth + 1, err)) < 0)
            return rc;
        space(json);
        if (peek(json) == close)
            break;
        if (peek(json) != ',')
            return bad(json, err, close == '}' ? "',' or '}'" : "',' or ']'");
        json->at++;
    }
    json->at++;
    return PST_OK;
}

static int skip(struct json *json, int depth, struct pst_error *err)
{
    space(json);
    switch (peek(json)) {
    case '{':
        return skip_many(json, depth, '}', err);
    case '[':
        return skip_many(json, depth, ']', err);
    case '"':
        return string(json, &json->other, err);
    case 't':
        return word(json, "true", err);
    case 'f':
        return word(json, "false", err);
    case 'n':
        return word(json, "null", err);
    default:
        return number(json, err);
    }
}

static int integer(struct json *json, int64_t *value, struct pst_error *err)
{
    size_t start = json->at;
    int is_negative = peek(json) == '-', rc = number(json, err);
    if (rc < 0)
        return rc;
    uint64_t magnitude = 0;
    for (size_t i = start + (size_t)is_negative; i < json->at; i++) {
        unsigned digit = (unsigned)json->data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, digit, &magnitude) ||
            magnitude > (uint64_t)INT64_MAX + (uint64_t)is_negative) {
            json->at = start;
            return bad(json, err, "an integer of 64 bits, or a text, as the label");
        }
    }
    *value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return PST_OK;
}

static int label(struct json *json, struct pst_error *err)
{
    int c = peek(json);
    json->label_is_number = c != '"';
    if (c == '"')
        return string(json, &json->label, err);
    if (c != '-' && !is_digit(c))
        return bad(json, err, "an integer of 64 bits, or a text, as the label");
    return integer(json, &json->number, err);
}

static int member(struct json *json, struct pst_error *err)
{
    space(json);
    int rc = string(json, &json->key, err);
    space(json);
    if (rc == PST_OK && peek(json) != ':')
        rc = bad(json, err, "':'");
    if (rc < 0)
        return rc;
    json->at++;
    space(json);
    int is_path = strcmp(json->key.bytes, json->reader->path) == 0;
    int is_label = strcmp(json->key.bytes, json->reader->label) == 0;
    if ((is_path && json->has_path) || (is_label && json->has_label))
        return bad(json, err, "the path and the label once each, before this");
    json->has_path |= is_path;
    json->has_label |= is_label;
    if (is_path)
        return string(json, &json->path, err);
    return is_label ? label(json, err) : skip(json, 0, err);
}

static int object(struct json *json, struct pst_error *err)
{
    int rc;
    if (peek(json) != '{')
        return bad(json, err, "an object");
    json->at++;
    space(json);
    if (peek(json) != '}')
        for (;;) {
            if ((rc = member(json, err)) < 0)
                return rc;
            space(json);
            if (peek(json) != ',')
                break;
            json->at++;
        }
    if (peek(json) != '}')
        return bad(json, err, "',' or '}'");
    json->at++;
    space(json);
    if (json->at != json->end)
        return bad(json, err, "the end of the line");
    return json->has_path && json->has_label ? PST_OK
                                             : bad(json, err, "a path and a label before this");
}

static int lines(struct json *json, size_t size, struct pst_error *err)
{
    int rc = PST_OK;
    for (size_t next = 0; rc == PST_OK && next < size; json->line++) {
        const uint8_t *lf = memchr(json->data + next, '\n', size - next);
        struct pst__list_row row = {.line = json->line, .offset = (int64_t)next};
        json->at = next;
        json->end = lf ? (size_t)(lf - json->data) : size;
        next = json->end + 1;
        json->has_path = json->has_label = 0;
        space(json);
        if (json->at == json->end)
            continue;
        if ((rc = object(json, err)) < 0)
            break;
        row.path = json->path.bytes;
        row.label = json->label_is_number ? NULL : json->label.bytes;
        row.number = json->number;
        rc = json->reader->row(json->reader->self, &row, err);
    }
    return rc;
}

int pst__jsonl_read(const struct pst__list_reader *reader, const uint8_t *data, size_t size,
                    struct pst_error *err)
{
    struct json json = {.reader = reader, .data = data, .line = 1};
    int rc = lines(&json, size, err);
    pst__free(json.other.bytes);
    pst__free(json.label.bytes);
    pst__free(json.path.bytes);
    pst__free(json.key.bytes);
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for the rows of %s", reader->shown)
                            : rc;
}
