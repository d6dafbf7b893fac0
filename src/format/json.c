/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/strings.h"

#define SHOWN 120

int pst__json_bad(const struct pst__json *json, struct pst_error *err, const char *expected)
{
    char found[8] = "", shown[SHOWN], line[40] = "";
    size_t n = json->end - json->at < 4 ? json->end - json->at : 4;
    int64_t at = json->base + (int64_t)json->at;
    for (size_t i = 0; i < n; i++)
        found[i] = json->data[json->at + i] ? (char)json->data[json->at + i] : '?';
    if (json->line > 0)
        snprintf(line, sizeof line, "line %" PRId64 ", ", json->line);
    return pst__fail_at(err, PST_EFORMAT, at, "%s: %sbyte %" PRId64 ": expected %s, found %s",
                        json->shown, line, at, expected,
                        n                ? pst__printable(shown, sizeof shown, found)
                        : json->line > 0 ? "the end of the line"
                                         : "the end");
}

int pst__json_peek(const struct pst__json *json)
{
    return json->at < json->end ? json->data[json->at] : -1;
}

void pst__json_space(struct pst__json *json)
{
    int c;
    while ((c = pst__json_peek(json)) == ' ' || c == '\t' || c == '\r' || c == '\n')
        json->at++;
}

int pst__json_take(struct pst__json *json, int byte, const char *expected, struct pst_error *err)
{
    pst__json_space(json);
    if (pst__json_peek(json) != byte)
        return pst__json_bad(json, err, expected);
    json->at++;
    pst__json_space(json);
    return PST_OK;
}

static int put(const struct pst__json *json, struct pst__text *text, const void *bytes, size_t n)
{
    if (text->used + n > json->max_text + 1)
        return PST_ELIMIT;
    int rc = pst__grow(&text->bytes, &text->room, text->used + n, 1);
    if (rc == PST_OK && n > 0)
        memcpy((char *)text->bytes + text->used, bytes, n);
    text->used += rc == PST_OK ? n : 0;
    return rc;
}

static int put_code(const struct pst__json *json, struct pst__text *text, uint32_t code)
{
    uint8_t out[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(lead[n] | code);
    return put(json, text, out, n);
}

static int hex4(struct pst__json *json, uint32_t *code, struct pst_error *err)
{
    *code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        int c = pst__json_peek(json);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return pst__json_bad(json, err, "four hexadecimal digits");
        *code = *code << 4 | (uint32_t)digit;
    }
    return PST_OK;
}

/* Behind "\u". Half of a pair alone is no character. */
static int unicode(struct pst__json *json, struct pst__text *text, struct pst_error *err)
{
    uint32_t code, low;
    int rc = hex4(json, &code, err);
    if (rc < 0)
        return rc;
    if (code == 0)
        return pst__json_bad(json, err, "no NUL in a text, before this");
    if (json->has_bytes && code >= 0xdc80 && code <= 0xdcff) {
        uint8_t byte = (uint8_t)(code - 0xdc00);
        return put(json, text, &byte, 1);
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (json->end - json->at < 6 || memcmp(json->data + json->at, "\\u", 2) != 0)
            return pst__json_bad(json, err, "the second half of a surrogate pair");
        json->at += 2;
        if ((rc = hex4(json, &low, err)) < 0)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return pst__json_bad(json, err, "the second half of a surrogate pair, before this");
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return pst__json_bad(json, err, "the first half of a surrogate pair, before this");
    }
    return put_code(json, text, code);
}

static int escape(struct pst__json *json, struct pst__text *text, struct pst_error *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = pst__json_peek(json);
    const char *which = c > 0 ? memchr(from, c, sizeof from - 1) : NULL;
    if (!which && c != 'u')
        return pst__json_bad(json, err, "an escape such as \\n");
    json->at++;
    return which ? put(json, text, &to[which - from], 1) : unicode(json, text, err);
}

/* A character as it stands. */
static int character(struct pst__json *json, struct pst__text *text, struct pst_error *err)
{
    char next[5] = "";
    size_t left = json->end - json->at;
    memcpy(next, json->data + json->at, left < 4 ? left : 4);
    size_t n = next[0] ? pst__utf8_length(next) : 0;
    if (n == 0 || (uint8_t)next[0] < 0x20)
        return pst__json_bad(json, err, "UTF-8 without control characters");
    json->at += n;
    return put(json, text, next, n);
}

int pst__json_string(struct pst__json *json, struct pst__text *text, struct pst_error *err)
{
    text->used = 0;
    if (pst__json_peek(json) != '"')
        return pst__json_bad(json, err, "a text in quotation marks");
    json->at++;
    int rc = PST_OK;
    while (rc == PST_OK && pst__json_peek(json) != '"') {
        if (pst__json_peek(json) < 0)
            return pst__json_bad(json, err, "a closing quotation mark");
        if (pst__json_peek(json) == '\\') {
            json->at++;
            rc = escape(json, text, err);
        } else {
            rc = character(json, text, err);
        }
    }
    json->at++;
    if (rc == PST_OK)
        rc = put(json, text, "", 1);
    if (rc != PST_ELIMIT)
        return rc;
    return pst__fail_at(err, rc, json->base + (int64_t)json->at,
                        "%s: byte %" PRId64 ": a text has over %zu bytes", json->shown,
                        json->base + (int64_t)json->at, json->max_text);
}

static int is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int digits(struct pst__json *json, struct pst_error *err)
{
    if (!is_digit(pst__json_peek(json)))
        return pst__json_bad(json, err, "a digit");
    while (is_digit(pst__json_peek(json)))
        json->at++;
    return PST_OK;
}

/* A number that is skipped. */
static int number(struct pst__json *json, struct pst_error *err)
{
    int rc = PST_OK;
    if (pst__json_peek(json) == '-')
        json->at++;
    if (pst__json_peek(json) == '0')
        json->at++;
    else
        rc = digits(json, err);
    if (rc == PST_OK && pst__json_peek(json) == '.') {
        json->at++;
        rc = digits(json, err);
    }
    if (rc == PST_OK && (pst__json_peek(json) == 'e' || pst__json_peek(json) == 'E')) {
        json->at++;
        if (pst__json_peek(json) == '+' || pst__json_peek(json) == '-')
            json->at++;
        rc = digits(json, err);
    }
    return rc;
}

static int word(struct pst__json *json, const char *text, struct pst_error *err)
{
    size_t n = strlen(text);
    if (json->end - json->at < n || memcmp(json->data + json->at, text, n) != 0)
        return pst__json_bad(json, err, "a value");
    json->at += n;
    return PST_OK;
}

/* The members of an object or the items of an array, up to the closing bracket. */
static int skip_many(struct pst__json *json, int depth, int close, struct pst_error *err)
{
    if (depth >= PST__JSON_DEPTH)
        return pst__json_bad(json, err, "at most 64 values within values");
    json->at++;
    pst__json_space(json);
    if (pst__json_peek(json) == close) {
        json->at++;
        return PST_OK;
    }
    for (;;) {
        int rc = PST_OK;
        pst__json_space(json);
        if (close == '}') {
            rc = pst__json_string(json, &json->skipped, err);
            pst__json_space(json);
            if (rc == PST_OK && pst__json_peek(json) != ':')
                rc = pst__json_bad(json, err, "':'");
            json->at++;
        }
        if (rc < 0 || (rc = pst__json_skip(json, depth + 1, err)) < 0)
            return rc;
        pst__json_space(json);
        if (pst__json_peek(json) == close)
            break;
        if (pst__json_peek(json) != ',')
            return pst__json_bad(json, err, close == '}' ? "',' or '}'" : "',' or ']'");
        json->at++;
    }
    json->at++;
    return PST_OK;
}

int pst__json_skip(struct pst__json *json, int depth, struct pst_error *err)
{
    pst__json_space(json);
    switch (pst__json_peek(json)) {
    case '{':
        return skip_many(json, depth, '}', err);
    case '[':
        return skip_many(json, depth, ']', err);
    case '"':
        return pst__json_string(json, &json->skipped, err);
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

int pst__json_integer(struct pst__json *json, int64_t *value, const char *expected,
                      struct pst_error *err)
{
    size_t start = json->at;
    int c = pst__json_peek(json), is_negative = c == '-';
    if (!is_negative && !is_digit(c))
        return pst__json_bad(json, err, expected);
    int rc = number(json, err);
    if (rc < 0)
        return rc;
    uint64_t magnitude = 0;
    for (size_t i = start + (size_t)is_negative; i < json->at; i++) {
        unsigned digit = (unsigned)json->data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, digit, &magnitude) ||
            magnitude > (uint64_t)INT64_MAX + (uint64_t)is_negative) {
            json->at = start;
            return pst__json_bad(json, err, expected);
        }
    }
    *value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return PST_OK;
}
